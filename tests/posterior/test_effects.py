"""Group effects drawn on request, and log-likelihoods of units with effects integrated out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import bayes_alliance as ba
from bayes_alliance.collapse.deletion import leave_units_out
from bayes_alliance.collapse.stack import stack_rows
from bayes_alliance.fit.exact import read_points
from tests.build.test_equations import ACROSS, HEAD, TWO, equation
from tests.conftest import ROLES, make_trial

MODEL = HEAD + equation("score", "week + (1 + week | patient) + (1 | therapist)")
FEW = ba.SamplerSettings(draws=40, chains=2, progress="off")


def test_effects_are_drawn_when_asked_for(sessions: ba.SessionTable, tmp_path: Path) -> None:
    """A fit and its copy from disk draw the same effects; the posterior has none of them; stored ones are kept."""
    fit = ba.fit_model(ba.parse_model(MODEL), sessions, seed=4, engine="collapsed", settings=FEW)
    assert not {"u_patient", "u_therapist"} & set(fit.data["posterior"].data_vars)
    assert "effects" not in fit.data
    drawn = fit.effects
    assert drawn["u_patient"].dims == ("chain", "draw", "patient", "patient_effect")
    assert drawn is fit.effects
    loaded = ba.load_fit(fit.save(tmp_path / "fit"))
    assert not loaded.has_effects
    with pytest.raises(ba.FitError, match=r"stored without its effects.*fit\.with_rows\(sessions\), or save with eff"):
        _ = loaded.effects
    xr.testing.assert_identical(loaded.with_rows(sessions).effects, drawn)
    whole = ba.load_fit(fit.save(tmp_path / "whole", effects=True))
    xr.testing.assert_identical(whole.effects, drawn)
    assert ba.summarize(fit)["name"].str.startswith("share_patient").any()


def test_effects_of_the_nuts_engine(sessions: ba.SessionTable, tmp_path: Path) -> None:
    """They are held and stored, unless that is declined: then nothing can draw them again."""
    fit = ba.fit_model(ba.parse_model(MODEL), sessions, seed=4, engine="nuts", settings=FEW)
    assert set(fit.effects) == {"u_patient", "u_therapist"}
    assert not set(fit.effects) & set(fit.data["posterior"].data_vars)
    loaded = ba.load_fit(fit.save(tmp_path / "whole"))
    xr.testing.assert_equal(loaded.effects, fit.effects)
    lean = ba.load_fit(fit.save(tmp_path / "lean", effects=False))
    assert not lean.has_effects
    with pytest.raises(ba.FitError, match=r"stored without its effects\. Fit again and save with effects=True"):
        _ = lean.effects


@pytest.mark.parametrize("text", [MODEL, HEAD + TWO + ACROSS + '[residual]\ncorrelate = ["score", "alliance"]\n'])
def test_points_are_read_back_from_draws(text: str, sessions: ba.SessionTable) -> None:
    """SDs, correlations and residual SDs of a fit give the vectors they were sampled as."""
    fit = ba.fit_model(ba.parse_model(text), sessions, seed=4, engine="collapsed", settings=FEW)
    assert fit.design is not None
    points = read_points(fit.design, fit.data["posterior"].to_dataset())
    unit = fit.data["posterior"]["cor_patient_unit"].to_numpy().reshape(len(points), -1)
    factor = stack_rows(fit.design).shape.factors[0]
    start = sum(f.effects for f in stack_rows(fit.design).shape.factors)
    np.testing.assert_allclose(np.tanh(points[:, start : start + unit.shape[1]]), 2 * unit - 1, atol=1e-9)
    np.testing.assert_allclose(
        points[:, : factor.effects], fit.data["posterior"]["sd_patient"].to_numpy().reshape(len(points), -1)
    )


def test_integrated_log_likelihood_by_unit(sessions: ba.SessionTable) -> None:
    """One number per unit and draw, as the engine gives it; thinning takes draws of the fit."""
    fit = ba.fit_model(ba.parse_model(MODEL), sessions, seed=4, engine="collapsed", settings=FEW)
    assert fit.design is not None
    whole = ba.integrated_log_likelihood(fit, by="patient")
    assert whole.sizes == {"chain": 2, "draw": 40, "patient": 24}
    points = read_points(fit.design, fit.data["posterior"].to_dataset())
    expected = leave_units_out(stack_rows(fit.design), 0, points[:3]).without
    np.testing.assert_allclose(whole[0, :3], expected, rtol=1e-9)
    few = ba.integrated_log_likelihood(fit, by="therapist", draws=5)
    assert few.sizes == {"chain": 2, "draw": 5, "therapist": 6}
    np.testing.assert_array_equal(few["draw"], [0, 9, 19, 29, 39])


def test_what_cannot_be_asked(sessions: ba.SessionTable, small_fit: ba.Fit, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Unknown factors, fits without rows, models with effects that cannot be integrated out: errors by name."""
    fit = ba.fit_model(ba.parse_model(MODEL), sessions, seed=4, engine="collapsed", settings=FEW)
    with pytest.raises(ba.FitError, match=r"Unknown grouping factor 'pateint'. Valid: .* Did you mean 'patient'"):
        ba.integrated_log_likelihood(fit, by="pateint")
    loaded = ba.load_fit(fit.save(tmp_path / "fit"))
    with pytest.raises(ba.FitError, match=r"has no rows; bring them back with fit\.with_rows"):
        ba.integrated_log_likelihood(loaded, by="patient")
    crossed = ba.read_sessions(
        make_trial().assign(room=lambda f: "R" + (f["week"] % 3).astype(int).astype(str)),
        {**ROLES, "group": "room"},
        transfers="transferred",
    )
    text = HEAD + equation("score", "week + (1 | patient) + (1 | group)")
    fit = ba.fit_model(ba.parse_model(text), crossed, seed=4, engine="collapsed", settings=FEW)
    with pytest.raises(ba.FitError, match="'group' crosses 'patient'"):
        ba.integrated_log_likelihood(fit, by="group")
    assert small_fit.provenance["engine"] == "collapsed"
