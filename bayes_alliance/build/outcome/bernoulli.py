"""Observe 0/1 outcomes by their log-odds."""

from __future__ import annotations

import numpy as np
import pymc as pm

from bayes_alliance.build.outcome.given import Given, row_data
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.names import obs_dim


def observe(equation: EquationDesign, given: Given) -> None:
    """Observe a 0/1 outcome."""
    observed = row_data(equation, "observed", equation.y.astype(np.int64))
    pm.Bernoulli(equation.outcome, logit_p=given.linear, observed=observed, dims=obs_dim(equation.outcome))
