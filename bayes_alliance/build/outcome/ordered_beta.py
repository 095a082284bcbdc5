"""Observe scores between bounds."""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.build.outcome.curves import LOGISTIC
from bayes_alliance.build.outcome.given import Given, observe_custom, row_data
from bayes_alliance.build.outcome.thresholds import draw_category, edges
from bayes_alliance.design.equations.equation import EquationDesign


def observe(equation: EquationDesign, given: Given) -> None:
    """Observe scores that lie at the lowest value, at the highest, or beta distributed between (Kubinec 2023)."""
    scale = equation.scale
    category = scale.category(equation.y)
    place = row_data(equation, "place", category)
    # scores at the bounds have no density between them: a number in the middle stands in, and is not read
    between = row_data(equation, "between", np.where(category == 1, scale.share(equation.y), 0.5))
    width = np.log(scale.width)

    def logp(value: TensorVariable, mean: TensorVariable, *parts: TensorVariable) -> TensorVariable:
        floor, ceiling, phi, place, between = parts
        low, high = edges(place, (floor, ceiling))
        a, b = pt.sigmoid(mean) * phi, pt.sigmoid(-mean) * phi
        beta = pt.gammaln(phi) - pt.gammaln(a) - pt.gammaln(b)
        beta = beta + (a - 1) * pt.log(between) + (b - 1) * pt.log1p(-between) - width
        return LOGISTIC.log_between(low - mean, high - mean) + pt.switch(pt.eq(place, 1), beta, 0.0) + 0 * value

    def random(
        mean: np.ndarray, *parts: np.ndarray, rng: np.random.Generator, size: tuple[int, ...] | None = None
    ) -> np.ndarray:
        floor, ceiling, phi, _, _ = parts
        drawn = draw_category(LOGISTIC, mean, (floor, ceiling), rng, size)
        share = 1 / (1 + np.exp(-mean))
        inside = rng.beta(np.maximum(share * phi, 1e-9), np.maximum((1 - share) * phi, 1e-9), size)
        return np.asarray(scale.bounds[0] + scale.width * np.where(drawn == 1, inside, drawn / 2))

    phi = given.parameters["phi"]
    observe_custom(equation, logp, random, given.linear, *given.thresholds, phi, place, between)
