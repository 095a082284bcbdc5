"""The rows of an analysis: read, coded and selected."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, first_few, quote
from bayes_alliance.design.columns.declared_columns import is_declaration
from bayes_alliance.design.columns.variables import column_of
from bayes_alliance.errors import AllianceWarning, TableError
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.fit.provenance import Plain
from bayes_alliance.names import ID_ROLES
from bayes_alliance.run.analysis import Analysis, inside, model_label
from bayes_alliance.run.ids import Coded, code_ids, find_named, table_secret, without_cells
from bayes_alliance.run.row_digests import digest_columns
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.needed_variables import needed_variables
from bayes_alliance.table import rules
from bayes_alliance.table.cells import id_text
from bayes_alliance.table.file_reading import read_frame
from bayes_alliance.table.files.options import FileOptions
from bayes_alliance.table.nesting import MEANINGS, Transfers
from bayes_alliance.table.numbered_columns import numbered_columns
from bayes_alliance.table.row_selection import select_rows
from bayes_alliance.table.scores.instrument import Instrument
from bayes_alliance.table.scores.scoring import ScoreSpec, item_columns, read_scores
from bayes_alliance.table.sessions import SessionTable, read_sessions
from bayes_alliance.table.shape.shape import shape_frame

SIDES = ("patients", "therapists", "groups")


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of an analysis, coded; the key to the codes; how many there were; and digests of what was read.

    ``holds`` says of each column of ids whose they are; ``files`` has the sha256 of each file.
    """

    sessions: SessionTable
    coded: Coded
    read: int
    digests: Mapping[str, Plain]
    holds: Mapping[str, str]
    files: Mapping[str, str]

    def code_of(self, column: str, level: str | float) -> Any:
        """Return what a stated level of a column is called in the run: the code of an id, any other as it is.

        Raises
        ------
        TableError
            If there is no such id; it is not shown.
        """
        role = self.holds.get(column)
        if role is None:
            return level
        text = id_text(pd.Series([level], dtype=object))[0]
        codes = self.coded.codes(role)
        if text not in codes:
            raise TableError(f"The analysis states a {role} (column {column!r}) that does not occur in the table.")
        return codes[text]


@without_cells("rows were read")
def read_rows(analysis: Analysis, folder: Path, specs: Mapping[str, ModelSpec], *, stated: bool = True) -> Rows:
    """Read the rows of an analysis: only the columns its models need, codes in place of ids, rows selected.

    Parameters
    ----------
    analysis : Analysis
        Its paths lie in ``folder``.
    folder : Path
        Of the analysis file.
    specs : mapping of str to ModelSpec
        By label; they say which columns are read.
    stated : bool
        Whether the digest that the analysis states is looked at (``check_stated``).

    Raises
    ------
    SpecError, TableError
        With every problem at once; ids are codes in messages, and other cells of text are their length.
    RunError
        For an error of another library, whose text may quote cells and is not repeated.
    """
    findings = Findings()
    paths = find_paths(analysis, folder, findings)
    shape = analysis.data.shape(findings)
    findings.stop(TableError)
    stated_roles = analysis.data.roles
    data = analysis.data.model_copy(update={"roles": shape.roles(stated_roles)})
    analysis = analysis.model_copy(update={"data": data})
    files = {what: hashlib.sha256(path.read_bytes()).hexdigest() for what, path in paths.items()}
    if stated:
        check_stated(analysis, files["data"])
    keys = _keys(analysis, folder, findings)
    findings.stop(TableError)
    numbers = numbered_columns(data.roles, (data.bounds, data.accept), keys, shape)
    frames = _frames(paths, replace(data.file_options, numbers=numbers), findings)
    read = len(frames["data"])
    findings.step("read", read)
    frames["data"] = shape_frame(frames["data"], shape, stated_roles, findings, data.missing)
    findings.stop(TableError, count_of(read, "row"))
    _check_columns(frames, data.roles)
    measured = [name for name in frames["data"].columns if name not in data.roles.values()]
    scores = _scores(keys, folder, measured, findings)
    findings.stop(TableError, count_of(read, "row"))
    holding = _id_columns(analysis, specs)
    wanted = _wanted(analysis, specs) | {column for columns in holding.values() for column in columns}
    wanted |= {column for own in scores.values() for column in own.items}
    unread = sorted({c for frame in frames.values() for c in frame.columns} - wanted)
    kept = {what: frame[[c for c in frame.columns if c in wanted]] for what, frame in frames.items()}
    ids = {column for columns in holding.values() for column in columns}
    texts: dict[str, Plain] = {name: key.model_dump_json() for name, (_, key) in keys.items()}
    digests: dict[str, Plain] = digest_columns(kept, ids, data.roles) | {"files": dict(files), "keys": texts}
    coded = code_ids(kept, holding, data.missing, secret=table_secret(frames))
    findings.add(_misplaced(coded, kept, ids))
    transfers = _transfers(analysis, folder, coded, findings)
    findings.add(_named_in(data.accept, ids))
    findings.stop(TableError, count_of(read, "row"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AllianceWarning)  # told by the run's messages
        sessions = read_sessions(
            coded.frames["data"],
            data.roles,
            patients=coded.frames.get("patients"),
            therapists=coded.frames.get("therapists"),
            groups=coded.frames.get("groups"),
            missing=data.missing,
            bounds=data.bounds,
            units=data.units,
            accept=data.accept,
            transfers=transfers,
            decimal=data.decimal,
            scores=scores,
        )
    rows = Rows(sessions, coded, read, digests, {c: role for role, columns in holding.items() for c in columns}, files)
    only = {name: rows.code_of(data.roles.get(name, name), level) for name, level in data.only.items()}
    sessions = select_rows(sessions, minimum=data.minimum, maximum=data.maximum, only=only)
    told = _notes(frames["data"], coded, data.roles, data.missing)
    if unread:
        left = count_of(len(unread), "column")
        told.append(f"{left} that no model reads {are(len(unread), 'was', 'were')} left unread.")
    steps = (*findings.steps, *(step for step in sessions.steps if step.kind != "read"))
    return replace(rows, sessions=replace(_with_messages(sessions, findings.messages, told), steps=steps))


def _transfers(analysis: Analysis, folder: Path, coded: Coded, findings: Findings) -> Transfers:
    """Return what ids under several units mean; of patients whom a file names, by their codes."""
    stated = analysis.data.transfers
    name = stated.get("patient") if isinstance(stated, Mapping) else None
    if not isinstance(stated, Mapping) or name is None or name in MEANINGS:
        return cast("Transfers", stated)
    rest = {unit: meaning for unit, meaning in stated.items() if unit != "patient"}
    path = inside(folder, name, "transfers of patients", findings)
    if path is None:
        return cast("Transfers", rest)
    table, column = read_frame(path, FileOptions(), findings), analysis.data.roles["patient"]
    if not {column, "meaning"} <= set(table.columns):
        findings.problem(
            f"The file of transfers has no columns {column!r} and 'meaning'.",
            allowed=f"A row per patient with one of {', '.join(MEANINGS)}.",
        )
        return cast("Transfers", rest)
    ids, codes = id_text(table[column]), coded.codes("patient")
    if ids.duplicated().any():
        findings.problem("The file of transfers names a patient twice.")
    strangers = int((~ids.isin(list(codes))).sum())
    if strangers:
        do = are(strangers, "does", "do")
        findings.problem(
            f"The file of transfers names {count_of(strangers, 'patient')} who {do} not occur in the table."
        )
        return cast("Transfers", rest)
    words = table["meaning"].astype("str").str.strip()
    return cast("Transfers", {**rest, "patient": dict(zip(ids.map(codes), words, strict=True))})


def _named_in(accepted: Mapping[str, Sequence[str | float]], ids: Collection[str]) -> list[Problem]:
    """Report ids that the analysis file accepts: it is kept with the run, where nobody is named."""
    named = [name for name in accepted if name in ids]
    if not named:
        return []
    what = f"accept names ids of {quote(named)}, and the analysis file is kept with the run, where nobody is named."
    return [Problem(what, fix="Leave them out: ids that look alike stay apart, and a message tells of them.")]


def _frames(paths: Mapping[str, Path], options: FileOptions, findings: Findings) -> dict[str, pd.DataFrame]:
    """Return the tables as they stand; sheet and labels are those of the sessions alone."""
    beside = replace(options, sheet=None, labels=None)
    return {
        what: read_frame(path, options if what == "data" else beside, findings, paths.values())
        for what, path in paths.items()
    }


def _keys(analysis: Analysis, folder: Path, findings: Findings) -> dict[str, tuple[ScoreSpec, Instrument]]:
    """Return what is stated of scores, with their keys; keys of its own lie in the analysis file's folder."""
    for name, stated in analysis.scores.items():
        own = str(stated.get("instrument", ""))
        if own.endswith(".toml"):
            inside(folder, own, f"instrument of {name!r}", findings)
    return {} if findings.problems else read_scores(analysis.scores, findings, folder)


def _scores(
    keys: Mapping[str, tuple[ScoreSpec, Instrument]], folder: Path, columns: Sequence[str], findings: Findings
) -> dict[str, ScoreSpec]:
    """Return scores with the columns of their items."""
    return {
        name: replace(
            spec,
            instrument=folder / spec.instrument if str(spec.instrument).endswith(".toml") else spec.instrument,
            items=tuple(item_columns(name, spec, key, columns, findings)),
        )
        for name, (spec, key) in keys.items()
    }


def check_stated(analysis: Analysis, digest: str) -> None:
    """Raise if the table's file has another sha256 than the analysis states.

    Raises
    ------
    TableError
        With both.
    """
    data = analysis.data
    if data.sha256 is not None and digest != data.sha256:
        raise TableError(
            f"{data.path!r} is not the file that the analysis states: its sha256 is {digest}, stated is "
            f"{data.sha256}. Restore the file, or state the new digest on purpose."
        )


def find_paths(analysis: Analysis, folder: Path, findings: Findings) -> dict[str, Path]:
    """Return the files an analysis reads, reporting those that are not there or lie elsewhere."""
    data = analysis.data
    names = {"data": data.path, **{side: name for side in SIDES if (name := getattr(data, side)) is not None}}
    found = {what: inside(folder, name, what, findings) for what, name in names.items()}
    return {what: path for what, path in found.items() if path is not None}


def _wanted(analysis: Analysis, specs: Mapping[str, ModelSpec]) -> set[str]:
    """Return the columns that roles, models and filters read."""
    data = analysis.data
    names = {*data.roles.values()}
    for table in (data.minimum, data.maximum, data.only, data.bounds, data.units, data.missing, data.accept):
        names |= {data.roles.get(name, name) for name in table}
    for model in analysis.models:
        mapping = {**analysis.columns, **model.columns}
        texts = [text for text in mapping.values() if not is_declaration(text)]
        names |= {column_of(text)[0] for text in texts} | set(texts)
    for spec in specs.values():
        names |= {*needed_variables(spec), *spec.declared, *spec.raters, *chain(*spec.raters.values())}
        names |= {name for group in spec.groups.values() for name in (*group.members, *group.weights)}
    return names


def _id_columns(analysis: Analysis, specs: Mapping[str, ModelSpec]) -> dict[str, list[str]]:
    """Return roles and further grouping factors to the columns that hold their ids."""
    roles = analysis.data.roles
    found: dict[str, list[str]] = {role: [roles[role]] for role in ID_ROLES if role in roles}
    for model in analysis.models:
        mapping = {**analysis.columns, **model.columns}
        spec = specs[model_label(model)]
        named = {part for e in spec.equation for f in (*e.factors, *e.centring_factors) for part in f.split(":")}
        for factor in sorted(named - {"session"}):
            members = spec.groups[factor].members if factor in spec.groups else ()
            for name in (factor, *members):
                column = roles.get(name, mapping.get(name, name))
                own = found.setdefault(factor, [])
                if column not in own and column != roles.get("session"):
                    own.append(column)
    return {factor: columns for factor, columns in found.items() if columns}


def _check_columns(frames: Mapping[str, pd.DataFrame], roles: Mapping[str, str]) -> None:
    """Check the roles' columns; a file without a header has a patient in the place of its names, which is not shown."""
    columns = list(dict.fromkeys(c for frame in frames.values() for c in frame.columns))
    if not set(roles.values()) & set(columns):
        raise TableError(
            f"None of the columns that roles name ({quote(roles.values())}) is among the {len(columns)} of the file. "
            f"Does its first line hold the names of the columns?"
        )
    problems = rules.check_roles(roles, columns)
    if problems:
        raise TableError(problems, count_of(len(frames["data"]), "row"))


def _misplaced(coded: Coded, frames: Mapping[str, pd.DataFrame], ids: set[str]) -> list[Problem]:
    """Report cells that hold somebody's identifier, or nearly one, where a value is expected: by row and column alone.

    Identifiers that are numbers cannot be told from values, and say little by themselves.
    """
    known = coded.key["id"].tolist()
    problems = []
    for what, frame in frames.items():
        for name in frame.columns:
            if name in ids:
                continue
            cells = frame[name].astype("str")
            rows = np.flatnonzero(cells.isin(find_named(cells.dropna().unique(), known)).to_numpy())
            if len(rows):
                shown = first_few([f"row {row + 1}" for row in rows])
                problems.append(
                    Problem(
                        f"Column {name!r} ({what}) holds an identifier in {count_of(len(rows), 'cell')}: "
                        f"{shown}. It, or a text that is nearly one, is not shown here, and would be a value "
                        "or a level of everything that follows.",
                        fix="Correct the cells.",
                    )
                )
    return problems


def _notes(
    frame: pd.DataFrame,
    coded: Coded,
    roles: Mapping[str, str],
    missing: Mapping[str, Sequence[str | float]],
) -> list[str]:
    """Return what is worth knowing of ids as they stand in the file, in codes."""
    told = []
    for role in ID_ROLES:
        column = roles.get(role)
        if column is None or column not in frame.columns:
            continue
        text = id_text(frame[column])
        declared = list(id_text(pd.Series(list(missing.get(column, ())), dtype=object)))
        own = pd.DataFrame({column: text.mask(text.isin(declared), "")})
        told += [coded.mask(note, role) for note in rules.find_lookalikes(own, {role: column})]
        told += rules.find_missing_words(own, {role: column})  # words such as NA, which name nobody
    return told


def _with_messages(sessions: SessionTable, before: Sequence[str], after: Sequence[str]) -> SessionTable:
    """Return the table with what is to be said of its file before, and after, what is said of its rows."""
    return replace(sessions, messages=tuple(dict.fromkeys((*before, *sessions.messages, *after))))
