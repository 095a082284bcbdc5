"""Means over normal effects: a table of them beside the rule it stands for, and the rule beside quadrature apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate as quadrature
from scipy import special, stats

from bayes_alliance.outcome.normal_effects import FEW, integrate, integrate_same

FUNCTIONS = {
    "logit": special.expit,
    "probit": special.ndtr,
    "cloglog": lambda at: -np.expm1(-np.exp(np.minimum(at, 500))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("sd", [0.1, 1.0, 4.0, 12.0])
def test_means_are_those_of_quadrature(name: str, sd: float) -> None:
    """By adaptive quadrature of the density times the function, at five predictors."""
    function, linear = FUNCTIONS[name], np.linspace(-6, 6, 5)
    found = integrate(function, linear, np.full(5, sd))
    right = [
        quadrature.quad(lambda z, m=m: float(function(np.array(m + sd * z))) * stats.norm.pdf(z), -9, 9, limit=400)[0]
        for m in linear
    ]
    np.testing.assert_allclose(found, right, atol=2e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
@given(width=st.floats(0.01, 12), widest=st.floats(0, 5), seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_a_table_gives_what_the_rule_gives(name: str, width: float, widest: float, seed: int) -> None:
    """In every value, at the ends of the table too, with SDs of 0 among them."""
    rng, function = np.random.default_rng(seed), FUNCTIONS[name]
    linear = rng.uniform(-width, width, (50, 6000)) + rng.normal()
    sd = rng.uniform(0, widest, linear.shape) * rng.integers(0, 2, linear.shape)
    linear[0, :2], sd[0, :2] = (linear.min(), linear.max()), widest
    found = integrate_same(function, linear, sd)
    np.testing.assert_allclose(found, integrate(function, linear, sd), atol=3e-7)


def test_where_a_table_would_not_save_anything_the_rule_is_used() -> None:
    """Few values, a predictor with a wide range, and values that are no number."""
    rng = np.random.default_rng(1)
    few = rng.normal(size=FEW - 1)
    wide = np.append(rng.normal(size=2 * FEW), 1e9)
    none = np.append(rng.normal(size=50 * FEW), np.nan)
    for linear in (few, wide, none):
        sd = np.full(linear.shape, 0.5)
        np.testing.assert_array_equal(integrate_same(special.expit, linear, sd), integrate(special.expit, linear, sd))
