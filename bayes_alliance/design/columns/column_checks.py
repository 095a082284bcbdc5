"""Columns that a model reads: values that look like codes, levels that look alike, units under several wider units.

What no model reads stops nothing: these checks need a model, and all rows of the table.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import product

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, first_few, group_alike, number_text, spell, spell_cells
from bayes_alliance.design.columns.variables import column_for, column_of, read_words
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.names import ID_ROLES
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.needed_variables import needed_variables
from bayes_alliance.study import Study
from bayes_alliance.table.codes import Code, CodeCounts
from bayes_alliance.table.files.missing_codes import numbers_of, texts_of
from bayes_alliance.table.nesting import show_several, units_under_several
from bayes_alliance.table.sessions import SessionTable

MISSING_LEVELS = (".", "-", "?", "NULL", "null", "#N/A", "#NULL!", "<NA>", "n/a", "missing", "Missing")
"""Levels that programs write where a cell is empty."""


def check_read_columns(
    spec: ModelSpec,
    study: Study[SessionTable],
    findings: Findings,
) -> None:
    """Check every column a model reads over all rows of the table, before any is left out.

    Parameters
    ----------
    spec, sessions, columns, reference
        As ``make_design`` has them, names matched.
    findings : Findings
        Codes and levels that look alike are problems, ids that look alike are messages.
    """
    numbers, factors = read_columns(spec, study)
    for column in numbers:
        if column not in study.sessions.doubts:
            findings.add(check_codes(study.sessions, column, bounds_of(spec, study).get(column)))
    for column in factors:
        accepted = study.sessions.accepted.get(column, ())
        findings.add(check_levels(column, read_words(study.sessions.frame[column]).dropna(), accepted))
    findings.note(*_ids_alike(spec, study))
    check_nesting(spec, study.sessions.frame, study.sessions.roles, study.sessions.crossed, findings)
    findings.note(*_under_other_factors(spec, study))


def check_doubts(spec: ModelSpec, study: Study[SessionTable]) -> list[Problem]:
    """Return what keeps the columns from being read that a model reads: dates, lists, infinite numbers."""
    numbers, factors = read_columns(spec, study)
    return [study.sessions.doubts[column] for column in (*numbers, *factors) if column in study.sessions.doubts]


def read_columns(spec: ModelSpec, study: Study[SessionTable]) -> tuple[list[str], list[str]]:
    """Return the columns that a model reads as numbers, and those it reads as levels; columns of ids are neither."""
    ids = {study.sessions.roles[role] for role in ID_ROLES if role in study.sessions.roles}
    numbers, factors = [], []
    for name in needed_variables(spec):
        column = column_for(name, study)
        if column in ids or column not in study.sessions.frame.columns:
            continue
        text = study.columns.get(name, name)
        level = None if text in study.sessions.frame.columns else column_of(text)[1]
        plain = study.sessions.frame[column].dtype == np.float64
        if plain:
            numbers.append(column)
        if not plain or level is not None or name in study.reference:
            factors.append(column)
    return list(dict.fromkeys(numbers)), list(dict.fromkeys(factors))


def bounds_of(spec: ModelSpec, study: Study[SessionTable]) -> dict[str, tuple[float, float]]:
    """Return the ends of scales that the table states, or the model for its outcomes."""
    stated = {column_for(e.outcome, study): e.bounds for e in spec.equation if e.bounds is not None}
    return {**stated, **study.sessions.bounds}


def check_codes(sessions: SessionTable, column: str, bounds: tuple[float, float] | None) -> list[Problem]:
    """Report values of a column that look like undeclared codes for missing; stated ends of its scale allow them."""
    low, high = bounds or (-np.inf, np.inf)
    unit = sessions.units.get(column, "patient")
    role = unit if unit in sessions.roles else "patient"
    values, counts = sessions.frame[column].to_numpy(dtype=float), CodeCounts()
    counts.add(values, sessions.ids(role))
    found = []
    for code in counts.find(low, high):
        if code.value in numbers_of(sessions.accepted.get(column, ())):
            continue
        where = first_few(places_of(sessions, values == code.value), code.cells)
        found.append(say_code(column, code, column == sessions.roles.get("session"), where))
    return found


def say_code(column: str, code: Code, is_session: bool, where: str) -> Problem:
    """Return that a value looks like a code, where it stands, and what to do."""
    value = number_text(code.value)
    ends = sorted([code.value, code.low, code.high])
    low, high = number_text(ends[0]), number_text(ends[-1])
    advice = (
        "Leave these rows out (select_rows, --min or --max session=...), or number their sessions as the others'"
        if is_session
        else f"If it means missing, declare it when the table is read: missing={{{column!r}: [{value}]}} (--missing "
        f"{column}={value}; missing in an analysis file)"
    )
    return Problem(
        f"Column {column!r} holds {value} in {count_of(code.cells, 'row')}, far from its other values, "
        f"which run from {number_text(code.low)} to {number_text(code.high)}: {where}. It looks like a "
        "code for missing.",
        fix=(
            f"{advice}. If it is a genuine value, state the ends of the scale: bounds={{{column!r}: ({low}, {high})}} "
            f"(--bounds {column}={low}:{high}), or accept it: accept={{{column!r}: [{value}]}} (--accept "
            f"{column}={value})."
        ),
    )


def places_of(sessions: SessionTable, there: np.ndarray) -> list[str]:
    """Return patient and session of the first five rows chosen."""
    rows = np.flatnonzero(there)
    patients, number = sessions.ids("patient"), sessions.roles.get("session")
    at = sessions.frame[number].to_numpy() if number else None
    return [f"patient {patients[row]!r}" + ("" if at is None else f" session {at[row]:g}") for row in rows[:5].tolist()]


def check_levels(
    column: str, words: pd.Series, accepted: Collection[float | str] = (), *, counted: bool = True
) -> list[Problem]:
    """Report levels of a factor that look alike, and levels that look like a code for missing; accepted ones do not.

    Parameters
    ----------
    column : str
        For the message.
    words : Series of str
        Its cells, or each level once, which is then not ``counted``.
    accepted : collection of float or str
        Levels that are known to be levels of their own.
    """
    known = texts_of(accepted)
    counts = words.value_counts()
    counts = counts[counts > 0]
    problems = []
    for alike in group_alike(map(str, counts.index)):
        if known.issuperset(alike):
            continue
        rows = " and ".join(f"{int(counts[level]):,}" for level in alike) if counted else "several"
        problems.append(
            Problem(
                f"Column {column!r} has levels that look alike: {spell_cells(alike)} (in {rows} rows). They "
                "differ only in case, blanks, invisible characters, Unicode form, letters drawn alike or a "
                "full stop at the end, and each would be a level of its own.",
                fix="Write one level one way. Where each is meant, accept them when the table is read: "
                f"accept={{{column!r}: [{spell_cells(alike)}]}} (--accept, once for each).",
            )
        )
    levels = [str(level) for level in counts.index]
    coded = [level for level in levels if level not in known and (level in MISSING_LEVELS or _is_code(level))]
    if coded and len(coded) < len(levels) and not all(map(_is_number, levels)):
        shown = [f"{level!r} ({count_of(int(counts[level]), 'row')})" if counted else repr(level) for level in coded]
        problems.append(
            Problem(
                f"Column {column!r} has {'a level that looks' if len(coded) == 1 else 'levels that look'} "
                f"like a code for missing: {first_few(shown)}.",
                fix=(
                    f"Declare it when the table is read: missing={{{column!r}: {coded}}} (--missing "
                    f"{column}={coded[0]}; missing in an analysis file). If it is a level, accept it: "
                    f"accept={{{column!r}: {coded}}} (--accept)."
                ),
            )
        )
    return problems


def _is_code(level: str) -> bool:
    """Return whether a level is a negative number or several nines or so, as codes among words are."""
    return _is_number(level) and (float(level) < 0 or level in ("99", "999", "9999", "88", "888", "77", "777"))


def _is_number(level: str) -> bool:
    try:
        return bool(np.isfinite(float(level)))
    except ValueError:
        return False


def _ids_alike(spec: ModelSpec, study: Study[SessionTable]) -> list[str]:
    """Describe levels of grouping factors without a role that look alike; those of roles are named on reading."""
    notes = []
    for factor in _single_factors(spec):
        column = study.columns.get(factor, factor)
        if factor in study.sessions.roles or column not in study.sessions.frame.columns:
            continue
        words = read_words(study.sessions.frame[column]).dropna().unique()
        alike = [spell(group) for group in group_alike(map(str, words))]
        if alike:
            notes.append(
                f"Levels of {factor} that differ only in blanks, case, invisible characters or Unicode form: "
                f"{first_few(alike)}. They are kept apart; correct the table if they are the same."
            )
    return notes


def _single_factors(spec: ModelSpec) -> list[str]:
    """Return the grouping factors named by one column, means over units included."""
    named = [f for e in spec.equation for f in (*e.factors, *e.centring_factors)]
    return [factor for factor in dict.fromkeys(named) if ":" not in factor]


def check_nesting(
    spec: ModelSpec,
    frame: pd.DataFrame,
    roles: Mapping[str, str],
    crossed: Collection[str],
    findings: Findings,
) -> None:
    """Report therapists and groups that a model takes for one unit each, and that occur under several wider units.

    Asked about where the model reads the site, too, and ``transfers=`` does not say what it means; said where the table
    has sites and the model does not read them. Groups that cross with therapists are said only: patients of one group
    may well have therapists of their own. So are grouping factors without a role of which every patient has one level,
    because they may well cross, too (a cohort, say).

    Parameters
    ----------
    frame : DataFrame
        Holds the columns of ids; every combination of them once is enough.
    roles, crossed
        As in a SessionTable.
    """
    factors = _single_factors(spec)
    read = {*factors, *needed_variables(spec), *(p for e in spec.equation for f in e.factors for p in f.split(":"))}
    for inner in ("therapist", "group"):
        if inner not in factors or inner not in roles or spec.group(inner).members:
            continue
        own = roles[inner]
        for outer in ("therapist", "site") if inner == "group" else ("site",):
            if outer not in roles or inner in crossed or outer in crossed:
                continue
            above = roles[outer]
            several = units_under_several(frame, own, above)
            if not several or (outer == "therapist" and not units_under_several(frame, above, own)):
                continue
            if outer in read and outer == "site":
                findings.add([say_several(inner, outer, several)])
            else:
                findings.note(say_crossed(inner, outer, several, role=True))


def say_several(inner: str, outer: str, several: Mapping[str, list[str]]) -> Problem:
    """Ask what units under several wider units mean."""
    return Problem(
        _found(inner, outer, several),
        fix=(
            f"Say what it means: if every {outer} uses the ids again, state transfers={{{inner!r}: 'reused'}} when the "
            f"table is read (--transfers {inner}=reused), or write (1 | {outer}/{inner}) in the formula; if one "
            f"{inner} does belong to several {outer}s, state transfers={{{inner!r}: 'transferred'}}; or correct "
            "the ids."
        ),
    )


def say_crossed(inner: str, outer: str, several: Mapping[str, list[str]], *, role: bool) -> str:
    """Say that units occur under several wider units where that need not be a mistake."""
    named = "" if role else f"name the column of {outer} in roles as 'site' and "
    return (
        f"{_found(inner, outer, several)} If every {outer} uses the ids again, {named}state "
        f"transfers={{{inner!r}: 'reused'}} when the table is read (--transfers {inner}=reused); 'transferred' says "
        f"that one {inner} does belong to several."
    )


def _found(inner: str, outer: str, several: Mapping[str, list[str]]) -> str:
    number = len(several)
    return (
        f"{count_of(number, inner)} {are(number, 'occurs', 'occur')} under more than one {outer}: "
        f"{show_several(several)}. The model takes each id for one {inner}."
    )


def _under_other_factors(spec: ModelSpec, study: Study[SessionTable]) -> list[str]:
    """Say of grouping factors without a role, of which every patient has one level, that units occur under several."""
    factors, notes = _single_factors(spec), []
    units = [
        u
        for u in ("therapist", "group")
        if u in factors and u in study.sessions.roles and u not in study.sessions.crossed
    ]
    for inner, factor in product(units, factors):
        column = study.columns.get(factor, factor)
        if factor in study.sessions.roles or column not in study.sessions.frame.columns or spec.group(inner).members:
            continue
        words = read_words(study.sessions.frame[column]).astype("str").fillna("")
        pairs = pd.DataFrame(
            {"unit": study.sessions.ids(inner), "wider": words, "patient": study.sessions.ids("patient")}
        )
        several = units_under_several(pairs, "unit", "wider")
        if several and not units_under_several(pairs, "patient", "wider"):
            notes.append(say_crossed(inner, factor, several, role=False))
    return notes
