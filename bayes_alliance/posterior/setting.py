"""Variables set to stated values in every row of an equation, and the variables that go with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from bayes_alliance._messages import number_text, quote, unknown
from bayes_alliance.design.equation import EquationDesign
from bayes_alliance.design.variables import Variable
from bayes_alliance.errors import FitError
from bayes_alliance.names import level_label

type Setting = float | str

SESSION = "session"


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


def set_variables(equation: EquationDesign, settings: Mapping[str, Setting]) -> dict[str, Variable]:
    """Return the variables that are set, and those that go with them, with their values over all rows.

    A 0/1 variable that stands for a level of a factor (``arm[MBCT]``) goes with the factor. So does every variable that
    is a function of the factor, of a 0/1 variable or of the session in the rows used, such as a column that is 1 in one
    arm, or one that is 1 from session 8 on.

    Parameters
    ----------
    equation : EquationDesign
        Its rows.
    settings : mapping of str to float or str
        By the model's names.

    Raises
    ------
    FitError
        If a variable has no such value, two settings contradict each other, or a variable goes with the session and
        no row has the session that is set.
    """
    stated = {name: position_of(equation.variables[name], value) for name, value in settings.items()}
    found: dict[str, float] = {}
    left = [n for n in equation.variables if n not in (equation.spec.outcome, *equation.spec.raters)]
    for name, number in stated.items():
        for other in left:
            if other == name:
                continue
            value = _goes_with(equation, name, number, other)
            if value is None:
                continue
            before = stated.get(other, found.get(other, value))
            if before != value:
                raise FitError(_contradiction(equation, name, number, other, value))
            found[other] = value
    size = len(equation.y)
    return {
        name: replace(equation.variables[name], values=np.full(size, number))
        for name, number in (found | stated).items()
    }


def _goes_with(equation: EquationDesign, name: str, number: float, other: str) -> float | None:
    """Return the value of another variable that goes with one that is set, None where it may be any."""
    own, its = equation.variables[name], equation.variables[other]
    if own.levels is not None and its.label in [level_label(own.label, level) for level in own.levels]:
        return float(its.label == level_label(own.label, own.levels[int(number)]))
    stands_for = [level_label(its.label, level) for level in its.levels or ()]
    if own.label in stands_for:
        return _level_of(own, number, its, stands_for.index(own.label))
    if not _is_discrete(own) or np.isnan(its.values).any() or np.ptp(its.values) == 0:
        return None
    frame = pd.DataFrame({"own": own.values, "its": its.values})
    first = frame.groupby("own")["its"].agg(["min", "max", "size"])
    if (first["min"] != first["max"]).any() or (name == SESSION and first["size"].max() < 2):
        return None
    if number in first.index:
        return float(first["min"][number])
    if own.name != SESSION:
        return None
    raise FitError(
        f"{its.label!r} is a function of {own.label!r} in the rows, and no row has {own.label} {number:g}. Set a "
        f"{own.label} that is observed, or state {its.label!r}, too."
    )


def _is_discrete(variable: Variable) -> bool:
    """Return whether other variables may be functions of this one by more than chance."""
    known = variable.values[~np.isnan(variable.values)]
    return variable.levels is not None or variable.name == SESSION or bool(np.isin(known, (0.0, 1.0)).all())


def _level_of(own: Variable, number: float, factor: Variable, level: int) -> float:
    """Return the level of a factor where the 0/1 variable that stands for one of its levels is set."""
    assert factor.levels is not None
    rest = [i for i in range(len(factor.levels)) if i != level]
    if number == 1.0:
        return float(level)
    if number == 0.0 and len(rest) == 1:
        return float(rest[0])
    raise FitError(
        f"{own.label!r} stands for a level of {factor.label!r}, which is in the model, too. Set {factor.label!r}: one "
        f"of {quote(factor.levels)}."
    )


def _contradiction(equation: EquationDesign, name: str, number: float, other: str, value: float) -> str:
    own, its = equation.variables[name], equation.variables[other]
    shown = own.levels[int(number)] if own.levels is not None else f"{number:g}"
    goes = its.levels[int(value)] if its.levels is not None else f"{value:g}"
    return f"{its.label!r} is {goes} where {own.label!r} is {shown}; it cannot be set to another value. Leave it out."
