"""One fit from all sides: planted misfits are named, right models pass, figures are what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayes_alliance as ba
from bayes_alliance.design.priors.density import log_density
from bayes_alliance.diagnosis.predictive import _autocorrelation, _between, _within, figures, loo_pit
from bayes_alliance.diagnosis.sensitivity import log_prior
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.expectation.linear import stack_draws
from bayes_alliance.expectation.outcomes import replicate, row_densities
from bayes_alliance.fit.checks import CheckResult
from bayes_alliance.spec.priors import parse_distribution
from tests.build.test_equations import HEAD, TWO, equation
from tests.conftest import ROLES

QUIET = ba.SamplerSettings(progress="off")
NESTED = {k: v for k, v in ROLES.items() if k != "group"}


def made(seed: int = 3, patients: int = 60) -> pd.DataFrame:
    """Make a table of eight sessions. SYNTHETIC: y = 10 - session / 2, patient SD 2, therapist SD 1, residual SD 1."""
    rng = np.random.default_rng(seed)
    patient, session = np.repeat(np.arange(patients), 8), np.tile(np.arange(8.0), patients)
    y = 10 - session / 2 + rng.normal(0, 2, patients)[patient] + rng.normal(0, 1, 12)[patient % 12]
    y = y + rng.normal(size=len(patient))
    ids = {"pid": [f"P{i}" for i in patient], "tid": [f"T{i % 12}" for i in patient]}
    return pd.DataFrame(ids | {"week": session, "y": y})


def fitted(frame: pd.DataFrame, formula: str = "week + (1 | patient) + (1 | therapist)", **given: object) -> ba.Fit:
    """Return a fit of a formula to a table."""
    table = ba.read_sessions(frame, {"patient": "pid", "therapist": "tid", "session": "week"})
    return ba.fit_model(ba.parse_model(HEAD + equation("y", formula)), ba.Study(table, **given), seed=1, settings=QUIET)  # type: ignore[arg-type]


def failed(found: ba.Diagnosis) -> dict[str, CheckResult]:
    """Return the checks that found something, by name."""
    return {check.name: check for check in found if not check.passed}


def test_the_true_model_passes() -> None:
    """In data of the model itself nothing is found but that twelve therapists leave the prior of their SD a say."""
    found = ba.diagnose(fitted(made()))
    assert set(failed(found)) <= {"prior sd therapist"}, found
    names = [check.name for check in found]
    assert "predictive y: SD of therapists' means" in names
    assert "prior sd therapist" in names
    alone = ba.diagnose(fitted(made(), "week + (1 | patient)"))
    assert alone.passed, alone
    assert repr(alone).startswith("Nothing was found.")
    assert list(found.table().columns) == ["name", "passed", "sentence", "remedy"]
    assert "<li>" in found._repr_html_()


def test_planted_misfits_are_named() -> None:
    """A course that bends, residuals that hang together, a ceiling, heavy tails: each by its own check."""
    rng, frame = np.random.default_rng(2), made()
    bent = frame.assign(y=frame["y"] + 3 * (frame["week"] > 3) * (7 - frame["week"]))
    assert "predictive y: means by arm and session" in failed(ba.diagnose(fitted(bent)))
    noise = rng.normal(size=(60, 8))
    for s in range(1, 8):
        noise[:, s] += 0.8 * noise[:, s - 1]
    serial = frame.assign(y=10 + noise.ravel())
    assert "predictive y: lag-1 correlation within patients" in failed(ba.diagnose(fitted(serial)))
    capped = failed(ba.diagnose(fitted(frame.assign(y=np.minimum(frame["y"], 9.0)))))
    assert "take a family for bounded scores" in capped["predictive y: share at or beyond the highest value"].remedy
    heavy = frame.assign(y=10 + rng.standard_t(1.5, len(frame)))
    assert "LOO-PIT y" in failed(ba.diagnose(fitted(heavy)))


def test_priors_that_decide_are_named() -> None:
    """A prior that holds a slope away from the data moves it; one on what the data do not tell overlaps with it."""
    found = failed(ba.diagnose(fitted(made(patients=24), priors={"b week": "normal(0.5, 0.05)"})))
    assert "b[y, week]" in found["prior coefficients"].sentence
    assert "prior and data disagree" in found["prior coefficients"].sentence
    frame = made(patients=24)
    frame["tid"] = np.where(frame["tid"].isin(["T0", "T1", "T2", "T3", "T4", "T5"]), "A", "B")
    assert "sd_therapist[y, Intercept]" in failed(ba.diagnose(fitted(frame)))["overlap"].sentence


def test_a_bad_fit_is_described(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Failed chains, flat priors, no rows: sentences and remedies, no errors."""
    fit = fitted(made(), priors={"sd therapist": "flat_positive()"})
    bad = replace(fit, checks=(CheckResult("r_hat", False, "R-hat is above 1.01.", "Sample longer."), *fit.checks[1:]))
    found = failed(ba.diagnose(bad))
    assert found["r_hat"].remedy == "Sample longer."
    assert "flat prior" in found["overlap"].sentence
    bare = ba.diagnose(ba.load_fit(fit.save(tmp_path / "fit")))
    assert failed(bare)["rows"].remedy == "Bring them back with fit.with_rows(sessions)."
    with pytest.raises(ba.FitError, match="This fit has no rows"):
        ba.predictive_checks(ba.load_fit(tmp_path / "fit"))


def test_figures_are_what_they_say() -> None:
    """SD within, correlation with the row before, and SD of means, against pandas."""
    frame = made(patients=20)
    code, order = pd.factorize(frame["pid"])[0], np.arange(len(frame))
    y = frame["y"].to_numpy()
    apart = frame["y"] - frame.groupby("pid")["y"].transform("mean")
    assert float(_within(y, code)) == pytest.approx(np.sqrt((apart**2).sum() / (len(frame) - 20)))
    before = apart.groupby(frame["pid"]).shift()
    both = before.notna()
    expected = (apart * before)[both].sum() / np.sqrt((apart[both] ** 2).sum() * (before[both] ** 2).sum())
    assert float(_autocorrelation(y, code, order)) == pytest.approx(expected)
    level = pd.factorize(frame["tid"])[0]
    assert float(_between(y, level)) == pytest.approx(frame.groupby("tid")["y"].mean().std())
    np.testing.assert_allclose(_between(np.stack([y, 2 * y]), level), [1, 2] * _between(y, level))
    outside = np.where(level == 0, -1, level)
    means = frame[frame["tid"] != frame["tid"].iloc[0]].groupby("tid")["y"].mean()
    assert float(_between(y, outside)) == pytest.approx(means.std())


def test_shares_of_zeros_and_ones(trial: pd.DataFrame) -> None:
    """0/1 outcomes have a share per arm; nothing that needs a spread."""
    text = HEAD + equation("dropout", "pre", unit="patient", extra='family = "bernoulli"')
    design = ba.make_design(ba.parse_model(text), ba.read_sessions(trial, NESTED))
    names = [figure.name for figure in figures(design.equation)]
    assert names == ["mean, all"]


def test_replicates_have_the_models_moments(trial: pd.DataFrame) -> None:
    """Given one draw: means are linear predictors, SDs residual SDs, correlation that of residuals."""
    text = HEAD + TWO + '[residual]\ncorrelate = ["score", "alliance"]\n'
    fit = ba.fit_model(ba.parse_model(text), ba.read_sessions(trial, NESTED), seed=2, settings=QUIET)
    assert fit.design is not None
    one = stack_draws(with_effects(fit)).isel(sample=[7] * 3000)
    drawn = replicate(fit.design, one, np.random.default_rng(1))
    densities = row_densities(fit.design, one.isel(sample=[0]))
    left = {}
    for e in fit.design.equations:
        sigma = float(one["sigma"].sel(sigma_coef=e.outcome)[0])
        mean = drawn[e.outcome].mean(axis=0)
        left[e.outcome] = (drawn[e.outcome] - mean).ravel()
        assert left[e.outcome].std() == pytest.approx(sigma, rel=0.02)
        expected = stats.norm.logpdf(e.y, mean, sigma)
        np.testing.assert_allclose(densities[e.outcome][0], expected, atol=0.1 * (1 + np.abs(expected)).max())
    cor = np.corrcoef(left["score"], left["alliance"])[0, 1]
    assert cor == pytest.approx(float(one["cor_residual"][0, 0, 1]), abs=0.01)


def test_log_priors_are_those_of_the_collapsed_density() -> None:
    """Blocks add up to SciPy's densities of every parameter, and move with each."""
    fit = fitted(made(patients=20), "week + (1 + week | patient)")
    assert fit.design is not None
    flat = stack_draws(with_effects(fit), 8)
    blocks = log_prior(fit.design, flat)
    assert list(blocks) == ["intercepts", "coefficients", "sd patient", "cor patient", "sigma"]
    rho = flat["cor_patient"].values[:, 0, 1]
    np.testing.assert_allclose(blocks["cor patient"], np.log(1 - rho**2))
    (prior,) = fit.design.priors.sigma
    scale = prior.distribution.value("sigma")
    np.testing.assert_allclose(blocks["sigma"], np.log(2) + stats.t.logpdf(flat["sigma"].values[:, 0], 3, scale=scale))


@pytest.mark.parametrize(
    "text",
    [
        "normal(1, 2)",
        "student_t(3, 1, 2)",
        "half_normal(2)",
        "half_student_t(3, 2)",
        "exponential(2)",
        "lognormal(2, 0.5)",
    ],
)
def test_log_densities_integrate_to_one(text: str) -> None:
    """Every distribution of a single number is a density."""
    prior = parse_distribution(text)
    x = np.linspace(0 if prior.support == "positive" else -400, 400, 400_001)
    assert np.trapezoid(np.exp(log_density(prior, x)), x) == pytest.approx(1, abs=1e-3)


def test_probabilities_are_uniform_for_the_true_model() -> None:
    """Leave-one-out probabilities of data of the model lie evenly between 0 and 1."""
    found = loo_pit(fitted(made(seed=9)))["y"]
    assert found[1] > 0.01
    assert stats.kstest(found[0], "uniform").pvalue > 0.01
