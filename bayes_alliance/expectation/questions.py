"""Which rows a question is about, what is set in them, and which of them are averaged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Final

import numpy as np
import pandas as pd
from scipy import sparse

from bayes_alliance._messages import quote, unknown
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.latent_columns import FollowSteps, FollowValue
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.expected import all_alike
from bayes_alliance.expectation.new_data import Moved, Units, move
from bayes_alliance.expectation.new_rows import NewRows, code_new_rows
from bayes_alliance.expectation.related_variables import Together, rows_together
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

FIGURES: Final = (
    *(ROW, "comparison", "mean", "median", "sd", "p_direction"),
    *("mcse", "r_hat", "ess_bulk", "ess_tail", "unit"),
)
"""What the columns of results are called that are no variable."""

MOST: Final = 10_000
"""Combinations of values that variables are set to."""


@dataclass(frozen=True, eq=False)
class Question:
    """The rows of one equation, what is set in them in turn, and which of them are averaged.

    ``fitted`` is the equation over the fit's rows, ``equation`` the one over the rows of the question and ``units``
    the units these are in where they are new. ``settings`` are the combinations that variables are set to, in the
    model's names. ``weights`` of shape (set, obs) average rows, and ``sets`` says what each average is of; both are
    None where every row stands by itself, which ``labels`` says. ``grid`` is whether the rows are made ones.
    """

    design: Design
    fitted: EquationDesign
    equation: EquationDesign
    units: Mapping[str, Units] | None
    settings: tuple[dict[str, Setting], ...]
    labels: pd.DataFrame
    sets: pd.DataFrame | None
    weights: sparse.csr_array | None
    grid: bool = False

    @cached_property
    def together(self) -> Together:
        """Return the variables of the fit's rows, and which go with which."""
        return rows_together(self.fitted)

    @property
    def factors(self) -> tuple[str, ...]:
        """Return the grouping factors of the equation."""
        return tuple(dict.fromkeys(group.factor for own in self.fitted.linear_predictors for group in own.groups))

    def moved(self, settings: Mapping[str, Setting], shift: Mapping[str, float] | None = None) -> Moved:
        """Return the rows with variables set, and numbers changed by an amount from what they then are."""
        size = len(self.equation.y)
        stated = set_variables(self.fitted, settings, self.together)
        found = {name: replace(own, values=np.full(size, own.values[0])) for name, own in stated.items()}
        for name, amount in (shift or {}).items():
            own = found.get(name, self.equation.variables[name])
            found[name] = replace(own, values=own.values + amount)
        return move(self.design, self.equation, found, self.units)

    def lines(self, settings: Mapping[str, Setting]) -> pd.DataFrame:
        """Return what the results at one combination of settings are of, a line each."""
        own = self.labels if self.sets is None else self.sets
        found = own.copy()
        for name, value in settings.items():
            found[line_name(self.fitted.variables[name])] = [value] * len(own)
        return found


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
        Variables that the question itself is about, which ``at`` and ``grid`` may not set.

    Raises
    ------
    FitError, DesignError
        If rows and a grid are both stated, or what is set or averaged by is none.
    """
    fitted = design.find(outcome)
    if rows is not None and grid is not None:
        raise FitError("rows and grid both say which rows are meant. State one of them.")
    for where, stated in (("at", at), ("grid", grid)):
        if stated is not None and not isinstance(stated, Mapping):
            raise FitError(f"{where}= maps variables to values, such as {{'session': [1, 5]}}.")
    by = _as_names(by)
    settings = _combinations(fitted, "at", at or {}, apart)
    if grid is not None:
        rows = _data_grid(fitted, grid, apart)
    equation, units = (fitted, None) if rows is None else code_new_rows(fitted, rows)
    labels = _labels(fitted, equation, rows, list(grid or ()))
    if by == [ROW] or (not by and rows is not None):
        return Question(design, fitted, equation, units, settings, labels, None, None, grid is not None)
    both = [name for name in by if any(name in (key, fitted.variables[key].label) for key in settings[0])]
    if both:
        raise FitError(f"{quote(both)} is set by at=, so rows have no values of their own to be averaged by.")
    sets, weights = _averages(fitted, equation, units, by)
    return Question(design, fitted, equation, units, settings, labels, sets, weights, grid is not None)


def line_name(variable: Variable) -> str:
    """Return what a variable is called in the lines of results: its label, unless a figure is called like that."""
    return f"{variable.label} (predictor)" if variable.label in FIGURES else variable.label


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
    set_first = name in question.settings[0]  # then it is known where it is changed from
    for key, own in ((key, own) for part in question.fitted.linear_predictors for key, own in part.follows.items()):
        estimated = isinstance(own, FollowSteps) or (isinstance(own, FollowValue) and not set_first)
        if estimated and getattr(key, "variable", None) == name:
            what = f"Some values of {variable.label!r} are estimated, or its steps are."
            raise FitError(Problem(what, fix="State values it is set to: values=[...]."))
    others = related_to(question.design, name)
    if others:
        raise FitError(
            Problem(
                f"{quote(others)} in the model go with {variable.label!r}, and what they are where it is a little "
                "larger is not known.",
                fix="State values that rows have: values=[...].",
            )
        )


def as_values(values: object, name: str) -> list[Setting]:
    """Return stated values as a list of numbers and levels.

    Raises
    ------
    FitError
        If one is neither.
    """
    several = isinstance(values, Iterable) and not isinstance(values, str) and np.ndim(values) > 0  # type: ignore[arg-type]
    stated: list[object] = list(values) if several else [values]  # type: ignore[call-overload]
    found: list[Setting] = []
    for value in stated:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, int | float | np.number | np.bool_):
            found.append(value if isinstance(value, int) and not isinstance(value, bool) else float(value))
        else:
            raise FitError(f"{value!r} is neither a number nor a level of {name!r}.")
    return found


def _as_names(by: object) -> list[str]:
    names = [] if by is None else [by] if isinstance(by, str) else list(by) if isinstance(by, Sequence) else [by]
    if not all(isinstance(name, str) for name in names):
        raise FitError("by= names a variable or grouping factor, or several of them.")
    return list(dict.fromkeys(map(str, names)))


def _combinations(
    equation: EquationDesign, where: str, at: Mapping[str, Values], apart: Sequence[str]
) -> tuple[dict[str, Setting], ...]:
    """Return every combination of stated values, by the model's names of variables."""
    stated = name_settings(equation, [(name, as_values(own, name)) for name, own in at.items()])
    for name, own in stated.items():
        if name in apart:
            raise FitError(f"{equation.variables[name].label!r} is what is compared; it cannot be set, too.")
        if not own:
            raise FitError(f"{where}= states no value of {equation.variables[name].label!r}.")
        check_values(equation.variables[name], own)
    if math.prod(len(own) for own in stated.values()) > MOST:
        raise FitError(f"{where}= asks for more than {MOST:,} combinations of values. State fewer values.")
    return tuple(dict(zip(stated, chosen, strict=True)) for chosen in product(*stated.values()))


def _data_grid(equation: EquationDesign, grid: Mapping[str, Values], apart: Sequence[str]) -> pd.DataFrame:
    """Return a row per combination of stated values, other predictors at typical values.

    Numbers are at their mean over the fit's rows, levels and 0/1 variables at the most frequent; what goes with a
    stated variable goes with it.
    """
    read = [name for name in equation.variables if name not in (equation.spec.outcome, *equation.spec.raters)]
    combinations = _combinations(equation, "grid", grid, apart)
    rows = rows_together(equation)
    found = [set_variables(equation, settings, rows) for settings in combinations]
    rest: dict[str, Variable] = {}
    for name in sorted(read, key=lambda name: equation.variables[name].levels is None):  # levels first
        if name not in found[0] and name not in rest:
            typical = set_variables(equation, {name: _typical(equation, name)}, rows)
            rest.update({key: own for key, own in typical.items() if key not in found[0] and key not in rest})
    return pd.DataFrame([{name: _shown((rest | own)[name]) for name in read} for own in found])


def _shown(variable: Variable) -> Setting:
    value = float(variable.values[0])
    return value if variable.levels is None else variable.levels[int(value)]


def _typical(equation: EquationDesign, name: str) -> Setting:
    """Return the mean of a number, a whole one of trials, or the most frequent level, category or 0/1 value."""
    variable = equation.variables[name]
    values = variable.values[~np.isnan(variable.values)]
    ordered = {getattr(key, "variable", None) for key, own in equation.follows.items() if isinstance(own, FollowSteps)}
    if variable.levels is None and name not in ordered and not np.isin(values, (0.0, 1.0)).all():
        return float(np.round(values.mean())) if name == equation.spec.trials else float(values.mean())
    distinct, count = np.unique(values, return_counts=True)
    return _shown(replace(variable, values=distinct[[int(count.argmax())]]))


def _labels(
    fitted: EquationDesign, equation: EquationDesign, rows: NewRows | None, grid: Sequence[str]
) -> pd.DataFrame:
    """Return what every row is called: patient and session of the fit's own, its number and predictors of new ones."""
    if rows is None:
        own = pd.DataFrame({"patient": equation.patient, "session": equation.session})
        return own.drop(columns=[SESSION]) if np.isnan(equation.session).all() else own
    shown = [find_predictor(fitted, name) for name in grid] or [
        name for name in equation.variables if name != fitted.spec.outcome
    ]
    columns = {line_name(fitted.variables[name]): _column(equation.variables[name]) for name in shown}
    return pd.DataFrame(columns if grid else {ROW: np.arange(1, len(equation.y) + 1), **columns})


def _column(variable: Variable) -> np.ndarray:
    if variable.levels is None:
        return variable.values
    return np.array(variable.levels, dtype=object)[variable.values.astype(np.int64)]


def _averages(
    fitted: EquationDesign, equation: EquationDesign, units: Mapping[str, Units] | None, by: Sequence[str]
) -> tuple[pd.DataFrame, sparse.csr_array]:
    """Return what every average is of, and the weights of its rows, shape (set, obs)."""
    size = len(equation.y)
    if not by:
        return pd.DataFrame(index=[0]), all_alike(size)
    columns = {}
    for name in by:
        label, values = _grouping(fitted, equation, units, name)
        columns[label] = values
    frame = pd.DataFrame(columns)
    grouped = frame.groupby(list(columns), sort=True, dropna=False)
    code, sets = grouped.ngroup().to_numpy(), grouped.size().index.to_frame(index=False)
    return sets, sparse.csr_array((1 / np.bincount(code)[code], (code, np.arange(size))), shape=(len(sets), size))


def _grouping(
    fitted: EquationDesign, equation: EquationDesign, units: Mapping[str, Units] | None, name: str
) -> tuple[str, np.ndarray]:
    """Return the values that rows are averaged by: those of a predictor, or the units of a factor."""
    groups = {own.factor: own for part in equation.linear_predictors for own in part.groups}
    known = {v.label: key for key, v in fitted.variables.items() if key != fitted.spec.outcome}
    if name in groups and groups[name].weight is not None:
        raise FitError(f"Rows belong to several levels of {name!r} by weights; they cannot be averaged by it.")
    if name == "patient" and (units is None or name not in units):
        return name, equation.patient
    if name in groups and units is not None:
        return name, units[name].names
    if name in groups:
        return name, np.array([*groups[name].levels, ""], dtype=object)[groups[name].units]
    if name == SESSION and name not in fitted.variables:
        if np.isnan(equation.session).all():
            raise FitError("The rows have no session to be averaged by.")
        return name, equation.session
    if name not in known and name not in known.values():
        valid = list(dict.fromkeys([*known, *groups, "patient", SESSION]))
        raise FitError(unknown("variable or grouping factor", name, valid, "by"))
    key = known.get(name, name)
    return line_name(fitted.variables[key]), _column(equation.variables[key])
