"""The probit link: its tails, closed forms beside quadrature, default priors, words, and what other families refuse."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
import pytest
from mpmath import mp, mpf
from scipy import special, stats

import bayes_alliance as ba
from bayes_alliance.build.outcome import curves as graphs
from bayes_alliance.diagnosis.cards import spec_digest
from bayes_alliance.expectation.categories import Category, probability
from bayes_alliance.outcome.contract import OutcomeRows
from bayes_alliance.outcome.curves import LOGISTIC, LOGITS_PER_PROBIT, NORMAL, curve_of
from bayes_alliance.outcome.families import FAMILY, PROBIT
from bayes_alliance.outcome.normal_effects import integrate, integrate_same
from bayes_alliance.outcome.scale import ObservedOutcome
from bayes_alliance.report.parts import models_section
from bayes_alliance.simulate.prior import draw_parameters
from bayes_alliance.spec.defaults import PROBIT_REASONS, defaults_for
from bayes_alliance.spec.equations import equation_latex, equation_text
from tests.build.test_equations import HEAD, equation
from tests.conftest import ROLES
from tests.outcome.cases import CASES, normal_cdf, normal_pdf
from tests.outcome.test_contract import rows_of
from tests.posterior.test_propagation import flat
from tests.posterior.test_setting import draws_of
from tests.truth.fits import make_fit

MOVED = ("bernoulli", "binomial", "cumulative")


def stated(family: str, link: str = "probit", outcome: str = "dropout", extra: str = "") -> str:
    """Return a model of one equation."""
    further = f'family = "{family}"\nlink = "{link}"\n{extra}'
    return HEAD + equation(outcome, "week + (1 | patient)", extra=further)


# arithmetic


def test_two_curves_agree_at_the_scale_of_default_priors() -> None:
    """A logistic curve of 1.7 x is never .01 away from the normal one, and no other factor does much better."""
    x = np.linspace(-8, 8, 4001)
    apart = {k: np.abs(special.expit(k * x) - special.ndtr(x)).max() for k in (1.5, 1.6, LOGITS_PER_PROBIT, 1.8)}
    assert apart[LOGITS_PER_PROBIT] < 0.01
    assert min(apart, key=lambda k: apart[k]) == LOGITS_PER_PROBIT


@pytest.mark.parametrize("x", [-1e6, -1e4, -250.0, -199.0, -30.0, -3.0, 0.0, 3.0, 30.0, 40.0])
def test_derivatives_in_the_tails(x: float) -> None:
    """Of the log of the normal curve, with 60 digits."""
    first, second = NORMAL.log_derivatives(np.array([x]))
    ratio = normal_pdf(mpf(x)) / normal_cdf(mpf(x)) if x > -1e4 else -mpf(x) * (1 + 1 / mpf(x) ** 2 - 2 / mpf(x) ** 4)
    with mp.workdps(120):
        want = -ratio * (mpf(x) + ratio)
    assert first[0] == pytest.approx(float(ratio), rel=1e-12, abs=1e-300)
    assert second[0] == pytest.approx(float(want), rel=1e-10, abs=1e-300)


@pytest.mark.parametrize("width", [1e-6, 1e-3, 0.5, 4.0])
def test_narrow_intervals_in_the_tails(width: float) -> None:
    """The log of their probability and its derivatives, and the graph of it, by definition."""
    low = np.array([-60.0, -9.0, -0.2, 0.0, 0.3, 12.0, 50.0])
    found = NORMAL.log_between(low, low + width)
    first, second = NORMAL.derivatives_between(low, low + width)
    built = graphs.NORMAL.log_between(pt.as_tensor(low), pt.as_tensor(low + width)).eval()

    def between(shift: mpf, start: float) -> mpf:
        a, b = mpf(start) - shift, mpf(start) + mpf(width) - shift
        return mp.log(normal_cdf(-a) - normal_cdf(-b) if a > 0 else normal_cdf(b) - normal_cdf(a))

    want = [float(between(mpf(0), one)) for one in low]
    step = mpf(10) ** -15
    slopes = [[float(mp.diff(lambda s, o=one: between(s, o), 0, n, h=step)) for one in low] for n in (1, 2)]
    np.testing.assert_allclose(found, want, rtol=1e-9)
    np.testing.assert_allclose(built, want, rtol=1e-9)
    # a normal density hardly bends within a narrow interval: what is left of terms near 1 / width loses digits
    np.testing.assert_allclose(first, slopes[0], rtol=1e-9, atol=1e-9 / width)
    np.testing.assert_allclose(second, slopes[1], rtol=1e-7, atol=1e-9 / width**2)


def test_the_graph_has_finite_derivatives_far_out() -> None:
    """Of the log of the curve, of intervals with open ends, and of quantiles of tiny shares, all of them compiled."""
    x = pt.dvector("x")
    curve = graphs.NORMAL
    parts = (
        curve.log_cdf(x),
        curve.log_between(-1e4 - x, 0.5 - x),
        curve.log_between(0.5 - x, 1e4 - x),
        curve.quantile(pt.sigmoid(x), pt.sigmoid(-x)),
    )
    at = np.array([-300.0, -37.0, -3.0, 0.2, 3.0, 37.0, 300.0])
    for value in parts:
        slope = pt.grad(value.sum(), x)
        assert np.isfinite(value.eval({x: at})).all()
        assert np.isfinite(slope.eval({x: at})).all()
    share = np.array([1e-12, 0.01, 0.5, 0.7, 1 - 1e-12])
    got = curve.quantile(pt.as_tensor(share), pt.as_tensor(1 - share)).eval()
    np.testing.assert_allclose(got, special.ndtri(share), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(NORMAL.quantile(share), special.ndtri(share))


def test_no_other_link_has_a_curve() -> None:
    """Neither as numbers nor as a graph."""
    for find in (curve_of, graphs.curve_of):
        with pytest.raises(ValueError, match="No symmetric latent variable is behind the link cloglog"):
            find("cloglog")


# closed forms


@pytest.mark.parametrize("sd", [0.0, 0.1, 1.0, 4.0, 12.0])
def test_the_closed_form_is_the_quadrature_rule(sd: float) -> None:
    """Phi(eta / sqrt(1 + v)) beside the trapezoidal rule that other links take, of every draw."""
    linear = np.random.default_rng(1).normal(0, 3, (40, 30))
    variance = np.full(linear.shape, sd**2)
    found = NORMAL.cdf_over(linear, variance)
    np.testing.assert_allclose(found, integrate(special.ndtr, linear, np.sqrt(variance)), atol=1e-8)
    many = np.random.default_rng(2).normal(0, 3, (400, 300))
    spread = np.full(many.shape, sd)
    np.testing.assert_allclose(NORMAL.cdf_over(many, spread**2), integrate_same(special.ndtr, many, spread), atol=3e-7)


@pytest.mark.parametrize("name", ["bernoulli probit", "binomial probit", "cumulative probit"])
def test_expectations_are_those_of_the_rule(name: str) -> None:
    """The expected outcome and the probability of every category, beside the rule over the same functions."""
    rows = rows_of(name)
    linear = np.random.default_rng(3).normal(0, 1.5, (4, 5))
    variance = np.random.default_rng(4).uniform(0, 4, (4, 5))
    by_rule = integrate(rows.expected, linear, np.sqrt(variance))
    np.testing.assert_allclose(rows.expected_over(linear, variance), by_rule, atol=3e-8)
    if rows.family.trials:
        return
    values = (0.0, 1.0) if rows.family.binary else (1.0, 2.0, 3.0)
    chances = []
    for value in values:
        own = OutcomeRows(rows.family, np.full(5, value), rows.given, rows.scale)
        chances.append(probability(Category("", value), rows, linear, variance))
        right = integrate(lambda at, own=own: np.exp(own.log_density(at)), linear, np.sqrt(variance))
        np.testing.assert_allclose(chances[-1], right, atol=3e-8)
    np.testing.assert_allclose(sum(chances), 1.0, atol=1e-12)


def test_predictions_average_over_new_patients(trial: pd.DataFrame) -> None:
    """Of a fit with known draws: Phi(eta / sqrt(1 + v)) written out, and category probabilities from it."""
    made = ba.make_design(ba.parse_model(stated("bernoulli")), ba.read_sessions(trial, ROLES))
    fit = make_fit(made)
    draws, e = draws_of(fit), made.equation
    b = draws["b"].transpose("sample", ...).values
    sd = draws["sd_patient"].transpose("sample", ...).values[:, 0]
    right = special.ndtr(b @ e.coef.values.T / np.sqrt(1 + sd[:, None] ** 2))
    found = ba.predictions(fit)
    np.testing.assert_allclose(flat(found)[:, 0], right.mean(axis=1), rtol=1e-9)
    chance = flat(ba.predictions(fit, what="probability"))
    np.testing.assert_allclose(chance[:, 1], right.mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(chance.sum(axis=1), 1.0)
    assert ba.predictions(fit, what="linear").draws["unit"].values.tolist() == ["probits"]
    odds = flat(ba.comparisons(fit, "week", scale="odds ratio"))  # of probabilities, whatever the link
    assert np.isfinite(odds).all()
    shares = ba.variance_shares(fit)
    assert shares.attrs["scale"] == "latent probit scale, residual variance 1"
    got = shares["share_patient"].isel(stratum=0).values.ravel()
    np.testing.assert_allclose(got, sd**2 / (sd**2 + 1), rtol=1e-12)


# default priors


def test_default_priors_are_those_of_a_logit_over_1_7(trial: pd.DataFrame) -> None:
    """Intercept, coefficients and SDs, of therapists too; the intercept counts from the probit of the mean."""
    table, found = ba.read_sessions(trial, ROLES), {}
    for link in ("logit", "probit"):
        text = stated("bernoulli", link).replace("(1 | patient)", "(1 | patient) + (1 | therapist)")
        made = ba.make_design(ba.parse_model(text), table)
        found[link] = {prior.parameter: prior for prior in made.priors.table()}
    assert found["logit"].keys() == found["probit"].keys()
    for parameter, prior in found["probit"].items():
        of_logit = found["logit"][parameter].distribution
        for name in ("sigma", "nu"):
            if name == "nu" and prior.distribution.family == "normal":
                continue
            ratio = of_logit.value(name) / prior.distribution.value(name)
            assert ratio == pytest.approx(LOGITS_PER_PROBIT if name == "sigma" else 1.0)
        assert prior.reason in PROBIT_REASONS.values()
        assert "log-odds" not in prior.reason
    share = made.equation.y.mean()
    assert found["probit"]["b[dropout, Intercept]"].distribution.value("mu") == pytest.approx(stats.norm.ppf(share))
    assert found["logit"]["b[dropout, Intercept]"].distribution.value("mu") == pytest.approx(special.logit(share))


def test_what_priors_claim_is_about_the_same_behind_both_links(trial: pd.DataFrame) -> None:
    """Draws of coefficients are in probits per SD of the predictor; shares of variance are like those of a logit."""
    table, claims = ba.read_sessions(trial, ROLES), {}
    for link in ("logit", "probit"):
        made = ba.make_design(ba.parse_model(stated("bernoulli", link)), table)
        claims[link] = ba.describe_prior(made, draws=2000, seed=1).set_index("name")
    assert claims["probit"].loc["b[dropout, week]", "scale"] == "probits per predictor SD"
    ratio = claims["logit"].loc["b[dropout, week]", "q95"] / claims["probit"].loc["b[dropout, week]", "q95"]
    assert ratio == pytest.approx(LOGITS_PER_PROBIT)
    line = "share_patient[rows]"
    assert claims["probit"].loc[line, "median"] == pytest.approx(claims["logit"].loc[line, "median"], abs=0.05)


def test_thresholds_have_the_shares_that_priors_say(trial: pd.DataFrame) -> None:
    """Drawn without PyMC, the shares of categories at average predictors are even; so they are in the built model."""
    table = ba.read_sessions(trial.assign(steps=trial["rating"].clip(3, 6).round()), ROLES)
    text = stated("cumulative", outcome="steps")
    made = ba.make_design(ba.parse_model(text), table)
    e = made.equation
    drawn = draw_parameters(made, draws=4000, seed=1)
    cuts = drawn["threshold"].values.reshape(4000, -1) - (drawn["b"].values.reshape(4000, -1) @ e.centre)[:, None]
    np.testing.assert_allclose(special.ndtr(cuts).mean(axis=0), np.arange(1, 4) / 4, atol=0.02)
    model = ba.build_model(made.spec, made)
    share, threshold, b = pm.draw([model["share_steps"], model["threshold"], model["b"]], draws=5, random_seed=1)
    np.testing.assert_allclose(special.ndtr(threshold - (b @ e.centre)[:, None]), np.cumsum(share, axis=1)[:, :-1])


@pytest.mark.parametrize("name", MOVED)
def test_built_outcomes_can_be_drawn(name: str) -> None:
    """From the built model, with the mean that the family expects."""
    case = CASES[f"{name} probit"]
    frame = pd.DataFrame(
        {"pid": list("abcdef"), "week": np.ones(6), "x": [0.3, -1.0, 2.0, 0.0, 1.0, -0.4], "y": case.outcomes}
    )
    text = HEAD + equation("y", "x", extra=f'family = "{name}"\n{case.extra}', unit="patient")
    made = ba.make_design(ba.parse_model(text), ba.read_sessions(frame, {"patient": "pid", "session": "week"}))
    model, e = ba.build_model(made.spec, made), made.equation
    named = [model["y"], model["b"], *([model["threshold"]] if e.kind.thresholds else [])]
    y, b, *cuts = pm.draw(named, draws=4000, random_seed=2, mode="FAST_COMPILE")
    given = {"threshold": cuts[0]} if cuts else {}
    want = OutcomeRows(e.kind, e.y, given, e.scale).expected(b @ e.coef.values.T) * (8 if e.kind.trials else 1)
    np.testing.assert_allclose(y.mean(axis=0), want.mean(axis=0), atol=5 * y.std() / np.sqrt(4000))
    assert np.corrcoef(y[:, 2], want[:, 2])[0, 1] > 0.5


def test_scales_of_a_study() -> None:
    """The probit of the mean and 1 / 1.7; how far an outcome moves per probit is the normal density there."""
    y = np.array([0.0, 1.0, 1.0, 1.0])
    kind = PROBIT["bernoulli"]
    scale = kind.make_scale(ObservedOutcome("y", y))
    assert kind.linear_level(y, scale) == pytest.approx((stats.norm.ppf(0.75), 1 / 1.7))
    assert kind.steepness(y, scale) == pytest.approx(stats.norm.pdf(stats.norm.ppf(0.75)))
    assert kind.linear_level(np.zeros(4), scale)[0] == pytest.approx(stats.norm.ppf(1 / 8))
    assert all(own.latent_variance({}, 0.3) == 1.0 for own in PROBIT.values())
    assert NORMAL.variance == 1.0 != LOGISTIC.variance


# the model language


@pytest.mark.parametrize("family", [name for name in FAMILY if name not in PROBIT])
@pytest.mark.parametrize("link", ["probit", "logit"])
def test_other_families_take_no_link(family: str, link: str) -> None:
    """They are named with those that do, whatever is stated."""
    kind = FAMILY[family]  # type: ignore[index]
    extra = "trials = 8" if kind.trials else ""
    right = (
        f"link = '{link}' of 'dropout': family {family} has one link, {kind.link}, and takes no other. "
        "Families that take link = \"logit\" or \"probit\": 'bernoulli', 'binomial', 'cumulative'."
    )
    with pytest.raises(ba.SpecError, match=re.escape(right)):
        ba.parse_model(stated(family, link, extra=extra))


@pytest.mark.parametrize("link", ["cloglog", "identity", "Probit", ""])
def test_an_unknown_link(link: str) -> None:
    """It is named with those there are."""
    with pytest.raises(ba.SpecError, match=r"equation\[1\].link: .* is not allowed. Valid: 'logit' or 'probit'"):
        ba.parse_model(stated("bernoulli", link))


def test_a_link_that_is_no_text() -> None:
    """It is refused like any other value of a wrong type."""
    with pytest.raises(ba.SpecError, match=r"equation\[1\].link"):
        ba.parse_model(HEAD + equation("dropout", "week", extra='family = "bernoulli"\nlink = 1'))


@pytest.mark.parametrize("family", MOVED)
def test_models_without_a_link_are_what_they_were(family: str) -> None:
    """A stated logit, the default, is no other model: the same text, the same digest. A probit is another one."""
    extra = "trials = 8" if family == "binomial" else ""
    plain = ba.parse_model(HEAD + equation("dropout", "week + (1 | patient)", extra=f'family = "{family}"\n{extra}'))
    logit, probit = (ba.parse_model(stated(family, link, extra=extra)) for link in ("logit", "probit"))
    assert logit == plain
    assert "link" not in ba.write_model(plain)
    assert spec_digest(logit) == spec_digest(plain) != spec_digest(probit)
    assert ba.parse_model(ba.write_model(probit)) == probit
    assert probit.equation[0].kind is PROBIT[family]  # type: ignore[index]
    assert plain.equation[0].kind is FAMILY[family]  # type: ignore[index]


def test_words_of_a_probit_equation() -> None:
    """Text, LaTeX, reasons of default priors: the link is said, and nothing speaks of odds."""
    right = {
        "bernoulli": r"\mathrm{Bernoulli}(\Phi(\eta_n))",
        "binomial": r"\mathrm{Binomial}(m_n, \Phi(\eta_n))",
        "cumulative": r"\le k) &= \Phi(\tau_k - \eta_n)",
    }
    for family, latex in right.items():
        spec = ba.parse_model(stated(family, extra="trials = 8" if family == "binomial" else ""))
        assert f"({family}, probit link, one row per session)" in equation_text(spec.equation[0])
        assert latex in equation_latex(spec.equation[0])
        kind = spec.equation[0].kind
        said = [*(prior.reason for _, prior in defaults_for(spec)), kind.unit, kind.words, kind.latent_scale]
        assert not [text for text in said if re.search("odds|logit", text)]
    both = ba.parse_model(stated("bernoulli") + equation("score", "week + (1 | patient)"))
    reasons = [prior.reason for on, prior in defaults_for(both) if on == "every coefficient"]
    assert len(reasons) == 2


def test_the_report_says_the_link() -> None:
    """In words, from the record of a run; a record without a link, of an earlier version, is of a logit."""
    equation = {"outcome": "y", "unit": "session", "family": "bernoulli", "formula": "week", "latex": "y"}
    equation |= {"rows_used": 9, "rows_read": 9, "levels": {}}
    said = {}
    for link in ("probit", None, ""):
        stated_link = {} if link == "" else {"link": link}
        facts = {"title": "T", "question": "Q?", "equations": [{**equation, **stated_link}]}
        model = {"facts": facts, "provenance": {"columns": {}}}
        said[link] = str(models_section({"m": model}, {"m": ""}, {"m": {}}))
    assert "0 or 1, with probits that add up" in said["probit"]
    assert said[None] == said[""] == said["probit"].replace("probits", "log-odds")
