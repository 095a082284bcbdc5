"""Draws from the priors have the priors' distributions; the correlations come by another route than the model's."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

import bayes_alliance as ba
from bayes_alliance.simulate.prior import _draw_correlation, draw_truth

COLUMNS = {"outcome": "score", "condition": "arm"}


def design(sessions: ba.SessionTable, **priors: str) -> ba.Design:
    """Return the growth design of the small trial."""
    stated = {name.replace("_", " "): text for name, text in priors.items()}
    model = ba.load_model("growth/treatment")
    return ba.make_design(model, ba.Study(sessions, columns=COLUMNS, reference={"condition": "TAU"}, priors=stated))


@pytest.mark.parametrize(("size", "eta"), [(2, 2.0), (3, 1.0), (4, 2.0)])
def test_each_correlation_is_a_beta(size: int, eta: float) -> None:
    """Under LKJ every correlation, moved to 0 to 1, is Beta(eta - 1 + size / 2) on both sides."""
    rng = np.random.default_rng(4)
    drawn = np.array([_draw_correlation(eta, size, rng) for _ in range(3000)])
    assert (np.linalg.eigvalsh(drawn)[:, 0] > 0).all()
    shape = eta - 1 + size / 2
    for i in range(size):
        for j in range(i):
            assert stats.kstest((drawn[:, i, j] + 1) / 2, stats.beta(shape, shape).cdf).pvalue > 1e-4


def test_parameters_follow_their_priors(sessions: ba.SessionTable) -> None:
    """Coefficients, SDs and the residual SD, each against SciPy's distribution of the resolved prior."""
    made = design(sessions)
    rng = np.random.default_rng(5)
    drawn = [draw_truth(made, rng) for _ in range(2000)]
    for prior in made.priors.table():
        if prior.parameter.startswith(("cor_", "b[score, Intercept]")):
            continue
        values = np.array([truth[prior.parameter] for truth in drawn])
        d = prior.distribution
        if d.family == "normal":
            law = stats.norm(d.value("mu"), d.value("sigma")).cdf
        else:
            law = lambda x, d=d: 2 * stats.t(d.value("nu"), scale=d.value("sigma")).cdf(x) - 1  # noqa: E731
        assert stats.kstest(values, law).pvalue > 1e-4, prior.parameter


def test_prediction_centres_on_the_outcome_and_is_wider(sessions: ba.SessionTable) -> None:
    """Rows as in the design; the middle of the predictions lies near the data, their spread above it."""
    made = design(sessions)
    drawn = ba.predict_prior(made, draws=200, seed=1)["score"]
    assert drawn.dims == ("draw", "obs_score")
    assert drawn.sizes["obs_score"] == len(made.equation.y)
    assert abs(float(drawn.median()) - made.equation.y.mean()) < 2 * made.equation.y.std()
    low, high = np.quantile(drawn, [0.25, 0.75])
    assert high - low > made.equation.y.std()
    assert ba.predict_prior(made, draws=5, seed=1).identical(ba.predict_prior(made, draws=5, seed=1))


def test_a_flat_prior_has_no_prediction(sessions: ba.SessionTable) -> None:
    """It is named."""
    with pytest.raises(ba.DesignError, match="flat prior of 'sd_therapist"):
        ba.predict_prior(design(sessions, sd_therapist="flat_positive()"), seed=1)


def test_the_picture_has_priors_and_data(sessions: ba.SessionTable) -> None:
    """Both shares add up to one, up to the prior draws left out at the ends."""
    figure = ba.plot_prior_prediction(design(sessions), seed=1)
    assert isinstance(figure, Figure)
    (axes,) = figure.axes
    bars = sum(patch.get_height() for patch in axes.patches if hasattr(patch, "get_height"))
    assert 0.97 < bars <= 1.0001
    assert axes.get_xlabel() == "score"


def test_the_picture_of_a_0_1_outcome(sessions: ba.SessionTable) -> None:
    """Studies by their share of ones, the observed share marked."""
    made = ba.make_design(
        ba.load_model("dropout/early-alliance"),
        ba.Study(sessions, columns={"condition": "arm"}, reference={"condition": "TAU"}),
    )
    (axes,) = ba.plot_prior_prediction(made, seed=1).axes
    assert axes.get_lines()[0].get_xdata()[0] == pytest.approx(made.equation.y.mean())
