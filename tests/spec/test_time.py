"""What plays time is named in every text of an estimand, along every course."""

from __future__ import annotations

import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.spec.course import name_time, with_course
from tests.conftest import ROLES

TEXT = """
title = "t"
question = "q?"

[[equation]]
outcome = "y"
unit = "session"
formula = "time + (1 + time | patient)"

[labels]
slope = "y ~ time"

[estimands.change]
value = "slope"
unit = "points per {time}"
meaning = "By how many points y changes per {time}, and not per {step}, of {clock}."
reason = "The mean over {clock}."
"""

SPEC = ba.parse_model(TEXT)


def texts(spec: ba.ModelSpec) -> tuple[str, str, str]:
    """Return the texts of the estimand."""
    own = spec.estimands["change"]
    return own.unit, own.meaning, own.reason


def test_all_texts_name_what_plays_time() -> None:
    """One step and the clock are named; a model is not changed."""
    assert texts(name_time(SPEC, "session", "session")) == (
        "points per session",
        "By how many points y changes per session, and not per session, of session.",
        "The mean over session.",
    )
    assert texts(SPEC)[0] == "points per {time}"


def test_a_course_is_named_in_all_texts() -> None:
    """One step along a logarithm is one of the logarithm; a step of the clock stays one."""
    unit, meaning, reason = texts(name_time(with_course(SPEC, "log"), "unit of months", "months"))
    assert unit == "points per unit of log(months + 1)"
    assert meaning == "By how many points y changes per unit of log(months + 1), and not per unit of months, of months."
    assert reason == "The mean over months."


@pytest.mark.parametrize(("columns", "word"), [({}, "session"), ({"time": "stress"}, "unit of stress")])
def test_a_design_names_what_plays_time_in_its_study(trial: pd.DataFrame, columns: dict[str, str], word: str) -> None:
    """The session where no column is stated, the unit of the column where one is."""
    study = ba.Study(ba.read_sessions(trial, ROLES), columns={"outcome": "score", **columns})
    made = ba.make_design(ba.load_model("growth/course"), study)
    meaning = made.spec.estimands["change"].meaning
    assert meaning == f"By how many points the outcome changes per {word} in the average patient."


def test_a_meaning_survives_the_file() -> None:
    """What is written is read again."""
    assert ba.parse_model(ba.write_model(SPEC)) == SPEC
