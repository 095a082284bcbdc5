"""Predictions, comparisons and slopes beside closed forms, in every draw of fits whose draws are stated parameters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import special

import bayes_alliance as ba
from tests.posterior.test_setting import ROLES, draws_of, fit_of, study

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
    with pytest.raises(ba.FitError, match="more than 10,000 combinations"):
        ba.predictions(line, at={"x": list(np.arange(101)), "session": list(np.arange(100))})
    with pytest.raises(ba.FitError, match="at= cannot set it, too"):
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
    with pytest.raises(ba.DesignError, match=r"reads within\(alliance, patient\): values of other rows.*Set variables"):
        ba.predictions(within, pd.DataFrame({"alliance": [4.0]}))
