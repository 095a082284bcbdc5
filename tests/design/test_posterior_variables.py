"""Posterior variables as records: what a kind is does not depend on how anything is called."""

from __future__ import annotations

import pandas as pd
import pymc as pm
import pytest

import bayes_alliance as ba
from bayes_alliance.design.posterior_variables import LISTED, Kind, list_variables
from bayes_alliance.fit.result import variables_of
from bayes_alliance.names import BLOCK, total_name
from bayes_alliance.posterior.entries import public_entries
from bayes_alliance.simulate.truth import true_parameters
from tests.conftest import ROLES

HEAD = 'title = "t"\nquestion = "q?"\n'
EQUATION = '[[equation]]\noutcome = "y"\nunit = "session"\nformula = "week + (1 + week | patient)"\n'
BY_ARM = """
[groups.patient]
by = "arm"
[labels]
slope = "y ~ week"
[estimands.spread]
value = "sd(patient, slope)"
level = "population"
unit = "points per week"
"""
QUICK = ba.SamplerSettings(draws=50, chains=2, progress="off")


def stored(model: pm.Model, design: ba.Design) -> set[str]:
    """Return the names of a model's deterministic variables that are kept: no part or helper of group effects."""
    dims = model.named_vars_to_dims
    whole = {own.name for own in model.deterministics if not any(BLOCK in str(d) for d in dims.get(own.name) or ())}
    return whole - {total_name(factor.factor) for factor in design.factors}


def check_variables(design: ba.Design, model: pm.Model) -> None:
    """Hold a model to the list of what its posterior has."""
    names = [own.name for own in list_variables(design)]
    assert len(names) == len(set(names))
    assert stored(model, design) <= set(names)
    stated = {line.parameter.partition("[")[0] for line in design.priors.table()}
    assert stated <= {*names, *(own.owner for own in list_variables(design))}
    assert {parameter.variable.kind for parameter in true_parameters(design)} <= LISTED


@pytest.fixture(scope="module")
def odd(trial: pd.DataFrame) -> ba.Fit:
    """Return a fit with a covariance per arm, one of whose names has brackets."""
    frame = trial.assign(arm=trial["arm"].map({"TAU": "TAU [old", "MBCT": "MBCT]"}))
    study = ba.Study(ba.read_sessions(frame, ROLES), columns={"y": "score"}, reference={"arm": "TAU [old"})
    return ba.fit_model(ba.parse_model(HEAD + EQUATION + BY_ARM), study, seed=1, settings=QUICK, engine="collapsed")


def test_strata_are_called_by_their_levels(odd: ba.Fit) -> None:
    """An estimand per stratum, whatever the level is called."""
    names = list(ba.summarize_estimands(odd)["name"])
    assert names == ["spread[arm = TAU [old]", "spread[arm = MBCT]]"]


def test_a_fit_knows_its_variables_without_its_rows(odd: ba.Fit, tmp_path: pytest.TempPathFactory) -> None:
    """They are stored with it, and tables of a loaded fit are the same."""
    odd.save(tmp_path / "fit")  # type: ignore[operator]
    loaded = ba.load_fit(tmp_path / "fit")  # type: ignore[operator]
    assert odd.design is not None
    assert variables_of(loaded) == list_variables(odd.design)
    pd.testing.assert_frame_equal(ba.summarize(loaded), ba.summarize(odd))


def test_readers_see_each_parameter_once(odd: ba.Fit) -> None:
    """Of the correlations of two effects in two strata, two entries; effects of patients on request only."""
    kinds: dict[Kind, int] = {}
    for entry in public_entries(odd):
        kinds[entry.variable.kind] = kinds.get(entry.variable.kind, 0) + 1
    assert kinds == {"coefficient": 2, "sd": 4, "correlation": 2, "residual sd": 1}
    more = public_entries(odd, group_effects=True)
    patients = odd.data["posterior"].sizes["patient"]
    assert sum(entry.variable.kind == "group effect" for entry in more) == 2 * patients


def test_names_of_columns_decide_nothing(trial: pd.DataFrame) -> None:
    """An outcome called like an SD, a correlation or a step has coefficients and no SDs."""
    for name in ("sd_score", "cor_score", "step_score", "u_score", "global_score"):
        frame = trial.rename(columns={"score": name})
        study = ba.Study(ba.read_sessions(frame, ROLES), columns={"y": name})
        design = ba.make_design(ba.parse_model(HEAD + EQUATION), study)
        kinds = {own.name: own.kind for own in list_variables(design)}
        assert kinds["b"] == "coefficient"
        assert kinds["sd_patient"] == "sd"
        check_variables(design, ba.build_model(design.spec, design))
