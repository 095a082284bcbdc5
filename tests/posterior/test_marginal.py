"""Marginal effects: coefficients where these say it all, Monte Carlo where groups are integrated out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_alliance as ba
from tests.build.test_equations import HEAD, equation
from tests.conftest import ROLES

FEW = ba.SamplerSettings(draws=50, chains=2, progress="off")


@pytest.fixture(scope="module")
def fit(trial: pd.DataFrame) -> ba.Fit:
    """Return growth by condition, with a moderator."""
    text = HEAD + equation("score", "condition * week + pre + (1 + week | patient)")
    return ba.fit_model(
        ba.parse_model(text),
        ba.Study(ba.read_sessions(trial, ROLES), columns={"condition": "arm"}, reference={"condition": "TAU"}),
        seed=1,
        settings=FEW,
        engine="collapsed",
    )


def as_binary(fit: ba.Fit) -> ba.Fit:
    """Return the fit with its outcome read as 0/1, coefficients and effects as drawn: what is tested is arithmetic."""
    assert fit.design is not None
    e = fit.design.equation
    spec = e.spec.model_copy(update={"family": "bernoulli"})
    data = fit.data.copy()
    posterior = data["posterior"].to_dataset()
    posterior["b"] = 0.1 * posterior["b"]
    data["posterior"] = xr.DataTree(posterior)
    return replace(fit, data=data, design=replace(fit.design, equations=(replace(e, spec=spec),)))


def test_differences_are_coefficients_where_the_model_is_linear(fit: ba.Fit) -> None:
    """Draw by draw: condition at a week is its coefficient plus week times the product's; groups do not matter."""
    b = fit.data["posterior"]["b"]
    for groups in ("integrated", "zero"):
        found = ba.marginal_effects(fit, "arm", values=["TAU", "MBCT"], at={"week": [0, 4]}, groups=groups)  # type: ignore[arg-type]
        assert found["mean"].dims == ("chain", "draw", "arm", "week")
        expected = b.sel(coef="score, arm[MBCT]") + 4 * b.sel(coef="score, arm[MBCT]:week")
        got = found["difference"].sel(week=4, arm_less_TAU="MBCT")
        np.testing.assert_allclose(got, expected.values, rtol=1e-9, atol=1e-9)
    assert fit.design is not None
    pre = fit.design.equation.variables["pre"].values
    moved = ba.marginal_effects(fit, "pre", values=[20.0, 25.0])["difference"].squeeze()
    np.testing.assert_allclose(moved, 5 * b.sel(coef="score, pre").values, rtol=1e-9)
    assert np.ptp(pre) > 0


def test_probabilities_with_group_effects_integrated(fit: ba.Fit) -> None:
    """Against two thousand drawn patients: an average of probabilities, nearer to a half than a typical patient's."""
    binary = as_binary(fit)
    assert binary.design is not None
    e = binary.design.equation
    found = ba.marginal_effects(binary, "condition", values=["TAU", "MBCT"], at={"week": [2.0]})
    typical = ba.marginal_effects(binary, "condition", values=["TAU", "MBCT"], at={"week": [2.0]}, groups="zero")
    posterior = binary.data["posterior"].to_dataset()
    rng = np.random.default_rng(1)
    for draw in (0, 30):
        one = posterior.isel(chain=0, draw=draw)
        columns = e.coef.values.copy()
        labels = list(e.coef.labels)
        columns[:, labels.index("arm[MBCT]")] = 1.0
        columns[:, labels.index("week")] = 2.0
        columns[:, labels.index("arm[MBCT]:week")] = 2.0
        linear = columns @ one["b"].values
        sd = one["sd_patient"].values
        root = sd[:, None] * np.linalg.cholesky(one["cor_patient"].values)
        effects = rng.normal(size=(2000, 2)) @ root.T @ np.array([1.0, 2.0])
        p = 1 / (1 + np.exp(-linear[:, None] - effects))
        got = float(found["mean"].isel(chain=0, draw=draw).sel(condition="MBCT").squeeze())
        assert got == pytest.approx(p.mean(), abs=4 * p.mean(axis=0).std() / np.sqrt(2000))
        plain = float(typical["mean"].isel(chain=0, draw=draw).sel(condition="MBCT").squeeze())
        assert plain == pytest.approx((1 / (1 + np.exp(-linear))).mean())


def test_what_cannot_be_set(fit: ba.Fit, trial: pd.DataFrame, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Unknown predictors and levels, words for numbers, one value, terms that read other rows, fits without rows."""
    with pytest.raises(ba.FitError, match="Unknown predictor 'wek'"):
        ba.marginal_effects(fit, "wek", values=[0, 1])
    with pytest.raises(ba.FitError, match="'arm' has no level 'CBT'; it has 'TAU', 'MBCT'"):
        ba.marginal_effects(fit, "arm", values=["TAU", "CBT"])
    with pytest.raises(ba.FitError, match="'week' is a number; 'late' cannot be set"):
        ba.marginal_effects(fit, "arm", values=["TAU", "MBCT"], at={"week": ["late"]})
    with pytest.raises(ba.FitError, match="Differences need two values of 'week' or more"):
        ba.marginal_effects(fit, "week", values=[1])
    with pytest.raises(ba.FitError, match="Unknown groups 'all'"):
        ba.marginal_effects(fit, "week", values=[1, 2], groups="all")  # type: ignore[arg-type]
    with pytest.raises(ba.FitError, match="This fit has no rows"):
        ba.marginal_effects(ba.load_fit(fit.save(tmp_path / "fit")), "week", values=[1, 2])
    text = HEAD + equation("score", "within(alliance, patient) + (1 | patient)")
    within = ba.fit_model(
        ba.parse_model(text), ba.read_sessions(trial, ROLES), seed=1, settings=FEW, engine="collapsed"
    )
    with pytest.raises(ba.FitError, match=r"within\(alliance, patient\) reads other rows \(within\)"):
        ba.marginal_effects(within, "alliance", values=[4, 5])


def test_combinations_of_values_have_a_limit(fit: ba.Fit) -> None:
    """They are counted before any is worked out."""
    with pytest.raises(ba.FitError, match="more than 1,000 combinations"):
        ba.marginal_effects(
            fit, "week", values=[float(v) for v in range(60)], at={"pre": [float(v) for v in range(60)]}
        )
