"""Which rows a question is about, what is set in them, and which of them are averaged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np
import pandas as pd
from scipy import sparse

from bayes_alliance._messages import quote, unknown
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.expected import all_alike
from bayes_alliance.expectation.new_data import Moved, Units, move
from bayes_alliance.expectation.new_rows import NewRows, code_new_rows
from bayes_alliance.expectation.set_variables import (
    Setting,
    check_values,
    find_predictor,
    name_settings,
    related_to,
    set_variables,
)
from bayes_alliance.findings import Problem
from bayes_alliance.names import SESSION

type Values = Setting | Sequence[Setting]

ROW: Final = "row"
"""Stands for every row by itself where results are averaged by something."""

MOST: Final = 10_000
"""Combinations of values that variables are set to."""


@dataclass(frozen=True, eq=False)
class Question:
    """The rows of one equation, what is set in them in turn, and which of them are averaged.

    ``fitted`` is the equation over the fit's rows, ``equation`` the one over the rows of the question and ``units``
    the units these are in where they are new. ``settings`` are the combinations that variables are set to, in the
    model's names. ``weights`` of shape (set, obs) average rows, and ``sets`` says what each average is of; both are
    None where every row stands by itself, which ``labels`` says.
    """

    design: Design
    fitted: EquationDesign
    equation: EquationDesign
    units: Mapping[str, Units] | None
    settings: tuple[dict[str, Setting], ...]
    labels: pd.DataFrame
    sets: pd.DataFrame | None
    weights: sparse.csr_array | None

    @property
    def factors(self) -> tuple[str, ...]:
        """Return the grouping factors of the equation."""
        return tuple(dict.fromkeys(group.factor for own in self.fitted.linear_predictors for group in own.groups))

    def moved(self, settings: Mapping[str, Setting], shift: Mapping[str, float] | None = None) -> Moved:
        """Return the rows with variables set, and numbers changed by an amount from what they then are."""
        size = len(self.equation.y)
        stated = set_variables(self.fitted, settings)
        found = {name: replace(own, values=np.full(size, own.values[0])) for name, own in stated.items()}
        for name, amount in (shift or {}).items():
            own = found.get(name, self.equation.variables[name])
            found[name] = replace(own, values=own.values + amount)
        return move(self.design, self.equation, found, self.units)

    def lines(self, settings: Mapping[str, Setting]) -> pd.DataFrame:
        """Return what the results at one combination of settings are of, a line each."""
        own = self.labels if self.sets is None else self.sets
        stated = {self.fitted.variables[name].label: value for name, value in settings.items()}
        return own.assign(**{name: [value] * len(own) for name, value in stated.items()})


def ask(
    design: Design,
    *,
    outcome: str | None,
    rows: NewRows | None,
    at: Mapping[str, Values] | None,
    grid: Mapping[str, Values] | None,
    by: str | Sequence[str] | None,
    apart: Sequence[str] = (),
) -> Question:
    """Return the rows of a question.

    Parameters
    ----------
    design : Design
        Of the fit.
    outcome : str, optional
        Which equation; needed where there are several.
    rows, at, grid, by
        As in ``predictions``.
    apart : sequence of str
        Variables that the question itself is about, which ``at`` may not set.

    Raises
    ------
    FitError, DesignError
        If rows and a grid are both stated, or what is set or averaged by is none.
    """
    fitted = design.find(outcome)
    if rows is not None and grid is not None:
        raise FitError("rows and grid both say which rows are meant. State one of them.")
    settings = _combinations(fitted, at or {}, apart)
    if grid is not None:
        rows = _data_grid(fitted, grid)
    equation, units = (fitted, None) if rows is None else code_new_rows(fitted, rows)
    labels = _labels(fitted, equation, rows, list(grid or ()))
    if by is None and rows is not None:
        by = ROW
    if by == ROW:
        return Question(design, fitted, equation, units, settings, labels, None, None)
    sets, weights = _averages(design, fitted, equation, units, [by] if isinstance(by, str) else list(by or ()))
    return Question(design, fitted, equation, units, settings, labels, sets, weights)


def check_shift(question: Question, name: str) -> None:
    """Refuse to change a number by an amount where other variables go with it, or where it is no number.

    Raises
    ------
    FitError
        With what to state instead.
    """
    variable = question.fitted.variables[name]
    if variable.levels is not None:
        raise FitError(Problem(f"{variable.label!r} is a factor.", fix="State two of its levels: values=[...]."))
    others = related_to(question.design, name)
    if others:
        raise FitError(
            Problem(
                f"{quote(others)} in the model go with {variable.label!r}, and what they are where it is a little "
                "larger is not known.",
                fix="State values that rows have: values=[...].",
            )
        )


def _as_list(values: Values) -> list[Setting]:
    if isinstance(values, str | int | float | np.number):
        return [values]
    return list(values)


def _combinations(
    equation: EquationDesign, at: Mapping[str, Values], apart: Sequence[str]
) -> tuple[dict[str, Setting], ...]:
    """Return every combination of stated values, by the model's names of variables."""
    stated = name_settings(equation, [(name, _as_list(own)) for name, own in at.items()])
    for name, own in stated.items():
        if name in apart:
            raise FitError(f"{equation.variables[name].label!r} is what is compared; at= cannot set it, too.")
        if not own:
            raise FitError(f"at= states no value of {equation.variables[name].label!r}.")
        check_values(equation.variables[name], own)
    if math.prod(len(own) for own in stated.values()) > MOST:
        raise FitError(f"at= asks for more than {MOST:,} combinations of values. State fewer values.")
    return tuple(dict(zip(stated, chosen, strict=True)) for chosen in product(*stated.values()))


def _data_grid(equation: EquationDesign, grid: Mapping[str, Values]) -> pd.DataFrame:
    """Return a row per combination of stated values, other predictors at typical values.

    Numbers are at their mean over the fit's rows, levels and 0/1 variables at the most frequent; what goes with a
    stated variable goes with it.
    """
    read = [name for name in equation.variables if name not in (equation.spec.outcome, *equation.spec.raters)]
    lines = []
    for settings in _combinations(equation, grid, ()):
        moved = set_variables(equation, settings)
        values = {name: _shown(moved[name]) if name in moved else _typical(equation.variables[name]) for name in read}
        lines.append(values)
    return pd.DataFrame(lines)


def _shown(variable: Variable) -> Setting:
    value = float(variable.values[0])
    return value if variable.levels is None else variable.levels[int(value)]


def _typical(variable: Variable) -> Setting:
    """Return the mean of a number, or the most frequent level or 0/1 value."""
    values = variable.values[~np.isnan(variable.values)]
    if variable.levels is None and not np.isin(values, (0.0, 1.0)).all():
        return float(values.mean())
    distinct, count = np.unique(values, return_counts=True)
    return _shown(replace(variable, values=distinct[[int(count.argmax())]]))


def _labels(
    fitted: EquationDesign, equation: EquationDesign, rows: NewRows | None, grid: Sequence[str]
) -> pd.DataFrame:
    """Return what every row is called: patient and session of the fit's own, its number and predictors of new ones."""
    if rows is None:
        return pd.DataFrame({"patient": equation.patient, "session": equation.session})
    shown = [find_predictor(fitted, name) for name in grid] or [
        name for name in equation.variables if name != fitted.spec.outcome
    ]
    columns = {fitted.variables[name].label: _column(equation.variables[name]) for name in shown}
    return pd.DataFrame(columns if grid else {ROW: np.arange(1, len(equation.y) + 1), **columns})


def _column(variable: Variable) -> np.ndarray:
    if variable.levels is None:
        return variable.values
    return np.array(variable.levels, dtype=object)[variable.values.astype(np.int64)]


def _averages(
    design: Design,
    fitted: EquationDesign,
    equation: EquationDesign,
    units: Mapping[str, Units] | None,
    by: Sequence[str],
) -> tuple[pd.DataFrame, sparse.csr_array]:
    """Return what every average is of, and the weights of its rows, shape (set, obs)."""
    size = len(equation.y)
    if not by:
        return pd.DataFrame(index=[0]), all_alike(size)
    columns = {}
    for name in by:
        label, values = _grouping(design, fitted, equation, units, name)
        columns[label] = values
    frame = pd.DataFrame(columns)
    grouped = frame.groupby(list(columns), sort=True, dropna=False)
    code, sets = grouped.ngroup().to_numpy(), grouped.size().index.to_frame(index=False)
    return sets, sparse.csr_array((1 / np.bincount(code)[code], (code, np.arange(size))), shape=(len(sets), size))


def _grouping(
    design: Design,
    fitted: EquationDesign,
    equation: EquationDesign,
    units: Mapping[str, Units] | None,
    name: str,
) -> tuple[str, np.ndarray]:
    """Return the values that rows are averaged by: those of a predictor, or the units of a factor."""
    group = next((own for own in equation.groups if own.factor == name), None)
    if group is not None:
        levels = np.array([*group.levels, ""], dtype=object)
        code = group.code if units is None else np.where(units[name].known, group.code, -1)
        return name, levels[np.where(group.inside, code, -1)]
    if name == "patient":
        return name, equation.patient
    known = {v.label: key for key, v in fitted.variables.items() if key != fitted.spec.outcome}
    if name == SESSION and name not in fitted.variables:
        return name, equation.session
    if name not in known and name not in known.values():
        factors = [factor.factor for factor in design.factors]
        raise FitError(unknown("variable or grouping factor", name, [*known, *factors, SESSION], "by"))
    key = known.get(name, name)
    return fitted.variables[key].label, _column(equation.variables[key])
