"""The rows of an analysis: read, coded, selected, and told apart by digests."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, quote
from bayes_alliance.design.variables import column_of
from bayes_alliance.errors import AllianceWarning, TableError
from bayes_alliance.fit.provenance import Plain
from bayes_alliance.names import ID_ROLES
from bayes_alliance.run.analysis import Analysis, inside, model_label
from bayes_alliance.run.ids import Coded, code_ids
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.reading import needed_variables
from bayes_alliance.table import rules
from bayes_alliance.table.read import id_text, read_frame
from bayes_alliance.table.select import select_rows
from bayes_alliance.table.sessions import SessionTable, read_sessions

SIDES = ("patients", "therapists", "groups")


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of an analysis, coded; the key to the codes; how many there were; and digests of what was read."""

    sessions: SessionTable
    coded: Coded
    read: int
    digests: Mapping[str, Plain]


def read_rows(analysis: Analysis, folder: Path, specs: Mapping[str, ModelSpec], *, codes: bool = True) -> Rows:
    """Read the rows of an analysis: only the columns its models need, codes in place of ids, rows selected.

    Parameters
    ----------
    analysis : Analysis
        Its paths lie in ``folder``.
    folder : Path
        Of the analysis file.
    specs : mapping of str to ModelSpec
        By label; they say which columns are read.
    codes : bool
        Whether ids are replaced by codes.

    Raises
    ------
    SpecError, TableError
        With every problem at once; where ids are coded, the messages hold codes.
    """
    data = analysis.data
    problems: list[str] = []
    names = {"data": data.path, **{side: name for side in SIDES if (name := getattr(data, side)) is not None}}
    paths = {
        what: inside(folder, name, f"data.{what}" if what != "data" else "data", problems)
        for what, name in names.items()
    }
    if problems:
        raise TableError(problems)
    bytes_digest = {what: hashlib.sha256(path.read_bytes()).hexdigest() for what, path in paths.items()}
    if data.sha256 is not None and bytes_digest["data"] != data.sha256:
        raise TableError(
            f"{data.path!r} is not the file that the analysis states: its sha256 is {bytes_digest['data']}, stated is "
            f"{data.sha256}. Restore the file, or state the new digest on purpose."
        )
    frames = {what: read_frame(path) for what, path in paths.items()}
    read = len(frames["data"])
    problems = rules.check_roles(data.roles, list(dict.fromkeys(c for f in frames.values() for c in f.columns)))
    if problems:
        raise TableError(problems, count_of(read, "row"))
    wanted = _wanted(analysis, specs)
    unread = sorted({c for frame in frames.values() for c in frame.columns} - wanted)
    digests = digest_columns(frames, wanted, data.roles) | {"files": dict(bytes_digest)}
    kept = {what: frame[[c for c in frame.columns if c in wanted]] for what, frame in frames.items()}
    notes = _notes(frames["data"], data.roles, data.missing)
    coded = code_ids(kept, _id_columns(analysis, specs) if codes else {}, data.missing)
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
            transfers=data.transfers,
        )
    sessions = select_rows(
        sessions, minimum=data.minimum, maximum=data.maximum, only={k: str(v) for k, v in data.only.items()}
    )
    told = [coded.mask(note) for note in notes] if codes else []
    if unread:
        told.append(
            f"{count_of(len(unread), 'column')} that no model reads {are(len(unread), 'was', 'were')} left unread."
        )
    return Rows(_with_messages(sessions, told), coded, read, digests)


def digest_columns(frames: Mapping[str, pd.DataFrame], wanted: set[str], roles: Mapping[str, str]) -> dict[str, Plain]:
    """Return what tells tables apart: rows, ids per role, and a sha256 of each column in the order of the ids.

    Invariant: the order of rows in a file changes nothing.
    """
    found: dict[str, Plain] = {}
    for what, frame in frames.items():
        keys = [roles[role] for role in (*ID_ROLES, "session") if role in roles and roles[role] in frame.columns]
        texts = {c: id_text(frame[c]) if c in keys else frame[c].map(_cell) for c in frame.columns if c in wanted}
        order = np.lexsort([texts[c].to_numpy(dtype=str) for c in [*sorted(texts), *reversed(keys)]])
        found[what] = {
            "rows": len(frame),
            "columns": {
                name: hashlib.sha256("\x1f".join(text.to_numpy(dtype=object)[order]).encode()).hexdigest()
                for name, text in texts.items()
            },
        }
    return found


def tell_changes(before: Mapping[str, Plain], now: Mapping[str, Plain]) -> list[str]:
    """Return in sentences what differs between the digests of two readings; nothing where no cell does."""
    told = []
    for what in dict.fromkeys([*before, *now]):
        if what == "files":
            continue
        one, two = before.get(what), now.get(what)
        if not isinstance(one, dict) or not isinstance(two, dict):
            told.append(f"{what}: the table is {'gone' if one else 'new'}.")
            continue
        old, new = one["columns"], two["columns"]
        assert isinstance(old, dict)
        assert isinstance(new, dict)
        if one["rows"] != two["rows"]:
            told.append(f"{what}: {one['rows']:,} rows then, {two['rows']:,} now.")
        gone, come = [c for c in old if c not in new], [c for c in new if c not in old]
        for name in list(gone):
            same = [c for c in come if new[c] == old[name]]
            if same:
                told.append(f"{what}: column {name!r} is now called {same[0]!r}.")
                gone.remove(name)
                come.remove(same[0])
        told += [f"{what}: column {name!r} is gone." for name in gone]
        told += [f"{what}: column {name!r} is new." for name in come]
        changed = [name for name in old if name in new and old[name] != new[name]]
        if changed and one["rows"] == two["rows"]:
            told.append(f"{what}: values of {quote(changed)} differ.")
    return told


def _wanted(analysis: Analysis, specs: Mapping[str, ModelSpec]) -> set[str]:
    """Return the columns that roles, models and filters read."""
    data = analysis.data
    names = {*data.roles.values()}
    for table in (data.minimum, data.maximum, data.only, data.bounds, data.units, data.missing):
        names |= {data.roles.get(name, name) for name in table}
    for model in analysis.models:
        mapping = {**analysis.columns, **model.columns}
        names |= {column_of(text)[0] for text in mapping.values()} | set(mapping.values())
    for spec in specs.values():
        names |= {*needed_variables(spec), *spec.declared, *spec.raters, *chain(*spec.raters.values())}
        names |= {name for group in spec.groups.values() for name in (*group.members, *group.weights)}
    return names


def _id_columns(analysis: Analysis, specs: Mapping[str, ModelSpec]) -> dict[str, list[str]]:
    """Return role to the columns that hold its ids."""
    roles = analysis.data.roles
    found: dict[str, list[str]] = {role: [roles[role]] for role in ID_ROLES if role in roles}
    for model in analysis.models:
        mapping = {**analysis.columns, **model.columns}
        for factor, group in specs[model_label(model)].groups.items():
            for member in group.members:
                column = roles.get(member, mapping.get(member, member))
                if factor in found and column not in found[factor]:
                    found[factor].append(column)
    return found


def _notes(frame: pd.DataFrame, roles: Mapping[str, str], missing: Mapping[str, Sequence[str | float]]) -> list[str]:
    """Return what is worth knowing of ids as they stand in the file."""
    ids = {role: column for role, column in roles.items() if role in ID_ROLES and column in frame.columns}
    stay = {column: set(map(str, missing.get(column, ()))) for column in ids.values()}
    texts = {c: id_text(frame[c]).map(lambda v, c=c: "" if v in stay[c] else v) for c in ids.values()}
    plain = pd.DataFrame(texts)
    return [*rules.find_lookalikes(plain, ids), *rules.find_missing_words(plain, ids)]


def _cell(value: object) -> str:
    """Return a cell as text; one number has one text, whether it was read as text or as a number."""
    try:
        return repr(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return str(value)


def _with_messages(sessions: SessionTable, more: Sequence[str]) -> SessionTable:
    known = set(sessions.messages)
    return replace(sessions, messages=(*sessions.messages, *(note for note in more if note not in known)))
