"""Predictions averaged over the rows of a study: the fitted trajectory of each condition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayes_alliance._messages import unknown
from bayes_alliance.design.columns.functions import functions_around
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.factors import find_factor
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.expectation.linear import stack_draws
from bayes_alliance.expectation.new_data import Moved, move
from bayes_alliance.expectation.set_variables import Setting, follow_session, set_variables
from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.names import COEF, SESSION, effect_dim, effects_name, factor_key
from bayes_alliance.spec.expressions import Call, Expression, Operation, names_in

NO_TRAJECTORY = (
    "This model has no trajectory: it needs an outcome with an identity link (gaussian, student_t), session as a plain "
    "predictor, and no earlier values of the outcome among its predictors."
)


@dataclass(frozen=True, eq=False)
class ObservedMeans:
    """Observed mean outcome and number of rows per arm and session, shape (arm, session)."""

    session: np.ndarray
    mean: np.ndarray
    count: np.ndarray


def has_trajectories(fit: Fit, outcome: str | None = None) -> bool:
    """Return whether an outcome's expected value is its linear predictor, and its predictors can be moved in time."""
    if fit.design is None:
        return False
    equation = fit.design.find(outcome)
    moving = equation.variables.get(SESSION)
    return equation.kind.linear and moving is not None and moving.levels is None and _movable(equation)


def predict_trajectories(fit: Fit, *, outcome: str | None = None, points: int | None = None) -> xr.DataArray:
    """Return the expected outcome along session for each condition, every draw kept.

    Every row's session and condition are set to the point's, with what goes with them, all else stays as observed,
    group effects are at their mean of 0, and the rows are averaged. Latent means and modelled values are those of the
    rows' own units, as drawn.

    Parameters
    ----------
    fit : Fit
        With its rows.
    outcome : str, optional
        Which outcome, where the model has several.
    points : int, optional
        Number of session values between the first and last observed one; else 50, or the observed sessions where
        another predictor is a function of the session and known for these alone.

    Returns
    -------
    DataArray over (chain, draw, arm, session)
        Outcome units.

    Raises
    ------
    FitError
        If the fit has no rows or the model no trajectory.
    """
    equation = _with_trajectory(fit, outcome)
    grid = _grid(equation, points, 50)
    levels = arm_levels(equation)
    design, posterior = design_of(fit), with_effects(fit) if equation.follows else fit.data["posterior"].to_dataset()
    flat = stack_draws(posterior)
    means = np.array(
        [[_moved(design, equation, s, arm).mean(flat) for s in grid] for arm in levels]
    )  # (arm, session, draw)
    shape = (len(levels), len(grid), posterior.sizes["chain"], posterior.sizes["draw"])
    coords = {"arm": list(levels), SESSION: grid, "chain": posterior["chain"], "draw": posterior["draw"]}
    draws = xr.DataArray(means.reshape(shape) + equation.offset, dims=("arm", SESSION, "chain", "draw"), coords=coords)
    return draws.transpose("chain", "draw", "arm", SESSION)


def _grid(equation: EquationDesign, points: int | None, usual: int) -> np.ndarray:
    """Return session values from the first to the last observed one."""
    if points is not None and points < 1:
        raise FitError(f"points = {points}: state how many session values, 1 or more.")
    observed = np.unique(equation.session[np.isfinite(equation.session)])
    if points is None and follow_session(equation, float(observed[0])):
        return observed
    return np.linspace(observed[0], observed[-1], usual if points is None else points)


def predict_unit_trajectories(
    fit: Fit, factor: str, *, outcome: str | None = None, points: int | None = None
) -> xr.DataArray:
    """Return the expected outcome along session of every level of a factor, its own effects added.

    Of every level with a row of the outcome, these rows are averaged with the session set: a therapist's patients keep
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
        Number of session values between the first and last observed one; else 20, or the observed sessions where
        another predictor is a function of the session and known for these alone.

    Returns
    -------
    DataArray over (chain, draw, <factor>, session)
        Outcome units.

    Raises
    ------
    FitError
        If the fit has no rows, the model no trajectory or no such factor, or values it reads are modelled.
    """
    equation = _with_trajectory(fit, outcome)
    group = next((one for one in equation.groups if one.factor == factor), None)
    if group is None:
        raise FitError(unknown("grouping factor", factor, [one.factor for one in equation.groups]))
    if equation.follows:
        raise FitError(f"{equation.outcome} reads values that are estimated; lines of every {factor} are not drawn.")
    if group.weight is not None:
        raise FitError(f"Rows belong to several levels of {factor}; lines of every {factor} are not drawn.")
    grid = _grid(equation, points, 20)
    size = np.bincount(group.code[group.inside], minlength=len(group.levels))[:, None]
    there = np.flatnonzero(size[:, 0])
    rows, effects = [], []
    for session in grid:
        moved = _moved(design_of(fit), equation, session, None)
        own = next(one for one in moved.groups() if one.group is group)
        rows.append(_level_means(moved.coef.values, group.code, group.inside, size))
        effects.append(_level_means(own.values, group.code, group.inside, size))
    posterior = fit.data["posterior"].to_dataset()
    drawn = posterior if effects_name(factor) in posterior else with_effects(fit)
    places = find_factor(design_of(fit).factors, factor).places[equation.outcome]
    u = drawn[effects_name(factor)].isel({effect_dim(factor): list(places)})
    u = u.transpose("chain", "draw", factor_key(factor), effect_dim(factor))
    b = posterior["b"].sel({COEF: list(equation.coef_labels)}).transpose("chain", "draw", COEF).values
    values = np.einsum("cdk,slk->cdls", b, np.array(rows)) + np.einsum("cdle,sle->cdls", u.values, np.array(effects))
    levels = [group.levels[i] for i in there]
    coords = {"chain": posterior["chain"], "draw": posterior["draw"], factor: levels, SESSION: grid}
    dims = ("chain", "draw", factor, SESSION)
    return xr.DataArray(values[:, :, there] + equation.offset, dims=dims, coords=coords)


def _with_trajectory(fit: Fit, outcome: str | None) -> EquationDesign:
    """Return the equation of an outcome that has a trajectory."""
    if fit.design is None:
        raise FitError("Trajectories need the rows; use fit.with_rows(sessions).")
    if not has_trajectories(fit, outcome):
        raise FitError(NO_TRAJECTORY)
    return fit.design.find(outcome)


def _level_means(values: np.ndarray, code: np.ndarray, inside: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return means of columns over the rows of each level, shape (level, column)."""
    total = np.zeros((len(size), values.shape[1]))
    np.add.at(total, code[inside], values[inside])
    return np.asarray(total / np.maximum(size, 1))


def observed_means(equation: EquationDesign) -> ObservedMeans:
    """Return what the trajectories should pass near, in outcome units."""
    sessions = np.unique(equation.session)
    arms = arm_levels(equation)
    code = equation.arms.code if equation.arms and len(arms) > 1 else np.zeros(len(equation.y), dtype=int)
    mean = np.full((len(arms), len(sessions)), np.nan)
    count = np.zeros((len(arms), len(sessions)), dtype=int)
    for a in range(len(arms)):
        for s, session in enumerate(sessions):
            rows = (code == a) & (equation.session == session) & equation.seen
            count[a, s] = rows.sum()
            if rows.any():
                mean[a, s] = equation.y[rows].mean() + equation.offset
    return ObservedMeans(sessions, mean, count)


def arm_levels(equation: EquationDesign) -> tuple[str, ...]:
    """Return the arms a trajectory is drawn for: the levels of a condition that is in the formula."""
    variable = _arm_variable(equation)
    return variable.levels if variable is not None and variable.levels else ("all",)


def _arm_variable(equation: EquationDesign) -> Variable | None:
    if equation.arms is None:
        return None
    found = [v for v in equation.variables.values() if v.label == equation.arms.label and v.levels]
    return found[0] if found else None


def _moved(design: Design, equation: EquationDesign, session: float, arm: str | None) -> Moved:
    """Return the rows with their session set, and their condition where there is one in the formula."""
    settings: dict[str, Setting] = {SESSION: session}
    variable = _arm_variable(equation)
    if variable is not None and arm is not None:
        settings[variable.name] = arm
    return move(design, equation, set_variables(equation, settings))


def _movable(equation: EquationDesign) -> bool:
    """Return whether session and condition can be moved.

    They cannot where a term mixes them with a call that looks at other rows, or where the outcome follows its own
    earlier values, which would be others at another session or in another arm. Deviations have the mean 0 at any.
    """
    variable = _arm_variable(equation)
    names = {SESSION} | ({variable.name} if variable is not None else set())
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
