"""survive(session, event): a table opened to a row per session at risk, and 0/1 for leaving at each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, first_few, show_level
from bayes_alliance.design.columns.rows import Rows
from bayes_alliance.errors import DesignError, TableError
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.spec.expressions import Call, Name, Number, Text
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.study import Study
from bayes_alliance.table.periods import FIRST_ROW, entries, expand_periods
from bayes_alliance.table.sessions import SessionTable

SURVIVE = "survive"


def open_periods(spec: ModelSpec, study: Study[SessionTable]) -> SessionTable:
    """Return the table with a row for every session at risk, where a declared variable is survive(session, event).

    A variable that is mapped to a column is in person-period form already; columns that are not there are reported
    where names are checked.

    Raises
    ------
    DesignError
        If last sessions are none, or a column is called session and plays no role.
    """
    problems: list[Problem] = []
    sessions = study.sessions
    for name, call in spec.declared.items():
        if call.function != SURVIVE or name in study.columns:
            continue
        last = column_in_call(call, 0, sessions, study.columns)
        if last not in sessions.frame.columns:
            continue
        number = sessions.roles.get("session")
        if number is None and "session" in sessions.frame.columns:
            problems.append(
                Problem(
                    "The table has a column 'session' that plays no role.",
                    fix="Rename it, or name it in roles, before rows are added for every session at risk.",
                )
            )
            continue
        try:
            entry = entry_of(call, sessions, study.columns)
            if entry not in (None, FIRST_ROW, *sessions.frame.columns):
                continue  # reported where names are checked
            sessions = expand_periods(
                sessions, last=None if last == number else last, start=start_of(call), entry=entry
            )
        except TableError as error:
            problems += error.problems
    if problems:
        raise DesignError(problems)
    return sessions


def start_of(call: Call) -> int:
    """Return the first session at risk."""
    stated = dict(call.keywords).get("start")
    return int(stated.value) if isinstance(stated, Number) else 1


def entry_of(call: Call, table: SessionTable, columns: Mapping[str, str]) -> str | None:
    """Return the column of each patient's first session at risk, ``"first row"``, or None where all have the same."""
    stated = dict(call.keywords).get("entry")
    if isinstance(stated, Text):
        return stated.value
    return None if not isinstance(stated, Name) else table.roles.get(stated.name, columns.get(stated.name, stated.name))


def survive_values(
    name: str, spec: ModelSpec, rows: Rows, columns: Mapping[str, str], findings: Findings
) -> np.ndarray:
    """Return 1 at the last session of patients who left then, 0 at all sessions at risk before, NaN at others."""
    call, table = spec.declared[name], rows.source
    where = f"[variables] {name} = {spec.variables[name]}"
    if rows.unit != "session":
        findings.problem(f"{where} has a value per session.", fix='State unit = "session".')
        return np.full(len(rows), np.nan)
    frame, start = table.frame, start_of(call)
    patient = pd.Series(rows.key)
    last = frame[column_in_call(call, 0, table, columns)].groupby(rows.key).max().reindex(patient).to_numpy(float)
    event_column = column_in_call(call, 1, table, columns)
    event = frame[event_column]
    if event.dtype != np.float64 or not event.dropna().isin((0.0, 1.0)).all():
        odd = sorted({str(value) for value in event.dropna()} - {"0", "1", "0.0", "1.0"})
        findings.problem(
            f"{event_column!r} is 1 for patients who left and 0 for others; it has "
            f"{first_few([show_level(one) for one in odd])}.",
            where=where,
        )
        return np.full(len(rows), np.nan)
    several = event.groupby(rows.key).nunique()
    differing = [repr(str(one)) for one in several.index[several > 1]]
    if differing:
        findings.problem(
            f"{event_column!r} differs within {count_of(len(differing), 'patient')}: {first_few(differing)}. "
            "It says of each patient whether he or she dropped out, the same in all rows.",
            where=where,
            fix=(
                f"If it is 0 or 1 per session at risk already, state it as columns={{{name!r}: {event_column!r}}} "
                f"(--columns {name}={event_column})."
            ),
        )
        return np.full(len(rows), np.nan)
    left = event.groupby(rows.key).max().reindex(patient).to_numpy(float)
    known = ~np.isnan(last) & ~np.isnan(left)
    begin = np.full(len(rows), float(start))
    entry = entry_of(call, table, columns)
    if entry is not None:
        begin = entries(table, entry).reindex(patient).to_numpy(float)
        known &= ~np.isnan(begin)
    at_risk = known & (rows.session >= begin) & (rows.session <= last)
    values = np.where(at_risk, np.where(rows.session == last, left, 0.0), np.nan)
    since, keys = f"session {start}", "the last session or the event"
    if entry is not None:
        since, keys = "their entry", "the entry, the last session or the event"
    findings.note(*_say(name, patient, known, at_risk, values, rows.session > last, since, keys))
    if not at_risk.any():
        findings.problem(f"no patient is at risk from {since} on.", where=where)
    elif not (values == 1).any():
        findings.problem("no patient leaves, so there is nothing to predict.", where=where)
    return values


def _say(
    name: str,
    patient: pd.Series,
    known: np.ndarray,
    at_risk: np.ndarray,
    values: np.ndarray,
    after: np.ndarray,
    since: str,
    keys: str,
) -> list[str]:
    people, events = patient[at_risk].nunique(), int((values == 1).sum())
    notes = [
        f"{name}: {count_of(people, 'patient')} at risk from {since} on, in "
        f"{count_of(int(at_risk.sum()), 'row')}; {events:,} {are(events, 'leaves', 'leave')}."
    ]
    unknown = patient[~known].nunique()
    if unknown:
        notes.append(f"{name}: {keys} of {count_of(unknown, 'patient')} is missing.")
    never = patient[known].nunique() - people
    if never:
        notes.append(
            f"{name}: {count_of(never, 'patient')} left before {since} and {are(never, 'is', 'are')} never at risk."
        )
    late = int((after & known).sum())
    if late:
        notes.append(f"{name}: {count_of(late, 'row')} after the last session {are(late, 'is', 'are')} not at risk.")
    return notes


def column_in_call(call: Call, place: int, table: SessionTable, columns: Mapping[str, str]) -> str:
    """Return the column that an argument of survive() names."""
    argument = call.arguments[place]
    name = argument.name if isinstance(argument, Name) else ""
    return table.roles.get(name, columns.get(name, name))
