"""Comparisons: hand calculation, what may not be compared, remarks, models alike, and the truth in the long run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar

import bayes_alliance as ba
from bayes_alliance.comparison.equivalence import same_distribution
from bayes_alliance.comparison.scores import Scores
from tests.build.test_equations import HEAD, equation
from tests.conftest import ROLES

QUIET = ba.SamplerSettings(progress="off")
NESTED = {k: v for k, v in ROLES.items() if k != "group"}


def scores(elpd: np.ndarray, **changes: object) -> Scores:
    """Return scores of as many patients as there are numbers."""
    size = len(elpd)
    made = Scores(
        title="t",
        unit="patient",
        labels=tuple(f"P{i}" for i in range(size)),
        outcomes=("y",),
        target="all outcomes",
        method="psis",
        elpd_i=elpd,
        fitted_i=elpd + 0.01,
        pareto_k=np.zeros(size),
        mcse_i=np.zeros(size),
        rows=np.ones(size, dtype=int),
        refitted=np.zeros(size, dtype=bool),
        draws=1000,
        fingerprint="same",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_hand_calculation() -> None:
    """Differences, their errors, and stacking weights of two models on 150 fixed numbers."""
    rng = np.random.default_rng(3)
    one, two = rng.normal(-2, 1, 150), rng.normal(-2.1, 1, 150)
    table = ba.compare({"one": scores(one), "two": scores(two)}).table
    best, worst = (one, two) if one.sum() > two.sum() else (two, one)
    row = table.iloc[1]
    assert row["elpd_diff"] == pytest.approx((worst - best).sum())
    # ArviZ takes the variance over n, and our standard errors of single models take it over n - 1
    assert row["dse"] == pytest.approx(np.sqrt(150) * (worst - best).std(), rel=5e-3)
    assert list(table["elpd"]) == pytest.approx([best.sum(), worst.sum()])
    assert table["se"].iloc[0] == pytest.approx(np.sqrt(150) * best.std(ddof=1))
    found = minimize_scalar(
        lambda w: -np.log(w * np.exp(best) + (1 - w) * np.exp(worst)).sum(), bounds=(0, 1), method="bounded"
    )
    assert table["weight"].iloc[0] == pytest.approx(found.x, abs=0.01)


def test_densities_of_large_units_do_not_vanish() -> None:
    """Units of hundreds of rows have densities below the smallest number; weights do not mind."""
    rng = np.random.default_rng(3)
    one, two = rng.normal(-2, 1, 150), rng.normal(-2.1, 1, 150)
    small = ba.compare({"one": scores(one), "two": scores(two)}).table
    large = ba.compare({"one": scores(one - 2000), "two": scores(two - 2000)}).table
    np.testing.assert_allclose(small["weight"], large["weight"], atol=1e-3)


def test_order_of_units_does_not_matter() -> None:
    """Scores of the same units in another order give the same table."""
    rng = np.random.default_rng(4)
    one, two = rng.normal(-2, 1, 120), rng.normal(-2.2, 1, 120)
    turned = scores(two[::-1], labels=tuple(f"P{i}" for i in range(120))[::-1])
    plain, other = (ba.compare({"one": scores(one), "two": s}).table for s in (scores(two), turned))
    pd.testing.assert_frame_equal(plain, other)


def test_constant_scores() -> None:
    """Models that predict exactly alike differ by nothing, within noise."""
    found = ba.compare({"a": scores(np.full(20, -1.0)), "b": scores(np.full(20, -1.0))})
    assert found.table["elpd_diff"].eq(0).all()
    assert found.table["remark"].iloc[1].startswith("within noise")


OTHERS: list[tuple[dict[str, object], str]] = [
    ({"unit": "therapist"}, "different units: patients and therapists"),
    ({"method": "kfold"}, "different methods: psis and kfold"),
    ({"outcomes": ("z",)}, "scored on 'y' and on 'z'"),
    ({"labels": tuple(f"Q{i}" for i in range(20))}, r"40 patients only in one of them, 'P0'"),
    ({"fingerprint": "other"}, r"the same numbers of rows, but other rows or other values of the outcome"),
    ({"fingerprint": "other", "rows": np.full(20, 2)}, "20 patients with other numbers of rows, 'P0'"),
]


@pytest.mark.parametrize(("change", "message"), OTHERS, ids=[message[:20] for _, message in OTHERS])
def test_what_may_not_be_compared(change: dict[str, object], message: str) -> None:
    """Said with what differs, and what to do."""
    values = np.linspace(-2, -1, 20)
    with pytest.raises(ba.FitError, match=message):
        ba.compare({"a": scores(values), "b": scores(values, **change)})


def test_one_model_is_no_comparison() -> None:
    """Two are needed."""
    with pytest.raises(ba.FitError, match="needs two models or more; there is one"):
        ba.compare({"a": scores(np.zeros(5))})


@pytest.fixture(scope="module")
def fitted(trial: pd.DataFrame) -> Callable[..., ba.Fit]:
    """Return a function that fits a formula to the small trial."""

    def fit(formula: str, rows: pd.DataFrame = trial) -> ba.Fit:
        text = HEAD + equation("score", formula)
        return ba.fit_model(ba.parse_model(text), ba.read_sessions(rows, NESTED), seed=1, settings=QUIET)

    return fit


def test_rows_are_compared_by_what_they_are(trial: pd.DataFrame, fitted: Callable[..., ba.Fit]) -> None:
    """Equal counts of other rows, another scale of the outcome: refused; rows in another order: the same."""
    plain = fitted("week + (1 | patient)")
    moved = trial.copy()
    moved.loc[0, "week"] = 20.0
    with pytest.raises(ba.FitError, match="the same numbers of rows, but other rows or other values"):
        ba.compare({"a": plain, "b": fitted("week + (1 | patient)", moved)})
    with pytest.raises(ba.FitError, match="other values of the outcome"):
        ba.compare({"a": plain, "b": fitted("week + (1 | patient)", trial.assign(score=trial["score"] / 10))})
    turned = ba.compare({"a": plain, "b": fitted("week + (1 | patient)", trial.iloc[::-1])})
    assert "not distinguishable by fit from" in turned.table["remark"].iloc[1]


def test_chains_that_failed_are_remarked(fitted: Callable[..., ba.Fit]) -> None:
    """A fit whose checks failed is compared, and told."""
    good = fitted("week + (1 | patient)")
    bad = replace(good, checks=tuple(replace(check, passed=False) for check in good.checks))
    found = ba.compare({"good": good, "bad": bad})
    assert "its chains FAILED their checks" in found.table.loc["bad", "remark"]


def test_the_truth_wins(trial: pd.DataFrame, fitted: Callable[..., ba.Fit]) -> None:
    """SYNTHETIC: growth with slopes of its own for each patient beats one without growth, and by far."""
    found = ba.compare({"none": fitted("(1 | patient)"), "growth": fitted("week + (1 | patient)")})
    assert found.best == "growth"
    assert found.table.loc["none", "elpd_diff"] < -2 * found.table.loc["none", "dse"]
    assert found.table.loc["growth", "weight"] > 0.8
    assert "2 models, 24 patients predicted; 'score'." in repr(found)
    assert "<table" in found._repr_html_()


def test_models_that_imply_the_same_distribution() -> None:
    """Two mediators in either order are alike if both orders are saturated, with therapists only if these correlate."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.normal(size=(60, 4)), columns=["x", "m", "k", "y"])
    frame = frame.assign(patient=[f"P{i}" for i in range(60)], therapist=[f"T{i % 8}" for i in range(60)])
    table = ba.read_sessions(frame, {"patient": "patient", "therapist": "therapist"})

    def made(m: str, k: str, more: str = "") -> ba.Design:
        pair = [equation("m", m, unit="patient"), equation("k", k, unit="patient")]
        order = pair if " + k" not in m else pair[::-1]
        return ba.make_design(
            ba.parse_model(HEAD + "".join(order) + equation("y", "x + m + k", unit="patient") + more), table
        )

    forward, backward, apart = made("x", "x + m"), made("x + k", "x"), made("x", "x")
    together = made("x", "x", '[residual]\ncorrelate = ["m", "k"]\n')
    assert same_distribution(forward, backward)
    assert same_distribution(forward, together)
    assert not same_distribution(forward, apart)
    group, joined = " + (1 | therapist)", '[groups.therapist]\ncorrelate = ["m", "k"]\n'
    assert not same_distribution(made("x" + group, "x + m" + group), made("x + k" + group, "x" + group))
    assert same_distribution(made("x" + group, "x + m" + group, joined), made("x + k" + group, "x" + group, joined))
