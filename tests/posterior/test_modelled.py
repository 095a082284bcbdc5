"""Modelled values, steps, series, memberships and shrinkage: rows worked out from draws, and truths recovered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import optimize, stats

import bayes_alliance as ba
from bayes_alliance.diagnosis.predictive import loo_pit
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.expectation.expected import variance_of_effects
from bayes_alliance.expectation.linear import stack_draws
from bayes_alliance.expectation.new_data import move
from bayes_alliance.expectation.outcomes import replicate, row_densities
from bayes_alliance.names import value_name
from bayes_alliance.simulate.prior import draw_parameters
from bayes_alliance.spec.model_parsing import make_model
from tests.conftest import ROLES
from tests.design.test_modelled import MEMBERS, equation, frame_of, model

QUIET = ba.SamplerSettings(draws=1000, tune=1000, progress="off", target_accept=0.95)


def drawn(design: ba.Design, draws: int = 5) -> xr.Dataset:
    """Return draws from the priors, with effects and modelled values at random."""
    rng = np.random.default_rng(1)
    found = draw_parameters(design, draws=draws, seed=1)
    for factor in design.factors:
        dims = ("chain", "draw", factor.factor, f"{factor.factor}_effect")
        values = rng.normal(size=(1, draws, len(factor.levels), len(factor.effects)))
        coords = {factor.factor: list(factor.levels), f"{factor.factor}_effect": list(factor.effects)}
        found[f"u_{factor.factor}"] = xr.DataArray(values, dims=dims, coords=coords)
    for e in design.equations:
        if e.modelled is not None:
            dims = ("chain", "draw", f"modelled_{e.outcome}")
            values = rng.normal(20, 3, size=(1, draws, len(e.modelled.rows)))
            found[value_name(e.outcome)] = xr.DataArray(values, dims=dims)
    return found


def test_rows_follow_what_is_modelled(trial: pd.DataFrame) -> None:
    """Densities of rows read true values, and rows of what was measured have both variances; missing ones have none."""
    spec = model(
        equation("pre", "iip_pre", missing="model", error=1.5),
        equation("post", "mi(pre) + (1 | therapist)"),
        **MEMBERS,
    )
    made = ba.make_design(spec, ba.read_sessions(frame_of(trial), ROLES))
    flat = stack_draws(drawn(made))
    densities = row_densities(made, flat)
    people = frame_of(trial).groupby("pid").first()
    b = flat["b"].to_pandas()
    for draw in range(5):
        mean = b.loc[draw, "pre, Intercept"] + b.loc[draw, "pre, iip_pre"] * people["iip_pre"]
        sigma = flat["sigma"].sel(sigma_coef="pre").values[draw]
        own = stats.norm.logpdf(people["pre"], mean, np.hypot(sigma, 1.5))
        np.testing.assert_allclose(densities["pre"][draw], np.nan_to_num(own), rtol=1e-9)
        true = flat[value_name("pre")].values[draw]
        u = flat["u_therapist"].to_numpy()[draw, :, 0]
        place = {level: i for i, level in enumerate(made.factors[0].levels)}
        shared = [
            w * u[place[t]] + (v * u[place[s]] if s else 0.0)
            for t, s, w, v in zip(people["tid"], people["second"], people["w_1"], people["w_2"], strict=True)
        ]
        mean = b.loc[draw, "post, Intercept"] + b.loc[draw, "post, mi(pre)"] * true + np.array(shared)
        sigma = flat["sigma"].sel(sigma_coef="post").values[draw]
        np.testing.assert_allclose(densities["post"][draw], stats.norm.logpdf(people["post"], mean, sigma), rtol=1e-9)


def test_rows_in_series_add_up_to_one_normal(trial: pd.DataFrame) -> None:
    """Conditional densities of a patient's rows add up to that of all of them; replicates have these correlations."""
    spec = model(equation("score", "mo(grade) + week + (1 + mo(stress_class) | patient)", "session", residuals="ar1"))
    frame = frame_of(trial).assign(stress_class=lambda f: f["stress"].round().clip(2, 4))
    made = ba.make_design(spec, ba.read_sessions(frame, ROLES))
    flat = stack_draws(drawn(made, 4000))
    flat["ar"] = flat["ar"] * 0 + 0.7
    densities = row_densities(made, flat.isel(sample=slice(3)))["score"]
    rows = made.equation
    sorted_frame = frame.sort_values(["pid", "week"]).reset_index(drop=True)
    for draw in range(3):
        b = flat["b"].isel(sample=draw).to_pandas()
        grade = np.cumsum([0, *flat["step_score_grade"].values[draw]])[(sorted_frame["grade"] - 1).astype(int)]
        stress = np.cumsum([0, *flat["step_score_stress_class"].values[draw]])[
            (sorted_frame["stress_class"] - 2).astype(int)
        ]
        code = pd.factorize(sorted_frame["pid"], sort=True)[0]
        u = flat["u_patient"].values[draw]
        mean = b["score, Intercept"] + b["score, mo(grade)"] * grade + b["score, week"] * sorted_frame["week"]
        mean = (mean + u[code, 0] + u[code, 1] * stress).to_numpy()
        sigma = float(flat["sigma"].values[draw, 0])
        for patient in ("P00", "P05"):
            own = np.flatnonzero(sorted_frame["pid"] == patient)
            weeks = sorted_frame["week"].to_numpy()[own]
            covariance = sigma**2 * 0.7 ** np.abs(weeks[:, None] - weeks)
            whole = stats.multivariate_normal(mean[own], covariance).logpdf(sorted_frame["score"].to_numpy()[own])
            assert densities[draw, own].sum() == pytest.approx(whole, rel=1e-9)
    still = flat.copy()
    still["sigma"], still["b"], still["u_patient"] = flat["sigma"] * 0 + 1, flat["b"] * 0, flat["u_patient"] * 0
    made_anew = replicate(made, still, np.random.default_rng(2))["score"]
    own = np.flatnonzero(rows.patient == "P00")
    weeks = rows.session[own]
    np.testing.assert_allclose(np.corrcoef(made_anew[:, own].T), 0.7 ** np.abs(weeks[:, None] - weeks), atol=0.06)


def test_what_is_not_worked_out_is_refused(trial: pd.DataFrame) -> None:
    """Leaving out says which models it does not know, and what to do."""
    table = ba.read_sessions(frame_of(trial), ROLES)
    settings = ba.SamplerSettings(draws=20, tune=20, chains=2, progress="off")
    fit = ba.fit_model(model(equation("post", "1 + (1 | therapist)"), **MEMBERS), table, seed=1, settings=settings)
    with pytest.raises(ba.FitError, match="rows belong to several levels of therapist at once"):
        ba.loo(fit, unit="therapist")


@pytest.fixture(scope="module")
def fitted(trial: pd.DataFrame) -> ba.Fit:
    """Return a short fit of a model with missing baselines, steps, and residuals in series."""
    spec = model(
        equation("pre", "iip_pre", missing="model"),
        equation("score", "mi(pre) * condition + mo(grade) * session + (1 | patient)", "session", residuals="ar1"),
    )
    return ba.fit_model(
        spec,
        ba.Study(
            ba.read_sessions(frame_of(trial), ROLES), columns={"condition": "arm"}, reference={"condition": "TAU"}
        ),
        seed=1,
        settings=ba.SamplerSettings(draws=50, tune=100, chains=2, progress="off"),
    )


def test_setting_predictors_reads_modelled_values_and_steps(fitted: ba.Fit, trial: pd.DataFrame) -> None:
    """With condition and ordered predictor set, means are averages over rows at true values and estimated steps."""
    fit, table = fitted, ba.read_sessions(frame_of(trial), ROLES)
    flat = stack_draws(with_effects(fit))
    frame = table.frame
    people = sorted(set(frame["pid"][frame["pre"].isna()]))
    b = flat["b"].to_pandas().rename(columns=lambda label: label.removeprefix("score, "))
    step = np.cumsum(np.pad(flat["step_score_grade"].values, ((0, 0), (1, 0))), axis=1)

    def mean(draw: int, arm: float, grade: np.ndarray, week: np.ndarray) -> float:
        true = frame["pre"].copy()
        for number, pid in enumerate(people):
            true[frame["pid"] == pid] = flat[value_name("pre")].values[draw, number]
        c, way = b.loc[draw], step[draw, grade.astype(int) - 1]
        y = c["Intercept"] + c["mi(pre)"] * true + c["arm[MBCT]"] * arm + c["mi(pre):arm[MBCT]"] * true * arm
        y = y + c["mo(grade)"] * way + c["week"] * week + c["mo(grade):week"] * way * week
        return float(y.mean())

    found = ba.marginal_effects(fit, "condition", values=["TAU", "MBCT"], at={"grade": [1, 3]}, outcome="score")[
        "mean"
    ].stack(sample=("chain", "draw"))
    week, grade = frame["week"].to_numpy(), frame["grade"].to_numpy()
    for draw in (0, 17):
        for i, arm in enumerate((0.0, 1.0)):
            for j, one in enumerate((1, 3)):
                expected = mean(draw, arm, np.full(len(frame), one), week)
                assert float(found[i, j, draw]) == pytest.approx(expected, rel=1e-9)
    course = ba.predict_trajectories(fit, outcome="score", points=3).stack(sample=("chain", "draw"))
    for i, arm in enumerate((0.0, 1.0)):
        for at, number in enumerate(course["session"].values):
            expected = mean(17, arm, grade, np.full(len(frame), number))
            assert float(course[i, at, 17]) == pytest.approx(expected, rel=1e-9)
    with pytest.raises(ba.FitError, match="'grade' has no category '7'; it has '1', '2', '3', '4'"):
        # in this table the grade tells the arm, which is therefore stated
        ba.marginal_effects(fit, "grade", values=[1, 7], at={"condition": ["TAU"]}, outcome="score")


def test_judging_leaves_rows_without_an_outcome_aside(fitted: ba.Fit, trial: pd.DataFrame, tmp_path: Path) -> None:
    """Checks compare observed rows with their own replicates; a fit from disk says the same; scores are refused."""
    people = frame_of(trial).groupby("pid").first()
    checks = ba.predictive_checks(fitted, draws=50)
    own = checks[(checks["outcome"] == "pre") & checks["figure"].str.startswith("share at or beyond the highest")]
    seen = people["pre"].dropna()
    assert own["observed"].item() == pytest.approx((seen >= seen.max()).mean())
    assert len(loo_pit(fitted)["pre"][0]) == len(seen)
    assert "pre" in str(ba.diagnose(fitted))
    fitted.save(tmp_path / "fit")
    again = ba.load_fit(tmp_path / "fit")
    pd.testing.assert_frame_equal(ba.summarize(again), ba.summarize(fitted))
    table = ba.read_sessions(frame_of(trial), ROLES)
    with pytest.raises(ba.FitError, match=r"Leaving out by patient is not worked out.*values of 'pre' are modelled"):
        ba.loo(fitted)
    with pytest.raises(ba.FitError, match=r"'pre' has one row per patient"):
        ba.leave_future_out(fitted, table, seed=1)


def test_effects_of_shared_rows_count_by_their_weights(trial: pd.DataFrame) -> None:
    """The variance of a row's effect is the sum of squared weights times the SD squared, slopes included."""
    spec = model(
        equation("dropout", "iip_pre + (1 + iip_pre || therapist)", family="bernoulli"),
        **MEMBERS,
    )
    made = ba.make_design(spec, ba.read_sessions(frame_of(trial), ROLES))
    flat = stack_draws(drawn(made, 3))
    people = frame_of(trial).groupby("pid").first()
    squares = (people["w_1"] ** 2 + people["w_2"] ** 2).to_numpy()
    sd = flat["sd_therapist"].values
    expected = squares * (sd[:, [0]] ** 2 + sd[:, [1]] ** 2 * people["iip_pre"].to_numpy() ** 2)
    np.testing.assert_allclose(
        variance_of_effects(move(made, made.equation, {}), flat, {"therapist": "new"}), expected, rtol=1e-9
    )


def test_a_stated_reliability_is_that_of_the_scores() -> None:
    """Simulated scores have the reliability of the model, whatever the SD of the truth; so have deviations."""
    whole = model(equation("x", "1", reliability=0.8), equation("y", "mi(x)"))
    truth = {"b[x, Intercept]": 3.0, "sigma[x]": 2.0, "b[y, Intercept]": 0.0, "b[y, mi(x)]": 1.0, "sigma[y]": 0.1}
    table = ba.simulate_sessions(whole, {"patients": 6000}, truth=truth, seed=2)
    assert table.frame["x"].var() == pytest.approx(4 / 0.8, rel=0.05)
    within = model(equation("x", "1 + (1 | patient)", "session", reliability=0.5))
    truth = {"b[x, Intercept]": 3.0, "sd_patient[x, Intercept]": 4.0, "sigma[x]": 2.0}
    table = ba.simulate_sessions(within, {"patients": 800, "sessions": [1, 2, 3, 4, 5]}, truth=truth, seed=2)
    assert table.frame.groupby("patient")["x"].var().mean() == pytest.approx(4 / 0.5, rel=0.05)


# --- what follows samples -------------------------------------------------------------------------------------------


def pairs(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return SYNTHETIC true scores, scores with an error SD of 0.6, and outcomes 2 + 0.8 true + noise of SD 1."""
    rng = np.random.default_rng(seed)
    true = rng.normal(5, 1, n)
    return true, true + rng.normal(0, 0.6, n), 2 + 0.8 * true + rng.normal(0, 1, n)


def table_of(**columns: np.ndarray) -> ba.SessionTable:
    """Return a table of patients."""
    size = len(next(iter(columns.values())))
    return ba.read_sessions(
        pd.DataFrame({"patient": [f"p{i:03d}" for i in range(size)], **columns}), {"patient": "patient"}
    )


WIDE: dict[str, str] = {"b": "normal(0, 50)", "intercept": "normal(0, 100)", "sigma": "half_normal(50)"}


@pytest.mark.slow
def test_errors_of_measurement_agree_with_maximum_likelihood() -> None:
    """Under wide priors the slope is cov(x, y) / (var(x) - error^2), which least squares understates (Fuller 1987)."""
    _, score, y = pairs(300, 1)
    spec = model(equation("y", "me(x, sd=0.6)"))
    fit = ba.fit_model(spec, ba.Study(table_of(x=score, y=y), priors=WIDE), seed=1, settings=QUIET)
    covariance = np.cov(score, y)
    slope = covariance[0, 1] / (covariance[0, 0] - 0.36)
    drawn_slope = fit.data["posterior"]["b"].sel(coef="y, mi(x)")
    assert abs(float(drawn_slope.mean()) - slope) < 0.15 * float(drawn_slope.std())
    naive = covariance[0, 1] / covariance[0, 0]
    assert slope - naive > 2 * float(drawn_slope.std())


@pytest.mark.slow
def test_missing_predictors_agree_with_full_information_maximum_likelihood() -> None:
    """Posterior means are the estimates that maximise the likelihood of all that was observed; SDs their errors.

    Values are missing where the outcome is high, so that complete cases are not what the others would have been.
    """
    true, _, y = pairs(400, 2)
    x = np.where(stats.norm.cdf((y - y.mean()) / y.std()) > np.random.default_rng(3).random(400), np.nan, true)
    spec = model(equation("x", "1", missing="model"), equation("y", "mi(x)"))
    fit = ba.fit_model(spec, ba.Study(table_of(x=x, y=y), priors=WIDE), seed=1, settings=QUIET)

    def minus_likelihood(p: np.ndarray) -> float:
        a, b, m, s, t = p[0], p[1], p[2], np.exp(p[3]), np.exp(p[4])
        seen = ~np.isnan(x)
        total = stats.norm.logpdf(x[seen], m, t).sum() + stats.norm.logpdf(y[seen], a + b * x[seen], s).sum()
        return -float(total + stats.norm.logpdf(y[~seen], a + b * m, np.hypot(s, b * t)).sum())

    best = optimize.minimize(minus_likelihood, np.array([2, 0.8, 5, 0, 0.0]), method="BFGS")
    posterior = fit.data["posterior"]["b"]
    slope, intercept = posterior.sel(coef="y, mi(x)"), posterior.sel(coef="y, Intercept")
    steps = 1e-3 * np.eye(5)

    def bend(i: int, j: int) -> float:
        corners = [(s, t, minus_likelihood(best.x + s * steps[i] + t * steps[j])) for s in (1, -1) for t in (1, -1)]
        return sum(s * t * value for s, t, value in corners) / 4e-6

    information = np.array([[bend(i, j) for j in range(5)] for i in range(5)])
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    assert abs(float(slope.mean()) - best.x[1]) < 0.15 * errors[1]
    assert abs(float(intercept.mean()) - best.x[0]) < 0.15 * errors[0]
    assert float(slope.std()) == pytest.approx(errors[1], rel=0.1)
    complete = np.polyfit(x[~np.isnan(x)], y[~np.isnan(x)], 1)[0]
    assert best.x[1] - complete > 2 * errors[1]


@pytest.mark.slow
def test_raters_agree_with_a_one_way_analysis_of_variance() -> None:
    """The error SD is the pooled SD of ratings within therapists, the true scores' SD what is left of their means'."""
    rng = np.random.default_rng(4)
    true = rng.normal(3, 1, 80)
    ratings = true[:, None] + rng.normal(0, 0.7, (80, 3))
    y = 10 - 1.5 * true + rng.normal(0, 1, 80)
    spec = model(equation("y", "me(a, b, c)"))
    columns = {"a": ratings[:, 0], "b": ratings[:, 1], "c": ratings[:, 2]}
    fit = ba.fit_model(spec, ba.Study(table_of(**columns, y=y), priors=WIDE), seed=1, settings=QUIET)
    posterior = with_effects(fit)
    within = np.sqrt(ratings.var(axis=1, ddof=1).mean())
    between = ratings.mean(axis=1).var(ddof=1) - within**2 / 3
    error, spread = posterior["error"][..., 0], posterior["sigma"].sel(sigma_coef="a_b_c")
    assert abs(float(error.mean()) - within) < 0.3 * float(error.std())
    # the outcome tells a little of true scores too, and an SD's posterior is skewed
    assert abs(float(spread.mean()) - np.sqrt(between)) < 0.6 * float(spread.std())
    slope = np.cov(ratings.mean(axis=1), y)[0, 1] / between
    found = posterior["b"].sel(coef="y, mi(a_b_c)")
    assert abs(float(found.mean()) - slope) < 0.3 * float(found.std())


LAYOUT: dict[str, Any] = {"patients": 200, "sessions": [1, 2, 3, 4, 5, 6], "therapists": 20, "missed": 0.15}
STUDIES: dict[str, tuple[ba.ModelSpec, dict[str, Any], dict[str, dict[str, Any]], dict[str, float]]] = {
    "missing and measured with error": (
        model(
            equation("x", "z + (1 | therapist)", missing="model", error=0.5),
            equation("y", "mi(x) * z", "session"),
        ),
        {"missing": {"x": 0.25}},
        {"z": {"unit": "patient"}},
        {
            "b[x, Intercept]": 1.0,
            "b[x, z]": 0.5,
            "b[y, Intercept]": 2.0,
            "b[y, mi(x)]": 0.6,
            "b[y, z]": -0.3,
            "b[y, mi(x):z]": 0.25,
            "sd_therapist[x, Intercept]": 0.4,
            "sigma[x]": 1.0,
            "sigma[y]": 1.5,
        },
    ),
    "steps and series": (
        model(equation("y", "mo(stage) + session + (1 | patient)", "session", residuals="ar1")),
        {},
        {"stage": {"unit": "session", "mean": 3, "sd": 1, "low": 1, "high": 5, "digits": 0}},
        {
            "b[y, Intercept]": 1.0,
            "b[y, mo(stage)]": 2.0,
            "b[y, session]": -0.2,
            "sd_patient[y, Intercept]": 0.8,
            "sigma[y]": 1.0,
            "ar[y]": 0.5,
            "step_y_stage[1 to 2]": 0.1,
            "step_y_stage[2 to 3]": 0.5,
            "step_y_stage[3 to 4]": 0.3,
            "step_y_stage[4 to 5]": 0.1,
        },
    ),
    "two therapists": (
        model(
            equation("y", "session + (1 + session | therapist)", "session"),
            groups={
                "therapist": {
                    "members": ["therapist", "second_therapist"],
                    "weights": ["share_first", "share_second"],
                }
            },
        ),
        {"shared": 0.4, "therapists": 40},
        {},
        {
            "b[y, Intercept]": 3.0,
            "b[y, session]": -0.3,
            "sd_therapist[y, Intercept]": 0.9,
            "sd_therapist[y, session]": 0.25,
            "cor_therapist[y, Intercept | y, session]": -0.3,
            "sigma[y]": 1.0,
        },
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_a_stated_truth_is_recovered(name: str) -> None:
    """Every parameter lies within 3.5 posterior SDs of the truth the study was drawn from, most within 2."""
    spec, layout, variables, truth = STUDIES[name]
    table = ba.simulate_sessions(spec, LAYOUT | layout, truth=truth, seed=5, variables=variables)
    fit = ba.fit_model(spec, table, seed=1, settings=QUIET)
    found = ba.compare_with_truth(fit, table.truth)
    assert len(found) == len(truth)
    z = (found["mean"] - found["truth"]) / ((found["eti95_ub"] - found["eti95_lb"]) / 3.92)
    assert z.abs().max() < 3.5, found
    assert (z.abs() < 2).mean() > 0.7, found


@pytest.mark.slow
@pytest.mark.parametrize("dist", ["horseshoe(2, 4, 2)", "r2d2(0.3, 4, 0.5)"])
def test_shrinkage_keeps_what_matters(dist: str) -> None:
    """Two of twelve correlated predictors matter: they stay, and the others come nearer to 0 than without shrinkage."""
    rng = np.random.default_rng(6)
    root = np.linalg.cholesky(0.5 * np.eye(12) + 0.5)
    x = rng.normal(size=(120, 12)) @ root.T
    b = np.array([0.8, -0.6, *np.zeros(10)])
    names = [f"x{i}" for i in range(12)]
    table = table_of(**dict(zip(names, x.T, strict=True)), y=x @ b + rng.normal(0, 1, 120))
    plain = {"title": "t", "question": "q?", "equation": [equation("y", " + ".join(names))]}
    shrunk = plain | {"shrink": {"all": {"terms": names, "dist": dist, "reason": "Few matter."}}}
    least, ours = (
        ba.fit_model(make_model(content), table, seed=1, settings=QUIET).data["posterior"]["b"].mean(("chain", "draw"))
        for content in (plain, shrunk)
    )
    z = np.array([float(ours.sel(coef=f"y, {name}")) for name in names])
    without = np.array([float(least.sel(coef=f"y, {name}")) for name in names])
    assert np.abs(z[:2] - b[:2]).max() < 0.35
    assert np.sqrt((z[2:] ** 2).mean()) < 0.6 * np.sqrt((without[2:] ** 2).mean())
