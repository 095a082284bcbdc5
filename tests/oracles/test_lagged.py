"""Affect on the affect, goals and sleep of the previous day: observed means against REML, latent ones above it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from tests.build.test_equations import HEAD, equation

pytestmark = pytest.mark.oracle
SETTINGS = ba.SamplerSettings(progress="off")


def lagged(means: str) -> str:
    """Return the model's text; sleep quality of the day itself is taken as deviation from the person's mean."""
    kind = f', means="{means}"'
    terms = [f"lag(within(pa, patient{kind}))", f"lag(within(lga, patient{kind}))", "within(sq, patient)"]
    return HEAD + equation("pa", " + ".join([*terms, "(1 | patient)"]))


@pytest.fixture(scope="module")
def diary(data_folder: Path) -> ba.SessionTable:
    """Return the diary of 72 students (Flueckiger 2014)."""
    return ba.read_sessions(data_folder / "flueckiger_diary.csv", roles={"patient": "id", "session": "day"})


def test_only_the_previous_day_counts(diary: ba.SessionTable) -> None:
    """1,951 rows have yesterday's values; a missed day is no yesterday, and every row without one is counted."""
    made = ba.make_design(ba.parse_model(lagged("observed")), diary)
    assert len(made.equation.y) == 1951
    (audit,) = [message for message in made.messages if message.startswith("lag(within(pa, patient")]
    assert "1,959 rows of 2,111 have an earlier value" in audit
    assert "72 rows are a patient's first session, which no lag reaches" in audit
    assert "78 rows follow a gap of more than 1 session number" in audit
    assert "2 rows follow a session without the value" in audit


@pytest.mark.slow
def test_observed_means_agree_with_reml(diary: ba.SessionTable) -> None:
    """Lagged affect, lagged goals and sleep within .15 of REML's standard errors."""
    fit = ba.fit_model(ba.parse_model(lagged("observed")), diary, seed=1, settings=SETTINGS)
    found = list(ba.summarize(fit)["mean"][1:4])
    for value, (reference, error) in zip(found, [(0.198, 0.023), (0.067, 0.028), (0.160, 0.036)], strict=True):
        assert abs(value - reference) < 0.15 * error
    assert fit.passed, fit.verdict


@pytest.mark.slow
def test_latent_means_give_a_higher_autoregression(diary: ba.SessionTable) -> None:
    """Without the bias of observed means (Nickell 1981) the autoregression is higher: .25, as without centring."""
    fit = ba.fit_model(ba.parse_model(lagged("latent")), diary, seed=1, settings=SETTINGS)
    row = ba.summarize(fit).iloc[1]
    assert row["eti95_lb"] > 0.198
    assert row["mean"] == pytest.approx(0.25, abs=0.02)
    assert fit.passed, fit.verdict


def series(seed: int, patients: int = 80, sessions: int = 8) -> pd.DataFrame:
    """Return SYNTHETIC series: y = .9 x between + m + w, w = .3 w before + .4 x within + e; patient SD of x 1."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(patients):
        level = rng.normal(0, 1)
        mean = 2 + 0.9 * level + rng.normal(0, 0.7)
        w = rng.normal(0, 1 / np.sqrt(1 - 0.3**2))
        for s in range(1, sessions + 1):
            x = rng.normal(0, 1)
            w = 0.3 * w + 0.4 * x + rng.normal(0, 1) if s > 1 else w + 0.4 * x
            rows.append({"pid": f"P{i:03d}", "week": float(s), "x": level + x, "y": mean + w})
    return pd.DataFrame(rows)


@pytest.mark.slow
def test_latent_means_recover_what_observed_ones_miss() -> None:
    """In 400 simulated series latent means recover autoregression and between effect; observed ones fall short."""
    truth = np.array([0.4, 0.9, 0.3])
    table = ba.read_sessions(series(1, patients=400), roles={"patient": "pid", "session": "week"})
    found = {}
    for kind in ("latent", "observed"):
        m = f'means="{kind}"'
        terms = [f"within(x, patient, {m})", f"between(x, patient, {m})", f"lag(within(y, patient, {m}))"]
        spec = ba.parse_model(HEAD + equation("y", " + ".join([*terms, "(1 | patient)"])))
        found[kind] = ba.summarize(ba.fit_model(spec, table, seed=1, settings=SETTINGS)).iloc[1:4]
    latent, observed = found["latent"], found["observed"]
    assert (np.abs(latent["mean"] - truth) < 2.6 * latent["sd"]).all()
    assert observed["mean"].iloc[2] + 5 * observed["sd"].iloc[2] < truth[2]
    assert observed["mean"].iloc[1] < latent["mean"].iloc[1]


@pytest.mark.slow
def test_few_sessions_do_not_bias_what_carries_over() -> None:
    """At 6 sessions deviations from observed means carry over too little (Nickell 1981), those from latent ones do not.

    SYNTHETIC: 15 studies of 250 patients, of whose deviations .3 carry over. With few patients the posterior is skewed,
    and its mean lies higher than what studies were drawn from: .35 with 60.
    """
    truth, studies, rng = 0.3, 15, np.random.default_rng(11)
    found: dict[str, list[float]] = {"latent": [], "observed": []}
    for study in range(studies):
        rows = []
        for patient in range(250):
            mean, apart = rng.normal(10, 2), 0.0
            for session in range(1, 7):
                apart = truth * apart + rng.normal(0, 1.5)
                rows.append((f"P{patient}", session, mean + apart))
        frame = pd.DataFrame(rows, columns=["patient", "session", "y"])
        table = ba.read_sessions(frame, {"patient": "patient", "session": "session"})
        for means in found:
            spec = ba.parse_model(HEAD + equation("y", f'lag(within(y, patient, means="{means}")) + (1 | patient)'))
            fit = ba.fit_model(spec, table, seed=study, settings=ba.SamplerSettings(draws=500, progress="off"))
            assert fit.provenance["engine"] == "collapsed"
            found[means].append(float(fit.data["posterior"]["b"].isel(coef=1).mean()))
    mean = {means: np.mean(values) for means, values in found.items()}
    error = {means: np.std(values, ddof=1) / np.sqrt(studies) for means, values in found.items()}
    assert abs(mean["latent"] - truth) < 3 * error["latent"]
    assert mean["observed"] < truth - 10 * error["observed"]
