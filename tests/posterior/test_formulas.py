"""Formulas of parameters: their names, priors and refusals; expected outcomes and shares against Monte Carlo."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import special

import bayes_alliance as ba
from bayes_alliance.design.moments import variance_moments
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.posterior.variance import shares_of
from bayes_alliance.spec.equations import equation_latex, equation_text
from tests.build.test_equations import HEAD, equation
from tests.conftest import ROLES
from tests.truth.fits import make_fit

ZEROS = (
    equation(
        "events",
        "week + condition + (1 | patient)",
        extra='family = "zero_inflated_poisson"\nzi = "1 + condition + (1 | patient)"\n',
    )
    + '[groups.patient]\ncorrelate = ["events", "zi(events)"]\n'
)


@pytest.fixture(scope="module")
def made(trial: pd.DataFrame) -> ba.Design:
    """Return a design of counts whose means and extra zeros differ between patients, together."""
    return design_of(ZEROS, trial)


def design_of(text: str, trial: pd.DataFrame, **named: object) -> ba.Design:
    """Return the design of a model on the small trial, with counts."""
    frame = trial.assign(events=np.floor(trial["stress"].abs()), done=np.rint(trial["pre"] / 2).clip(0, 20))
    return ba.make_design(
        ba.parse_model(HEAD + text),
        ba.Study(ba.read_sessions(frame, ROLES), columns={"condition": "arm"}, reference={"condition": "TAU"}, **named),  # type: ignore[arg-type]
    )


def test_parameters_with_formulas_are_named_and_have_priors(made: ba.Design) -> None:
    """Coefficients and effects are listed after those of the mean; the parameter itself is no single number."""
    priors = {p.parameter: str(p.distribution) for p in made.priors.table()}
    assert priors["b[zi(events), Intercept]"] == "normal(-1, 1.5)"
    assert priors["sd_patient[zi(events), Intercept]"] == "half_normal(0.5)"
    assert not any(name.startswith("zi[") for name in priors)
    (factor,) = made.factors
    assert factor.effects == ("events, Intercept", "zi(events), Intercept")
    assert [len(block.members) for block in factor.blocks] == [2]
    plain = ba.parse_model(HEAD + ZEROS)
    assert plain == ba.parse_model(ba.write_model(plain))
    assert "logit zi ~ 1 + condition + (1 | patient)" in equation_text(plain.equation[0])
    assert r"\mathrm{logit}\, \pi_n &= \gamma_0" in equation_latex(plain.equation[0])


def test_expected_counts_against_monte_carlo(made: ba.Design) -> None:
    """New patients' effects on the mean and on the zeros go together: the product has no closed form."""
    fit = make_fit(made, size=0.8)
    got = ba.marginal_effects(fit, "condition", values=["TAU", "MBCT"])["mean"]
    e, rng = made.equation, np.random.default_rng(1)
    zi = e.parameters["zi"]
    rows = e.coef.values.copy(), zi.coef.values.copy()
    for number, level in enumerate(("TAU", "MBCT")):
        for values, labels in zip(rows, (e.coef.labels, zi.coef.labels), strict=True):
            values[:, labels.index("arm[MBCT]")] = number
        one = with_effects(fit).isel(chain=1, draw=1)
        sd = one["sd_patient"].values
        u = rng.multivariate_normal([0, 0], one["cor_patient"].values * np.outer(sd, sd), 100_000)
        eta = rows[0] @ one["b"].sel(coef=list(e.coef_labels)).values
        logit = rows[1] @ one["b"].sel(coef=list(zi.coef_labels)).values
        distinct, counts = np.unique(np.column_stack([eta, logit]), axis=0, return_counts=True)
        each = [np.exp(a + u[:, 0]) * special.expit(-(b + u[:, 1])) for a, b in distinct]
        mean = np.average([own.mean() for own in each], weights=counts)
        error = np.average([own.std() for own in each], weights=counts) / np.sqrt(len(u))
        assert float(got.sel(condition=level).isel(chain=1, draw=1)) == pytest.approx(mean, abs=5 * error)


def test_shares_of_variance_against_monte_carlo(made: ba.Design) -> None:
    """The residual variance is averaged over rows and over patients' own chances of a zero."""
    fit = make_fit(made, size=0.8)
    posterior = with_effects(fit)
    shares = shares_of(posterior, variance_moments(made, made.equation))["share_residual"]
    e, rng = made.equation, np.random.default_rng(2)
    own, level = e.parameters["zi"], float(e.y.mean())
    one = posterior.isel(chain=0, draw=1)
    sd = one["sd_patient"].values
    chosen = e.arms.code == 1  # type: ignore[union-attr]
    logit = np.unique(own.coef.values[chosen] @ one["b"].sel(coef=list(own.coef_labels)).values)
    zi = special.expit(logit[:, None] + sd[1] * rng.normal(size=200_000))
    residual = np.log1p(1 / level + zi / (1 - zi)).mean()
    expected = residual / (residual + sd[0] ** 2)
    assert float(shares.sel(stratum="rows, MBCT").isel(chain=0, draw=1)) == pytest.approx(expected, rel=0.01)


REFUSED = [
    (
        'family = "poisson"\nzi = "1 + week"',
        "a poisson outcome has no zi. Its parameters: none. Families with zi",
    ),
    ('phi = "1 + week"', "a gaussian outcome has no phi. Its parameters: 'sigma'. Families with phi: 'ordered_beta'"),
    ('family = "zero_inflated_poisson"\nzi = "0 + week"', "the zero inflation at predictors of 0 would be 0.5"),
    ('family = "zero_inflated_poisson"\nsigma = "1 + week"', "a zero_inflated_poisson outcome has no residual SD"),
    ('family = "student_t"\nnu = "1 + events"', "reads the outcome 'events'. Read predictors"),
    ('family = "zero_inflated"', "'zero_inflated' is not allowed"),
    ('family = "gaussian"\nxi = "1 + week"', "Unknown key 'xi'"),
]


@pytest.mark.parametrize(("extra", "message"), REFUSED)
def test_formulas_that_are_refused(extra: str, message: str) -> None:
    """A family unknown to the list, and formulas of parameters that a family has not, are said before any data."""
    with pytest.raises(ba.SpecError, match=message):
        ba.parse_model(HEAD + equation("events", "week + (1 | patient)", extra=extra))


def test_effects_of_different_factors_do_not_correlate() -> None:
    """A location-scale correlation needs effects of one factor on both."""
    text = equation("score", "week + (1 | patient)", extra='sigma = "1 + (1 | therapist)"\n')
    text += '[groups.patient]\ncorrelate = ["score", "sigma(score)"]\n'
    with pytest.raises(
        ba.SpecError, match=r"'sigma\(score\)' has no effects by patient. Effects of different factors do"
    ):
        ba.parse_model(HEAD + text)


@pytest.mark.parametrize(
    ("family", "column", "message"),
    [
        ("zero_inflated_poisson", "negative", r"that are no counts in 2 rows: patient 'P01' session 1 \(-1\)"),
        (
            "zero_inflated_negative_binomial",
            "fraction",
            r"that are no counts in 1 row: patient 'P01' session 1 \(0.5\)",
        ),
        ("poisson", "fraction", "that are no counts in 1 row"),
        (
            "lognormal",
            "zero",
            r"not above 0 in 2 rows: patient 'P01' session 1 \(0\), patient 'P01' session 3",
        ),
        ("gamma", "negative", r"that are not above 0 in 2 rows: .* Take gaussian or censored"),
    ],
)
def test_values_that_families_do_not_have(trial: pd.DataFrame, family: str, column: str, message: str) -> None:
    """Negative and fractional counts, and numbers that are not above 0, are named row by row."""
    good = trial["week"].to_numpy(float).copy()
    order = trial.sort_values(["pid", "week"]).index[:2]
    place = trial.index.get_indexer(order)
    values = {"negative": [-1.0, -2.0], "fraction": [0.5, 3.0], "zero": [0.0, 0.0]}[column]
    good[place] = values
    text = equation("events", "1 + (1 | patient)", extra=f'family = "{family}"')
    first = trial.loc[order[0], "pid"]
    with pytest.raises(ba.DesignError, match=message.replace("P01", str(first))):
        ba.make_design(ba.parse_model(HEAD + text), ba.read_sessions(trial.assign(events=good), ROLES))


TRUTHS = {
    "zero inflation": (
        'family = "zero_inflated_poisson"\nzi = "1 + session"\n',
        {"b[zi(y), Intercept]": -1.0, "b[zi(y), session]": 0.3},
    ),
    "precision": (
        'family = "beta_binomial"\ntrials = 12\nphi = "1 + session"\n',
        {"b[phi(y), Intercept]": 1.0, "b[phi(y), session]": 0.3},
    ),
    "evenness": (
        'family = "gamma"\nshape = "1 + session"\n',
        {"b[shape(y), Intercept]": 0.5, "b[shape(y), session]": 0.2},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", TRUTHS)
def test_a_truth_is_recovered(what: str) -> None:
    """Fitted by NUTS, every parameter lies within two widths of its interval of the truth, and checks pass."""
    extra, more = TRUTHS[what]
    spec = ba.parse_model(HEAD + equation("y", "session + (1 | patient)", extra=extra))
    truth = {"b[y, Intercept]": 0.7, "b[y, session]": -0.1, "sd_patient[y, Intercept]": 0.5, **more}
    table = ba.simulate_sessions(spec, ba.Layout(patients=150, sessions=(0, 1, 2, 3, 4, 5)), truth=truth, seed=3)
    fit = ba.fit_model(spec, table, seed=1, settings=ba.SamplerSettings(progress="off"))
    assert fit.passed
    found = ba.compare_with_truth(fit, table.truth)
    assert len(found) == len(truth)
    assert (np.abs(found["mean"] - found["truth"]) < found["eti95_ub"] - found["eti95_lb"]).all()


@pytest.mark.slow
def test_location_and_scale_that_correlate_are_recovered() -> None:
    """Patients who start higher vary more: the correlation of level and log SD is found, and patients are scored."""
    text = equation("y", "session + (1 | patient)", extra='sigma = "1 + session + (1 | patient)"\n')
    spec = ba.parse_model(HEAD + text + '[groups.patient]\ncorrelate = ["y", "sigma(y)"]\n')
    truth = {
        "b[y, Intercept]": 10.0,
        "b[y, session]": -0.5,
        "b[sigma(y), Intercept]": 0.3,
        "b[sigma(y), session]": -0.1,
        "sd_patient[y, Intercept]": 1.5,
        "sd_patient[sigma(y), Intercept]": 0.4,
        "cor_patient[y, Intercept | sigma(y), Intercept]": 0.6,
    }
    layout = ba.Layout(patients=150, sessions=tuple(range(10)))
    table = ba.simulate_sessions(spec, layout, truth=truth, seed=3)
    fit = ba.fit_model(spec, table, seed=1, settings=ba.SamplerSettings(progress="off"))
    assert fit.passed
    found = ba.compare_with_truth(fit, table.truth)
    assert len(found) == len(truth)
    assert (np.abs(found["mean"] - found["truth"]) < found["eti95_ub"] - found["eti95_lb"]).all()
    alone = ba.fit_model(
        ba.parse_model(HEAD + text), table, seed=1, settings=ba.SamplerSettings(progress="off", draws=500)
    )
    scores = ba.compare({"together": ba.loo(fit, draws=300), "apart": ba.loo(alone, draws=300)})
    assert len(scores.table) == 2
