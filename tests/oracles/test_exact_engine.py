"""The exact engine's posterior: the same as the nuts engine's, and calibrated over simulated studies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import arviz_stats as azs
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayes_alliance as ba
from bayes_alliance.collapse.eligibility import find_obstacles
from bayes_alliance.fit.assembly import judged_draws
from bayes_alliance.fit.exact import sample_exact
from bayes_alliance.fit.result import variables_of
from bayes_alliance.fit.settings import Engine
from bayes_alliance.simulate.outcome import draw_outcomes
from bayes_alliance.simulate.prior import draw_truth
from bayes_alliance.spec.registry import model_names
from tests.build.test_equations import HEAD, equation
from tests.conftest import ROLES, make_trial
from tests.contracts.test_registry import table_for

ALIKE = {
    "mediation/moderated",
    "mediation/no-mediation",
    "mediation/parallel",
    "mediation/reversed",
    "mediation/sequential-published",
    "mediation/sequential-waves",
}
"""Variants of mediation/sequential: the same factors and kinds of columns in other equations, minutes of NUTS each."""

SLOW_TO_MIX = {"congruence/surface-multilevel"}
"""Six correlated effects of 24 patients: neither engine has draws enough for a comparison within minutes."""

DRAWS = {
    "growth/treatment": 6000,
    "growth/three-level": 6000,
    "outcome/early-alliance": 9000,
    "outcome/two-outcomes": 9000,
    "outcome/three-parts": 18000,
}
"""Draws of models that mix slowly under NUTS: products of predictors, correlations of six therapists' effects.

Whether 4,000 suffice for growth models differs from machine to machine (NUTS has 1,900 to 2,600 effective ones).
"""

LEFT_OUT = ALIKE | SLOW_TO_MIX
ELIGIBLE = [name for name in model_names() if not find_obstacles(ba.load_model(name)) and name not in LEFT_OUT]


def largest_difference(exact: ba.Fit, nuts: ba.Fit) -> tuple[float, float]:
    """Return the largest |z| between means and between SDs of all quantities checked, and the least ESS of either."""
    one, two = (judged_draws(fit.data, "collapsed", variables_of(fit)) for fit in (exact, nuts))
    with np.errstate(invalid="ignore", divide="ignore"):  # of entries that never vary, such as a correlation of 1
        return _largest(one, two)


def _largest(one: xr.Dataset, two: xr.Dataset) -> tuple[float, float]:
    worst, least = 0.0, np.inf
    for name in one.data_vars:
        if str(name).endswith("_unit"):
            continue
        pair = [draws[name].transpose(*one[name].dims) for draws in (one, two)]
        moving = (pair[0].std(("chain", "draw")) > 0) & (pair[1].std(("chain", "draw")) > 0)
        for method, figure in (
            ("mean", lambda x: x.mean(("chain", "draw"))),
            ("sd", lambda x: x.std(("chain", "draw"))),
        ):
            errors = [azs.mcse(xr.Dataset({"x": x}), method=method)["x"] for x in pair]
            z = np.abs(figure(pair[0]) - figure(pair[1])) / np.sqrt(errors[0] ** 2 + errors[1] ** 2)
            worst = max(worst, float(z.where(moving).max()))
        ess = [azs.ess(xr.Dataset({"x": x}), method="bulk")["x"].where(moving).min() for x in pair]
        least = min(least, *map(float, ess))
    return worst, least


def compare(
    spec: ba.ModelSpec, table: ba.SessionTable, draws: int = 4000, engine: Engine = "collapsed", **named: object
) -> tuple[float, float]:
    """Fit with an engine and with NUTS, many draws each, and compare."""
    settings = ba.SamplerSettings(draws=draws, tune=1500, target_accept=0.95, progress="off")
    fits = [
        ba.fit_model(spec, ba.Study(table, **named), seed=5, engine=one, settings=settings)  # type: ignore[arg-type]
        for one in (engine, "nuts")
    ]
    return largest_difference(*fits)


@pytest.mark.slow
@pytest.mark.parametrize("name", ELIGIBLE)
def test_same_posterior_as_nuts_for_registry_models(name: str) -> None:
    """On a small unbalanced trial no mean or SD differs by more than 4.5 Monte Carlo errors; ESS above 2,000."""
    table, columns, reference = table_for(name, make_trial())
    worst, least = compare(ba.load_model(name), table, DRAWS.get(name, 4000), columns=columns, reference=reference)
    assert worst < 4.5
    assert least > 2000


@pytest.mark.slow
def test_same_posterior_as_nuts_on_the_reframed_trial(data_folder: Path) -> None:
    """Growth of depression by arm in a real trial, by both engines."""
    table = ba.read_sessions(data_folder / "reframed_rct.csv", {"patient": "patient", "session": "month"})
    table = ba.select_rows(table, maximum={"session": 12})
    worst, least = compare(
        ba.load_model("growth/treatment"),
        table,
        columns={"outcome": "phq9", "condition": "grp"},
        reference={"condition": "TAU"},
    )
    assert worst < 4.5
    assert least > 2000


PRIORS = {
    "intercept": "normal(20, 5)",
    "b session": "normal(0, 1)",
    "sd patient Intercept": "half_student_t(3, 3)",
    "sd patient session": "half_student_t(3, 0.5)",
    "sd therapist": "half_student_t(3, 1.5)",
    "cor patient": "lkj(2)",
    "sigma": "half_student_t(3, 3)",
}
"""Fixed numbers, so that simulation and fit have the same prior."""

STUDIES, KEPT = 500, 99


@pytest.mark.slow
@pytest.mark.parametrize("therapist", ["half_student_t(3, 1.5)", "half_normal(0.25)"], ids=["wide", "near zero"])
def test_calibration_of_the_three_level_growth_model(therapist: str) -> None:
    """Ranks of 500 truths drawn from the prior are uniform among draws of their posteriors, every parameter.

    The second prior of the therapist SD is half-normal with .05 of the outcome's SD (about 5): many truths near 0.
    """
    rng = np.random.default_rng(7)
    rows = [(f"P{i}", f"T{i // 4}", week) for i in range(32) for week in range(1 + i % 7)]
    frame = pd.DataFrame(rows, columns=["patient", "therapist", "session"]).assign(outcome=rng.normal(20, 5, len(rows)))
    table = ba.read_sessions(frame, {name: name for name in ("patient", "therapist", "session")})
    spec = ba.load_model("growth/three-level")
    made = ba.make_design(spec, ba.Study(table, priors=PRIORS | {"sd therapist": therapist}))
    settings = ba.SamplerSettings(draws=250, cores=2, progress="off")
    ranks: dict[str, list[int]] = {}
    for study in range(STUDIES):
        truth = draw_truth(made, rng)
        y = draw_outcomes(made, truth, rng)[0]["outcome"]
        new = replace(made, equations=(replace(made.equation, y=y),))
        posterior = sample_exact(new, settings, study).posterior
        drawn = {
            "b[outcome, Intercept]": posterior["b"][..., 0],
            "b[outcome, session]": posterior["b"][..., 1],
            "sd_patient[outcome, Intercept]": posterior["sd_patient"][..., 0],
            "sd_patient[outcome, session]": posterior["sd_patient"][..., 1],
            "sd_therapist[outcome, Intercept]": posterior["sd_therapist"][..., 0],
            "cor_patient[outcome, Intercept | outcome, session]": posterior["cor_patient"][..., 0, 1],
            "sigma[outcome]": posterior["sigma"][..., 0],
        }
        for name, values in drawn.items():
            flat = values.to_numpy().reshape(-1)
            kept = flat[np.linspace(0, len(flat) - 1, KEPT).astype(int)]
            ranks.setdefault(name, []).append(int((kept < truth[name]).sum()))
    for name, found in ranks.items():
        counts = np.histogram(found, bins=20, range=(-0.5, KEPT + 0.5))[0]
        assert stats.chisquare(counts).pvalue > 0.001, (name, counts)


@pytest.mark.slow
def test_same_posterior_as_nuts_with_everything_correlated() -> None:
    """Two outcomes whose effects and residuals correlate, with therapists above and holes in the rows."""
    text = (
        equation("score", "week + (1 + week | patient) + (1 | therapist)")
        + equation("alliance", "week + (1 | patient)")
        + '[groups.patient]\ncorrelate = ["score", "alliance"]\n[residual]\ncorrelate = ["score", "alliance"]\n'
    )
    frame = make_trial(patients=40)
    frame.loc[::7, "alliance"] = np.nan
    worst, least = compare(ba.parse_model(HEAD + text), ba.read_sessions(frame, ROLES), 7000)
    assert worst < 4.5
    assert least > 2000
