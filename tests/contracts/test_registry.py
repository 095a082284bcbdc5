"""What every registered model must do; a model is added by adding its file."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pymc as pm
import pytest

import bayes_alliance as ba
from bayes_alliance.build.model import check_log_density
from bayes_alliance.names import ROLES as ROLE_NAMES
from bayes_alliance.spec.course import name_time
from bayes_alliance.spec.equations import equation_latex, equation_text
from bayes_alliance.spec.needed_variables import needed_variables
from bayes_alliance.spec.registry import model_names, models_folder
from tests.conftest import COLUMNS, ROLES
from tests.design.test_posterior_variables import check_variables

NAMES = model_names()


def table_for(name: str, trial: pd.DataFrame) -> tuple[ba.SessionTable, dict[str, str], dict[str, str]]:
    """Return a tiny table, columns and reference for a model."""
    spec = ba.load_model(name)
    needed = set(needed_variables(spec))
    grouped = name in ("outcome/group-process", "outcome/group-process-latent", "outcome/within-between")
    frame = trial[trial["arm"] == "MBCT"] if grouped else trial
    if grouped:
        frame = frame.assign(alliance=frame.groupby("pid")["alliance"].transform("mean"))
    if name in ("congruence/surface", "congruence/truth-and-bias-reciprocal", "dynamics/one-with-many"):
        people = frame.groupby("pid")
        frame = frame.assign(alliance=people["alliance"].transform("mean"), rating=people["rating"].transform("mean"))
    if "visit" in needed:  # every pair of visits has a correlation of its own
        frame = frame[frame["week"] <= 4]
    given = COLUMNS | MORE
    frame = frame.assign(
        steps=frame["rating"].clip(3, 6).round(),
        events=np.floor(frame["stress"].abs()),
        offered=20.0,
        attended=np.rint(frame["pre"] / 2).clip(0, 20),
        last=frame.groupby("pid")["week"].transform("max"),
        alliance=frame["alliance"].clip(4, 6) if "bounded" in spec.tags else frame["alliance"],
        view_by_patient=frame["post"] / 4,
        view_by_therapist=frame["iip_change"] + 5,
        inhibition_post=frame["iip_pre"] + frame["iip_change"],
        waited=(frame["pid"].str[-1].astype(int) % 3 == 0).astype(float),
        stage=(frame["rating"] - 1).clip(1, 5).round(),
        **{f"rater_{k}": frame["competence"] + 0.1 * k * (frame["competence"] > 4) for k in (1, 2, 3)},
        **{name: np.sin((1 + number) * frame["tid"].str[1:].astype(float)) for number, name in enumerate(FEATURES)},
        second_therapist=np.where(frame["pid"].str.endswith("3"), "T9", ""),
        share_second=np.where(frame["pid"].str.endswith("3"), 0.5, 0.0),
        share_first=np.where(frame["pid"].str.endswith("3"), 0.5, 1.0),
    )
    columns = {variable: column for variable, column in given.items() if variable in needed}
    reference = {"condition": "TAU"} if "condition" in needed else {}
    bounds = {"alliance": (4.0, 6.0), "steps": (3.0, 6.0)} if {"bounded", "ordinal"} & set(spec.tags) else {}
    if "bounded" not in spec.tags:
        bounds.pop("alliance", None)
    return ba.read_sessions(frame, ROLES, bounds=bounds), columns, reference


FEATURES = (
    "negative_reactions",
    "anxiety",
    "flow",
    "self_doubt",
    "coping",
    "warmth",
    "challenge",
    "skill",
    "boredom",
    "avoidance",
)

MORE = {
    "predictor": "stress",
    "rating": "steps",
    "last_session": "last",
    "mediator": "alliance",
    "alliance_patient": "alliance",
    "alliance_therapist": "rating",
    "outcome_patient": "score",
    "outcome_therapist": "stress",
    "inhibition_pre": "iip_pre",
    "inhibition_change": "iip_change",
    "depression_pre": "pre",
    "depression_post": "post",
    "distress_pre": "pre",
    "distress_post": "post",
    "judgment": "view_by_patient",
    "truth": "view_by_therapist",
    "bias": "iip_pre",
    "wellbeing_pre": "iip_pre",
    "wellbeing_post": "iip_change",
}


@pytest.fixture(scope="module", params=NAMES)
def case(request: pytest.FixtureRequest, trial: pd.DataFrame) -> tuple[str, ba.Design, pm.Model]:
    """Return every registered model built on a tiny unbalanced table."""
    table, columns, reference = table_for(request.param, trial)
    made = ba.make_design(ba.load_model(request.param), ba.Study(table, columns=columns, reference=reference))
    return request.param, made, ba.build_model(made.spec, made)


@pytest.mark.parametrize("name", NAMES)
def test_file_says_what_it_must(name: str) -> None:
    """Title, a question a clinician can read, tags, and references that resolve."""
    spec = ba.load_model(name)
    bib = (models_folder() / "references.bib").read_text()
    assert spec.question.endswith("?")
    assert spec.tags
    assert spec.references
    for key in spec.references:
        assert re.search(rf"@\w+\{{{re.escape(key)},", bib), key
    assert all(prior.reason.endswith(".") for prior in spec.prior)


@pytest.mark.parametrize("name", NAMES)
def test_estimands_have_a_meaning(name: str) -> None:
    """Every estimand says in one sentence of at most 35 words what its number is, whatever plays time."""
    spec = ba.load_model(name)
    named = name_time(spec, "unit of months", "months")
    for key, estimand in spec.estimands.items():
        assert estimand.meaning.endswith("."), key
        assert estimand.meaning[0].isupper(), key
        assert len(estimand.meaning.split()) <= 35, key
        assert not set("{}") & set(named.estimands[key].meaning + named.estimands[key].unit), key


@pytest.mark.parametrize("name", NAMES)
def test_equations_render(name: str) -> None:
    """An equation has a text and balanced LaTeX that names the outcome and every grouping factor."""
    for equation in ba.load_model(name).equation:
        latex = equation_latex(equation)
        assert equation_text(equation).startswith(f"{equation.outcome} ~ ")
        assert latex.count("{") == latex.count("}")
        assert all(rf"\mathrm{{{factor}}}" in latex for factor in equation.factors)


def test_names_are_the_fields_own() -> None:
    """Grouping factors of registered models are roles."""
    for name in NAMES:
        assert set(ba.load_model(name).factors) <= set(ROLE_NAMES)


def test_posterior_variables_are_listed(case: tuple[str, ba.Design, pm.Model]) -> None:
    """Whatever a model keeps is a record of known kind, and so is whatever has a prior."""
    _, made, model = case
    check_variables(made, model)


def test_log_density_is_finite(case: tuple[str, ba.Design, pm.Model]) -> None:
    """The initial log-density is finite in a bounds-checked mode."""
    assert np.isfinite(check_log_density(case[2]))


def test_dims_are_present(case: tuple[str, ba.Design, pm.Model]) -> None:
    """Every free variable but helpers of correlations has dims, and rows are named by the outcome."""
    _, made, model = case
    for variable in model.free_RVs:
        if not (variable.name.endswith("_unit") or variable.ndim == 0):
            assert model.named_vars_to_dims[variable.name], variable.name
    for equation in made.equations:
        rows = "obs" if equation.seen.all() else "seen"
        assert model.named_vars_to_dims[equation.outcome] == (f"{rows}_{equation.outcome}",)


def test_prior_predictive_is_of_the_outcomes_order(case: tuple[str, ba.Design, pm.Model]) -> None:
    """Prior predictive outcomes centre on the data and spread wider, but not a hundred times wider."""
    _, made, model = case
    for equation in made.equations:
        drawn = pm.draw(model[equation.outcome], draws=200, random_seed=1, mode="FAST_COMPILE")
        if equation.kind.binary:
            assert set(np.unique(drawn)) == {0, 1}
            assert 0.2 < drawn.mean() < 0.8
            continue
        if equation.kind.bounds != "none" or equation.kind.trials:
            # of scores with ends: all of the scale, and its middle no rarer than its ends
            low, high = equation.scale.bounds if equation.kind.bounds != "none" else (0.0, equation.scale.trials.max())
            assert low == drawn.min()
            assert drawn.max() == high
            assert (high - low) / 4 < drawn.mean() - low < (high - low) * 3 / 4
            continue
        spread = equation.y.std()
        low, high = np.quantile(drawn, [0.25, 0.75])
        assert spread < high - low < 100 * spread
        assert abs(np.median(drawn) - equation.y.mean()) < 5 * spread


def test_priors_have_reasons(case: tuple[str, ba.Design, pm.Model]) -> None:
    """Every parameter has one prior, with a reason and a source."""
    table = case[1].priors.table()
    assert len({prior.parameter for prior in table}) == len(table)
    assert all(prior.reason and prior.source in ("default", "model", "call") for prior in table)


def test_rows_add_up(case: tuple[str, ba.Design, pm.Model]) -> None:
    """Rows read are rows used plus rows left out by reason."""
    made = case[1]
    for equation in made.equations:
        assert equation.rows_read == len(equation.y) + sum(equation.ledger.values())


def test_estimands_are_finite_and_have_units(case: tuple[str, ba.Design, pm.Model]) -> None:
    """Every estimand can be worked out of draws from the priors, has a unit, and says its level."""
    made = case[1]
    claims = ba.describe_prior(made, draws=50, seed=1)
    assert np.isfinite(claims[["median", "q5", "q95"]].to_numpy()).all()
    assert {estimand.name for estimand in made.estimands} <= set(claims["name"])
    assert all(estimand.unit and estimand.level for estimand in made.estimands)
