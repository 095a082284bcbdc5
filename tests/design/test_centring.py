"""Which population columns a centred factor carries, and with what weights."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.build.parametrization import parametrize

CONTENT = 'title = "x"\nquestion = "x?"\n[[equation]]\noutcome = "y"\nunit = "session"\nformula = "{}"'


@pytest.fixture(scope="module")
def table() -> ba.SessionTable:
    """Return patients whose levels are far apart, so that their effects are centred. SYNTHETIC: pure noise."""
    rng = np.random.default_rng(1)
    rows = [
        {"patient": f"P{i:02d}", "session": s, "arm": "B" if i % 2 else "A", "age": 20.0 + i, "mood": rng.normal()}
        for i in range(30)
        for s in range(1, 9)
    ]
    frame = pd.DataFrame(rows)
    level = frame["patient"].str[1:].astype(int)
    frame["y"] = 10 * np.sin(level) + rng.normal(size=len(frame))
    return ba.read_sessions(frame, {"patient": "patient", "session": "session"})


def carried(table: ba.SessionTable, formula: str) -> dict[str, tuple[str, np.ndarray]]:
    """Return, per carried column, the effect that carries it and the weights."""
    made = ba.make_design(
        ba.parse_model(CONTENT.format(formula)), ba.Study(table, reference={"arm": "A"} if "arm" in formula else {})
    )
    (patient,) = parametrize(made).equation.groups
    return {made.equation.coef.labels[c.coef]: (patient.effects[c.member], c.weight) for c in patient.carried}


def test_intercepts_carry_what_is_constant_in_patients(table: ba.SessionTable) -> None:
    """The intercept, the arm and the age are carried by patients' intercepts; what varies by session is not."""
    found = carried(table, "session + arm + age + mood + (1 | patient)")
    assert set(found) == {"Intercept", "arm[B]", "age"}
    assert {effect for effect, _ in found.values()} == {"Intercept"}
    np.testing.assert_array_equal(found["age"][1], 20.0 + np.arange(30))
    np.testing.assert_array_equal(found["arm[B]"][1], np.arange(30) % 2)


def test_slopes_carry_session_and_its_products(table: ba.SessionTable) -> None:
    """Session and session by arm are carried by patients' slopes where these are far apart, too."""
    frame = table.frame.copy()
    level = frame["patient"].str[1:].astype(int)
    frame["y"] += 5 * np.cos(level) * frame["session"]
    steep = ba.read_sessions(frame, table.roles)
    found = carried(steep, "session * arm + (1 + session | patient)")
    assert {name: effect for name, (effect, _) in found.items()} == {
        "Intercept": "Intercept",
        "session": "session",
        "arm[B]": "Intercept",
        "session:arm[B]": "session",
    }


def test_slopes_that_hardly_differ_are_scaled_given_the_intercepts(table: ba.SessionTable) -> None:
    """One block may have both kinds: the intercept carries what is constant, session stays beside the slopes."""
    found = carried(table, "session * arm + (1 + session | patient)")
    assert {name: effect for name, (effect, _) in found.items()} == {"Intercept": "Intercept", "arm[B]": "Intercept"}


def test_non_centred_effects_carry_nothing(table: ba.SessionTable) -> None:
    """Where the data say little of each level, effects stay deviations."""
    assert carried(table, "session + (1 | arm)".replace("(1 | arm)", "(0 + mood | patient)")) == {}
