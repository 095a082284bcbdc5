"""A small study of planted identifiers, with its analysis file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayes_alliance.run.execution import run_analysis
from bayes_alliance.run.record import Run

PATIENTS = [
    *(
        "Grüße, Jörg-Ähm",
        "=HYPERLINK(1)",
        "O'Brien Seán",
        "李小龍同志",
        "+49 170 0000001",
        "-Minus Müller",
        "a b c d e",
    ),
    *(f"Planted-Name-{number:02d}" for number in range(7, 40)),
]
THERAPISTS = [f"Dr. Secret {letter * 3}" for letter in "ABCDEFGHIJ"]
PLANTED = [*PATIENTS, *THERAPISTS]
"""Fifty identifiers: names, blanks, letters of other alphabets, formulas of spreadsheets."""

ANALYSIS = """
title = "Growth in a planted study"
question = "Does the outcome change faster in one condition?"
seed = 11

[data]
path = "sessions.csv"
roles = { patient = "who", therapist = "whom", session = "week" }

[columns]
outcome = "score"
condition = "arm"

[reference]
condition = "TAU"

[sampling]
draws = 500

[[model]]
name = "growth/treatment"
label = "main"

[[model]]
name = "models/own.toml"
label = "own"

[[comparison]]
models = ["main", "own"]
"""

OWN = """
title = "Growth, told in a file of one's own"
question = "Is the change over weeks larger than half a point in one condition?"

[[equation]]
outcome = "outcome"
unit = "session"
formula = "session * condition + (1 | patient)"

[labels]
faster = "outcome ~ session:condition"

[estimands.difference_in_growth]
value = "faster"
unit = "points of the outcome per session"
rope = [-0.1, 0.1]
"""


def planted_rows() -> pd.DataFrame:
    """Return SYNTHETIC rows: four weeks of 40 patients of 10 therapists, growth of .3 a week in one arm."""
    rng = np.random.default_rng(4)
    rows = []
    for number, who in enumerate(PATIENTS):
        level, arm = rng.normal(0, 1), ("TAU", "MBCT")[number % 2]
        for week in range(1, 5):
            score = 5 + level + 0.3 * week * (arm == "MBCT") + rng.normal(0, 1)
            rows.append([who, THERAPISTS[number % 10], week, arm, round(score, 3), f"note of {who}"])
    return pd.DataFrame(rows, columns=["who", "whom", "week", "arm", "score", "remarks"])


def write_study(folder: Path, rows: pd.DataFrame | None = None, analysis: str = ANALYSIS) -> Path:
    """Write table, model and analysis file; return the last."""
    (folder / "models").mkdir(parents=True, exist_ok=True)
    (planted_rows() if rows is None else rows).to_csv(folder / "sessions.csv", index=False)
    (folder / "models" / "own.toml").write_text(OWN)
    (folder / "analysis.toml").write_text(analysis)
    return folder / "analysis.toml"


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an analysis file beside its table; not to be changed."""
    return write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def finished(study: Path) -> Run:
    """Return a finished run, shared by tests that only read it."""
    return run_analysis(study, progress="off")
