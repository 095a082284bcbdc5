"""Observe successes out of trials by their log-odds or probits."""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable
from scipy.special import expit, gammaln

from bayes_alliance.build.outcome.curves import CurveGraph, curve_of
from bayes_alliance.build.outcome.given import Given, observe_custom, row_data
from bayes_alliance.design.equations.equation import EquationDesign


def observe(equation: EquationDesign, given: Given) -> None:
    """Observe a number of successes."""
    assert equation.scale.trials is not None
    y, n = equation.y, equation.scale.trials
    trials = row_data(equation, "trials", n.astype(np.int64))
    ways = row_data(equation, "log_constant", gammaln(n + 1.0) - gammaln(y + 1.0) - gammaln(n - y + 1.0))
    if equation.kind.link == "logit":
        _observe_odds(equation, given, trials, ways)
    else:
        _observe_latent(equation, given, trials, ways, curve_of(equation.kind.link))


def _observe_odds(equation: EquationDesign, given: Given, trials: TensorVariable, ways: TensorVariable) -> None:
    """Observe by log-odds; what no parameter changes is worked out once."""

    def logp(
        value: TensorVariable, mean: TensorVariable, trials: TensorVariable, ways: TensorVariable
    ) -> TensorVariable:
        return value * mean - trials * pt.softplus(mean) + ways

    def random(
        mean: np.ndarray,
        trials: np.ndarray,
        ways: np.ndarray,
        rng: np.random.Generator,
        size: tuple[int, ...] | None = None,
    ) -> np.ndarray:
        return np.asarray(rng.binomial(trials, expit(mean), size), dtype=float)

    observe_custom(equation, logp, random, given.linear, trials, ways)


def _observe_latent(
    equation: EquationDesign, given: Given, trials: TensorVariable, ways: TensorVariable, curve: CurveGraph
) -> None:
    """Observe the number of trials in which a latent variable around the linear predictor lies above 0."""

    def logp(
        value: TensorVariable, mean: TensorVariable, trials: TensorVariable, ways: TensorVariable
    ) -> TensorVariable:
        return ways + value * curve.log_cdf(mean) + (trials - value) * curve.log_cdf(-mean)

    def random(
        mean: np.ndarray,
        trials: np.ndarray,
        ways: np.ndarray,
        rng: np.random.Generator,
        size: tuple[int, ...] | None = None,
    ) -> np.ndarray:
        return np.asarray(rng.binomial(trials, curve.numbers.cdf(mean), size), dtype=float)

    observe_custom(equation, logp, random, given.linear, trials, ways)
