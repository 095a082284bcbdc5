"""Observe Poisson counts."""

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

    def logp(value: TensorVariable, mean: TensorVariable, constant: TensorVariable) -> TensorVariable:
        return value * mean - pt.exp(mean) + constant

    def random(
        mean: np.ndarray, constant: np.ndarray, rng: np.random.Generator, size: tuple[int, ...] | None = None
    ) -> np.ndarray:
        return np.asarray(rng.poisson(np.exp(mean), size), dtype=float)

    observe_custom(equation, logp, random, given.linear, constant)
