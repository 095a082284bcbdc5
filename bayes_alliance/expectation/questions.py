"""Which rows a question is about, what is set in them, and which of them are averaged."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Final

import numpy as np
import pandas as pd
from scipy import sparse

from bayes_alliance._messages import quote
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.latent_columns import FollowSteps, FollowValue
from bayes_alliance.design.related_variables import Together, related_to, rows_together
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.chains import names_read
from bayes_alliance.expectation.grids import data_grid
from bayes_alliance.expectation.new_data import Moved, Units, move
from bayes_alliance.expectation.new_row_columns import NewRows, missing_modelled, say_missing
from bayes_alliance.expectation.new_rows import CodedRows, code_new_rows
from bayes_alliance.expectation.question_rows import ROW, averages, labels_of, line_name, say_held
from bayes_alliance.expectation.set_calls import calls_around, set_call, shift_call, split_calls
from bayes_alliance.expectation.set_variables import (
    Setting,
    check_values,
    follow_session,
    name_settings,
    predictors_of,
    set_variables,
    with_others,
)
from bayes_alliance.findings import Problem
from bayes_alliance.names import SESSION, clock_of
from bayes_alliance.spec.expressions import calls_in
from bayes_alliance.spec.variables_read import values_in

type Values = Setting | Sequence[Setting]

LARGEST: Final = 10**15
"""Whole numbers that a variable is set to at most; larger ones are no different from their neighbours."""

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
        found = known_predictors([self.fitted, *(self.design.find(name) for name in self.follows)])
        return {name: own for name, own in found.items() if name != self.fitted.spec.outcome}

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

    def kept(self, rows: np.ndarray) -> Question:
        """Return the question over some of its rows, as far as labels, averages and their weights go."""
        if self.weights is None or self.sets is None:
            return replace(self, labels=self.labels[rows].reset_index(drop=True))
        weights = self.weights[:, np.flatnonzero(rows)]
        total = np.asarray(weights.sum(axis=1)).ravel()
        left = np.flatnonzero(total > 0)
        weights = sparse.csr_array(weights[left].multiply(1 / total[left][:, None]))
        return replace(self, weights=weights, sets=self.sets.iloc[left].reset_index(drop=True))

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
    known.pop(name, None)  # what is asked for cannot be set
    settings = _combinations(known, "at", at or {}, apart)
    made = None if grid is None else _combinations(known, "grid", grid, apart)
    twice = [known[one].label for one in settings[0] if made is not None and one in made[0]]
    if twice:
        raise FitError(Problem(f"at= and grid= both set {quote(twice)}.", fix="State it in one of them."))
    held = {*settings[0], *(made[0] if made else ()), *apart}
    lacking = {} if propagate or rows is None else missing_modelled(design, fitted, rows)
    names = names_read(design.spec, name, held) if propagate else (*lacking, name)
    equations = {one: design.find(one) for one in names}
    if made is not None:
        whole = made
        if len(equations) > 1:  # what goes with what is set goes along in every equation
            every = replace(design, equations=tuple(equations.values()))
            whole = tuple(with_others(every, stated) for stated in made)
        rows = data_grid([fitted, *(e for e in equations.values() if e is not fitted)], whole)
        rows = rows.drop(columns=[one for one in rows if _follows(str(one), equations, names, made[0])])
    drawn = frozenset(names) if propagate or lacking else frozenset[str]()
    coded = {
        one: CodedRows(e, None)
        if rows is None
        else code_new_rows(e, rows, design.roles, drawn=drawn, session=_session_read(e, fitted))
        for one, e in equations.items()
    }
    equation, units = coded[name].equation, coded[name].units
    labels = labels_of(equation, new=rows is not None, drawn=drawn - set(lacking))
    if made is not None:
        labels = pd.DataFrame([{line_name(known[key]): value for key, value in stated.items()} for stated in made])
    sets, weights = None, None
    both = [one for one in by if any(one in (key, known[key].label) for key in settings[0])]
    goes = [
        one
        for one in by
        for key in settings[0]
        if key in {v for e in equations.values() for v in e.variables} and _is_related(design, key, one)
    ]
    if goes and not both:
        raise FitError(f"{quote(goes)} goes with what at= sets, so rows have no values of their own to be averaged by.")
    if both:
        raise FitError(f"{quote(both)} is set by at=, so rows have no values of their own to be averaged by.")
    if by != [ROW] and (by or rows is None):
        others = [own.equation for one, own in coded.items() if one != name]
        sets, weights = averages(fitted, equation, units, by, others if propagate else ())
    follows = coded if propagate or lacking else {}
    said = dict.fromkeys(message for own in coded.values() for message in own.messages)
    messages = (*said, *say_missing(equations, lacking), *(say_held(design, equations) if propagate else ()))
    return Question(
        design, fitted, equation, units, settings, labels, sets, weights, made is not None, messages, follows, lacking
    )


def _session_read(e: EquationDesign, fitted: EquationDesign) -> float | None:
    """Return a session, or a time, for rows that are patients, where what an equation of sessions says of them is read.

    Which one does not matter: a value that depends on it is read at a stated session, and a slope is that of a line.
    """
    if e.spec.unit != SESSION or fitted.spec.unit == SESSION:
        return None
    clock = clock_of(e.variables)
    return float(e.variables[clock].values.mean()) if clock in e.variables else 1.0


def _is_related(design: Design, name: str, other: str) -> bool:
    """Return whether a variable that is stated by its name or label goes with one that is set."""
    labels = {v.label: key for e in design.equations for key, v in e.variables.items()}
    return labels.get(other, other) in related_to(design, name)


def _follows(
    column: str, equations: Mapping[str, EquationDesign], names: Sequence[str], stated: Collection[str]
) -> bool:
    """Return whether a column of made rows is drawn, or is a mean of what is drawn: not what was stated, nor lags."""
    if column in stated or len(names) < 2:
        return False
    calls = [call for e in equations.values() for text, call in calls_around(e).items() if text == column]
    means = [call for call in calls if not any(one.function == "lag" for one in calls_in(call))]
    return column in names or any(set(names) & set(values_in(call)) for call in means)


def over_sessions(question: Question, settings: Mapping[str, Setting]) -> list[Moved]:
    """Return the fit's rows with variables set, and the session set to every one there is, in order.

    What is a function of the session's number goes with it, also where the model does not read the number itself.
    """
    e = question.fitted
    found = []
    for session in np.unique(e.session):
        found.append(question.moved({**session_settings(e, session), **settings}))
    return found


def session_settings(equation: EquationDesign, session: float) -> dict[str, Setting]:
    """Return what is set where the session is: itself, or what is a function of it where the model does not read it."""
    return {SESSION: float(session)} if SESSION in equation.variables else follow_session(equation, float(session))


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
        if isinstance(value, int) and abs(value) > LARGEST:
            raise FitError(f"A number of {name!r} is too large.")
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
