"""Columns of new rows: predictors, the units that rows are in, trials, and outcomes of earlier sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, first_few, hint, number_text, quote, spell, unknown
from bayes_alliance.design.columns.variables import Variable, read_words
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.groups.groups import GroupDesign
from bayes_alliance.design.related_variables import stands_for
from bayes_alliance.expectation.new_data import Units
from bayes_alliance.findings import Findings
from bayes_alliance.names import SESSION, join_ids, level_label
from bayes_alliance.spec.equation_order import modelled_by, sort_modelled
from bayes_alliance.spec.expressions import Call
from bayes_alliance.spec.variables_read import values_in
from bayes_alliance.table.cells import id_text
from bayes_alliance.table.file_reading import read_frame
from bayes_alliance.table.rules import id_form
from bayes_alliance.table.sessions import SessionTable

type NewRows = SessionTable | pd.DataFrame

_SESSIONS: Final = "The outcome has a row per session: say which one every row is."


def all_groups(equation: EquationDesign) -> list[GroupDesign]:
    """Return the grouping factors of an equation's mean and of its parameters."""
    return [group for own in equation.linear_predictors for group in own.groups]


def read_variable(
    variable: Variable, frame: pd.DataFrame, roles: Mapping[str, str], findings: Findings
) -> Variable | None:
    """Return a variable of new rows, reporting what is missing or unknown."""
    names = dict.fromkeys(name for name in (roles.get(variable.name), variable.label, variable.name) if name)
    seen = [name for name in names if name in frame.columns]
    if len(seen) > 1 and variable.name not in roles and not frame[seen[0]].equals(frame[seen[1]]):
        findings.problem(
            f"Columns {quote(seen)} differ, and either may be what the model reads as {variable.name!r}.",
            fix=f"Leave one of them out; the model was fitted to {variable.label!r}.",
        )
        return None
    column = seen[0] if seen else None
    if column is None:
        shown = dict.fromkeys((variable.name, variable.label))
        findings.problem(
            f"The rows have no column {' or '.join(map(repr, shown))}, which the model reads.",
            allowed=f"Columns seen: {quote(frame.columns)}.",
            fix=_SESSIONS if variable.name == SESSION else hint(variable.name, frame.columns),
        )
        return None
    series = frame[column]
    missing = np.flatnonzero(series.isna())
    if len(missing):
        places = [f"row {place + 1}" for place in missing[:5]]
        findings.problem(
            f"Column {column!r} is missing in {count_of(len(missing), 'row')}: {first_few(places, len(missing))}.",
            fix="Complete the values, or leave the rows out.",
        )
        return None
    if pd.api.types.is_datetime64_any_dtype(series) or pd.api.types.is_timedelta64_dtype(series):
        findings.problem(f"Column {column!r} holds dates.", fix="Give numbers or levels, as in the rows fitted.")
        return None
    if variable.levels is None:
        numbers = pd.to_numeric(series, errors="coerce").to_numpy(float)
        odd = np.flatnonzero(~np.isfinite(numbers))
        if len(odd):
            shown_rows = [f"row {place + 1} ({series.iloc[place]!r})" for place in odd[:5]]
            findings.problem(f"Column {column!r} is no number in {first_few(shown_rows, len(odd))}.")
            return None
        return replace(variable, values=numbers)
    words = series.map(number_text) if pd.api.types.is_numeric_dtype(series) else read_words(series)
    levels = {level: place for place, level in enumerate(variable.levels)}
    unknown_levels = [word for word in dict.fromkeys(map(str, words)) if word not in levels]
    if unknown_levels:
        findings.add(unknown(f"level of {column!r}:", word, levels) for word in unknown_levels)
        return None
    return replace(variable, values=np.array([float(levels[str(word)]) for word in words]))


def dummies_to_fill(equation: EquationDesign, needed: Sequence[str], frame: pd.DataFrame) -> dict[str, str]:
    """Return the 0/1 variables that stand for a level of a factor and have no column, with the factor's name."""
    return {
        name: factor
        for name, factor in _dummies(equation, needed).items()
        if not {name, equation.variables[name].label} & set(frame.columns)
    }


def fill_dummies(
    equation: EquationDesign, found: Mapping[str, Variable | None], filled: Mapping[str, str], findings: Findings
) -> dict[str, Variable]:
    """Return 0/1 variables as the levels of their factor have them; report columns that say something else."""
    made = {}
    for name, factor_name in _dummies(equation, [*found, *filled]).items():
        dummy, factor = equation.variables[name], found.get(factor_name)
        if factor is None or factor.levels is None:
            continue
        is_it = [level_label(factor.label, level) == dummy.label for level in factor.levels]
        values = np.array(is_it, dtype=float)[factor.values.astype(np.int64)]
        own = found.get(name)
        if name in filled:
            made[name] = replace(dummy, values=values)
        elif own is not None and (own.values != values).any():
            odd = np.flatnonzero(own.values != values)
            shown = [f"row {place + 1} ({factor.levels[int(factor.values[place])]})" for place in odd[:5]]
            findings.problem(
                f"{dummy.label!r} stands for a level of {factor.label!r} and says something else in "
                f"{count_of(len(odd), 'row')}: {first_few(shown, len(odd))}.",
                fix=f"Leave the column out: it follows from {factor.label!r}.",
            )
    return made


def _dummies(equation: EquationDesign, names: Sequence[str]) -> dict[str, str]:
    """Return the 0/1 variables that stand for a level of a factor of the equation."""
    factors = [one for one in names if equation.variables[one].levels is not None]
    return {
        name: factor
        for name in names
        for factor in factors
        if name != factor and stands_for(equation.variables[name], equation.variables[factor])
    }


def read_units(factor: str, levels: Sequence[str], frame: pd.DataFrame, roles: Mapping[str, str]) -> Units:
    """Return which unit of a factor every row is in."""
    columns = [roles.get(part, part) for part in factor.split(":")]
    if any(column not in frame.columns for column in columns):
        names = np.array([f"new {row + 1}" for row in range(len(frame))], dtype=object)
        there = np.ones(len(frame), dtype=bool)
        return Units(np.arange(len(frame)) + len(levels), there, len(levels), names, stated=False)
    ids = [id_text(frame[column]) for column in columns]
    there = np.all([own != "" for own in ids], axis=0)
    whole = list(ids[0]) if len(ids) == 1 else join_ids(ids, ":")
    places = {level: place for place, level in enumerate(levels)}
    for name in whole:
        places.setdefault(str(name), len(places))
    names = np.where(there, np.array([str(name) for name in whole], dtype=object), "")
    code = np.array([places[str(name)] for name in whole])
    return Units(code, there, len(levels), names, stated=True)


def check_units(equation: EquationDesign, units: Mapping[str, Units], findings: Findings) -> None:
    """Report factors of which some fitted rows had no unit, where new rows do not say whether they have one."""
    for part in equation.linear_predictors:
        for group in part.groups:
            term = next(one for one in part.spec.parsed.groups if one.factor == group.factor)
            if term.intercept and not group.inside.all() and not units[group.factor].stated:
                findings.problem(
                    f"Some rows that were fitted have no {group.factor}; whether these have one is not stated.",
                    fix=f"Add a column {group.factor!r}, empty where there is none. Or use the fit's rows with at=.",
                )


def say_units(equation: EquationDesign, units: Mapping[str, Units]) -> list[str]:
    """Return which new ids look like others."""
    said = []
    for factor, own in units.items():
        if not own.stated:
            continue
        groups = [group for group in all_groups(equation) if group.factor == factor]
        fitted = {id_form(level): level for group in groups for level in group.levels}
        fresh = dict.fromkeys(map(str, own.names[own.there & ~own.known]))
        by_form: dict[str, list[str]] = {}
        for name in fresh:
            by_form.setdefault(id_form(name), []).append(name)
        alike = [
            spell([*([fitted[form]] if form in fitted else []), *names])
            for form, names in by_form.items()
            if form in fitted or len(names) > 1
        ]
        if alike:
            said.append(
                f"New {factor} ids differ from others only in blanks, case, leading zeros, invisible characters or "
                f"Unicode form: {first_few(alike)}. They are taken as new units; correct the rows if they are the same."
            )
    return said


def say_several(equation: EquationDesign, frame: pd.DataFrame, roles: Mapping[str, str]) -> list[str]:
    """Return how many units have several rows, where the outcome has one row per unit that is wider than a session."""
    unit = equation.spec.unit
    column = roles.get(unit, unit)
    if unit == SESSION or column not in frame.columns:
        return []
    ids = id_text(frame[column])
    count = ids[ids != ""].value_counts()
    several = [f"{name!r} ({number})" for name, number in count[count > 1].items()]
    if not several:
        return []
    return [
        f"{equation.outcome!r} has a row per {unit}, and {len(several)} of {count_of(len(count), unit)} have several: "
        f"{first_few(several[:5], len(several))}. Each row is predicted by itself."
    ]


def check_trials(equation: EquationDesign, variables: Mapping[str, Variable], findings: Findings) -> None:
    """Report numbers of trials that are not whole numbers from 1."""
    own = variables.get(equation.spec.trials) if isinstance(equation.spec.trials, str) else None
    odd = np.flatnonzero((own.values < 1) | (own.values % 1 != 0)) if own is not None else ()
    if own is not None and len(odd):
        shown = [f"row {place + 1} ({own.values[place]:g})" for place in odd[:5]]
        findings.problem(
            f"{own.label!r}, what successes are out of, is not a whole number from 1 in {first_few(shown, len(odd))}."
        )


def earlier_outcome(
    outcome: Variable,
    calls: Mapping[str, Call],
    frame: pd.DataFrame,
    roles: Mapping[str, str],
    findings: Findings,
) -> np.ndarray:
    """Return outcomes that calls read in other rows, NaN where there is none; 0 where nothing reads them."""
    reading = [text for text, call in calls.items() if outcome.name in values_in(call)]
    if not reading:
        return np.zeros(len(frame))
    names = [name for name in (roles.get(outcome.name), outcome.label, outcome.name) if name in frame.columns]
    if not names:
        findings.problem(
            f"The rows have no column {outcome.label!r}, of which {quote(reading)} "
            f"{are(len(reading), 'reads', 'read')} earlier values.",
            fix="Give the outcome where it is known, empty elsewhere.",
        )
        return np.zeros(len(frame))
    return pd.to_numeric(frame[names[0]], errors="coerce").to_numpy(float)


def read_drawn(variable: Variable, frame: pd.DataFrame, findings: Findings) -> Variable:
    """Return what new rows say of an outcome that is drawn in them, NaN where nothing."""
    column = next((one for one in (variable.label, variable.name) if one in frame), None)
    if column is None:
        return replace(variable, values=np.full(len(frame), np.nan))
    numbers = pd.to_numeric(frame[column], errors="coerce").to_numpy(float)
    words = frame[column].astype("str").str.strip()
    odd = np.flatnonzero(np.isnan(numbers) & frame[column].notna().to_numpy() & (words != "").to_numpy())
    if len(odd):
        shown = [f"row {place + 1} ({frame[column].iloc[place]!r})" for place in odd[:5]]
        findings.problem(f"Column {column!r} is no number in {first_few(shown, len(odd))}.")
    return replace(variable, values=numbers)


def missing_modelled(design: Design, equation: EquationDesign, rows: NewRows) -> dict[str, np.ndarray]:
    """Return the values of predictors that are missing in some new rows and that the model has an equation for.

    Those are the ones that formulas read by ``mi()``. They are in the order in which they can be drawn.
    """
    frame = rows.frame if isinstance(rows, SessionTable) else read_frame(rows)
    found: dict[str, np.ndarray] = {}
    waiting = [equation]
    while waiting:
        e = waiting.pop()
        for name in modelled_by(e.spec):
            variable = e.variables[name]
            column = next((one for one in (variable.label, name) if one in frame), None)
            numbers = None if column is None else pd.to_numeric(frame[column], errors="coerce").to_numpy(float)
            if numbers is not None and np.isnan(numbers).any() and name not in found:
                found[name] = numbers
                waiting.append(design.find(name))
    return {name: found[name] for name in sort_modelled(design.spec) if name in found}


def say_missing(equations: Mapping[str, EquationDesign], missing: Mapping[str, np.ndarray]) -> list[str]:
    """Return how many rows lack a predictor that is drawn from its own equation."""
    said = []
    for name, values in missing.items():
        rows = np.flatnonzero(np.isnan(values))
        places = [f"row {place + 1}" for place in rows[:5]]
        said.append(
            f"{count_of(len(rows), 'row')} {are(len(rows), 'lacks', 'lack')} {equations[name].outcome!r}, which is "
            f"drawn from its own equation there: {first_few(places, len(rows))}."
        )
    return said
