"""Latent means: their measurement model; and what rows that follow anything estimated add to a linear predictor."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.build.groups import Coefficients
from bayes_alliance.build.priors import build_vector
from bayes_alliance.build.steps import build_steps
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.factors import find_factor
from bayes_alliance.design.equations.latent_columns import (
    Follow,
    FollowedThere,
    FollowMeasured,
    FollowModelled,
    FollowSteps,
)
from bayes_alliance.design.equations.measured_means import Measured
from bayes_alliance.design.equations.predictor import Predictor
from bayes_alliance.names import (
    effects_name,
    factor_key,
    mean_name,
    obs_dim,
    spread_name,
    unit_means_name,
)

type Levels = dict[tuple[str, str], TensorVariable]
type Values = Mapping[str, TensorVariable]


def build_measured(design: Design) -> Levels:
    """Build the measurement model of every variable whose means are latent; return the means by variable and factor.

    Rows are normal around their unit's mean and means around those of the wider unit, so the rows count through their
    means, numbers and sums of squares: the size of the graph does not depend on them. Given its SDs a unit's mean is
    normal with the precision-weighted mean of its rows and its wider unit; that is how it is sampled, and the
    observed means have the density left over.
    """
    levels: Levels = {}
    for measured in design.measured:
        levels |= _build_measured(measured, design)
    return levels


def _build_measured(measured: Measured, design: Design) -> Levels:
    label, factors = measured.label, measured.factors
    centre, *spreads = (prior.distribution for prior in design.priors.measured[measured.name])
    mean = build_vector(mean_name(label), [centre], f"{label}_mean")[0]
    spread = build_vector(spread_name(label), spreads, f"{label}_part")
    within = spread[len(factors)]
    above: TensorVariable = mean
    levels: Levels = {}
    for number, factor in enumerate(factors[:-1]):
        dim = f"{label}_{factor}"
        z = pm.Normal(f"z_{unit_means_name(label, factor)}", 0.0, 1.0, dims=dim)
        start = above if number == 0 else above[pm.Data(f"{dim}_in", measured.parents[number], dims=dim)]
        above = start + spread[number] * z
        levels[measured.name, factor] = pm.Deterministic(unit_means_name(label, factor), above, dims=dim)
    dim = f"{label}_{factors[-1]}"
    start = above if len(factors) == 1 else above[pm.Data(f"{dim}_in", measured.parents[-1], dims=dim)]
    start = start + pt.zeros(len(measured.mean))
    per_member = pm.Data(f"{dim}_per_member", 1 / measured.size, dims=dim)
    noise = pm.Data(f"{dim}_noise", np.sqrt((1 - measured.count / measured.size) / measured.count), dims=dim)
    between = spread[len(factors) - 1] ** 2 + within**2 * per_member
    total = between + (within * noise) ** 2
    observed = pm.Data(f"{dim}_observed", measured.mean, dims=dim)
    pm.Normal(f"observed_mean_{label}", start, pt.sqrt(total), observed=observed, dims=dim)
    pm.Potential(
        f"squares_{label}",
        -measured.degrees * pt.log(within) - pm.Data(f"{dim}_squares", measured.squares) / (2 * within**2),
    )
    z = pm.Normal(f"z_{unit_means_name(label, factors[-1])}", 0.0, 1.0, dims=dim)
    value = start + between / total * (observed - start) + within * noise * pt.sqrt(between / total) * z
    levels[measured.name, factors[-1]] = pm.Deterministic(unit_means_name(label, factors[-1]), value, dims=dim)
    return levels


def add_latent(
    predictor: Predictor, design: Design, coefficients: Coefficients, levels: Levels, values: Values
) -> TensorVariable | None:
    """Return what is estimated (means, modelled values, steps) adds beyond what is plugged into an outcome's columns.

    Every column that follows something adds its coefficient, and its group effects, times weight times the difference
    between what is estimated and what is plugged in; shape (obs,), or None where nothing is followed.
    """
    if not predictor.follows:
        return None
    dim = obs_dim(predictor.name)
    differences = {
        mean: _difference(number, follow, predictor, design, coefficients, levels, values)
        for number, (mean, follow) in enumerate(predictor.follows.items())
    }
    total: TensorVariable = pt.zeros(())
    count = 0
    for column, weights in enumerate(predictor.coef.latent):
        for mean, weight in weights.items():
            count += 1
            moved = _weighted(f"follow_{predictor.name}_{count}", weight, differences[mean], dim)
            total = total + coefficients[predictor.name][column] * moved
    for group in predictor.groups:
        factor = find_factor(design.factors, group.factor)
        own = pm.modelcontext(None)[effects_name(group.factor)]
        start = factor.places[predictor.name][0]
        for member, weights in enumerate(group.columns.latent):
            for mean, weight in weights.items():
                count += 1
                code = pm.Data(f"follow_{predictor.name}_{count}_code", group.code, dims=dim)
                inside = np.where(group.inside, weight, 0.0)
                moved = _weighted(f"follow_{predictor.name}_{count}", inside, differences[mean], dim)
                total = total + own[:, start + member][code] * moved
    return total


def _weighted(name: str, weight: np.ndarray, difference: TensorVariable, dim: str) -> TensorVariable:
    if (weight == weight[0]).all() and abs(weight[0]) == 1:
        return difference * float(weight[0])
    return difference * pm.Data(name, weight, dims=dim)


def _difference(
    number: int,
    follow: Follow,
    predictor: Predictor,
    design: Design,
    coefficients: Coefficients,
    levels: Levels,
    values: Values,
) -> TensorVariable:
    """Return what is estimated less what is plugged in, in every row, shape (obs,)."""
    name, dim = f"mean_{number + 1}_{predictor.name}", obs_dim(predictor.name)
    plugged = pm.Data(f"{name}_observed", follow.plugged, dims=dim)
    if isinstance(follow, FollowModelled):
        return _static(name, follow, dim, design, coefficients, levels, values) - plugged
    return _apart(name, follow, plugged, dim, design, levels, values)


def _apart(
    name: str,
    follow: FollowedThere,
    plugged: TensorVariable,
    dim: str,
    design: Design,
    levels: Levels,
    values: Values,
) -> TensorVariable:
    """Return measured means, modelled values, or ways along steps, less what is plugged in for them."""
    if isinstance(follow, FollowMeasured):
        code = pm.Data(f"{name}_code", follow.code, dims=dim)
        return levels[follow.measured, follow.factor][code] - plugged
    if isinstance(follow, FollowSteps):
        return build_steps(follow, design)[pm.Data(f"{name}_code", follow.code, dims=dim)] - plugged
    if follow.outcome not in values:
        return pt.zeros(())
    return values[follow.outcome][pm.Data(f"{name}_code", follow.code, dims=dim)] - plugged


def _static(
    name: str,
    follow: FollowModelled,
    dim: str,
    design: Design,
    coefficients: Coefficients,
    levels: Levels,
    values: Values,
) -> TensorVariable:
    """Return the mean an outcome's equation implies, at the rows that are followed, from what is estimated there."""
    total: TensorVariable = pt.zeros(())
    for column, coefficient in enumerate(coefficients[follow.outcome]):
        numbers = follow.coef[:, column]
        if numbers.any():
            total = total + coefficient * pm.Data(f"{name}_coef_{column + 1}", numbers, dims=dim)
    for factor_name, code, covariates in follow.groups:
        factor = find_factor(design.factors, factor_name)
        own = pm.modelcontext(None)[effects_name(factor_name)]
        start = factor.places[follow.outcome][0]
        codes = pm.Data(f"{name}_{factor_key(factor_name)}_code", code, dims=dim)
        for member in range(covariates.shape[1]):
            if covariates[:, member].any():
                key = f"{name}_{factor_key(factor_name)}_{member + 1}"
                total = total + own[:, start + member][codes] * pm.Data(key, covariates[:, member], dims=dim)
    for number, (column, weight, inner) in enumerate(follow.inner):
        inside = f"{name}_inner_{number + 1}"
        plugged = pm.Data(f"{inside}_observed", inner.plugged, dims=dim)
        apart = _apart(inside, inner, plugged, dim, design, levels, values)
        total = total + coefficients[follow.outcome][column] * pm.Data(f"{inside}_weight", weight, dims=dim) * apart
    return total


def measured_coords(design: Design) -> dict[str, list[str]]:
    """Return the coords of latent means."""
    coords: dict[str, list[str]] = {}
    for measured in design.measured:
        coords |= {f"{measured.label}_mean": [measured.label], f"{measured.label}_part": list(measured.parts)}
        for factor, levels in zip(measured.factors, measured.levels, strict=True):
            coords[f"{measured.label}_{factor}"] = list(levels)
    return coords
