"""The session table: rows as observed, validated, with the role and the unit of every column. Knows no model."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
import pandas as pd

from bayes_alliance._messages import count_of, escaped, hint, quote
from bayes_alliance.errors import AllianceWarning, TableError
from bayes_alliance.findings import Findings, Problem, Step
from bayes_alliance.table import nesting, rules
from bayes_alliance.table.file_reading import Source, read_frame
from bayes_alliance.table.files.options import FileOptions
from bayes_alliance.table.numbered_columns import numbered_columns
from bayes_alliance.table.scores.scoring import Scale, ScoreSpec, add_scores, read_scores
from bayes_alliance.table.shape.shape import EachRow, read_shape, shape_frame
from bayes_alliance.table.side_tables import SIDES, join_side, missing_codes, read_accepted, type_frame
from bayes_alliance.table.units import units_of


@dataclass(frozen=True, eq=False, repr=False)
class SessionTable:
    """Rows of patients in sessions, sorted by patient and session.

    ``roles`` maps a role to its column; ``units`` maps every other column to the widest unit within which it is
    constant (``session``, ``patient``, ``therapist``, ``group`` or ``site``); ``messages`` says what was joined,
    sorted or left out; ``bounds`` maps columns to the lowest and highest value their scale has. ``doubts`` says of
    columns why no model can read them; ``crossed`` holds the roles whose units are known to belong to several wider
    units; ``accepted`` are values, levels and ids, by column, that are genuine although they look like codes for
    missing or like one another; ``steps`` are what was done on the way from the file, ``scales`` what scores are made
    of. Identifiers are text, empty where missing; measured columns are float64 or words.
    """

    _frame: pd.DataFrame
    roles: Mapping[str, str]
    units: Mapping[str, str]
    messages: tuple[str, ...] = field(default=())
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    doubts: Mapping[str, Problem] = field(default_factory=dict)
    crossed: frozenset[str] = frozenset()
    accepted: Mapping[str, tuple[float | str, ...]] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    scales: Mapping[str, Scale] = field(default_factory=dict)

    @property
    def frame(self) -> pd.DataFrame:
        """Return the rows; changing the returned frame does not change the table."""
        return self._frame.copy(deep=False)

    def __len__(self) -> int:
        return len(self._frame)

    @escaped
    def __repr__(self) -> str:
        counts = [count_of(self._frame[column].nunique(), role) for role, column in self.roles.items()]
        return f"{type(self).__name__} of {count_of(len(self), 'row')}: {', '.join(counts)}; units {dict(self.units)}"

    def ids(self, role: str) -> np.ndarray:
        """Return the identifiers of a role, shape (row,), empty text where missing."""
        return self._frame[self.roles[role]].to_numpy(dtype=object)

    def fingerprint(self) -> str:
        """Return a sha256 over names, roles and values; the order of rows in the source does not matter."""
        digest = hashlib.sha256(repr(sorted(self.roles.items())).encode())
        for name in sorted(self._frame.columns):
            digest.update(name.encode())
            if name in self.bounds:
                digest.update(repr(self.bounds[name]).encode())
            column = self._frame[name]
            values = column.to_numpy() if column.dtype == np.float64 else column.astype("str").fillna("").to_numpy()
            digest.update(values.tobytes() if values.dtype == np.float64 else "\x1f".join(map(str, values)).encode())
        return digest.hexdigest()


def read_sessions(
    source: Source,
    roles: Mapping[str, str],
    *,
    patients: Source | None = None,
    therapists: Source | None = None,
    groups: Source | None = None,
    missing: Mapping[str, Sequence[str | float]] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    units: Mapping[str, str] | None = None,
    transfers: nesting.Transfers = "ask",
    ignore: Sequence[str] = (),
    accept: Mapping[str, Sequence[float | str]] | None = None,
    columns: Sequence[str] | None = None,
    wide: Mapping[str, str] | None = None,
    wide_sessions: Mapping[str, float] | None = None,
    questionnaire: Mapping[str, str] | None = None,
    session: Mapping[str, str] | None = None,
    each_row: EachRow | None = None,
    scores: Mapping[str, Mapping[str, object] | ScoreSpec] | None = None,
    separator: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    header: int | Sequence[int] | None = None,
    labels: Sequence[str] | None = None,
) -> SessionTable:
    """Read a table of sessions and check that it is one.

    Parameters
    ----------
    source : str, Path or DataFrame
        Text (``.csv``, ``.tsv``, ``.txt``, ``.dat``), ``.xlsx``, SPSS (``.sav``), Stata (``.dta``), SAS or parquet; a
        pandas or polars frame, a pyarrow Table or another table that hands itself over as Arrow. One row per patient
        and session, or one row per patient.
    roles : mapping of str to str
        Which column plays ``patient`` (required), ``therapist``, ``group``, ``site`` and ``session``.
    patients, therapists, groups : str, Path or DataFrame, optional
        What is measured once per unit, with that unit's id under the same column name; joined many-to-one.
    missing : mapping, optional
        Further codes that mean missing, by column, such as ``{"phq9": [-9, 99]}``. ``99``, ``"99"`` and ``99.0`` are
        one code, in columns of numbers, text and categories alike.
    bounds : mapping, optional
        Lowest and highest value of a column's scale, such as ``{"wai": (12, 84)}``, infinite where it is open. Values
        outside are an error; families of bounded scores and categories read them. A value inside stated bounds is
        taken as genuine even where it looks like a code for missing.
    units : mapping, optional
        Columns that are known to be of a unit, such as ``{"training": "therapist"}`` where therapists were randomised:
        a therapist with both conditions is then an error.
    transfers : {"ask", "transferred", "reused"}, or a mapping of these by unit, and by id of patients
        What a patient id under two therapists means: an error that asks (default), one person who changed
        therapist, or an id used again by each therapist. Patients may differ:
        ``{"patient": {"17": "transferred", "23": "reused"}}``; who is not named is asked about. By unit, such as
        ``{"therapist": "reused"}``, for therapists and groups at several sites too: those are asked about where a model
        reads both (``make_design``).
    ignore : sequence of str
        Columns to leave out unread.
    accept : mapping, optional
        What is genuine, by column: numbers that look like codes for missing, such as ``{"minutes": [999]}``, levels
        that look like codes or like others and are levels of their own, ``{"ward": ["A", "a"]}``, and ids that look
        alike. A model that reads such a column refuses others; of ids a message tells.
    columns : sequence of str, optional
        The only columns to read beside those of roles; of files with thousands nothing else is converted.
    wide : mapping of str to str, optional
        Variables of a table with a row per patient, to the names of their columns: ``{"alliance": "wai_{session}"}``,
        with ``{item}`` where there are several in one session. The column ``session`` is made, or the one that plays
        the role. Sessions in which a patient has no value of any variable are no rows.
    wide_sessions : mapping of str to float, optional
        Session numbers of words that stand in their place in these names, such as ``{"pre": 0, "fu1": 20}``.
    questionnaire : mapping, optional
        Of a table with a row per answer: the columns that hold the name of the item and the answer,
        ``{"item": "question", "answer": "value"}``. Every item becomes a column.
    session : mapping, optional
        How dates become session numbers, in place of a role: ``column`` of dates, ``every`` ``"visit"`` (in order,
        default), ``"day"``, ``"week"`` or ``"month"`` since ``start`` (``"first"``, or a column of dates), their
        ``format`` such as ``"%d.%m.%Y"``, and ``several``, what is done with rows of one step: ``"refuse"`` (default),
        ``"first"``, ``"last"``, or ``"number"`` of visits.
    each_row : {"patient", "session"}, optional
        In place of a role: ``"patient"`` where every row is a person of its own and has no id, ``"session"`` where a
        patient has several rows without numbers, which are then taken in the order of the table.
    scores : mapping, optional
        Scores of items, by name: ``{"alliance": {"instrument": "wai-sr", "items": "wai_*"}}``. ``instrument`` is one of
        ``list_instruments``, or a file of your own; ``items`` is a pattern of columns that end in their number, or the
        columns in order. ``items_missing`` is ``"half"`` or ``"complete"``, ``subscale`` one that is wanted alone;
        else the total and every subscale are made, ``alliance_bond`` and so on.
    separator, decimal, encoding : str, optional
        What stands between cells and before decimals in text files, and how their letters are stored, such as
        ``";"``, ``","`` and ``"cp1252"``. Unless stated, they are worked out from the file and named in a message.
    sheet : str, optional
        Which sheet of a workbook; needed where several have cells.
    header : int or sequence of int, optional
        The line with the names of the columns, from 1 (default), or several, whose words are joined by ``_``.
    labels : sequence of str, optional
        Columns of SPSS and Stata files whose value labels are their values. Unless stated those that the file does not
        call ordinal or scale and in which every value has a label.

    Returns
    -------
    SessionTable
        Sorted by patient and session; permuting the rows of ``source`` changes nothing.

    Raises
    ------
    TableError
        With every problem of the table at once: columns, first five rows, what is allowed, what to do.
    """
    findings, ignored = Findings(), rules.as_names(ignore)
    lines = tuple(header) if isinstance(header, Sequence) else header
    made = any(one is not None for one in (wide, questionnaire, session, each_row, scores))
    wanted = _wanted(columns, roles, made=made, findings=findings)
    scores_stated = read_scores(scores, findings)
    shape = read_shape(wide, wide_sessions, questionnaire, session, roles, findings, each_row)
    findings.stop(TableError)
    numbers = numbered_columns(roles, (bounds, accept), scores_stated, shape)
    options = FileOptions(separator, decimal, encoding, sheet, lines, labels, wanted, numbers)
    given = {role: side for role, side in zip(SIDES, (patients, therapists, groups), strict=True) if side is not None}
    beside = replace(options, sheet=None, labels=None)
    sides = {role: read_frame(side, beside, findings, [source, *given.values()]) for role, side in given.items()}
    frame = read_frame(source, options, findings, given.values())
    findings.step("read", len(frame))
    if isinstance(roles, Mapping) and all(isinstance(column, str) for column in roles.values()):
        frame = shape_frame(frame, shape, roles, findings, missing if isinstance(missing, Mapping) else None)
        roles = shape.roles(roles)
    findings.stop(TableError, count_of(len(frame), "row"))
    seen = list(dict.fromkeys([*frame.columns, *(name for side in sides.values() for name in side.columns)]))
    findings.add(rules.check_roles(roles, seen))
    findings.add(_absent(columns, seen))
    findings.add(rules.check_mappings({"bounds": bounds, "units": units}))
    codes = missing_codes(missing or {}, seen, findings)
    findings.add(rules.check_ignored(ignored, roles, seen))
    meanings = nesting.read_transfers(transfers, roles, findings) if isinstance(roles, Mapping) else {}
    findings.stop(TableError, count_of(len(frame), "row"))
    findings.note(*rules.find_alike_columns(seen))
    doubts: dict[str, Problem] = {}
    frame = type_frame(frame.drop(columns=list(ignored), errors="ignore"), roles, codes, findings, doubts, decimal)
    findings.step("cells", len(frame))
    for role, side in sides.items():
        kept = side.drop(columns=list(ignored), errors="ignore")
        frame = join_side(frame, type_frame(kept, roles, codes, findings, doubts, decimal), role, roles, findings)
    findings.add(_joined_alone(role) for role in sides if meanings.get(role, nesting.Meaning()).renames)
    if all(column in frame.columns for column in roles.values()):
        findings.add(rules.check_columns(frame, roles))
    findings.step("sides", len(frame))
    frame, made_of = add_scores(frame, scores_stated, roles.values(), findings)
    findings.step("scores", len(frame))
    genuine = read_accepted(accept, frame, findings)
    ends = {name: scale.ends for name, scale in made_of.items()} | rules.check_bounds(frame, bounds or {}, findings)
    if not findings.problems:
        frame = nesting.name_units(frame, roles, meanings, findings)
    if not findings.problems:
        findings.add(rules.check_repeats(frame, roles))
        findings.add(nesting.check_transfers(frame, roles, meanings.get("patient", nesting.Meaning())))
        findings.add(rules.check_units(frame, units or {}, roles))
    findings.stop(TableError, count_of(len(frame), "row"))
    findings.note(*_say_doubts(doubts), *_warned(frame, roles, genuine))
    crossed = frozenset(unit for unit, meaning in meanings.items() if meaning.all == "transferred")
    frame = _sort(frame, roles, findings)
    return replace(
        make_table(frame, roles, tuple(findings.messages), ends),
        doubts=MappingProxyType(dict(doubts)),
        crossed=crossed,
        accepted=MappingProxyType(dict(genuine)),
        steps=tuple(findings.steps),
        scales=MappingProxyType(made_of),
    )


def _absent(columns: Sequence[str] | None, seen: Sequence[str]) -> list[Problem]:
    absent = [str(name) for name in rules.as_names(columns) if name not in seen]
    if not absent:
        return []
    return [Problem(f"columns names {quote(absent)}, which is no column.", fix=hint(absent[0], seen))]


def _joined_alone(role: str) -> Problem:
    return Problem(
        f"The {role}s table is joined by {role} alone, and transfers= says that {role} ids are used again.",
        fix="Put its columns into the sessions.",
    )


def _warned(
    frame: pd.DataFrame, roles: Mapping[str, str], accepted: Mapping[str, tuple[float | str, ...]]
) -> list[str]:
    """Return what is odd of ids, and warn of it: in a notebook nobody looks at messages before the fit."""
    notes = [*rules.find_lookalikes(frame, roles, accepted), *rules.find_missing_words(frame, roles)]
    for note in notes:
        warnings.warn(note, AllianceWarning, stacklevel=3)
    return notes


def _say_doubts(doubts: Mapping[str, Problem]) -> list[str]:
    """Return which columns no model can read as they are; they stop nothing unless one does."""
    return [f"{problem.what} A model that reads it says what to do." for problem in doubts.values()]


def _wanted(columns: Sequence[str] | None, roles: object, *, made: bool, findings: Findings) -> tuple[str, ...] | None:
    """Return the only columns to read, None for all; ``made`` says that others are made of what stands in the file."""
    if columns is None or not isinstance(roles, Mapping):
        return None
    if made:
        findings.problem(
            "columns= reads columns as they stand in the file; wide, questionnaire, session and scores make others.",
            fix="Leave columns= out, or ignore= what is not wanted.",
        )
    return tuple(map(str, (*rules.as_names(columns), *roles.values())))


def make_table(
    frame: pd.DataFrame,
    roles: Mapping[str, str],
    messages: tuple[str, ...],
    bounds: Mapping[str, tuple[float, float]],
) -> SessionTable:
    """Make a table from rows that were checked."""
    own = MappingProxyType(dict(roles))
    return SessionTable(frame, own, units_of(frame, roles), messages, MappingProxyType(dict(bounds)))


def with_frame(
    table: SessionTable, frame: pd.DataFrame, message: str, roles: Mapping[str, str] | None = None
) -> SessionTable:
    """Return the table with other rows of the same columns, a column for a role more at most, and what to say of it."""
    own = table.roles if roles is None else MappingProxyType(dict(roles))
    messages = (*table.messages, message)
    return replace(table, _frame=frame, roles=own, units=units_of(frame, own), messages=messages)


def with_rows(table: SessionTable, keep: np.ndarray, message: str) -> SessionTable:
    """Return the table with only the rows where ``keep`` is true, and a message that says so."""
    frame = table.frame.loc[keep].reset_index(drop=True)
    steps = (*table.steps, Step("selection", len(frame), (message,)))
    return replace(with_frame(table, frame, message), steps=steps)


def _sort(frame: pd.DataFrame, roles: Mapping[str, str], findings: Findings) -> pd.DataFrame:
    keys = [roles["patient"], *([roles["session"]] if "session" in roles else [])]
    ordered = frame.sort_values(keys, kind="stable")
    if not ordered.index.equals(frame.index) and "session" in roles:
        steps = frame.groupby(roles["patient"], sort=False)[roles["session"]].diff().dropna()
        if (steps < 0).any():
            findings.note(
                f"{count_of(int((steps < 0).sum()), 'row')} stood before an earlier session; rows are sorted."
            )
    return ordered.reset_index(drop=True)
