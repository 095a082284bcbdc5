"""Worlds with the treatment set: products of slopes where all is linear, integrals where it is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import special

import bayes_alliance as ba
from bayes_alliance.expectation.effects import with_effects
from tests.conftest import ROLES
from tests.design.test_modelled import equation, model
from tests.posterior.test_mediation import NAMES, QUICK


def test_linear_effects_are_products_of_slopes(trial: pd.DataFrame) -> None:
    """Without products of treatment and mediators a draw's effects are those along paths, by first mediator."""
    table = ba.read_sessions(trial, ROLES)
    fit = ba.fit_model(ba.load_model("mediation/sequential"), ba.Study(table, **NAMES), seed=1, settings=QUICK)  # type: ignore[arg-type]
    found = ba.counterfactual_effects(fit, "condition", values=("TAU", "MBCT"), draws=200)
    assert found.mediators == ("alliance_early", "alliance_change", "inhibition_change")
    paths = ba.mediation_effects(fit, "condition", outcome="depression_post").draws["value"]
    draws = found.draws["value"]
    for name in ("direct", "indirect", "total"):
        np.testing.assert_allclose(draws.sel(estimand=name), paths.sel(estimand=name), rtol=1e-8, atol=1e-9)
    names = [str(n) for n in paths["estimand"].values if " -> " in str(n)]
    for mediator in found.mediators:
        own = [name for name in names if name.split(" -> ")[1] == mediator]
        np.testing.assert_allclose(
            draws.sel(estimand=f"through {mediator}"), paths.sel(estimand=own).sum("estimand"), rtol=1e-8, atol=1e-9
        )
    assert "Nothing unmeasured" in repr(found)
    assert not found.held  # nothing multiplies, and both ways to split the total are one
    with pytest.raises(ba.FitError, match=r"'arm' has no level 'CBT'; it has 'TAU', 'MBCT'"):
        ba.counterfactual_effects(fit, "condition", values=("TAU", "CBT"))


def people(n: int) -> pd.DataFrame:
    """Return SYNTHETIC patients: a mediator that treatment raises, and outcomes that both move, with their product."""
    rng = np.random.default_rng(8)
    x = np.tile([0.0, 1.0], n // 2)
    z = rng.normal(size=n)
    m = 1 + 0.8 * x + 0.4 * z + rng.normal(0, 1, n)
    y = 2 + 0.5 * x + 0.7 * m + 0.6 * x * m + 0.3 * z + rng.normal(0, 1, n)
    left = (rng.random(n) < special.expit(-1 + 0.5 * x + 0.9 * m)).astype(float)
    return pd.DataFrame({"patient": [f"p{i}" for i in range(n)], "x": x, "z": z, "m": m, "y": y, "left": left})


def test_products_of_treatment_and_mediator() -> None:
    """Direct c + d E[M(0)], through the mediator a (b + d): VanderWeele (2015, chapter 2), to Monte Carlo error."""
    frame = people(400)
    spec = model(equation("m", "x + z"), equation("y", "x * m + z"))
    fit = ba.fit_model(spec, ba.read_sessions(frame, {"patient": "patient"}), seed=1, settings=QUICK)
    found = ba.counterfactual_effects(fit, "x", values=(0, 1), draws=200).draws["value"]
    b = fit.data["posterior"]["b"]

    def slope(label: str) -> np.ndarray:
        return np.asarray(b.sel(coef=label).values)

    untreated = slope("m, Intercept") + slope("m, z") * frame["z"].mean()
    direct = slope("y, x") + slope("y, x:m") * untreated
    through = slope("m, x") * (slope("y, m") + slope("y, x:m"))
    # residuals of 400 mediators have a mean of their own in every draw
    noise = np.abs(slope("y, x:m")).mean() * fit.data["posterior"]["sigma"].values[..., 0].mean() / np.sqrt(400)
    apart = found.sel(estimand="direct[x = 0]").values - direct
    assert abs(apart.mean()) < 4 * noise / np.sqrt(apart.size)
    assert apart.std() < 2 * noise
    np.testing.assert_allclose(found.sel(estimand="through m[x = 1]").values, through, rtol=1e-8)
    np.testing.assert_allclose(found.sel(estimand="indirect[x = 1]").values, through, rtol=1e-8)
    # the other way: through the mediator a b, and the direct effect where mediators are as with treatment
    pure = slope("m, x") * slope("y, m")
    np.testing.assert_allclose(found.sel(estimand="through m[x = 0]").values, pure, rtol=1e-8)
    np.testing.assert_allclose(
        found.sel(estimand="direct[x = 1]") - found.sel(estimand="direct[x = 0]"), through - pure, rtol=1e-7, atol=1e-9
    )
    np.testing.assert_allclose(found.sel(estimand="through m").values, (through + pure) / 2, rtol=1e-8)
    total = found.sel(estimand="direct") + found.sel(estimand="indirect")
    np.testing.assert_allclose(found.sel(estimand="total"), total, rtol=1e-10)


def test_probabilities_are_integrals_over_the_mediator() -> None:
    """Through a logit: expected outcomes are integrals over the mediator's distribution, by quadrature."""
    frame = people(400)
    spec = model(equation("m", "x + z"), equation("left", "x + m", family="bernoulli"))
    settings = ba.SamplerSettings(draws=100, tune=300, chains=2, progress="off")
    fit = ba.fit_model(spec, ba.read_sessions(frame, {"patient": "patient"}), seed=1, settings=settings)
    found = ba.counterfactual_effects(fit, "x", values=(0, 1), draws=200).draws["value"]
    b = fit.data["posterior"]["b"].stack(sample=("chain", "draw"))
    sigma = fit.data["posterior"]["sigma"].stack(sample=("chain", "draw")).values[0]
    nodes, weights = np.polynomial.hermite_e.hermegauss(31)

    def slope(label: str) -> np.ndarray:
        return np.asarray(b.sel(coef=label).values)[:, None, None]

    def probability(outcome_x: float, mediator_x: float) -> np.ndarray:
        mean = slope("m, Intercept") + slope("m, x") * mediator_x + slope("m, z") * frame["z"].to_numpy()[:, None]
        m = mean + sigma[:, None, None] * nodes
        p = special.expit(slope("left, Intercept") + slope("left, x") * outcome_x + slope("left, m") * m)
        return np.asarray((p * weights / weights.sum()).sum(axis=2).mean(axis=1))

    for name, expected in (
        ("direct[x = 0]", probability(1, 0) - probability(0, 0)),
        ("through m[x = 1]", probability(1, 1) - probability(1, 0)),
        ("direct[x = 1]", probability(1, 1) - probability(0, 1)),
        ("through m[x = 0]", probability(0, 1) - probability(0, 0)),
        ("total", probability(1, 1) - probability(0, 0)),
    ):
        apart = found.sel(estimand=name).stack(sample=("chain", "draw")).values - expected
        assert abs(apart.mean()) < 4 * apart.std() / np.sqrt(len(apart)), name
        assert apart.std() < 0.02, name
    with pytest.raises(ba.FitError, match=r"through 'left' \(bernoulli\) is no effect on any scale"):
        ba.mediation_effects(fit, "x", outcome="left")


def test_what_rows_do_not_tell_is_refused(trial: pd.DataFrame) -> None:
    """Means of patients, lags, rows of different units, correlated residuals."""
    table = ba.read_sessions(trial, ROLES)
    inside = model(
        equation("alliance", "stress + (1 | patient)", "session"),
        equation("score", "within(alliance, patient) + stress + (1 | patient)", "session"),
    )
    fit = ba.fit_model(inside, table, seed=1, settings=QUICK)
    with pytest.raises(
        ba.FitError, match=r"'score' reads other rows \(within\).*Follow its paths with mediation_effects"
    ):
        ba.counterfactual_effects(fit, "stress", values=(2, 3))
    plain = model(equation("alliance", "stress", "session"), equation("score", "alliance + stress", "session"))
    simple = ba.fit_model(plain, table, seed=1, settings=QUICK)
    with pytest.raises(ba.FitError, match="'stress' is a number; 'low' cannot be set"):
        ba.counterfactual_effects(simple, "stress", values=("low", "high"))


def test_slopes_that_vary_over_therapists() -> None:
    """With correlated slopes of therapists the effect through the mediator has their covariance, by new draws."""
    frame = people(400)
    rng = np.random.default_rng(3)
    u = rng.multivariate_normal([0, 0], [[0.25, 0.2], [0.2, 0.25]], 40)
    who = np.arange(400) // 10
    frame["m"] += u[who, 0] * frame["x"]
    frame["y"] = 1 + 0.3 * frame["x"] + (0.6 + u[who, 1]) * frame["m"] + rng.normal(0, 1, 400)
    frame["therapist"] = [f"t{i:02d}" for i in who]
    spec = model(
        equation("m", "x + (1 + x | therapist)"),
        equation("y", "x + m + (1 + m | therapist)"),
        groups={"therapist": {"correlate": ["m", "y"]}},
    )
    table = ba.read_sessions(frame, {"patient": "patient", "therapist": "therapist"})
    fit = ba.fit_model(spec, table, seed=1, settings=ba.SamplerSettings(draws=500, chains=2, progress="off"))
    drawn = ba.counterfactual_effects(fit, "x", values=(0, 1), draws=1000).draws["value"].sel(estimand="through m")
    path = ba.mediation_effects(fit, "x", outcome="y").draws["value"].sel(estimand="x -> m -> y")
    b = fit.data["posterior"]["b"]
    naive = b.sel(coef="m, x") * b.sel(coef="y, m")
    apart = (drawn - path).values
    assert abs(apart.mean()) < 4 * apart.std() / np.sqrt(apart.size)
    assert abs(float((naive - path).mean())) > 8 * apart.std() / np.sqrt(apart.size)


def test_shifts_add_up_along_the_last_mediator(trial: pd.DataFrame) -> None:
    """Interventional, all linear: a mediator's shift is all paths that reach the outcome from it; nothing depends."""
    table = ba.read_sessions(trial, ROLES)
    fit = ba.fit_model(ba.load_model("mediation/sequential"), ba.Study(table, **NAMES), seed=1, settings=QUICK)  # type: ignore[arg-type]
    found = ba.counterfactual_effects(fit, "condition", values=("TAU", "MBCT"), kind="interventional", draws=200)
    draws = found.draws["value"]
    paths = ba.mediation_effects(fit, "condition").draws["value"]
    names = [str(n) for n in paths["estimand"].values if " -> " in str(n)]
    for mediator in found.mediators:
        own = [name for name in names if name.split(" -> ")[-2] == mediator]
        np.testing.assert_allclose(
            draws.sel(estimand=f"shift of {mediator}"), paths.sel(estimand=own).sum("estimand"), rtol=1e-7, atol=1e-9
        )
    np.testing.assert_allclose(draws.sel(estimand="dependence"), 0, atol=1e-9)
    for name in ("direct", "indirect", "total"):
        np.testing.assert_allclose(draws.sel(estimand=name), paths.sel(estimand=name), rtol=1e-7, atol=1e-9)
    assert "under the other" not in repr(found)
    assert "under the other" in repr(ba.counterfactual_effects(fit, "condition", values=("TAU", "MBCT"), draws=20))


@pytest.fixture(scope="module")
def entangled() -> ba.Fit:
    """Return a fit to SYNTHETIC patients whose second mediator follows the first, more so with treatment."""
    rng = np.random.default_rng(12)
    n = 600
    x = np.tile([0.0, 1.0], n // 2)
    m1 = 0.5 + 0.8 * x + rng.normal(0, 1, n)
    m2 = 0.3 * x + 0.4 * m1 + 0.5 * x * m1 + rng.normal(0, 1, n)
    y = 0.2 * x + 0.5 * m1 + 0.6 * m2 + 0.4 * m1 * m2 + rng.normal(0, 1, n)
    frame = pd.DataFrame({"patient": [f"p{i}" for i in range(n)], "x": x, "m1": m1, "m2": m2, "y": y})
    spec = model(equation("m1", "x"), equation("m2", "x * m1"), equation("y", "x + m1 * m2"))
    return ba.fit_model(spec, ba.read_sessions(frame, {"patient": "patient"}), seed=1, settings=QUICK)


def coefficient(fit: ba.Fit, label: str) -> np.ndarray:
    """Return the draws of a coefficient, shape (chain, draw)."""
    return np.asarray(fit.data["posterior"]["b"].sel(coef=label).values)


def is_centred(apart: np.ndarray) -> bool:
    """Say whether differences of draws are Monte Carlo error around 0."""
    return bool(abs(apart.mean()) < 4 * apart.std() / np.sqrt(apart.size))


def test_dependence_is_what_mediators_change_together(entangled: ba.Fit) -> None:
    """Of a product of mediators, the change of their covariance: h e s^2, where treatment adds e to the slope."""
    found = ba.counterfactual_effects(entangled, "x", values=(0, 1), kind="interventional", draws=200).draws["value"]
    variance = np.asarray(entangled.data["posterior"]["sigma"].sel(sigma_coef="m1").values) ** 2
    more, together = coefficient(entangled, "m2, x:m1"), coefficient(entangled, "y, m1:m2")
    assert is_centred(found.sel(estimand="dependence").values - more * together * variance)
    assert found.sel(estimand="dependence").values.mean() > 0.1
    total = found.sel(estimand=["direct", "shift of m1", "shift of m2", "dependence"]).sum("estimand")
    np.testing.assert_allclose(found.sel(estimand="total"), total, rtol=1e-9)


@pytest.mark.slow
def test_the_finer_split_depends_on_the_two_worlds(entangled: ba.Fit) -> None:
    """Through both mediators: (d + e) (b2 a + h (E[M1] a - (1 - r) s^2)) at the stated correlation r."""
    b = {label: coefficient(entangled, label) for label in entangled.data["posterior"]["coef"].values}
    a, mean, slope = b["m1, x"], b["m1, Intercept"], b["m2, m1"] + b["m2, x:m1"]
    variance = np.asarray(entangled.data["posterior"]["sigma"].sel(sigma_coef="m1").values) ** 2
    seen = {}
    for r in (0.0, 0.5, 1.0):
        effects = ba.counterfactual_effects(entangled, "x", values=(0, 1), cross_world=r, draws=200)
        found = effects.draws["value"]
        expected = slope * (b["y, m2"] * a + b["y, m1:m2"] * (mean * a - (1 - r) * variance))
        assert is_centred(found.sel(estimand="through m1 and m2[x = 1]").values - expected), r
        seen[r] = found
        assert f"correlate at {r:g}, which no data tell" in repr(effects)
    whole = ba.counterfactual_effects(entangled, "x", values=(0, 1), draws=200).draws["value"]
    for where in ("", "[x = 0]", "[x = 1]"):
        parts = seen[1.0].sel(estimand=[f"through m1 and m2{where}", f"through m1 alone{where}"]).sum("estimand")
        np.testing.assert_allclose(whole.sel(estimand=f"through m1{where}"), parts, rtol=1e-7, atol=1e-9)
    assert float((seen[1.0] - seen[0.0]).sel(estimand="through m1 and m2[x = 1]").mean()) > 0.1


def test_worlds_that_cannot_be_stated(entangled: ba.Fit) -> None:
    """Correlations outside 0 to 1, another kind, other numbers of mediators."""
    for changes, message in (
        ({"kind": "natrual"}, "Unknown kind 'natrual'.*Did you mean 'natural'"),
        ({"cross_world": 1.5}, r"cross_world = 1.5 is out of range. It is a correlation from 0 to 1"),
        ({"cross_world": 0.5, "kind": "interventional"}, "suppose no two worlds"),
        ({"cross_world": 0.5, "outcome": "m2"}, "the first of two mediators; there are 1"),
    ):
        with pytest.raises(ba.FitError, match=message):
            ba.counterfactual_effects(entangled, "x", values=(0, 1), **changes)  # type: ignore[arg-type]


def with_gaps(n: int) -> pd.DataFrame:
    """Return SYNTHETIC patients of whom some lack the mediator, and others the outcome, by what z says."""
    frame, rng = people(n), np.random.default_rng(14)
    frame["y"] = 2 + 0.5 * frame["x"] + 0.7 * frame["m"] + 0.3 * frame["z"] + rng.normal(0, 1, n)
    frame.loc[rng.random(n) < special.expit(-1 + frame["z"]), "m"] = np.nan
    frame.loc[rng.random(n) < special.expit(-1.5 + frame["z"]), "y"] = np.nan
    return frame


def test_modelled_gaps_take_part() -> None:
    """With missing mediators modelled: a draw's effects are products of slopes, and all patients are averaged over."""
    frame = with_gaps(400)
    spec = model(
        equation("m", "x + z", missing="model"),
        equation("y", "x + mi(m) + z", missing="model"),
    )
    settings = ba.SamplerSettings(draws=300, tune=500, chains=2, progress="off")
    fit = ba.fit_model(spec, ba.read_sessions(frame, {"patient": "patient"}), seed=1, settings=settings)
    b = fit.data["posterior"]["b"]
    product = b.sel(coef="m, x") * b.sel(coef="y, mi(m)")
    for kind, name in (("natural", "through m"), ("interventional", "shift of m")):
        found = ba.counterfactual_effects(fit, "x", values=(0, 1), kind=kind, draws=600).draws["value"]  # type: ignore[arg-type]
        np.testing.assert_allclose(found.sel(estimand=name), product, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(found.sel(estimand="direct"), b.sel(coef="y, x"), rtol=1e-8, atol=1e-9)


def test_true_mediators_move_a_bent_outcome_and_their_errors_do_not() -> None:
    """Measured with error, read through a logit: integrals over the true mediator's distribution, by quadrature."""
    frame, rng = people(400), np.random.default_rng(15)
    frame["m"] += rng.normal(0, 0.8, len(frame))
    frame["se"] = 0.8
    spec = model(equation("m", "x + z", error="se"), equation("left", "x + mi(m)", family="bernoulli"))
    settings = ba.SamplerSettings(draws=150, tune=500, chains=2, progress="off")
    fit = ba.fit_model(spec, ba.read_sessions(frame, {"patient": "patient"}), seed=1, settings=settings)
    found = ba.counterfactual_effects(fit, "x", values=(0, 1), draws=300).draws["value"]
    flat = with_effects(fit).stack(sample=("chain", "draw"))
    sigma = flat["sigma"].values[0][:, None, None]
    nodes, weights = np.polynomial.hermite_e.hermegauss(31)

    def slope(label: str) -> np.ndarray:
        return np.asarray(flat["b"].sel(coef=label).values)[:, None, None]

    def probability(mediator_x: float) -> np.ndarray:
        mean = slope("m, Intercept") + slope("m, x") * mediator_x + slope("m, z") * frame["z"].to_numpy()[:, None]
        p = special.expit(slope("left, Intercept") + slope("left, x") + slope("left, mi(m)") * (mean + sigma * nodes))
        return np.asarray((p * weights / weights.sum()).sum(axis=2).mean(axis=1))

    expected = probability(1) - probability(0)
    apart = found.sel(estimand="through m").stack(sample=("chain", "draw")).values - expected
    assert abs(apart.mean()) < 4 * apart.std() / np.sqrt(len(apart))
    assert apart.std() < 0.02


def test_ordered_covariates_count_by_their_steps() -> None:
    """mo() beside the mediator: effects are products of slopes; an ordered treatment moves along its own steps."""
    frame, rng = people(300), np.random.default_rng(16)
    frame["severity"] = rng.integers(0, 4, len(frame))
    frame["m"] += 0.4 * np.sqrt(frame["severity"])
    frame["y"] = 0.5 * frame["m"] + 0.2 * frame["severity"] + rng.normal(0, 1, len(frame))
    spec = model(equation("m", "x + mo(severity)"), equation("y", "x + m + mo(severity)"))
    settings = ba.SamplerSettings(draws=200, tune=400, chains=2, progress="off")
    fit = ba.fit_model(spec, ba.read_sessions(frame, {"patient": "patient"}), seed=1, settings=settings)
    b = fit.data["posterior"]["b"]
    found = ba.counterfactual_effects(fit, "x", values=(0, 1), draws=400).draws["value"]
    np.testing.assert_allclose(
        found.sel(estimand="through m"), b.sel(coef="m, x") * b.sel(coef="y, m"), rtol=1e-8, atol=1e-9
    )
    moved = ba.counterfactual_effects(fit, "severity", values=(0, 2), draws=400).draws["value"]
    way = fit.data["posterior"]["step_m_severity"].values[..., :2].sum(axis=2)
    expected = b.sel(coef="m, mo(severity)") * way * b.sel(coef="y, m")
    np.testing.assert_allclose(moved.sel(estimand="through m").values, expected.values, rtol=1e-8, atol=1e-9)


def test_residuals_are_those_of_the_treatment_that_is_set() -> None:
    """A mediator that varies more with treatment: integrals over its distribution in either arm, by quadrature."""
    frame, rng = people(400), np.random.default_rng(18)
    frame["arm"] = np.where(frame["x"] > 0, "B", "A")
    frame["m"] = 0.5 * frame["x"] + rng.normal(0, 1, 400) * np.where(frame["x"] > 0, 3.0, 0.3)
    frame["left"] = (rng.random(400) < special.expit(-1.5 + 0.8 * frame["m"])).astype(float)
    spec = model(equation("m", "arm", sigma="arm"), equation("left", "m", family="bernoulli"))
    settings = ba.SamplerSettings(draws=150, tune=400, chains=2, progress="off")
    table = ba.read_sessions(frame, {"patient": "patient"})
    fit = ba.fit_model(spec, ba.Study(table, reference={"arm": "A"}), seed=1, settings=settings)
    found = ba.counterfactual_effects(fit, "arm", values=("A", "B"), draws=300).draws["value"]
    flat = with_effects(fit).stack(sample=("chain", "draw"))
    nodes, weights = np.polynomial.hermite_e.hermegauss(61)

    def slope(label: str) -> np.ndarray:
        return np.asarray(flat["b"].sel(coef=label).values)[:, None]

    def probability(arm: int) -> np.ndarray:
        sigma = flat["sigma"].sel(sigma_coef=f"m, arm[{'AB'[arm]}]").values[:, None]
        m = slope("m, Intercept") + arm * slope("m, arm[B]") + sigma * nodes
        p = special.expit(slope("left, Intercept") + slope("left, m") * m)
        return np.asarray((p * weights / weights.sum()).sum(axis=1))

    apart = found.sel(estimand="total").stack(sample=("chain", "draw")).values - (probability(1) - probability(0))
    assert abs(apart.mean()) < 4 * apart.std() / np.sqrt(len(apart))
    assert apart.std() < 0.04


def test_what_reaches_the_outcome_one_way_only() -> None:
    """Full mediation by a factor, and no mediator at all; one mediator's shift and the direct effect add up."""
    frame = people(300)
    frame["arm"] = np.where(frame["x"] > 0, "B", "A")
    table = ba.read_sessions(frame, {"patient": "patient"})
    whole = model(equation("m", "arm + z"), equation("y", "m + z"))
    fit = ba.fit_model(whole, ba.Study(table, reference={"arm": "A"}), seed=1, settings=QUICK)
    found = ba.counterfactual_effects(fit, "arm", values=("A", "B"), kind="interventional", draws=100).draws["value"]
    total = found.sel(estimand="direct") + found.sel(estimand="indirect")
    np.testing.assert_allclose(found.sel(estimand="total"), total, atol=1e-9)
    fit = ba.fit_model(model(equation("y", "x + z")), table, seed=1, settings=QUICK)
    draws = ba.counterfactual_effects(fit, "x", values=(0, 1), draws=100).draws["value"]
    np.testing.assert_allclose(draws.sel(estimand="total"), draws.sel(estimand="direct"))
    assert not draws.sel(estimand="indirect").values.any()


def test_a_patient_set_into_an_arm_with_groups_gets_a_new_one() -> None:
    """With arm B every patient has a group, with arm A none: probabilities are integrals over its effect, or not."""
    frame = people(200)
    frame["arm"] = np.where(frame["x"] > 0, "B", "A")
    frame["g"] = np.where(frame["x"] > 0, [f"g{i % 10}" for i in range(200)], "")
    table = ba.read_sessions(frame, {"patient": "patient", "group": "g"})
    spec = model(equation("left", "arm + (0 + in_group | group)", family="bernoulli"))
    settings = ba.SamplerSettings(draws=100, tune=300, chains=2, progress="off")
    columns = {"in_group": "arm[B]"}
    fit = ba.fit_model(spec, ba.Study(table, columns=columns, reference={"arm": "A"}), seed=1, settings=settings)
    found = ba.counterfactual_effects(fit, "arm", values=("A", "B"), draws=200)
    posterior = with_effects(fit)
    b, sd = posterior["b"], posterior["sd_group"].values[..., 0]
    without, level = b.sel(coef="left, Intercept").values, b.values.sum(axis=-1)
    x, w = np.polynomial.hermite_e.hermegauss(101)
    inside = (special.expit(level[..., None] + sd[..., None] * x) * w).sum(axis=-1) / w.sum()
    expected = inside - special.expit(without)
    got = found.draws["value"].sel(estimand="total").values
    assert np.abs(got - expected).max() < 0.05
    assert (got - expected).mean() == pytest.approx(0.0, abs=4 * (got - expected).std() / np.sqrt(got.size))
    assert found.noise <= 0.01
    # the same by quadrature, to its last digits
    marginal = ba.marginal_effects(fit, "arm", values=["A", "B"])["difference"].squeeze().values
    np.testing.assert_allclose(marginal, expected, atol=1e-6)
    typical = ba.marginal_effects(fit, "arm", values=["A", "B"], groups="zero")["difference"].squeeze().values
    np.testing.assert_allclose(typical, special.expit(level) - special.expit(without), atol=1e-12)
