"""The session table: rows as observed, validated, with the role and the unit of every column. Knows no model."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
import pandas as pd

from bayes_alliance._messages import count_of, first_few, quote, unknown
from bayes_alliance.errors import AllianceWarning, TableError
from bayes_alliance.names import ID_ROLES
from bayes_alliance.table import rules
from bayes_alliance.table.read import MISSING_CODES, Source, id_text, read_frame, type_column


@dataclass(frozen=True, eq=False)
class SessionTable:
    """Rows of patients in sessions, sorted by patient and session.

    ``roles`` maps a role to its column; ``units`` maps every other column to the widest unit within which it is
    constant (``session``, ``patient``, ``therapist``, ``group`` or ``site``); ``messages`` says what was joined,
    sorted or left out. Identifiers are text, empty where missing; measured columns are float64 or words.
    """

    _frame: pd.DataFrame
    roles: Mapping[str, str]
    units: Mapping[str, str]
    messages: tuple[str, ...] = field(default=())

    @property
    def frame(self) -> pd.DataFrame:
        """Return the rows; changing the returned frame does not change the table."""
        return self._frame.copy(deep=False)

    def __len__(self) -> int:
        return len(self._frame)

    def ids(self, role: str) -> np.ndarray:
        """Return the identifiers of a role, shape (row,), empty text where missing."""
        return self._frame[self.roles[role]].to_numpy(dtype=object)

    def fingerprint(self) -> str:
        """Return a sha256 over names, roles and values; the order of rows in the source does not matter."""
        digest = hashlib.sha256(repr(sorted(self.roles.items())).encode())
        for name in sorted(self._frame.columns):
            digest.update(name.encode())
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
    transfers: rules.Transfers = "ask",
    ignore: Sequence[str] = (),
) -> SessionTable:
    """Read a table of sessions and check that it is one.

    Parameters
    ----------
    source : str, Path or DataFrame
        CSV, TSV, parquet or a frame; one row per patient and session, or one row per patient.
    roles : mapping of str to str
        Which column plays ``patient`` (required), ``therapist``, ``group``, ``site`` and ``session``.
    patients, therapists, groups : str, Path or DataFrame, optional
        What is measured once per unit, with that unit's id under the same column name; joined many-to-one.
    missing : mapping, optional
        Further codes that mean missing, by column, such as ``{"phq9": [-9, 99]}``.
    transfers : {"ask", "transferred", "reused"}
        What a patient id under two therapists means: an error that asks (default), one person who changed
        therapist, or an id used again by each therapist.
    ignore : sequence of str
        Columns to leave out unread.

    Returns
    -------
    SessionTable
        Sorted by patient and session; permuting the rows of ``source`` changes nothing.

    Raises
    ------
    TableError
        With every problem of the table at once: columns, first five rows, what is allowed, what to do.
    """
    frame = read_frame(source)
    problems = [f"ignore: {unknown('column', name, frame.columns)}" for name in ignore if name not in frame.columns]
    frame = frame.drop(columns=[name for name in ignore if name in frame.columns])
    problems += rules.check_roles(roles, list(frame.columns))
    if problems:
        raise TableError(problems, count_of(len(frame), "row"))
    messages: list[str] = []
    frame = _type_frame(frame, roles, missing, problems)
    for role, side in (("patient", patients), ("therapist", therapists), ("group", groups)):
        if side is not None:
            frame = _join(frame, side, role, roles, missing, problems, messages)
    problems += [f"missing= names {name!r}, which is no column." for name in missing or {} if name not in frame.columns]
    problems += rules.check_columns(frame, roles)
    if not problems:
        problems += rules.check_repeats(frame, roles) if transfers != "reused" else []
        problems += rules.check_transfers(frame, roles, transfers)
    if problems:
        raise TableError(problems, count_of(len(frame), "row"))
    if transfers == "reused":
        frame = _name_persons(frame, roles, messages)
    for note in rules.find_lookalikes(frame, roles):
        warnings.warn(note, AllianceWarning, stacklevel=2)
        messages.append(note)
    return make_table(_sort(frame, roles, messages), roles, tuple(messages))


def make_table(frame: pd.DataFrame, roles: Mapping[str, str], messages: tuple[str, ...]) -> SessionTable:
    """Make a table from rows that were checked; works out every column's unit."""
    units = {name: _unit_of(frame, name, roles) for name in frame.columns if name not in roles.values()}
    return SessionTable(frame, MappingProxyType(dict(roles)), MappingProxyType(units), messages)


def with_rows(table: SessionTable, keep: np.ndarray, message: str) -> SessionTable:
    """Return the table with only the rows where ``keep`` is true, and a message that says so."""
    frame = table.frame.loc[keep].reset_index(drop=True)
    return replace(make_table(frame, table.roles, (*table.messages, message)))


def _type_frame(
    frame: pd.DataFrame,
    roles: Mapping[str, str],
    missing: Mapping[str, Sequence[str | float]] | None,
    problems: list[str],
) -> pd.DataFrame:
    ids = [roles[role] for role in ID_ROLES if role in roles]
    declared = missing or {}
    typed = {}
    for name in frame.columns:
        if name in ids:
            text = id_text(frame[name])
            typed[name] = text.mask(text.isin([str(code) for code in declared.get(name, ())]), "")
        else:
            typed[name] = type_column(name, frame[name], (*MISSING_CODES, *declared.get(name, ())), problems)
            if name == roles.get("session") and typed[name].dtype != np.float64 and not problems:
                problems.append(f"session column {name!r} holds words. Allowed: whole numbers from 0.")
    result = pd.DataFrame(typed)
    session = roles.get("session")
    if session is not None and result[session].dtype != np.float64:
        result[session] = pd.to_numeric(result[session], errors="coerce").astype("float64")
    return result


def _join(
    frame: pd.DataFrame,
    side: Source,
    role: str,
    roles: Mapping[str, str],
    missing: Mapping[str, Sequence[str | float]] | None,
    problems: list[str],
    messages: list[str],
) -> pd.DataFrame:
    """Join what is measured once per unit; every key may appear once in the side table."""
    other = read_frame(side)
    key = roles.get(role)
    if key is None or key not in other.columns:
        wanted = f"a column {key!r}" if key else f"a column that plays {role!r} in roles"
        problems.append(f"The {role}s table needs {wanted} to join on. Columns seen: {quote(other.columns)}.")
        return frame
    other = _type_frame(other, {role: key}, missing, problems)
    shared = [name for name in other.columns if name in frame.columns and name != key]
    repeated = list(dict.fromkeys(other.loc[other[key].duplicated(), key]))
    if shared:
        problems.append(f"The {role}s table repeats columns of the sessions: {quote(shared)}. Keep each in one table.")
    if repeated:
        problems.append(
            f"The {role}s table has more than one row for {count_of(len(repeated), role)}: "
            f"{first_few([repr(r) for r in repeated])}. Keep one row per {role}."
        )
    if shared or repeated:
        return frame
    here, there = set(frame[key]) - {""}, set(other[key])
    if here - there:
        messages.append(f"{count_of(len(here - there), role)} of the sessions have no row in the {role}s table.")
    if there - here:
        messages.append(f"{count_of(len(there - here), role)} of the {role}s table have no session and are left out.")
    return frame.merge(other, on=key, how="left", validate="many_to_one")


def _name_persons(frame: pd.DataFrame, roles: Mapping[str, str], messages: list[str]) -> pd.DataFrame:
    """Name persons by therapist and id where ids are used again by each therapist."""
    patient, therapist = roles["patient"], roles.get("therapist")
    if therapist is None:
        raise TableError("transfers='reused' needs a column that plays 'therapist'.")
    before = frame[patient].nunique()
    frame = frame.assign(**{patient: frame[therapist] + "/" + frame[patient]})
    messages.append(
        f"{count_of(before, 'patient id')} under {count_of(frame[therapist].nunique(), 'therapist')} name "
        f"{count_of(frame[patient].nunique(), 'person', 'persons')}: ids are used again by each therapist."
    )
    repeats = rules.check_repeats(frame, roles)
    if repeats:
        raise TableError(repeats, count_of(len(frame), "row"))
    return frame


def _sort(frame: pd.DataFrame, roles: Mapping[str, str], messages: list[str]) -> pd.DataFrame:
    keys = [roles["patient"], *([roles["session"]] if "session" in roles else [])]
    ordered = frame.sort_values(keys, kind="stable")
    if not ordered.index.equals(frame.index) and "session" in roles:
        steps = frame.groupby(roles["patient"], sort=False)[roles["session"]].diff().dropna()
        if (steps < 0).any():
            messages.append(
                f"{count_of(int((steps < 0).sum()), 'row')} stood before an earlier session; rows are sorted."
            )
    return ordered.reset_index(drop=True)


def _unit_of(frame: pd.DataFrame, name: str, roles: Mapping[str, str]) -> str:
    """Return the widest unit within which the observed values of a column never differ."""
    if not _constant_within(frame, name, roles["patient"]):
        return "session"
    for role in ("site", "group", "therapist"):
        if role in roles and _constant_within(frame[frame[roles[role]] != ""], name, roles[role]):
            repeated = frame[roles[role]].nunique() < frame[roles["patient"]].nunique()
            if repeated and (frame[roles[role]] != "").all():
                return role
    return "patient"


def _constant_within(frame: pd.DataFrame, name: str, key: str) -> bool:
    return bool((frame.groupby(key, observed=True)[name].nunique(dropna=True) <= 1).all())
