"""Which rows a question is about, what is set in them, and which of them are averaged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from bayes_alliance.design.related_variables import Together, related_to, rows_together
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.chains import names_read
from bayes_alliance.expectation.expected import all_alike
from bayes_alliance.expectation.grids import data_grid
from bayes_alliance.expectation.new_data import Moved, Units, move
from bayes_alliance.expectation.new_row_columns import NewRows, missing_modelled, say_missing, with_outcomes
from bayes_alliance.expectation.new_rows import CodedRows, code_new_rows
from bayes_alliance.expectation.set_calls import set_call, shift_call, split_calls
from bayes_alliance.expectation.set_variables import (
    Setting,
    check_values,
    follow_session,
    name_settings,
    predictors_of,
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
    None where every row stands by itself, which ``labels`` says. ``grid`` is whether the rows are made ones, and
    ``messages`` say what a reader should know of them. ``follows`` are the equations that the outcome follows from
    where variables are set, itself last, by the model's name of their outcome; none where only its own is asked.
    ``given`` are values that new rows state of modelled predictors, missing ones of which are drawn.
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
    messages: tuple[str, ...] = ()
    follows: Mapping[str, CodedRows] = field(default_factory=dict)
    given: Mapping[str, np.ndarray] = field(default_factory=dict)

    @cached_property
    def together(self) -> Together:
        """Return the variables of the fit's rows, and which go with which."""
        return rows_together(self.fitted)

    @property
    def factors(self) -> tuple[str, ...]:
        """Return the grouping factors of the equation, and of those it follows from."""
        every = [self.fitted, *(own.equation for own in self.follows.values())]
        parts = [own for e in every for own in e.linear_predictors]
        return tuple(dict.fromkeys(group.factor for own in parts for group in own.groups))

    @cached_property
    def known(self) -> dict[str, Variable]:
        """Return what can be set: predictors of the equation, and of those it follows from."""
        return known_predictors([self.fitted, *(self.design.find(name) for name in self.follows)])

    def numbers(self) -> dict[str, Variable]:
        """Return the predictors that are numbers, by what lines of results call them; none where rows are not there."""
        if self.fitted.outlined is not None:
            return {}
        return {line_name(own): own for own in self.known.values() if own.levels is None}

    def moved(self, settings: Mapping[str, Setting], shift: Mapping[str, float] | None = None) -> Moved:
        """Return the rows with variables set, and numbers changed by an amount from what they then are."""
        size, known = len(self.equation.y), self.equation.calls
        of_variables, of_calls = split_calls(self.fitted, settings)
        stated = set_variables(self.fitted, of_variables, self.together)
        found = {name: replace(own, values=np.full(size, own.values[0])) for name, own in stated.items()}
        calls = {text: set_call(known[text], float(value), size) for text, value in of_calls.items()}
        for name, amount in (shift or {}).items():
            if name in known:
                calls[name] = shift_call(calls.get(name, known[name]), amount)
                continue
            own = found.get(name, self.equation.variables[name])
            found[name] = replace(own, values=own.values + amount)
        return move(self.design, self.equation, found, self.units, calls=calls)

    def lines(self, settings: Mapping[str, Setting]) -> pd.DataFrame:
        """Return what the results at one combination of settings are of, a line each."""
        own = self.labels if self.sets is None else self.sets
        found = own.copy()
        for name, value in settings.items():
            found[line_name(self.known[name])] = [value] * len(own)
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
    propagate: bool = False,
) -> Question:
    """Return the rows of a question.

    Parameters
    ----------
    design : Design
        Of the fit.
    outcome : str, optional
        Which equation; needed where there are several.
    rows, at, grid, by, propagate
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
    for where, mapping in (("at", at), ("grid", grid)):
        if mapping is not None and not isinstance(mapping, Mapping):
            raise FitError(f"{where}= maps variables to values, such as {{'session': [1, 5]}}.")
    by = _as_names(by)
    name = fitted.spec.outcome
    known = known_predictors([fitted, *(map(design.find, names_read(design.spec, name, ()) if propagate else ()))])
    settings = _combinations(known, "at", at or {}, apart)
    made = None if grid is None else _combinations(known, "grid", grid, apart)
    held = {*settings[0], *(made[0] if made else ()), *apart}
    lacking = {} if propagate or rows is None else missing_modelled(design, fitted, rows)
    names = names_read(design.spec, name, held) if propagate else (*lacking, name)
    equations = {one: design.find(one) for one in names}
    if made is not None:
        rows = data_grid([fitted, *(e for e in equations.values() if e is not fitted)], made)
    elif rows is not None and len(names) > 1:
        rows = with_outcomes(equations, rows, design.roles)
    coded = {
        one: CodedRows(e, None) if rows is None else code_new_rows(e, rows, design.roles)
        for one, e in equations.items()
    }
    equation, units = coded[name].equation, coded[name].units
    labels = _labels(equation, new=rows is not None)
    if made is not None:
        labels = pd.DataFrame([{line_name(known[key]): value for key, value in stated.items()} for stated in made])
    sets, weights = None, None
    both = [one for one in by if any(one in (key, known[key].label) for key in settings[0])]
    if both:
        raise FitError(f"{quote(both)} is set by at=, so rows have no values of their own to be averaged by.")
    if by != [ROW] and (by or rows is None):
        sets, weights = _averages(fitted, equation, units, by)
    follows = coded if propagate or lacking else {}
    messages = (*coded[name].messages, *say_missing(equations, lacking))
    return Question(
        design, fitted, equation, units, settings, labels, sets, weights, made is not None, messages, follows, lacking
    )


def over_sessions(question: Question, settings: Mapping[str, Setting]) -> list[Moved]:
    """Return the fit's rows with variables set, and the session set to every one there is, in order.

    What is a function of the session's number goes with it, also where the model does not read the number itself.
    """
    e = question.fitted
    found = []
    for session in map(float, np.unique(e.session)):
        with_session: dict[str, Setting] = {SESSION: session}
        if SESSION not in e.variables:
            with_session = follow_session(e, session)
        found.append(question.moved({**with_session, **settings}))
    return found


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
    if name in question.fitted.calls or name not in question.known:
        return
    variable = question.known[name]
    if variable.levels is not None:
        raise FitError(Problem(f"{variable.label!r} is a factor.", fix="State two of its levels: values=[...]."))
    set_first = name in question.settings[0]  # then it is known where it is changed from
    every = [question.fitted, *map(question.design.find, question.follows)]
    parts = [part for e in every for part in e.linear_predictors]
    for key, own in ((key, own) for part in parts for key, own in part.follows.items()):
        estimated = isinstance(own, FollowSteps) or (isinstance(own, FollowValue) and not set_first)
        if estimated and getattr(key, "variable", None) == name:
            what = f"Some values of {variable.label!r} are estimated, or its steps are."
            raise FitError(Problem(what, fix="State values it is set to: values=[...]."))
    told = question.fitted.outlined
    others = tuple(told.get(name, ())) if told is not None else related_to(question.design, name)
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


def known_predictors(equations: Sequence[EquationDesign]) -> dict[str, Variable]:
    """Return what can be set in some equations, as the first one that has it has it."""
    found: dict[str, Variable] = {}
    for e in equations:
        found = predictors_of(e) | found
    return found


def _combinations(
    known: Mapping[str, Variable], where: str, at: Mapping[str, Values], apart: Sequence[str]
) -> tuple[dict[str, Setting], ...]:
    """Return every combination of stated values, by the model's names of variables."""
    stated = name_settings(known, [(name, as_values(own, name)) for name, own in at.items()])
    for name, own in stated.items():
        if name in apart:
            raise FitError(f"{known[name].label!r} is what is compared; it cannot be set, too.")
        if not own:
            raise FitError(f"{where}= states no value of {known[name].label!r}.")
        check_values(known[name], own)
    if math.prod(len(own) for own in stated.values()) > MOST:
        raise FitError(f"{where}= asks for more than {MOST:,} combinations of values. State fewer values.")
    return tuple(dict(zip(stated, chosen, strict=True)) for chosen in product(*stated.values()))


def _labels(equation: EquationDesign, *, new: bool) -> pd.DataFrame:
    """Return what every row is called: patient and session of the fit's own, its number and predictors of new ones."""
    if not new:
        own = pd.DataFrame({"patient": equation.patient, "session": equation.session})
        return own.drop(columns=[SESSION]) if np.isnan(equation.session).all() else own
    columns = {line_name(own): _column(own) for own in predictors_of(equation).values()}
    return pd.DataFrame({ROW: equation.row + 1, **columns})


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
