"""Observe 0/1 outcomes by their log-odds or probits."""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable
from scipy.special import expit

from bayes_alliance.build.outcome.curves import CurveGraph, curve_of
from bayes_alliance.build.outcome.given import Given, observe_custom
from bayes_alliance.design.equations.equation import EquationDesign


def observe(equation: EquationDesign, given: Given) -> None:
    """Observe a 0/1 outcome."""
    if equation.kind.link == "logit":
        _observe_odds(equation, given)
    else:
        _observe_latent(equation, given, curve_of(equation.kind.link))


def _observe_odds(equation: EquationDesign, given: Given) -> None:
    """Observe by log-odds."""

    def logp(value: TensorVariable, mean: TensorVariable) -> TensorVariable:
        return value * mean - pt.softplus(mean)

    def random(mean: np.ndarray, rng: np.random.Generator, size: tuple[int, ...] | None = None) -> np.ndarray:
        return np.asarray(rng.random(np.shape(mean) if size is None else size) < expit(mean), dtype=float)

    observe_custom(equation, logp, random, given.linear)


def _observe_latent(equation: EquationDesign, given: Given, curve: CurveGraph) -> None:
    """Observe whether a latent variable around the linear predictor lies above 0."""

    def logp(value: TensorVariable, mean: TensorVariable) -> TensorVariable:
        return curve.log_cdf(pt.switch(pt.gt(value, 0), mean, -mean))

    def random(mean: np.ndarray, rng: np.random.Generator, size: tuple[int, ...] | None = None) -> np.ndarray:
        return np.asarray(rng.random(np.shape(mean) if size is None else size) < curve.numbers.cdf(mean), dtype=float)

    observe_custom(equation, logp, random, given.linear)
