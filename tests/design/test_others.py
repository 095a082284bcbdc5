"""Means of the other patients of a unit: against a plain loop, its identity, what is said of it and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_alliance as ba
from tests.conftest import ROLES
from tests.design.test_design import design
from tests.design.test_modelled import equation, model

CALL = "others(alliance, therapist)"


def by_loop(frame: pd.DataFrame) -> list[float]:
    """Return every row's mean over other patients of the therapist in the same week."""
    found = []
    for row in frame.itertuples():
        same = (frame["tid"] == row.tid) & (frame["week"] == row.week) & (frame["pid"] != row.pid)
        found.append(frame.loc[same, "alliance"].mean() if row.tid else np.nan)
    return found


def test_means_are_those_of_a_loop(trial: pd.DataFrame) -> None:
    """Missing values count as nobody; rows whose others have none are lost, and counted by reason."""
    frame = trial.copy()
    frame.loc[frame.index[::7], "alliance"] = np.nan
    made = design(CALL, ba.read_sessions(frame, ROLES))
    sorted_rows = ba.read_sessions(frame, ROLES).frame
    expected = np.array(by_loop(sorted_rows))
    np.testing.assert_allclose(made.equation.coef.values[:, 1], expected[made.equation.row], rtol=1e-12)
    assert np.isfinite(expected[made.equation.row]).all()
    said = next(text for text in made.messages if text.startswith(f"{CALL}: the mean of 1 to "))
    assert "other patients of the therapist in the same session" in said


@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_own_value_and_others_make_up_the_units_sum(seed: int) -> None:
    """The own value plus n - 1 times the others' mean is the same for all members, however rows are ordered."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(6, 20))
    frame = pd.DataFrame(
        {
            "pid": [f"p{i}" for i in range(n)],
            "gid": [f"g{i % 2}" for i in range(n)],
            "week": 1,
            "alliance": rng.normal(size=n),
            "score": rng.normal(size=n),
        }
    )
    roles = {"patient": "pid", "group": "gid", "session": "week"}
    table = ba.read_sessions(frame.sample(frac=1, random_state=seed), roles)
    made = design("others(alliance, group) + alliance", table)
    own, rest = made.equation.coef.values[:, 2], made.equation.coef.values[:, 1]
    unit = table.frame["gid"].to_numpy()[made.equation.row]
    for group in ("g0", "g1"):
        inside = unit == group
        sums = own[inside] + (inside.sum() - 1) * rest[inside]
        np.testing.assert_allclose(sums, sums[0], atol=1e-10)


def test_patients_have_others_too(trial: pd.DataFrame) -> None:
    """In an equation of patients the mean is over the other patients, whenever they came."""
    table = ba.read_sessions(trial, ROLES)
    made = design("others(pre, therapist)", table, outcome="post", unit="patient").equation
    people = table.frame.groupby("pid").first()
    for patient, value in zip(made.patient, made.coef.values[:, 1], strict=True):
        same = people[(people["tid"] == people.loc[patient, "tid"]) & (people.index != patient)]
        assert value == pytest.approx(same["pre"].mean())


def test_outcomes_of_others_are_said_to_be_no_joint_model(trial: pd.DataFrame) -> None:
    """An outcome may read its own values of the others; the design says what that is, and no study is simulated."""
    table = ba.read_sessions(trial, ROLES)
    made = design("others(alliance, therapist) + week", table, outcome="alliance")
    assert any("pseudo-likelihood" in text for text in made.messages)
    spec = ba.load_model("congruence/truth-and-bias-group")
    layout = ba.Layout(patients=24, groups={"size": (6, 6)}, sessions=(0, 1, 2))  # type: ignore[arg-type]
    with pytest.raises(ba.SpecError, match=r"'alliance_therapist' reads outcomes of the other patients through others"):
        ba.simulate_sessions(spec, layout, seed=1, variables={"alliance_patient": {"unit": "session"}}, truth="prior")


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        (
            "others(alliance, patient)",
            r"others\(alliance, patient\): the second argument names a unit of several",
        ),
        ('others(within(alliance, patient, means="latent"), therapist)', r"takes means of observed values"),
    ],
)
def test_means_of_others_that_make_no_sense(trial: pd.DataFrame, formula: str, message: str) -> None:
    """A patient has no others within; latent means have no observed ones."""
    with pytest.raises(ba.DesignError, match=message):
        design(formula, ba.read_sessions(trial, ROLES))


def test_effects_of_others_are_recovered() -> None:
    """SYNTHETIC groups in which members' alliance, one's own and the others', moves the outcome."""
    rng = np.random.default_rng(3)
    groups, members = 60, 6
    x = rng.normal(size=(groups, members)) + rng.normal(size=(groups, 1))
    rest = (x.sum(axis=1, keepdims=True) - x) / (members - 1)
    y = 0.3 * x + 0.5 * rest + rng.normal(0, 0.5, x.shape)
    frame = pd.DataFrame({"x": x.ravel(), "y": y.ravel(), "g": np.repeat(np.arange(groups), members).astype(str)})
    frame["p"] = [f"p{i}" for i in range(len(frame))]
    spec = model(equation("y", "x + others(x, group) + (1 | group)"))
    settings_ = ba.SamplerSettings(draws=500, chains=2, progress="off")
    fit = ba.fit_model(spec, ba.read_sessions(frame, {"patient": "p", "group": "g"}), seed=1, settings=settings_)
    b = fit.data["posterior"]["b"]
    for label, truth in (("y, x", 0.3), ("y, others(x, group)", 0.5)):
        own = b.sel(coef=label)
        assert abs(float(own.mean()) - truth) < 3 * float(own.std())
        assert float(own.std()) < 0.08
