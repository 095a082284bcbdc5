"""What can be asked of results: hypotheses, equivalence, pictures; and probabilities of categories, and survival."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import special

import bayes_alliance as ba
from tests.posterior.test_propagation import coefs, flat
from tests.posterior.test_setting import draws_of, equation, fit_of, study

ARMS = {"reference": {"arm": "TAU"}}
X, W = np.polynomial.hermite_e.hermegauss(101)
W = W / W.sum()
LINE = equation("y", "arm * session + x + (1 + session | patient)")


@pytest.fixture(scope="module")
def line() -> ba.Fit:
    """Return growth by condition; nothing is sampled."""
    return fit_of(LINE, **ARMS)


def test_results_are_compared_with_one_another(line: ba.Fit) -> None:
    """Each less the first, less the one before, in pairs, or by arithmetic: in every draw, in the lines' order."""
    at = {"session": [1, 3, 6]}
    values = flat(ba.predictions(line, at=at))
    for hypothesis, right in {
        "reference": [values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]],
        "sequential": [values[:, 1] - values[:, 0], values[:, 2] - values[:, 1]],
        "pairwise": [values[:, 1] - values[:, 0], values[:, 2] - values[:, 0], values[:, 2] - values[:, 1]],
        "b3 = 2 * b1": [values[:, 2] - 2 * values[:, 0]],
    }.items():
        found = ba.predictions(line, at=at, hypothesis=hypothesis)
        np.testing.assert_allclose(flat(found), np.stack(right, axis=1))
        assert (found.draws["null"].values == 0).all()
    several = ba.comparisons(line, "arm", hypothesis=["b2 - b1", "-b1 / b2"])
    assert several.lines["hypothesis"].tolist() == ["b2 - b1", "-b1 / b2"]
    assert "p_direction" in several.table()
    first = ba.predictions(line, at=at, hypothesis="reference").lines["hypothesis"].iloc[0]
    assert first == "(session = 3) less (session = 1)"
    for odd, says in {
        "b4": "There is no line 'b4'.*b1 to b3",
        "b1 ==": "cannot be read",
        "b1 = b2 = b3": "cannot be read",
        "x": "There is no line 'x'",
    }.items():
        with pytest.raises(ba.FitError, match=says):
            ba.predictions(line, at=at, hypothesis=odd)
    for none in ([], 3):
        with pytest.raises(ba.FitError, match="cannot be read"):
            ba.predictions(line, at=at, hypothesis=none)  # type: ignore[arg-type]
    with pytest.raises(ba.FitError, match="A number of 'x' is too large"):
        ba.predictions(line, at={"x": [10**400]})
    with pytest.raises(ba.FitError, match="compares lines, and there is one"):
        ba.predictions(line, hypothesis="pairwise")


def test_practical_equivalence_is_a_column(line: ba.Fit) -> None:
    """The share of the draws between the bounds, which are checked."""
    found = ba.comparisons(line, "arm")
    values = flat(found)
    table = found.table(rope=(-0.4, 0.9))
    np.testing.assert_allclose(table["p_rope"], ((values > -0.4) & (values < 0.9)).mean(axis=0))
    assert "p_rope" not in found.table()
    assert "p_rope" in found.table(rope=np.array([-1.0, 1.0]))  # type: ignore[arg-type]
    for odd in ((1, 0), (0, np.inf), 3, "ab", (None, 1)):
        with pytest.raises(ba.FitError, match="state two numbers in the unit of the results"):
            found.table(rope=odd)  # type: ignore[arg-type]


def test_pictures_along_a_number_and_of_points(line: ba.Fit) -> None:
    """Lines at the means of the draws, a stroke at every observed value; points without a number to draw along."""
    results = ba.predictions(line, at={"x": list(np.linspace(-2, 2, 9)), "arm": ["TAU", "CBT"]})
    figure = results.plot()
    axes = figure.axes[0]
    assert isinstance(figure, Figure)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["arm = TAU", "arm = CBT"]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), flat(results).mean(axis=0)[::2])
    strokes = axes.lines[-1].get_xdata()
    seen = study()["x"].to_numpy()
    assert len(strokes) == len(np.unique(seen[np.abs(seen) <= 2]))
    assert axes.get_xlabel() == "x"
    points = ba.comparisons(line, "arm").plot()
    assert [tick.get_text() for tick in points.axes[0].get_yticklabels()] == [
        "comparison = MBCT less TAU",
        "comparison = CBT less TAU",
    ]
    with pytest.raises(ba.FitError, match="Unknown column 'z'"):
        results.plot(along="z")
    with pytest.raises(ba.FitError, match="'arm' has no 3 numbers"):
        results.plot(along="arm")
    with pytest.raises(ba.FitError, match="180 results are too many for one picture"):
        ba.predictions(line, by="row").plot(along="")
    with pytest.raises(ba.FitError, match="30 lines are too many"):
        ba.predictions(line, by=["patient", "session"]).plot()


def test_probabilities_of_ordered_categories() -> None:
    """Differences of logistic curves integrated over new patients; they add up to 1 and give the mean."""
    fit = fit_of(equation("wai", "arm + (1 | patient)", extra='family = "cumulative"'), **ARMS)
    found = ba.predictions(fit, at={"arm": ["TAU", "CBT"]}, what="probability")
    assert found.lines["category"].tolist() == [*"1234567"] * 2
    values = flat(found).reshape(-1, 2, 7)
    np.testing.assert_allclose(values.sum(axis=2), 1.0, atol=1e-7)
    mean = flat(ba.predictions(fit, at={"arm": ["TAU", "CBT"]}))
    np.testing.assert_allclose(values @ np.arange(1, 8), mean, atol=1e-5)
    d, b = draws_of(fit), coefs(fit)
    cuts = d["threshold"].transpose("sample", ...).values
    sd = d["sd_patient"].transpose("sample", ...).values[:, :1]
    eta = b["wai, arm[CBT]"][:, None] + sd * X
    below = special.expit(cuts[:, 2, None] - eta) @ W
    np.testing.assert_allclose(values[:, 1, :3].sum(axis=1), below, atol=1e-6)


def test_probabilities_of_other_outcomes() -> None:
    """0 and 1 of a yes or no, the ends of a bounded score, none of a number."""
    yes = fit_of(equation("better", "arm + (1 | patient)", extra='family = "bernoulli"'), **ARMS)
    values = flat(ba.predictions(yes, what="probability"))
    np.testing.assert_allclose(values[:, 1], flat(ba.predictions(yes))[:, 0], atol=1e-7)
    np.testing.assert_allclose(values.sum(axis=1), 1.0, atol=1e-7)
    score = fit_of(equation("wai", "arm + (1 | patient)", extra='family = "ordered_beta"'), **ARMS)
    ends = ba.predictions(score, at={"arm": "CBT"}, what="probability", groups="zero")
    assert ends.lines["category"].tolist() == ["floor", "between", "ceiling"]
    np.testing.assert_allclose(flat(ends).sum(axis=1), 1.0, atol=1e-9)
    drawn = ba.predictions(score, at={"arm": "CBT"}, what="drawn", groups="zero", by="row")
    share = (drawn.draws["value"].values == 1).mean()
    assert abs(share - flat(ends)[:, 0].mean()) < 4 * np.sqrt(0.25 / drawn.draws["value"].size)
    with pytest.raises(ba.FitError, match="'y' is gaussian and has no categories"):
        ba.predictions(fit_of(LINE, **ARMS), what="probability")


LEAVING = equation("leaving", "arm + session + (1 | patient) + (1 | therapist)", extra='family = "hazard"')


def with_dropout() -> pd.DataFrame:
    """Return SYNTHETIC sessions up to the one that a patient leaves after."""
    frame = study()
    rng = np.random.default_rng(8)
    last = dict(zip(frame["pid"].unique(), rng.integers(2, 8, 30), strict=True))
    frame["last"] = frame["pid"].map(last)
    frame = frame[frame["session"] <= frame["last"]].reset_index(drop=True)
    return frame.assign(leaving=(frame["session"] == frame["last"]).astype(int))


def test_survival_is_a_product_over_sessions() -> None:
    """Effects of a new patient and therapist are the same in all sessions: products inside the integral."""
    fit = fit_of(LEAVING, with_dropout(), **ARMS)
    b, d = coefs(fit), draws_of(fit)
    spread = np.hypot(*(d[f"sd_{name}"].transpose("sample", ...).values[:, 0] for name in ("patient", "therapist")))
    found = ba.predictions(fit, at={"arm": ["TAU", "CBT"]}, what="survival")
    assert found.lines.to_dict("list") == {"arm": ["TAU"] * 6 + ["CBT"] * 6, "session": [1.0, 2, 3, 4, 5, 6] * 2}
    for place, arm in enumerate(["TAU", "CBT"]):
        own = b[f"leaving, arm[{arm}]"] if arm == "CBT" else 0.0
        eta = (b["leaving, Intercept"] + own)[:, None] + b["leaving, session"][:, None] * np.arange(1, 7)
        stay = np.exp(-np.exp(eta[..., None] + spread[:, None, None] * X))
        right = np.cumprod(stay, axis=1) @ W
        np.testing.assert_allclose(flat(found)[:, place * 6 : place * 6 + 6], right, atol=1e-6)
    rows = pd.DataFrame({"pid": ["a", "b", "a"], "session": [1, 1, 2], "arm": "CBT", "tid": "new"})
    new = flat(ba.predictions(fit, rows, what="survival"))
    np.testing.assert_allclose(new, flat(found)[:, [6, 6, 7]], atol=1e-6)
    for odd, says in (([1, 1, 3], "skip a session: after 'a' session 1"), ([1, 1, 1], "have a session twice")):
        with pytest.raises(ba.FitError, match=says):
            ba.predictions(fit, rows.assign(session=odd), what="survival")
    with pytest.raises(ba.FitError, match="do not say of which patient and session"):
        ba.predictions(fit, rows.drop(columns="pid"), what="survival")
    hazard = ba.predict_hazard(fit, "arm", values=["TAU"], draws=None)
    np.testing.assert_allclose(hazard["staying"].sel(value="TAU"), flat(_own(fit)), atol=1e-9)


def _own(fit: ba.Fit) -> ba.Expectations:
    return ba.predictions(fit, at={"arm": "TAU"}, what="survival", groups="own")


def test_survival_that_cannot_be_asked(line: ba.Fit) -> None:
    """All problems at once; of leaving alone, over sessions, of predictors that are known after leaving."""
    with pytest.raises(ba.FitError, match=r"'y' is gaussian, by session"):
        ba.predictions(line, what="survival")
    fit = fit_of(LEAVING, with_dropout(), **ARMS)
    with pytest.raises(ba.FitError) as caught:
        ba.predictions(fit, grid={"arm": ["TAU"]}, by="row", what="survival")
    assert len(caught.value.problems) == 2
    moving = fit_of(equation("leaving", "x + session + (1 | patient)", extra='family = "hazard"'), with_dropout())
    with pytest.raises(ba.FitError, match=r"'x' changes over a patient's sessions"):
        ba.predictions(moving, what="survival")
    assert len(ba.predictions(moving, at={"x": 0.0}, what="survival").lines) == 6


def test_patients_who_entered_later_are_counted() -> None:
    """Survival is of those who were there at the first session: a message of the result says how many were not."""
    frame = with_dropout()
    late = ["p01", "p04"]
    frame = frame[~(frame["pid"].isin(late) & (frame["session"] == 1))]
    fit = fit_of(LEAVING, frame, **ARMS)
    told = (
        "Survival is that of the 28 of 30 patients whose rows begin at session 1; those who entered later are not "
        "in it."
    )
    found = ba.predictions(fit, at={"arm": ["TAU", "CBT"]}, what="survival")
    assert [message for message in found.messages if message.startswith("Survival")] == [told]
    with pytest.warns(ba.AllianceWarning, match="28 of 30 patients"):
        ba.predict_hazard(fit, "arm", values=["TAU"], draws=None)
