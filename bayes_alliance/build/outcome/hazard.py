"""Observe dropout or another event session by session."""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.build.outcome.given import Given, observe_custom
from bayes_alliance.design.equations.equation import EquationDesign


def observe(equation: EquationDesign, given: Given) -> None:
    """Observe 0/1 outcomes whose linear predictor is the log of the hazard summed over the session."""

    def logp(value: TensorVariable, mean: TensorVariable) -> TensorVariable:
        hazard = pt.exp(mean)
        return pt.switch(pt.eq(value, 1), pt.log(-pt.expm1(-hazard)), -hazard)

    def random(mean: np.ndarray, rng: np.random.Generator, size: tuple[int, ...] | None = None) -> np.ndarray:
        return np.asarray(rng.exponential(size=np.shape(mean) if size is None else size) < np.exp(mean), dtype=float)

    observe_custom(equation, logp, random, given.linear)
