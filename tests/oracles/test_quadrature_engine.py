"""The quadrature engine's posterior is that of the nuts engine, on registered models and for every family."""

from __future__ import annotations

import pytest

import bayes_alliance as ba
from bayes_alliance.quadrature.choice import say_engine
from bayes_alliance.spec.registry import model_names
from tests.conftest import make_trial
from tests.contracts.test_registry import table_for
from tests.oracles.test_exact_engine import compare
from tests.quadrature.tables import FAMILIES, make, make_table

ELIGIBLE = [name for name in model_names() if say_engine(ba.load_model(name)).startswith("quadrature")]

MANY = {"growth/censored": 12000, "growth/at-the-ceiling": 9000}
"""Draws of models that mix slowly under NUTS."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ELIGIBLE)
def test_same_posterior_as_nuts_for_registry_models(name: str) -> None:
    """On a small unbalanced trial no mean or SD differs by more than 4.5 Monte Carlo errors; ESS above 2,000."""
    table, columns, reference = table_for(name, make_trial())
    worst, least = compare(
        ba.load_model(name), table, MANY.get(name, 8000), "quadrature", columns=columns, reference=reference
    )
    assert worst < 4.5
    assert least > 2000


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAMILIES)
def test_same_posterior_as_nuts_for_families(kind: str) -> None:
    """Patients of therapists: each family with each link."""
    table = make_table(24, 5, 4)
    spec = make(kind, "week + (1 | patient) + (1 | therapist)", table).spec
    sessions = ba.read_sessions(table, {"patient": "patient", "therapist": "therapist", "session": "session"})
    worst, least = compare(spec, sessions, 6000, "quadrature")
    assert worst < 4.5
    assert least > 2000
