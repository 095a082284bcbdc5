"""Second ways to the same number, held to the evaluator in every draw: predictive checks, heights of surfaces."""

from __future__ import annotations

import numpy as np
import pytest

import bayes_alliance as ba
from bayes_alliance.design.columns.values import LinkedTo
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.expectation.expected import linear_rows
from bayes_alliance.expectation.linear import add_effects, linear_parts, stack_draws
from bayes_alliance.expectation.new_data import move
from tests.posterior.test_propagation import flat
from tests.posterior.test_setting import equation, fit_of
from tests.truth.cases import NAMES, registry_case


@pytest.mark.parametrize("name", NAMES)
def test_replicates_are_drawn_around_the_evaluators_predictor(name: str) -> None:
    """Linear predictors with own effects: those of replicates, densities and checks, and those of predictions."""
    case = registry_case(name)
    flat = stack_draws(with_effects(case.fit))
    compared = 0
    for e in case.design.equations:
        if any(isinstance(key, LinkedTo) for key in e.follows):
            continue  # predictions refuse what another equation says of a patient
        mean = linear_parts(case.design, e.mean, flat)
        drawn = add_effects(mean, flat, [factor.factor for factor in case.design.factors])
        if any(column for group in e.groups for column in group.columns.latent):
            continue  # nor effects that vary with what is estimated
        own = linear_rows(move(case.design, e, {}), flat, dict.fromkeys((g.factor for g in e.groups), "own"))
        np.testing.assert_allclose(own, drawn, rtol=1e-9, atol=1e-9)
        compared += 1
    assert compared


@pytest.mark.parametrize("form", ["", ', form="SRR"', ", centre=4"])
def test_heights_of_a_surface_are_predictions(form: str) -> None:
    """Differences of heights between two pairs of ratings, and those of predictions there."""
    fit = fit_of(equation("y", f"surface(alliance, wai{form}) + x + (1 | patient)"))
    surface = ba.response_surface(fit)
    x, y = np.array([3.0, 5.0]), np.array([6.0, 4.0])
    (centre,) = fit.design.equation.constants.values()  # type: ignore[union-attr]
    heights = surface.heights(x - centre, y - centre, draws=1000)
    own = np.stack(
        [flat(ba.predictions(fit, at={"alliance": a, "wai": b}))[:, 0] for a, b in zip(x, y, strict=True)], axis=1
    )
    found = np.asarray(heights).reshape(len(own), -1)
    np.testing.assert_allclose(found[:, 1] - found[:, 0], own[:, 1] - own[:, 0], rtol=1e-9, atol=1e-9)
