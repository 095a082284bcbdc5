"""What goes with a variable that is set; each test is an instance of a kind, with its right value worked out apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import special

import bayes_alliance as ba
from bayes_alliance.posterior.setting import set_variables
from tests.truth.fits import make_fit

HEAD = 'title = "t"\nquestion = "q?"\n'
ROLES = {"patient": "pid", "session": "session", "group": "gid", "therapist": "tid"}
X, W = np.polynomial.hermite_e.hermegauss(101)
W = W / W.sum()


def study(patients: int = 30, sessions: int = 6) -> pd.DataFrame:
    """Return SYNTHETIC sessions in three arms, one of them in groups, of no particular truth."""
    rng = np.random.default_rng(3)
    pid, session = np.repeat(np.arange(patients), sessions), np.tile(np.arange(1, sessions + 1), patients)
    arm = np.array(["TAU", "CBT", "MBCT"])[pid % 3]
    return pd.DataFrame(
        {
            "pid": [f"p{i:02d}" for i in pid],
            "session": session,
            "tid": [f"t{i % 5}" for i in pid],
            "gid": [f"g{i // 3 % 4}" if a == "MBCT" else "" for i, a in zip(pid, arm, strict=True)],
            "arm": arm,
            "code": np.array([0, 1, 2])[pid % 3],
            "late": (session > 3).astype(int),
            "x": rng.normal(size=len(pid)),
            "alliance": 4 + rng.normal(size=patients)[pid] + rng.normal(size=len(pid)),
            "wai": np.clip(np.round(5 + 2 * rng.normal(size=len(pid))), 1, 7),
            "better": rng.integers(0, 2, len(pid)),
            "y": rng.normal(size=len(pid)),
            "mood": rng.normal(size=len(pid)),
            "mood, evening": np.where(session < 3, rng.normal(size=len(pid)), np.nan),
        }
    )


def fit_of(model: str, frame: pd.DataFrame | None = None, *, size: float = 1.0, **names: object) -> ba.Fit:
    """Return a fit with stated parameters, other ones in every draw; nothing is sampled."""
    frame = study() if frame is None else frame
    roles = {role: column for role, column in ROLES.items() if column in frame}
    table = ba.read_sessions(frame, roles, bounds={"wai": (1, 7)})
    design = ba.make_design(ba.parse_model(HEAD + model), table, **names)  # type: ignore[arg-type]
    return make_fit(design, size=size)


def draws_of(fit: ba.Fit) -> xr.Dataset:
    """Return the parameters of a fit, one draw after the other."""
    return fit.data["posterior"].to_dataset().stack(sample=("chain", "draw"))


def flat(values: xr.DataArray) -> np.ndarray:
    """Return values over (chain, draw, …) with draws in one dimension."""
    return values.values.reshape(-1, *values.shape[2:])


def equation(outcome: str, formula: str, unit: str = "session", extra: str = "") -> str:
    """Return one equation as TOML."""
    return f"[[equation]]\noutcome = '{outcome}'\nunit = '{unit}'\nformula = '{formula}'\n{extra}\n"


ARM = {"columns": {"condition": "arm"}, "reference": {"condition": "TAU"}}
GATED = {"columns": {"condition": "arm", "in_group": "arm[MBCT]"}, "reference": {"condition": "TAU"}}


def test_groups_of_one_arm_go_with_the_arm() -> None:
    """In MBCT every row has a new group, in TAU none: integrals over N(0, sd^2), whatever was observed."""
    text = equation("better", "condition + (0 + in_group | group)", extra='family = "bernoulli"')
    fit = fit_of(text, size=2.0, **GATED)
    found = flat(ba.marginal_effects(fit, "condition", values=["TAU", "MBCT", "CBT"])["mean"])
    d = draws_of(fit)
    b = {str(c).split(", ")[1]: d["b"].sel(coef=c).values for c in d["coef"].values}
    sd = d["sd_group"].values.ravel()
    inside = b["Intercept"] + b["arm[MBCT]"]
    right = np.stack(
        [
            special.expit(b["Intercept"]),
            (special.expit(inside[:, None] + sd[:, None] * X) * W).sum(axis=1),
            special.expit(b["Intercept"] + b["arm[CBT]"]),
        ],
        axis=1,
    )
    np.testing.assert_allclose(found, right, atol=1e-6)


def test_a_variable_that_stands_for_a_level_goes_with_it_and_cannot_contradict_it() -> None:
    """in_group is arm[MBCT]; a column that is 1 from session 4 on goes with the session."""
    fit = fit_of(equation("y", "condition + in_group:x + session + late:x + (1 | patient)"), **GATED)
    assert fit.design is not None
    e = fit.design.equation
    moved = set_variables(e, {"condition": "MBCT", "session": 5})
    assert set(moved) == {"condition", "in_group", "session", "late"}
    assert {name: float(v.values[0]) for name, v in moved.items() if name != "condition"} == {
        "in_group": 1.0,
        "session": 5.0,
        "late": 1.0,
    }
    with pytest.raises(ba.FitError, match=r"'arm\[MBCT\]' is 0 where 'arm' is TAU"):
        ba.marginal_effects(fit, "condition", values=["TAU", "CBT"], at={"in_group": [1]})
    with pytest.raises(ba.FitError, match=r"'late' is a function of 'session' in the rows, and no row has session 3.5"):
        ba.marginal_effects(fit, "session", values=[1, 3.5])
    d = draws_of(fit)
    x = study()["x"].mean()
    right = 4 * d["b"].sel(coef="y, session").values + x * d["b"].sel(coef="y, late:x").values
    got = flat(ba.marginal_effects(fit, "session", values=[1, 5])["difference"])[:, 0]
    np.testing.assert_allclose(got, right)


def test_the_residual_sd_goes_with_the_arm() -> None:
    """A censored score in an arm with a larger SD: E[clip(mu + sigma e)], by quadrature of e."""
    text = equation("wai", "condition + (1 | patient)", extra='family = "censored"\nsigma = "condition"')
    fit = fit_of(text, **ARM)
    found = flat(ba.marginal_effects(fit, "condition", values=["TAU", "CBT"])["mean"])
    d = draws_of(fit)
    sd = d["sd_patient"].values.ravel()
    e = np.linspace(-8, 8, 4001)
    weight = np.exp(-0.5 * e**2) / np.exp(-0.5 * e**2).sum()
    for place, (shift, level) in enumerate(((0.0, "arm[TAU]"), (1.0, "arm[CBT]"))):
        mean = d["b"].sel(coef="wai, Intercept").values + shift * d["b"].sel(coef="wai, arm[CBT]").values
        sigma = d["sigma"].sel(sigma_coef=f"wai, {level}").values
        whole = np.sqrt(sigma**2 + sd**2)
        right = (np.clip(mean[:, None] + whole[:, None] * e, 1, 7) * weight).sum(axis=1)
        np.testing.assert_allclose(found[:, place], right, rtol=1e-4)


def test_covariances_go_with_the_arm() -> None:
    """Where arms have therapist SDs of their own, a row set into an arm has that arm's."""
    frame = study().assign(tid=lambda f: f["arm"] + f["tid"])
    text = equation("better", "condition + (1 | therapist)", extra='family = "bernoulli"')
    fit = fit_of(text + '[groups.therapist]\nby = "condition"\n', frame, size=2.0, **ARM)
    found = flat(ba.marginal_effects(fit, "condition", values=["TAU", "CBT"])["mean"])
    d = draws_of(fit)
    for place, level in enumerate(("TAU", "CBT")):
        sd = d["sd_therapist"].sel(therapist_by=f"arm[{level}]").values.ravel()
        mean = d["b"].sel(coef="better, Intercept").values
        mean = mean + place * d["b"].sel(coef="better, arm[CBT]").values
        right = (special.expit(mean[:, None] + sd[:, None] * X) * W).sum(axis=1)
        np.testing.assert_allclose(found[:, place], right, atol=1e-6)


def test_a_level_is_one_whether_it_is_written_as_a_number_or_as_text() -> None:
    """0, 0.0, "0" and numpy's 0 are one level; what is none is refused, and what is stated twice."""
    fit = fit_of(equation("y", "code + (1 | patient)"), reference={"code": "0"})
    b = draws_of(fit)["b"].sel(coef="y, code[1]").values
    for values in (["0", "1"], [0, 1], [0.0, 1.0], [np.int64(0), np.float64(1)], ["0.0", "1"]):
        got = flat(ba.marginal_effects(fit, "code", values=values)["difference"])[:, 0]
        np.testing.assert_allclose(got, b)
    with pytest.raises(ba.FitError, match="'code' has no level '3'; it has '0', '1', '2'"):
        ba.marginal_effects(fit, "code", values=[0, 3])
    with pytest.raises(ba.FitError, match="'code' is stated twice"):
        ba.marginal_effects(fit, "code", values=[0, 1], at={"code": [1]})
    with pytest.raises(ba.FitError, match=r"'code': 0\.0 is stated twice"):
        ba.marginal_effects(fit, "code", values=["0", 0.0])
    found = ba.counterfactual_effects(
        fit_of(equation("mood", "code") + equation("y", "mood + code"), reference={"code": "0"}), "code", values=(0, 1)
    )
    assert found.values == (0, 1)


def test_categories_keep_their_names_whatever_is_in_them() -> None:
    """Ordered categories named "2 to 4": the highest less the lowest is the coefficient itself."""
    names = ["under 2", "2 to 4", "4 to 6", "over 6"]
    frame = study()
    frame["dose"] = pd.Categorical([names[i % 4] for i in range(len(frame))], categories=names, ordered=True)
    fit = fit_of(equation("y", "mo(dose) + (1 | patient)"), frame)
    d = draws_of(fit)
    b = d["b"].sel(coef="y, mo(dose)").values
    whole = flat(ba.marginal_effects(fit, "dose", values=["under 2", "over 6"])["difference"])[:, 0]
    np.testing.assert_allclose(whole, b)
    steps = d[next(name for name in d.data_vars if str(name).startswith("step_"))].transpose(..., "sample").values
    middle = flat(ba.marginal_effects(fit, "dose", values=["2 to 4", "4 to 6"])["difference"])[:, 0]
    np.testing.assert_allclose(middle, b * steps[1])
    with pytest.raises(ba.FitError, match="no level 'above'; it has"):
        ba.marginal_effects(fit, "dose", values=["under 2", "above"])


def test_effects_belong_to_their_outcome_whatever_its_name_begins_with() -> None:
    """Of "mood" and "mood, evening": two evenings per patient, and a short label of two outcomes asks which."""
    text = equation("m", "session + (1 | patient)") + equation("e", "session + (1 | patient)")
    fit = fit_of(text, columns={"m": "mood", "e": "mood, evening"})
    table = ba.unit_estimates(fit, factor="patient", better="higher", effect="mood, evening, Intercept")
    assert set(table["rows"]) == {2}
    assert set(ba.unit_estimates(fit, factor="patient", better="higher", effect="mood, Intercept")["rows"]) == {6}
    figure = ba.plot_caterpillar(fit, "patient", effect="mood, evening, Intercept")
    assert "of mood, evening" in figure.axes[0].get_xlabel().replace("\n", " ")
    with pytest.raises(ba.FitError, match=r"patient has effects on several outcomes: .* State effect="):
        ba.unit_estimates(fit, factor="patient", better="higher")
    with pytest.raises(ba.FitError, match="'Intercept' is an effect on several outcomes"):
        ba.unit_estimates(fit, factor="patient", better="higher", effect="Intercept")


def test_what_was_taken_from_the_outcome_is_added_back() -> None:
    """An equation with centre=: trajectories of arms and patients, and what they pass near, are in outcome units."""
    frame = study()
    frame["y"] = 52 + 0.1 * frame["y"]
    frame["truth"] = 50 + 0.1 * frame["x"]
    text = equation("y", "centred(truth, on=truth) + session + (1 | patient)", extra='centre = "truth"')
    fit, plain = fit_of(text, frame), fit_of(text.replace('centre = "truth"', ""), frame)
    assert fit.design is not None
    offset = frame["truth"].mean()
    assert fit.design.equation.offset == pytest.approx(offset)
    moved = replace_posterior(plain, fit)
    for read in (
        lambda of: ba.predict_trajectories(of, points=3),
        lambda of: ba.predict_unit_trajectories(of, "patient", points=2),
        lambda of: ba.marginal_effects(of, "session", values=[1, 5])["mean"],
    ):
        np.testing.assert_allclose(read(fit), read(moved) + offset)
    checks = ba.predictive_checks(fit, draws=4).query("figure.str.startswith('mean,')")
    observed = frame.groupby("session")["y"].mean()
    np.testing.assert_allclose(checks["observed"], observed)


def replace_posterior(fit: ba.Fit, other: ba.Fit) -> ba.Fit:
    """Return a fit with another one's parameters."""
    tree = fit.data.copy()
    tree["posterior"] = other.data["posterior"].copy()
    return ba.Fit(fit.spec, tree, fit.provenance, fit.checks, fit.design)


def test_earlier_values_of_the_outcome_make_no_trajectory() -> None:
    """lag(y) at other sessions and in other arms is not known; deviations have a mean of 0 anywhere."""
    fit = fit_of(equation("y", "condition * session + lag(y) + (1 | patient)"), **ARM)
    with pytest.raises(ba.FitError, match="no earlier values of the outcome among its predictors"):
        ba.predict_trajectories(fit)
    deviations = equation("y", 'condition * session + lag(within(y, patient, means="latent")) + (1 | patient)')
    assert ba.predict_trajectories(fit_of(deviations, **ARM), points=2).sizes["arm"] == 3


def test_normal_effects_of_any_size_are_integrated() -> None:
    """Effects with an SD of 4 and of 20 behind a complementary log-log link, against a fine grid."""
    text = equation("better", "condition + (1 | therapist)", extra='family = "hazard"')
    fit = fit_of(text, **ARM)
    tree = fit.data.copy()
    posterior = tree["posterior"].to_dataset()
    posterior["sd_therapist"] = xr.zeros_like(posterior["sd_therapist"]) + np.array([4.0, 20.0])[None, :, None]
    tree["posterior"] = xr.DataTree(posterior)
    fit = ba.Fit(fit.spec, tree, fit.provenance, fit.checks, fit.design)
    found = flat(ba.marginal_effects(fit, "condition", values=["TAU", "CBT"])["mean"])[:, 0]
    d = draws_of(fit)
    z = np.linspace(-9, 9, 200_001)
    weight = np.exp(-0.5 * z**2)
    linear = d["b"].sel(coef="better, Intercept").values[:, None] + d["sd_therapist"].values.T * z
    right = (-np.expm1(-np.exp(np.minimum(linear, 500))) * weight).sum(axis=1) / weight.sum()
    np.testing.assert_allclose(found, right, atol=2e-6)
