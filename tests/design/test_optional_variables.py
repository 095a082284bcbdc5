"""Predictors that a study may lack: what goes with them, and what stays."""

from __future__ import annotations

import pandas as pd
import pytest

import bayes_alliance as ba

ROLES = {"patient": "pid", "session": "week", "therapist": "tid"}

TEXT = """
title = "t"
question = "q?"
optional = ["condition", "age"]
otherwise = { therapist = "growth/course" }

[[equation]]
outcome = "y"
unit = "session"
formula = "session * condition + age + (1 + session + condition | therapist) + (0 + condition | site) + (1 | patient)"
sigma = "condition"

[groups.patient]
by = "condition"

[labels]
slope = "y ~ session"
faster = "y ~ session:condition"

[estimands.difference]
value = "faster"
unit = "points"

[estimands.own]
value = "slope + difference"
unit = "points"

[estimands.change]
value = "slope"
unit = "points"

[[prior]]
on = "b session:condition"
dist = "normal(0, 1)"
reason = "r."

[[prior]]
on = "sd therapist condition"
dist = "half_normal(1)"
reason = "r."

[[prior]]
on = "sd therapist session"
dist = "half_normal(2)"
reason = "r."
"""


def frame(trial: pd.DataFrame) -> pd.DataFrame:
    """Return the small trial with an age."""
    return trial.assign(y=trial["score"], age=30.0 + trial["pid"].str[-1].astype(int), condition=trial["arm"])


def study(rows: pd.DataFrame, **more: object) -> ba.Study:
    """Return a study of its rows."""
    return ba.Study(ba.read_sessions(rows, {**ROLES, "site": "gid"}), **more)  # type: ignore[arg-type]


def test_everything_that_reads_a_lacking_variable_goes(trial: pd.DataFrame) -> None:
    """Terms, slopes, a factor of nothing else, residual SDs, covariances, labels, estimands, priors, in a message."""
    rows = frame(trial).drop(columns=["condition", "age"])
    design = ba.make_design(ba.parse_model(TEXT), study(rows))
    (equation,) = design.spec.equation
    assert equation.formula == "1 + session + (1 + session | therapist) + (1 | patient)"
    assert equation.sigma is None
    assert design.spec.groups["patient"].by is None
    assert [one.name for one in design.estimands] == ["change"]
    assert [prior.on for prior in design.spec.prior] == ["sd therapist session"]
    (told,) = (message for message in design.messages if message.startswith("The study has no"))
    assert told == (
        "The study has no condition, age; left out of the model: condition, session:condition, age, condition of "
        "therapists, (0 + condition | site), residual SDs by condition; not answered: 'difference', 'own'."
    )


def test_one_level_is_as_none(trial: pd.DataFrame) -> None:
    """A study of one arm has nothing to compare; a reference that was stated goes with it."""
    rows = frame(trial).assign(condition="TAU")
    design = ba.make_design(ba.parse_model(TEXT), study(rows, reference={"condition": "TAU"}))
    assert any(message.startswith("The study has one level of condition; left out") for message in design.messages)
    assert "age" in design.equation.coef.terms
    assert not design.reference


def test_a_study_that_has_them_keeps_them(trial: pd.DataFrame) -> None:
    """Nothing is left out, and nothing said."""
    rows = frame(trial).assign(condition=lambda f: f["arm"])
    text = TEXT.replace(" + (0 + condition | site)", "").replace("session + condition | th", "session | th")
    text = (
        text.replace("sd therapist condition", "sd therapist")
        .replace("sigma =", "# sigma =")
        .replace('by = "condition"', "")
    )
    design = ba.make_design(ba.parse_model(text), study(rows, reference={"condition": "TAU"}))
    assert {one.name for one in design.estimands} == {"difference", "own", "change"}
    assert not any("left out of the model" in message for message in design.messages)


def test_what_answers_otherwise_is_named(trial: pd.DataFrame) -> None:
    """A role that is needed, and is lacking, is asked for with the model that does without."""
    rows = frame(trial).drop(columns="tid")
    roles = {"patient": "pid", "session": "week", "site": "gid"}
    with pytest.raises(ba.DesignError, match=r"groups rows by 'therapist'.*For a study without it there is .*course'"):
        ba.make_design(ba.parse_model(TEXT), ba.Study(ba.read_sessions(rows, roles), reference={"condition": "TAU"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            'optional = ["y"]',
            r"optional = 'y' is no predictor of the model\. Its predictors: 'age', 'condition', 'session'",
        ),
        ('optional = ["sex"]', r"optional = 'sex' is no predictor of the model"),
        ('otherwise = { group = "growth/course" }', r"otherwise names 'group', which the model does not read"),
    ],
)
def test_what_cannot_be_optional(change: str, message: str) -> None:
    """Outcomes, and names that the model does not read."""
    key = change.split(" ", 1)[0]
    text = "\n".join(change if line.startswith(f"{key} =") else line for line in TEXT.splitlines())
    with pytest.raises(ba.SpecError, match=message):
        ba.parse_model(text)
