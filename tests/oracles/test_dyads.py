"""Actor and partner, truth and bias, response surfaces: real data against printed results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from tests.build.test_equations import HEAD, equation

pytestmark = pytest.mark.oracle
SETTINGS = ba.SamplerSettings(progress="off")


@pytest.fixture(scope="module")
def couples(data_folder: Path) -> ba.SessionTable:
    """Return 148 couples (Acitelli), one row per couple."""
    raw = pd.read_csv(data_folder / "acitelli_pairwise.csv")
    wife = raw[raw["Gender_A"] == "Wife"]
    wide = pd.DataFrame(
        {
            "couple": wife["CoupleID"].astype(str),
            "satisfaction_wife": wife["Satisfaction_A"],
            "satisfaction_husband": wife["Satisfaction_P"],
            "positivity_wife": wife["OtherPos_A"],
            "positivity_husband": wife["OtherPos_P"],
            "view": wife["OtherPos_A"],
            "truth": wife["SelfPos_P"],
            "own": wife["SelfPos_A"],
        }
    )
    return ba.read_sessions(wide, roles={"patient": "couple"})


def agrees(fit: ba.Fit, name: str, value: float, error: float) -> None:
    """Check a coefficient within .15 of the reference's standard error."""
    found = ba.summarize(fit).set_index("name")["mean"][name]
    assert abs(found - value) < 0.15 * error, (name, found, value)


@pytest.mark.slow
def test_actor_and_partner_effects(couples: ba.SessionTable) -> None:
    """Satisfaction on both partners' view of the other, residuals of a couple correlated."""
    wife, husband = "satisfaction_wife", "satisfaction_husband"
    text = equation(wife, "positivity_wife + positivity_husband", "patient")
    text += equation(husband, "positivity_husband + positivity_wife", "patient")
    text += f"[residual]\ncorrelate = ['{wife}', '{husband}']\n"
    fit = ba.fit_model(ba.parse_model(HEAD + text), couples, seed=1, settings=SETTINGS)
    agrees(fit, f"b[{husband}, positivity_husband]", 0.424, 0.068)
    agrees(fit, f"b[{wife}, positivity_wife]", 0.378, 0.074)
    agrees(fit, f"b[{husband}, positivity_wife]", 0.262, 0.061)
    agrees(fit, f"b[{wife}, positivity_husband]", 0.321, 0.082)
    correlation = ba.summarize(fit).set_index("name").loc[f"cor_residual[{wife} | {husband}]"]
    assert abs(correlation["mean"] - 0.475) < 0.3 * correlation["sd"]  # its LKJ(2) prior pulls it towards 0
    assert fit.passed, fit.verdict


TRUTH = "centred(truth, on=truth) + centred(own, on=truth)"


@pytest.mark.slow
def test_truth_and_bias_of_wives(couples: ba.SessionTable) -> None:
    """Wives' view of husbands on how husbands see themselves (truth) and on how wives do (assumed similarity)."""
    text = equation("view", TRUTH, "patient", "centre = 'truth'")
    fit = ba.fit_model(ba.parse_model(HEAD + text), couples, seed=1, settings=SETTINGS)
    agrees(fit, "b[view, centred(truth, on=truth)]", 0.252, 0.104)
    agrees(fit, "b[view, centred(own, on=truth)]", 0.380, 0.100)
    agrees(fit, "b[view, Intercept]", 0.085, 0.045)
    assert any("view is taken less" in message for message in fit.messages)


def test_total_accuracy_is_direct_plus_indirect(couples: ba.SessionTable) -> None:
    """Golden identity: the judgment's slope on truth alone is truth force + bias force * slope of bias on truth.

    All three are centred on the mean of the truth, so the intercept is the directional bias: the judgment at a truth
    and a bias equal to the mean truth.
    """
    text = equation("view", TRUTH, "patient", "centre = 'truth'")
    made = ba.make_design(ba.parse_model(HEAD + text), couples).equation
    x, y = made.coef.values, made.y
    full = np.linalg.lstsq(x, y, rcond=None)[0]
    alone = np.linalg.lstsq(x[:, :2], y, rcond=None)[0]
    slope = np.linalg.lstsq(x[:, :2], x[:, 2], rcond=None)[0]
    assert alone[1] == pytest.approx(full[1] + full[2] * slope[1], abs=1e-12)
    frame = couples.frame
    assert x[:, 1].mean() == pytest.approx(0, abs=1e-12)
    assert x[:, 2].mean() == pytest.approx(frame["own"].mean() - frame["truth"].mean(), abs=1e-12)
    assert y.mean() == pytest.approx(frame["view"].mean() - frame["truth"].mean(), abs=1e-12)


SURFACE = {
    "a1": (0.071, 0.080),
    "a2": (0.044, 0.070),
    "a3": (-0.142, 0.085),
    "a4": (-0.249, 0.061),
    "a5": (-0.075, 0.042),
}
TERMS = {"x": -0.036, "y": 0.106, "x^2": -0.089, "x*y": 0.147, "y^2": -0.014}


@pytest.mark.slow
def test_surface_of_motives(data_folder: Path) -> None:
    """Explicit and implicit motives on valence: a1 to a5 as the RSA package prints them, and their standard errors."""
    raw = pd.read_csv(data_folder / "rsa_motcon2.csv")
    table = ba.read_sessions(raw.assign(person=[f"p{i}" for i in range(len(raw))]), roles={"patient": "person"})
    text = equation("VA", "surface(EM, IM)", "patient")
    fit = ba.fit_model(ba.parse_model(HEAD + text), table, seed=1, settings=SETTINGS)
    coefficients = ba.summarize(fit).set_index("name")["mean"]
    for piece, value in TERMS.items():
        assert coefficients[f"b[VA, surface(EM, IM)[{piece}]]"] == pytest.approx(value, abs=0.01), piece
    found = ba.summarize_estimands(fit).set_index("name")
    for name, (value, error) in SURFACE.items():
        row = found.loc[f"{name}[VA, surface(EM, IM)]"]
        assert abs(row["mean"] - value) < 0.15 * error, name
        assert row["sd"] == pytest.approx(error, rel=0.1), name
    assert fit.passed, fit.verdict


def test_surface_parameters_are_the_printed_sums() -> None:
    """a1 to a5 of the printed coefficients are the printed parameters, to their rounding."""
    x, y, xx, xy, yy = TERMS.values()
    sums = {"a1": x + y, "a2": xx + xy + yy, "a3": x - y, "a4": xx - xy + yy, "a5": xx - yy}
    for name, (value, _) in SURFACE.items():
        assert sums[name] == pytest.approx(value, abs=0.0016), name


@pytest.mark.slow
def test_surfaces_of_groups(data_folder: Path) -> None:
    """Nestler, Humberg and Schönbrodt (2019): a1 to a5 and their variances over 100 groups, six effects correlated."""
    raw = pd.read_csv(data_folder / "nestler_multilevel_rsa.dat", sep=r"\s+")
    raw.columns = [name.replace(".", "_") for name in raw.columns]
    raw["person"] = [f"p{i}" for i in range(len(raw))]
    table = ba.read_sessions(raw, roles={"patient": "person", "group": "GroupID"})
    call = "surface(x_c, y_c, centre=0)"
    means = "x_mean + y_mean + x2_mean + xy_mean + y2_mean"
    text = equation("z", f"{call} + {means} + (1 + {call} | group)", "patient")
    settings = ba.SamplerSettings(draws=2000, progress="off")
    fit = ba.fit_model(ba.parse_model(HEAD + text), table, seed=1, settings=settings)
    assert fit.passed, fit.verdict
    surface = ba.response_surface(fit)
    found = surface.table().set_index("name")
    reference = {"a1": (-0.032, 0.039), "a2": (-0.049, 0.039), "a3": (-0.033, 0.044), "a4": (-0.577, 0.043)}
    for name, (value, error) in (reference | {"a5": (0.002, 0.031)}).items():
        assert abs(found.loc[name, "mean"] - value) < 0.15 * error, name
    for name, variance in zip(("a1", "a2", "a3", "a4", "a5"), (0.110, 0.095, 0.119, 0.054, 0.052), strict=True):
        squared = surface.draws["value"].sel(estimand=f"SD of {name} over groups") ** 2
        assert abs(float(squared.mean()) - variance) < 0.6 * float(squared.std()), name
    # published as strict congruence: a4 below 0, and 0 or 1 inside the interval of all else
    checklist = surface.checklist().set_index("condition")["holds"]
    assert checklist.all(), checklist
