"""Observe counts that vary more than Poisson counts do."""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable
from scipy.special import gammaln

from bayes_alliance.build.outcome.given import Given, observe_custom, row_data
from bayes_alliance.design.equations.equation import EquationDesign


def observe(equation: EquationDesign, given: Given) -> None:
    """Observe a count; what no parameter changes is worked out once."""
    constant = row_data(equation, "log_constant", -gammaln(equation.y + 1.0))

    def logp(
        value: TensorVariable, mean: TensorVariable, shape: TensorVariable, constant: TensorVariable
    ) -> TensorVariable:
        odds = mean - pt.log(shape)  # log-odds of one more event before as many pauses as the shape says
        ways = pt.gammaln(value + shape) - pt.gammaln(shape) + constant
        return ways + value * odds - (value + shape) * pt.softplus(odds)

    def random(
        mean: np.ndarray,
        shape: np.ndarray,
        constant: np.ndarray,
        rng: np.random.Generator,
        size: tuple[int, ...] | None = None,
    ) -> np.ndarray:
        return np.asarray(rng.negative_binomial(shape, shape / (shape + np.exp(mean)), size), dtype=float)

    observe_custom(equation, logp, random, given.linear, given.parameters["shape"], constant)
