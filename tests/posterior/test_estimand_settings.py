"""Automatic estimands of models with products: at the means of moderators, which their names say."""

from __future__ import annotations

import numpy as np
import xarray as xr

import bayes_alliance as ba
from bayes_alliance.fit.estimands import work_out
from tests.posterior.test_propagation import coefs, flat
from tests.posterior.test_setting import equation, fit_of, study


def draws_of(fit: ba.Fit) -> xr.Dataset:
    """Return the draws of a fit's automatic estimands."""
    assert fit.design is not None
    found = work_out(fit.design.estimands, fit.data["posterior"].to_dataset())
    assert found is not None
    return found.stack(sample=("chain", "draw"))


def test_contextual_effects_at_the_mean_of_a_moderator() -> None:
    """Between less within, each with its product's coefficient times the mean of x."""
    text = "x * within(alliance, patient) + x * between(alliance, patient) + (1 | patient)"
    fit = fit_of(equation("y", text))
    b, mean = coefs(fit), float(f"{study()['x'].mean():.3g}")
    found = draws_of(fit)
    (name,) = map(str, found["estimand"].values)
    assert name == f"contextual[y, alliance by patient, at x = {mean:g}]"
    slope = {
        part: b[f"y, {part}(alliance, patient)"] + mean * b[f"y, x:{part}(alliance, patient)"]
        for part in ("between", "within")
    }
    np.testing.assert_allclose(found["value"].values.ravel(), slope["between"] - slope["within"])


def test_surface_parameters_at_the_shares_of_arms() -> None:
    """a1 is the slope along congruence at the centre: those of both ratings by the evaluator, arms averaged."""
    fit = fit_of(equation("y", "surface(alliance, wai) * arm + (1 | patient)"), reference={"arm": "TAU"})
    assert fit.design is not None
    (centre,) = fit.design.equation.constants.values()
    found = draws_of(fit)
    names = [str(name) for name in found["estimand"].values]
    first = next(name for name in names if name.startswith("a1[y, surface(alliance, wai), at "))
    assert first == "a1[y, surface(alliance, wai), at arm[CBT] = 0.333, arm[MBCT] = 0.333]"
    at = {"alliance": centre, "wai": centre}
    both = [flat(ba.slopes(fit, rating, at=at))[:, 0] for rating in ("alliance", "wai")]
    values = found["value"].sel(estimand=first).values
    np.testing.assert_allclose(values, both[0] + both[1], atol=3e-3)  # shares are a third, names say three digits
