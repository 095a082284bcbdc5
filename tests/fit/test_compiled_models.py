"""Compiled models used again: the same draws as compiled anew, and never for another graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_alliance as ba
from bayes_alliance.build.model import build_model
from bayes_alliance.design.posterior_variables import list_variables
from bayes_alliance.fit import compiled_models
from bayes_alliance.fit.compiled_models import graph_key
from bayes_alliance.fit.nuts import sample_nuts
from tests.build.test_equations import HEAD, equation
from tests.conftest import ROLES

FEW = ba.SamplerSettings(draws=40, tune=40, chains=2, progress="off")
DROPOUT = equation("dropout", "pre + (1 | therapist)", unit="patient", extra='family = "bernoulli"')


def sample(design: ba.Design) -> xr.Dataset:
    """Return the posterior of a design's PyMC model."""
    return sample_nuts(build_model(design.spec, design), list_variables(design), FEW, 1).posterior


def design_of(text: str, trial: pd.DataFrame, **given: object) -> ba.Design:
    """Return the design of a model on the trial."""
    return ba.make_design(ba.parse_model(HEAD + text), ba.Study(ba.read_sessions(trial, ROLES), **given))  # type: ignore[arg-type]


def test_one_graph_has_one_key_and_others_have_others(trial: pd.DataFrame) -> None:
    """Values of data, centring constants and coefficients' priors do not matter; other priors, terms, shapes do."""
    text = equation("score", "week + pre + (1 + week | patient)")
    plain = design_of(text, trial)
    key = graph_key(build_model(plain.spec, plain))
    moved = replace(plain, equations=(replace(plain.equation, y=plain.equation.y + 1),))
    assert graph_key(build_model(moved.spec, moved)) == key
    later = design_of(text, trial.assign(week=trial["week"] + 1))
    assert graph_key(build_model(later.spec, later)) == key
    narrow = design_of(text, trial, priors={"b week": "normal(0.5, 0.01)"})
    assert graph_key(build_model(narrow.spec, narrow)) == key
    heavy = design_of(text, trial, priors={"b week": "student_t(3, 0, 1)"})
    assert graph_key(build_model(heavy.spec, heavy)) != key
    renamed = trial.assign(pid="Q" + trial["pid"].str[1:])
    others = [
        design_of(text, trial, priors={"sd patient": "half_normal(1)"}),
        design_of(text, trial, priors={"sd patient": "half_normal(1.5)"}),
        design_of(text.replace("week + pre", "pre + week"), trial),
        design_of(text.replace("(1 + week | patient)", "(1 + week || patient)"), trial),
        design_of(text, trial[trial["week"] > 1]),
        design_of(text, renamed),
    ]
    keys = [graph_key(build_model(other.spec, other)) for other in others]
    assert len({key, *keys}) == len(others) + 1


def test_a_process_compiles_a_graph_once(trial: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second model of a graph is sampled with its own data and without compiling."""
    monkeypatch.setattr(compiled_models, "_COMPILED", type(compiled_models._COMPILED)())
    counted = []
    real = compiled_models.compile_model

    def compile_counted(*args: object) -> object:
        counted.append(1)
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(compiled_models, "compile_model", compile_counted)
    design = design_of(DROPOUT, trial)
    other = replace(design, equations=(replace(design.equation, y=1 - design.equation.y),))
    one, two, three = (sample(d)["b"] for d in (design, other, design))
    assert len(counted) == 1
    np.testing.assert_array_equal(one, three)
    assert not np.array_equal(one, two)
    held = design_of(DROPOUT, trial, priors={"b pre": "normal(0.3, 0.001)"})
    after = sample(held)["b"]
    assert len(counted) == 1, "another prior of a coefficient needs no compiling"
    assert after[..., 1].mean() == pytest.approx(0.3, abs=0.01)
    again = sample(design)["b"]
    np.testing.assert_array_equal(one, again)
    monkeypatch.setattr(compiled_models, "_COMPILED", type(compiled_models._COMPILED)())
    alone = sample(held)["b"]
    np.testing.assert_array_equal(after, alone, "draws do not depend on what was compiled before")
