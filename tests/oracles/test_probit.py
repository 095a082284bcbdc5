"""Probit regressions of the toenail trial: our log-density at its maximum beside Fisher scoring written apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import bayes_alliance as ba
from tests.build.test_equations import HEAD, equation

pytestmark = pytest.mark.oracle

FLAT = {"intercept": "normal(0, 1000)", "b": "normal(0, 1000)"}
"""Priors that move no estimate in its first five digits."""

COUNTED = """
[[equation]]
outcome = "severe"
unit = "patient"
family = "binomial"
link = "probit"
trials = "seen"
formula = "treatment"
"""


def toenail(folder: Path) -> pd.DataFrame:
    """Return the rows of the trial with 1 where the infection is moderate or severe."""
    frame = pd.read_csv(folder / "toenail.csv", dtype={"patientID": str})
    frame["severe"] = (frame["outcome"] == "moderate or severe").astype(float)
    return frame[["patientID", "severe", "treatment", "time", "visit"]]


def scoring(x: np.ndarray, y: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """Return the maximum likelihood estimate of a probit regression by Fisher scoring (McCullagh and Nelder 1989)."""
    b = np.zeros(x.shape[1])
    for _ in range(50):
        eta = x @ b
        chance, slope = stats.norm.cdf(eta), stats.norm.pdf(eta)
        weight = trials * slope**2 / (chance * (1 - chance))
        working = eta + (y / trials - chance) / slope
        b = np.linalg.solve(x.T * weight @ x, x.T * weight @ working)
    return b


def highest(design: ba.Design) -> tuple[dict[str, float], float]:
    """Return what has the highest log-density in the built model, and the log-likelihood there."""
    model = ba.build_model(design.spec, design)
    point, names = model.initial_point(), [value.name for value in model.value_vars]
    shapes = [np.shape(point[name]) for name in names]
    density, slope = model.compile_logp(), model.compile_dlogp()
    observed = model.compile_logp(vars=model.observed_RVs)

    def at(flat: np.ndarray) -> dict[str, np.ndarray]:
        parts = np.split(flat, np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1])
        return {name: part.reshape(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}

    start = np.concatenate([np.ravel(point[name]) for name in names])
    found = optimize.minimize(lambda b: -density(at(b)), start, jac=lambda b: -slope(at(b)), method="BFGS", tol=1e-9)
    fixed = at(found.x)
    value = model.replace_rvs_by_values([model["b"]])
    b = model.compile_fn(value, inputs=model.value_vars)(fixed)[0]
    return dict(zip(design.equation.coef_labels, map(float, b), strict=True)), float(observed(fixed))


def test_rows_of_zeros_and_ones(data_folder: Path) -> None:
    """1,908 ratings: coefficients and the log-likelihood at its maximum."""
    frame = toenail(data_folder)
    table = ba.read_sessions(frame, {"patient": "patientID", "session": "visit"})
    text = HEAD + equation("severe", "time * treatment", extra='family = "bernoulli"\nlink = "probit"')
    study = ba.Study(table, reference={"treatment": "itraconazole"}, priors=FLAT)
    found, log_likelihood = highest(ba.make_design(ba.parse_model(text), study))
    treated, time = (frame["treatment"] == "terbinafine").to_numpy(float), frame["time"].to_numpy()
    x, y = np.column_stack([np.ones(len(time)), time, treated, time * treated]), frame["severe"].to_numpy()
    right = scoring(x, y, np.ones(len(y)))
    labels = ["Intercept", "time", "treatment[terbinafine]", "time:treatment[terbinafine]"]
    assert [found[f"severe, {label}"] for label in labels] == pytest.approx(right, abs=1e-4)
    chance = stats.norm.cdf(x @ right)
    assert log_likelihood == pytest.approx(np.log(np.where(y > 0, chance, 1 - chance)).sum(), abs=1e-4)


def test_successes_of_patients(data_folder: Path) -> None:
    """Of 294 patients, the number of visits with a severe infection out of those they came to."""
    frame = toenail(data_folder)
    whole = frame.groupby("patientID", as_index=False).agg(
        severe=("severe", "sum"), seen=("severe", "size"), treatment=("treatment", "first")
    )
    table = ba.read_sessions(whole.assign(visit=1), {"patient": "patientID", "session": "visit"})
    study = ba.Study(table, reference={"treatment": "itraconazole"}, priors=FLAT)
    found, log_likelihood = highest(ba.make_design(ba.parse_model(HEAD + COUNTED), study))
    y, trials = whole["severe"].to_numpy(), whole["seen"].to_numpy(float)
    x = np.column_stack([np.ones(len(y)), whole["treatment"] == "terbinafine"]).astype(float)
    right = scoring(x, y, trials)
    assert list(found.values()) == pytest.approx(right, abs=1e-4)
    assert log_likelihood == pytest.approx(stats.binom.logpmf(y, trials, stats.norm.cdf(x @ right)).sum(), abs=1e-4)
