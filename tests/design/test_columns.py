"""Time in pieces, surfaces, centring, three-part means, lags with reach: against plain loops and arithmetic."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_alliance as ba
from tests.conftest import ROLES, make_trial
from tests.design.test_design import design
from tests.design.test_transforms import tables


def columns(formula: str, frame: pd.DataFrame, **arguments: object) -> dict[str, np.ndarray]:
    """Return the coded columns of a formula by label."""
    made = design(formula, ba.read_sessions(frame, ROLES), **arguments).equation
    return dict(zip(made.coef.labels, made.coef.values.T, strict=True))


def test_quadratic_and_piecewise_time(trial: pd.DataFrame) -> None:
    """A square beside the value; stretches add up to the value, and each moves in its own stretch only."""
    week = trial["week"].to_numpy()
    got = columns("quadratic(week - 4)", trial)
    np.testing.assert_array_equal(got["quadratic(week - 4)[linear]"], week - 4)
    np.testing.assert_array_equal(got["quadratic(week - 4)[square]"], (week - 4) ** 2)
    got = columns("piecewise(week, 3, 6)", trial)
    one, two, three = (got[f"piecewise(week, 3, 6)[{piece}]"] for piece in ("to 3", "3 to 6", "from 6"))
    np.testing.assert_array_equal(one + two + three, week)
    np.testing.assert_array_equal(one, np.minimum(week, 3))
    np.testing.assert_array_equal(two, np.clip(week - 3, 0, 3))
    np.testing.assert_array_equal(three, np.maximum(week - 6, 0))


def test_pieces_multiply_with_a_factor(trial: pd.DataFrame) -> None:
    """A product with the condition has a column per piece and level, labelled by both."""
    got = columns("piecewise(week, 4) * arm", trial, reference={"arm": "TAU"})
    arm = (trial["arm"] == "MBCT").to_numpy()
    for piece in ("to 4", "from 4"):
        label = f"piecewise(week, 4)[{piece}]"
        np.testing.assert_array_equal(got[f"{label}:arm[MBCT]"], got[label] * arm)


def test_centred_takes_the_mean_of_all_observed_rows(trial: pd.DataFrame) -> None:
    """Of itself, or of the variable named; rows lost for other reasons still count for the mean."""
    frame = trial.copy()
    frame.loc[frame.index[:20], "score"] = np.nan
    got = columns("centred(alliance) + centred(stress, on=alliance)", frame)
    kept = frame["score"].notna().to_numpy()
    mean = frame["alliance"].mean()
    np.testing.assert_allclose(got["centred(alliance)"], (frame["alliance"] - mean)[kept])
    np.testing.assert_allclose(got["centred(stress, on=alliance)"], (frame["stress"] - mean)[kept])


@pytest.mark.parametrize("centre", ["", ", centre=4", ", centre=patient"])
def test_surface_takes_one_constant_from_both(trial: pd.DataFrame, centre: str) -> None:
    """X - y stays as it is; squares and the product are of what is left."""
    x, y = trial["alliance"], trial["rating"]
    both = {
        "": pd.Series((x.mean() + y.mean()) / 2, index=trial.index),
        ", centre=4": pd.Series(4.0, index=trial.index),
        ", centre=patient": ((x + y) / 2).groupby(trial["pid"]).transform("mean"),
    }[centre]
    label = f"surface(alliance, rating{centre})"
    got = columns(label, trial)
    u, v = x - both, y - both
    for piece, expected in {"x": u, "y": v, "x^2": u**2, "x*y": u * v, "y^2": v**2}.items():
        np.testing.assert_allclose(got[f"{label}[{piece}]"], expected, atol=1e-12)
    np.testing.assert_allclose(got[f"{label}[x]"] - got[f"{label}[y]"], x - y, atol=1e-12)


def test_surface_says_where_it_is_centred_and_doubts_two_scales(trial: pd.DataFrame) -> None:
    """The constant is printed; ratings of 1 to 7 beside ratings of 0 to 100 are refused."""
    table = ba.read_sessions(trial.assign(percent=trial["rating"] * 14), ROLES)
    notes = design("surface(alliance, rating)", table).messages
    assert any("both less" in note and "their common mean" in note for note in notes)
    assert not any("ratings on one scale" in note for note in notes)
    with pytest.raises(ba.DesignError, match=r"must be ratings on one scale. Rescale them, or state metric"):
        design("surface(alliance, percent)", table)
    half = ba.read_sessions(trial.assign(close=5 + 0.4 * (trial["rating"] - 5)), ROLES)
    notes = design("surface(alliance, close)", half).messages
    assert any("they are taken to be ratings on one scale" in note for note in notes)


@settings(max_examples=40, deadline=None)
@given(tables())
def test_three_parts_add_back(frame: pd.DataFrame) -> None:
    """Session, patient within therapist and therapist parts add up to the variable, whatever is missing."""
    frame = frame.assign(tid="T" + (frame["pid"].str[1:].astype(int) % 2).astype(str))
    roles = {"patient": "pid", "session": "week", "therapist": "tid"}
    parts = ("within(x, patient)", "between(x, patient, within=therapist)", "between(x, therapist)")
    try:
        made = design(" + ".join(parts), ba.read_sessions(frame, roles), outcome="y").equation
    except ba.DesignError:
        return
    got = dict(zip(made.coef.labels, made.coef.values.T, strict=True))
    values = ba.read_sessions(frame, roles).frame["x"].to_numpy()[made.row]
    np.testing.assert_allclose(sum(got[part] for part in parts), values, atol=1e-9)
    patients = pd.Series(got[parts[1]]).groupby(made.patient).nunique()
    assert (patients == 1).all()


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(1, 4))
def test_a_lag_with_reach_is_the_latest_observed_value_within_it(frame: pd.DataFrame, reach: int) -> None:
    """The value of 1 to max_gap session numbers ago, the latest that was observed; never of another patient."""
    values = {(row.pid, int(row.week)): row.x for row in frame.itertuples() if not np.isnan(row.x)}
    table = ba.read_sessions(frame, {"patient": "pid", "session": "week"})
    try:
        made = design(f"lag(x, max_gap={reach})", table, outcome="y").equation
    except ba.DesignError:
        return
    for patient, week, got in zip(made.patient, made.session, made.coef.values[:, 1], strict=True):
        gaps = [gap for gap in range(1, reach + 1) if (patient, week - gap) in values]
        assert got == values[(patient, week - gaps[0])]
    expected = sum(
        any((row.pid, row.week - gap) in values for gap in range(1, reach + 1)) for row in frame.itertuples()
    )
    assert len(made.y) == expected


def test_the_audit_of_a_lag_adds_up_by_condition(trial: pd.DataFrame) -> None:
    """Rows with an earlier value, first sessions and rows after a gap are all rows, in total and by arm."""
    made = design(
        "lag(alliance) + condition",
        ba.read_sessions(trial, ROLES),
        columns={"condition": "arm"},
        reference={"condition": "TAU"},
    )
    (audit,) = [message for message in made.messages if message.startswith("lag(alliance)")]
    by_patient = {patient: set(rows["week"]) for patient, rows in trial.groupby("pid")}
    kind = [
        "kept" if row.week - 1 in by_patient[row.pid] else "first" if row.week == min(by_patient[row.pid]) else "gap"
        for row in trial.itertuples()
    ]
    for what, words in (("kept", "have an earlier value"), ("first", "first session"), ("gap", "follow a gap")):
        rows = trial[np.array(kind) == what]
        counts = f"(TAU: {(rows['arm'] == 'TAU').sum()}, MBCT: {(rows['arm'] == 'MBCT').sum()})"
        piece = next(part for part in audit.split(";") if words in part)
        assert counts in piece
        assert f"{len(rows)} rows" in piece


def test_detrending_takes_each_patients_own_line(trial: pd.DataFrame) -> None:
    """What is left is orthogonal to time in every patient; those with fewer than three rows have nothing left."""
    label = "within(alliance, patient, detrend=week)"
    made = design(label, ba.read_sessions(trial, ROLES))
    left = pd.Series(made.equation.coef.values[:, 1])
    for patient, rows in trial.reset_index(drop=True).groupby("pid"):
        own = left[(made.equation.patient == patient)]
        if len(rows) < 3:
            np.testing.assert_allclose(own, 0, atol=1e-9)
            continue
        line = np.polynomial.Polynomial.fit(rows["week"], rows["alliance"], 1)
        np.testing.assert_allclose(own, rows["alliance"] - line(rows["week"]), atol=1e-9)
    assert any("is taken away; 2 patients with fewer than three rows are 0" in message for message in made.messages)


def test_patients_average_what_varies_over_sessions(trial: pd.DataFrame) -> None:
    """In an equation of patients between() of a session's variable is the patient's mean, and said so."""
    table = ba.read_sessions(trial, ROLES)
    text = "between(alliance, patient, within=therapist) + between(alliance, therapist)"
    made = design(text, table, outcome="post", unit="patient")
    means = trial.groupby("pid")["alliance"].mean()
    wide = trial.groupby("tid")["alliance"].mean()
    therapist = trial.groupby("pid")["tid"].first()
    got = made.equation.coef.values
    np.testing.assert_allclose(got[:, 2], therapist.map(wide)[made.equation.patient])
    np.testing.assert_allclose(got[:, 1] + got[:, 2], means[made.equation.patient])
    assert "alliance varies within patients; its means are taken over sessions." in made.messages


def test_what_has_no_spread_within_is_counted(trial: pd.DataFrame) -> None:
    """Patients with one rating, or always the same, carry nothing within; they stay for what lies between."""
    frame = trial.copy()
    frame.loc[frame["pid"] == "P01", "alliance"] = 4.0
    notes = design("within(alliance, patient) + between(alliance, patient)", ba.read_sessions(frame, ROLES)).messages
    assert any("3 patients of 24 (12%) have one observed row or no variation" in note for note in notes)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("piecewise(week, 6, 3)", r"knots are numbers in rising order"),
        ("piecewise(week, alliance)", r"knots are numbers in rising order"),
        ("piecewise(week, 40)", r"knot 40 does not lie inside the values, which run from 1 to 8"),
        ("log(quadratic(week))", r"quadratic\(week\) gives several columns and must stand alone"),
        ('surface(alliance, rating, centre="mean")', r'centre is "pooled", a number, or a grouping factor'),
        ('within(alliance, patient, means="mean")', r'means is "observed", "latent" or "finite", not \'mean\''),
        ('within(alliance, patient, means="finite")', r'means="finite" and size= go together'),
        ("between(alliance, patient, size=pre)", r'means="finite" and size= go together'),
        ('within(log(alliance), patient, means="latent")', r"takes the mean of a variable as it is in the table"),
        ('within(alliance, patient, means="latent", detrend=week)', r"Leave detrend out"),
        ("between(alliance, therapist, within=patient)", r"6 therapists lie in more than one patient"),
        ("between(alliance, patient, within=3)", r"within= names a grouping factor"),
        ("lag(alliance, 2, max_gap=1)", r"a max_gap that is no smaller"),
        (
            'log(between(alliance, patient, means="latent"))',
            r"latent means and modelled values can be added and scaled only",
        ),
        (
            'within(alliance, patient, means="latent"):between(alliance, patient, means="latent")',
            r"a product of two latent parts is not known",
        ),
        ('between(pre, patient, means="latent")', r"no patient has two different values"),
        (
            'between(alliance, therapist, means="latent") + between(alliance, weekday, means="latent")',
            r"is not nested in",
        ),
    ],
)
def test_calls_that_make_no_sense_are_named(trial: pd.DataFrame, formula: str, message: str) -> None:
    """Each is a DesignError with the call as written and what is allowed."""
    frame = trial.assign(weekday=[f"d{i % 5}" for i in range(len(trial))])
    with pytest.raises((ba.DesignError, ba.SpecError), match=message):
        design(formula, ba.read_sessions(frame, ROLES))


def test_a_session_variable_has_no_deviation_in_an_equation_of_patients(trial: pd.DataFrame) -> None:
    """within() of what varies over sessions is refused there, with what to write."""
    with pytest.raises(ba.DesignError, match=r"Declare which value is meant under \[variables\]"):
        design("within(alliance, therapist)", ba.read_sessions(trial, ROLES), outcome="post", unit="patient")


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"G0": 1, "G1": 9, "G2": 9, "G3": 9}, r"is smaller than the members measured: 'G0' \(1 of"),
        (None, r"is the size of each group, and 4 groups have no single one"),
    ],
)
def test_sizes_of_finite_units_are_checked(trial: pd.DataFrame, sizes: dict[str, int] | None, message: str) -> None:
    """A unit has one size, and no smaller one than was measured of it."""
    people = trial.groupby("pid").first().reset_index()
    people = people[people["gid"] != ""]
    people["size"] = people["gid"].map(sizes) if sizes else 8.0 + np.arange(len(people))
    call = 'within(alliance, group, means="finite", size=size)'
    with pytest.raises(ba.DesignError, match=message):
        design(call, ba.read_sessions(people, ROLES), outcome="post", unit="patient")


def test_permuting_rows_changes_no_column() -> None:
    """Surfaces, means and lags do not depend on the order of the source's rows."""
    trial = make_trial(patients=12)
    formula = "surface(alliance, rating, centre=patient) + lag(stress, max_gap=2) + between(pre, therapist)"
    one = columns(formula, trial)
    two = columns(formula, trial.sample(frac=1, random_state=4))
    for label, values in one.items():
        np.testing.assert_array_equal(values, two[label])
