"""Every reader of a fit says what a simulation worked out apart says, or refuses; the table itself can fail."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import xarray as xr

import bayes_alliance as ba
from bayes_alliance.build.model import build_model
from bayes_alliance.expectation.effects import with_effects
from tests.truth.cases import COURSES, NAMES, registry_case
from tests.truth.kinds import KINDS
from tests.truth.simulator import linear_predictor, residual_sd, usable
from tests.truth.table import Cell, Pair, judge
from tests.truth.whole import PAGE, READERS, case_of, cells, summarise, whole_table

QUICK: dict[str, tuple[str, ...]] = {
    "marginal_effects": (
        "growth/treatment",
        "ordered steps by condition",
        "a square by condition, slopes vary",
        "groups in one of three arms",
        "a censored score, one patient effect on both",
        "a latent mean of a modelled outcome",
        "covariances by condition",
    ),
    "predictions": (
        "growth/treatment",
        "groups in one of three arms",
        "covariances by condition",
        "outcome/counts-with-zeros",
    ),
    "predictions, outcomes following": ("mediation/sequential", "a mean of all sessions", "outcome/three-parts"),
    "comparisons": ("growth/treatment", "a censored score, one patient effect on both", "ordered steps by condition"),
    "slopes": ("growth/treatment, course log", "a square by condition, slopes vary"),
    "predict_trajectories": (
        "growth/treatment, course log",
        "growth/treatment in months",
        "dynamics/convergence",
        "dynamics/lagged-surface",
        "outcome/stages",
        "three arms, a quadratic course",
        "heavy tails, residual SDs by condition",
    ),
    "predict_unit_trajectories": (
        "growth/three-level",
        "dynamics/convergence",
        "growth/dual-perspective",
        "growth/steadier",
        "three arms, a quadratic course",
        "heavy tails, residual SDs by condition",
    ),
    "predict_hazard": (
        "dropout/hazard",
        "dropout/joint-value",
        "dropout/joint-slope",
        "hazards in three arms",
        "hazards, groups in one arm",
        "hazards, patients differ",
    ),
    "mediation_effects": (
        "mediation/sequential",
        "mediation/within-person",
        "mediation/moderated",
        "slopes of paths that go together",
        "a moderator in ordered steps",
        "a mean of all sessions",
        "the session before",
    ),
    "moderated_mediation": (
        "mediation/moderated",
        "a moderator of both steps",
        "one moderator at two means",
        "a mean of all sessions",
        "the session before, by session",
        "a moderator of two columns",
    ),
    "unit_effects": (
        "mediation/within-person",
        "mediation/sequential",
        "slopes of paths that go together",
        "slopes by strata",
        "outcome/three-parts",
        "a mediator with slopes that vary",
    ),
    "counterfactual_effects": (
        "mediation/moderated",
        "two scores on the way, a product of both",
        "a mediator with residual SDs by condition",
        "groups in one arm, a mediator",
        "mediators in a row, the first a yes or no",
        "a treatment coded by numbers",
    ),
    "variance_shares": (
        "growth/treatment",
        "dropout/joint-value",
        "growth/at-the-ceiling",
        "outcome/counts",
        "growth/steadier",
        "covariances by condition",
    ),
    "response_surface": (
        "congruence/surface",
        "congruence/surface-training",
        "dynamics/lagged-surface",
        "growth/treatment",
        "outcome/stages",
        "mediation/moderated",
    ),
    "summarize_estimands": (
        "outcome/three-parts",
        "outcome/within-between",
        "mediation/within-person",
        "mediation/moderated",
        "congruence/truth-and-bias",
        "dynamics/actor-partner",
    ),
    "unit_estimates": (
        "growth/three-level",
        "growth/steadier",
        "outcome/two-outcomes",
        "outcome/two-therapists",
        "dynamics/cross-lagged",
        "covariances by condition",
    ),
    "loo": (
        "dropout/early-alliance",
        "outcome/attendance",
        "dropout/hazard",
        "outcome/counts",
        "outcome/rated-sessions",
        "growth/censored",
    ),
    "leave_future_out": (
        "growth/treatment",
        "outcome/three-parts",
        "dynamics/actor-partner",
        "dynamics/convergence",
        "outcome/rated-sessions",
        "the session before",
    ),
}
"""The models on which each reader is tried by default."""

DEAR = ("counterfactual_effects", "response_surface", "leave_future_out", "unit_effects")
"""Readers of which one setting is tried by default."""

PUBLIC = {
    "marginal_effects",
    "predictions",
    "comparisons",
    "slopes",
    "predict_trajectories",
    "predict_unit_trajectories",
    "predict_hazard",
    "mediation_effects",
    "moderated_mediation",
    "unit_effects",
    "counterfactual_effects",
    "variance_shares",
    "response_surface",
    "summarize_estimands",
    "unit_estimates",
    "loo",
    "leave_future_out",
}
"""Readers of a fit that say numbers worked out from its draws."""


def disagreements(found: list[Cell]) -> list[str]:
    """Return the cells in which a reader is wrong, as text."""
    return [str(cell) for cell in found if cell.how == "DISAGREES"]


@pytest.mark.parametrize(("reader", "model"), [(r, m) for r, models in QUICK.items() for m in models])
def test_reader_says_what_worlds_say(reader: str, model: str) -> None:
    """What a reader says agrees with the world in which it is so, or is refused."""
    found = list(cells(model, reader, 1 if reader in DEAR else 2))
    assert found
    assert disagreements(found) == []


@pytest.mark.slow
def test_whole_table_has_no_disagreement() -> None:
    """Every model and reader agree or refuse, as the documentation says; ``python -m tests.truth`` writes it anew."""
    found = whole_table()
    assert not [cell for cell in found if cell.how == "DISAGREES"]
    stored, made = json.loads(PAGE.read_text(encoding="utf-8")), summarise(found)
    assert list(made) == list(stored)
    # where they differ, a line each: the whole tables are ten thousand lines
    assert [(m, r) for m, row in made.items() for r, entry in row.items() if entry != stored[m].get(r)] == []


def test_readers_of_the_table_are_the_public_ones() -> None:
    """Every reader that works numbers out of draws is in the table, under its public name."""
    assert {name.split(",")[0] for name in READERS} == PUBLIC
    assert set(READERS) == set(QUICK)
    assert set(ba.__all__) >= PUBLIC


def test_documented_table_has_every_model_and_reader() -> None:
    """The documented table has the registry's models, the small ones and every reader, and no disagreement."""
    stored = json.loads(PAGE.read_text(encoding="utf-8"))
    assert list(stored) == [*NAMES, *COURSES, *KINDS]
    for model, row in stored.items():
        assert set(row) == set(READERS), model
        for reader, entry in row.items():
            assert entry["agrees"] or entry["refused"] or entry["other"], (model, reader)
            wrong = any(note.startswith("DISAGREES") for note in entry["other"])
            assert not wrong, (model, reader)


@pytest.mark.parametrize(
    "model", ["dynamics/cross-lagged", "outcome/measured-alliance", "growth/steadier", *list(KINDS)[:8]]
)
def test_worlds_have_the_linear_predictors_of_the_design(model: str) -> None:
    """With nothing set, raw rows and labels alone give the linear predictor that the design gives."""
    from bayes_alliance.expectation.linear import add_effects, linear_parts, stack_draws
    from bayes_alliance.expectation.outcomes import drawn_rows, residual_spread

    case = case_of(model)
    flat = stack_draws(with_effects(case.fit))
    for e in case.design.equations:
        stated = add_effects(linear_parts(case.design, e.mean, flat), flat, [f.factor for f in case.design.factors])
        for place, (chain, draw) in enumerate(case.draws()):
            view = case.view(case.world(chain, draw), e.outcome)
            keep = usable(view, e.outcome)
            own = np.broadcast_to(linear_predictor(view, e.outcome), (1, len(view)))[0, keep]
            np.testing.assert_allclose(own, stated[place], atol=1e-8)
            if e.kind.spread:
                rows = drawn_rows(case.design, e, flat)
                stated_sd = rows.given["sigma"] if e.modelled is None else residual_spread(e, flat)
                sd = np.broadcast_to(residual_sd(view, e.outcome), (1, len(view)))[0, keep]
                np.testing.assert_allclose(sd, stated_sd[place], rtol=1e-8)


@pytest.mark.parametrize("model", ["growth/at-the-ceiling", "outcome/stages", "outcome/measured-alliance"])
def test_stated_fits_have_the_variables_of_the_model(model: str) -> None:
    """A fit with stated parameters has the variables that the built model has, over the same dims and labels."""
    case = registry_case(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        built = build_model(case.design.spec, case.design)
    posterior = with_effects(case.fit)
    wanted = {v.name for v in (*built.free_RVs, *built.deterministics)}
    wanted = {n for n in wanted if not n.startswith(("z_", "total_")) and not n.endswith("_unit")}
    kept = {n for n in wanted if not any("_block_" in str(d) for d in built.named_vars_to_dims.get(n, ()))}
    assert kept <= set(posterior.data_vars)
    for name in kept:
        dims = built.named_vars_to_dims.get(name)
        if dims is not None:
            assert posterior[name].dims[2:] == tuple(dims), name
            for dim in dims:
                assert [str(v) for v in posterior[dim].values] == [str(v) for v in built.coords[dim]], dim


def test_mixed_up_draws_disagree(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that takes the draws of another chain is found out."""
    from bayes_alliance.posterior import marginal

    whole = marginal.stack_draws
    monkeypatch.setattr(marginal, "stack_draws", lambda *a, **k: whole(*a, **k).isel(sample=slice(None, None, -1)))
    assert disagreements(list(cells("growth/treatment", "marginal_effects", 2)))


def test_a_lost_covariance_of_paths_disagrees(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product of mean slopes where slopes go together is found out."""
    from bayes_alliance.posterior import mediation

    def product(labels: list[str], draws: xr.Dataset, factors: list[str]) -> xr.DataArray:
        del factors
        total = draws["b"].sel(coef=labels[0], drop=True)
        for label in labels[1:]:
            total = total * draws["b"].sel(coef=label, drop=True)
        return total

    monkeypatch.setattr(mediation, "mean_of_product", product)
    assert disagreements(list(cells("mediation/within-person", "mediation_effects", 1)))


def test_a_chance_that_is_off_by_a_hundredth_disagrees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hazards that are one per cent too large are found out."""
    from bayes_alliance.outcome.hazard import Hazard

    whole = Hazard.expected
    monkeypatch.setattr(Hazard, "expected", lambda *a: 1.01 * whole(*a))
    assert disagreements(list(cells("hazards in three arms", "predict_hazard", 1)))


def test_mediators_that_are_drawn_too_large_disagree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counterfactual effects whose mediators are drawn around predictors five per cent too large are found out."""
    from bayes_alliance.outcome.contract import OutcomeRows

    whole = OutcomeRows.draw
    monkeypatch.setattr(OutcomeRows, "draw", lambda rows, linear, rng: whole(rows, 1.05 * linear, rng))
    assert disagreements(list(cells("a mediator with residual SDs by condition", "counterfactual_effects", 1)))


def test_foreign_exceptions_and_other_shapes_are_disagreements() -> None:
    """A reader that ends in a foreign exception, or returns another shape, is no agreement."""

    def broken() -> Pair:
        raise KeyError("x")

    assert judge("m", "r", "s", broken).how == "DISAGREES"
    assert judge("m", "r", "s", lambda: Pair(np.zeros(2), np.zeros(3))).how == "DISAGREES"
    assert judge("m", "r", "s", lambda: Pair(np.array([np.nan]), np.array([1.0]))).how == "DISAGREES"
    assert judge("m", "r", "s", lambda: Pair(np.array([1.0]), np.array([1.5]), error=0.1)).how == "DISAGREES"
    assert judge("m", "r", "s", lambda: Pair(np.array([1.0]), np.array([1.3]), error=0.1)).how == "agrees"
