"""Bounds of columns, and tables opened to a row per session at risk."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_alliance as ba
from bayes_alliance.table.periods import expand_periods

ROLES = {"patient": "pid", "therapist": "tid", "session": "week"}
HEAD = 'title = "t"\nquestion = "q?"\n[variables]\nleaving = "survive(last, left)"\n'
HAZARD = (
    '[[equation]]\noutcome = "leaving"\nunit = "session"\nfamily = "hazard"\nformula = "session + (1 | therapist)"\n'
)


def people(lasts: list[int], seed: int = 0) -> pd.DataFrame:
    """Return sessions of patients with gaps; those with an odd last session left then."""
    rng = np.random.default_rng(seed)
    rows = [
        {"pid": f"p{i}", "tid": f"t{i % 3}", "week": s, "alliance": rng.normal(), "last": last, "left": float(last % 2)}
        for i, last in enumerate(lasts)
        for s in range(1, last + 1)
        if s == 1 or rng.random() < 0.6
    ]
    return pd.DataFrame(rows).astype({"week": float})


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(2, 9), min_size=3, max_size=8).filter(lambda x: any(i % 2 for i in x)), st.integers(0, 99))
def test_every_session_at_risk_has_its_row(lasts: list[int], seed: int) -> None:
    """Rows run from 1 to each patient's last; events stand there only; what is the patient's is filled in."""
    frame = people(lasts, seed)
    design = ba.make_design(ba.parse_model(HEAD + HAZARD), ba.read_sessions(frame, ROLES))
    e = design.equation
    assert len(e.y) == sum(lasts)
    assert e.y.sum() == sum(last % 2 for last in lasts)
    for i, last in enumerate(lasts):
        own = e.patient == f"p{i}"
        assert e.session[own].tolist() == list(range(1, last + 1))
        assert e.y[own].tolist() == [0.0] * (last - 1) + [float(last % 2)]
        (group,) = e.groups
        assert {group.levels[code] for code in group.code[own]} == {f"t{i % 3}"}
    again = ba.make_design(
        ba.parse_model(HEAD + HAZARD), ba.read_sessions(frame.sample(frac=1, random_state=seed), ROLES)
    )
    assert again.fingerprint == design.fingerprint
    assert any(f"{sum(lasts)} row" in message and "at risk from session 1 on" in message for message in design.messages)


def test_a_row_per_patient_is_opened() -> None:
    """A table without session numbers gets them; what was measured in sessions stays missing in added rows."""
    frame = people([2, 5, 3])
    one = frame.groupby("pid").first().reset_index().drop(columns=["week", "alliance"])
    table = ba.read_sessions(one, {"patient": "pid", "therapist": "tid"})
    design = ba.make_design(ba.parse_model(HEAD + HAZARD), table)
    assert len(design.equation.y) == 10
    assert (
        "The table is opened from 3 rows to 10: one for every session from 1 to each patient's last." in design.messages
    )
    opened = expand_periods(ba.read_sessions(frame, ROLES), last="last", start=1)
    assert len(opened) == 10
    assert int(opened.frame["alliance"].isna().sum()) == 10 - len(frame)
    assert opened.units["alliance"] == "session"


def test_later_starts_and_rows_after_the_last_session() -> None:
    """Patients who left before the start are never at risk, rows after leaving neither; both are said."""
    frame = pd.concat(
        [people([2, 5, 3, 4]), pd.DataFrame([{"pid": "p0", "tid": "t0", "week": 9.0, "last": 2, "left": 0.0}])]
    )
    text = (HEAD + HAZARD).replace("survive(last, left)", "survive(last, left, start=3)")
    design = ba.make_design(ba.parse_model(text), ba.read_sessions(frame, ROLES))
    assert set(design.equation.patient) == {"p1", "p2", "p3"}
    said = " ".join(design.messages)
    assert "1 patient left before session 3 and is never at risk." in said
    assert "1 row after the last session is not at risk." in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"last": 2.5}, r"last sessions in column 'last' are no session numbers: patient 'p0' \(2.5\)"),
        ({"left": 0.0}, "no patient leaves, so there is nothing to predict"),
        ({"left": 2.0}, "'left' is 1 for patients who left and 0 for others; it has 2.0"),
        ({"last": "many"}, "column 'last' holds words; the number of the last session is needed"),
    ],
)
def test_what_cannot_be_survived(change: dict[str, object], message: str) -> None:
    """Last sessions are session numbers and events 0 or 1, with some events."""
    frame = people([2, 5, 3, 4]).assign(**change)
    with pytest.raises(ba.DesignError, match=message):
        ba.make_design(ba.parse_model(HEAD + HAZARD), ba.read_sessions(frame, ROLES))


def test_where_survival_may_stand() -> None:
    """It is a 0/1 outcome of sessions, and a column called session must play its role."""
    with pytest.raises(ba.SpecError, match=r'is 0 or 1 in every session\. State unit = "session" and family'):
        ba.parse_model(HEAD + HAZARD.replace('family = "hazard"\n', ""))
    other = '[[equation]]\noutcome = "y"\nunit = "session"\nformula = "leaving"\n'
    with pytest.raises(ba.SpecError, match="is an outcome; it predicts nothing"):
        ba.parse_model(HEAD + other)
    one = people([2, 5, 3]).groupby("pid").first().reset_index().assign(session=1.0).drop(columns="week")
    with pytest.raises(ba.DesignError, match=r"column 'session' that plays no role\. Rename it"):
        ba.make_design(ba.parse_model(HEAD + HAZARD), ba.read_sessions(one, {"patient": "pid", "therapist": "tid"}))


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"wai": (1, 7)}, "bounds: Unknown column 'wai'"),
        (
            {"alliance": (7, 1)},
            r"bounds of 'alliance' are its lowest and highest value, the lower first; they are \(7, 1\)",
        ),
        ({"alliance": (0.0, 9.0)}, r"'alliance' is outside its bounds \[0, 9\] in \d+ rows: row \d+ \(-"),
        ({"tid": (1, 7)}, "bounds: column 'tid' holds words, which have none"),
    ],
)
def test_bounds_that_are_none(bounds: dict[str, tuple[float, float]], message: str) -> None:
    """Bounds are two numbers, of a column of numbers, with every value between."""
    with pytest.raises(ba.TableError, match=message):
        ba.read_sessions(people([5, 5, 5]), ROLES, bounds=bounds)


def test_bounds_are_stated_once() -> None:
    """A family with bounds takes those of the table, or of the model; without any, or with two, it is an error."""
    frame = people([4, 6, 7]).assign(wai=lambda f: f["alliance"].clip(-1, 1))
    text = 'title = "t"\nquestion = "q?"\n[[equation]]\noutcome = "wai"\nunit = "session"\nfamily = "censored"\n'
    text += 'formula = "session + (1 | patient)"\n'
    bare = ba.read_sessions(frame, ROLES)
    stated = ba.read_sessions(frame, ROLES, bounds={"wai": (-1.0, 1.0)})
    with pytest.raises(ba.DesignError, match=r"'wai' \(column 'wai'\) is censored and its bounds are not known"):
        ba.make_design(ba.parse_model(text), bare)
    of_table = ba.make_design(ba.parse_model(text), stated)
    of_model = ba.make_design(ba.parse_model(text + "bounds = [-1, 1]\n"), bare)
    assert of_table.fingerprint == of_model.fingerprint
    assert of_table.spec.equation[0].bounds == (-1.0, 1.0)
    with pytest.raises(ba.DesignError, match=r"the model states bounds \[-2.0, 1.0\], and the table \[-1.0, 1.0\]"):
        ba.make_design(ba.parse_model(text + "bounds = [-2, 1]\n"), stated)
    with pytest.raises(ba.DesignError, match="values outside its bounds"):
        ba.make_design(ba.parse_model(text + "bounds = [-0.5, 1]\n"), bare)
    wider = ba.make_design(ba.parse_model(text + "bounds = [-inf, 1]\n"), bare)
    assert wider.fingerprint != of_model.fingerprint
    assert ba.select_rows(stated, minimum={"session": 2}).bounds == {"wai": (-1.0, 1.0)}


def refuse(frame: pd.DataFrame, roles: dict[str, str] = ROLES) -> str:
    """Return what the hazard model says against a table."""
    with pytest.raises(ba.DesignError) as caught:
        ba.make_design(ba.parse_model(HEAD + HAZARD), ba.read_sessions(frame, roles))
    return str(caught.value)


def test_last_sessions_and_events_that_differ_within_a_patient_are_refused() -> None:
    """One typing error would add sessions at risk and move the event; patients and numbers are named."""
    frame = people([3, 5, 4, 6, 5])
    places = frame.index[frame["pid"] == "p1"]
    assert len(places) > 1
    typed = frame["last"].where(frame.index != places[-1], 9)
    assert "'last' differs within 1 patient: patient 'p1' (5, 9)" in refuse(frame.assign(last=typed))
    event = frame["left"].where(frame.index != places[0], 0.0)
    assert "'left' differs within 1 patient: 'p1'" in refuse(frame.assign(left=event))
    gaps = frame.assign(last=frame["last"].where(~frame["pid"].duplicated()))
    assert len(ba.make_design(ba.parse_model(HEAD + HAZARD), ba.read_sessions(gaps, ROLES)).equation.y) == 23


@pytest.mark.parametrize("last", [20005, 20240105, 999, 1e15])
def test_dates_and_codes_as_last_sessions_are_refused_at_once(last: float) -> None:
    """Numbers far beyond any session are refused before a row is made for each."""
    frame = people([3, 5, 4, 6, 5])
    typed = frame["last"].where(frame["pid"] != "p1", last)
    assert "'last' holds numbers above 200, and the table's sessions end at" in refuse(frame.assign(last=typed))
    one = frame.groupby("pid").first().reset_index().drop(columns=["week"]).assign(last=last * 10)
    assert "the table has no session numbers" in refuse(one, {"patient": "pid", "therapist": "tid"})


def entering(late: dict[str, int], each: int = 20) -> pd.DataFrame:
    """Return arms of patients at sessions 1 to 4, of which some have their first row at session 2."""
    rows = [
        {"pid": f"{arm}{i:02d}", "tid": f"t{i % 3}", "week": week, "arm": arm, "last": 4, "left": float(i % 2)}
        for arm, number in late.items()
        for i in range(each)
        for week in range(2 if i < number else 1, 5)
    ]
    return pd.DataFrame(rows)


def test_late_entry_is_counted_and_refused_where_it_matters() -> None:
    """A few in all arms are counted; more than a fifth, or clearly more in one arm, is an error with a remedy."""
    spec = ba.parse_model(HEAD + HAZARD.replace("session + ", "session + arm + "))

    def design(late: dict[str, int]) -> ba.Design:
        return ba.make_design(spec, ba.Study(ba.read_sessions(entering(late), ROLES), reference={"arm": "a"}))

    said = design({"a": 2, "b": 3}).messages
    assert any("5 patients of 40 (12%) have no row at session 1, nor before: 'a00' (session 2)" in t for t in said)
    assert not any("nor before" in text for text in design({"a": 0, "b": 0}).messages)
    with pytest.raises(ba.DesignError, match=r"9 patients of 40 \(22%\).*more than 20%.*leaving = 'survive\(.*entry="):
        design({"a": 4, "b": 5})
    with pytest.raises(ba.DesignError, match="their share differs by arm: 0 of 20 in 'a', 6 of 20 in others"):
        design({"a": 0, "b": 6})
    ready = entering({"a": 0, "b": 9}).assign(out=lambda f: np.where(f["week"] == 4, f["left"], 0.0))
    table = ba.read_sessions(ready, ROLES)
    person_periods = ba.make_design(spec, ba.Study(table, columns={"leaving": "out"}, reference={"arm": "a"}))
    assert len(person_periods.equation.y) == len(ready)
    before = pd.concat([ready, ready.groupby("pid").first().reset_index().assign(week=0)])
    assert (
        len(ba.make_design(spec, ba.Study(ba.read_sessions(before, ROLES), reference={"arm": "a"})).equation.y) == 160
    )


def test_a_baseline_at_session_0_is_not_at_risk() -> None:
    """log(session) is not checked in rows the hazard does not use: the design is that without these rows."""
    spec = ba.parse_model(HEAD + HAZARD.replace("session +", "log(session) +"))
    frame = people([3, 5, 4, 6, 5])
    with_baseline = pd.concat([frame, frame.groupby("pid").first().reset_index().assign(week=0.0)], ignore_index=True)
    one, two = (ba.make_design(spec, ba.read_sessions(f, ROLES)) for f in (frame, with_baseline))
    assert one.fingerprint == two.fingerprint
