"""What plays time: a column of the study, or the session; and what one equation reads of another along it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba

ROLES = {"patient": "pid", "therapist": "tid", "session": "week"}
NAMES = {"outcome": "score", "condition": "arm"}
TAU = {"condition": "TAU"}


def timed(trial: pd.DataFrame) -> pd.DataFrame:
    """Return the trial with months since intake beside the number of the session: fractions, some before intake."""
    rng = np.random.default_rng(2)
    return trial.assign(months=((trial["week"] - 2 + rng.uniform(-0.4, 0.4, len(trial))) / 4.3).round(2))


def test_the_session_is_time_where_no_column_plays_it(trial: pd.DataFrame) -> None:
    """Formula, labels, units and the priors of the call read session; the column of sessions is no other."""
    table = ba.read_sessions(trial, ROLES)
    priors = {"b time:condition": "normal(0, 0.3)", "sd patient time": "half_normal(0.5)"}
    made = ba.make_design(ba.load_model("growth/treatment"), ba.Study(table, NAMES, TAU, priors))
    assert made.equation.coef_labels[1] == "score, week"
    assert "time" not in made.equation.variables
    stated = {one.parameter: one.source for one in made.priors.table()}
    assert stated["b[score, week:arm[MBCT]]"] == stated["sd_patient[score, week]"] == "call"
    named = ba.make_design(ba.load_model("growth/treatment"), ba.Study(table, {**NAMES, "time": "week"}, TAU))
    assert (
        named.fingerprint == ba.make_design(ba.load_model("growth/treatment"), ba.Study(table, NAMES, TAU)).fingerprint
    )
    course = ba.make_design(ba.load_model("growth/course"), ba.Study(table, {"outcome": "score"}))
    assert [one.unit for one in course.estimands] == ["points of the outcome per session"]


def test_a_column_plays_time(trial: pd.DataFrame) -> None:
    """Fractions and negative numbers; the columns are those of a formula that names the column itself."""
    table = ba.read_sessions(timed(trial), ROLES)
    study = ba.Study(table, {**NAMES, "time": "months"}, TAU)
    made = ba.make_design(ba.load_model("growth/treatment"), study)
    plain = ba.alter_model(ba.load_model("growth/treatment"), swap={"time": "months"})
    same = ba.make_design(plain, ba.Study(table, NAMES, TAU))
    np.testing.assert_array_equal(made.equation.coef.values, same.equation.coef.values)
    assert made.equation.coef_labels == same.equation.coef_labels
    course = ba.make_design(ba.load_model("growth/course"), ba.Study(table, {"outcome": "score", "time": "months"}))
    assert [one.unit for one in course.estimands] == ["points of the outcome per unit of months"]
    called = ba.read_sessions(timed(trial).rename(columns={"months": "time"}), ROLES)
    found = ba.make_design(ba.load_model("growth/treatment"), ba.Study(called, NAMES, TAU))
    assert found.equation.coef_labels[1] == "score, time"
    assert any("runs along the column 'time' of the table. State columns={'time': 'week'}" in m for m in found.messages)
    assert not any("runs along the column" in message for message in made.messages)


def test_a_line_bends_in_the_middle(trial: pd.DataFrame) -> None:
    """piecewise(time) is piecewise at the middle one of the different times; a curve has no one slope to ask for."""
    table = ba.read_sessions(trial, ROLES)
    made = ba.make_design(ba.load_model("growth/treatment", course="piecewise"), ba.Study(table, NAMES, TAU))
    weeks = np.sort(trial.loc[trial["score"].notna(), "week"].unique())
    middle = weeks[(len(weeks) - 1) // 2]
    stated = ba.make_design(
        ba.load_model("growth/treatment", course=f"piecewise({middle})"), ba.Study(table, NAMES, TAU)
    )
    np.testing.assert_array_equal(made.equation.coef.values, stated.equation.coef.values)
    assert made.equation.knots == {"piecewise(session)": (float(middle),)}
    assert f"piecewise(session): the line bends at {middle:g}, the middle of its values." in made.messages
    course = ba.make_design(ba.load_model("growth/course", course="spline"), ba.Study(table, {"outcome": "score"}))
    assert "The course is spline(time, 3), which has no single slope; not answered: 'change'." in course.messages


def test_slopes_of_another_equation_are_those_in_time(trial: pd.DataFrame) -> None:
    """slope(alliance) per month is 4.3 times that per week, where months are weeks over 4.3."""
    frame = trial.assign(months=trial["week"] / 4.3)
    spec = ba.load_model("mediation/latent-growth")
    columns = {"outcome_pre": "pre", "outcome_post": "post", "condition": "arm"}
    designs = [
        ba.make_design(spec, ba.Study(ba.read_sessions(frame, ROLES), {**columns, **more}, TAU))
        for more in ({}, {"time": "months"})
    ]
    weekly, monthly = (
        d.equations[1].coef.values[:, d.equations[1].coef_labels.index("post, slope(alliance)")] for d in designs
    )
    np.testing.assert_allclose(monthly, 4.3 * weekly, rtol=1e-6)


def test_a_session_says_nothing_of_a_course_in_months(trial: pd.DataFrame) -> None:
    """value(alliance, session=3), and a product of time with the session where they are one."""
    text = """
title = "x"
question = "y"

[[equation]]
outcome = "alliance"
unit = "session"
formula = "time + (1 + time | patient)"

[[equation]]
outcome = "post"
unit = "patient"
formula = "value(alliance, session=3)"
"""
    table = ba.read_sessions(timed(trial), ROLES)
    assert ba.make_design(ba.parse_model(text), table).equations[1].coef_labels[1] == "post, value(alliance, session=3)"
    with pytest.raises(ba.DesignError, match=r"runs along 'months', which the number of a session does not say"):
        ba.make_design(ba.parse_model(text), ba.Study(table, {"time": "months"}))
    both = ba.alter_model(ba.load_model("growth/course"), add="time:session")
    with pytest.raises(ba.DesignError, match=r"time:session is a product of the session with itself.*State columns="):
        ba.make_design(both, ba.Study(table, {"outcome": "score"}))


def test_risk_without_a_time_is_said(trial: pd.DataFrame) -> None:
    """Sessions at risk that nobody attended have no time, and so no value of the alliance."""
    frame = timed(trial).drop(index=trial.index[[3, 8]])
    frame["last"] = frame.groupby("pid")["week"].transform("max")
    columns = {"condition": "arm", "time": "months", "last_session": "last", "in_group": "arm[MBCT]"}
    study = ba.Study(ba.read_sessions(frame, {**ROLES, "group": "gid"}), columns, TAU)
    made = ba.make_design(ba.load_model("dropout/joint-value"), study)
    assert any("without a time, such as sessions at risk that nobody attended" in one for one in made.messages)


def test_along_a_column_a_trajectory_runs_and_sessions_do_not_bound_it(trial: pd.DataFrame) -> None:
    """predict_trajectories is over time, between the first and the last one, by the fit's own coefficients."""
    study = ba.Study(ba.read_sessions(timed(trial), ROLES), {**NAMES, "time": "months"}, TAU)
    fit = ba.fit_model(ba.load_model("growth/treatment"), study, seed=1)
    found = ba.predict_trajectories(fit, points=3)
    assert found.dims == ("chain", "draw", "arm", "time")
    b = fit.data["posterior"]["b"]
    line = b.sel(coef="score, Intercept") + found["time"] * b.sel(coef="score, months")
    np.testing.assert_allclose(
        found.sel(arm="TAU").transpose("chain", "draw", "time"), line.transpose("chain", "draw", "time")
    )
    ba.plot_trajectories(fit)


def test_one_row_per_patient_is_told_the_model_that_answers(trial: pd.DataFrame) -> None:
    """At once with what else is wrong of names."""
    first = ba.read_sessions(trial.groupby("pid").head(1), ROLES)
    with pytest.raises(ba.DesignError, match=r"Every patient has one row.*there is the model 'outcome/change'"):
        ba.make_design(ba.load_model("growth/treatment"), ba.Study(first, NAMES, TAU))
