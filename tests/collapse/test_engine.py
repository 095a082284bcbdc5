"""Fits by the exact engine: the same names as the nuts engine, the same posterior, and what happens when it fails."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import bayes_alliance as ba
from bayes_alliance.build.model import build_model
from bayes_alliance.collapse import engine as engine_module
from bayes_alliance.collapse import sampler
from bayes_alliance.collapse import sampler as sampler_module
from bayes_alliance.collapse.engine import Collapsed, first_guess, sample_collapsed, sum_design
from bayes_alliance.collapse.sampler import Draws, resample, sample_parameters
from bayes_alliance.collapse.sign_flips import take_off_signs
from bayes_alliance.fit import engines
from bayes_alliance.fit.exact import constant_data
from tests.build.test_equations import HEAD, equation
from tests.collapse.dense import engine_of, to_natural
from tests.collapse.test_density import SHAPES, design_of
from tests.conftest import ROLES

FEW = ba.SamplerSettings(draws=50, tune=50, chains=2, progress="off")
QUIET = ba.SamplerSettings(progress="off")


@pytest.fixture(scope="module")
def both(sessions: ba.SessionTable) -> dict[str, ba.Fit]:
    """Return short fits of one model by both engines."""
    spec = ba.load_model("growth/treatment")
    columns, reference = {"outcome": "score", "condition": "arm"}, {"condition": "TAU"}
    return {
        name: ba.fit_model(
            spec, ba.Study(sessions, columns=columns, reference=reference), seed=3, engine=name, settings=FEW
        )
        for name in ("collapsed", "nuts")
    }


def test_engines_return_the_same_names_dims_and_coords(both: dict[str, ba.Fit]) -> None:
    """Variables of posteriors and effects, their dims, coords and types are alike, and the groups beside them."""
    exact, nuts = (both[name].data for name in ("collapsed", "nuts"))
    assert {*exact.children, "effects"} == set(nuts.children)
    posteriors = (exact["posterior"].to_dataset(), nuts["posterior"].to_dataset())
    for one, two in (posteriors, (both["collapsed"].effects, both["nuts"].effects)):
        assert set(one.data_vars) == set(two.data_vars)
        for name in one.data_vars:
            assert one[name].dims == two[name].dims, name
            assert one[name].dtype == two[name].dtype
        assert set(one.coords) == set(two.coords)
        for name in one.coords:
            np.testing.assert_array_equal(one[name].values, two[name].values)
            assert one[name].dtype == two[name].dtype
    assert "u_patient" in both["collapsed"].effects
    xr.testing.assert_equal(exact["observed_data"].to_dataset(), nuts["observed_data"].to_dataset())
    assert both["collapsed"].provenance["engine"] == "collapsed"
    assert both["nuts"].provenance["engine"] == "nuts"


@pytest.mark.parametrize("name", SHAPES)
def test_constant_data_are_those_of_the_pymc_model(name: str, trial: pd.DataFrame) -> None:
    """Arrays of the likelihood have the names, dims and values they have in the PyMC model with centred effects."""
    made = design_of(name, trial)
    model = build_model(made.spec, made, parametrization="centred")
    mine = constant_data(made)
    for variable in model.data_vars:
        if variable.name in mine:
            np.testing.assert_array_equal(mine[variable.name].values, variable.get_value())
            assert mine[variable.name].dims == model.named_vars_to_dims[variable.name]
            assert mine[variable.name].dtype == variable.get_value().dtype
    assert {f"observed_{e.outcome}" for e in made.equations} <= set(mine.data_vars)


def test_same_seed_same_draws_on_one_core_or_two(sessions: ba.SessionTable) -> None:
    """A seed gives the same bits whatever the number of threads; another seed gives others."""
    spec = ba.parse_model(HEAD + equation("score", "week + (1 | patient) + (1 | therapist)"))
    fits = [
        ba.fit_model(
            spec,
            sessions,
            seed=seed,
            engine="collapsed",
            settings=ba.SamplerSettings(draws=100, cores=cores, progress="off"),
        )
        for seed, cores in ((1, 1), (1, 2), (2, 2))
    ]
    values = [np.append(fit.data["posterior"]["b"].values, fit.effects["u_patient"].values) for fit in fits]
    np.testing.assert_array_equal(values[0], values[1])
    assert not np.array_equal(values[0], values[2])


def test_a_failing_sampler_falls_back_to_nuts(sessions: ba.SessionTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains that do not move are tried again by NUTS of few parameters, then by the nuts engine; messages say so."""
    tried = []

    def stuck(density, start, *, draws, chains, independent, **_):  # type: ignore[no-untyped-def]
        tried.append(independent)
        values = np.tile(start + np.arange(chains)[:, None, None] * 0.01, (1, draws, 1))
        statistics = xr.Dataset({"lp": (("chain", "draw"), np.zeros((chains, draws)))}, attrs={"pareto_k": 0.1})
        coef, logs = np.zeros((chains * draws, len(density.shape.equation))), np.ones(density.sds, dtype=bool)
        return Draws(values, logs, coef, statistics, "independent" if independent else "nuts", "A test.")

    monkeypatch.setattr(engine_module, "sample_parameters", stuck)
    spec = ba.load_model("growth/treatment")
    columns, reference = {"outcome": "score", "condition": "arm"}, {"condition": "TAU"}
    fit = ba.fit_model(spec, ba.Study(sessions, columns=columns, reference=reference), seed=3, settings=FEW)
    assert tried == [True, False]
    assert fit.provenance["engine"] == "nuts"
    (message,) = [m for m in fit.messages if m.startswith(engines.EXACT_FAILED)]
    assert "R-hat cannot be worked out for" in message
    alone = ba.fit_model(
        spec, ba.Study(sessions, columns=columns, reference=reference), seed=3, settings=FEW, engine="collapsed"
    )
    assert not alone.passed
    assert alone.provenance["engine"] == "collapsed"


def test_few_draws_are_no_reason_to_change_the_engine(sessions: ba.SessionTable) -> None:
    """A fit that only lacks draws stays with the exact engine and says that it lacks them."""
    spec = ba.parse_model(HEAD + equation("score", "week + (1 | patient)"))
    fit = ba.fit_model(spec, sessions, seed=1, settings=ba.SamplerSettings(draws=60, progress="off"))
    assert fit.provenance["engine"] == "collapsed"
    assert "Bulk ESS is below 400" in fit.verdict


EDGES = {
    "five groups": ("week + (1 | patient) + (1 + week | therapist)", {}),
    "no variance between therapists": ("week + (1 | patient) + (1 | therapist)", {"therapist": 0.0}),
    "one or two patients each": ("week + (1 | patient) + (1 | therapist)", {"caseload": 2}),
    "correlation near one": ("week + (1 + week | patient)", {"rho": 0.99}),
    "no slopes": ("week + (1 + week | patient)", {"slope": 0.0}),
}
ABOVE = "no variance between therapists, a prior above 0"
EDGES[ABOVE] = EDGES["no variance between therapists"]
LOGNORMAL = '[[prior]]\non = "sd therapist"\ndist = "lognormal(0.5, 0.5)"\nreason = "r"\n'


def edge_table(
    seed: int, therapist: float = 2.0, caseload: int = 8, rho: float = 0.2, slope: float = 0.5
) -> pd.DataFrame:
    """SYNTHETIC: 40 patients of 5 therapists (or two each), 1 to 6 sessions; SDs 3, ``slope``, ``therapist``."""
    rng = np.random.default_rng(seed)
    rows = []
    of_therapist = rng.normal(0, therapist, 40)
    for i in range(40):
        z = rng.normal(size=2)
        start, growth = 3 * z[0], slope * (rho * z[0] + np.sqrt(1 - rho**2) * z[1])
        for week in range(1 + i % 6):
            mean = 20 - 0.5 * week + start + growth * week + of_therapist[i // caseload]
            rows.append((f"P{i}", f"T{i // caseload}", week, mean + rng.normal(0, 2)))
    return pd.DataFrame(rows, columns=["pid", "tid", "week", "score"])


@pytest.mark.parametrize("name", EDGES)
def test_proposals_and_nuts_agree_at_the_edge(name: str) -> None:
    """Two samplers of the same density give the same quantiles where SDs may be 0 or correlations 1."""
    formula, truth = EDGES[name]
    table = ba.read_sessions(edge_table(5, **truth), {"patient": "pid", "therapist": "tid", "session": "week"})
    text = HEAD + equation("score", formula) + (LOGNORMAL if name == ABOVE else "")
    made = ba.make_design(ba.parse_model(text), table)
    statistics, density = sum_design(made), engine_of(made)
    settings = {
        "tune": 500,
        "chains": 4,
        "cores": 2,
        "target_accept": 0.9,
        "max_treedepth": 10,
        "seed": 11,
        "coef_seed": 12,
    }
    found, coefs = {}, {}
    for independent in (True, False):
        drawn = sample_parameters(
            density, first_guess(density.shape, statistics), draws=1500, independent=independent, **settings
        )
        assert drawn.logs[-1] or name != ABOVE
        found[drawn.method] = take_off_signs(density.shape, drawn.values, drawn.logs)
        coefs[drawn.method] = drawn.coef.reshape(4, 1500, -1)
    assert set(found) == {"independent", "nuts"}, "proposals were not good enough"
    for quantile in (0.05, 0.25, 0.5, 0.75, 0.95):
        for draws in (found, coefs):
            one, two = (np.quantile(values, quantile, axis=(0, 1)) for values in draws.values())
            np.testing.assert_array_less(np.abs(one - two) / draws["nuts"].std(axis=(0, 1)), 0.2)


@given(
    weights=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=40), count=st.integers(1, 200), seed=st.integers(0, 99)
)
def test_points_are_kept_as_often_as_their_weights_say(weights: list[float], count: int, seed: int) -> None:
    """Counts are shares of the weights, rounded up or down; points stay in their order."""
    kept = resample(np.log(weights), count, np.random.default_rng(seed))
    assert (np.diff(kept) >= 0).all()
    apart = np.bincount(kept, minlength=len(weights)) - count * np.array(weights) / sum(weights)
    assert np.abs(apart).max() < 1 + 1e-9


def test_points_are_kept_without_bias() -> None:
    """Over many uniform numbers the mean count of a point is its share."""
    weights, rng = np.array([0.1, 0.35, 0.05, 0.5]), np.random.default_rng(3)
    counts = np.mean([np.bincount(resample(np.log(weights), 7, rng), minlength=4) for _ in range(4000)], axis=0)
    np.testing.assert_allclose(counts, 7 * weights, atol=5 * 0.5 / np.sqrt(4000))


def test_what_takes_long_says_how_long(trial: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds left are given once, from the first few points; draws are the same as without."""
    made = ba.make_design(
        ba.parse_model(HEAD + equation("score", "week + (1 | patient)")), ba.read_sessions(trial, ROLES)
    )
    statistics, left = sum_design(made), list[float]()
    settings = {"tune": 300, "chains": 2, "cores": 2, "target_accept": 0.9, "max_treedepth": 10, "seed": 3}
    plain = sample_collapsed(statistics, draws=100, told=left.append, **settings)  # type: ignore[arg-type]
    assert left == []
    monkeypatch.setattr(sampler, "TOLD", 0.0)
    told = sample_collapsed(statistics, draws=100, told=left.append, **settings)  # type: ignore[arg-type]
    assert len(left) == 1
    assert 0 < left[0] < 60
    assert (plain.points == told.points).all()


def sampled(frame: pd.DataFrame, formula: str = "week + (1 + week | patient) + (1 | therapist)") -> Collapsed:
    """Return draws of a model of the trial, some of its SDs near 0."""
    made = ba.make_design(ba.parse_model(HEAD + equation("score", formula)), ba.read_sessions(frame, ROLES))
    settings = {"tune": 300, "chains": 2, "cores": 2, "target_accept": 0.9, "max_treedepth": 10, "seed": 3}
    return sample_collapsed(sum_design(made), draws=300, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("unit", [1e-9, 1e-3, 1e3, 1e9])
def test_outcomes_in_other_units_give_the_same_draws(trial: pd.DataFrame, unit: float) -> None:
    """Coefficients, effects and SDs are those of the outcome as it was, times the unit; so is the sampler."""
    plain, scaled = sampled(trial), sampled(trial.assign(score=trial["score"] * unit))
    assert scaled.method == plain.method == "independent"
    assert scaled.why == plain.why
    np.testing.assert_allclose(scaled.coef / unit, plain.coef, rtol=1e-4, atol=1e-4)
    sds = plain.shape.factors[0].effects + plain.shape.factors[1].effects
    np.testing.assert_allclose(scaled.points[..., :sds] / unit, plain.points[..., :sds], rtol=1e-4, atol=1e-4)


def test_time_in_other_units_gives_the_same_draws(trial: pd.DataFrame) -> None:
    """Weeks or seconds: slopes and their SDs are in points per unit, and all else stays."""
    seconds = trial.assign(stress=trial["week"] * 604_800)
    plain = sampled(trial.assign(stress=trial["week"]), "stress + (1 + stress | patient)")
    scaled = sampled(seconds, "stress + (1 + stress | patient)")
    assert scaled.method == plain.method == "independent"
    times = np.array([1.0, 604_800])
    np.testing.assert_allclose(scaled.coef * times, plain.coef, rtol=1e-4, atol=1e-4)


def test_a_fit_says_which_sampler_ran_and_why(sessions: ba.SessionTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Independent proposals beside the draws; NUTS in a message, with what spoke against proposals."""
    spec = ba.parse_model(HEAD + equation("score", "week + (1 | patient)"))
    fit = ba.fit_model(spec, sessions, seed=1, settings=FEW)
    attrs = fit.data["posterior"].attrs
    assert attrs["sampler"] == "independent"
    assert re.fullmatch(
        r"An independent proposal is worth 0\.\d\d of an independent draw \(Pareto k .+\)\.", attrs["why"]
    )
    monkeypatch.setattr(sampler_module, "EFFICIENCY", 1.5)
    fit = ba.fit_model(spec, sessions, seed=1, settings=FEW)
    (said,) = [message for message in fit.messages if message.startswith("NUTS sampled the variances")]
    assert re.search(r"An independent proposal is worth 0\.\d\d of an independent draw, less than 1\.5\.", said)


def test_signs_come_off_without_changing_a_covariance(trial: pd.DataFrame) -> None:
    """Turning an SD positive turns its correlations: covariances, and the density, stay as they are."""
    made = design_of("four effects", trial)
    density = engine_of(made)
    rng = np.random.default_rng(3)
    none = np.zeros(density.sds, dtype=bool)
    for _ in range(20):
        x = rng.normal(size=density.packed.size)
        plain = take_off_signs(density.shape, x, none)
        assert (plain[: density.sds] > 0).all()
        assert density.value(plain, none) == pytest.approx(density.value(x, none), rel=1e-10)
        assert density.value(x, none) == pytest.approx(density.value(np.where(plain == x, x, plain), none), rel=1e-10)
    assert to_natural(density, plain).cor["patient"].shape == (1, 4, 4)
    assert ROLES
