"""What changes in the outcome when a predictor is set to one value rather than another, averaged over the rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Literal

import numpy as np
import xarray as xr

from bayes_alliance._messages import unknown
from bayes_alliance.errors import FitError
from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.outcome.contract import OutcomeRows, normal_rule
from bayes_alliance.posterior.effects import with_effects
from bayes_alliance.posterior.family_parameters import rows_of
from bayes_alliance.posterior.linear import stack_draws
from bayes_alliance.posterior.moved import Moved, move
from bayes_alliance.posterior.setting import Setting, check_values, name_settings, set_variables

type Groups = Literal["integrated", "zero"]

AT_ONCE = 4_000_000
"""Numbers (draws times rows) that are worked out together."""

TAKEN = ("chain", "draw", "mean", "difference")
"""Dimensions and variables of a result, which no predictor can be called."""

MOST_COMBINATIONS = 1_000
"""Combinations of values that predictors are set to."""


def marginal_effects(
    fit: Fit,
    variable: str,
    *,
    values: Sequence[Setting],
    at: Mapping[str, Sequence[Setting]] | None = None,
    outcome: str | None = None,
    groups: Groups = "integrated",
) -> xr.Dataset:
    """Return the expected outcome with a predictor at stated values, and differences from the first, as draws.

    In every row the predictor, and the moderators of ``at``, are set to each value; all else stays as observed; rows
    are averaged. What goes with a variable is set with it: 0/1 variables that stand for its levels, the residual SD and
    the covariances of its level, and the units of a factor that one arm has and the other has not. Means and lags of
    what is set are not moved. Latent means and modelled values are those of the rows' own units, as drawn.

    Parameters
    ----------
    fit : Fit
        With its design.
    variable : str
        A predictor, in the model's name or the study's.
    values : sequence
        Two or more numbers, or levels of a factor; differences are from the first. Levels that are numbers may be
        stated as numbers.
    at : mapping of str to sequence, optional
        Moderators and their values.
    outcome : str, optional
        Which outcome, where the model has several.
    groups : {"integrated", "zero"}
        Group effects integrated out, so that a probability is that of a new patient of a new therapist; or at 0, that
        of a typical one. The same for Gaussian outcomes.

    Returns
    -------
    Dataset over (chain, draw, <variable>, <moderators>)
        ``mean`` in units of the outcome (probabilities for 0/1 outcomes, shares of the trials for numbers of
        successes), and ``difference`` from the first value.

    Raises
    ------
    FitError
        If the fit has no design, or a predictor or value is none that can be set.
    """
    design = design_of(fit)
    if groups not in ("integrated", "zero"):
        raise FitError(unknown("groups", str(groups), ("integrated", "zero")))
    equation = design.find(outcome)
    _check_stated({variable: values, **(at or {})})
    settings = {variable: list(values), **{name: list(own) for name, own in (at or {}).items() if name != variable}}
    if len(values) < 2:
        raise FitError(f"Differences need two values of {variable!r} or more.")
    named = name_settings(equation, [(variable, list(values)), *((n, list(own)) for n, own in (at or {}).items())])
    for name, own in named.items():
        check_values(equation.variables[name], own)
    shape = tuple(len(own) for own in named.values())
    if math.prod(shape) > MOST_COMBINATIONS:
        raise FitError(
            f"values and at ask for more than {MOST_COMBINATIONS:,} combinations, the limit. State fewer values."
        )
    flat = stack_draws(with_effects(fit) if equation.follows else fit.data["posterior"].to_dataset())
    means = np.empty((flat.sizes["sample"], *shape))
    for place, chosen in zip(np.ndindex(*shape), product(*named.values()), strict=True):
        moved = move(design, equation, set_variables(equation, dict(zip(named, chosen, strict=True))))
        means[(slice(None), *place)] = _mean(moved, flat, groups)
    chains, draws = fit.data["posterior"].sizes["chain"], fit.data["posterior"].sizes["draw"]
    dims = ("chain", "draw", *settings)
    coords = {"chain": np.arange(chains), "draw": np.arange(draws), **settings}
    mean = xr.DataArray(means.reshape(chains, draws, *shape), dims=dims, coords=coords)
    difference = mean.isel({variable: slice(1, None)}) - mean.isel({variable: 0}, drop=True)
    return xr.Dataset({"mean": mean, "difference": difference.rename({variable: f"{variable}_less_{values[0]}"})})


def _check_stated(stated: Mapping[str, object]) -> None:
    """Refuse what is no list of values, and names that the result has uses for, all at once."""
    problems = []
    for name, own in stated.items():
        if isinstance(own, str) or not isinstance(own, Sequence | np.ndarray) or not len(own):
            problems.append(f"{name!r}: {own!r} is no list of values. State a list, such as [0, 1].")
        elif any(not isinstance(value, str | int | float | np.number) for value in own):
            problems.append(f"{name!r}: {list(own)!r} has what is neither a number nor a level.")
        if name in TAKEN:
            problems.append(f"{name!r} is a name that the result uses. Rename the column and the predictor.")
    if problems:
        raise FitError(problems)


def _mean(moved: Moved, flat: xr.Dataset, groups: Groups) -> np.ndarray:
    """Return the expected outcome averaged over rows, shape (draw,)."""
    e = moved.equation
    if e.kind.linear:
        return moved.mean(flat) + e.offset
    size = max(1, AT_ONCE // len(e.y))
    parts = [flat.isel(sample=slice(start, start + size)) for start in range(0, flat.sizes["sample"], size)]
    return np.concatenate([_mean_of_part(moved, part, groups) for part in parts]) + e.offset


def _mean_of_part(moved: Moved, flat: xr.Dataset, groups: Groups) -> np.ndarray:
    e, linear, spread = moved.equation, moved.linear(flat), moved.spread()
    log_sd = None if spread is None else spread.linear(flat)
    rows = rows_of(e, flat, moved.sigma(flat) if log_sd is None else np.exp(log_sd))
    if groups == "zero":
        return np.asarray(rows.expected(linear).mean(axis=1))
    of_mean = _carried(moved, flat)
    if spread is None:
        return np.asarray(rows.expected_over(linear, _variance(of_mean, linear)).mean(axis=1))
    return _over_spread(rows, linear, of_mean, _carried(spread, flat))


type Carried = dict[tuple[str, int], np.ndarray]


def variance_of_effects(moved: Moved, flat: xr.Dataset) -> np.ndarray:
    """Return the variance of the sum of each row's group effects, those of new units, shape (draw, obs)."""
    return _variance(_carried(moved, flat), np.zeros((flat.sizes["sample"], len(moved.equation.y))))


def _carried(moved: Moved, flat: xr.Dataset) -> Carried:
    """Return what standard normal variables of a new unit add to a row's predictor, (draw, obs, root), by factor."""
    found = {}
    for own in moved.groups():
        roots = own.roots(moved.design, flat)[:, own.stratum]
        found[own.group.factor, own.group.slot] = np.einsum("oe,soek->sok", own.values, roots)
    return found


def _variance(carried: Carried, like: np.ndarray) -> np.ndarray:
    """Return the variance that new units' effects add, shape (draw, obs)."""
    return sum(((one**2).sum(axis=2) for one in carried.values()), start=np.zeros_like(like))


def _over_spread(rows: OutcomeRows, linear: np.ndarray, of_mean: Carried, of_spread: Carried) -> np.ndarray:
    """Return the mean over rows where the log residual SD has group effects, too, which may go with those of the mean.

    Given the effect on the log SD, that on the mean is normal; the former is integrated point by point.
    """
    own, its = _variance(of_mean, linear), _variance(of_spread, linear)
    together = sum(
        ((one * of_spread[key]).sum(axis=2) for key, one in of_mean.items() if key in of_spread),
        start=np.zeros_like(linear),
    )
    slope = np.divide(together, its, out=np.zeros_like(its), where=its > 0)
    left = np.maximum(own - slope * together, 0.0)
    total = np.zeros(len(linear))
    for node, weight in normal_rule(float(np.sqrt(its.max(initial=0.0)))):
        effect = node * np.sqrt(its)
        wider = replace(rows, given={**rows.given, "sigma": rows.given["sigma"] * np.exp(effect)})
        total += weight * wider.expected_over(linear + slope * effect, left).mean(axis=1)
    return total
