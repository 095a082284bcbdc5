"""Leaving units out: exact refits, two routes to one number, what is scored, what is refused."""

from __future__ import annotations

from dataclasses import replace

import arviz_stats as azs
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_alliance as ba
from bayes_alliance.comparison.integration import integrated_density
from bayes_alliance.comparison.loo import place_units, unit_densities
from bayes_alliance.comparison.refits import leave_out, refit_without, score_exactly, score_unseen
from bayes_alliance.comparison.scores import smooth
from bayes_alliance.comparison.units import find_units
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.expectation.linear import stack_draws
from tests.build.test_equations import HEAD, TWO, equation
from tests.conftest import ROLES

QUIET = ba.SamplerSettings(progress="off")
NESTED = {k: v for k, v in ROLES.items() if k != "group"}


@pytest.fixture(scope="module")
def fit(trial: pd.DataFrame) -> ba.Fit:
    """Return growth of sessions in patients in therapists."""
    text = HEAD + equation("score", "week + (1 + week | patient) + (1 | therapist)")
    return ba.fit_model(ba.parse_model(text), ba.read_sessions(trial, NESTED), seed=2, settings=QUIET)


@pytest.fixture(scope="module")
def two(trial: pd.DataFrame) -> ba.Fit:
    """Return two outcomes whose residuals correlate."""
    text = HEAD + TWO + '[residual]\ncorrelate = ["score", "alliance"]\n'
    return ba.fit_model(ba.parse_model(text), ba.read_sessions(trial, NESTED), seed=2, settings=QUIET)


@pytest.mark.parametrize("unit", ["patient", "therapist"])
def test_agrees_with_fits_without_the_unit(fit: ba.Fit, unit: str) -> None:
    """Four units left out by fitting anew: within five Monte Carlo errors of both."""
    scores = ba.loo(fit, unit=unit, refit=False)  # type: ignore[arg-type]
    assert fit.design is not None
    units = find_units(fit.design, unit)  # type: ignore[arg-type]
    assert scores.labels == units.labels
    for one in range(4):
        own = refit_without(fit, leave_out(fit.design, units, [one]), 7 + one)
        density = score_unseen(own, fit.design, units, [one], scores.outcomes)[:, 0]
        exact = np.logaddexp.reduce(density) - np.log(len(density))
        error = np.std(np.exp(density - exact)) / np.sqrt(len(density))
        assert abs(scores.elpd_i[one] - exact) < 5 * np.hypot(error, scores.mcse_i[one]) + 0.02


def test_two_routes_to_one_number(fit: ba.Fit) -> None:
    """Coefficients integrated out or drawn: the same prediction of new patients, within Monte Carlo error."""
    scores = ba.loo(fit, unit="patient", refit=False)
    assert fit.design is not None
    units = find_units(fit.design, "patient")
    drawn = integrated_density(fit.design, units, stack_draws(with_effects(fit)))
    elpd, error, k = smooth(drawn, drawn, 1.0)
    good = k < 0.7
    assert good.mean() > 0.9
    apart = np.abs(elpd - scores.elpd_i)[good]
    assert (apart < 6 * np.hypot(error, scores.mcse_i)[good] + 0.01).all()
    # drawn effects of therapists stay in this route, so that fitted densities differ by Monte Carlo error alone
    fitted = np.logaddexp.reduce(drawn, axis=0) - np.log(len(drawn))
    np.testing.assert_allclose(fitted, scores.fitted_i, atol=0.15)


def test_smoothing_is_that_of_arviz() -> None:
    """On a fixed log-likelihood: elpd, p and Pareto k of arviz_stats.loo, digit by digit."""
    rng = np.random.default_rng(5)
    y = rng.normal(size=30)
    mu = rng.normal(y.mean(), 1 / np.sqrt(30), size=(4, 500))
    values = -0.5 * (y - mu[..., None]) ** 2 - 0.5 * np.log(2 * np.pi)
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"mu": (("chain", "draw"), mu)}),
            "log_likelihood": xr.Dataset({"y": (("chain", "draw", "obs"), values)}),
        }
    )
    expected = azs.loo(tree, pointwise=True, reff=1.0)
    flat = values.reshape(-1, 30)
    elpd, error, k = smooth(flat, flat, 1.0)
    np.testing.assert_allclose(elpd, expected.elpd_i.values, rtol=1e-10)
    np.testing.assert_allclose(k, expected.pareto_k.values, rtol=1e-10)
    # a conjugate normal with known variance and flat prior has the leave-one-out density in closed form
    rest = (y.sum() - y) / 29
    exact = -0.5 * (y - rest) ** 2 / (1 + 1 / 29) - 0.5 * np.log(2 * np.pi * (1 + 1 / 29))
    assert (np.abs(elpd - exact) < 5 * error + 0.01).all()


def test_constant_log_likelihoods_need_no_weights() -> None:
    """Units that no draw says anything of: their density as it is, no error, no Pareto k; others as ever."""
    rng = np.random.default_rng(5)
    varied = rng.normal(-1, 0.1, size=(500, 2))
    values = np.column_stack([np.full(500, -2.0), varied])
    elpd, error, k = smooth(values, values, 1.0)
    assert elpd[0] == pytest.approx(-2.0)
    assert error[0] == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(k[0])
    np.testing.assert_array_equal(np.column_stack(smooth(varied, varied, 1.0)), np.column_stack([elpd, error, k])[1:])


def test_effective_parameters_are_counted(trial: pd.DataFrame) -> None:
    """Patients without effects: p_loo is near the number of coefficients and residual SDs."""
    frame = pd.concat([trial.assign(pid=trial["pid"] + str(i)) for i in range(8)], ignore_index=True)
    frame["score"] = np.random.default_rng(1).normal(0, 2, len(frame)) + frame["week"]
    text = HEAD + equation("score", "week + pre")
    fit = ba.fit_model(ba.parse_model(text), ba.read_sessions(frame, NESTED), seed=2, settings=QUIET)
    assert 2.5 < ba.loo(fit).p_loo < 6.0


def test_outcomes_can_be_scored_apart(two: ba.Fit) -> None:
    """Of two outcomes, the one given the other is the whole less the other alone; draw by draw."""
    assert two.design is not None
    units = find_units(two.design, "patient")
    exact = place_units(two.design, units)
    flat = stack_draws(with_effects(two), 40)
    every, alone, given = (
        unit_densities(two.design, units, flat, wanted, exact=exact, given_others=others)
        for wanted, others in ((("score", "alliance"), False), (("alliance",), False), (("score",), True))
    )
    np.testing.assert_allclose(given.scored, every.scored - alone.scored, rtol=1e-9)
    np.testing.assert_array_equal(given.everything, every.everything)
    assert "given 'alliance'" in given.target
    scores = ba.loo(two, outcomes="score", given_others=True)
    assert scores.outcomes == ("score",)
    assert ba.loo(two, outcomes="score").fingerprint == scores.fingerprint
    assert ba.loo(two).fingerprint != scores.fingerprint


@pytest.mark.parametrize(
    ("wanted", "others"), [(("score", "alliance"), False), (("alliance",), False), (("score",), True)]
)
def test_a_refit_is_scored_by_two_likelihoods(two: ba.Fit, wanted: tuple[str, ...], others: bool) -> None:
    """The log-likelihood of all rows less that of the known ones is what block deletion gives, draw by draw."""
    assert two.design is not None
    units = find_units(two.design, "patient")
    flat = with_effects(two).isel(draw=slice(0, 10))
    some = replace(two, data=xr.DataTree.from_dict({"posterior": flat}))
    exact = place_units(two.design, units)
    found = unit_densities(two.design, units, stack_draws(flat), wanted, exact=exact, given_others=others).scored
    for one in (0, 3, 7):
        scored = score_exactly(some, two.design, units, one, wanted, given_others=others)
        np.testing.assert_allclose(scored, found[:, one], rtol=1e-7)


def test_sessions_units_and_tables(fit: ba.Fit) -> None:
    """One line per session, rows counted, and what ArviZ makes of the scores."""
    scores = ba.loo(fit, unit="session", draws=400)
    table = scores.table()
    assert list(table.columns) == ["session", "rows", "elpd", "mcse", "pareto_k", "refitted"]
    assert table["rows"].eq(1).all()
    assert fit.design is not None
    assert len(table) == len(fit.design.equation.y)
    assert table["session"].str.match(r"P\d\d, session \d").all()
    assert scores.to_arviz().elpd == pytest.approx(scores.elpd)
    assert "predicted from the others" in repr(scores)


def test_rows_without_the_unit_are_left_out_by_patient(trial: pd.DataFrame) -> None:
    """Partial nesting: groups in one arm, patients in the other, and a message with the count."""
    text = HEAD + equation("score", "week + (1 | patient) + (0 + in_mbct | group)")
    roles = {k: v for k, v in ROLES.items() if k != "therapist"}
    fit = ba.fit_model(
        ba.parse_model(text),
        ba.Study(ba.read_sessions(trial, roles, transfers="transferred"), columns={"in_mbct": "arm[MBCT]"}),
        seed=2,
        settings=QUIET,
    )
    scores = ba.loo(fit, unit="group", refit=False)
    alone = [label for label in scores.labels if label.startswith("patient ")]
    assert len(alone) == trial.loc[trial["arm"] == "TAU", "pid"].nunique()
    assert any("rows without a group left out by patient" in message for message in scores.messages)


def test_crossed_units_are_split_by_row(trial: pd.DataFrame) -> None:
    """Patients who change group: only the group's effect is integrated, and the output says so."""
    frame = trial.assign(room="R" + (trial["week"] % 4).astype(int).astype(str))
    text = HEAD + equation("score", "week + (1 | patient) + (1 | group)")
    fit = ba.fit_model(
        ba.parse_model(text),
        ba.read_sessions(frame, {"patient": "pid", "group": "room", "session": "week"}, transfers="transferred"),
        seed=2,
        settings=QUIET,
    )
    scores = ba.loo(fit, unit="group", refit=False)
    assert "effects of 'group' integrated out, given coefficients and effects of 'patient'" in scores.target
    assert any("with rows of several groups: the rows are split" in message for message in scores.messages)


def test_what_is_refused(fit: ba.Fit, two: ba.Fit, trial: pd.DataFrame, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Unknown units and outcomes, lagged sessions, one unit, no rows, densities nobody works out."""
    with pytest.raises(
        ba.FitError, match="The model has no effects of groups; it has 'session', 'patient', 'therapist'"
    ):
        ba.loo(fit, unit="group")
    with pytest.raises(ba.FitError, match="Unknown unit 'pateint'"):
        ba.loo(fit, unit="pateint")  # type: ignore[arg-type]
    with pytest.raises(ba.FitError, match="Unknown outcome 'scor'"):
        ba.loo(two, outcomes="scor")
    with pytest.raises(ba.FitError, match="draws must be a whole number of 100 or more; it is 8"):
        ba.loo(fit, draws=8)
    with pytest.raises(ba.FitError, match="given_others=True needs outcomes"):
        ba.loo(two, given_others=True)
    with pytest.raises(ba.FitError, match="This fit has no rows"):
        ba.loo(ba.load_fit(fit.save(tmp_path / "fit")))
    table = ba.read_sessions(trial, NESTED)

    def fitted(text: str, rows: ba.SessionTable = table) -> ba.Fit:
        return ba.fit_model(ba.parse_model(HEAD + text), rows, seed=1, settings=QUIET)

    lagged = fitted(equation("score", "lag(alliance) + (1 | patient)") + equation("alliance", "week + (1 | patient)"))
    with pytest.raises(ba.FitError, match=r"follows earlier values of alliance.*leave_future_out"):
        ba.loo(lagged, unit="session")
    with pytest.raises(ba.FitError, match="'alliance' predicts 'score'"):
        ba.loo(fitted(equation("score", "alliance") + equation("alliance", "week")), outcomes="score")
    one = ba.read_sessions(trial[trial["pid"] == trial["pid"][0]], NESTED)
    with pytest.raises(ba.FitError, match="There is only one patient, 'P00'"):
        ba.loo(fitted(equation("score", "week"), one))
