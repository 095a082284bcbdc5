"""Models of one question on the same rows."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
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


def two_models() -> dict[str, ba.ModelSpec]:
    """Return two models of one outcome."""
    formulas = {"flat": "1 + (1 | patient)", "week": "week + (1 | patient)"}
    return {name: ba.parse_model(HEAD + equation("score", formula)) for name, formula in formulas.items()}


def test_a_killed_worker_is_told(trial: pd.DataFrame, tmp_path: Path) -> None:
    """An executor whose processes die gives an error that names every model it lost, and a second run goes on."""
    table = ba.read_sessions(trial, NESTED)
    spawn = multiprocessing.get_context("spawn")

    def run(executor: object) -> ba.ModelComparison:
        return ba.compare_models(
            two_models(), table, seed=1, settings=QUIET, folder=tmp_path, executor=executor, progress="off"
        )

    with (
        ProcessPoolExecutor(1, spawn, initializer=os._exit, initargs=(1,)) as dying,
        pytest.raises(ba.FitError, match=r"flat: a worker of the executor died(.|\n)*week: a worker"),
    ):
        run(dying)
    assert set(run(None).fits) == {"flat", "week"}


def test_two_comparisons_share_a_folder(trial: pd.DataFrame, tmp_path: Path) -> None:
    """Run at the same time on the same folder they give the same tables, and every fit is stored once."""
    table = ba.read_sessions(trial, NESTED)

    def run(_: int) -> ba.ModelComparison:
        return ba.compare_models(two_models(), table, seed=1, settings=QUIET, folder=tmp_path, progress="off")

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(run, range(2))
    pd.testing.assert_frame_equal(one.comparison.table, other.comparison.table)
    assert len(list(tmp_path.glob("*/manifest.json"))) == 2


@pytest.mark.slow
def test_the_true_specification_wins_in_the_long_run() -> None:
    """Of 20 SYNTHETIC studies most are predicted better by the model they came from, and on average they are.

    Truth: 40 patients, 6 weeks; slopes vary (SD 0.5) and change follows log(week). Rivals: linear, or without slopes.
    """
    formulas = {
        "true": "log(week) + (1 + log(week) | patient)",
        "linear": "week + (1 + week | patient)",
        "no slopes": "log(week) + (1 | patient)",
    }
    models = {name: ba.parse_model(HEAD + equation("score", formula)) for name, formula in formulas.items()}
    wins, apart = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        week = np.tile(np.arange(1.0, 7.0), 40)
        own = np.repeat(rng.normal(size=(2, 40)) * [[1.0], [0.5]], 6, axis=1)
        score = 10 - 2 * np.log(week) + own[0] + own[1] * np.log(week) + rng.normal(0, 0.7, 240)
        rows = pd.DataFrame({"pid": np.repeat([f"P{i}" for i in range(40)], 6), "week": week, "score": score})
        table = ba.read_sessions(rows, {"patient": "pid", "session": "week"})
        found = ba.compare_models(models, table, seed=seed, settings=QUIET, progress="off").comparison
        elpd = found.table["elpd"]
        wins.append(found.best)
        apart.append([elpd["true"] - elpd["linear"], elpd["true"] - elpd["no slopes"]])
    means, errors = np.mean(apart, axis=0), np.std(apart, axis=0, ddof=1) / np.sqrt(20)
    assert (means > 5 * errors).all()
    assert wins.count("true") > 13


def test_models_are_found_by_tag_folder_and_name() -> None:
    """Names of the registry, a folder of it, a tag."""
    assert list(find_models(["growth/treatment", "growth/three-level"])) == [
        "growth/treatment",
        "growth/three-level",
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
