"""Observe ordered categories."""

from __future__ import annotations

import numpy as np
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.build.outcome.curves import curve_of
from bayes_alliance.build.outcome.given import Given, observe_custom
from bayes_alliance.build.outcome.thresholds import draw_category, edges
from bayes_alliance.design.equations.equation import EquationDesign


def observe(equation: EquationDesign, given: Given) -> None:
    """Observe ordered categories of a latent variable cut at thresholds (McCullagh 1980)."""
    first, curve = equation.scale.bounds[0], curve_of(equation.kind.link)

    def logp(value: TensorVariable, mean: TensorVariable, *cuts: TensorVariable) -> TensorVariable:
        low, high = edges(value - first, cuts)
        return curve.log_between(low - mean, high - mean)

    def random(
        mean: np.ndarray, *cuts: np.ndarray, rng: np.random.Generator, size: tuple[int, ...] | None = None
    ) -> np.ndarray:
        return first + draw_category(curve, mean, cuts, rng, size)

    observe_custom(equation, logp, random, given.linear, *given.thresholds)
