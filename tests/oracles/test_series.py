"""Growth with residuals in series in RefraMED: our likelihood and posterior beside lme of R's package nlme."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import bayes_alliance as ba
from bayes_alliance.comparison.integration import integrated_density
from bayes_alliance.comparison.units import find_units
from bayes_alliance.names import effect_dim

pytestmark = pytest.mark.oracle

PRINTED = Path(__file__).with_name("series.txt")


def printed(method: str) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return coefficients, their standard errors, and what else R printed of a fit (``series.R``), by its name."""
    text = PRINTED.read_text(encoding="utf-8").split(f"\n {method} rows")[1].split("\n\n")[0]
    table = re.findall(r"^\S+ +(-?\d\S*) +(\d\S*)$", text, re.MULTILINE)[:4]
    further = re.findall(r"^(SD|cor|sigma|phi) (.+)$", text, re.MULTILINE)
    found = {name: np.array(numbers.split(), dtype=float) for name, numbers in further}
    found["log likelihood"] = np.array([re.findall(r"logLik (\S+)", text)[0]], dtype=float)
    b, errors = np.array(table, dtype=float).T
    return b, errors, found


@pytest.fixture(scope="module")
def fit(data_folder: Path) -> ba.Fit:
    """Fit the registered model to the months of treatment."""
    sessions = ba.read_sessions(data_folder / "reframed_rct.csv", {"patient": "patient", "session": "month"})
    sessions = ba.select_rows(sessions, maximum={"session": 12})
    study = ba.Study(sessions, {"outcome": "phq9", "condition": "grp"}, {"condition": "TAU"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ba.fit_model(
            ba.load_model("growth/in-series"), study, seed=1, settings=ba.SamplerSettings(progress="off")
        )


def test_log_likelihood_at_the_maximum_is_that_of_lme(fit: ba.Fit) -> None:
    """Patients' effects integrated out, at R's estimates: as R prints it, 2,291 rows with gaps between months."""
    assert fit.design is not None
    b, _, other = printed("ML")
    e, dim = fit.design.equation, effect_dim("patient")
    labels = list(fit.design.factors[0].effects)
    cor = np.array([[1.0, other["cor"][0]], [other["cor"][0], 1.0]])
    values = {
        "b": (("sample", "coef"), b[None]),
        "sd_patient": (("sample", dim), other["SD"][None]),
        "cor_patient": (("sample", dim, f"{dim}_2"), cor[None]),
        "sigma": (("sample", "sigma_coef"), other["sigma"][None]),
        "ar": (("sample", "ar_coef"), other["phi"][None]),
    }
    coords = {dim: labels, f"{dim}_2": labels, "coef": list(e.coef_labels), "sigma_coef": list(e.sigma_coef)}
    draw = xr.Dataset(values, coords={**coords, "ar_coef": [e.outcome]})
    found = integrated_density(fit.design, find_units(fit.design, "patient"), draw).sum()
    assert found == pytest.approx(float(other["log likelihood"][0]), abs=1e-4)


def test_posterior_agrees_with_lme(fit: ba.Fit) -> None:
    """Effects within 0.15 SE of REML, SDs within 5 %, the autocorrelation within half its posterior SD."""
    assert fit.provenance["engine"] == "collapsed"
    assert fit.passed, fit.verdict
    b, errors, other = printed("REML")
    found = ba.summarize(fit).set_index("name")
    assert np.abs((found["mean"].filter(like="b[").to_numpy() - b) / errors).max() < 0.15
    np.testing.assert_allclose(found["mean"].filter(like="sd_patient["), other["SD"], rtol=0.05)
    np.testing.assert_allclose(found["mean"].filter(like="sigma["), other["sigma"], rtol=0.05)
    (line,) = found.filter(like="ar[", axis=0).itertuples()
    assert abs(line.mean - other["phi"][0]) < 0.5 * line.sd
