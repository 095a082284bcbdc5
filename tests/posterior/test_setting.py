"""What goes with a variable that is set; each test is an instance of a kind, with its right value worked out apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import special

import bayes_alliance as ba
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.expectation.set_variables import set_variables
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
    design = ba.make_design(ba.parse_model(HEAD + model), ba.Study(table, **names))  # type: ignore[arg-type]
    return make_fit(design, size=size)


def draws_of(fit: ba.Fit) -> xr.Dataset:
    """Return the parameters of a fit, one draw after the other."""
    return with_effects(fit).stack(sample=("chain", "draw"))


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
    assert set(table["effect"]) == {"mood, evening, Intercept"}
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
    checks = ba.predictive_checks(fit, draws=4).query("kind == 'means by arm and session'")
    observed = frame.groupby("session")["y"].mean()
    np.testing.assert_allclose(checks["observed"], observed)


def replace_posterior(fit: ba.Fit, other: ba.Fit) -> ba.Fit:
    """Return a fit with another one's parameters."""
    tree = fit.data.copy()
    tree["posterior"], tree["effects"] = other.data["posterior"].copy(), other.data["effects"].copy()
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


def b_of(fit: ba.Fit) -> dict[str, np.ndarray]:
    """Return coefficients by their labels, shape (draw,)."""
    d = draws_of(fit)
    return {str(c): d["b"].sel(coef=c).values for c in d["coef"].values}


def with_arms() -> pd.DataFrame:
    """Return sessions with columns that are functions of the arm: 0/1, -.5/.5 and codes."""
    frame = study()
    arm = frame["arm"]
    return frame.assign(
        ing=(arm == "MBCT").astype(int),
        cbt=(arm == "CBT").astype(int),
        half=np.where(arm == "MBCT", 0.5, -0.5),
        time=frame["session"] - 1.0,
        wai2=frame["wai"] ** 2,
    )


def test_a_column_of_one_arm_takes_the_arm_along() -> None:
    """Where ing is 1 the arm is MBCT; where it is 0, the arm may be two: the factor has to be set, or stated."""
    fit = fit_of(equation("y", "condition + ing:x"), with_arms(), **ARM)
    b, x = b_of(fit), study()["x"].mean()
    with pytest.raises(ba.FitError, match=r"'ing' stands for a level of 'arm', .* Set 'arm': one of 'TAU', 'CBT'"):
        ba.marginal_effects(fit, "ing", values=[0, 1])
    found = flat(ba.marginal_effects(fit, "condition", values=["CBT", "MBCT"])["difference"])[:, 0]
    np.testing.assert_allclose(found, b["y, arm[MBCT]"] - b["y, arm[CBT]"] + x * b["y, ing:x"])
    two = with_arms().query("arm != 'CBT'")
    fit = fit_of(equation("y", "condition + ing:x"), two, **ARM)
    b = b_of(fit)
    found = flat(ba.marginal_effects(fit, "ing", values=[0, 1])["difference"])[:, 0]
    np.testing.assert_allclose(found, b["y, arm[MBCT]"] + two["x"].mean() * b["y, ing:x"])


@pytest.mark.parametrize(
    ("formula", "name", "values", "carried"),
    [
        ("half + ing:x", "half", [-0.5, 0.5], {"half": 1.0, "ing:x": "x"}),
        ("code + ing", "code", [0, 2], {"code": 2.0, "ing": 1.0}),
        ("time + late", "time", [0, 5], {"time": 5.0, "late": 1.0}),
        ("wai + wai2", "wai", [4, 6], {"wai": 2.0, "wai2": 20.0}),
    ],
)
def test_numbers_take_functions_of_themselves_along(
    formula: str, name: str, values: list[float], carried: dict[str, float | str]
) -> None:
    """An arm coded as a number, a time with a phase of it, a rating with its square: coefficients times differences."""
    frame = with_arms()
    fit = fit_of(equation("y", f"{formula} + (1 | patient)"), frame)
    b = b_of(fit)
    right = sum(b[f"y, {term}"] * (frame[by].mean() if isinstance(by, str) else by) for term, by in carried.items())
    found = flat(ba.marginal_effects(fit, name, values=values)["difference"])[:, 0]
    np.testing.assert_allclose(found, right)


def test_numbers_that_are_alike_by_chance_take_nothing_along() -> None:
    """A baseline score that one patient alone has does not determine the arm, however many rows repeat it."""
    frame = study()
    frame["base"] = np.random.default_rng(9).normal(size=30)[frame.index // 6]
    frame["skill"] = np.random.default_rng(8).normal(size=5)[frame["tid"].str[1:].astype(int)]
    frame["years"] = np.random.default_rng(7).normal(size=5)[frame["tid"].str[1:].astype(int)]
    fit = fit_of(equation("y", "base + condition + skill + years + (1 | therapist) + (1 | patient)"), frame, **ARM)
    assert fit.design is not None
    assert set(set_variables(fit.design.equation, {"base": 0.3, "skill": 0.1})) == {"base", "skill"}


def test_two_columns_of_one_factor_are_not_both_1() -> None:
    """Setting cbt to 1 leaves mbct at 1 in its rows: the other one has to be stated, and cannot be 1, too."""
    frame = pd.concat([with_arms(), with_arms().assign(pid=lambda f: "q" + f["pid"])])
    fit = fit_of(equation("y", "cbt + ing + (1 | patient)"), frame)
    b = b_of(fit)
    with pytest.raises(ba.FitError, match="'ing' is 0 wherever 'cbt' is 1, as with levels of one factor"):
        ba.marginal_effects(fit, "cbt", values=[0, 1])
    with pytest.raises(ba.FitError, match="'ing' is 0 where 'cbt' is 1; it cannot be set to another value"):
        ba.marginal_effects(fit, "cbt", values=[0, 1], at={"ing": [1]})
    found = flat(ba.marginal_effects(fit, "cbt", values=[0, 1], at={"ing": [0]})["difference"])[:, 0, 0]
    np.testing.assert_allclose(found, b["y, cbt"])


def indirect(fit: ba.Fit, **at: object) -> np.ndarray:
    """Return the indirect effect of x, shape (draw,)."""
    found = ba.mediation_effects(fit, "x", at=at)  # type: ignore[arg-type]
    return flat(found.draws["value"].sel(estimand="indirect"))


def test_moderators_take_along_what_goes_with_them_in_every_equation() -> None:
    """The arm is set in one equation and its 0/1 column stands in another; so the session and its phase."""
    by_arm = equation("alliance", "x * ing") + equation("y", "alliance * condition + x")
    fit = fit_of(by_arm, with_arms(), **ARM)
    b = b_of(fit)
    right = [
        (b["alliance, x"] + b["alliance, x:ing"] * on) * (b["y, alliance"] + b["y, alliance:arm[MBCT]"] * on)
        for on in (0, 1)
    ]
    np.testing.assert_allclose(indirect(fit, condition="MBCT"), right[1])
    index = ba.moderated_mediation(fit, "x", moderator="condition", values=("TAU", "MBCT"))
    np.testing.assert_allclose(flat(index.draws["value"].sel(estimand="indirect")), right[1] - right[0])
    fit = fit_of(equation("alliance", "x * in_group") + equation("y", "alliance * condition + x"), **GATED)
    b = b_of(fit)
    right_of_dummy = (b["alliance, x"] + b["alliance, x:arm[MBCT]"]) * (b["y, alliance"] + b["y, alliance:arm[MBCT]"])
    np.testing.assert_allclose(indirect(fit, condition="MBCT"), right_of_dummy)
    text = equation("alliance", "x * late + session + (1 | patient)") + equation("y", "alliance * session + x")
    fit = fit_of(text.replace("+ x'", "+ x + (1 + x | patient)'"))
    b = b_of(fit)
    at_five = (b["alliance, x"] + b["alliance, x:late"]) * (b["y, alliance"] + 5 * b["y, alliance:session"])
    np.testing.assert_allclose(indirect(fit, session=5), at_five)
    of_units = ba.unit_effects(fit, "x", factor="patient", at={"session": 5}).sel(path="x -> alliance -> y")
    np.testing.assert_allclose(flat(of_units)[:, 0], at_five)
    with pytest.raises(ba.FitError, match=r"'late' is 1 where 'session' is 5; it cannot be set to another value"):
        indirect(fit, session=5, late=0)


def test_paths_of_a_treatment_that_has_two_names_are_not_cut() -> None:
    """The arm reaches the mediator by its 0/1 column: slopes are refused, and worlds set both."""
    frame = with_arms().groupby("pid").first().reset_index()
    text = equation("alliance", "ing", "patient") + equation("y", "alliance + condition", "patient")
    fit = fit_of(text, frame, **ARM)
    b = b_of(fit)
    for kind in ("natural", "interventional"):
        found = ba.counterfactual_effects(fit, "condition", values=("TAU", "MBCT"), kind=kind)  # type: ignore[arg-type]
        right = b["alliance, ing"] * b["y, alliance"]
        np.testing.assert_allclose(flat(found.draws["value"].sel(estimand="indirect")), right, atol=1e-9)
        total = flat(found.draws["value"].sel(estimand="total"))
        np.testing.assert_allclose(total, right + b["y, arm[MBCT]"], atol=1e-9)
    with pytest.raises(ba.FitError, match="'ing' goes with 'condition' in the rows and is in the model, too"):
        ba.mediation_effects(fit, "condition", level="MBCT")
    with pytest.raises(ba.FitError, match="two values of 'condition' are compared"):
        ba.counterfactual_effects(fit, "condition", values=("TAU", "CBT", "MBCT"))  # type: ignore[arg-type]
    fit = fit_of(equation("alliance", "session + late") + equation("y", "alliance + session"))
    with pytest.raises(ba.FitError, match="'late' goes with 'session'"):
        ba.mediation_effects(fit, "session")


@pytest.mark.parametrize(
    ("values", "at", "says"),
    [
        (None, None, "None is no list of values"),
        ("TAU", None, "'TAU' is no list of values"),
        ([None, 1], None, "has what is neither a number nor a level"),
        ([0, 1], {"session": 3}, "3 is no list of values"),
        ([0, 1], {"session": []}, r"\[\] is no list of values"),
    ],
)
def test_values_are_lists(values: object, at: object, says: str) -> None:
    """What is no list, or holds something else, is refused with what is allowed."""
    fit = fit_of(equation("y", "x + session + (1 | patient)"))
    with pytest.raises(ba.FitError, match=says):
        ba.marginal_effects(fit, "x", values=values, at=at)  # type: ignore[arg-type]


def test_predictors_cannot_have_the_name_of_a_result() -> None:
    """A predictor called difference would stand where the differences are."""
    fit = fit_of(equation("y", "difference + (1 | patient)"), study().rename(columns={"x": "difference"}))
    with pytest.raises(ba.FitError, match="'difference' is a name that the result uses"):
        ba.marginal_effects(fit, "difference", values=[0, 1])


def test_who_states_both_may_part_a_number_from_its_function() -> None:
    """A code tells the arm in these rows; with both stated, both are set as stated."""
    fit = fit_of(equation("y", "code + ing + (1 | patient)"), with_arms())
    b = b_of(fit)
    found = flat(ba.marginal_effects(fit, "code", values=[0, 2], at={"ing": [0]})["difference"])[:, 0, 0]
    np.testing.assert_allclose(found, 2 * b["y, code"])
