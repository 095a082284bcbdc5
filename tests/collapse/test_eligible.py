"""Which models the exact engine takes, and how it says what stands in the way."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.collapse import eligibility
from bayes_alliance.collapse.eligibility import find_design_obstacles, find_obstacles, find_stream_obstacles
from bayes_alliance.spec.registry import model_names
from tests.build.test_equations import HEAD, equation
from tests.conftest import ROLES


@pytest.mark.parametrize("name", model_names())
def test_registry_models(name: str) -> None:
    """Gaussian models qualify; every other one says which term prevents it. Streams take nothing estimated beside."""
    spec = ba.load_model(name)
    gaussian = all(e.family == "gaussian" for e in spec.equation)
    own = any(e.parameters or "mo(" in e.formula for e in spec.equation)
    shared = any(group.members for group in spec.groups.values())
    outside = not gaussian or own or shared
    assert bool(find_obstacles(spec)) == outside
    read = ("latent", "finite", "value(", "slope(", "effect(")
    estimated = any(word in e.formula for word in read for e in spec.equation) or any(e.modelled for e in spec.equation)
    assert bool(find_stream_obstacles(spec)) == (outside or estimated or bool(spec.shrink))


def test_terms_are_named(sessions: ba.SessionTable) -> None:
    """A family, a latent slope and a prior each stand in the way by name, in the model and in the design."""
    text = (
        HEAD
        + equation("score", 'week + (1 + within(alliance, patient, means="latent") | patient)')
        + equation("dropout", "pre + (1 | therapist)", "patient", 'family = "bernoulli"')
        + '[[prior]]\non = "b week"\ndist = "student_t(3, 0, 1)"\nreason = "Tails."\n'
    )
    spec = ba.parse_model(text)
    said = "; ".join(find_obstacles(spec))
    varying = 'coefficients of within(alliance, patient, means="latent") vary between units of score'
    assert f"{varying}, and multiply what is estimated" in said
    assert "dropout is bernoulli, not Gaussian" in said
    assert "the prior student_t(3, 0, 1) on 'b week' is not normal" in said
    said = "; ".join(find_design_obstacles(ba.make_design(spec, sessions)))
    varying = 'coefficients of within(alliance, patient, means="latent") vary between units of score'
    assert f"{varying}, and multiply what is estimated" in said
    assert "dropout is bernoulli, not Gaussian" in said
    assert "the prior of b[score, week], student_t(3, 0, 1), is not normal" in said


def test_the_engine_is_refused_by_name(sessions: ba.SessionTable) -> None:
    """Asking for the collapsed engine where it cannot fit is an error that says why, before anything is compiled."""
    spec = ba.parse_model(HEAD + equation("score", "week + (1 | patient)"))
    with pytest.raises(ba.FitError, match=r"cannot fit this model: the prior of b\[score, week\], student_t"):
        ba.fit_model(spec, ba.Study(sessions, priors={"b week": "student_t(3, 0, 1)"}), seed=1, engine="collapsed")


SERIES = equation("score", "week + (1 | patient) + (1 | therapist)", extra='residuals = "ar1"')


def obstacles_of(text: str, frame: pd.DataFrame, **study: Any) -> str:
    """Return what a design has in the exact engine's way, as one text."""
    table = ba.read_sessions(frame, ROLES, transfers="transferred")
    return "; ".join(find_design_obstacles(ba.make_design(ba.parse_model(HEAD + text), ba.Study(table, **study))))


def test_series_need_one_therapist_per_patient(trial: pd.DataFrame) -> None:
    """Patients who change therapist, and only these, stand in the way of residuals that correlate over sessions."""
    assert obstacles_of(SERIES, trial) == ""
    moved = trial.copy()
    moved.loc[(moved["pid"] == "P02") & (moved["week"] > 4), "tid"] = "T5"
    said = obstacles_of(SERIES, moved)
    assert said == (
        "residuals of score correlate over sessions, and sessions of one patient are of several levels of therapist"
    )
    assert obstacles_of(SERIES.replace('residuals = "ar1"', ""), moved) == ""


def test_series_need_one_prior_and_no_other_correlations(trial: pd.DataFrame) -> None:
    """Each obstacle is named."""
    two = SERIES + equation("alliance", "week + (1 | patient)", extra='residuals = "ar1"')
    assert obstacles_of(two, trial) == ""
    said = obstacles_of(two, trial, priors={"alliance: ar": "lkj(5)"})
    assert said == "autocorrelations have different priors"
    visits = SERIES + equation("alliance", "visit", extra='residuals = "unstructured"')
    said = obstacles_of(visits, trial)
    assert said == "residuals of score correlate over sessions, and others by themselves"


def test_visits_missing_in_too_many_ways_are_left_to_nuts(trial: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way in which visits are missing has tables of its own."""
    visits = equation("score", "visit", extra='residuals = "unstructured"')
    assert obstacles_of(visits, trial) == ""
    monkeypatch.setattr(eligibility, "MOST_TABLES", 100)
    assert obstacles_of(visits, trial) == "visits are missing in so many ways that it takes more than 100 tables"
