"""RefraMED (Lynch et al. 2020): agreement with the reference results printed beside the data.

The references are ML or REML estimates of the same models; they are stated in README.md of the data folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayes_alliance as ba
from bayes_alliance.cli import app as cli
from bayes_alliance.comparison.refits import leave_out, refit_without, score_unseen
from bayes_alliance.comparison.units import find_units

pytestmark = pytest.mark.oracle

LINEAR = {
    "b[phq9, Intercept]": (18.585, 0.549),
    "b[phq9, month]": (-0.287, 0.063),
    "b[phq9, grp[RO-DBT]]": (-1.190, 0.678),
    "b[phq9, month:grp[RO-DBT]]": (-0.145, 0.078),
}
LOG = {
    "b[phq9, log(month + 1)]": (-1.563, 0.305),
    "b[phq9, grp[RO-DBT]]": (-0.617, 0.676),
    "b[phq9, log(month + 1):grp[RO-DBT]]": (-0.806, 0.375),
}
HRSD = {
    "b[hamd, grp[RO-DBT]:month[7]]": (-3.946, 1.284),
    "b[hamd, grp[RO-DBT]:month[12]]": (-1.834, 1.284),
    "b[hamd, grp[RO-DBT]:month[18]]": (-2.019, 1.320),
}
COLUMNS = {"outcome": "phq9", "condition": "grp"}
TAU = {"condition": "TAU"}


def table(folder: Path, **roles: str) -> ba.SessionTable:
    """Return the trial with patient and month as roles, and others on request."""
    return ba.read_sessions(folder / "reframed_rct.csv", {"patient": "patient", "session": "month", **roles})


def marginal_log_likelihood(fit: ba.Fit) -> float:
    """Return the log-likelihood with patients' effects integrated out, at the posterior means, patient by patient.

    A multivariate normal per patient, by SciPy: an implementation that shares nothing with the sampler's model.
    """
    assert fit.design is not None
    equation = fit.design.equation
    (group,) = equation.groups
    means = fit.data["posterior"].to_dataset().mean(("chain", "draw"))
    sd = means["sd_patient"].values
    covariance = means["cor_patient"].values * np.outer(sd, sd)
    sigma = float(means["sigma"].values[0])
    total = 0.0
    for level in range(len(group.levels)):
        rows = group.code == level
        x, z = equation.coef.values[rows], group.values[rows]
        spread = z @ covariance @ z.T + sigma**2 * np.eye(rows.sum())
        total += stats.multivariate_normal(x @ means["b"].values, spread).logpdf(equation.y[rows])
    return total


@pytest.fixture(scope="module")
def linear(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fit the registry's growth model by the command line, as the README shows it."""
    out = tmp_path_factory.mktemp("reframed")
    with pytest.MonkeyPatch.context() as patch:
        arguments = [
            "fit", "growth/treatment", str(data_folder / "reframed_rct.csv"),
            "--columns", "patient=patient,session=month,outcome=phq9,condition=grp", "--reference", "condition=TAU",
            "--max", "session=12", "--seed", "1", "--out", str(out),
        ]  # fmt: skip
        patch.setattr(sys, "argv", ["bayes-alliance", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
    assert not caught.value.code
    return out


@pytest.fixture(scope="module")
def linear_fit(linear: Path, data_folder: Path) -> ba.Fit:
    """Return the fit the command wrote, its rows brought back."""
    return ba.load_fit(linear).with_rows(ba.select_rows(table(data_folder), maximum={"session": 12}))


@pytest.fixture(scope="module")
def log_fit(data_folder: Path) -> ba.Fit:
    """Fit the log-time variant to the same rows."""
    return ba.fit_model(
        ba.load_model("growth/treatment", course="log"),
        ba.Study(ba.select_rows(table(data_folder), maximum={"session": 12}), columns=COLUMNS, reference=TAU),
        seed=1,
        settings=ba.SamplerSettings(progress="off"),
    )


def test_rows_are_those_of_the_reference(linear_fit: ba.Fit) -> None:
    """2291 rows of 246 patients."""
    assert linear_fit.provenance["rows_used"] == {"phq9": 2291}
    assert linear_fit.data["posterior"].sizes["patient"] == 246


def test_linear_growth_agrees(linear: Path) -> None:
    """Every population effect within 0.15 SE of ML at a bulk ESS of 1,000; SDs within 5 %."""
    summary = pd.read_csv(linear / "summary.csv").set_index("name")
    for name, (estimate, error) in LINEAR.items():
        assert abs(summary.loc[name, "mean"] - estimate) < 0.15 * error, name
        assert summary.loc[name, "ess_bulk"] >= 1000, name
    spreads = {"sd_patient[phq9, Intercept]": 4.570, "sd_patient[phq9, month]": 0.429, "sigma[phq9]": 3.440}
    for name, estimate in spreads.items():
        assert summary.loc[name, "mean"] == pytest.approx(estimate, rel=0.05), name
    correlation = summary.loc["cor_patient[phq9, Intercept | phq9, month]"]
    assert abs(correlation["mean"] - 0.115) < 0.5 * correlation["sd"]


def test_chains_mixed(linear_fit: ba.Fit) -> None:
    """The default settings pass every check on this trial."""
    assert linear_fit.passed, linear_fit.verdict


def test_log_time_agrees(log_fit: ba.Fit) -> None:
    """Effects of the log-time variant agree with ML, SDs within 5 %."""
    summary = ba.summarize(log_fit).set_index("name")
    for name, (estimate, error) in LOG.items():
        assert abs(summary.loc[name, "mean"] - estimate) < 0.15 * error, name
    assert summary.loc["b[phq9, Intercept]", "mean"] == pytest.approx(19.401, abs=0.1)
    spreads = {"sd_patient[phq9, Intercept]": 4.297, "sd_patient[phq9, log(month + 1)]": 2.129, "sigma[phq9]": 3.345}
    for name, estimate in spreads.items():
        assert summary.loc[name, "mean"] == pytest.approx(estimate, rel=0.05), name


def test_log_time_has_the_higher_likelihood(linear_fit: ba.Fit, log_fit: ba.Fit) -> None:
    """Integrated log-likelihoods at the posterior means lie just under the ML maxima, and log time wins."""
    assert linear_fit.design is not None
    assert log_fit.design is not None
    np.testing.assert_array_equal(linear_fit.design.equation.row, log_fit.design.equation.row)
    linear, log = marginal_log_likelihood(linear_fit), marginal_log_likelihood(log_fit)
    assert -6536.719 - 0.5 < linear <= -6536.719 + 0.001
    assert -6477.678 - 0.5 < log <= -6477.678 + 0.001
    assert log > linear


HRSD_MODEL = """
title = "HRSD at 7, 12 and 18 months, therapists in one arm only"
question = "Does the treatment lower depression at each occasion?"

[[equation]]
outcome = "hamd"
unit = "session"
formula = "wave + hamd.b + site + tx:wave + (1 | patient) + (0 + tx | therapist)"
"""


def test_patients_left_out_agree_with_fits_without_them(linear_fit: ba.Fit) -> None:
    """The three patients of largest Pareto k left out by fitting anew: within Monte Carlo error."""
    scores = ba.loo(linear_fit, refit=False)
    assert not scores.bad.any()
    assert 8 < scores.p_loo < 16
    design = linear_fit.design
    assert design is not None
    units = find_units(design, "patient")
    for one in np.argsort(-scores.pareto_k)[:3].tolist():
        own = refit_without(linear_fit, leave_out(design, units, [one]), 100 + one)
        density = score_unseen(own, design, units, [one], scores.outcomes)[:, 0]
        exact = np.logaddexp.reduce(density) - np.log(len(density))
        error = np.std(np.exp(density - exact)) / np.sqrt(len(density))
        assert abs(scores.elpd_i[one] - exact) < 4 * np.hypot(error, scores.mcse_i[one]) + 0.005


@pytest.mark.slow
def test_a_sixth_of_patients_left_out_by_fitting_anew(linear_fit: ba.Fit) -> None:
    """Forty-one refits: each within five Monte Carlo errors, their sum within 0.2."""
    scores = ba.loo(linear_fit, refit=False)
    design = linear_fit.design
    assert design is not None
    units, apart = find_units(design, "patient"), []
    for one in range(0, 246, 6):
        own = refit_without(linear_fit, leave_out(design, units, [one]), 500 + one)
        density = score_unseen(own, design, units, [one], scores.outcomes)[:, 0]
        exact = np.logaddexp.reduce(density) - np.log(len(density))
        error = np.hypot(np.std(np.exp(density - exact)) / np.sqrt(len(density)), scores.mcse_i[one])
        apart.append(scores.elpd_i[one] - exact)
        assert abs(apart[-1]) < 5 * error + 0.005
    assert abs(sum(apart)) < 0.2


def test_log_time_predicts_better(linear_fit: ba.Fit, log_fit: ba.Fit) -> None:
    """The log-time variant predicts new patients better, by more than two standard errors of the difference."""
    found = ba.compare({"linear": linear_fit, "log": log_fit})
    assert found.best == "log"
    assert found.table.loc["linear", "elpd_diff"] < -2 * found.table.loc["linear", "dse"]


@pytest.fixture(scope="module")
def hrsd_fit(data_folder: Path) -> ba.Fit:
    """Fit HRSD with a therapist variance in one arm only; patient ids are the trial's."""
    sessions = table(data_folder, therapist="therapist", site="site")
    return ba.fit_model(
        ba.parse_model(HRSD_MODEL),
        ba.Study(
            ba.select_rows(sessions, minimum={"session": 1}),
            columns={"tx": "grp[RO-DBT]", "wave": "month"},
            reference={"wave": "7", "site": "1"},
        ),
        seed=1,
        settings=ba.SamplerSettings(draws=6000, target_accept=0.95, progress="off"),
    )


def test_hrsd_effects_agree(hrsd_fit: ba.Fit) -> None:
    """Treatment effects at each occasion within 0.1 SE of REML."""
    summary = ba.summarize(hrsd_fit).set_index("name")
    assert hrsd_fit.provenance["rows_used"] == {"hamd": 540}
    assert hrsd_fit.data["posterior"].sizes["patient"] == 207
    for name, (estimate, error) in HRSD.items():
        assert abs(summary.loc[name, "mean"] - estimate) < 0.1 * error, name
    assert summary.loc["sd_patient[hamd, Intercept]", "mean"] == pytest.approx(5.690, rel=0.05)
    assert summary.loc["sigma[hamd]", "mean"] == pytest.approx(5.005, rel=0.05)


def test_hrsd_therapist_sd_is_as_uncertain_as_it_should_be(hrsd_fit: ba.Fit) -> None:
    """The therapist SD has a mean between 1.6 and 2.5 and a 90 % interval from below 1 to above 3."""
    draws = hrsd_fit.data["posterior"].to_dataset()["sd_therapist"].values
    low, high = np.quantile(draws, [0.05, 0.95])
    assert 1.6 < draws.mean() < 2.5
    assert low < 1
    assert high > 3


def test_hrsd_chains_mixed(hrsd_fit: ba.Fit) -> None:
    """The longer run passes every check."""
    assert hrsd_fit.passed, hrsd_fit.verdict


def test_hrsd_therapists_exist_in_one_arm(hrsd_fit: ba.Fit) -> None:
    """Variance shares are stated per arm, and the therapist share is 0 where there are none."""
    shares = ba.variance_shares(hrsd_fit)
    by_arm = shares["share_therapist"].mean(("chain", "draw")).to_series()
    assert by_arm[[name for name in by_arm.index if name.endswith("= 0")]].max() == 0
    assert by_arm[[name for name in by_arm.index if name.endswith("= 1")]].min() > 0


@pytest.mark.slow
def test_hrsd_under_a_flat_prior_on_the_sd(data_folder: Path) -> None:
    """Under a flat prior the therapist SD's posterior mean is about 2.39."""
    fit = ba.fit_model(
        ba.parse_model(HRSD_MODEL),
        ba.Study(
            ba.select_rows(table(data_folder, therapist="therapist", site="site"), minimum={"session": 1}),
            columns={"tx": "grp[RO-DBT]", "wave": "month"},
            reference={"wave": "7", "site": "1"},
            priors={"sd therapist": "flat_positive()"},
        ),
        seed=1,
        settings=ba.SamplerSettings(draws=6000, target_accept=0.95, progress="off"),
    )
    mean = fit.data["posterior"].to_dataset()["sd_therapist"].values.mean()
    assert mean == pytest.approx(2.39, abs=0.12)


@pytest.mark.slow
def test_three_level_growth_agrees(data_folder: Path) -> None:
    """RO-DBT arm with therapists: effects within 0.15 SE of REML, therapist SD of the order of 1.24."""
    sessions = ba.select_rows(
        table(data_folder, therapist="therapist"), maximum={"session": 12}, only={"grp": "RO-DBT"}
    )
    fit = ba.fit_model(
        ba.load_model("growth/three-level"),
        ba.Study(sessions, columns={"outcome": "phq9"}),
        seed=1,
        settings=ba.SamplerSettings(draws=4000, target_accept=0.95, progress="off"),
    )
    summary = ba.summarize(fit).set_index("name")
    assert fit.provenance["rows_used"] == {"phq9": 1514}
    assert abs(summary.loc["b[phq9, Intercept]", "mean"] - 17.308) < 0.15 * 0.494
    assert abs(summary.loc["b[phq9, month]", "mean"] + 0.432) < 0.15 * 0.048
    assert summary.loc["sd_patient[phq9, Intercept]", "mean"] == pytest.approx(4.573, rel=0.05)
    assert summary.loc["sd_patient[phq9, month]", "mean"] == pytest.approx(0.472, rel=0.05)
    assert summary.loc["sigma[phq9]", "mean"] == pytest.approx(3.396, rel=0.05)
    therapist = summary.loc["sd_therapist[phq9, Intercept]"]
    assert abs(therapist["mean"] - 1.237) < 0.5 * therapist["sd"]
