"""Person-period form: a row for every session a patient was at risk in, whether or not it was measured."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayes_alliance._messages import count_of, first_few
from bayes_alliance.errors import TableError
from bayes_alliance.names import SESSION
from bayes_alliance.table.sessions import SessionTable, with_frame

FURTHER, FREE, ALONE = 4, 200, 1000
"""How many times the last session of the table a patient's last session may be; up to where it always may; and what it
may be where the table has no sessions."""


FIRST_ROW = "first row"
"""Stands for the session of a patient's first row, where entry is stated."""


def expand_periods(table: SessionTable, *, last: str | None, start: int = 1, entry: str | None = None) -> SessionTable:
    """Return the table with a row for every session number from the first at risk to each patient's last.

    Parameters
    ----------
    table : SessionTable
        Not changed.
    last : str, optional
        Column with the number of each patient's last session; None takes the last session that has a row.
    start : int
        First session number at risk.
    entry : str, optional
        In its place the column with each patient's first session at risk, or ``"first row"``.

    Returns
    -------
    SessionTable
        What is constant within patients is filled in; what is measured in sessions is missing in rows that were added.
        A table without session numbers gets them in a column ``session``, which plays that role.

    Raises
    ------
    TableError
        If last sessions, or those of entry, are no whole numbers, differ within a patient, or are far beyond the
        sessions of the table.
    """
    patient, number = table.roles["patient"], table.roles.get("session")
    frame = table.frame
    ends = _ends(frame, patient, last or number or "", own=last is None)
    if last is not None:
        seen = float(frame[number].max()) if number is not None else None
        _check_reach(ends, last, seen)
    begins = pd.Series(float(start), index=ends.index) if entry is None else entries(table, entry).reindex(ends.index)
    begins = begins.dropna()
    wanted = pd.DataFrame(
        [
            (person, float(session))
            for person, begin, end in zip(begins.index, begins, ends.loc[begins.index], strict=True)
            for session in range(int(begin), int(end) + 1)
        ],
        columns=pd.Index([patient, number or SESSION]),
    )
    constant = [name for name in frame.columns if name not in (patient, number) and _is_constant(table, name)]
    people = frame.groupby(patient, sort=False)[constant].first()
    if number is None:
        whole = wanted.merge(people, left_on=patient, right_index=True, how="left")
        roles = {**table.roles, "session": SESSION}
        added = len(whole)
    else:
        known = set(zip(frame[patient], frame[number], strict=True))
        pairs = zip(wanted[patient], wanted[number], strict=True)
        new = wanted[np.array([pair not in known for pair in pairs], dtype=bool)]
        new = new.merge(people, left_on=patient, right_index=True, how="left")
        added = len(new)
        whole = pd.concat([frame, new[[name for name in frame.columns if name in new]]], ignore_index=True)
        roles = dict(table.roles)
    if not added:
        return table
    for name in table.roles.values():
        if name != number:
            whole[name] = whole[name].fillna("").astype("str")
    ordered = whole.sort_values([patient, roles["session"]], kind="stable").reset_index(drop=True)
    since = str(start) if entry is None else "each patient's entry"
    message = (
        f"The table is opened from {count_of(len(frame), 'row')} to {len(ordered):,}: one for every session from "
        f"{since} to each patient's last."
    )
    return with_frame(table, ordered, message, roles)


def entries(table: SessionTable, entry: str) -> pd.Series:
    """Return each patient's first session at risk, by patient.

    Raises
    ------
    TableError
        If a column of entries holds no session numbers, or several for a patient.
    """
    patient, number = table.roles["patient"], table.roles.get("session")
    if entry == FIRST_ROW:
        if number is None:
            raise TableError('survive: entry="first row" needs a column that plays session.')
        return table.frame.groupby(patient, sort=False)[number].min()
    return _ends(table.frame, patient, entry, own=False, what="entry")


def _is_constant(table: SessionTable, name: str) -> bool:
    """Return whether a column is the same in all rows of each patient."""
    if name in table.units:
        return table.units[name] != "session"
    patient = table.roles["patient"]
    return bool((table.frame.groupby(patient, sort=False)[name].nunique() <= 1).all())


def _check_reach(ends: pd.Series, column: str, seen: float | None) -> None:
    """Refuse last sessions far beyond those that the table has, before a row is made for each: dates, codes, days."""
    limit = ALONE if seen is None else max(FURTHER * seen, FREE)
    beyond = ends[ends > limit]
    if len(beyond):
        shown = first_few([f"patient {person!r} ({value:g})" for person, value in beyond.items()])
        known = "the table has no session numbers" if seen is None else f"the table's sessions end at {seen:g}"
        raise TableError(
            f"survive: column {column!r} holds numbers above {limit:g}, and {known}: {shown}. They look like dates, "
            f"days or codes; the number of the last session is needed. Store that, or declare codes in "
            f"missing={{{column!r}: [...]}} (--missing)."
        )


def _ends(frame: pd.DataFrame, patient: str, column: str, *, own: bool, what: str = "last session") -> pd.Series:
    """Return each patient's last session, or entry; patients without one are left out.

    ``own`` says that the column is that of session numbers, which differ.
    """
    values = frame[column]
    if values.dtype != np.float64:
        raise TableError(f"survive: column {column!r} holds words; the number of the {what} is needed.")
    by_patient = values.groupby(frame[patient], sort=False)
    several = by_patient.nunique()
    differing = list(several.index[several > 1])
    if differing and not own:
        own_values = [sorted(values[frame[patient] == person].dropna().unique()) for person in differing[:5]]
        found = [
            f"patient {person!r} ({', '.join(f'{value:g}' for value in given)})"
            for person, given in zip(differing, own_values, strict=False)
        ]
        raise TableError(
            f"survive: the {what} in column {column!r} differs within {count_of(len(differing), 'patient')}: "
            f"{first_few(found, len(differing))}. It is one number per patient, the same in all rows. Correct it."
        )
    ends = by_patient.max().dropna()
    odd = ends[(ends % 1 != 0) | (ends < 0)]
    if len(odd):
        shown = first_few([f"patient {person!r} ({value:g})" for person, value in odd.items()])
        those = "entries" if what == "entry" else f"{what}s"
        raise TableError(f"survive: {those} in column {column!r} are no session numbers: {shown}.")
    return ends
