"""Change by visit in RefraMED: our likelihood and posterior beside gls of R's package nlme (``visits.R``)."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import bayes_alliance as ba
from bayes_alliance.design.design import Design
from bayes_alliance.expectation.outcomes import row_densities
from bayes_alliance.fit.engines import fit_design

pytestmark = pytest.mark.oracle

PRINTED = Path(__file__).with_name("visits.txt")

ARMS = ("TAU", "RO-DBT")


@dataclass(frozen=True)
class Estimates:
    """What gls printed: coefficients with standard errors, SDs, correlations and the log-likelihood."""

    b: np.ndarray
    errors: np.ndarray
    sd: np.ndarray
    cor: np.ndarray
    log_likelihood: float
    rows: int


def printed(which: str, method: str) -> Estimates:
    """Return the estimates of an arm, or of both under a common covariance."""
    text = PRINTED.read_text(encoding="utf-8")
    block = next(b for b in re.split(r"\n+ (?=\S+ (?:RE)?ML rows)", text) if b.startswith(f"{which} {method} rows"))
    lines = block.splitlines()
    numbers = re.findall(r"\S+", lines[0])
    table = [line.split()[1:3] for line in lines[2:] if re.match(r"\(Intercept\)|visit|treated", line)]
    sd = next(line for line in lines if line.startswith("SD ")).split()[1:]
    cor = [line.split()[1:] for line in lines if re.match(r"\[\d,\]", line)]
    b, errors = np.array(table, dtype=float).T
    rows = int(numbers[numbers.index("rows") + 1])
    return Estimates(b, errors, np.array(sd, float), np.array(cor, float), float(numbers[-1]), rows)


def design_of(folder: Path, *, by_arm: bool) -> Design:
    """Return the registered model on the trial, with a covariance per arm or one for both."""
    sessions = ba.read_sessions(folder / "reframed_rct.csv", {"patient": "patient", "session": "month"})
    spec = ba.load_model("growth/visits")
    spec = spec if by_arm else spec.model_copy(update={"residual": None})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ba.make_design(spec, ba.Study(sessions, {"outcome": "hamd", "condition": "grp"}, {"condition": "TAU"}))


def at(design: Design, b: np.ndarray, sd: np.ndarray, cor: np.ndarray) -> xr.Dataset:
    """Return one draw with stated parameters; ``cor`` has a matrix per stratum."""
    labels, by = list(design.residual.labels), list(design.residual.by)
    over = ("residual_by", "residual", "residual_2") if by else ("residual", "residual_2")
    coords = {
        "coef": list(design.equation.coef_labels),
        "sigma_coef": list(design.equation.sigma_coef),
        "residual": labels,
        "residual_2": labels,
        "residual_by": by,
    }
    values = {
        "b": (("sample", "coef"), b[None]),
        "sigma": (("sample", "sigma_coef"), sd[None]),
        "cor_residual": (("sample", *over), cor[None]),
    }
    return xr.Dataset(values, coords={name: coords[name] for name in ("coef", "sigma_coef", *over)})


def test_log_likelihood_at_the_maximum_is_that_of_gls(data_folder: Path) -> None:
    """With a covariance per arm and with one for both: as R prints it, at its estimates."""
    control, treated, common = (printed(which, "ML") for which in (*ARMS, "common"))
    made = design_of(data_folder, by_arm=True)
    assert len(made.equation.y) == control.rows + treated.rows == common.rows == 790
    own = treated.b - control.b  # of the treated: their mean at month 0, and their changes, less the control's
    b = np.concatenate([control.b, own])
    flat = at(made, b, np.concatenate([control.sd, treated.sd]), np.array([control.cor, treated.cor]))
    found = row_densities(made, flat)["hamd"].sum()
    assert found == pytest.approx(control.log_likelihood + treated.log_likelihood, abs=0.001)
    one = design_of(data_folder, by_arm=False)
    found = row_densities(one, at(one, common.b, common.sd, common.cor))["hamd"].sum()
    assert found == pytest.approx(common.log_likelihood, abs=0.001)


@pytest.mark.slow
@pytest.mark.parametrize("by_arm", [True, False])
def test_changes_agree_with_gls(data_folder: Path, by_arm: bool) -> None:
    """Changes within 0.15 SE of REML, SDs within 5 %, correlations (skewed, of 88 and 162 patients) within 0.75 SD."""
    made = design_of(data_folder, by_arm=by_arm)
    fit = fit_design(made, seed=1, settings=ba.SamplerSettings(progress="off"))
    assert fit.passed, fit.verdict
    found = ba.summarize(fit).set_index("name")
    control, treated, common = (printed(which, "REML") for which in (*ARMS, "common"))
    means = found["mean"].filter(like="b[").to_numpy()
    if by_arm:
        wanted, errors = np.concatenate([control.b, treated.b]), np.concatenate([control.errors, treated.errors])
        means = np.concatenate([means[:4], means[:4] + means[4:]])
        sds, cors = np.concatenate([control.sd, treated.sd]), (control.cor, treated.cor)
    else:
        wanted, errors, sds, cors = common.b, common.errors, common.sd, (common.cor,)
    assert np.abs((means - wanted) / errors).max() < 0.15
    np.testing.assert_allclose(found["mean"].filter(like="sigma["), sds, rtol=0.05)
    pairs = np.triu_indices(4, 1)
    lines = found.filter(like="cor_residual[", axis=0)
    apart = (lines["mean"].to_numpy() - np.concatenate([cor[pairs] for cor in cors])) / lines["sd"].to_numpy()
    assert np.abs(apart).max() < 0.75
