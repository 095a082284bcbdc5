"""Observe successes out of trials by their log-odds or probits."""

from __future__ import annotations

import numpy as np
import pymc as pm
from pymc.distributions.dist_math import binomln
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.build.outcome.curves import CurveGraph, curve_of
from bayes_alliance.build.outcome.given import Given, observe_custom, row_data
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.names import obs_dim


def observe(equation: EquationDesign, given: Given) -> None:
    """Observe a number of successes."""
    assert equation.scale.trials is not None
    trials = row_data(equation, "trials", equation.scale.trials.astype(np.int64))
    if equation.kind.link != "logit":
        _observe_latent(equation, given, trials, curve_of(equation.kind.link))
        return
    observed = row_data(equation, "observed", equation.y.astype(np.int64))
    pm.Binomial(equation.outcome, n=trials, logit_p=given.linear, observed=observed, dims=obs_dim(equation.outcome))


def _observe_latent(equation: EquationDesign, given: Given, trials: TensorVariable, curve: CurveGraph) -> None:
    """Observe the number of trials in which a latent variable around the linear predictor lies above 0."""

    def logp(value: TensorVariable, mean: TensorVariable, trials: TensorVariable) -> TensorVariable:
        return binomln(trials, value) + value * curve.log_cdf(mean) + (trials - value) * curve.log_cdf(-mean)

    def random(
        mean: np.ndarray, trials: np.ndarray, rng: np.random.Generator, size: tuple[int, ...] | None = None
    ) -> np.ndarray:
        return np.asarray(rng.binomial(trials, curve.numbers.cdf(mean), size), dtype=float)

    observe_custom(equation, logp, random, given.linear, trials)
