"""Effects along paths: every way is found, effects are products of slopes over units, and they add up to the total."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.posterior.mediation import path_slopes
from bayes_alliance.posterior.paths import find_paths
from tests.conftest import ROLES
from tests.design.test_modelled import equation, model

QUICK = ba.SamplerSettings(draws=100, chains=2, progress="off")
NAMES = {
    "columns": {
        "condition": "arm",
        "inhibition_pre": "iip_pre",
        "depression_pre": "pre",
        "inhibition_change": "iip_change",
        "depression_post": "post",
    },
    "reference": {"condition": "TAU"},
}


@pytest.fixture(scope="module")
def sequential(trial: pd.DataFrame) -> ba.Fit:
    """Return a fit of the registered sequential model to the small trial."""
    table = ba.read_sessions(trial, ROLES)
    return ba.fit_model(ba.load_model("mediation/sequential"), ba.Study(table, **NAMES), seed=1, settings=QUICK)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def within(trial: pd.DataFrame) -> ba.Fit:
    """Return a fit of mediation within patients, with slopes that vary together."""
    table = ba.read_sessions(trial, ROLES)
    columns = {"predictor": "stress", "mediator": "alliance", "outcome": "score"}
    return ba.fit_model(
        ba.load_model("mediation/within-person"), ba.Study(table, columns=columns), seed=1, settings=QUICK
    )


def test_every_way_is_found(sequential: ba.Fit) -> None:
    """All subsets of the mediators, in their order, are ways from treatment to outcome."""
    assert sequential.design is not None
    paths = find_paths(sequential.design, "condition", "depression_post")
    mediators = ("alliance_early", "alliance_change", "inhibition_change")
    names = {path.name for path in paths}
    expected = set()
    for bits in range(8):
        chosen = [m for i, m in enumerate(mediators) if bits >> i & 1]
        expected.add(" -> ".join(["condition[MBCT]", *chosen, "depression_post"]))
    assert names == expected
    assert {path.scope for path in paths} == {"population"}


def test_effects_are_those_of_the_models_own_estimands(sequential: ba.Fit) -> None:
    """Products stated in the model file are the paths found, draw by draw."""
    found = ba.mediation_effects(sequential, "condition", outcome="depression_post").draws["value"]
    stated = sequential.data["estimands"].to_dataset()["value"]
    for name, path in (
        ("by_alliance", "condition[MBCT] -> alliance_change -> depression_post"),
        ("by_inhibition", "condition[MBCT] -> inhibition_change -> depression_post"),
        ("sequential", "condition[MBCT] -> alliance_change -> inhibition_change -> depression_post"),
    ):
        np.testing.assert_allclose(found.sel(estimand=path), stated.sel(estimand=name), rtol=1e-12)


def test_paths_add_up_to_the_reduced_form(sequential: ba.Fit) -> None:
    """Direct and indirect effects add up to (I - B)^-1 of the system, which knows nothing of paths."""
    assert sequential.design is not None
    found = ba.mediation_effects(sequential, "condition", outcome="depression_post").draws["value"]
    b = sequential.data["posterior"]["b"]
    order = ["alliance_early", "alliance_change", "inhibition_change", "depression_post"]
    study = {"inhibition_change": "iip_change", "depression_post": "post"}
    labels = set(map(str, b["coef"].values))

    def slope(target: str, source: str, chain: int, draw: int) -> float:
        label = f"{study.get(target, target)}, {study.get(source, source)}"
        return float(b.sel(coef=label)[chain, draw]) if label in labels else 0.0

    for chain, draw in ((0, 3), (1, 77)):
        matrix = np.array([[slope(t, s, chain, draw) for s in order] for t in order])
        gamma = np.array([slope(t, "arm[MBCT]", chain, draw) for t in order])
        total = np.linalg.solve(np.eye(4) - matrix, gamma)[-1]
        assert float(found.sel(estimand="total")[chain, draw]) == pytest.approx(total, rel=1e-10)
        direct, indirect = (float(found.sel(estimand=name)[chain, draw]) for name in ("direct", "indirect"))
        assert direct + indirect == pytest.approx(total, rel=1e-10)
        assert direct == pytest.approx(gamma[-1], rel=1e-12)


def test_slopes_that_vary_together_count_their_covariance(within: ba.Fit) -> None:
    """Within patients the effect is the estimand with the covariance; means of the predictor go by the means alone."""
    found = ba.mediation_effects(within, "predictor", outcome="outcome")
    stated = within.data["estimands"].to_dataset()["value"]
    name = "predictor -> mediator -> outcome (within_patient)"
    np.testing.assert_allclose(
        found.draws["value"].sel(estimand=name), stated.sel(estimand="indirect_effect"), rtol=1e-12
    )
    np.testing.assert_allclose(
        found.draws["value"].sel(estimand="total (within_patient)"), stated.sel(estimand="total"), rtol=1e-12
    )
    # the outcome reads deviations of the mediator alone: what lies between patients does not go through it
    assert not [path for path in found.paths if path.scope == "between_patient" and len(path.edges) > 1]
    table = found.table()
    assert table.loc[table["name"] == "share mediated (within_patient)", "mean"].isna().all()
    assert {"r_hat", "ess_bulk", "mcse"} <= set(table.columns)


def test_effects_of_units_are_products_of_their_slopes(within: ba.Fit) -> None:
    """A patient's indirect effect is the product of the slopes of that patient, draw by draw."""
    found = ba.unit_effects(within, "predictor", outcome="outcome", factor="patient")
    posterior = with_effects(within)
    effects = ba.draw_effects(within)["u_patient"] if "u_patient" not in posterior else posterior["u_patient"]
    a, b = "alliance, within(stress, patient)", "score, within(alliance, patient)"
    expected = 1.0
    for label in (a, b):
        expected = expected * (posterior["b"].sel(coef=label) + effects.sel(patient_effect=label))
    got = found.sel(path="predictor -> mediator -> outcome")
    np.testing.assert_allclose(got.sel(patient="P05"), expected.sel(patient="P05"), rtol=1e-12)
    with pytest.raises(ba.FitError, match="Unknown grouping factor 'therapist'"):
        ba.unit_effects(within, "predictor", outcome="outcome", factor="therapist")


def test_moderated_slopes_are_taken_at_stated_values(trial: pd.DataFrame) -> None:
    """Slopes are sums over products; unstated moderators are at their means over the rows of the outcome."""
    table = ba.read_sessions(trial, ROLES)
    spec = model(equation("iip_change", "arm * pre"), equation("post", "iip_change * cohesion + arm"))
    fit = ba.fit_model(spec, ba.Study(table, reference={"arm": "TAU"}), seed=1, settings=QUICK)
    b = fit.data["posterior"]["b"]
    found = ba.mediation_effects(fit, "arm", outcome="post", at={"pre": 20.0, "cohesion": 4.5}).draws["value"]
    first = b.sel(coef="iip_change, arm[MBCT]") + 20 * b.sel(coef="iip_change, arm[MBCT]:pre")
    second = b.sel(coef="post, iip_change") + 4.5 * b.sel(coef="post, iip_change:cohesion")
    got = found.sel(estimand="arm[MBCT] -> iip_change -> post")
    np.testing.assert_allclose(got, first * second, rtol=1e-9, atol=1e-12)
    means = ba.mediation_effects(fit, "arm", outcome="post").draws["value"]
    people = trial.groupby("pid").first()
    same = {"pre": float(people["pre"].mean()), "cohesion": float(people["cohesion"].mean())}
    again = ba.mediation_effects(fit, "arm", outcome="post", at=same).draws["value"]
    np.testing.assert_allclose(means, again, rtol=1e-10)


def test_slopes_that_depend_on_what_the_predictor_changes_are_refused(trial: pd.DataFrame) -> None:
    """Treatment times mediator: no products add up to the total, whatever is held; the way out is named."""
    table = ba.read_sessions(trial, ROLES)
    spec = model(equation("iip_change", "arm * pre"), equation("post", "arm * iip_change"))
    fit = ba.fit_model(spec, ba.Study(table, reference={"arm": "TAU"}), seed=1, settings=QUICK)
    for at in ({}, {"arm": "TAU"}, {"arm": "MBCT", "iip_change": 0.0}):
        with pytest.raises(ba.FitError, match=r"depends on 'arm', the predictor itself: .*counterfactual_effects\(fit"):
            ba.mediation_effects(fit, "arm", outcome="post", at=at)
    with pytest.raises(ba.FitError, match=r"depends on 'iip_change', what 'arm' changes"):
        ba.unit_effects(fit, "arm", outcome="post", factor="patient")


def test_standardised_effects_are_in_sds(within: ba.Fit, trial: pd.DataFrame) -> None:
    """Every effect is multiplied by the SD of the predictor and divided by that of the outcome; shares stay."""
    plain, standard = (
        ba.mediation_effects(within, "predictor", outcome="outcome", standardise=s) for s in (False, True)
    )
    ratio = standard.draws["value"].sel(estimand="direct (within_patient)") / plain.draws["value"].sel(
        estimand="direct (within_patient)"
    )
    np.testing.assert_allclose(ratio, trial["stress"].std() / trial["score"].std(), rtol=1e-10)
    share = "share mediated (within_patient)"
    np.testing.assert_allclose(standard.draws["value"].sel(estimand=share), plain.draws["value"].sel(estimand=share))
    assert "standardised" in repr(standard)


def test_a_predictor_of_patients_does_not_go_through_deviations(trial: pd.DataFrame) -> None:
    """2-1-1: what is constant within patients reaches the outcome by the mediator's means, not its deviations."""
    parts = "within(alliance, patient) + between(alliance, patient)"
    spec = model(
        equation("alliance", "pre + (1 | patient)", "session"),
        equation("score", f"{parts} + pre + (1 | patient)", "session"),
    )
    fit = ba.fit_model(spec, ba.read_sessions(trial, ROLES), seed=1, settings=QUICK)
    found = ba.mediation_effects(fit, "pre", outcome="score")
    assert [(path.name, path.scope) for path in found.paths] == [
        ("pre -> score", "population"),
        ("pre -> alliance -> score", "between_patient"),
    ]
    b = fit.data["posterior"]["b"]
    product = b.sel(coef="alliance, pre") * b.sel(coef="score, between(alliance, patient)")
    draws = found.draws["value"]
    np.testing.assert_allclose(draws.sel(estimand="pre -> alliance -> score"), product, rtol=1e-12)
    direct = b.sel(coef="score, pre")
    np.testing.assert_allclose(draws.sel(estimand="direct"), direct, rtol=1e-12)
    np.testing.assert_allclose(draws.sel(estimand="total"), direct + product, rtol=1e-9)


def test_what_is_read_as_it_is_counts_within_and_between(trial: pd.DataFrame) -> None:
    """A session's stress moves the outcome as it is: its direct effect is part of the total of either level."""
    spec = model(
        equation("alliance", "stress + (1 | patient)", "session"),
        equation("score", "stress + within(alliance, patient) + between(alliance, patient) + (1 | patient)", "session"),
    )
    fit = ba.fit_model(spec, ba.read_sessions(trial, ROLES), seed=1, settings=QUICK)
    draws = ba.mediation_effects(fit, "stress", outcome="score").draws["value"]
    b = fit.data["posterior"]["b"]
    direct = b.sel(coef="score, stress")
    for how in ("within", "between"):
        indirect = b.sel(coef="alliance, stress") * b.sel(coef=f"score, {how}(alliance, patient)")
        np.testing.assert_allclose(draws.sel(estimand=f"direct ({how}_patient)"), direct, rtol=1e-12)
        np.testing.assert_allclose(draws.sel(estimand=f"total ({how}_patient)"), direct + indirect, rtol=1e-9)
    assert not [name for name in draws["estimand"].values if "population" in str(name)]


def test_slopes_of_now_and_of_before_are_two(trial: pd.DataFrame) -> None:
    """A mediator read at this session and at the one before has two slopes, and the picture shows both."""
    spec = model(
        equation("alliance", "stress + (1 | patient)", "session"),
        equation("score", "stress + alliance + lag(alliance) + (1 | patient)", "session"),
    )
    fit = ba.fit_model(spec, ba.read_sessions(trial, ROLES), seed=1, settings=QUICK)
    slopes = path_slopes(fit, ba.mediation_effects(fit, "stress", outcome="score"))
    b = fit.data["posterior"]["b"]
    for way, label in (("", "score, alliance"), ("a session later", "score, lag(alliance)")):
        np.testing.assert_allclose(slopes["alliance", "score", way], b.sel(coef=label).values.ravel())


def test_moderators_are_found_in_calls_and_by_their_names_only(trial: pd.DataFrame) -> None:
    """A centred mediator times the predictor is a moderated path; a stated name that multiplies nothing is refused."""
    table = ba.read_sessions(trial, ROLES)
    spec = model(
        equation("alliance", "stress + (1 | patient)", "session"),
        equation("score", "centred(stress) * centred(alliance) + (1 | patient)", "session"),
    )
    fit = ba.fit_model(spec, table, seed=1, settings=QUICK)
    with pytest.raises(ba.FitError, match=r"depends on 'centred\(alliance\)', what 'stress' changes"):
        ba.mediation_effects(fit, "stress", outcome="score")
    spec = model(
        equation("alliance", "stress + (1 | patient)", "session"),
        equation("score", "stress + alliance * centred(pre) + (1 | patient)", "session"),
    )
    fit = ba.fit_model(spec, table, seed=1, settings=QUICK)
    with pytest.raises(ba.FitError, match=r"depends on 'pre'. State the value of 'centred\(pre\)', in which it stands"):
        ba.mediation_effects(fit, "stress", outcome="score", at={"pre": 2.0})
    with pytest.raises(ba.FitError, match=r"depends on 'per'. What can be stated: 'centred\(pre\)'"):
        ba.mediation_effects(fit, "stress", outcome="score", at={"per": 2.0})


def test_what_is_no_path_is_said(sequential: ba.Fit, trial: pd.DataFrame) -> None:
    """Unknown names, no way from one to the other, links that are not linear, bent predictors."""
    for arguments, message in (
        (("conditoin", "depression_post"), "Unknown predictor 'conditoin'.*Did you mean 'condition'"),
        (("condition", "depression"), "Unknown outcome 'depression'"),
        (("inhibition_change", "alliance_change"), "No path leads from 'inhibition_change' to 'alliance_change'"),
    ):
        with pytest.raises(ba.FitError, match=message):
            ba.mediation_effects(sequential, arguments[0], outcome=arguments[1])
    table = ba.read_sessions(trial, ROLES)
    curved = model(equation("iip_change", "pre"), equation("dropout", "iip_change + pre", family="bernoulli"))
    settings = ba.SamplerSettings(draws=20, tune=20, chains=2, progress="off")
    fit = ba.fit_model(curved, table, seed=1, settings=settings)
    with pytest.raises(ba.FitError, match=r"through 'dropout' \(bernoulli\) is no effect on any scale"):
        ba.mediation_effects(fit, "pre", outcome="dropout")
    bent = model(equation("iip_change", "pre"), equation("post", "quadratic(iip_change) + pre"))
    fit = ba.fit_model(bent, table, seed=1, settings=QUICK)
    with pytest.raises(ba.FitError, match=r"quadratic\(iip_change\) in the equation of 'post' is no straight line"):
        ba.mediation_effects(fit, "pre", outcome="post")


def test_the_last_outcome_is_meant_where_there_is_one(sequential: ba.Fit) -> None:
    """The outcome that predicts no other need not be stated."""
    assert ba.mediation_effects(sequential, "condition").outcome == "depression_post"
    names = [path.name for path in ba.mediation_effects(sequential, "condition").paths]
    assert all(len(a.split(" -> ")) <= len(b.split(" -> ")) for a, b in pairwise(names))


def test_the_diagram_has_every_step_once(sequential: ba.Fit) -> None:
    """Ten steps between five variables, each with its mean; nothing is drawn twice."""
    found = ba.mediation_effects(sequential, "condition")
    slopes = path_slopes(sequential, found)
    assert len(slopes) == 10
    b = sequential.data["posterior"]["b"]
    np.testing.assert_allclose(
        slopes["alliance_change", "depression_post", ""], b.sel(coef="post, alliance_change").values.ravel()
    )
    texts = [text.get_text() for text in ba.plot_paths(sequential, found).axes[0].texts]
    assert sum("[" in text and "," in text for text in texts) == 10
    assert {"arm\n[MBCT]", "alliance\nearly", "post"} <= set(texts), "the study's names"


def test_the_index_of_moderated_mediation(trial: pd.DataFrame) -> None:
    """One moderated step: the product of its change with the other steps; two: the values compared must be stated."""
    table = ba.read_sessions(trial, ROLES)
    spec = model(equation("iip_change", "arm * pre"), equation("post", "iip_change + arm + pre"))
    fit = ba.fit_model(spec, ba.Study(table, reference={"arm": "TAU"}), seed=1, settings=QUICK)
    index = ba.moderated_mediation(fit, "arm", moderator="pre")
    b = fit.data["posterior"]["b"]
    product = b.sel(coef="iip_change, arm[MBCT]:pre") * b.sel(coef="post, iip_change")
    np.testing.assert_allclose(index.draws["value"].sel(estimand="indirect"), product, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(index.draws["value"].sel(estimand="direct"), 0, atol=1e-12)
    assert "share mediated" not in set(index.table()["name"])
    assert "pre = 1.0 less 0.0" in repr(index)
    ten = ba.moderated_mediation(fit, "arm", moderator="pre", values=(20, 30)).draws["value"]
    np.testing.assert_allclose(ten.sel(estimand="total"), 10 * index.draws["value"].sel(estimand="total"), rtol=1e-7)
    with pytest.raises(ba.FitError, match="No slope on a path from 'pre' to 'post' depends on 'iip_change'"):
        ba.moderated_mediation(fit, "pre", moderator="iip_change", at={"arm": "TAU"})
    both = model(equation("iip_change", "arm * pre"), equation("post", "iip_change * pre + arm"))
    fit = ba.fit_model(both, ba.Study(table, reference={"arm": "TAU"}), seed=1, settings=QUICK)
    with pytest.raises(ba.FitError, match=r"no straight lines in 'pre'.*values=\(low, high\)"):
        ba.moderated_mediation(fit, "arm", moderator="pre")
    high, low = (ba.mediation_effects(fit, "arm", at={"pre": at}).draws["value"] for at in (30.0, 20.0))
    found = ba.moderated_mediation(fit, "arm", moderator="pre", values=(20, 30)).draws["value"]
    np.testing.assert_allclose(found.sel(estimand="indirect"), (high - low).sel(estimand="indirect"), rtol=1e-9)
    with pytest.raises(ba.FitError, match="Unknown moderator 'pree'"):
        ba.moderated_mediation(fit, "arm", moderator="pree")
    with pytest.raises(ba.FitError, match="No slope on a path from 'arm' to 'post' depends on 'arm'"):
        ba.moderated_mediation(fit, "arm", moderator="arm")


def test_a_mediator_measured_after_the_outcome_is_refused(trial: pd.DataFrame) -> None:
    """What declared variables say of time is held against every path, whatever slope the data would give."""
    variables = {"alliance_late": "window(alliance, 5, 8)", "score_mid": "window(score, 2, 4)"}
    spec = model(equation("alliance_late", "arm"), equation("score_mid", "alliance_late + arm"), variables=variables)
    table = ba.read_sessions(trial, ROLES)
    fit = ba.fit_model(spec, ba.Study(table, reference={"arm": "TAU"}), seed=1, settings=QUICK)
    message = (
        r"alliance_late is measured up to session 8, score_mid only up to session 4: what comes later carries no effect"
    )
    with pytest.raises(ba.FitError, match=message):
        ba.mediation_effects(fit, "arm")
    with pytest.raises(ba.FitError, match=message):
        ba.counterfactual_effects(fit, "arm", values=("TAU", "MBCT"))


def test_slopes_within_and_between_stand_apart_in_the_diagram(within: ba.Fit) -> None:
    """The deviation's slope and that of the mean are not added: they answer different questions."""
    found = ba.mediation_effects(within, "predictor", outcome="outcome")
    slopes = path_slopes(within, found)
    b = within.data["posterior"]["b"]
    for way in ("within", "between"):
        own = b.sel(coef=f"score, {way}(stress, patient)").values.ravel()
        np.testing.assert_allclose(slopes["predictor", "outcome", f"{way} patient"], own)
    texts = [text.get_text() for text in ba.plot_paths(within, found).axes[0].texts]
    assert any("within patient: " in text and "between patient: " in text for text in texts)
    names = set(found.table()["name"])
    assert "indirect (within_patient)" in names
    assert "indirect (between_patient)" not in names
