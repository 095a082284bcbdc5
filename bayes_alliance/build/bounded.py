"""Outcomes with edges: scores censored at their bounds or beta between them, ordered categories, hazards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.names import obs_dim

FAR = 1e4
"""Stands for a threshold that is none: beyond it the logistic curve is 0 or 1 to the last digit."""


def observe_censored(equation: EquationDesign, mean: TensorVariable, spread: TensorVariable) -> None:
    """Observe normal scores of which those at a bound are known to lie there or beyond (Tobin 1958).

    Rows are taken apart: a tail costs five times as much as a density, and most rows lie inside.
    """
    y, (low, high) = equation.y, equation.scale.bounds
    inside, below, above = (
        _some_rows(name, equation, np.flatnonzero(rows))
        for name, rows in (("inside", (y > low) & (y < high)), ("below", y <= low), ("above", y >= high))
    )

    def logp(value: TensorVariable, mean: TensorVariable, spread: TensorVariable) -> TensorVariable:
        z = (value - mean) / spread
        scale = pt.log(spread)[inside].sum() if spread.ndim else pt.log(spread) * inside.shape[0]
        density = (-0.5 * z[inside] ** 2 - 0.5 * np.log(2 * np.pi)).sum() - scale
        return density + _log_normal(z[below]).sum() + _log_normal(-z[above]).sum()

    def random(
        mean: np.ndarray, spread: np.ndarray, rng: np.random.Generator, size: tuple[int, ...] | None = None
    ) -> np.ndarray:
        wide = spread if np.ndim(spread) == np.ndim(mean) else np.asarray(spread)[..., None]
        return np.asarray(np.clip(rng.normal(mean, wide, None if size is None else (*size, len(y))), low, high))

    pm.CustomDist(
        equation.outcome,
        mean + pt.zeros(len(y)),
        spread,
        logp=logp,
        random=random,
        observed=_data(equation, "observed", y),
        dims=obs_dim(equation.outcome),
        signature="(n),(n)->(n)" if spread.ndim else "(n),()->(n)",
    )


def _some_rows(name: str, equation: EquationDesign, rows: np.ndarray) -> TensorVariable:
    dim = f"{name}_{equation.outcome}_row"
    pm.modelcontext(None).add_coord(dim, rows)
    return pm.Data(f"{name}_{equation.outcome}", rows, dims=dim)


def _log_normal(z: TensorVariable) -> TensorVariable:
    """Return the log of the normal distribution function; each branch sees only numbers it is exact for."""
    low, high = pt.minimum(z, 0.0) / np.sqrt(2), pt.maximum(z, 0.0) / np.sqrt(2)
    return pt.switch(pt.lt(z, 0), np.log(0.5) + pt.log(pt.erfcx(-low)) - low**2, pt.log1p(-0.5 * pt.erfc(high)))


def observe_hazard(equation: EquationDesign, mean: TensorVariable) -> None:
    """Observe 0/1 outcomes whose linear predictor is the log of the hazard summed over the session."""

    def logp(value: TensorVariable, mean: TensorVariable) -> TensorVariable:
        hazard = pt.exp(mean)
        return pt.switch(pt.eq(value, 1), pt.log(-pt.expm1(-hazard)), -hazard)

    def random(mean: np.ndarray, rng: np.random.Generator, size: tuple[int, ...] | None = None) -> np.ndarray:
        return np.asarray(rng.exponential(size=np.shape(mean) if size is None else size) < np.exp(mean), dtype=float)

    _observe(equation, logp, random, mean)


def observe_categories(equation: EquationDesign, mean: TensorVariable, cuts: Sequence[TensorVariable]) -> None:
    """Observe ordered categories of a logistic variable cut at thresholds (McCullagh 1980)."""
    first = equation.scale.bounds[0]

    def logp(value: TensorVariable, mean: TensorVariable, *cuts: TensorVariable) -> TensorVariable:
        low, high = _edges(value - first, cuts)
        return _log_between(low - mean, high - mean)

    def random(
        mean: np.ndarray, *cuts: np.ndarray, rng: np.random.Generator, size: tuple[int, ...] | None = None
    ) -> np.ndarray:
        return first + _category(mean, cuts, rng, size)

    _observe(equation, logp, random, mean, *cuts)


def observe_bounded(
    equation: EquationDesign, mean: TensorVariable, cuts: Sequence[TensorVariable], phi: TensorVariable
) -> None:
    """Observe scores that lie at the lowest value, at the highest, or beta distributed between (Kubinec 2023)."""
    scale = equation.scale
    category = scale.category(equation.y)
    place = _data(equation, "place", category)
    # scores at the bounds have no density between them: a number in the middle stands in, and is not read
    between = _data(equation, "between", np.where(category == 1, scale.share(equation.y), 0.5))
    width = np.log(scale.width)

    def logp(value: TensorVariable, mean: TensorVariable, *given: TensorVariable) -> TensorVariable:
        floor, ceiling, phi, place, between = given
        low, high = _edges(place, (floor, ceiling))
        a, b = pt.sigmoid(mean) * phi, pt.sigmoid(-mean) * phi
        beta = pt.gammaln(phi) - pt.gammaln(a) - pt.gammaln(b)
        beta = beta + (a - 1) * pt.log(between) + (b - 1) * pt.log1p(-between) - width
        return _log_between(low - mean, high - mean) + pt.switch(pt.eq(place, 1), beta, 0.0) + 0 * value

    def random(
        mean: np.ndarray, *given: np.ndarray, rng: np.random.Generator, size: tuple[int, ...] | None = None
    ) -> np.ndarray:
        floor, ceiling, phi, _, _ = given
        drawn = _category(mean, (floor, ceiling), rng, size)
        share = 1 / (1 + np.exp(-mean))
        inside = rng.beta(np.maximum(share * phi, 1e-9), np.maximum((1 - share) * phi, 1e-9), size)
        return np.asarray(scale.bounds[0] + scale.width * np.where(drawn == 1, inside, drawn / 2))

    _observe(equation, logp, random, mean, *cuts, phi, place, between)


def _edges(category: TensorVariable, cuts: Sequence[TensorVariable]) -> tuple[TensorVariable, TensorVariable]:
    """Return the thresholds below and above every row's category, counted from 0."""
    low: TensorVariable = pt.as_tensor(-FAR)
    high: TensorVariable = pt.as_tensor(FAR)
    for number, cut in enumerate(cuts):
        low = pt.switch(pt.gt(category, number), cut, low)
    for number, cut in reversed(list(enumerate(cuts))):
        high = pt.switch(pt.le(category, number), cut, high)
    return low, high


def _log_between(low: TensorVariable, high: TensorVariable) -> TensorVariable:
    """Return the log of the logistic probability between two numbers, without the loss of a difference."""
    return -pt.softplus(-high) - pt.softplus(low) + pt.log(-pt.expm1(low - high))


def _category(
    mean: np.ndarray, cuts: Sequence[np.ndarray], rng: np.random.Generator, size: tuple[int, ...] | None
) -> np.ndarray:
    """Draw categories, counted from 0."""
    latent = mean + rng.logistic(size=np.shape(mean) if size is None else size)
    return np.asarray(sum((latent > cut for cut in cuts), start=np.zeros(latent.shape)))


def _data(equation: EquationDesign, what: str, values: np.ndarray) -> TensorVariable:
    return pm.Data(f"{what}_{equation.outcome}", values, dims=obs_dim(equation.outcome))


def _observe(
    equation: EquationDesign,
    logp: Callable[..., TensorVariable],
    random: Callable[..., Any],
    *given: TensorVariable,
) -> None:
    observed = _data(equation, "observed", equation.y)
    pm.CustomDist(equation.outcome, *given, logp=logp, random=random, observed=observed, dims=obs_dim(equation.outcome))
