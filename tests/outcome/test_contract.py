"""What every family of outcomes must do; a family is added to ``cases`` with its definition."""

from __future__ import annotations

import re
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from mpmath import mp, mpf
from scipy import special

import bayes_alliance as ba
from bayes_alliance.outcome.contract import OutcomeRows
from bayes_alliance.outcome.families import FAMILY, PROBIT, FamilyName
from bayes_alliance.spec.equations import equation_latex
from tests.build.test_equations import HEAD, equation
from tests.outcome.cases import CASES, KINDS, Case, Numbers

each_family = pytest.mark.parametrize("name", KINDS)


def rows_of(name: str) -> OutcomeRows:
    """Return the rows of a case, with parameters of shape (1, obs)."""
    case = CASES[name]
    given = {parameter: np.array([values]) for parameter, values in case.given.items()}
    if case.thresholds:
        given["threshold"] = np.array([case.thresholds])
    return OutcomeRows(KINDS[name], np.array(case.y), given, case.scale)


def numbers_of(case: Case, row: int) -> Numbers:
    """Return the numbers of one row of a case, for its definition."""
    given = {name: mpf(values[row]) for name, values in case.given.items()}
    given |= {f"threshold {k}": mpf(cut) for k, cut in enumerate(case.thresholds)} | {"cuts": mpf(len(case.thresholds))}
    given |= {"low": mpf(case.scale.bounds[0]), "high": mpf(case.scale.bounds[1])}
    return given | ({} if case.scale.trials is None else {"trials": mpf(case.scale.trials[row])})


def predictors(name: str) -> np.ndarray:
    """Return linear predictors from the middle far out into both tails, shape (point, obs)."""
    middle = np.random.default_rng(1).normal(0, 1.5, (3, 5))
    far = CASES[name].far
    return np.concatenate([middle, np.repeat([[-far], [-far / 3], [far / 3], [far]], 5, axis=1)])


def oracle(name: str, what: str, linear: np.ndarray) -> np.ndarray:
    """Return logs of densities or of distribution functions by definition, of the shape of ``linear``."""
    case = CASES[name]
    found = np.empty_like(linear)
    for point, row in np.ndindex(*linear.shape):
        value = getattr(case, what)(mpf(case.y[row]), mpf(linear[point, row]), numbers_of(case, row))
        found[point, row] = float(mp.log(value)) if value > 0 else -np.inf
    return found


def test_the_list_the_names_and_the_oracles_are_the_same() -> None:
    """Each name has a family that calls itself so, and a definition to hold it to."""
    assert set(get_args(FamilyName.__value__)) == set(FAMILY)
    assert set(CASES) == set(KINDS)
    assert all(family.name == name for name, family in (*FAMILY.items(), *PROBIT.items()))
    assert all(kind.link == "probit" != FAMILY[name].link for name, kind in PROBIT.items())


@each_family
def test_log_density(name: str) -> None:
    """By definition, to ten digits, far into the tails; a log-density of nearly 0 to 14 decimals."""
    linear = predictors(name)
    np.testing.assert_allclose(
        rows_of(name).log_density(linear), oracle(name, "density", linear), rtol=1e-10, atol=1e-14
    )


@each_family
def test_log_distribution_function(name: str) -> None:
    """By definition, to eight digits, far into the lower tail; near 1 its distance from 1 is lost."""
    linear = predictors(name)
    want = oracle(name, "cdf", linear)
    np.testing.assert_allclose(rows_of(name).log_cdf(linear), want, rtol=1e-8, atol=1e-14)


@each_family
def test_derivatives(name: str) -> None:
    """First and second derivative of the log-density by definition, differentiated with 60 digits."""
    case, linear = CASES[name], predictors(name)
    first, second = rows_of(name).derivatives(linear)
    for point, row in np.ndindex(*linear.shape):
        numbers = numbers_of(case, row)

        def log_density(eta: mpf, row: int = row, numbers: Numbers = numbers) -> mpf:
            return mp.log(case.density(mpf(case.y[row]), eta, numbers))

        want = [float(mp.diff(log_density, mpf(linear[point, row]), n, h=mpf(10) ** -15)) for n in (1, 2)]
        assert first[point, row] == pytest.approx(want[0], rel=1e-7, abs=1e-15)
        assert second[point, row] == pytest.approx(want[1], rel=1e-6, abs=1e-15)


@each_family
def test_information_is_positive_and_finite(name: str) -> None:
    """Also where the density is lost in its tail; it is the observed information where that is positive everywhere."""
    rows = rows_of(name)
    for far in (-600.0, -30.0, 0.0, 30.0, 600.0):
        linear = np.full((1, len(rows.y)), far)
        information = rows.information(linear)
        assert (information > 0).all()
        assert np.isfinite(information).all()
        assert np.isfinite(np.concatenate(rows.derivatives(linear))).all()
    assert (rows.family.sharpest(rows) > 0).all()


@each_family
def test_quantiles_invert_the_distribution_function(name: str) -> None:
    """The quantile is the smallest outcome whose probability of being reached is p or more."""
    rows, linear = rows_of(name), np.random.default_rng(2).normal(0, 0.7, (1, 5))
    for p in (1e-6, 0.02, 0.3, 0.5, 0.77, 0.999):
        found = rows.quantile(linear, np.full(linear.shape, p))
        reached = np.exp(at(rows, found[0]).log_cdf(linear))
        assert (reached >= p * (1 - 1e-9)).all()
        step = 1.0 if rows.family.whole or rows.family.binary else 1e-6
        before = np.exp(at(rows, found[0] - step).log_cdf(linear))
        lowest = found <= (rows.scale.bounds[0] if np.isfinite(rows.scale.bounds[0]) else 0.0)
        discrete = rows.family.whole or rows.family.binary
        assert ((before < p * (1 + 1e-6)) | (lowest & (discrete or rows.family.bounds != "none"))).all()


def at(rows: OutcomeRows, y: np.ndarray) -> OutcomeRows:
    """Return rows with other outcomes."""
    return OutcomeRows(rows.family, y, rows.given, rows.scale)


@each_family
def test_the_expected_outcome_is_the_mean_of_the_quantiles(name: str) -> None:
    """Integrated over a fine grid that reaches far into both tails; of successes as a share of their trials."""
    rows, linear = rows_of(name), np.random.default_rng(3).normal(0, 0.7, (1, 5))
    z = np.linspace(-8, 8, 8001)[:, None]
    weight = np.exp(-0.5 * z**2)
    values = rows.quantile(np.repeat(linear, len(z), axis=0), np.broadcast_to(special.ndtr(z), (len(z), 5)))
    mean = (weight * values).sum(axis=0) / weight.sum()
    if rows.scale.trials is not None:
        mean = mean / rows.scale.trials
    np.testing.assert_allclose(rows.expected(linear)[0], mean, rtol=2e-3, atol=2e-3)


@each_family
def test_draws_follow_the_distribution_function(name: str) -> None:
    """Of 20,000 draws so many lie at or below each outcome as the distribution function says; none leaves the scale."""
    rows, linear = rows_of(name), np.random.default_rng(4).normal(0, 0.7, (1, 5))
    many = rows.draw(np.repeat(linear, 20_000, axis=0), np.random.default_rng(5))
    low, high = rows.scale.bounds
    assert low <= many.min()
    assert many.max() <= high
    assert not rows.family.whole or (many == np.rint(many)).all()
    for p in (0.05, 0.3, 0.6, 0.9):
        edge = rows.quantile(linear, np.full(linear.shape, p))[0]
        chance = np.exp(at(rows, edge).log_cdf(linear))[0]
        error = np.sqrt(chance * (1 - chance) / len(many)) + 1e-12
        assert (np.abs((many <= edge).mean(axis=0) - chance) < 5 * error).all()


@each_family
def test_a_normal_effect_is_integrated_out_of_the_mean(name: str) -> None:
    """The expected outcome with an effect in its predictor, against a fine grid over the effect."""
    rows, linear = rows_of(name), np.random.default_rng(6).normal(0, 0.7, (1, 5))
    variance = np.array([[0.0, 0.3, 1.0, 2.0, 0.5]])
    z = np.linspace(-9, 9, 3001)
    weight = np.exp(-0.5 * z**2)
    grid = np.stack([rows.expected(linear + one * np.sqrt(variance))[0] for one in z])
    want = (weight[:, None] * grid).sum(axis=0) / weight.sum()
    np.testing.assert_allclose(rows.expected_over(linear, variance)[0], want, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.binary or kind.thresholds])
def test_a_normal_effect_is_integrated_out_of_categories(name: str) -> None:
    """The probability of a category with an effect in its predictor, against a fine grid over the effect."""
    rows, linear = rows_of(name), np.random.default_rng(8).normal(0, 0.7, (1, 5))
    variance = np.array([[0.0, 0.3, 1.0, 2.0, 0.5]])
    z = np.linspace(-9, 9, 3001)
    weight = np.exp(-0.5 * z**2)
    grid = np.stack([np.exp(rows.log_density(linear + one * np.sqrt(variance)))[0] for one in z])
    want = (weight[:, None] * grid).sum(axis=0) / weight.sum()
    own = slice(None) if rows.family.measure == "probability" else rows.scale.side(rows.y) != 0
    np.testing.assert_allclose(rows.category_over(linear, variance)[0, own], want[own], rtol=1e-6)


@each_family
def test_the_built_density_is_this_one(name: str) -> None:
    """What the PyMC model observes has the family's log-density, row by row, at points near and far."""
    case = CASES[name]
    text = HEAD + equation("y", "x", extra=f'family = "{KINDS[name].name}"\n{case.extra}', unit="patient")
    frame = pd.DataFrame(
        {"pid": list("abcdef"), "week": np.ones(6), "x": [0.3, -1.0, 2.0, 0.0, 1.0, -0.4], "y": case.outcomes}
    )
    design = ba.make_design(ba.parse_model(text), ba.read_sessions(frame, {"patient": "pid", "session": "week"}))
    model, e = ba.build_model(design.spec, design), design.equation
    parts = ["b", *(p.name for p in e.kind.parameters), *["threshold"] * e.kind.thresholds]
    values = model.replace_rvs_by_values([model[part] for part in parts])
    densities = model.logp(vars=model.observed_RVs, sum=False)
    compiled = model.compile_fn([*values, *densities], mode="FAST_COMPILE", inputs=model.value_vars)
    rng = np.random.default_rng(7)
    for size in (0.3, 0.3, 3.0):
        point = {k: v + size * rng.normal(size=np.shape(v)) for k, v in model.initial_point().items()}
        *found, density = compiled(point)
        given = dict(zip(parts, (np.asarray(one)[None] for one in found), strict=True))
        linear = given.pop("b") @ e.coef.values.T
        rows = OutcomeRows(e.kind, e.y, given, e.scale)
        want = rows.log_density(linear)
        got = np.asarray(density)
        np.testing.assert_allclose(got.sum(), want.sum(), rtol=1e-8)
        if got.ndim:
            np.testing.assert_allclose(got, want[0], rtol=1e-8)


@each_family
def test_simulated_outcomes_have_the_expected_mean(name: str) -> None:
    """Outcomes of a study drawn from a stated truth average, session by session, to what the family expects."""
    case = CASES[name]
    text = HEAD + equation("y", "session", extra=f'family = "{KINDS[name].name}"\n{case.extra}')
    layout = ba.Layout(patients=4000, sessions=(0, 1))
    spec = ba.parse_model(text)
    truth = {"b[y, Intercept]": 0.4, "b[y, session]": 0.3} if KINDS[name].intercept else {"b[y, session]": 0.3}
    truth |= {f"{parameter}[y]": float(np.median(values)) for parameter, values in case.given.items()}
    cuts = dict(zip(case.scale.thresholds, case.thresholds, strict=True))
    truth |= {f"threshold[y, {label}]": value for label, value in cuts.items()}
    frame = ba.simulate_sessions(spec, layout, truth=truth, seed=1).frame
    for session in (0.0, 1.0):
        own = frame.loc[frame["session"] == session, "y"].to_numpy(float)
        linear = np.array([[truth.get("b[y, Intercept]", 0.0) + 0.3 * session]])
        given = {parameter: np.array([[float(np.median(values))]]) for parameter, values in case.given.items()}
        given |= {"threshold": np.array([case.thresholds])} if case.thresholds else {}
        mean = float(OutcomeRows(KINDS[name], own[:1], given, case.scale).expected(linear)[0, 0])
        own = own / 8 if KINDS[name].trials else own
        assert abs(own.mean() - mean) < 5 * own.std() / np.sqrt(len(own))


@each_family
def test_variance_around_the_predictor_is_positive(name: str) -> None:
    """On the scale that the family names."""
    family = KINDS[name]
    given = {parameter: np.array(values) for parameter, values in CASES[name].given.items()}
    assert (np.asarray(family.latent_variance(given, 0.4)) > 0).all()
    assert "scale" in family.latent_scale


@each_family
def test_words_and_latex(name: str) -> None:
    """Every parameter stands in the equation by its symbol; words complete a sentence of the report."""
    family = KINDS[name]
    spec = ba.parse_model(HEAD + equation("y", "x", extra=f'family = "{KINDS[name].name}"\n{CASES[name].extra}'))
    latex = equation_latex(spec.equation[0])
    first = latex.splitlines()[1]
    assert first.count("&") == 1
    assert latex.count("{") == latex.count("}")
    assert all(parameter.symbol in first for parameter in family.parameters)
    for text in (family.words, family.values, family.unit, *(p.words for p in family.parameters)):
        assert text
        assert not re.search(r"[.;]$|family|_", text)
    assert all(
        parameter.reason.endswith(".") and parameter.intercept_reason.endswith(".") for parameter in family.parameters
    )


@each_family
def test_default_priors_are_distributions(name: str) -> None:
    """Those of parameters describe positive numbers or shares; those of formulas any number."""
    from bayes_alliance.spec.priors import parse_distribution

    for parameter in KINDS[name].parameters:
        wanted = "positive" if parameter.link == "log" else "unit"
        assert parse_distribution(parameter.prior).support == wanted
        assert parse_distribution(parameter.intercept).support == "real"
