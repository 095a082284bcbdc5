"""Predictions averaged over the rows of a study: the fitted trajectory of each condition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayes_alliance._messages import unknown
from bayes_alliance.design.columns.functions import functions_around
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.expectation.expected import Effects, expected_means
from bayes_alliance.expectation.linear import stack_draws
from bayes_alliance.expectation.questions import ask
from bayes_alliance.expectation.set_variables import Setting, follow_session
from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.names import SESSION, clock_of
from bayes_alliance.spec.expressions import Call, Expression, Operation, names_in

NO_TRAJECTORY = (
    "This model has no trajectory: it needs an outcome with an identity link (gaussian, student_t), session or time as "
    "a plain predictor, and no earlier values of the outcome among its predictors."
)


MOST_POINTS = 60
"""Different times that have a point each in a picture; where there are more, neighbouring ones share one."""

FEW_POINTS = 12
"""Points that neighbouring times share."""


@dataclass(frozen=True, eq=False)
class ObservedMeans:
    """Observed mean outcome and number of rows per arm and time, shape (arm, time).

    Times are those of sessions, or, where there are many, means of groups of neighbouring times.
    """

    time: np.ndarray
    mean: np.ndarray
    count: np.ndarray


def has_trajectories(fit: Fit, outcome: str | None = None) -> bool:
    """Return whether an outcome's expected value is its linear predictor, and its predictors can be moved in time."""
    if fit.design is None:
        return False
    equation = fit.design.find(outcome)
    moving = equation.variables.get(clock_of(equation.variables))
    return equation.kind.linear and moving is not None and moving.levels is None and _movable(equation)


def predict_trajectories(fit: Fit, *, outcome: str | None = None, points: int | None = None) -> xr.DataArray:
    """Return the expected outcome along time for each condition, every draw kept.

    Every row's time and condition are set to the point's, with what goes with them, all else stays as observed,
    group effects are at their mean of 0, and the rows are averaged. Latent means and modelled values are those of the
    rows' own units, as drawn.

    Parameters
    ----------
    fit : Fit
        With its rows.
    outcome : str, optional
        Which outcome, where the model has several.
    points : int, optional
        Number of times between the first and last observed one; else 50, or the observed sessions where
        another predictor is a function of the session and known for these alone.

    Returns
    -------
    DataArray over (chain, draw, arm, session), or time where the model reads a column of time
        Outcome units.

    Raises
    ------
    FitError
        If the fit has no rows or the model no trajectory.
    """
    equation = _with_trajectory(fit, outcome)
    question = ask(design_of(fit), outcome=equation.outcome, rows=None, at=None, grid=None, by=None)
    grid, levels = _grid(equation, points, 50), arm_levels(equation)
    flat = stack_draws(with_effects(fit) if equation.follows else fit.data["posterior"].to_dataset())
    none: dict[str, Effects] = dict.fromkeys(question.factors, "zero")
    means = [
        [expected_means(question.moved(_settings(equation, s, arm)), flat, none)[:, 0] for s in grid] for arm in levels
    ]
    sizes = fit.data["posterior"].sizes
    values = np.array(means).reshape(len(levels), len(grid), sizes["chain"], sizes["draw"])
    clock = clock_of(equation.variables)
    coords = {"arm": list(levels), clock: grid, **_chains(fit)}
    return xr.DataArray(values, dims=("arm", clock, "chain", "draw"), coords=coords).transpose(
        "chain", "draw", "arm", clock
    )


def _grid(equation: EquationDesign, points: int | None, usual: int) -> np.ndarray:
    """Return times from the first to the last observed one."""
    if points is not None and points < 1:
        raise FitError(f"points = {points}: state how many values of time, 1 or more.")
    clock = clock_of(equation.variables)
    times = equation.variables[clock].values
    observed = np.unique(times[np.isfinite(times)])
    if points is None and clock == SESSION and follow_session(equation, float(observed[0])):
        return observed
    return np.linspace(observed[0], observed[-1], usual if points is None else points)


def predict_unit_trajectories(
    fit: Fit, factor: str, *, outcome: str | None = None, points: int | None = None
) -> xr.DataArray:
    """Return the expected outcome along time of every level of a factor, its own effects added.

    Of every level with a row of the outcome, these rows are averaged with the time set: a therapist's patients keep
    their condition and what else is known of them. Effects of other factors are at their mean of 0.

    Parameters
    ----------
    fit : Fit
        With its rows.
    factor : str
        Such as ``"therapist"``.
    outcome : str, optional
        Which outcome, where the model has several.
    points : int, optional
        Number of times between the first and last observed one; else 20, or the observed sessions where
        another predictor is a function of the session and known for these alone.

    Returns
    -------
    DataArray over (chain, draw, <factor>, session), or time where the model reads a column of time
        Outcome units.

    Raises
    ------
    FitError
        If the fit has no rows, the model no trajectory or no such factor, or rows belong to several of its levels.
    """
    equation = _with_trajectory(fit, outcome)
    if factor not in [one.factor for one in equation.groups]:
        raise FitError(unknown("grouping factor", factor, [one.factor for one in equation.groups]))
    question = ask(design_of(fit), outcome=equation.outcome, rows=None, at=None, grid=None, by=factor)
    assert question.sets is not None
    assert question.weights is not None
    names = question.sets[factor].astype(str)
    there = np.flatnonzero(names != "")  # rows outside every level are of none
    flat = stack_draws(with_effects(fit))
    own: dict[str, Effects] = {**dict.fromkeys(question.factors, "zero"), factor: "own"}
    grid = _grid(equation, points, 20)
    means = [
        expected_means(question.moved(_settings(equation, s, None)), flat, own, question.weights[there]) for s in grid
    ]
    sizes = fit.data["posterior"].sizes
    values = np.stack(means, axis=2).reshape(sizes["chain"], sizes["draw"], len(there), len(grid))
    clock = clock_of(equation.variables)
    coords = {factor: list(names[there]), clock: grid, **_chains(fit)}
    return xr.DataArray(values, dims=("chain", "draw", factor, clock), coords=coords)


def _chains(fit: Fit) -> dict[str, xr.DataArray]:
    posterior = fit.data["posterior"].to_dataset()
    return {name: posterior[name] for name in ("chain", "draw")}


def _with_trajectory(fit: Fit, outcome: str | None) -> EquationDesign:
    """Return the equation of an outcome that has a trajectory."""
    if fit.design is None:
        raise FitError("Trajectories need the rows; use fit.with_rows(sessions).")
    if not has_trajectories(fit, outcome):
        raise FitError(NO_TRAJECTORY)
    return fit.design.find(outcome)


def observed_means(equation: EquationDesign) -> ObservedMeans:
    """Return what the trajectories should pass near, in outcome units."""
    times = equation.variables[clock_of(equation.variables)].values
    place, shown = _neighbours(times)
    arms = arm_levels(equation)
    code = equation.arms.code if equation.arms and len(arms) > 1 else np.zeros(len(equation.y), dtype=int)
    mean = np.full((len(arms), len(shown)), np.nan)
    count = np.zeros((len(arms), len(shown)), dtype=int)
    for a in range(len(arms)):
        for t in range(len(shown)):
            rows = (code == a) & (place == t) & equation.seen
            count[a, t] = rows.sum()
            if rows.any():
                mean[a, t] = equation.y[rows].mean() + equation.offset
    return ObservedMeans(shown, mean, count)


def _neighbours(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the group of every row by its time, and the time each group stands at."""
    distinct, place = np.unique(times, return_inverse=True)
    if len(distinct) <= MOST_POINTS:
        return place, distinct
    cuts = np.unique(np.quantile(times, np.linspace(0, 1, FEW_POINTS + 1)[1:-1]))
    place = np.searchsorted(cuts, times, side="left")
    _, place = np.unique(place, return_inverse=True)
    return place, np.bincount(place, weights=times) / np.bincount(place)


def arm_levels(equation: EquationDesign) -> tuple[str, ...]:
    """Return the arms a trajectory is drawn for: the levels of a condition that is in the formula."""
    variable = _arm_variable(equation)
    return variable.levels if variable is not None and variable.levels else ("all",)


def _arm_variable(equation: EquationDesign) -> Variable | None:
    if equation.arms is None:
        return None
    found = [v for v in equation.variables.values() if v.label == equation.arms.label and v.levels]
    return found[0] if found else None


def _settings(equation: EquationDesign, time: float, arm: str | None) -> dict[str, Setting]:
    """Return the time, and the condition where there is one in the formula."""
    settings: dict[str, Setting] = {clock_of(equation.variables): time}
    variable = _arm_variable(equation)
    if variable is not None and arm is not None:
        settings[variable.name] = arm
    return settings


def _movable(equation: EquationDesign) -> bool:
    """Return whether time and condition can be moved.

    They cannot where a term mixes them with a call that looks at other rows, or where the outcome follows its own
    earlier values, which would be others at another time or in another arm. Deviations have the mean 0 at any.
    """
    variable = _arm_variable(equation)
    names = {clock_of(equation.variables)} | ({variable.name} if variable is not None else set())
    for term in equation.spec.parsed.terms:
        around = [name for part in term.parts for name in functions_around(part)]
        if around and names & {name for part in term.parts for name in names_in(part)}:
            return False
        read = {name for part in term.parts for name in _earlier_values(part)}
        if equation.spec.outcome in read:
            return False
    return True


def _earlier_values(part: Expression) -> Iterator[str]:
    """Yield the variables whose earlier values a part reads as they are, not as deviations from a mean."""
    if isinstance(part, Call) and part.function == "within":
        return
    if isinstance(part, Call) and part.function == "lag":
        inner = part.arguments[0]
        yield from () if isinstance(inner, Call) and inner.function == "within" else names_in(inner)
    elif isinstance(part, Call):
        for argument in part.arguments:
            yield from _earlier_values(argument)
    elif isinstance(part, Operation):
        yield from _earlier_values(part.left)
        yield from _earlier_values(part.right)
