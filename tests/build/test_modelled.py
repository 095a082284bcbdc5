"""Missing values, errors of measurement, ratings, steps and series: log-densities by SciPy, from the table itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayes_alliance as ba
from bayes_alliance.build.model import check_log_density
from bayes_alliance.names import value_name
from tests.build.oracle import density, evaluate
from tests.conftest import ROLES

HEAD = 'title = "t"\nquestion = "q?"\n'

BASELINE = """
[[equation]]
outcome = "pre"
unit = "patient"
formula = "iip_pre"
{extra}

[[equation]]
outcome = "score"
unit = "session"
formula = "mi(pre) * week + (0 + mi(pre) | therapist)"
"""

RATED = """
[[equation]]
outcome = "skill"
unit = "therapist"
formula = "1"
raters = ["rater_1", "rater_2", "rater_3"]
missing = "model"

[[equation]]
outcome = "post"
unit = "patient"
formula = "mi(skill) + iip_pre"
"""

SERIES = """
[[equation]]
outcome = "score"
unit = "session"
formula = "mo(grade) * iip_pre + week"
residuals = "ar1"
"""


def table(trial: pd.DataFrame) -> ba.SessionTable:
    """Return the trial with gaps, several raters, an ordered predictor and errors of known size."""
    rng = np.random.default_rng(3)
    frame = trial.copy()
    people = sorted(set(frame["pid"]))
    frame["known_error"] = frame["pid"].map({p: 0.5 + i / 30 for i, p in enumerate(people)})
    frame.loc[frame["pid"].isin(people[::5]), "pre"] = np.nan
    frame["grade"] = frame["pid"].map({p: float(1 + i % 4) for i, p in enumerate(people)})
    for k in range(3):
        rated = {
            t: float(i) + rng.normal(0, 0.4) if (i + k) % 4 else np.nan for i, t in enumerate(sorted(set(frame["tid"])))
        }
        frame[f"rater_{k + 1}"] = frame["tid"].map(rated)
    frame.loc[frame["tid"] == "T5", ["rater_1", "rater_2", "rater_3"]] = np.nan
    return ba.read_sessions(frame, ROLES)


def design(text: str, trial: pd.DataFrame) -> ba.Design:
    """Return the design of a model over that table."""
    return ba.make_design(ba.parse_model(HEAD + text), table(trial))


def invert(mean: float, sd: float, error: float, score: float | None, true: float) -> tuple[float, float]:
    """Return the standard normal that stands for a true value, and its share of the change of variables.

    Conditioning a bivariate normal of (true value, score) on the score.
    """
    if score is None:
        return (true - mean) / sd, np.log(sd)
    covariance = np.array([[sd**2, sd**2], [sd**2, sd**2 + error**2]])
    centre = mean + covariance[0, 1] / covariance[1, 1] * (score - mean)
    left = np.sqrt(covariance[0, 0] - covariance[0, 1] ** 2 / covariance[1, 1])
    return (true - centre) / left, np.log(left)


@pytest.mark.parametrize(
    "extra", ['missing = "model"', 'missing = "model"\nerror = 1.5', 'missing = "model"\nerror = "known_error"']
)
def test_missing_and_mismeasured_baseline(extra: str, trial: pd.DataFrame) -> None:
    """True baselines count once per patient, whatever was measured of them, and carry to every session."""
    made = design(BASELINE.format(extra=extra), trial)
    model = ba.build_model(made.spec, made, parametrization="centred")
    frame, rng = table(trial).frame, np.random.default_rng(5)
    patients = frame.groupby("pid").first()
    b = rng.normal(0, 1, 6)
    sigma, sd = rng.uniform(0.8, 2, 2), rng.uniform(0.3, 1)
    u = dict(zip(sorted(set(frame["tid"])), rng.normal(0, 0.5, 6), strict=True))
    true, total, z, jacobian = {}, 0.0, [], 0.0
    centre_iip = patients["iip_pre"].mean()
    measured = "error" in extra
    for pid, row in patients.iterrows():
        mean = b[0] + b[1] * (row["iip_pre"] - centre_iip)
        error = row["known_error"] if "known" in extra else 1.5
        if np.isnan(row["pre"]):
            true[pid] = rng.normal(20, 3)
            total += stats.norm.logpdf(true[pid], mean, sigma[0])
        elif measured:
            true[pid] = rng.normal(20, 3)
            total += stats.norm.logpdf(true[pid], mean, sigma[0]) + stats.norm.logpdf(row["pre"], true[pid], error)
        else:
            true[pid] = row["pre"]
            total += stats.norm.logpdf(row["pre"], mean, sigma[0])
            continue
        one, share = invert(mean, sigma[0], error, None if np.isnan(row["pre"]) else row["pre"], true[pid])
        z.append(one)
        jacobian += share
    # columns are centred with the observed mean in place of what is missing
    plugged = frame["pid"].map(patients["pre"].fillna(patients["pre"].mean())).to_numpy()
    week = frame["week"].to_numpy()
    at = np.array([true[p] for p in frame["pid"]])
    intercept = b[2] - b[3] * plugged.mean() - b[4] * week.mean() - b[5] * (plugged * week).mean()
    mu = intercept + b[3] * at + b[4] * week + b[5] * at * week + frame["tid"].map(u).to_numpy() * at
    total += stats.norm.logpdf(frame["score"], mu, sigma[1]).sum()
    priors = made.priors
    total += sum(density(p.distribution, v) for p, v in zip(priors.coef, b, strict=True))
    total += sum(density(p.distribution, v) for p, v in zip(priors.sigma, sigma, strict=True))
    total += density(priors.sd["therapist"][0].distribution, sd) + stats.norm.logpdf(list(u.values()), 0, sd).sum()
    values = {
        "b_centred": b,
        "sigma": sigma,
        "sd_therapist": np.array([sd]),
        "u_therapist": np.array(list(u.values()))[:, None],
        f"z_{value_name('pre')}": np.array(z),
    }
    assert evaluate(model, values) == pytest.approx(total + jacobian, rel=1e-9)
    check_log_density(ba.build_model(made.spec, made))


def test_raters_tell_their_error(trial: pd.DataFrame) -> None:
    """Every single rating counts around the true score of its therapist; one nobody rated has its own prior."""
    made = design(RATED, trial)
    model = ba.build_model(made.spec, made, parametrization="centred")
    frame, rng = table(trial).frame, np.random.default_rng(6)
    b, sigma, error = rng.normal(0, 1, 4), rng.uniform(0.8, 2, 2), rng.uniform(0.3, 1)
    therapists, patients = frame.groupby("tid").first(), frame.groupby("pid").first()
    true, total, z, jacobian, constant = {}, 0.0, [], 0.0, 0.0
    for tid, row in therapists.iterrows():
        ratings = row[["rater_1", "rater_2", "rater_3"]].dropna().to_numpy(float)
        true[tid] = rng.normal(3, 2)
        total += stats.norm.logpdf(true[tid], b[0], sigma[0]) + stats.norm.logpdf(ratings, true[tid], error).sum()
        count = len(ratings)
        score = ratings.mean() if count else None
        one, share = invert(b[0], sigma[0], error / np.sqrt(max(count, 1)), score, true[tid])
        z.append(one)
        jacobian += share
        # what the model leaves out: it counts the mean of the ratings and their sum of squares
        constant += -0.5 * (count - 1) * np.log(2 * np.pi) - 0.5 * np.log(count) if count else 0.0
    at = patients["tid"].map(true).to_numpy(float)
    seen = therapists[["rater_1", "rater_2", "rater_3"]].mean(axis=1)
    plugged = patients["tid"].map(seen.fillna(seen.mean())).to_numpy(float)
    other = patients["iip_pre"].to_numpy()
    mu = b[1] + b[2] * (at - plugged.mean()) + b[3] * (other - other.mean())
    total += stats.norm.logpdf(patients["post"], mu, sigma[1]).sum()
    priors = made.priors
    total += sum(density(p.distribution, v) for p, v in zip(priors.coef, b, strict=True))
    total += sum(density(p.distribution, v) for p, v in zip(priors.sigma, sigma, strict=True))
    total += density(priors.shapes["error"][0].distribution, error)
    values = {"b_centred": b, "sigma": sigma, "error": np.array([error]), f"z_{value_name('skill')}": np.array(z)}
    assert evaluate(model, values) == pytest.approx(total + jacobian - constant, rel=1e-9)


@pytest.mark.parametrize("ar", [0.6, -0.5])
def test_steps_and_series(ar: float, trial: pd.DataFrame) -> None:
    """Residuals of a patient are one normal whose correlations are powers of the distance; steps add up to the way."""
    made = design(SERIES, trial)
    model = ba.build_model(made.spec, made)
    frame, rng = table(trial).frame, np.random.default_rng(7)
    b, sigma, steps = rng.normal(0, 1, 5), rng.uniform(1, 2), rng.dirichlet(np.full(3, 2.0))
    way = np.array([0.0, steps[0], steps[0] + steps[1], 1.0])
    grade, iip, week = (frame[name].to_numpy() for name in ("grade", "iip_pre", "week"))
    at, plugged = way[(grade - 1).astype(int)], (grade - 1) / 3
    columns = np.column_stack([at, iip, week, at * iip])
    constants = np.array([plugged.mean(), iip.mean(), week.mean(), (plugged * iip).mean()])
    labels = [label.removeprefix("score, ") for label in made.equation.coef_labels]
    order = [labels.index(name) for name in ("mo(grade)", "iip_pre", "week", "mo(grade):iip_pre")]
    mu = b[0] + (columns - constants) @ b[order]
    total, y = 0.0, frame["score"].to_numpy()
    for _, rows in frame.groupby("pid").indices.items():
        distance = np.abs(week[rows][:, None] - week[rows])
        covariance = sigma**2 * np.sign(ar) ** distance * np.abs(ar) ** distance
        total += stats.multivariate_normal(mu[rows], covariance).logpdf(y[rows])
    priors = made.priors
    total += sum(density(p.distribution, v) for p, v in zip(priors.coef, b, strict=True))
    total += density(priors.sigma[0].distribution, sigma)
    total += stats.dirichlet.logpdf(steps, np.full(3, priors.steps["step_score_grade"].distribution.values[0]))
    total += stats.beta.logpdf((ar + 1) / 2, 2, 2)
    values = {
        "b_centred": b,
        "sigma": np.array([sigma]),
        "ar_unit": np.array([(ar + 1) / 2]),
        "step_score_grade": steps,
    }
    assert evaluate(model, values) == pytest.approx(total, rel=1e-9)


def test_gaps_are_respected(trial: pd.DataFrame) -> None:
    """A row follows the patient's latest session, over the distance in session numbers."""
    series = design(SERIES, trial).equation.series
    frame = table(trial).frame
    assert series is not None
    expected = frame.groupby("pid")["week"].diff().fillna(0).to_numpy()
    np.testing.assert_array_equal(series.distance, expected)
    assert (expected > 1).any()
