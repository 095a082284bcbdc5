"""Observe Poisson counts with extra zeros."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayes_alliance.build.outcome.given import Given, row_data
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.names import obs_dim


def observe(equation: EquationDesign, given: Given) -> None:
    """Observe a count."""
    pm.ZeroInflatedPoisson(
        equation.outcome,
        psi=1 - given.parameters["zi"],
        mu=pt.exp(given.linear),
        observed=row_data(equation, "observed", equation.y.astype(np.int64)),
        dims=obs_dim(equation.outcome),
    )
