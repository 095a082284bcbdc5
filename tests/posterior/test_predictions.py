"""Predictions, comparisons and slopes beside closed forms, in every draw of fits whose draws are stated parameters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import special

import bayes_alliance as ba
from tests.posterior.test_setting import ARM, GATED, ROLES, draws_of, equation, fit_of, study

X, W = np.polynomial.hermite_e.hermegauss(101)
W = W / W.sum()

LINE = "[[equation]]\noutcome = 'y'\nunit = 'session'\nformula = 'arm * session + x + (1 + session | patient)'\n"
LOGIT = (
    "[[equation]]\noutcome = 'better'\nunit = 'session'\nfamily = 'bernoulli'\n"
    "formula = 'arm + x + (1 | patient) + (1 | therapist)'\n"
)


@pytest.fixture(scope="module")
def line() -> ba.Fit:
    """Return growth by condition; nothing is sampled."""
    return fit_of(LINE, reference={"arm": "TAU"})


@pytest.fixture(scope="module")
def logit() -> ba.Fit:
    """Return probabilities with patients and therapists; nothing is sampled."""
    return fit_of(LOGIT, reference={"arm": "TAU"})


def flat(found: ba.Expectations) -> np.ndarray:
    """Return results as drawn, shape (sample, line)."""
    return found.draws["value"].stack(sample=("chain", "draw")).transpose("sample", "estimand").values


def coef(draws: xr.Dataset, label: str) -> np.ndarray:
    """Return the draws of a coefficient."""
    return draws["b"].sel(coef=label).values


def probability(draws: xr.Dataset, arm: str | None, x: np.ndarray) -> np.ndarray:
    """Return a new patient's probability with a new therapist by a quadrature of 101 nodes, shape (sample, row)."""
    linear = coef(draws, "better, Intercept") + (coef(draws, f"better, arm[{arm}]") if arm else 0)
    linear = linear[:, None] + coef(draws, "better, x")[:, None] * x
    spread = np.hypot(*(draws[f"sd_{name}"].transpose("sample", ...).values[:, 0] for name in ("patient", "therapist")))
    return np.asarray(special.expit(linear[..., None] + spread[:, None, None] * X) @ W)


def test_a_grid_of_a_linear_model_is_its_coefficients(line: ba.Fit) -> None:
    """Numbers that are not stated stand at their mean; a line is named by what was stated."""
    found = ba.predictions(line, grid={"arm": ["TAU", "MBCT"], "session": [2, 5]})
    draws, mean = draws_of(line), study()["x"].mean()
    base = coef(draws, "y, Intercept") + coef(draws, "y, x") * mean
    right = [
        base
        + coef(draws, "y, session") * session
        + arm * (coef(draws, "y, arm[MBCT]") + coef(draws, "y, arm[MBCT]:session") * session)
        for arm in (0, 1)
        for session in (2, 5)
    ]
    np.testing.assert_allclose(flat(found), np.stack(right, axis=1), rtol=1e-10)
    assert found.lines.to_dict("list") == {"arm": ["TAU", "TAU", "MBCT", "MBCT"], "session": [2, 5, 2, 5]}
    shown = found.table()
    assert list(shown.columns[:7]) == ["arm", "session", "mean", "median", "sd", "eti95_lb", "eti95_ub"]
    assert set(shown["unit"]) == {"points of y"}
    assert "arm = MBCT, session = 5" in found.draws["estimand"].values


def test_comparisons_of_a_linear_model_are_its_coefficients(line: ba.Fit) -> None:
    """Levels with the reference, a number with one more of it; by session."""
    draws = draws_of(line)
    found = ba.comparisons(line, "arm", by="session")
    assert found.lines["comparison"].unique().tolist() == ["CBT less TAU", "MBCT less TAU"]
    for place, row in enumerate(found.lines.itertuples()):
        arm = str(row.comparison).split()[0]
        right = coef(draws, f"y, arm[{arm}]") + row.session * coef(draws, f"y, arm[{arm}]:session")
        np.testing.assert_allclose(flat(found)[:, place], right, rtol=1e-9, atol=1e-9)
    more = ba.comparisons(line, "x")
    np.testing.assert_allclose(flat(more)[:, 0], coef(draws, "y, x"), rtol=1e-9)
    assert more.lines["comparison"].tolist() == ["x + 1"]
    assert ba.comparisons(line, "x", values=[1, 3]).lines["comparison"].tolist() == ["3 less 1"]
    probability = float((coef(draws, "y, x") > 0).mean())
    assert more.table()["p_direction"].tolist() == [max(probability, 1 - probability)]


def test_slopes_of_a_linear_model_are_its_coefficients(line: ba.Fit) -> None:
    """Over all rows a third of the patients is in each arm; by arm it is the arm's own."""
    draws = draws_of(line)
    found = ba.slopes(line, "session", by="arm")
    for place, arm in enumerate(found.lines["arm"]):
        right = coef(draws, "y, session") + (coef(draws, f"y, arm[{arm}]:session") if arm != "TAU" else 0)
        np.testing.assert_allclose(flat(found)[:, place], right, rtol=1e-6, atol=1e-8)
    assert set(found.table()["unit"]) == {"points of y per unit of session"}


def test_probabilities_are_of_new_units(logit: ba.Fit) -> None:
    """Every draw: a new patient's probability, not a typical patient's; ratio and odds ratio are of the averages."""
    draws, x = draws_of(logit), study()["x"].values
    right = {arm: probability(draws, arm, x) for arm in (None, "CBT", "MBCT")}
    found = ba.predictions(logit, at={"arm": ["TAU", "CBT", "MBCT"]})
    means = np.stack([one.mean(axis=1) for one in right.values()], axis=1)
    np.testing.assert_allclose(flat(found), means, atol=1e-5)
    ratio = ba.comparisons(logit, "arm", values=["TAU", "MBCT"], scale="ratio")
    np.testing.assert_allclose(flat(ratio)[:, 0], means[:, 2] / means[:, 0], rtol=1e-4)
    assert ratio.lines["comparison"].tolist() == ["MBCT to TAU"]
    above = float((means[:, 2] > means[:, 0]).mean())
    assert ratio.table()["p_direction"].tolist() == [max(above, 1 - above)]
    right_odds = means[:, 2] / (1 - means[:, 2]) * (1 - means[:, 0]) / means[:, 0]
    odds = ba.comparisons(logit, "arm", values=["TAU", "MBCT"], scale="odds ratio")
    np.testing.assert_allclose(flat(odds)[:, 0], right_odds, rtol=1e-4)
    typical = special.expit(coef(draws, "better, Intercept")[:, None] + coef(draws, "better, x")[:, None] * x)
    zero = ba.predictions(logit, at={"arm": "TAU"}, groups="zero")
    np.testing.assert_allclose(flat(zero)[:, 0], typical.mean(axis=1), rtol=1e-10)
    assert set(found.table()["unit"]) == {"probability of better"}


def test_a_slope_of_a_probability_is_its_derivative(logit: ba.Fit) -> None:
    """In a typical unit b p (1 - p), averaged over the rows; of one row on a grid at the stated value."""
    draws, frame = draws_of(logit), study()
    b = coef(draws, "better, x")[:, None]
    arms = np.stack([coef(draws, f"better, arm[{arm}]") for arm in ("CBT", "MBCT")])
    shift = sum(own[:, None] * (frame["arm"] == arm).values for own, arm in zip(arms, ("CBT", "MBCT"), strict=True))
    p = special.expit(coef(draws, "better, Intercept")[:, None] + shift + b * frame["x"].values)
    found = ba.slopes(logit, "x", groups="zero")
    np.testing.assert_allclose(flat(found)[:, 0], (b * p * (1 - p)).mean(axis=1), rtol=1e-5, atol=1e-9)
    at = special.expit(coef(draws, "better, Intercept")[:, None] + shift + b * 2.0)
    stated = ba.slopes(logit, "x", at={"x": 2.0}, groups="zero")
    np.testing.assert_allclose(flat(stated)[:, 0], (b * at * (1 - at)).mean(axis=1), rtol=1e-5, atol=1e-9)


def test_averages_by_the_session_of_a_model_that_does_not_read_it(logit: ba.Fit) -> None:
    """Rows are averaged within each session; their mean over sessions is that of all rows, as all have six."""
    found = ba.predictions(logit, by="session")
    assert found.lines["session"].tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(flat(found).mean(axis=1), flat(ba.predictions(logit))[:, 0], rtol=1e-10)


def test_own_units_and_new_ones_in_new_rows(logit: ba.Fit) -> None:
    """A patient who was fitted keeps the effect, one who was not has none; a mapping says it by factor."""
    rows = pd.DataFrame({"arm": "CBT", "x": 0.5, "patient": ["p03", "somebody"], "therapist": ["t2", "t2"]})
    draws = draws_of(logit)
    own = ba.predictions(logit, rows, groups="own", what="linear")
    linear = coef(draws, "better, Intercept") + coef(draws, "better, arm[CBT]") + 0.5 * coef(draws, "better, x")
    effect = {
        factor: draws[f"u_{factor}"].sel({factor: level}) for factor, level in (("patient", "p03"), ("therapist", "t2"))
    }
    theirs = effect["therapist"].transpose("sample", ...).values.reshape(len(linear), -1)[:, 0]
    patients = effect["patient"].transpose("sample", ...).values.reshape(len(linear), -1)[:, 0]
    np.testing.assert_allclose(flat(own), np.stack([linear + patients + theirs, linear + theirs], axis=1), rtol=1e-10)
    sd = draws["sd_patient"].transpose("sample", ...).values[:, 0]
    mixed = ba.predictions(logit, rows, groups={"therapist": "own"})
    right = special.expit((linear + theirs)[:, None] + sd[:, None] * X) @ W
    np.testing.assert_allclose(flat(mixed), np.stack([right, right], axis=1), atol=1e-5)


def test_drawn_outcomes_share_what_their_unit_has(line: ba.Fit) -> None:
    """Of many equal draws: means, variances and the covariance within a new patient are those of the model."""
    few = line.data["posterior"].to_dataset().isel(chain=[0], draw=[0])
    many = few.isel(draw=np.zeros(40_000, dtype=int)).assign_coords(draw=np.arange(40_000))
    tree = line.data.copy()
    tree["posterior"] = xr.DataTree(many)
    fit = ba.Fit(line.spec, tree, line.provenance, line.checks, line.design)
    rows = pd.DataFrame({"arm": "TAU", "x": 0.0, "session": [1.0, 4.0, 4.0], "patient": ["new", "new", "other"]})
    drawn = flat(ba.predictions(fit, rows, what="drawn", seed=3))
    again = flat(ba.predictions(fit, rows, what="drawn", seed=3))
    np.testing.assert_array_equal(drawn, again)
    one = few.isel(chain=0, draw=0)
    root = one["sd_patient"].values[:, None] * np.linalg.cholesky(one["cor_patient"].values)
    columns = np.array([[1.0, 1.0], [1.0, 4.0], [1.0, 4.0]])
    within = columns @ root @ root.T @ columns.T
    same = np.array([[True, True, False], [True, True, False], [False, False, True]])
    right = np.where(same, within, 0.0) + float(one["sigma"].values.ravel()[0]) ** 2 * np.eye(3)
    b = one["b"].sel(coef=["y, Intercept", "y, session"]).values
    error = np.sqrt(np.diag(right) / len(drawn))
    np.testing.assert_array_less(np.abs(drawn.mean(axis=0) - columns @ b), 4 * error)
    size = np.sqrt(np.outer(np.diag(right), np.diag(right)))
    np.testing.assert_array_less(np.abs(np.cov(drawn.T) - right) / size, 4 * np.sqrt(2 / len(drawn)))


def test_new_rows_may_be_a_table_of_sessions(line: ba.Fit) -> None:
    """Roles name its columns; the same rows as a data frame give the same."""
    frame = study().drop(columns=["y", "better", "mood", "mood, evening"]).iloc[:12]
    roles = {role: column for role, column in ROLES.items() if column in frame}
    table = ba.read_sessions(frame, roles, bounds={"wai": (1, 7)})
    from_table = flat(ba.predictions(line, table, groups="own"))
    from_frame = flat(ba.predictions(line, frame.rename(columns={"pid": "patient"}), groups="own"))
    own = flat(ba.predictions(line, by="row", groups="own"))[:, :12]
    np.testing.assert_allclose(from_table, own, rtol=1e-9)
    np.testing.assert_allclose(from_frame, own, rtol=1e-9)


def test_own_effects_where_covariates_are_zero() -> None:
    """A patient whose first session is 0 keeps the slope when the session is set, and an average of their own."""
    frame = study().assign(time=lambda rows: rows["session"] - 1.0)
    fit = fit_of(equation("y", "time + (0 + time | patient)"), frame)
    draws = draws_of(fit)
    slope = draws["u_patient"].transpose("sample", ...).values[:, :, 0][:, pd.factorize(frame["pid"])[0]]
    slope = slope + coef(draws, "y, time")[:, None]
    found = flat(ba.predictions(fit, at={"time": 3}, by="row", groups="own"))
    np.testing.assert_allclose(found, coef(draws, "y, Intercept")[:, None] + 3 * slope, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(flat(ba.slopes(fit, "time", by="row", groups="own")), slope, rtol=1e-6, atol=1e-7)
    assert ba.predictions(fit, by="patient").lines["patient"].tolist() == sorted(frame["pid"].unique())


def test_ids_of_new_rows_are_found_or_asked_for(line: ba.Fit) -> None:
    """Under the factor's name or the study's; else own effects are refused, not taken to be those of new patients."""
    known = study().iloc[:6]
    rows = known.drop(columns="pid")
    with pytest.raises(ba.FitError, match=r"no column 'patient', so it is not known whose effects.*Call the column"):
        ba.predictions(line, rows, groups="own")
    own = flat(ba.predictions(line, by="row", groups="own"))[:, :6]
    for table in (known.rename(columns={"pid": "patient"}), known):
        np.testing.assert_allclose(flat(ba.predictions(line, table, groups="own")), own, rtol=1e-9)


def test_a_column_that_may_be_meant_twice_is_refused() -> None:
    """The model's alliance is the study's wai, and the study has an alliance of its own."""
    fit = fit_of(equation("y", "alliance + (1 | patient)"), columns={"alliance": "wai"})
    with pytest.raises(ba.DesignError, match=r"'wai', 'alliance' differ.*Leave one of them out.*fitted to 'wai'"):
        ba.predictions(fit, study())
    got = flat(ba.predictions(fit, study().drop(columns="alliance")))
    np.testing.assert_allclose(got, flat(ba.predictions(fit, by="row")), rtol=1e-9)


@pytest.mark.parametrize("trials", ["15", '"n"'])
def test_successes_are_drawn_out_of_the_trials(trials: str) -> None:
    """Means over many draws are trials times the share, in the fit's rows and in new ones; counts are called so."""
    rng = np.random.default_rng(5)
    frame = study().assign(n=rng.integers(10, 16, 180), hit=rng.integers(0, 10, 180))
    fit = fit_of(equation("hit", "x + (1 | patient)", extra=f'family = "binomial"\ntrials = {trials}'), frame)
    out_of = 15.0 if trials == "15" else frame["n"].to_numpy(float)
    share = flat(ba.predictions(fit, frame.rename(columns={"pid": "patient"})))
    drawn = np.mean([flat(ba.predictions(fit, frame, what="drawn", seed=seed)) for seed in range(200)], axis=0)
    assert np.abs(drawn - out_of * share).max() < 15 * 0.5 * 5 / np.sqrt(200)
    assert set(ba.predictions(fit, frame, what="drawn").table()["unit"]) == {"number of hit"}
    if trials != "15":
        with pytest.raises(
            ba.DesignError, match=r"'n', what successes are out of, is not a whole number from 1 in row 1"
        ):
            ba.predictions(fit, frame.assign(n=0.5))


def test_averages_of_new_rows_by_patient_and_session() -> None:
    """Whether the model reads them or not; units that were not fitted keep their names."""
    rows = study().iloc[:12].rename(columns={"pid": "patient"})
    plain = fit_of(equation("y", "x"))
    assert ba.predictions(plain, rows, by="session").lines["session"].tolist() == [1, 2, 3, 4, 5, 6]
    assert ba.predictions(plain, rows, by="patient").lines["patient"].tolist() == ["p00", "p01"]
    with pytest.raises(ba.FitError, match="The rows have no session"):
        ba.predictions(plain, rows[["x"]], by="session")
    grouped = fit_of(equation("y", "x + (1 | patient)"))
    new = pd.DataFrame({"x": [0.0, 1, 2, 3], "patient": ["n1", "n1", "n2", "n2"]})
    assert ba.predictions(grouped, new, by="patient").lines["patient"].tolist() == ["n1", "n2"]


def test_values_outside_a_functions_domain_are_refused() -> None:
    """The log of 0, in rows that are set and in new ones."""
    fit = fit_of(equation("y", "log(pos) + (1 | patient)"), study().assign(pos=lambda rows: np.exp(rows["x"])))
    with pytest.raises(ba.FitError, match=r"'log\(pos\)' has no value at what is set"):
        ba.predictions(fit, at={"pos": -1})
    with pytest.raises(ba.DesignError, match=r"'log\(pos\)' has no value in some of the rows"):
        ba.predictions(fit, pd.DataFrame({"pos": [-1.0, 2.0]}))


def test_estimated_values_are_not_moved_by_an_amount() -> None:
    """Missing values that are modelled, and steps of ordered predictors, take stated values."""
    frame = study()
    frame.loc[::4, "x"] = np.nan
    model = equation("x", "1 + (1 | patient)", extra='missing = "model"') + equation("y", "mi(x) + (1 | patient)")
    fit = fit_of(model, frame)
    with pytest.raises(ba.FitError, match=r"Some values of 'x' are estimated, or its steps are. State values"):
        ba.comparisons(fit, "x", outcome="y")
    steep = flat(ba.slopes(fit, "x", at={"x": 0.5}, outcome="y"))
    np.testing.assert_allclose(steep[:, 0], coef(draws_of(fit), "y, mi(x)"), rtol=1e-6)
    found = flat(ba.comparisons(fit, "x", outcome="y", values=[0, 1]))
    np.testing.assert_allclose(found[:, 0], coef(draws_of(fit), "y, mi(x)"), rtol=1e-9)
    ordered = fit_of(equation("y", "mo(wai) + (1 | patient)"))
    with pytest.raises(ba.FitError, match="Some values of 'wai' are estimated"):
        ba.slopes(ordered, "wai")
    assert ba.predictions(ordered, grid={"wai": [3, 5]}).lines["wai"].tolist() == [3, 5]


def test_grids_do_not_contradict_themselves() -> None:
    """Indicators go with the most frequent arm; whether an arm has groups is asked, not guessed."""
    frame = study()
    frame = frame[(frame["arm"] == "MBCT") | (frame["pid"] < "p15")]
    fit = fit_of(equation("y", "condition + in_group:x + (1 | patient)"), frame, **GATED)
    draws = draws_of(fit)
    right = coef(draws, "y, Intercept") + coef(draws, "y, arm[MBCT]") + coef(draws, "y, arm[MBCT]:x")
    np.testing.assert_allclose(flat(ba.predictions(fit, grid={"x": 1.0}))[:, 0], right, rtol=1e-9)
    nested = equation("better", "condition + (1 | group)", extra='family = "bernoulli"')
    fit = fit_of(nested + '[groups.group]\nmissing = "none"\n', **ARM)
    with pytest.raises(ba.DesignError, match=r"Some rows that were fitted have no group.*Add a column 'group'"):
        ba.predictions(fit, grid={"condition": ["TAU", "MBCT"]})
    rows = pd.DataFrame({"condition": ["TAU", "MBCT"], "group": ["", "g1"]})
    by_arm = flat(ba.predictions(fit, at={"condition": ["TAU", "MBCT"]}))
    np.testing.assert_allclose(flat(ba.predictions(fit, rows)), by_arm, rtol=1e-9)


def test_drawn_rows_without_a_group_do_not_share_one() -> None:
    """Patients of the arm without groups, set to the other arm, are in new ones: one for each patient."""
    few = fit_of(equation("y", "condition + (0 + in_group | group)"), size=2.0, **GATED)
    one = few.data["posterior"].to_dataset().isel(chain=[0], draw=[0])
    tree = few.data.copy()
    tree["posterior"] = xr.DataTree(one.isel(draw=np.zeros(4000, int)).assign_coords(draw=np.arange(4000)))
    fit = ba.Fit(few.spec, tree, few.provenance, few.checks, few.design)
    drawn = flat(ba.predictions(fit, at={"condition": "MBCT"}, by="row", what="drawn"))
    frame = study()
    tau, mbct = np.flatnonzero(frame["arm"] == "TAU"), np.flatnonzero(frame["arm"] == "MBCT")
    sd, sigma = float(one["sd_group"].values.ravel()[0]), float(one["sigma"].values.ravel()[0])
    shared = sd**2 / (sd**2 + sigma**2)
    cor = np.corrcoef(drawn.T)
    error = 4 / np.sqrt(4000)
    assert abs(cor[tau[0], tau[1]] - shared) < error  # one patient
    assert abs(cor[tau[0], tau[-1]]) < error
    assert np.abs(cor[tau[0], mbct]).max() < 1.5 * error
    same = frame["gid"].values == frame["gid"].values[mbct[0]]
    assert np.abs(cor[mbct[0], same & (np.arange(180) != mbct[0])] - shared).max() < 1.5 * error


def test_drawn_rows_of_several_memberships() -> None:
    """Each of them has effects of its own, however many levels the first one meets."""
    rng, frame = np.random.default_rng(0), study()
    frame = frame.assign(
        staff=[f"t{i}" for i in rng.integers(0, 4, 180)], t2=[f"t{i}" for i in rng.integers(4, 9, 180)], w1=0.3, w2=0.7
    )
    members = '[groups.staff]\nmembers = ["staff", "t2"]\nweights = ["w1", "w2"]\n'
    fit = fit_of(equation("better", "x + (1 | staff)", extra='family = "bernoulli"') + members, frame)
    assert set(np.unique(flat(ba.predictions(fit, by="row", what="drawn")))) <= {0.0, 1.0}
    with pytest.raises(ba.FitError, match="several levels of 'staff' by weights"):
        ba.predictions(fit, by="staff")


def test_lines_keep_names_apart() -> None:
    """A predictor called like a figure is marked as one, and one called self is as good as any."""
    frame = study()
    frame["mean"], frame["self"] = frame["x"], (frame["x"] > 0).astype(float)
    fit = fit_of(equation("y", "mean + self"), frame)
    shown = ba.predictions(fit, at={"mean": [0, 1], "self": 1}).table()
    assert list(shown.columns[:3]) == ["mean (predictor)", "self", "mean"]
    assert shown.columns.is_unique


def test_many_lines_are_shown_in_part(line: ba.Fit) -> None:
    """The first and the last ten, and that there are more."""
    text = repr(ba.predictions(line, by="row"))
    assert "The first and the last 10 of 180 lines." in text
    assert len(text.splitlines()) == 1 + 1 + 20 + 1


ROW = {"arm": ["TAU"], "x": [0.0], "session": [1.0]}


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ({"x": [0.0], "session": [1.0]}, "The rows have no column 'arm', which the model reads"),
        (ROW | {"arm": ["TUA"]}, "Unknown level of 'arm': 'TUA'.*Did you mean 'TAU'"),
        (ROW | {"x": ["much"]}, r"Column 'x' is no number in row 1 \('much'\)"),
        (ROW | {"x": [np.nan]}, "Column 'x' is missing in 1 row: row 1. Complete the values"),
    ],
)
def test_new_rows_that_cannot_be_read(line: ba.Fit, rows: dict[str, list], sentence: str) -> None:
    """Each says which column, what is allowed and what to do."""
    with pytest.raises(ba.DesignError, match=sentence):
        ba.predictions(line, pd.DataFrame(rows))


def test_all_problems_of_new_rows_come_at_once(line: ba.Fit) -> None:
    """A missing column and an unknown level."""
    with pytest.raises(ba.DesignError) as found:
        ba.predictions(line, pd.DataFrame({"arm": ["TUA"], "x": [0.0]}))
    assert len(found.value.problems) == 2
    with pytest.raises(ba.TableError, match="There are no rows in the DataFrame"):
        ba.predictions(line, pd.DataFrame({name: [] for name in ROW}))


def test_what_cannot_be_asked(line: ba.Fit, logit: ba.Fit) -> None:
    """Each refusal names what is allowed or what to state instead."""
    with pytest.raises(ba.FitError, match="Unknown what 'mean'"):
        ba.predictions(line, what="mean")  # type: ignore[arg-type]
    with pytest.raises(ba.FitError, match="Unknown groups 'all'"):
        ba.predictions(line, groups="all")
    with pytest.raises(ba.FitError, match="Unknown grouping factor 'therapist'"):
        ba.predictions(line, groups={"therapist": "own"})
    with pytest.raises(ba.FitError, match="State one of them"):
        ba.predictions(line, pd.DataFrame(ROW), grid={"arm": "TAU"})
    with pytest.raises(ba.FitError, match=r"Unknown variable or grouping factor 'sesion'.*Did you mean 'session'"):
        ba.predictions(line, by="sesion")
    with pytest.raises(ba.FitError, match="at= states no value of 'x'"):
        ba.predictions(line, at={"x": []})
    with pytest.raises(ba.FitError, match="'session' is set by at=, so rows have no values of their own"):
        ba.predictions(line, at={"session": [1, 5]}, by="session")
    for odd in (None, [None], [pd.NA], [["TAU"]]):
        with pytest.raises(ba.FitError, match="is neither a number nor a level of 'arm'"):
            ba.predictions(line, at={"arm": odd})  # type: ignore[dict-item]
    with pytest.raises(ba.FitError, match="at= maps variables to values"):
        ba.predictions(line, at=["x"])  # type: ignore[arg-type]
    with pytest.raises(ba.FitError, match="by= names a variable or grouping factor"):
        ba.predictions(line, by=3)  # type: ignore[arg-type]
    with pytest.raises(ba.FitError, match="A comparison needs two values of 'arm' or more"):
        ba.comparisons(line, "arm", values="TAU")
    with pytest.raises(ba.FitError, match="'arm' is what is compared; it cannot be set, too"):
        ba.comparisons(line, "arm", grid={"arm": ["TAU", "CBT"]})
    with pytest.raises(ba.FitError, match="more than 10,000 combinations"):
        ba.predictions(line, at={"x": list(np.arange(101)), "session": list(np.arange(100))})
    with pytest.raises(ba.FitError, match="'arm' is what is compared; it cannot be set, too"):
        ba.comparisons(line, "arm", at={"arm": "TAU"})
    with pytest.raises(ba.FitError, match="A comparison needs two values of 'arm' or more"):
        ba.comparisons(line, "arm", values=["TAU"])
    with pytest.raises(ba.FitError, match=r"odds are of probabilities. Take a difference or a ratio"):
        ba.comparisons(line, "arm", scale="odds ratio")
    with pytest.raises(ba.FitError, match=r"'arm' is a factor. State two of its levels"):
        ba.slopes(logit, "arm")
    within = fit_of(
        "[[equation]]\noutcome = 'y'\nunit = 'session'\nformula = 'within(alliance, patient) + (1 | patient)'\n"
    )
    with pytest.raises(ba.DesignError, match=r"within\(alliance, patient\) needs a column 'patient'"):
        ba.predictions(within, pd.DataFrame({"alliance": [4.0]}))
