"""Variables set to stated values in every row of an equation, and the variables that go with them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from bayes_alliance._messages import number_text, quote, unknown
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.related_variables import (
    Together,
    beside,
    function_of,
    is_excluded,
    parent_of,
    rows_together,
    stands_for,
)
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.set_calls import call_variable
from bayes_alliance.findings import Problem
from bayes_alliance.names import SESSION, level_label

type Setting = float | str


def find_predictor(known: Mapping[str, Variable], name: str) -> str:
    """Return the model's name of a predictor, or the text of a call, stated in the model's words or the study's.

    Parameters
    ----------
    known : mapping of str to Variable
        From ``predictors_of``.

    Raises
    ------
    FitError
        If there is no such variable or call.
    """
    labels = {variable.label: key for key, variable in known.items()}
    if name not in labels and name not in known:
        raise FitError(unknown("predictor", name, dict.fromkeys([*labels, *known])))
    return name if name in known else labels[name]


def predictors_of(equation: EquationDesign) -> dict[str, Variable]:
    """Return what can be set in an equation: its variables, and calls that read other rows, by the model's text."""
    variables = {name: own for name, own in equation.variables.items() if name != equation.spec.outcome}
    calls = {text: call_variable(text, columns) for text, columns in equation.calls.items()}
    return variables | {text: own for text, own in calls.items() if own is not None and text not in variables}


def name_settings[T](known: Mapping[str, Variable], settings: Sequence[tuple[str, T]]) -> dict[str, T]:
    """Return settings by the model's names of the variables, which are among those known.

    Raises
    ------
    FitError
        If a variable is none of them, or is stated twice.
    """
    named: dict[str, T] = {}
    for name, value in settings:
        key = find_predictor(known, name)
        if key in named:
            raise FitError(f"{known[key].label!r} is stated twice. State it once.")
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
            twice = f"{value!r} is stated twice."
            problems.append(Problem(twice, where=repr(variable.label), fix="State each value once."))
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


def set_variables(
    equation: EquationDesign, settings: Mapping[str, Setting], rows: Together | None = None
) -> dict[str, Variable]:
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
    rows : Together, optional
        From ``rows_together``, where several settings are asked for: what goes with what is then found out once.

    Raises
    ------
    FitError
        If a variable has no such value, two settings contradict each other, a variable goes with another and no row has
        the value that is set, several levels of a factor have it, or a 0/1 variable is 0 wherever the one that is set
        is 1 and is not stated.
    """
    rows = rows_together(equation) if rows is None else rows
    stated = {name: position_of(equation.variables[name], value) for name, value in settings.items()}
    _check_told(equation, stated)
    left = [n for n in equation.variables if n not in (equation.spec.outcome, *equation.spec.raters)]
    found: dict[str, float] = {}
    for name, number in stated.items():
        found |= _others(rows, name, number, left, stated, found)
    size = len(equation.y)
    return {
        name: replace(equation.variables[name], values=np.full(size, number))
        for name, number in (found | stated).items()
    }


def _check_told(equation: EquationDesign, stated: Collection[str]) -> None:
    """Refuse to set what other predictors go with where the rows that tell how are not there."""
    for name in stated:
        own = equation.variables[name]
        for other in (equation.outlined or {}).get(name, ()):
            its = equation.variables[other]
            if other not in stated and not stands_for(own, its) and not stands_for(its, own):
                raise FitError(
                    Problem(
                        f"{its.label!r} goes with {own.label!r} in the rows that were fitted, which are not there.",
                        fix=f"State {its.label!r}, too, or bring the rows back with fit.with_rows(sessions).",
                    )
                )


def follow_session(equation: EquationDesign, number: float) -> dict[str, Setting]:
    """Return values of the variables that are functions of the session's number, in a session that rows have."""
    known = rows_together(equation)
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
    variables = {name: v for e in design.equations for name, v in e.variables.items()}
    stated = {name: position_of(variables[name], value) for name, value in settings.items() if name in variables}
    for name, number in stated.items():
        for rows, other in beside(design, name):
            goes = _goes_with(rows, name, number, other, stated)
            if goes is None:
                continue
            levels = rows.variables[other].levels
            goes_as: Setting = goes if levels is None else levels[int(goes)]
            alike = stated[other] == goes if other in stated else found.setdefault(other, goes_as) == goes_as
            if not alike:
                raise FitError(_contradiction(rows, name, number, other, goes))
    return found


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
        excluded = is_excluded(rows, name, number, other)
        if excluded and other not in stated:
            raise FitError(_not_both(rows, name, other))
        value = 0.0 if excluded else _goes_with(rows, name, number, other, stated)
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
    if own.levels is not None and stands_for(its, own):
        return float(its.label == level_label(own.label, own.levels[int(number)]))
    if stands_for(own, its):
        assert its.levels is not None
        place = [level_label(its.label, level) for level in its.levels].index(own.label)
        fitting = [i for i in range(len(its.levels)) if (i == place) == (number == 1.0)]
        return _level_of(own, number, its, fitting if number in (0.0, 1.0) else [], stated)
    values = function_of(rows, name, other)
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
    levels = parent_of(rows, name, other)
    if levels is None:
        return None
    return _level_of(own, number, its, [int(level) for level in levels.index[levels == number]], stated)


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
