"""Observe outcomes with heavy-tailed residuals."""

from __future__ import annotations

import pymc as pm

from bayes_alliance.build.outcome.given import Given, row_data
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.names import obs_dim


def observe(equation: EquationDesign, given: Given) -> None:
    """Observe an outcome of Student's t."""
    pm.StudentT(
        equation.outcome,
        nu=given.parameters["nu"],
        mu=given.linear,
        sigma=given.parameters["sigma"],
        observed=row_data(equation, "observed", equation.y),
        dims=obs_dim(equation.outcome),
    )
