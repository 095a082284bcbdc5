"""Families in NumPy: densities by SciPy, slopes by differences, draws by their moments, integrals by a fine grid."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayes_alliance as ba
from bayes_alliance.comparison.integrate import average_density
from bayes_alliance.comparison.units import find_units, fingerprint
from bayes_alliance.design.moments import variance_moments
from bayes_alliance.posterior.families import Rows, draw, expected, log_density, slopes
from bayes_alliance.posterior.variance import shares_of
from bayes_alliance.spec.families import FAMILY, SHAPES, FamilyName
from tests.build.test_equations import HEAD, equation
from tests.conftest import ROLES

DRAWS, OBS = 3, 5
SPREAD, NU, SHAPE = (
    np.array([[0.5], [1.0], [2.0]]) * np.ones(OBS),
    np.array([[3.0], [8.0], [40.0]]),
    np.full((3, 1), 1.5),
)
ROWS = {
    "gaussian": Rows("gaussian", np.array([-1.0, 0.0, 0.4, 2.0, 5.0]), {"sigma": SPREAD}),
    "student_t": Rows("student_t", np.array([-1.0, 0.0, 0.4, 2.0, 5.0]), {"sigma": SPREAD, "nu": NU}),
    "bernoulli": Rows("bernoulli", np.array([0.0, 1.0, 1.0, 0.0, 1.0]), {}),
    "negative_binomial": Rows("negative_binomial", np.array([0.0, 1.0, 2.0, 5.0, 30.0]), {"shape": SHAPE}),
}


def oracle(rows: Rows, linear: np.ndarray) -> np.ndarray:
    """Return SciPy's log-density of every row."""
    match rows.family:
        case "gaussian":
            return np.asarray(stats.norm.logpdf(rows.y, linear, SPREAD))
        case "student_t":
            return np.asarray(stats.t.logpdf(rows.y, NU, linear, SPREAD))
        case "bernoulli":
            return np.asarray(stats.bernoulli.logpmf(rows.y, 1 / (1 + np.exp(-linear))))
    return np.asarray(stats.nbinom.logpmf(rows.y, SHAPE, SHAPE / (SHAPE + np.exp(linear))))


def test_every_family_is_tried() -> None:
    """The families of the language are those of the table, here and in every branch below."""
    assert set(get_args(FamilyName.__value__)) == set(FAMILY) == set(ROWS)
    assert {shape for family in FAMILY.values() for shape in family.shapes} == set(SHAPES)


@pytest.mark.parametrize("name", ROWS)
def test_densities_and_slopes(name: FamilyName) -> None:
    """SciPy's log-densities; slopes by central differences; information that is never negative, finite far out."""
    rows, linear = ROWS[name], np.random.default_rng(1).normal(0, 1.5, (DRAWS, OBS))
    np.testing.assert_allclose(log_density(rows, linear), oracle(rows, linear), rtol=1e-10, atol=1e-12)
    slope, information = slopes(rows, linear)
    step = 1e-5
    numeric = (log_density(rows, linear + step) - log_density(rows, linear - step)) / (2 * step)
    np.testing.assert_allclose(slope, numeric, rtol=1e-6, atol=1e-8)
    assert (information > 0).all()
    for far in (-600.0, 600.0):
        assert np.isfinite(np.concatenate(slopes(rows, np.full((DRAWS, OBS), far)))).all()
    points = log_density(rows.at_points(), np.stack([linear, linear + 1], axis=1))
    np.testing.assert_allclose(points[:, 1], log_density(rows, linear + 1))


@pytest.mark.parametrize("name", ROWS)
def test_draws_have_the_expected_mean(name: FamilyName) -> None:
    """Many outcomes drawn anew average to what is expected, within five standard errors, and never leave the scale."""
    rows, linear = ROWS[name], np.random.default_rng(2).normal(0, 0.5, (DRAWS, OBS))
    rng = np.random.default_rng(3)
    many = np.stack([draw(rows, linear, rng) for _ in range(4000)])
    error = many.std(axis=0) / np.sqrt(len(many))
    assert (np.abs(many.mean(axis=0) - expected(name, linear)) < 5 * error).all()
    if name == "bernoulli":
        assert set(np.unique(many)) == {0.0, 1.0}
    if name == "negative_binomial":
        assert (many == np.floor(many)).all()
        assert many.min() == 0
        mean = np.exp(linear)
        np.testing.assert_allclose(many.var(axis=0), mean + mean**2 / 1.5, rtol=0.3)


@pytest.mark.parametrize("name", ["student_t", "bernoulli", "negative_binomial"])
def test_effects_are_integrated(name: FamilyName) -> None:
    """One effect of five rows: adaptive quadrature against a fine grid."""
    rows, linear = ROWS[name], np.random.default_rng(4).normal(0, 0.7, (DRAWS, OBS))
    load = np.broadcast_to(np.array([0.8, 0.8, 0.4, 0.8, -0.5])[:, None], (DRAWS, OBS, 1))
    got = average_density(linear, load, [rows])
    z = np.linspace(-9, 9, 20_001)
    inside = log_density(rows.at_points(), linear[:, None] + z[:, None] * load[0, :, 0]).sum(axis=2)
    whole = np.log(np.trapezoid(np.exp(inside + stats.norm.logpdf(z)), z, axis=1))
    np.testing.assert_allclose(got, whole, atol=2e-3)


def test_a_t_without_variance_takes_all_of_it() -> None:
    """With two degrees of freedom or fewer the residual's share is 1, not missing."""
    label = ["y, Intercept"]
    draws = xr.Dataset(
        {
            "sd_patient": (("chain", "draw", "patient_effect"), np.ones((1, 3, 1))),
            "sigma": (("chain", "draw", "sigma_coef"), np.ones((1, 3, 1))),
            "nu": (("chain", "draw", "nu_coef"), np.array([[[4.0], [1.9], [8.0]]])),
        },
        coords={"patient_effect": label, "sigma_coef": ["y"], "nu_coef": ["y"]},
    )
    frame = pd.DataFrame({"pid": list("aabbcc"), "week": [1.0, 2.0] * 3, "y": [1.0, 2.5, 3.0, 2.0, 5.0, 1.0]})
    text = HEAD + equation("y", "1 + (1 | patient)", extra='family = "student_t"')
    made = ba.make_design(ba.parse_model(text), ba.read_sessions(frame, {"patient": "pid", "session": "week"}))
    shares = shares_of(draws, variance_moments(made, made.equation))
    np.testing.assert_allclose(shares["share_residual"].values.ravel(), [2 / 3, 1.0, 4 / 7])


def test_tails_compare_with_normal_residuals(trial: pd.DataFrame) -> None:
    """Both have densities, so their predictions are of one kind; those of counts are probabilities."""
    trial = trial.assign(count=trial["week"])
    found = {}
    for outcome, family in (("count", "gaussian"), ("count", "student_t"), ("count", "negative_binomial")):
        text = HEAD + equation(outcome, "alliance + (1 | patient)", extra=f'family = "{family}"')
        made = ba.make_design(ba.parse_model(text), ba.read_sessions(trial, ROLES))
        found[family] = fingerprint(made, find_units(made, "patient"), (outcome,))
    assert found["gaussian"] == found["student_t"] != found["negative_binomial"]


def study(family: str, rng: np.random.Generator, patients: int = 150) -> tuple[ba.SimulatedTable, str]:
    """Simulate a SYNTHETIC study of six sessions with a stated truth."""
    text = HEAD + equation("y", "session + (1 | patient)", extra=f'family = "{family}"')
    truth = {"b[y, Intercept]": 1.0, "b[y, session]": -0.2, "sd_patient[y, Intercept]": 0.6}
    truth |= {"student_t": {"sigma[y]": 0.8, "nu[y]": 3.5}, "negative_binomial": {"shape[y]": 1.5}}[family]
    layout = ba.Layout(patients=patients, sessions=(0, 1, 2, 3, 4, 5))
    return ba.simulate_sessions(ba.parse_model(text), layout, truth=truth, seed=int(rng.integers(1000))), text


@pytest.mark.slow
@pytest.mark.parametrize("family", ["student_t", "negative_binomial"])
def test_a_truth_is_recovered(family: str) -> None:
    """Fitted by NUTS, every parameter lies within four posterior SDs of its truth; checks pass; shares add to one."""
    table, text = study(family, np.random.default_rng(5))
    fit = ba.fit_model(ba.parse_model(text), table, seed=1, settings=ba.SamplerSettings(progress="off"))
    assert fit.passed
    found = ba.compare_with_truth(fit, table.truth)
    assert len(found) == len(table.truth)
    assert (np.abs(found["mean"] - found["truth"]) < found["eti95_ub"] - found["eti95_lb"]).all()
    shares = ba.variance_shares(fit)
    np.testing.assert_allclose(shares["share_patient"] + shares["share_residual"], 1.0)
    scores = ba.loo(fit, draws=400)
    assert np.isfinite(scores.elpd)
    assert all(check.passed for check in ba.diagnose(fit).checks)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["student_t", "negative_binomial"])
def test_calibration_at_small_n(family: str) -> None:
    """Truths drawn from the priors rank evenly among the draws of forty studies each."""
    text = HEAD + equation("y", "session + (1 | patient)", extra=f'family = "{family}"')
    layout = ba.Layout(patients=30, sessions=(0, 1, 2, 3))
    priors = {"intercept": "normal(0.5, 0.7)", "b session": "normal(0, 0.2)", "sd patient": "half_normal(0.5)"}
    found = ba.calibrate(ba.parse_model(text), layout, n=40, seed=3, priors=priors, progress="off")
    assert found.passed, found


def test_what_families_refuse(trial: pd.DataFrame) -> None:
    """Fractions and negative numbers are no counts; 0/1 outcomes have no tails; counts have no residual SD."""
    table = ba.read_sessions(trial, ROLES)

    def make(outcome: str, family: str, extra: str = "") -> ba.Design:
        text = HEAD + equation(outcome, "week + (1 | patient)", extra=f'family = "{family}"\n{extra}')
        return ba.make_design(ba.parse_model(text), table)

    with pytest.raises(ba.DesignError, match=r"'score' of a negative_binomial equation has values that are no counts"):
        make("score", "negative_binomial")
    with pytest.raises(ba.DesignError, match=r"'dropout' has only 0 and 1 and the equation is student_t. State family"):
        make("dropout", "student_t")
    with pytest.raises(ba.SpecError, match="sigma = 'week': a negative_binomial outcome has no residual SD"):
        make("score", "negative_binomial", 'sigma = "week"')
    with pytest.raises(ba.SpecError, match="centre = 'week': a negative_binomial outcome is a count, 0 or more"):
        make("score", "negative_binomial", 'centre = "week"')
    plain = ba.parse_model(HEAD + equation("score", "week + (1 | patient)"))
    with pytest.raises(ba.DesignError, match="The prior on 'nu' matches no parameter"):
        ba.make_design(plain, table, priors={"nu": "lognormal(10, 1)"})
