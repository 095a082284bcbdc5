"""Summaries and variance shares: against plain NumPy on the draws, and as identities."""

from __future__ import annotations

from dataclasses import asdict

import arviz_stats as azs
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_alliance as ba
from bayes_alliance.design.moments import variance_moments
from bayes_alliance.design.posterior_variables import list_variables
from bayes_alliance.posterior.trajectories import has_trajectories, observed_means
from tests.conftest import ROLES
from tests.design.test_design import design


def test_columns_name_interval_and_probability(small_fit: ba.Fit) -> None:
    """Columns say which interval and how wide; the default is the 95 % equal-tailed one."""
    expected = ["name", "mean", "sd", "eti95_lb", "eti95_ub", "r_hat", "ess_bulk", "ess_tail"]
    assert list(ba.summarize(small_fit).columns) == expected
    assert list(ba.summarize(small_fit, ci_prob=0.9, ci_kind="hdi").columns)[3:5] == ["hdi90_lb", "hdi90_ub"]


def test_numbers_are_those_of_the_draws(small_fit: ba.Fit) -> None:
    """Mean, SD, quantiles and ESS of a coefficient are NumPy's and ArviZ's."""
    row = ba.summarize(small_fit).set_index("name").loc["b[score, week]"]
    draws = small_fit.data["posterior"].to_dataset()["b"].values[..., 1]
    assert row["mean"] == pytest.approx(draws.mean())
    assert row["sd"] == pytest.approx(draws.std(ddof=1))
    assert [row["eti95_lb"], row["eti95_ub"]] == pytest.approx(np.quantile(draws, [0.025, 0.975]))
    assert row["ess_bulk"] == pytest.approx(azs.ess(draws, method="bulk", chain_axis=0, draw_axis=1))


def test_rows_come_in_reading_order(small_fit: ba.Fit) -> None:
    """Coefficients first, then SDs, correlations, residual SD, shares, ICCs; each correlation once."""
    names = list(ba.summarize(small_fit)["name"])
    kinds = list(dict.fromkeys(name.split("[")[0].split("_")[0] for name in names))
    assert kinds == ["b", "sd", "cor", "sigma", "share", "icc"] or kinds == [
        "b",
        "sd",
        "cor",
        "sigma",
        "share",
        "icc",
        "share",
    ]
    assert sum(name.startswith("cor_patient") for name in names) == 1
    assert not any(name.endswith("_unit") or "_centred" in name for name in names)
    effects = ba.summarize(small_fit, group_effects=True)["name"]
    assert sum(name.startswith("u_patient") for name in effects) == 48


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"ci_prob": 1.2}, "ci_prob must lie"), ({"ci_kind": "ci"}, "ci_kind must be 'eti' or 'hdi'")],
)
def test_intervals_are_checked(small_fit: ba.Fit, arguments: dict[str, object], message: str) -> None:
    """A probability outside 0 to 1 and an unknown kind are refused."""
    with pytest.raises(ba.FitError, match=message):
        ba.summarize(small_fit, **arguments)  # type: ignore[arg-type]


def test_shares_add_up(small_fit: ba.Fit) -> None:
    """Shares of factors and residual add up to 1 in every draw; a nested factor's ICC holds those above it."""
    shares = ba.variance_shares(small_fit)
    total = shares["share_patient"] + shares["share_therapist"] + shares["share_residual"]
    np.testing.assert_allclose(total.values, 1.0)
    np.testing.assert_allclose(shares["icc_therapist"].values, shares["share_therapist"].values)
    np.testing.assert_allclose(
        shares["icc_patient"].values, (shares["share_patient"] + shares["share_therapist"]).values
    )


def test_shares_agree_with_a_loop_over_rows(small_fit: ba.Fit) -> None:
    """The share averaged over rows is the mean row variance over the mean total variance."""
    assert small_fit.design is not None
    equation = small_fit.design.equation
    posterior = small_fit.data["posterior"].to_dataset().isel(chain=0, draw=5)
    variances = {}
    for group in equation.groups:
        sd = posterior[f"sd_{group.factor}"].values
        cor = posterior[f"cor_{group.factor}"].values if f"cor_{group.factor}" in posterior else np.eye(len(sd))
        covariance = cor * np.outer(sd, sd)
        variances[group.factor] = np.mean([z @ covariance @ z for z in group.values])
    total = sum(variances.values()) + float(posterior["sigma"].values[0]) ** 2
    share = ba.variance_shares(small_fit)["share_patient"].sel(stratum="rows").isel(chain=0, draw=5)
    assert float(share) == pytest.approx(variances["patient"] / total)


def test_shares_at_another_session_need_rows(small_fit: ba.Fit, sessions: ba.SessionTable, tmp_path: object) -> None:
    """The session is named in the stratum; without rows another session is refused."""
    shares = ba.variance_shares(small_fit, session=4)
    assert list(shares["stratum"].values) == ["rows", "session = 4"]
    loaded = ba.load_fit(small_fit.save(f"{tmp_path}/f"))
    assert list(ba.variance_shares(loaded)["stratum"].values) == ["rows", "session = 1"]
    with pytest.raises(ba.FitError, match=r"need the rows; use fit\.with_rows"):
        ba.variance_shares(loaded, session=4)
    np.testing.assert_allclose(
        ba.variance_shares(loaded.with_rows(sessions), session=4)["share_patient"], shares["share_patient"]
    )


def test_trajectories_are_the_linear_predictor(small_fit: ba.Fit) -> None:
    """The expected outcome at a session and arm is intercept, slope and difference put together."""
    assert has_trajectories(small_fit)
    draws = ba.predict_trajectories(small_fit, points=8)
    b = small_fit.data["posterior"].to_dataset()["b"]
    week = draws["session"].values
    assert list(draws["arm"].values) == ["TAU", "MBCT"]
    for tx, arm in enumerate(("TAU", "MBCT")):
        expected = (
            b.values[..., [0]] + b.values[..., [1]] * week + tx * (b.values[..., [2]] + b.values[..., [3]] * week)
        )
        np.testing.assert_allclose(draws.sel(arm=arm).values, expected)


def test_observed_means_are_those_of_the_rows(small_fit: ba.Fit) -> None:
    """Counts add up to the rows used."""
    assert small_fit.design is not None
    observed = observed_means(small_fit.design.equation)
    assert observed.count.sum() == len(small_fit.design.equation.y)
    weighted = np.nansum(observed.mean * observed.count)
    assert weighted == pytest.approx(small_fit.design.equation.y.sum())


def hand_made(sessions: ba.SessionTable, formula: str, **arguments: object) -> ba.Fit:
    """Return a Fit with draws written by hand, to test what reads a Fit without sampling."""
    made = design(formula, sessions, **arguments)
    equation = made.equation
    rng = np.random.default_rng(0)
    shape = (2, 50)
    data: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
        "b": (("chain", "draw", "coef"), rng.normal(size=(*shape, len(equation.coef_labels)))),
        "sigma": (("chain", "draw", "sigma_coef"), rng.uniform(1, 2, size=(*shape, 1))),
    }
    coords: dict[str, list[str]] = {"coef": list(equation.coef_labels), "sigma_coef": list(equation.sigma_coef)}
    for group in equation.groups:
        dim = f"{group.factor}_effect"
        data[f"sd_{group.factor}"] = (("chain", "draw", dim), rng.uniform(1, 2, size=(*shape, len(group.effects))))
        coords[dim] = [f"{equation.outcome}, {effect}" for effect in group.effects]
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(data, coords=coords),
            f"variance/{equation.outcome}": variance_moments(made, equation).assign_attrs(equation=0),
        }
    )
    provenance = {"rows_used": {equation.outcome: len(equation.y)}, "messages": [], "constants": {}}
    provenance["variables"] = [asdict(own) for own in list_variables(made)]
    return ba.Fit(made.spec, tree, provenance, (), made)


def test_factor_names_with_odd_endings_are_summarized(trial: pd.DataFrame) -> None:
    """A grouping column called care_unit is not taken for a helper."""
    sessions = ba.read_sessions(trial.assign(care_unit=[f"u{i % 4}" for i in range(len(trial))]), ROLES)
    names = list(ba.summarize(hand_made(sessions, "week + (1 | care_unit)"))["name"])
    assert "sd_care_unit[score, Intercept]" in names


@pytest.mark.parametrize(
    ("formula", "arguments"),
    [
        ("session", {"reference": {"session": "1"}}),
        ("within(session, patient) + between(session, patient)", {}),
        ("session * log(between(alliance, patient) + 1)", {}),
        ("lag(alliance) * session", {}),
        ("alliance", {}),
    ],
)
def test_models_without_trajectories_say_so(
    sessions: ba.SessionTable, formula: str, arguments: dict[str, object]
) -> None:
    """Session as a factor, or inside what looks at other rows, gives no trajectory rather than a wrong one."""
    fit = hand_made(sessions, formula, **arguments)
    assert not has_trajectories(fit)
    with pytest.raises(ba.FitError, match="This model has no trajectory"):
        ba.predict_trajectories(fit)


def test_trajectories_average_over_what_is_not_moved(sessions: ba.SessionTable) -> None:
    """Within-patient alliance stays as observed while session moves, through log time as well."""
    fit = hand_made(sessions, "log(session + 1) + within(alliance, patient)")
    assert fit.design is not None
    draws = ba.predict_trajectories(fit, points=3)
    b = fit.data["posterior"].to_dataset()["b"].values
    mean = fit.design.equation.coef.values[:, 2].mean()
    expected = b[..., [0]] + b[..., [1]] * np.log(draws["session"].values + 1) + b[..., [2]] * mean
    np.testing.assert_allclose(draws.values[:, :, 0], expected)


def test_a_session_without_rows_is_refused(sessions: ba.SessionTable) -> None:
    """Variance shares at a session nobody attended are an error that lists the sessions."""
    fit = hand_made(sessions, "week + (1 + week || patient)")
    with pytest.raises(ba.DesignError, match=r"No row used is of session 99. Sessions with rows: 1, 2"):
        ba.variance_shares(fit, session=99)


def test_logit_shares_name_their_scale(trial: pd.DataFrame) -> None:
    """Shares of a 0/1 outcome are on the latent logit and say so; the residual variance is pi^2 / 3."""
    sessions = ba.read_sessions(trial.assign(late=(trial["alliance"] > 5).astype(float)), ROLES)
    fit = hand_made(sessions, "week + (1 | patient)", outcome="late", extra='family = "bernoulli"')
    shares = ba.variance_shares(fit)
    variance = fit.data["posterior"].to_dataset()["sd_patient"].values[..., 0] ** 2
    np.testing.assert_allclose(shares["share_patient"].values[..., 0], variance / (variance + np.pi**2 / 3))
    assert shares.attrs["scale"] == "latent logit scale, residual variance pi^2 / 3"


def test_a_model_without_units_has_no_shares(sessions: ba.SessionTable) -> None:
    """No grouping factor: nothing to share the variance between, said in a sentence; the summary leaves it out."""
    text = "title='x'\nquestion='x?'\n[[equation]]\noutcome='score'\nunit='session'\nformula='week'"
    quick = ba.SamplerSettings(draws=20, chains=2, progress="off")
    fit = ba.fit_model(ba.parse_model(text), sessions, seed=1, settings=quick, engine="collapsed")
    with pytest.raises(ba.FitError, match="The model has no grouping factor"):
        ba.variance_shares(fit)
    assert not ba.summarize(fit)["name"].str.startswith("share_").any()
