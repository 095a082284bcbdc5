"""Observe successes that vary more than binomial ones do."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayes_alliance.build.outcome.given import Given, row_data
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.names import obs_dim


def observe(equation: EquationDesign, given: Given) -> None:
    """Observe a number of successes."""
    assert equation.scale.trials is not None
    phi = given.parameters["phi"]
    pm.BetaBinomial(
        equation.outcome,
        alpha=pt.sigmoid(given.linear) * phi,
        beta=pt.sigmoid(-given.linear) * phi,
        n=row_data(equation, "trials", equation.scale.trials.astype(np.int64)),
        observed=row_data(equation, "observed", equation.y.astype(np.int64)),
        dims=obs_dim(equation.outcome),
    )
