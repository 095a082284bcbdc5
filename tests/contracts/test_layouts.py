"""Every registered model meets studies of other shapes: it runs, or says what answers, as the table has it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.build.model import check_log_density
from bayes_alliance.spec.needed_variables import needed_variables
from bayes_alliance.spec.registry import model_names
from tests.contracts.layouts import LAYOUTS, PAGE, design_on, outcome_of

TABLE = json.loads(PAGE.read_text(encoding="utf-8"))

ONE_ROW = ("one session per patient", "one row per patient, no ids")

QUICK = ("no therapists", "no condition", "one arm", "three arms", *ONE_ROW)

OF_THERAPISTS = {
    "dynamics/one-with-many",
    "growth/dual-perspective-shrunk",
    "outcome/group-process-latent",
    "outcome/many-predictors",
    "outcome/rated-competence",
    "outcome/three-parts",
    "outcome/two-therapists",
    "outcome/within-between",
}
"""Models whose question is about therapists."""

FROM_0 = {"growth/dual-perspective-shrunk"}
"""Models along the root of time, which negative times have not."""


def test_the_documented_table_is_of_the_registry() -> None:
    """A row per model, a column per layout; what a model expects it takes."""
    assert list(TABLE) == list(model_names())
    for name, row in TABLE.items():
        assert list(row) == list(LAYOUTS), name
        assert row["as the model expects"] == "runs", name
        for layout in ("sessions from 0", "visits at times such as 1.15", "sessions in order, no numbers"):
            assert row[layout] == "runs", (name, layout)
        if "time" in needed_variables(ba.load_model(name)):
            assert row["time in years, from -2"] == "runs" or name in FROM_0, name


@pytest.mark.parametrize("name", model_names())
def test_models_run_or_name_the_model_that_answers(name: str, trial: pd.DataFrame) -> None:
    """Without therapists, without a condition, with one arm or three, with one row each: as the table says."""
    for layout in QUICK:
        found = outcome_of(name, layout, trial)
        assert found == TABLE[name][layout], layout
        if found == "runs":
            continue
        if layout == "no therapists":
            assert name in OF_THERAPISTS or "For a study without it there is the model" in found
        elif layout in ("no condition", "one arm"):
            assert (
                name.startswith("mediation/")
                or name == "outcome/change"
                or "For a study without it there is the model 'growth/course'" in found
            )
        elif layout in ONE_ROW:
            assert "For a study with one row per patient there is the model" in found or "Where a column holds" in found
        else:
            assert name == "dropout/pattern-mixture"  # nobody of one arm left in this small table


def test_what_a_model_names_instead_is_registered() -> None:
    """``otherwise`` names registered models, which read less."""
    for name in model_names():
        for other in ba.load_model(name).otherwise.values():
            assert other in model_names(), name


def _chosen() -> list[tuple[str, str]]:
    """Return 60 of the shapes that run: one or two per model, every shape in turn."""
    found: list[tuple[str, str]] = []
    for place, (name, row) in enumerate([*TABLE.items(), *list(TABLE.items())[:6]]):
        running = [layout for layout in row if row[layout] == "runs" and layout != "as the model expects"]
        running = [layout for layout in running if (name, layout) not in found]
        found.append((name, running[place % len(running)]))
    return found


@pytest.mark.parametrize(("name", "layout"), _chosen())
def test_where_a_model_runs_its_log_density_is_finite(name: str, layout: str, trial: pd.DataFrame) -> None:
    """At the starting point, of the model that is built on the shape."""
    design = design_on(name, layout, trial)
    assert np.isfinite(check_log_density(ba.build_model(design.spec, design)))
