"""Seizure counts of 59 patients (Thall and Vail 1990): Poisson counts against glmer with 25 quadrature points.

The reference is printed in README.md of the data folder. A second fit lets extra zeros in, of which there are few.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bayes_alliance as ba

pytestmark = pytest.mark.oracle

GLMER = {
    "b[y, Intercept]": (-1.324, 1.182),
    "b[y, log(base / 4)]": (0.883, 0.131),
    "b[y, trt[progabide]]": (-0.933, 0.401),
    "b[y, log(age)]": (0.481, 0.347),
    "b[y, V4]": (-0.160, 0.055),
    "b[y, log(base / 4):trt[progabide]]": (0.339, 0.203),
}
"""Estimates and standard errors."""

MODEL = """
title = "Seizures"
question = "Does the drug lower the number of seizures?"

[[equation]]
outcome = "y"
unit = "session"
family = "poisson"
formula = "log(base / 4) * trt + log(age) + V4 + (1 | patient)"
"""


def fitted(text: str, folder: Path) -> ba.Fit:
    """Return a fit, which passes its checks, of the counts by patient and period."""
    table = ba.read_sessions(folder / "epil.csv", {"patient": "subject", "session": "period"})
    settings = ba.SamplerSettings(progress="off")
    fit = ba.fit_model(ba.parse_model(text), ba.Study(table, reference={"trt": "placebo"}), seed=1, settings=settings)
    assert fit.passed
    return fit


@pytest.mark.slow
def test_poisson_counts_agree_with_glmer(data_folder: Path) -> None:
    """Effects lie within .3 standard errors of glmer's, posterior SDs within a fifth; the SD of patients is near."""
    fit = fitted(MODEL, data_folder)
    found = ba.summarize(fit).set_index("name")
    for name, (estimate, error) in GLMER.items():
        assert abs(found.loc[name, "mean"] - estimate) < 0.3 * error, name
        assert found.loc[name, "sd"] == pytest.approx(error, rel=0.2)
    assert found.loc["sd_patient[y, Intercept]", "mean"] == pytest.approx(0.502, abs=0.08)
    shares = ba.variance_shares(fit)
    level = float(fit.design.equation.y.mean())  # type: ignore[union-attr]
    variance = found.loc["sd_patient[y, Intercept]", "mean"] ** 2
    expected = variance / (variance + np.log1p(1 / level))
    assert float(shares["share_patient"].mean()) == pytest.approx(expected, abs=0.02)
    assert np.isfinite(ba.loo(fit, draws=200).elpd)


@pytest.mark.slow
def test_extra_zeros_with_a_formula(data_folder: Path) -> None:
    """Zero inflation that differs by treatment: hardly any, and the effects stay where they were."""
    text = MODEL.replace('"poisson"', '"zero_inflated_poisson"') + 'zi = "1 + trt"\n'
    fit = fitted(text, data_folder)
    found = ba.summarize(fit).set_index("name")
    for name, (estimate, error) in GLMER.items():
        assert abs(found.loc[name, "mean"] - estimate) < 0.5 * error, name
    assert found.loc["b[zi(y), Intercept]", "eti95_ub"] < -1
