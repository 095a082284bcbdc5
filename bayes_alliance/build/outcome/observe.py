"""Observe an outcome under its family."""

from __future__ import annotations

from typing import assert_never

from bayes_alliance.build.outcome import (
    bernoulli,
    beta_binomial,
    binomial,
    censored,
    cumulative,
    gamma,
    gaussian,
    hazard,
    lognormal,
    negative_binomial,
    ordered_beta,
    poisson,
    student_t,
    zero_inflated_negative_binomial,
    zero_inflated_poisson,
)
from bayes_alliance.build.outcome.given import Given
from bayes_alliance.design.equations.equation import EquationDesign


def observe(equation: EquationDesign, given: Given) -> None:
    """Add an outcome to the model of the context, observed under the name that the study has for it."""
    match equation.family:
        case "gaussian":
            gaussian.observe(equation, given)
        case "student_t":
            student_t.observe(equation, given)
        case "censored":
            censored.observe(equation, given)
        case "ordered_beta":
            ordered_beta.observe(equation, given)
        case "cumulative":
            cumulative.observe(equation, given)
        case "bernoulli":
            bernoulli.observe(equation, given)
        case "hazard":
            hazard.observe(equation, given)
        case "binomial":
            binomial.observe(equation, given)
        case "negative_binomial":
            negative_binomial.observe(equation, given)
        case "poisson":
            poisson.observe(equation, given)
        case "zero_inflated_poisson":
            zero_inflated_poisson.observe(equation, given)
        case "zero_inflated_negative_binomial":
            zero_inflated_negative_binomial.observe(equation, given)
        case "beta_binomial":
            beta_binomial.observe(equation, given)
        case "lognormal":
            lognormal.observe(equation, given)
        case "gamma":
            gamma.observe(equation, given)
        case _:
            assert_never(equation.family)
