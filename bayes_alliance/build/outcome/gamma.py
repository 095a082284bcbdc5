"""Observe positive numbers whose SD is proportional to their mean."""

from __future__ import annotations

import pymc as pm
import pytensor.tensor as pt

from bayes_alliance.build.outcome.given import Given, row_data
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.names import obs_dim


def observe(equation: EquationDesign, given: Given) -> None:
    """Observe a number above 0."""
    shape = given.parameters["shape"]
    pm.Gamma(
        equation.outcome,
        alpha=shape,
        beta=shape * pt.exp(-given.linear),
        observed=row_data(equation, "observed", equation.y),
        dims=obs_dim(equation.outcome),
    )
