"""within, between, lag and declared variables against plain loops."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_alliance as ba
from tests.design.test_design import design

ROLES = {"patient": "pid", "session": "week"}


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Draw ragged tables with gaps, missing ratings and single-session patients."""
    rows = []
    for patient in range(draw(st.integers(3, 6))):
        weeks = draw(st.lists(st.integers(0, 9), min_size=1, max_size=7, unique=True))
        for week in weeks:
            x = draw(st.one_of(st.none(), st.integers(-50, 50)))
            y = draw(st.integers(-50, 50))
            rows.append({"pid": f"P{patient}", "week": week, "x": np.nan if x is None else x, "y": float(y)})
    return pd.DataFrame(rows)


def column(formula: str, frame: pd.DataFrame, name: str) -> pd.Series:
    """Return a coded column by (pid, week), rows used only; empty where the formula cannot be fitted."""
    table = ba.read_sessions(frame, ROLES)
    try:
        made = design(formula, table, outcome="y")
    except ba.DesignError:
        return pd.Series(dtype=float)
    labels = made.equation.coef.labels
    index = pd.MultiIndex.from_arrays([made.equation.patient, made.equation.session.astype(int)])
    return pd.Series(made.equation.coef.values[:, labels.index(name)], index=index)


@settings(max_examples=60, deadline=None)
@given(tables())
def test_lag_is_the_previous_session_of_the_same_patient(frame: pd.DataFrame) -> None:
    """A lag is the value one session number earlier, never a neighbouring row or another patient."""
    values = {(row.pid, int(row.week)): row.x for row in frame.itertuples()}
    got = column("lag(x)", frame, "lag(x)")
    for (patient, week), value in got.items():
        assert values[(patient, week - 1)] == value
    possible = [k for k in values if not np.isnan(values.get((k[0], k[1] - 1), np.nan))]
    assert got.empty or sorted(got.index) == sorted(possible)


@settings(max_examples=60, deadline=None)
@given(tables())
def test_parts_add_back(frame: pd.DataFrame) -> None:
    """Between + within is the variable; between is the patient's mean over every rated session."""
    between = column("between(x, patient)", frame, "between(x, patient)")
    within = column("within(x, patient)", frame, "within(x, patient)")
    means = frame.groupby("pid")["x"].mean()
    values = frame.set_index(["pid", "week"])["x"]
    for key, value in between.items():
        assert value == pytest.approx(means[key[0]])
    for key, value in within.items():
        assert value + means[key[0]] == pytest.approx(values[key])


@settings(max_examples=40, deadline=None)
@given(tables())
def test_lagged_deviation_has_one_meaning(frame: pd.DataFrame) -> None:
    """lag(within(x)) and within(lag(x)) are one variable, centred before any row is lost."""
    one = column("lag(within(x, patient))", frame, "lag(within(x, patient))")
    two = column("within(lag(x), patient)", frame, "within(lag(x), patient)")
    pd.testing.assert_series_equal(one, two)
    means = frame.groupby("pid")["x"].mean()
    values = frame.set_index(["pid", "week"])["x"]
    for (patient, week), value in one.items():
        assert value == pytest.approx(values[(patient, week - 1)] - means[patient])


def test_lag_rows_are_counted_by_reason() -> None:
    """Rows without an earlier session are left out and named; NaN made by a lag reaches no model."""
    frame = pd.DataFrame(
        {
            "pid": list("AAAABBB"),
            "week": [1, 2, 4, 5, 1, 2, 3],
            "x": [1.0, 2, 3, 5, 4, 4, 7],
            "y": [1.0, 2, 4, 3, 5, 6, 1],
        }
    )
    made = design("lag(x)", ba.read_sessions(frame, ROLES), outcome="y")
    assert dict(made.equation.ledger) == {"predictor lag(x) missing (no such session, or no value in it)": 3}
    assert not np.isnan(made.equation.coef.values).any()
    assert list(made.equation.coef.values[:, 1]) == [1, 3, 4, 4]


def declared(call: str) -> tuple[dict[str, float], str]:
    """Return a declared variable per patient, and its message."""
    frame = pd.DataFrame(
        {
            "pid": list("AAABBCD"),
            "week": [1, 3, 6, 2, 3, 5, 1],
            "alliance": [4.0, 5, 7, np.nan, 6, 2, 3],
            "post": [1.0, 1, 1, 2, 2, 4, 3],
        }
    )
    spec = ba.parse_model(
        f'title = "t"\nquestion = "q"\n[variables]\nx = "{call}"\n'
        '[[equation]]\noutcome = "post"\nunit = "patient"\nformula = "x"\n'
    )
    made = ba.make_design(spec, ba.read_sessions(frame, ROLES))
    values = dict(zip(made.equation.patient, made.equation.coef.values[:, 1], strict=True))
    return values, next(message for message in made.messages if message.startswith("x = "))


@pytest.mark.parametrize(
    ("call", "values", "said"),
    [
        ("first(alliance)", {"A": 4, "B": 6, "C": 2, "D": 3}, "4 patients have it, from sessions 1 to 5; 0 "),
        ("last(alliance)", {"A": 7, "B": 6, "C": 2, "D": 3}, "from sessions 1 to 6"),
        ("at(alliance, session=3)", {"A": 5, "B": 6}, "2 patients have it, from sessions 3 to 3; 2 patients have none"),
        ("window(alliance, 1, 3)", {"A": 4.5, "B": 6, "D": 3}, "3 patients have it, from sessions 1 to 3; 1 patient "),
        ("change(alliance, first, last)", {"A": 3}, "1 patient have it, from sessions 1 to 6"),
    ],
)  # fmt: skip
def test_declared_variables(call: str, values: dict[str, float], said: str) -> None:
    """A declared variable has its window, its occasion and its counts."""
    if len(values) == 1:
        with pytest.raises(ba.DesignError, match=r"is constant"):
            declared(call)
        return
    got, message = declared(call)
    assert got == values
    assert said in message


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("at(alliance)", r"at\(\) is written at\(alliance, session=3\)"),
        ("window(alliance, 5, 1)", r"window\(\) is written window\(alliance, 1, 5\)"),
        ("change(alliance, frist, last)", r"the ends of change\(\) are first, last or a session number, not frist"),
        ("at(alliance, session=9)", r"has no value in any patient"),
    ],
)
def test_declared_variables_refuse(call: str, message: str) -> None:
    """A call that makes no sense is named with how it is written."""
    with pytest.raises(ba.DesignError, match=message):
        declared(call)
