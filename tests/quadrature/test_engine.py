"""Draws of the quadrature engine against grids: of the posterior, and of effects given parameters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp

import bayes_alliance as ba
from bayes_alliance.errors import FitError
from bayes_alliance.fit.integrated import read_points
from bayes_alliance.quadrature import engine as quadrature_engine
from bayes_alliance.quadrature.choice import choose_engine, say_engine
from bayes_alliance.quadrature.effect_draws import draw_effects
from bayes_alliance.quadrature.engine import density_of, sample_integrated
from bayes_alliance.quadrature.parameters import first_guess
from bayes_alliance.quadrature.stack import centred_columns
from tests.quadrature.brute import grid, row_densities
from tests.quadrature.tables import FAMILIES, make, make_table

QUICK = ba.SamplerSettings(draws=300, chains=2, cores=1, progress="off")

CALIBRATED = (
    "dropout/early-alliance",
    "dropout/hazard",
    "outcome/attendance",
    "outcome/rated-sessions",
    "outcome/counts",
)
"""Models whose cards are made by the engine."""


@pytest.mark.parametrize("name", CALIBRATED)
def test_these_models_are_fitted_by_quadrature(name: str) -> None:
    """On their twins, and the registry says so beforehand."""
    spec = ba.load_model(name)
    assert choose_engine(ba.make_design(spec, ba.example_study(name))) == ("quadrature", "")
    assert say_engine(spec).startswith("quadrature. Effects of ")


def no_spread(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table in which patients do not differ."""
    return table.assign(bernoulli=(np.random.default_rng(3).random(len(table)) < 0.4).astype(float))


def all_or_none(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table in which two patients in three have 0 alone or 1 alone."""
    third = table["patient"].str[1:].astype(int) % 3
    return table.assign(bernoulli=np.where(third == 2, table["bernoulli"], (third == 0).astype(float)))


@pytest.mark.parametrize("change", [None, no_spread, all_or_none])
def test_draws_are_those_of_a_grid(change: Callable[[pd.DataFrame], pd.DataFrame] | None) -> None:
    """Two parameters, an intercept and an SD: means and SDs of both, from a posterior summed over a grid.

    Also where patients do not differ at all, so that the SD is near 0, and where most have one outcome alone.
    """
    table = make_table()
    design = make("bernoulli", "1 + (1 | patient)", table if change is None else change(table))
    done = sample_integrated(design, draws=2000, chains=4, cores=1, seed=3)
    assert not isinstance(done, str)
    sd, intercept = done.points.reshape(-1, 2).T
    density = density_of(design)
    wide = float(max(5.0, 1.2 * sd.max()))
    one, two = np.linspace(0.001, wide, 220), np.linspace(intercept.min() - 1, intercept.max() + 1, 160)
    points = np.column_stack([np.repeat(one, len(two)), np.tile(two, len(one))])
    values = density.at_rung(3).values(points, np.zeros(1, dtype=bool), 1)
    weights = np.exp(values - logsumexp(values))
    for drawn, on_grid in ((sd, points[:, 0]), (intercept, points[:, 1])):
        mean = weights @ on_grid
        spread = np.sqrt(weights @ (on_grid - mean) ** 2)
        assert drawn.mean() == pytest.approx(mean, abs=0.08 * spread)
        assert drawn.std() == pytest.approx(spread, rel=0.06)


@pytest.mark.parametrize(
    ("kind", "formula"),
    [
        ("bernoulli", "week + (1 | patient)"),
        ("poisson", "week + (1 + week | patient)"),
        ("cumulative", "week + (1 | patient) + (1 | therapist)"),
        ("beta_binomial", "week + (1 | patient) + (1 | therapist)"),
    ],
)
def test_effects_are_drawn_from_their_conditional(kind: str, formula: str) -> None:
    """Given fixed parameters: means and SDs of every patient's and therapist's effects, summed over a grid."""
    design = make(kind, formula, make_table(9, 4))
    density = density_of(design)
    own, e = density.parameters, design.equation
    x = first_guess(design, own)
    x[: density.sds] = [1.2, 0.8][: density.sds]
    if own.cor is not None:
        x[density.sds] = 0.4
    count = 6000
    drawn = draw_effects(design, np.repeat(x[None], count, axis=0), 2, seed=5)
    again = draw_effects(design, np.repeat(x[None], count, axis=0), 2, seed=5, cores=2)
    assert all(np.array_equal(drawn[name], again[name]) for name in drawn)
    whole = own.kernel_points(x[None], np.zeros(density.sds, dtype=bool))[0]
    coefs, cuts = len(own.coef), own.thresholds
    given = {"threshold": whole[coefs : coefs + cuts]}
    given |= {name: np.exp(x[own.starts[3] + i : own.starts[3] + i + 1]) for i, name in enumerate(e.shapes)}
    sds = x[: own.effects]
    r = np.tanh(x[density.sds]) if own.cor is not None else 0.0
    root = np.diag(sds) if own.effects == 1 else sds[:, None] * np.array([[1, 0], [r, np.sqrt(1 - r**2)]])
    groups = {group.factor: group for group in e.groups}
    normals, log_weight = grid(own.effects, 81)
    effects = normals @ root.T
    outer = grid(1, 81) if own.outer else (np.zeros((1, 1)), np.zeros(1))
    shift = outer[0][:, 0] * x[density.sds - 1]
    linear = centred_columns(e) @ whole[:coefs] + effects @ groups["patient"].values.T
    each = np.stack([row_densities(design, linear + one, given) for one in shift])  # (shift, effect, row)
    patient = groups["patient"].code
    home = groups["therapist"].code if own.outer else np.zeros(len(patient), dtype=int)
    joint = {u: each[:, :, patient == u].sum(axis=2) + log_weight for u in np.unique(patient)}
    at = {g: outer[1] + sum(logsumexp(joint[u], axis=1) for u in np.unique(patient[home == g])) for g in set(home)}
    for g, log_height in at.items():
        weight = np.exp(log_height - logsumexp(log_height))
        if own.outer:
            _agree(drawn["therapist"][:, g, 0], weight, shift)
        for u in np.unique(patient[home == g]):
            inside = np.exp(joint[u] - logsumexp(joint[u], axis=1, keepdims=True))
            for effect in range(own.effects):
                _agree(drawn["patient"][:, u, effect], weight @ inside, effects[:, effect])


def _agree(drawn: np.ndarray, weight: np.ndarray, at: np.ndarray) -> None:
    """Check mean and SD of independent draws against those of weights."""
    mean = float(weight @ at)
    spread = float(np.sqrt(weight @ (at - mean) ** 2))
    assert abs(drawn.mean() - mean) < 4.5 * spread / np.sqrt(len(drawn))
    assert drawn.std() == pytest.approx(spread, rel=0.06)


@pytest.mark.parametrize("kind", FAMILIES)
def test_fits_have_the_variables_of_nuts(kind: str) -> None:
    """The sampled vectors are found again in the posterior, which names the engine and its nodes."""
    table = make_table()
    design = make(kind, "week + (1 | patient) + (1 | therapist)", table)
    spec = design.spec
    sessions = ba.read_sessions(table, {"patient": "patient", "therapist": "therapist", "session": "session"})
    fit = ba.fit_model(spec, sessions, seed=2, engine="quadrature", settings=QUICK)
    assert fit.provenance["engine"] == "quadrature"
    posterior = fit.data["posterior"].to_dataset()
    assert "nodes per effect of a patient" in posterior.attrs["why"]
    done = sample_integrated(
        design, draws=QUICK.draws, chains=QUICK.chains, cores=QUICK.cores, seed=_sampler_seed(2)
    )  # fmt: skip
    assert not isinstance(done, str)
    np.testing.assert_allclose(
        read_points(design, posterior), done.points.reshape(-1, done.points.shape[-1]), atol=1e-8
    )
    assert dict(fit.effects.sizes)["patient"] == table["patient"].nunique()
    assert ba.summarize(fit)["mean"].notna().all()


def _sampler_seed(seed: int) -> int:
    from bayes_alliance.fit.seeds import spread_seed

    return spread_seed(seed, 1)[0]


REFUSED = {
    "three effects": (
        "week + week2 + (1 + week + week2 | patient)",
        "3 effects of patient vary in bernoulli",
    ),
    "slopes of therapists": ("week + (1 | patient) + (1 + week | therapist)", "of therapist vary in bernoulli"),
    "three factors": ("week + (1 | patient) + (1 | therapist) + (1 | site)", "effects of 3 factors"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_it_cannot_fit_is_refused_by_name(name: str) -> None:
    """Before anything is sampled; ``auto`` takes NUTS, and says why."""
    formula, wanted = REFUSED[name]
    table = make_table().assign(site=lambda frame: frame["therapist"].str.replace("t2", "t1"))
    roles = {"patient": "patient", "therapist": "therapist", "session": "session", "site": "site"}
    spec = make("bernoulli").spec.model_copy(
        update={"equation": (make("bernoulli").spec.equation[0].model_copy(update={"formula": formula}),)}
    )
    sessions = ba.read_sessions(table, roles)
    with pytest.raises(FitError, match=wanted):
        ba.fit_model(spec, sessions, seed=1, engine="quadrature")
    chosen, why = choose_engine(ba.make_design(spec, sessions))
    assert chosen == "nuts"
    assert wanted in why


def test_patients_of_two_therapists_are_refused() -> None:
    """They cannot be integrated out given one therapist."""
    table = make_table()
    table.loc[table["patient"] == "p00", "therapist"] = ["t0", "t1"] + ["t0"] * (
        int((table["patient"] == "p00").sum()) - 2
    )
    design = make("bernoulli", "week + (1 | patient) + (1 | therapist)", table)
    chosen, why = choose_engine(design)
    assert chosen == "nuts"
    assert "1 of 14 levels of patient have rows in several levels of therapist" in why


def test_integrals_that_do_not_stand_still_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for by name it is an error; ``auto`` would go on with NUTS."""
    monkeypatch.setattr(quadrature_engine, "_stands_still", lambda *_: False)
    done = sample_integrated(make("bernoulli"), draws=100, chains=2, cores=1, seed=1)
    assert isinstance(done, str)
    assert "did not stand still" in done


@pytest.mark.parametrize("sd", [1.5, 4.0])
def test_few_rows_and_large_spread_take_more_nodes(sd: float) -> None:
    """Three rows a patient, many of them all 0 or all 1: the rule raises nodes until the answer stands still."""
    rng = np.random.default_rng(7)
    table = make_table(120, 3, 4)
    effect = dict(zip(sorted(set(table["patient"])), sd * rng.normal(size=120), strict=False))
    share = 1 / (1 + np.exp(-table["patient"].map(effect)))
    table = table.assign(bernoulli=(rng.random(len(table)) < share).astype(float))
    design = make("bernoulli", "week + (1 | patient)", table)
    done = sample_integrated(design, draws=500, chains=4, cores=1, seed=1)
    assert not isinstance(done, str)
    assert done.rung >= (1 if sd > 2 else 0)
    found = done.points[..., 0].reshape(-1)
    assert abs(found.mean() - sd) < 4 * found.std()


def test_hard_cases_are_answered() -> None:
    """Five therapists; a correlation near 1; a category that no row is in; a predictor that settles the outcome."""
    table = make_table(60, 12, 5)
    rng = np.random.default_rng(2)
    normal = dict(zip(sorted(set(table["patient"])), rng.normal(size=60), strict=True))
    level = table["patient"].map(normal)
    chance = 1 / (1 + np.exp(-(level * (1 + 0.5 * table["week"]))))
    table = table.assign(bernoulli=(rng.random(len(table)) < chance).astype(float))
    done = sample_integrated(
        make("bernoulli", "week + (1 + week | patient)", table), draws=500, chains=2, cores=1, seed=1
    )
    assert not isinstance(done, str)
    assert np.tanh(done.points[..., 2]).mean() > 0.5
    few = sample_integrated(
        make("poisson", "week + (1 | patient) + (1 | therapist)", table), draws=500, chains=2, cores=1, seed=1
    )  # fmt: skip
    assert not isinstance(few, str)
    gap = table.assign(cumulative=table["cumulative"].replace({3: 4}))
    found = sample_integrated(make("cumulative", "week + (1 | patient)", gap), draws=500, chains=2, cores=1, seed=1)
    assert not isinstance(found, str)
    second = (table["arm"] == "b").astype(float)
    settled = make(
        "bernoulli", "second + (1 | patient)", table.assign(second=second, bernoulli=second * table["bernoulli"])
    )
    assert any(message.startswith("Separation: 'second'") for message in settled.messages)
    apart = sample_integrated(settled, draws=500, chains=2, cores=1, seed=1)
    assert not isinstance(apart, str)
    assert np.isfinite(apart.points).all()


def _sessions() -> ba.SessionTable:
    roles = {"patient": "patient", "therapist": "therapist", "session": "session"}
    return ba.read_sessions(make_table(24, 5, 4), roles)


@pytest.fixture(scope="module")
def counted() -> ba.Fit:
    """Return a fit of counts, patients in therapists."""
    table = make_table(24, 5, 4)
    spec = make("poisson", "week + (1 | patient) + (1 | therapist)", table).spec
    fit = ba.fit_model(spec, _sessions(), seed=4, settings=ba.SamplerSettings(draws=500, chains=2, progress="off"))
    assert fit.provenance["engine"] == "quadrature"
    return fit


def test_patients_and_therapists_are_left_out(counted: ba.Fit) -> None:
    """With what they share integrated out given all others: as with it drawn, within Monte Carlo error."""
    by_patient = ba.loo(counted, unit="patient", progress="off")
    assert by_patient.target.endswith("all group effects integrated out, given coefficients")
    given = ba.integrated_log_likelihood(counted, by="patient")
    assert given.dims == ("chain", "draw", "patient")
    flat = given.stack(sample=("chain", "draw")).transpose("sample", "patient").to_numpy()
    np.testing.assert_allclose(by_patient.elpd_i, -logsumexp(-flat, axis=0) + np.log(len(flat)), atol=0.1)
    nuts = ba.fit_model(
        counted.spec, _sessions(), seed=4, engine="nuts",
        settings=ba.SamplerSettings(draws=500, chains=2, progress="off"),
    )  # fmt: skip
    for unit in ("patient", "therapist"):
        one, two = (ba.loo(fit, unit=unit, progress="off") for fit in (counted, nuts))
        assert one.elpd == pytest.approx(two.elpd, abs=1.0)


def test_a_stored_fit_draws_its_effects_again(counted: ba.Fit, tmp_path: Path) -> None:
    """Without effects in the file; the same ones once rows are back; new patients are predicted from either."""
    counted.save(tmp_path / "fit")
    stored = ba.load_fit(tmp_path / "fit")
    with pytest.raises(FitError, match="Bring these back with"):
        _ = stored.effects
    again = stored.with_rows(_sessions()).effects
    np.testing.assert_array_equal(again["u_patient"], counted.effects["u_patient"])
    assert np.isfinite(ba.variance_shares(counted)["share_patient"]).all()


@pytest.mark.parametrize("kind", ["bernoulli", "ordered_beta", "cumulative"])
def test_models_without_effects_are_fitted(kind: str) -> None:
    """Nothing is integrated out, no second mode is looked for, and there are no effects to draw."""
    design = make(kind, "week + week2")
    done = sample_integrated(design, draws=200, chains=2, cores=1, seed=1)
    assert not isinstance(done, str)
    assert "Nothing is integrated out." in done.why
    assert draw_effects(design, done.points.reshape(-1, done.points.shape[-1]), 0, seed=1) == {}
