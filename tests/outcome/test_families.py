"""Families in models: integrals over effects, recovery of stated truths, calibration, what they refuse and say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayes_alliance as ba
from bayes_alliance.comparison.quadrature import average_density
from bayes_alliance.comparison.units import find_units, fingerprint
from bayes_alliance.design.moments import variance_moments
from bayes_alliance.outcome.contract import OutcomeRows
from bayes_alliance.outcome.families import FAMILY
from bayes_alliance.posterior.variance import shares_of
from tests.build.test_equations import HEAD, equation
from tests.conftest import ROLES
from tests.outcome.cases import KINDS, PROBIT_LINK
from tests.outcome.test_contract import rows_of

DRAWS, OBS = 3, 5


@pytest.mark.parametrize("name", [name for name in KINDS if name != "gaussian"])
def test_effects_are_integrated(name: str) -> None:
    """One effect of five rows: adaptive quadrature against a fine grid."""
    rows, linear = rows_of(name), np.random.default_rng(4).normal(0, 0.7, (DRAWS, OBS))
    load = np.broadcast_to(np.array([0.8, 0.8, 0.4, 0.8, -0.5])[:, None], (DRAWS, OBS, 1))
    got = average_density(linear, load, [rows])
    z = np.linspace(-9, 9, 20_001)
    inside = rows.at_points().log_density(linear[:, None] + z[:, None] * load[0, :, 0]).sum(axis=2)
    whole = np.log(np.trapezoid(np.exp(inside + stats.norm.logpdf(z)), z, axis=1))
    np.testing.assert_allclose(got, whole, atol=2e-3)


@pytest.mark.parametrize("apart", [0.0, 4.0, 12.0])
def test_rows_that_disagree_have_a_peak_each(apart: float) -> None:
    """Sessions far apart under t residuals: the integral over the effect has several peaks, and all of them count."""
    y = np.array([0.0, apart, -apart, apart, 0.1])
    given = {"sigma": np.full((DRAWS, OBS), 0.3), "nu": np.array([[3.0], [8.0], [40.0]])}
    rows = OutcomeRows(FAMILY["student_t"], y, given)
    linear, load = np.zeros((DRAWS, OBS)), np.full((DRAWS, OBS, 1), 3.0)
    z = np.linspace(-12, 12, 200_001)
    inside = rows.at_points().log_density(linear[:, None] + z[:, None] * 3.0).sum(axis=2) + stats.norm.logpdf(z)
    top = inside.max(axis=1)
    whole = np.log(np.trapezoid(np.exp(inside - top[:, None]), z, axis=1)) + top
    np.testing.assert_allclose(average_density(linear, load, [rows]), whole, atol=1e-6)


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


STUDIED = {
    "student_t": {"sigma[y]": 0.8, "nu[y]": 3.5},
    "censored": {"sigma[y]": 0.8},
    "ordered_beta": {"phi[y]": 8.0, "threshold[y, floor]": -2.0, "threshold[y, ceiling]": 2.5},
    "cumulative": {"threshold[y, 1|2]": -1.5, "threshold[y, 2|3]": 0.2, "threshold[y, 3|4]": 1.4},
    "bernoulli": {},
    "hazard": {},
    "binomial": {},
    "negative_binomial": {"shape[y]": 1.5},
    "poisson": {},
    "zero_inflated_poisson": {"zi[y]": 0.25},
    "zero_inflated_negative_binomial": {"shape[y]": 2.0, "zi[y]": 0.25},
    "beta_binomial": {"phi[y]": 4.0},
    "lognormal": {"sigma[y]": 0.8},
    "gamma": {"shape[y]": 2.0},
    "bernoulli probit": {},
    "binomial probit": {},
    "cumulative probit": {"threshold[y, 1|2]": -1.0, "threshold[y, 2|3]": 0.1, "threshold[y, 3|4]": 0.8},
}
"""Families beside the Gaussian one, with what a stated truth has beside coefficients and SDs."""


def formulated(family: str) -> tuple[str, ba.Layout]:
    """Return a model of a family and what its outcome is like in a study."""
    kind = KINDS[family]
    extra = "trials = 8\n" if kind.trials else ""
    extra += PROBIT_LINK if kind.link == "probit" else ""
    text = HEAD + equation("y", "session + (1 | patient)", extra=f'family = "{kind.name}"\n{extra}')
    bounds = {"censored": (-1.0, 2.0), "ordered_beta": (0.0, 50.0), "cumulative": (1.0, 4.0)}
    own = {"y": bounds[kind.name]} if kind.name in bounds else {}
    # zeros tell of extra zeros and of the shape: with fewer patients a check says that the prior of the shape matters
    patients = 400 if family == "zero_inflated_negative_binomial" else 150
    return text, ba.Layout(patients=patients, sessions=(0, 1, 2, 3, 4, 5), bounds=own)


@pytest.mark.slow
@pytest.mark.parametrize("family", STUDIED)
def test_a_truth_is_recovered(family: str) -> None:
    """Fitted by NUTS, every parameter lies within four posterior SDs of its truth; checks pass; shares add to one."""
    text, layout = formulated(family)
    truth = {"b[y, Intercept]": 1.0 if family != "hazard" else -1.0, "b[y, session]": -0.2}
    truth |= {"sd_patient[y, Intercept]": 0.6, **STUDIED[family]}
    if not KINDS[family].intercept:
        del truth["b[y, Intercept]"]
    table = ba.simulate_sessions(ba.parse_model(text), layout, truth=truth, seed=4)
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
    moved = ba.marginal_effects(fit, "session", values=[0, 5])["difference"]
    assert float(moved.mean()) < 0


IN_CI = ("student_t", "cumulative")
"""Calibrated whenever tests are run at length; the others before a release."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "family",
    [pytest.param(name, marks=[] if name in IN_CI else pytest.mark.long) for name in STUDIED if name != "bernoulli"],
)
def test_calibration_at_small_n(family: str) -> None:
    """Truths drawn from the priors rank evenly among the draws of forty studies each."""
    text, layout = formulated(family)
    layout = layout.model_copy(update={"patients": 30, "sessions": (0, 1, 2, 3)})
    priors = {"b session": "normal(0, 0.2)", "sd patient": "half_normal(0.5)"}
    priors |= {} if not KINDS[family].intercept else {"intercept": "normal(0.5, 0.7)"}
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
    with pytest.raises(ba.DesignError, match="'score' of a cumulative equation has values that are no categories"):
        make("score", "cumulative")
    with pytest.raises(ba.SpecError, match="family binomial needs trials"):
        make("score", "binomial")
    with pytest.raises(ba.DesignError, match="no number of successes from 0 to its trials"):
        make("score", "binomial", "trials = 3")
    with pytest.raises(ba.DesignError, match=r"trials = 'alliance' of outcome 'dropout'.*They are 1, 2"):
        make("dropout", "binomial", 'trials = "alliance"')
    with pytest.raises(ba.SpecError, match="family gaussian has no trials"):
        make("score", "gaussian", "trials = 3")
    with pytest.raises(ba.SpecError, match=r"family gaussian has no bounds. Families that do"):
        make("score", "gaussian", "bounds = [0, 60]")
    with pytest.raises(ba.SpecError, match=r"bounds = \[60, 0\]; the lower one comes first"):
        make("score", "censored", "bounds = [60, 0]")
    with pytest.raises(ba.SpecError, match="family ordered_beta needs an end there"):
        make("score", "ordered_beta", "bounds = [0, inf]")
    with pytest.raises(ba.SpecError, match="categories are whole numbers"):
        make("score", "cumulative", "bounds = [0.5, 3]")
    rated = ba.parse_model(HEAD + equation("week", "alliance + (1 | patient)", extra='family = "cumulative"'))
    with pytest.raises(ba.DesignError, match="cannot describe share_week, which is shares that add up to 1"):
        ba.make_design(rated, ba.Study(table, priors={"threshold": "normal(0, 1)"}))
    text = HEAD + equation("week", "0 + alliance + (1 | patient)", extra='family = "cumulative"')
    with pytest.raises(ba.SpecError, match=r"thresholds stand for the intercept of family cumulative"):
        ba.parse_model(text)
    plain = ba.parse_model(HEAD + equation("score", "week + (1 | patient)"))
    with pytest.raises(ba.DesignError, match="The prior on 'nu' matches no parameter"):
        ba.make_design(plain, ba.Study(table, priors={"nu": "lognormal(10, 1)"}))


def test_categories_and_ends_that_are_not_seen_are_said(trial: pd.DataFrame) -> None:
    """A category that no row is in keeps its thresholds and is named; rows at the ends of a scale are counted."""
    frame = trial.assign(steps=trial["rating"].clip(3, 6).round().replace(4.0, 5.0), half=trial["alliance"].clip(4, 6))
    table = ba.read_sessions(frame, ROLES, bounds={"steps": (3, 6), "half": (4, 6)})

    def make(outcome: str, family: str) -> ba.Design:
        text = HEAD + equation(outcome, "week + (1 | patient)", extra=f'family = "{family}"')
        return ba.make_design(ba.parse_model(text), table)

    made = make("steps", "cumulative")
    assert made.equation.scale.thresholds == ("3|4", "4|5", "5|6")
    assert any("no row is in category '4' of 3 to 6; thresholds around it" in message for message in made.messages)
    assert "Intercept" not in made.equation.coef.labels
    at = [int((frame["half"] == end).sum()) for end in (4, 6)]
    assert any(
        f"{at[0]} at 4" in message and f"{at[1]} at 6" in message for message in make("half", "censored").messages
    )


def test_no_session_has_the_hazard_of_two(trial: pd.DataFrame) -> None:
    """Two sessions in a row have the hazard of one twice as long: survival multiplies, hazards add on the log scale."""
    linear = np.linspace(-3, 1, 9)[None]
    rows = OutcomeRows(FAMILY["hazard"], np.zeros(9), {})
    np.testing.assert_allclose(2 * rows.log_density(linear), rows.log_density(linear + np.log(2)))


def test_separation_is_said(trial: pd.DataFrame) -> None:
    """A predictor that settles a 0/1 outcome is named, for hazards too."""
    frame = trial.assign(left=(trial["alliance"] > 5).astype(float))
    for family in ("bernoulli", "hazard"):
        text = HEAD + equation("left", "alliance + (1 | patient)", extra=f'family = "{family}"')
        made = ba.make_design(ba.parse_model(text), ba.read_sessions(frame, ROLES))
        assert any(message.startswith("Separation: 'alliance'") for message in made.messages)
