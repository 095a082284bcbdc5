"""Residual SDs that follow a formula: shares of variance, estimands, fewer rows, a truth recovered, refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_alliance as ba
from bayes_alliance.comparison.integration import integrated_density
from bayes_alliance.comparison.units import find_units
from bayes_alliance.design.moments import variance_moments
from bayes_alliance.design.subset import keep_rows
from bayes_alliance.expectation.linear import stack_draws
from bayes_alliance.expectation.outcomes import drawn_rows
from bayes_alliance.posterior.variance import shares_of
from bayes_alliance.simulate.prior import draw_parameters
from tests.build.test_equations import HEAD, equation
from tests.conftest import ROLES

SIGMA = 'sigma = "1 + week + condition + (1 + week | patient)"\n'
STEADIER = equation("score", "week + condition + (1 | patient)", extra=SIGMA)


@pytest.fixture(scope="module")
def made(trial: pd.DataFrame) -> ba.Design:
    """Return a design whose residual SD follows week, condition and patients."""
    return design_of(STEADIER, trial)


def design_of(text: str, frame: pd.DataFrame, **named: object) -> ba.Design:
    """Return the design of a model on the small trial."""
    arms = "condition" in text
    return ba.make_design(
        ba.parse_model(HEAD + text),
        ba.Study(
            ba.read_sessions(frame, ROLES),
            columns={"condition": "arm"} if arms else {},
            reference={"condition": "TAU"} if arms else {},
            **named,  # type: ignore[arg-type]
        ),
    )


def drawn(design: ba.Design, draws: int = 200) -> xr.Dataset:
    """Return draws from the priors with effects of their own SDs, uncorrelated where there is no correlation."""
    rng = np.random.default_rng(1)
    found = draw_parameters(design, draws=draws, seed=1)
    for factor in design.factors:
        sd = found[f"sd_{factor.factor}"].values
        size = (*sd.shape[:2], len(factor.levels), sd.shape[-1])
        dims = ("chain", "draw", factor.factor, f"{factor.factor}_effect")
        values = xr.DataArray(rng.normal(size=size) * sd[:, :, None], dims=dims)
        coords = {factor.factor: list(factor.levels), f"{factor.factor}_effect": list(factor.effects)}
        found[f"u_{factor.factor}"] = values.assign_coords(coords)
    return found


def test_every_parameter_is_named_and_has_its_prior(made: ba.Design, trial: pd.DataFrame) -> None:
    """Coefficients, SDs and correlations of the log SD stand beside the mean's; priors count from log SDs."""
    priors = {p.parameter: str(p.distribution) for p in made.priors.table()}
    assert made.linear_predictors[1].name == "sigma(score)"
    assert priors["b[sigma(score), Intercept]"] == f"normal({np.log(made.equation.y.std(ddof=1)) - 0.5:.4g}, 0.7)"
    assert priors["sd_patient[sigma(score), Intercept]"] == "half_normal(0.5)"
    assert not any(name.startswith("sigma[") for name in priors)
    own = design_of(STEADIER, trial, priors={"sigma(score): b week": "normal(0, 0.1)", "b": "normal(0, 9)"})
    stated = {p.parameter: str(p.distribution) for p in own.priors.table()}
    assert stated["b[sigma(score), week]"] == "normal(0, 0.1)"
    assert stated["b[sigma(score), arm[MBCT]]"] == priors["b[sigma(score), arm[MBCT]]"]
    assert stated["b[score, week]"] == "normal(0, 9)"


def test_rows_have_the_spread_that_is_written_out(made: ba.Design) -> None:
    """The exponential of the formula, row by row, with the effects of the row's patient."""
    posterior = drawn(made, 5)
    flat = stack_draws(posterior)
    got = drawn_rows(made, made.equation, flat).given["sigma"]
    part = made.linear_predictors[1]
    b = flat["b"].sel(coef=list(part.coef_labels)).transpose("sample", "coef").values
    (group,) = part.groups
    u = flat["u_patient"].sel(patient_effect=list(part.effect_labels(group))).transpose("sample", "patient", ...).values
    for row in (0, 7, len(got[0]) - 1):
        z = b @ part.coef.values[row]
        own = (u[:, group.code[row]] * group.values[row]).sum(axis=1)
        np.testing.assert_allclose(got[:, row], np.exp(z + own))


def test_shares_of_variance_by_simulation(made: ba.Design) -> None:
    """The residual share uses the mean of squared SDs over rows and new patients, as many patients drawn give it."""
    posterior = drawn(made, 3)
    shares = shares_of(posterior, variance_moments(made, made.equation))["share_residual"]
    part, rng = made.linear_predictors[1], np.random.default_rng(2)
    (group,) = part.groups
    labels, treated = list(part.effect_labels(group)), np.flatnonzero(made.equation.arms.code == 1)
    for i in range(3):
        one = posterior.isel(chain=0, draw=i)
        sd = one["sd_patient"].sel(patient_effect=labels).values
        cor = one["cor_patient"].sel(patient_effect=labels, patient_effect_2=labels).values
        u = rng.multivariate_normal([0, 0], cor * np.outer(sd, sd), 200_000)
        fixed = part.coef.values @ one["b"].sel(coef=list(part.coef_labels)).values
        square = np.mean([np.exp(2 * (fixed[row] + u @ group.values[row])).mean() for row in treated])
        between = float(one["sd_patient"].sel(patient_effect="score, Intercept")) ** 2
        assert float(shares.sel(stratum="rows, MBCT").isel(chain=0, draw=i)) == pytest.approx(
            square / (square + between), rel=0.05
        )


def test_fewer_rows_keep_the_formula(made: ba.Design, trial: pd.DataFrame) -> None:
    """Columns, groups and centring constants of the log SD go with the rows; the fingerprint tells formulas apart."""
    keep = made.equation.session < 6
    less = keep_rows(made, {"score": keep})
    assert less.linear_predictors[1].coef.values.shape == (int(keep.sum()), 3)
    np.testing.assert_array_equal(less.linear_predictors[1].centre, made.linear_predictors[1].centre)
    other = design_of(STEADIER.replace(SIGMA, 'sigma = "1 + week"\n'), trial)
    assert other.fingerprint != made.fingerprint


def test_what_is_left_out(made: ba.Design, trial: pd.DataFrame) -> None:
    """Rows without a predictor of the SD are counted; patients are scored with their SDs integrated out."""
    frame = trial.assign(stress=trial["stress"].where(trial["week"] != 2))
    holed = design_of(equation("score", "week + (1 | patient)", extra='sigma = "1 + stress"'), frame)
    assert holed.equation.ledger["predictor stress missing"] == int((trial["week"] == 2).sum())
    assert len(holed.linear_predictors[1].coef.values) == len(holed.equation.y)
    plain = design_of(equation("score", "week + (1 | patient)", extra='sigma = "1 + week"'), trial)
    density = integrated_density(plain, find_units(plain, "patient"), stack_draws(drawn(plain, 4)))
    assert np.isfinite(density).all()


@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        ("0 + week", "has no intercept: the residual SD at predictors of 0 would be 1"),
        ("1 + score", "reads the outcome 'score'. Read predictors"),
        ('1 + between(stress, patient, means="latent")', "reads latent means. Take observed ones"),
        ("1 + surface(alliance, stress)", r"surface\(\) belongs into the formula of the mean"),
        ("1 + week +", r"1 \+ week \+"),
    ],
)
def test_formulas_that_are_refused(sigma: str, message: str) -> None:
    """A formula of the log SD has an intercept and reads observed predictors."""
    with pytest.raises(ba.SpecError, match=message):
        ba.parse_model(HEAD + equation("score", "week + (1 | patient)", extra=f"sigma = '{sigma}'"))


def test_a_bare_name_is_a_factor(trial: pd.DataFrame) -> None:
    """A number named alone is refused with both ways out; counts have no residual SD whatever the formula."""
    with pytest.raises(ba.DesignError, match='Or let the log SD change with the number: sigma = "1 \\+ week"'):
        design_of(equation("score", "condition + (1 | patient)", extra='sigma = "week"'), trial)
    with pytest.raises(ba.SpecError, match="a bernoulli outcome has no residual SD"):
        ba.parse_model(HEAD + equation("y", "x", extra='family = "bernoulli"\nsigma = "1 + x"'))


STUDY = equation("y", "session + (1 | patient)", extra='sigma = "1 + session + (1 | patient)"')
TRUTH = {
    "b[y, Intercept]": 10.0,
    "b[y, session]": -0.5,
    "b[sigma(y), Intercept]": 0.5,
    "b[sigma(y), session]": -0.12,
    "sd_patient[y, Intercept]": 1.5,
    "sd_patient[sigma(y), Intercept]": 0.4,
}
LABELS = """
[labels]
calm = "sigma(y) ~ session"
[estimands.per_session]
value = "exp(calm)"
unit = "times the residual SD per session"
"""


@pytest.mark.slow
def test_a_truth_is_recovered() -> None:
    """Fitted by NUTS, every parameter and the change of the SD per session lie near their truth."""
    spec = ba.parse_model(HEAD + STUDY + LABELS)
    layout = ba.Layout(patients=150, sessions=(0, 1, 2, 3, 4, 5, 6, 7))
    table = ba.simulate_sessions(spec, layout, truth=TRUTH, seed=3)
    fit = ba.fit_model(spec, table, seed=1, settings=ba.SamplerSettings(progress="off"))
    assert fit.passed
    found = ba.compare_with_truth(fit, table.truth)
    assert (np.abs(found["mean"] - found["truth"]) < found["eti95_ub"] - found["eti95_lb"]).all()
    change = fit.data["estimands"]["value"].sel(estimand="per_session")
    assert float(change.mean()) == pytest.approx(np.exp(-0.12), abs=4 * float(change.std()))
    assert all(check.passed for check in ba.diagnose(fit).checks)


@pytest.mark.slow
def test_calibration_at_small_n() -> None:
    """Truths drawn from the priors rank evenly among the draws of forty studies."""
    layout = ba.Layout(patients=30, sessions=(0, 1, 2, 3, 4))
    priors = {"intercept": "normal(0, 1)", "b session": "normal(0, 0.3)", "sd patient": "half_normal(1)"}
    found = ba.calibrate(ba.parse_model(HEAD + STUDY), layout, n=40, seed=3, priors=priors, progress="off")
    assert found.passed, found
