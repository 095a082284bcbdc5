"""The cache: the same question from disk, another question never, damage never, one fit for several askers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_alliance as ba
from bayes_alliance.fit import cache as module
from bayes_alliance.fit.cache import ANSWERED, DAMAGED, question_key
from bayes_alliance.fit.provenance import versions
from tests.build.test_equations import HEAD, equation
from tests.conftest import ROLES

SPEC = ba.parse_model(HEAD + equation("score", "session * condition + (1 | patient) + (1 | therapist)"))
GIVEN = {"columns": {"condition": "arm"}, "reference": {"condition": "TAU"}}
FEW = ba.SamplerSettings(draws=50, tune=50, chains=2, progress="off")


def design_of(trial: pd.DataFrame, **changes: object) -> ba.Design:
    """Return the design of the question, or of one that differs."""
    given = {**GIVEN, **changes}
    return ba.make_design(SPEC, ba.Study(ba.read_sessions(trial, ROLES), **given))  # type: ignore[arg-type]


def key_of(design: ba.Design, seed: int = 1, settings: ba.SamplerSettings = FEW, engine: str = "auto") -> str:
    """Return the key of a question."""
    return question_key(design, seed=seed, settings=settings, engine=engine)  # type: ignore[arg-type]


def test_the_same_question_is_answered_from_disk(
    trial: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Draws, checks, estimands, rows and design are as if fitted; permuted rows are the same question."""
    table = ba.read_sessions(trial, ROLES)
    first = ba.fit_model(SPEC, ba.Study(table, **GIVEN), seed=1, settings=FEW, cache=tmp_path / "cache")
    monkeypatch.setattr(module, "fit_design", lambda *_, **__: pytest.fail("fitted again"))
    shuffled = ba.read_sessions(trial.sample(frac=1, random_state=1), ROLES)
    loud = replace(FEW, cores=1)
    again = ba.fit_model(SPEC, ba.Study(shuffled, **GIVEN), seed=1, settings=loud, cache=tmp_path / "cache")
    assert ANSWERED in again.messages
    assert ANSWERED not in first.messages
    assert set(first.data.children) == set(again.data.children)
    for group in first.data.children:
        if first.data[group].has_data:
            xr.testing.assert_identical(
                first.data[group].to_dataset().drop_attrs(), again.data[group].to_dataset().drop_attrs()
            )
    assert again.checks == first.checks
    assert again.design is not None
    assert ba.summarize(again).equals(ba.summarize(first))
    ba.predict_trajectories(again)


def test_an_answer_of_nuts_brings_its_arrays(trial: pd.DataFrame, tmp_path: Path) -> None:
    """The arrays of the PyMC model come back although no rows are stored."""
    spec = ba.parse_model(
        HEAD + equation("dropout", "pre + (1 | therapist)", unit="patient", extra='family = "bernoulli"')
    )
    table = ba.read_sessions(trial, ROLES)
    first, again = (ba.fit_model(spec, table, seed=1, settings=FEW, cache=tmp_path) for _ in range(2))
    assert ANSWERED in again.messages
    xr.testing.assert_identical(first.data["constant_data"].to_dataset(), again.data["constant_data"].to_dataset())
    assert not list(tmp_path.glob("*/*.csv"))
    stored = ba.load_fit(next(path for path in tmp_path.iterdir() if path.is_dir()))
    assert "observed_data" not in stored.data.children


def test_other_questions_have_other_keys(trial: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows, priors, mapping, settings, engine, seed, packages and code are part of the question; cores are not."""
    plain = design_of(trial)
    key = key_of(plain)
    moved = trial.copy()
    moved.loc[3, "score"] += 1e-9
    others = {
        "rows": key_of(design_of(moved)),
        "priors": key_of(design_of(trial, priors={"sd patient": "half_normal(1)"})),
        "priors, last digit": key_of(design_of(trial, priors={"sd patient": "half_normal(1.0000000000000002)"})),
        "reference": key_of(design_of(trial, reference={"condition": "MBCT"})),
        "draws": key_of(plain, settings=replace(FEW, draws=51)),
        "target": key_of(plain, settings=replace(FEW, target_accept=0.81)),
        "engine": key_of(plain, engine="nuts"),
        "seed": key_of(plain, seed=2),
    }
    for part in ("packages", "code", "blas", "python", "platform"):
        monkeypatch.setattr(module, "versions", lambda part=part: {**versions(), part: "another"})
        others[part] = key_of(plain)
    monkeypatch.undo()
    assert len({key, *others.values()}) == len(others) + 1
    assert key_of(plain, settings=replace(FEW, cores=1, progress="auto")) == key
    assert key_of(plain, settings=replace(FEW, target_accept=0.8)) == key, "the default, stated"
    assert key_of(design_of(trial.sample(frac=1, random_state=2))) == key


def test_damage_is_fitted_anew_and_said(trial: pd.DataFrame, tmp_path: Path) -> None:
    """A flipped bit and a missing manifest are never read as an answer."""
    table = ba.read_sessions(trial, ROLES)

    def ask() -> ba.Fit:
        return ba.fit_model(SPEC, ba.Study(table, **GIVEN), seed=1, settings=FEW, cache=tmp_path)

    whole = ask()
    place = next(path for path in tmp_path.iterdir() if path.is_dir())
    posterior = place / "posterior.nc"
    content = bytearray(posterior.read_bytes())
    content[len(content) // 2] ^= 1
    for damage in (lambda: posterior.write_bytes(bytes(content)), (place / "manifest.json").unlink):
        damage()
        fit = ask()
        assert DAMAGED in fit.messages
        np.testing.assert_array_equal(fit.data["posterior"]["b"], whole.data["posterior"]["b"])
        assert ANSWERED in ask().messages


def test_a_cache_that_cannot_be_written(trial: pd.DataFrame, tmp_path: Path) -> None:
    """A file where the folder should be is an error before sampling."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ba.FitError, match="cannot be written"):
        ba.fit_model(
            SPEC, ba.Study(ba.read_sessions(trial, ROLES), **GIVEN), seed=1, settings=FEW, cache=tmp_path / "file"
        )


ASKER = """
import sys
import bayes_alliance as ba
from bayes_alliance.fit import cache
from tests.conftest import ROLES, make_trial
from tests.fit.test_cache import FEW, GIVEN, SPEC
real = cache.fit_design
def fit_design(*args, **kwargs):
    print("fitted", flush=True)
    return real(*args, **kwargs)
cache.fit_design = fit_design
study = ba.Study(ba.read_sessions(make_trial(), ROLES), **GIVEN)
fit = ba.fit_model(SPEC, study, seed=1, settings=FEW, cache=sys.argv[1])
print(float(fit.data["posterior"]["b"].sum()))
"""


@pytest.mark.slow
def test_of_two_processes_one_fits(tmp_path: Path) -> None:
    """Two processes ask at once: one waits and reads what the other stored."""
    command = [sys.executable, "-W", "ignore", "-c", ASKER, str(tmp_path)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [child.communicate()[0].split() for child in children]
    assert sorted(len(words) for words in said) == [1, 2]
    assert said[0][-1] == said[1][-1]
