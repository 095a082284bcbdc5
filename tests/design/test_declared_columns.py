"""What a study works out of its sessions in the place of a column: models of patients on a table of sessions."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.cli.options import pairs
from tests.conftest import make_trial

ROLES = {"patient": "pid", "session": "week", "therapist": "tid"}
COLUMNS = {
    "outcome_pre": "first(score)",
    "outcome_post": "last(score)",
    "alliance": "window(alliance, 1, 3)",
    "condition": "arm",
}


def trial() -> pd.DataFrame:
    """Return a SYNTHETIC trial in sessions."""
    frame = make_trial(seed=2, patients=40)
    return frame[frame.groupby("pid")["week"].transform("nunique") > 2].reset_index(drop=True)


def test_a_registered_model_of_patients_runs_on_sessions() -> None:
    """The same design as with columns worked out by hand beforehand."""
    frame = trial()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = ba.read_sessions(frame, ROLES)
    spec = ba.parse_model(
        'title = "t"\nquestion = "q?"\n[[equation]]\noutcome = "outcome_post"\nunit = "patient"\n'
        'formula = "outcome_pre + early + (1 | therapist)"\n'
    )
    columns = {"outcome_pre": "first(score)", "outcome_post": "last(score)", "early": "window(alliance, 1, 3)"}
    own = ba.make_design(spec, ba.Study(table, columns=columns))
    by_hand = frame.assign(
        **{
            "outcome_pre": frame.groupby("pid")["score"].transform("first"),
            "outcome_post": frame.groupby("pid")["score"].transform("last"),
            "early": frame["alliance"].where(frame["week"].between(1, 3)).groupby(frame["pid"]).transform("mean"),
        }
    )
    right = ba.make_design(spec, ba.read_sessions(by_hand, ROLES))
    np.testing.assert_allclose(own.equation.coef.values, right.equation.coef.values)
    np.testing.assert_allclose(own.equation.y, right.equation.y)


def test_a_summary_that_is_none() -> None:
    """Unknown functions are columns that are not there; wrong arguments are named; nobody else is bothered."""
    table = ba.read_sessions(trial(), ROLES)
    spec = ba.parse_model(
        'title = "t"\nquestion = "q?"\n[[equation]]\noutcome = "y"\nunit = "patient"\nformula = "x"\n'
    )
    with pytest.raises(ba.SpecError, match=r"window"):
        ba.make_design(spec, ba.Study(table, columns={"y": "window(score, 1)", "x": "first(alliance)"}))
    with pytest.raises(ba.DesignError, match=r"mean\(score\)"):
        ba.make_design(spec, ba.Study(table, columns={"y": "mean(score)", "x": "first(alliance)"}))
    frame = trial()
    odd = ba.read_sessions(frame.assign(**{"first(x)": frame.groupby("pid")["score"].transform("first")}), ROLES)
    columns = {"y": "last(score)", "x": "first(x)"}
    assert ba.make_design(spec, ba.Study(odd, columns=columns)).equation.names["x"] == "first(x)"


def test_commas_within_calls_do_not_part_options() -> None:
    """--columns patient=pid,early=window(wai, 1, 4),pre=at(phq9, session=1)."""
    found = pairs(["patient=pid,early=window(wai, 1, 4),pre=at(phq9, session=1)"], "--columns")
    assert found == {"patient": "pid", "early": "window(wai, 1, 4)", "pre": "at(phq9, session=1)"}
    assert pairs(["in=arm[a, b],x=y"], "--columns") == {"in": "arm[a, b]", "x": "y"}
