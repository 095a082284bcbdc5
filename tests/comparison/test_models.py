"""Models of one question on the same rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.comparison.models import find_models
from tests.build.test_equations import HEAD, equation
from tests.conftest import ROLES

QUIET = ba.SamplerSettings(progress="off")
NESTED = {k: v for k, v in ROLES.items() if k != "group"}
ESTIMAND = '[labels]\ngrowth = "score ~ week"\n[estimands.rate]\nvalue = "growth"\nunit = "points per week"\n'


def test_rows_are_shared_and_estimands_stand_side_by_side(trial: pd.DataFrame, tmp_path: Path) -> None:
    """A predictor that some rows lack leaves them out for every model, counted; a second run answers from disk."""
    rows = trial.assign(stress=np.where(np.arange(len(trial)) % 9 == 0, np.nan, trial["stress"]))
    models = {
        "plain": ba.parse_model(HEAD + equation("score", "week + (1 | patient)") + ESTIMAND),
        "stress": ba.parse_model(HEAD + equation("score", "week + stress + (1 | patient)") + ESTIMAND),
    }
    table = ba.read_sessions(rows, NESTED)
    found = ba.compare_models(models, table, seed=1, settings=QUIET, folder=tmp_path, progress="off")
    gone = int(rows["stress"].isna().sum())
    assert f"plain: {gone} rows left out, which another model cannot use." in found.comparison.messages
    assert list(found.estimands["model"]) == ["plain", "stress"]
    assert set(found.estimands["name"]) == {"rate"}
    used = {len(fit.design.equation.y) for fit in found.fits.values() if fit.design is not None}
    assert used == {len(rows) - gone}
    again = ba.compare_models(models, table, seed=1, settings=QUIET, folder=tmp_path, progress="off")
    pd.testing.assert_frame_equal(found.estimands, again.estimands)
    assert "rate" in repr(found)
    assert "<table" in found._repr_html_()


def test_models_are_found_by_tag_folder_and_name() -> None:
    """Names of the registry, a folder of it, a tag."""
    assert list(find_models(["growth/treatment", "growth/treatment-log"])) == [
        "growth/treatment",
        "growth/treatment-log",
    ]
    assert all(name.startswith("growth/") for name in find_models("growth"))
    assert "mediation/sequential" in find_models("rct")
    with pytest.raises(ba.FitError, match="Unknown tag or folder of models 'growht'"):
        find_models("growht")


def test_what_is_refused(trial: pd.DataFrame) -> None:
    """One model, models that do not fit the table (all told at once), rows nobody shares."""
    table = ba.read_sessions(trial, NESTED)
    with pytest.raises(ba.FitError, match="needs two models or more; 'growth/treatment' was named"):
        ba.compare_models(["growth/treatment"], table, seed=1)
    bad = {name: ba.parse_model(HEAD + equation("score", name)) for name in ("wek", "stres")}
    with pytest.raises(ba.DesignError, match=r"wek: (.|\n)*stres: "):
        ba.compare_models(bad, table, seed=1)
    half = trial.assign(
        a=np.where(trial["week"] > 4, trial["stress"], np.nan), b=np.where(trial["week"] > 4, np.nan, trial["stress"])
    )
    apart = {name: ba.parse_model(HEAD + equation("score", name)) for name in ("a", "b")}
    with pytest.raises(ba.FitError, match="No row of 'score' can be used by every model"):
        ba.compare_models(apart, ba.read_sessions(half, NESTED), seed=1)
