"""Observe positive numbers whose log is normal."""

from __future__ import annotations

import pymc as pm

from bayes_alliance.build.outcome.given import Given, row_data
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.names import obs_dim


def observe(equation: EquationDesign, given: Given) -> None:
    """Observe a number above 0."""
    pm.LogNormal(
        equation.outcome,
        mu=given.linear,
        sigma=given.parameters["sigma"],
        observed=row_data(equation, "observed", equation.y),
        dims=obs_dim(equation.outcome),
    )
