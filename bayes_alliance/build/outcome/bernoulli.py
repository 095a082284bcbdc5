"""Observe 0/1 outcomes by their log-odds or probits."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.build.outcome.curves import CurveGraph, curve_of
from bayes_alliance.build.outcome.given import Given, observe_custom, row_data
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.names import obs_dim


def observe(equation: EquationDesign, given: Given) -> None:
    """Observe a 0/1 outcome."""
    if equation.kind.link != "logit":
        _observe_latent(equation, given, curve_of(equation.kind.link))
        return
    observed = row_data(equation, "observed", equation.y.astype(np.int64))
    pm.Bernoulli(equation.outcome, logit_p=given.linear, observed=observed, dims=obs_dim(equation.outcome))


def _observe_latent(equation: EquationDesign, given: Given, curve: CurveGraph) -> None:
    """Observe whether a latent variable around the linear predictor lies above 0."""

    def logp(value: TensorVariable, mean: TensorVariable) -> TensorVariable:
        return curve.log_cdf(pt.switch(pt.gt(value, 0), mean, -mean))

    def random(mean: np.ndarray, rng: np.random.Generator, size: tuple[int, ...] | None = None) -> np.ndarray:
        return np.asarray(rng.random(np.shape(mean) if size is None else size) < curve.numbers.cdf(mean), dtype=float)

    observe_custom(equation, logp, random, given.linear)
