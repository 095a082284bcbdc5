"""Layouts keep their promises whatever the numbers: hypothesis over arms, therapists, groups and sessions."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_alliance.simulate.layout import Layout, impossible, splits
from bayes_alliance.simulate.people import lay_out


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Draw layouts that may or may not be possible."""
    arms = draw(st.sampled_from([{}, {"A": draw(st.integers(3, 30)), "B": draw(st.integers(3, 30))}]))
    patients = sum(arms.values()) or draw(st.integers(2, 60))
    therapists = draw(st.one_of(st.integers(0, 8), st.just({"B": draw(st.integers(1, 3))} if arms else 2)))
    low = draw(st.integers(2, 6))
    size = (low, low + draw(st.integers(0, 6)))
    groups = draw(st.sampled_from([None, {"size": size}, {"size": size, "arms": ["B"] if arms else []}]))
    return Layout.model_validate(
        {
            "patients": patients,
            "sessions": draw(st.sampled_from([(1, 2, 3), (2, 5, 9), (0, 1, 2, 3, 4)])),
            "arms": arms,
            "therapists": therapists,
            "caseload": draw(st.sampled_from(["equal", "unequal"])),
            "groups": groups,
            "sites": draw(st.integers(0, 3)),
            "missed": draw(st.sampled_from([0.0, 0.3])),
            "dropout": draw(st.sampled_from([0.0, 0.2])),
        }
    )


@settings(max_examples=150, deadline=None)
@given(layout=layouts(), seed=st.integers(0, 1000))
def test_a_possible_layout_is_laid_out_as_stated(layout: Layout, seed: int) -> None:
    """Arms add up, therapists nest or cross as said, groups have one arm, one leader and an allowed size."""
    if impossible(layout):
        return
    rows = lay_out(layout, np.random.default_rng(seed))
    people = rows.groupby("patient", sort=False).first().reset_index()
    assert len(people) == layout.patients
    if layout.arms:
        assert people["condition"].value_counts().to_dict() == layout.arms
    if isinstance(layout.therapists, int) and layout.therapists and layout.groups is None:
        counts = people["therapist"].value_counts()
        assert len(counts) == layout.therapists
        assert layout.caseload == "unequal" or counts.max() - counts.min() <= 1
    if isinstance(layout.therapists, dict):
        assert set(people.loc[people["therapist"] != "", "condition"]) == {"B"}
    if layout.groups is not None:
        inside = people[people["group"] != ""]
        least, most = layout.groups.size
        assert inside["group"].value_counts().between(least, most).all()
        if layout.arms:
            assert (inside.groupby("group")["condition"].nunique() == 1).all()
        if layout.therapists:
            assert (inside.groupby("group")["therapist"].nunique() == 1).all()
    if layout.sites and layout.therapists:
        led = people[people["therapist"] != ""]
        assert (led.groupby("therapist")["site"].nunique() == 1).all()
    assert not rows.duplicated(["patient", "session"]).any()
    assert set(rows["session"]) <= set(map(float, layout.sessions))
    assert (rows.groupby("patient")["session"].min() == layout.sessions[0]).all()


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 8))
def test_splits_agrees_with_counting(patients: int, least: int, extra: int) -> None:
    """Whether patients split into groups of allowed sizes is what dynamic programming says."""
    sizes = range(least, least + extra + 1)
    reachable = {0}
    for total in range(1, patients + 1):
        if any(total - size in reachable for size in sizes):
            reachable.add(total)
    assert splits(patients, least, least + extra) == (patients in reachable)


def test_randomised_therapists_have_one_arm() -> None:
    """Where therapists are randomised, a therapist's patients are all in one arm, and arms count therapists."""
    layout = Layout(
        patients=117,
        sessions=(1, 2, 3, 4, 5, 6),
        arms={"untrained": 20, "trained": 20},
        allocation="therapist",
        therapists=40,
    )
    assert not impossible(layout)
    rows = lay_out(layout, np.random.default_rng(3))
    by_therapist = rows.groupby("therapist")["condition"]
    assert (by_therapist.nunique() == 1).all()
    assert by_therapist.first().value_counts().to_dict() == {"untrained": 20, "trained": 20}
