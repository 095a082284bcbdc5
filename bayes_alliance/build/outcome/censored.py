"""Observe normal scores that are cut off at their bounds."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.build.outcome.curves import NORMAL
from bayes_alliance.build.outcome.given import Given, row_data
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.names import obs_dim


def observe(equation: EquationDesign, given: Given) -> None:
    """Observe normal scores of which those at a bound are known to lie there or beyond (Tobin 1958).

    Rows are taken apart: a tail costs five times as much as a density, and most rows lie inside.
    """
    mean, spread = given.linear, given.parameters["sigma"]
    y, (low, high) = equation.y, equation.scale.bounds
    inside, below, above = (
        _some_rows(name, equation, np.flatnonzero(rows))
        for name, rows in (("inside", (y > low) & (y < high)), ("below", y <= low), ("above", y >= high))
    )

    def logp(value: TensorVariable, mean: TensorVariable, spread: TensorVariable) -> TensorVariable:
        z = (value - mean) / spread
        scale = pt.log(spread)[inside].sum() if spread.ndim else pt.log(spread) * inside.shape[0]
        density = (-0.5 * z[inside] ** 2 - 0.5 * np.log(2 * np.pi)).sum() - scale
        return density + NORMAL.log_cdf(z[below]).sum() + NORMAL.log_cdf(-z[above]).sum()

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
        observed=row_data(equation, "observed", y),
        dims=obs_dim(equation.outcome),
        signature="(n),(n)->(n)" if spread.ndim else "(n),()->(n)",
    )


def _some_rows(name: str, equation: EquationDesign, rows: np.ndarray) -> TensorVariable:
    dim = f"{name}_{equation.outcome}_row"
    pm.modelcontext(None).add_coord(dim, rows)
    return pm.Data(f"{name}_{equation.outcome}", rows, dims=dim)
