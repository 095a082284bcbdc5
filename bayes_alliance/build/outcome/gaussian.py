"""Observe normal outcomes, each row given the one before it where residuals are autocorrelated."""

from __future__ import annotations

import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.build.outcome.given import Given, row_data
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.names import obs_dim


def observe(equation: EquationDesign, given: Given) -> None:
    """Observe a normal outcome.

    Where residuals are autocorrelated, each row is given the residual of the same patient's session before. Over a gap
    of g session numbers residuals correlate by the g-th power, so that the marginal SD is the residual SD whatever the
    gaps: a stationary first-order autoregression.
    """
    mean, spread, series = given.linear, given.parameters["sigma"], equation.series
    if series is None:
        observe_normal(equation, mean, spread)
        return
    ar = given.parameters["ar"]
    powers = pt.stack([pt.zeros(()), *(ar**gap for gap in series.gaps)])
    own = powers[row_data(equation, "gap", series.gap)]
    before = row_data(equation, "before", series.before)
    apart = (row_data(equation, "series", equation.y) - mean) / spread
    shift = spread * own * (apart + pt.zeros(len(equation.y)))[before]
    observe_normal(equation, mean + shift, spread * pt.sqrt(1 - own**2))


def observe_normal(equation: EquationDesign, mean: TensorVariable, spread: TensorVariable) -> TensorVariable:
    """Observe an outcome as normal around a mean of every row, and return it."""
    observed = row_data(equation, "observed", equation.y)
    return pm.Normal(equation.outcome, mean, spread, observed=observed, dims=obs_dim(equation.outcome))
