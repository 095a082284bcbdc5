"""The flow of data in a report: every step of preparation is a box, with its rows and what was said of it."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.findings import StepKind
from bayes_alliance.report.composition import STEPS, compose
from bayes_alliance.report.document import Flow, all_sections
from bayes_alliance.run.execution import run_analysis
from bayes_alliance.run.record import Run

ANALYSIS = """
title = "Answers"
seed = 1

[data]
path = "answers.csv"
patients = "people.csv"
roles = { patient = "who" }
questionnaire = { item = "question", answer = "value" }
session = { column = "on", every = "week" }
missing = { phq_1 = [9] }
maximum = { session = 3 }

[scores.score]
instrument = "phq-9"
items = "phq_*"

[sampling]
draws = 500
chains = 2

[[model]]
name = "own.toml"
"""

MODEL = """
title = "Course"
question = "How fast?"

[[equation]]
outcome = "score"
unit = "session"
formula = "session + age + (1 | patient)"
"""


def write_answers(folder: Path) -> None:
    """Write SYNTHETIC answers: 30 patients, five weeks, nine items that know nothing of either; one answer is a 9."""
    rng = np.random.default_rng(3)
    rows = [
        (f"p{who:02d}", date(2024, 1, 1) + timedelta(days=7 * week), f"phq_{item}", int(rng.integers(0, 4)))
        for who in range(30)
        for week in range(5)
        for item in range(1, 10)
    ]
    rows[0] = (*rows[0][:3], 9)
    pd.DataFrame(rows, columns=["who", "on", "question", "value"]).to_csv(folder / "answers.csv", index=False)
    people = pd.DataFrame({"who": [f"p{who:02d}" for who in range(31)], "age": range(20, 51)})
    people.to_csv(folder / "people.csv", index=False)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run whose table is made of answers, dates, codes, another table, items and a limit."""
    folder = tmp_path_factory.mktemp("answers")
    write_answers(folder)
    (folder / "own.toml").write_text(MODEL)
    (folder / "analysis.toml").write_text(ANALYSIS)
    return run_analysis(folder / "analysis.toml", progress="off")


def test_every_step_has_a_box() -> None:
    """No kind of step is without words."""
    assert set(STEPS) == set(get_args(StepKind.__value__))


def test_the_flow_tells_every_step(answers: Run) -> None:
    """Boxes in order, each with rows; beside them what was said, which is not said a second time below."""
    document = compose(answers)
    data = next(section for section in all_sections(document.sections) if section.anchor == "data")
    flow = next(block for block in data.blocks if isinstance(block, Flow))
    assert [text for text, _ in flow.boxes] == [
        "1,350 rows in the file",
        "150 rows after answers became columns of items",
        "150 rows after dates became session numbers",
        "150 rows after cells were read as numbers and words",
        "150 rows after tables of units were joined",
        "150 rows after items were scored",
        "120 rows selected",
        "120 rows for the models: 30 patients",
    ]
    asides = dict(flow.boxes)
    assert asides["150 rows after cells were read as numbers and words"] == (
        "Column 'phq_1': 1 cell holds a declared code: '9' (1).",
    )
    assert asides["150 rows after tables of units were joined"] == (
        "1 patient of the patients table has no session and is left out.",
    )
    assert asides["120 rows selected"] == (
        "30 rows with session above 3 left out on request (0 patients gone entirely).",
    )
    told = {message for _, own in flow.boxes for message in own}
    assert told <= set(answers.record["messages"])
    assert str(data).count("30 rows with session above 3") == 1


def test_a_table_keeps_its_steps(tmp_path: Path) -> None:
    """Python alone: the same steps stand in the table."""
    write_answers(tmp_path)
    table = ba.read_sessions(
        tmp_path / "answers.csv",
        {"patient": "who"},
        questionnaire={"item": "question", "answer": "value"},
        session={"column": "on", "every": "week"},
    )
    assert [(step.kind, step.rows) for step in table.steps] == [("read", 1350), ("questionnaire", 150), ("dates", 150)]
    chosen = ba.select_rows(table, maximum={"session": 3})
    assert [(step.kind, step.rows) for step in chosen.steps[-1:]] == [("selection", 120)]
