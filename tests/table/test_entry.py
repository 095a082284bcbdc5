"""Patients who come later than the first session at risk: at risk from their entry on, and not before."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba

ROLES = {"patient": "pid", "session": "week"}
HAZARD = 0.15


def late_study(seed: int = 1, patients: int = 3000) -> pd.DataFrame:
    """Return SYNTHETIC rows of patients with a hazard of .15 in both arms; in one most come at session 4 or later."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(patients):
        arm = ("A", "B")[i % 2]
        entry = int(rng.integers(4, 8)) if arm == "B" and rng.random() < 0.8 else 1
        last, left = 10, 0
        for week in range(entry, 11):
            if rng.random() < HAZARD:
                last, left = week, 1
                break
        rows.append((f"p{i:04d}", entry, arm, last, left, entry))
        if last > entry:
            rows.append((f"p{i:04d}", last, arm, last, left, entry))
    return pd.DataFrame(rows, columns=["pid", "week", "arm", "last", "left", "came"])


def design_of(text: str, frame: pd.DataFrame) -> ba.Design:
    """Return the design of a hazard by arm."""
    spec = ba.parse_model(
        f"title = 't'\nquestion = 'q?'\n[variables]\nleaving = '''{text}'''\n[[equation]]\noutcome = 'leaving'\n"
        "unit = 'session'\nfamily = 'hazard'\nformula = 'arm'\n"
    )
    return ba.make_design(spec, ba.Study(ba.read_sessions(frame, ROLES), reference={"arm": "A"}))


@pytest.mark.parametrize("entry", ['entry="first row"', "entry=came"])
def test_sessions_before_entry_are_not_survived(entry: str) -> None:
    """Events per row at risk are the hazard in both arms; counted from session 1 the late arm seemed to stay longer."""
    frame = late_study()
    e = design_of(f"survive(last, left, {entry})", frame).equation
    arm = e.variables["arm"].values
    for level in (0, 1):
        rows = e.y[arm == level]
        assert abs(rows.mean() - HAZARD) < 4 * np.sqrt(HAZARD * (1 - HAZARD) / len(rows))
    people = frame.drop_duplicates("pid")
    assert len(e.y) == int((people["last"] - people["came"] + 1).sum())
    with pytest.raises(ba.DesignError, match=r"""leaving = 'survive\(last, left, entry="first row"\)' in the model"""):
        design_of("survive(last, left)", frame)


def test_entries_that_are_none() -> None:
    """Beside start=; another word; words, other numbers within a patient, a missing one."""
    frame = late_study(patients=40)
    with pytest.raises(ba.SpecError, match=r"start= is of all patients and entry= of each\. State one of the two"):
        design_of("survive(last, left, start=1, entry=came)", frame)
    with pytest.raises(ba.SpecError, match=r'A variable of patients, or "first row"'):
        design_of('survive(last, left, entry="intake")', frame)
    with pytest.raises(ba.DesignError, match=r"the number of the entry is needed"):
        design_of("survive(last, left, entry=came)", frame.assign(came="early"))
    odd = frame.copy()
    odd.loc[odd["pid"].duplicated(), "came"] += 1
    with pytest.raises(ba.DesignError, match=r"the entry in column 'came' differs within"):
        design_of("survive(last, left, entry=came)", odd)
    lacking = frame.assign(came=frame["came"].where(frame["pid"] != "p0003"))
    design = design_of("survive(last, left, entry=came)", lacking)
    assert any(
        "the entry, the last session or the event of 1 patient is missing" in message for message in design.messages
    )
    with pytest.raises(ba.DesignError, match=r"no patient is at risk from their entry on"):
        design_of("survive(last, left, entry=came)", frame.assign(came=np.nan))
    with pytest.raises(ba.DesignError, match=r"intake"):
        design_of("survive(last, left, entry=intake)", frame)


def test_a_registered_model_of_leaving_takes_entries_from_the_study() -> None:
    """The model says survive(last_session, dropout); the study says when patients came, in columns."""
    frame = late_study(patients=400)
    spec = ba.parse_model(
        "title = 't'\nquestion = 'q?'\n[variables]\nleaving = 'survive(last_session, dropout)'\n[[equation]]\n"
        "outcome = 'leaving'\nunit = 'session'\nfamily = 'hazard'\nformula = 'arm'\n"
    )
    columns = {"leaving": 'survive(last, left, entry="first row")'}
    own = ba.make_design(spec, ba.Study(ba.read_sessions(frame, ROLES), columns=columns, reference={"arm": "A"}))
    right = design_of('survive(last, left, entry="first row")', frame)
    np.testing.assert_array_equal(own.equation.y, right.equation.y)
