"""Variables set to stated values in every row of an equation, and the variables that go with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import comb

import numpy as np
import pandas as pd

from bayes_alliance._messages import number_text, quote, unknown
from bayes_alliance.design.design import Design
from bayes_alliance.design.equation import EquationDesign
from bayes_alliance.design.variables import Variable
from bayes_alliance.errors import FitError
from bayes_alliance.names import level_label

type Setting = float | str

SESSION = "session"

FIRST = 500
"""Rows that are looked at before all are."""

CHANCE = 0.01
"""Probability that one variable is a function of another by chance, above which it counts as none."""


def find_predictor(equation: EquationDesign, name: str) -> str:
    """Return the model's name of a predictor, stated in the model's words or the study's.

    Raises
    ------
    FitError
        If the equation reads no such variable.
    """
    known = {v.label: key for key, v in equation.variables.items() if key != equation.spec.outcome}
    by_model = set(known.values())
    if name not in known and name not in by_model:
        raise FitError(unknown("predictor", name, [*known, *by_model]))
    return name if name in by_model else known[name]


def name_settings[T](equation: EquationDesign, settings: Sequence[tuple[str, T]]) -> dict[str, T]:
    """Return settings by the model's names of the variables.

    Raises
    ------
    FitError
        If a variable is not the equation's, or is stated twice.
    """
    named: dict[str, T] = {}
    for name, value in settings:
        key = find_predictor(equation, name)
        if key in named:
            raise FitError(f"{equation.variables[key].label!r} is stated twice. State it once.")
        named[key] = value
    return named


def position_of(variable: Variable, value: Setting) -> float:
    """Return a value as the variable's rows hold it: a number, or the position of a level.

    Levels that are numbers may be stated as numbers or as text: 1, 1.0 and "1" are one level.

    Raises
    ------
    FitError
        If the factor has no such level, or the value of a number is none.
    """
    if variable.levels is None:
        if isinstance(value, str) or not np.isfinite(value):
            raise FitError(f"{variable.label!r} is a number; {value!r} cannot be set.")
        return float(value)
    level = _spelled(value, variable.levels)
    if level is None:
        raise FitError(f"{variable.label!r} has no level {quote([value])}; it has {quote(variable.levels)}.")
    return float(variable.levels.index(level))


def check_values(variable: Variable, values: Sequence[Setting]) -> None:
    """Refuse values that a variable cannot have, all at once, and values that are stated twice."""
    problems, seen = [], dict[float, Setting]()
    for value in values:
        try:
            place = position_of(variable, value)
        except FitError as error:
            problems += list(error.problems)
            continue
        if place in seen:
            problems.append(f"{variable.label!r}: {value!r} is stated twice. State each value once.")
        seen[place] = value
    if problems:
        raise FitError(problems)


def _spelled(value: Setting, levels: Sequence[str]) -> str | None:
    """Return the level that a value names, by its text or by its number."""
    if isinstance(value, str) and value in levels:
        return value
    try:
        number = number_text(float(value))
    except (ValueError, OverflowError):
        return None
    return number if number in levels else None


@dataclass(frozen=True, eq=False)
class Together:
    """Variables over the same rows, by the model's names, and what groups the rows: patients, therapists and so on."""

    variables: Mapping[str, Variable]
    units: Sequence[np.ndarray]


def set_variables(equation: EquationDesign, settings: Mapping[str, Setting]) -> dict[str, Variable]:
    """Return the variables that are set, and those that go with them, with their values over all rows.

    A 0/1 variable that stands for a level of a factor (``arm[MBCT]``) goes with the factor. So does every variable that
    is a function of another one in the rows used, by more than chance: a column that is 1 in one arm, one that is 1
    from session 8 on, the square of a rating. A factor goes with a column that is a function of it, where one level
    only has the value that is set.

    Parameters
    ----------
    equation : EquationDesign
        Its rows.
    settings : mapping of str to float or str
        By the model's names.

    Raises
    ------
    FitError
        If a variable has no such value, two settings contradict each other, a variable goes with another and no row has
        the value that is set, several levels of a factor have it, or a 0/1 variable is 0 wherever the one that is set
        is 1 and is not stated.
    """
    rows = _rows_of(equation)
    stated = {name: position_of(equation.variables[name], value) for name, value in settings.items()}
    left = [n for n in equation.variables if n not in (equation.spec.outcome, *equation.spec.raters)]
    found: dict[str, float] = {}
    for name, number in stated.items():
        found |= _others(rows, name, number, left, stated, found)
    size = len(equation.y)
    return {
        name: replace(equation.variables[name], values=np.full(size, number))
        for name, number in (found | stated).items()
    }


def follow_session(equation: EquationDesign, number: float) -> dict[str, Setting]:
    """Return values of the variables that are functions of the session's number, in a session that rows have."""
    known = _rows_of(equation)
    session = Variable(SESSION, SESSION, equation.session)
    rows = Together({**known.variables, SESSION: session}, known.units)
    found: dict[str, Setting] = {}
    apart = (SESSION, equation.spec.outcome, *equation.spec.raters)
    for other, its in known.variables.items():
        value = None if other in apart else _goes_with(rows, SESSION, number, other)
        if value is not None:
            found[other] = value if its.levels is None else its.levels[int(value)]
    return found


def with_others(design: Design, settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return settings with the variables of all equations that go with them; what is no variable stays as it is.

    Raises
    ------
    FitError
        As ``set_variables``.
    """
    found = dict(settings)
    outcomes = {name for e in design.equations for name in (e.spec.outcome, *e.spec.raters)}
    variables = {name: v for e in design.equations for name, v in e.variables.items()}
    stated = {name: position_of(variables[name], value) for name, value in settings.items() if name in variables}
    for name, number in stated.items():
        for own in (e for e in design.equations if name in e.variables):
            for e in design.equations:
                rows = _together(own, e, name)
                for other in rows.variables:
                    goes = None if other in outcomes or other == name else _goes_with(rows, name, number, other, stated)
                    if goes is None:
                        continue
                    levels = rows.variables[other].levels
                    goes_as: Setting = goes if levels is None else levels[int(goes)]
                    if stated.get(other, goes) != goes or (
                        other not in stated and found.get(other, goes_as) != goes_as
                    ):
                        raise FitError(_contradiction(rows, name, number, other, goes))
                    if other not in stated:
                        found[other] = goes_as
    return found


def related_to(design: Design, name: str) -> tuple[str, ...]:
    """Return variables of all equations that cannot be set apart from one: functions of it, or factors it is one of."""
    outcomes = {name for e in design.equations for name in (e.spec.outcome, *e.spec.raters)}
    found: dict[str, None] = {}
    for own in (e for e in design.equations if name in e.variables):
        for e in design.equations:
            rows = _together(own, e, name)
            for other in rows.variables:
                if other in outcomes or other == name or other in found:
                    continue
                one, two = rows.variables[name], rows.variables[other]
                labels = _stands_for(one, two) or _stands_for(two, one)
                if labels or _function(rows, name, other) is not None or _parent(rows, name, other) is not None:
                    found[other] = None
    return tuple(found)


def _rows_of(equation: EquationDesign) -> Together:
    groups = [group.code for group in equation.groups if group.slot == 0]
    return Together(equation.variables, [pd.factorize(equation.patient)[0], *groups])


def _together(own: EquationDesign, other: EquationDesign, name: str) -> Together:
    """Return a variable and those of another equation over rows, or else patients, that both equations have."""
    if name in other.variables:
        return _rows_of(other)
    here, there = pd.Index(own.row), pd.Index(other.row)
    common = here.intersection(there)
    if own.spec.unit == other.spec.unit and len(common):
        mine, its = here.get_indexer(common), there.get_indexer(common)
        keep = list(other.variables)
    else:
        first, second = (
            pd.Series(np.arange(len(e.row)), index=e.patient).groupby(level=0).first() for e in (own, other)
        )
        patients = first.index.intersection(second.index)
        mine, its = first[patients].to_numpy(), second[patients].to_numpy()
        if not _constant(own, name):
            return Together({}, [])
        keep = [one for one in other.variables if _constant(other, one)]
    if not len(mine):
        return Together({}, [])
    variables = {one: replace(other.variables[one], values=other.variables[one].values[its]) for one in keep}
    variables[name] = replace(own.variables[name], values=own.variables[name].values[mine])
    return Together(variables, [units[its] for units in _rows_of(other).units])


def _constant(e: EquationDesign, name: str) -> bool:
    return bool((pd.Series(e.variables[name].values).groupby(e.patient).nunique(dropna=False) <= 1).all())


def _others(
    rows: Together,
    name: str,
    number: float,
    left: Sequence[str],
    stated: Mapping[str, float],
    before: Mapping[str, float],
) -> dict[str, float]:
    """Return the values of variables that go with one that is set."""
    found: dict[str, float] = {}
    for other in left:
        if other == name:
            continue
        if other not in stated and _excluded(rows, name, number, other):
            raise FitError(_not_both(rows, name, other))
        value = 0.0 if _excluded(rows, name, number, other) else _goes_with(rows, name, number, other, stated)
        if value is None:
            continue
        if stated.get(other, before.get(other, value)) != value:
            raise FitError(_contradiction(rows, name, number, other, value))
        found[other] = value
    return found


def _goes_with(
    rows: Together, name: str, number: float, other: str, stated: Mapping[str, float] | None = None
) -> float | None:
    """Return the value of another variable that goes with one that is set, None where it may be any."""
    own, its = rows.variables[name], rows.variables[other]
    if own.levels is not None and _stands_for(its, own):
        return float(its.label == level_label(own.label, own.levels[int(number)]))
    if _stands_for(own, its):
        assert its.levels is not None
        place = [level_label(its.label, level) for level in its.levels].index(own.label)
        fitting = [i for i in range(len(its.levels)) if (i == place) == (number == 1.0)]
        return _level_of(own, number, its, fitting if number in (0.0, 1.0) else [], stated)
    values = _function(rows, name, other)
    if values is not None:
        said = stated is not None and other in stated
        if said and name != SESSION and own.levels is None and len(values) > 2:
            return None  # numbers that hold in these rows together may be parted by whoever states both
        if number in values.index:
            return float(values[number])
        if said:
            return None
        raise FitError(
            f"{its.label!r} is a function of {own.label!r} in the rows, and no row has {own.label} {number:g}. Set a "
            f"{own.label} that is observed, or state {its.label!r}, too."
        )
    levels = _parent(rows, name, other)
    if levels is None:
        return None
    return _level_of(own, number, its, [int(level) for level in levels.index[levels == number]], stated)


def _stands_for(dummy: Variable, factor: Variable) -> bool:
    """Return whether a 0/1 variable is declared as a level of a factor."""
    return dummy.label in [level_label(factor.label, level) for level in factor.levels or ()]


def _function(rows: Together, name: str, other: str) -> pd.Series | None:
    """Return the value of another variable at each value of one, None where it is no function of it, or one by chance.

    Levels of factors, two values and sessions repeat by design. Other numbers repeat where units (patients, or the
    widest units that the variable is constant in) happen to have the same; the chance that all of these are alike in
    the other variable has to be small.
    """
    own, its = rows.variables[name], rows.variables[other]
    if (
        np.isnan(its.values).any()
        or np.ptp(its.values) == 0
        or _is_none_at_once(own.values[:FIRST], its.values[:FIRST])
    ):
        return None
    frame = pd.DataFrame({"own": own.values, "its": its.values})
    by = frame.groupby("own")["its"].agg(["min", "max", "size"])
    if (by["min"] != by["max"]).any():
        return None
    if name == SESSION:
        return by["min"] if by["size"].max() > 1 else None
    if own.levels is None and len(by) > 2:
        frame["unit"] = _units_of(rows, own)
        repeats = len(frame[["unit", "own"]].dropna().drop_duplicates()) - len(by)
        shares = frame[["unit", "its"]].drop_duplicates()["its"].value_counts(normalize=True)
        if float((shares**2).sum()) ** repeats > CHANCE:
            return None
    return by["min"]


def _is_none_at_once(own: np.ndarray, its: np.ndarray) -> bool:
    """Return whether rows with one value of a variable have several of another; cheap, for the first rows of many."""
    order = np.lexsort((its, own))
    own, its = own[order], its[order]
    return bool(((own[1:] == own[:-1]) & (its[1:] != its[:-1])).any())


def _parent(rows: Together, name: str, other: str) -> pd.Series | None:
    """Return the value of a variable at each level of a factor that it is a function of, None where it is of none."""
    own, its = rows.variables[name], rows.variables[other]
    if own.levels is not None or its.levels is None or np.isnan(own.values).any():
        return None
    return _function(rows, other, name)


def _units_of(rows: Together, variable: Variable) -> np.ndarray:
    """Return the widest units that a variable is constant in, else patients."""
    fitting = [
        units for units in rows.units if (pd.Series(variable.values).groupby(units).nunique(dropna=False) <= 1).all()
    ]
    return min(fitting, key=lambda units: len(np.unique(units))) if fitting else rows.units[0]


def _excluded(rows: Together, name: str, number: float, other: str) -> bool:
    """Return whether another 0/1 variable is 0 wherever this one is 1, as with levels of one factor, not by chance."""
    own, its = rows.variables[name], rows.variables[other]
    if number != 1.0 or own.levels is not None or its.levels is not None:
        return False
    if not (np.isin(own.values, (0.0, 1.0)).all() and np.isin(its.values, (0.0, 1.0)).all()):
        return False
    if ((own.values == 1) & (its.values == 1)).any() or _function(rows, name, other) is not None:
        return False
    units = rows.units[0]
    ones = [pd.Series(v.values == 1).groupby(units).max() for v in (own, its)]
    count, mine, theirs = len(ones[0]), int(ones[0].sum()), int(ones[1].sum())
    if (ones[0] & ones[1]).any():
        return False  # of sessions and not of patients
    return theirs > 0 and comb(count - mine, theirs) / comb(count, theirs) < CHANCE


def _level_of(
    own: Variable, number: float, factor: Variable, fitting: Sequence[int], stated: Mapping[str, float] | None
) -> float | None:
    """Return the level of a factor that has the value that is set, the stated one where several have it."""
    assert factor.levels is not None
    if len(fitting) == 1:
        return float(fitting[0])
    said = None if stated is None else stated.get(factor.name)
    if said is not None and int(said) in fitting:
        return said
    raise FitError(
        f"{own.label!r} stands for a level of {factor.label!r}, which is in the model, too. Set {factor.label!r}: one "
        f"of {quote(factor.levels)}."
    )


def _not_both(rows: Together, name: str, other: str) -> str:
    own, its = rows.variables[name].label, rows.variables[other].label
    return (
        f"In the rows {its!r} is 0 wherever {own!r} is 1, as with levels of one factor. State {its!r}, too, or put the "
        f"factor into the formula."
    )


def _contradiction(rows: Together, name: str, number: float, other: str, value: float) -> str:
    own, its = rows.variables[name], rows.variables[other]
    shown = own.levels[int(number)] if own.levels is not None else f"{number:g}"
    goes = its.levels[int(value)] if its.levels is not None else f"{value:g}"
    return f"{its.label!r} is {goes} where {own.label!r} is {shown}; it cannot be set to another value. Leave it out."
