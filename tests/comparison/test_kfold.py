"""Folds and the next session: against leave-one-out, without leaks, resumed from disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_alliance as ba
from bayes_alliance.comparison.kfold import _split
from tests.build.test_equations import HEAD, equation
from tests.conftest import ROLES

QUIET = ba.SamplerSettings(draws=150, progress="off")
NESTED = {k: v for k, v in ROLES.items() if k != "group"}


@pytest.fixture(scope="module")
def table(trial: pd.DataFrame) -> ba.SessionTable:
    """Return the small trial."""
    return ba.read_sessions(trial, NESTED)


@pytest.fixture(scope="module")
def fit(table: ba.SessionTable) -> ba.Fit:
    """Return growth of sessions in patients in therapists."""
    text = HEAD + equation("score", "week + (1 + week | patient) + (1 | therapist)")
    return ba.fit_model(ba.parse_model(text), table, seed=2, settings=QUIET)


def test_folds_are_near_leaving_one_out(fit: ba.Fit, tmp_path: Path) -> None:
    """Three folds of eight patients are near leaving one out; the same again comes from disk."""
    scores = ba.kfold(fit, k=3, seed=3, folder=tmp_path, progress="off")
    one = ba.loo(fit)
    assert scores.labels == one.labels
    assert scores.elpd == pytest.approx(one.elpd, abs=6.0)
    assert np.corrcoef(scores.elpd_i, one.elpd_i)[0, 1] > 0.95
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("fit.json*")}
    again = ba.kfold(fit, k=3, seed=3, folder=tmp_path, progress="off")
    np.testing.assert_array_equal(again.elpd_i, scores.elpd_i)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("fit.json*")}
    assert np.isnan(scores.p_loo)


def test_the_next_session_does_not_leak(trial: pd.DataFrame, table: ba.SessionTable) -> None:
    """Whatever the next outcome is, what it is predicted from stays the same, means over sessions included."""
    text = HEAD + equation("score", "week + lag(within(score, patient)) + (1 | patient)")
    spec = ba.parse_model(text)
    fit = ba.fit_model(spec, table, seed=1, settings=QUIET)
    changed = trial.assign(score=np.where(trial["week"] == 6, 60.0, trial["score"]))
    other = ba.fit_model(spec, ba.read_sessions(changed, NESTED), seed=1, settings=QUIET)
    one = _split(fit, fit.design, table, 5.0, 6.0)  # type: ignore[arg-type]
    two = _split(fit, other.design, ba.read_sessions(changed, NESTED), 5.0, 6.0)  # type: ignore[arg-type]
    for mine, theirs in zip(one, two, strict=True):
        np.testing.assert_array_equal(mine.equation.coef.values, theirs.equation.coef.values)
    assert (one[0].equation.session <= 5).all()
    assert (one[1].equation.session == 6).all()
    np.testing.assert_array_equal(one[0].equation.y, two[0].equation.y)
    assert (two[1].equation.y == 60).all()


def test_the_next_session_is_read_as_it_was(trial: pd.DataFrame, table: ba.SessionTable) -> None:
    """What one outcome reads of another in the predicted session is observed; means over sessions are those so far."""
    frame = trial.assign(late=(trial["score"] > 12).astype(float))
    text = (
        HEAD
        + equation("alliance", "week + (1 | patient)")
        + equation("score", "alliance + within(alliance, patient) + (1 | patient)", extra='centre = "alliance"')
        + equation("stress", "between(alliance, therapist) + between(late, patient) + within(alliance, patient, "
                   "detrend=week)")
        + equation("late", "week", extra='family = "bernoulli"')
    )  # fmt: skip
    table = ba.read_sessions(frame, NESTED)
    spec = ba.parse_model(text)
    design = ba.make_design(spec, table)
    fit = ba.Fit(spec, xr.DataTree(), {"messages": []}, (), design)
    train, test = _split(fit, design, table, 5.0, 6.0)
    for made, weeks in ((train, frame["week"] <= 5), (test, frame["week"] == 6)):
        rows = frame[weeks & frame["pid"].isin(frame["pid"][frame["week"] <= 5])].sort_values(["pid", "week"])
        so_far = frame[frame["week"] <= 5]
        mean = so_far.groupby("pid")["alliance"].mean()[rows["pid"]].to_numpy()
        score, stress = made.find("score"), made.find("stress")
        np.testing.assert_allclose(score.y + score.offset, rows["score"])
        assert score.offset == pytest.approx(so_far["alliance"].mean())
        np.testing.assert_allclose(score.coef.values[:, 1], rows["alliance"])
        np.testing.assert_allclose(score.coef.values[:, 2], rows["alliance"] - mean)
        by_therapist = so_far.groupby("tid")["alliance"].mean()[rows["tid"]]
        np.testing.assert_allclose(stress.coef.values[:, 1], by_therapist)
        np.testing.assert_allclose(stress.coef.values[:, 2], so_far.groupby("pid")["late"].mean()[rows["pid"]])
        for i, (person, week, value) in enumerate(zip(rows["pid"], rows["week"], rows["alliance"], strict=True)):
            own = so_far[so_far["pid"] == person]
            line = np.polyfit(own["week"], own["alliance"], 1) if len(own) > 1 else [0.0, own["alliance"].mean()]
            assert stress.coef.values[i, 3] == pytest.approx(value - np.polyval(line, week), abs=1e-9)
    declared = HEAD + '[variables]\nearly = "window(alliance, 1, 6)"\n' + equation("alliance", "week")
    spec = ba.parse_model(declared + equation("score", "early + alliance"))
    design = ba.make_design(spec, table)
    fit = replace(fit, spec=spec, design=design)
    with pytest.raises(ba.FitError, match=r"'early' \(up to session 6\) would be worked out of outcomes after"):
        _split(fit, design, table, 5.0, 6.0)


def test_the_next_session_is_scored(fit: ba.Fit, table: ba.SessionTable, trial: pd.DataFrame) -> None:
    """One number per patient and session from the start on; better than chance far from it."""
    scores = ba.leave_future_out(fit, table, start=6, seed=1, progress="off")
    weeks = trial[trial["week"] >= 7]
    assert set(scores.labels) == {f"{p}, session {w:g}" for p, w in zip(weeks["pid"], weeks["week"], strict=True)}
    spread = trial["score"].std()
    assert scores.elpd / len(scores) > -0.5 * np.log(2 * np.pi * np.e * spread**2)


def test_what_is_refused(fit: ba.Fit, table: ba.SessionTable, trial: pd.DataFrame) -> None:
    """No such number of folds, other rows, no next session, one row per patient."""
    with pytest.raises(ba.FitError, match="k must be a whole number from 2 to 24"):
        ba.kfold(fit, k=25, seed=1)
    with pytest.raises(ba.FitError, match="not the rows the model was fitted to"):
        ba.leave_future_out(fit, ba.read_sessions(trial.iloc[1:], NESTED), seed=1)
    with pytest.raises(ba.FitError, match="No session comes after 9"):
        ba.leave_future_out(fit, table, start=9, seed=1)
    post = ba.fit_model(ba.parse_model(HEAD + equation("post", "pre", unit="patient")), table, seed=1, settings=QUIET)
    with pytest.raises(ba.FitError, match="'post' has one row per patient: there is no next session"):
        ba.leave_future_out(post, table, seed=1)
