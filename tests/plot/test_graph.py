"""Pictures of models, predictions and priors: what is in them, and what is refused."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.patches import FancyArrowPatch

import bayes_alliance as ba


@pytest.mark.parametrize("name", [entry.name for entry in ba.list_models()])
def test_every_registered_model_has_a_graph(name: str) -> None:
    """An arrow per predictor of each outcome, but for its own past; every variable is named; nothing covers another."""
    spec = ba.load_model(name)
    axes = ba.plot_graph(spec).axes[0]
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == sum(len(set(e.predictors) - {e.outcome}) for e in spec.equation)
    named = [text.get_text().split("\n")[0] for text in axes.texts]
    assert sorted(named) == sorted({*spec.outcomes, *(p for e in spec.equation for p in e.predictors)})
    places = [text.get_position() for text in axes.texts]
    assert len(set(places)) == len(places)


def checks(observed: float) -> pd.DataFrame:
    """Return one predictive check whose interval is 1 to 3."""
    row = {"outcome": "y", "figure": "mean", "observed": observed, "predicted": 2.1, "eti95_lb": 1.0, "eti95_ub": 3.0}
    return pd.DataFrame([row])


@pytest.mark.parametrize(("observed", "place", "outside"), [(2.0, 0.0, False), (3.5, 1.5, True), (99.0, 4.0, True)])
def test_figures_lie_where_they_should(observed: float, place: float, outside: bool) -> None:
    """In half widths of the interval, at the edge where far outside, and told apart there."""
    axes = ba.plot_predictive(checks(observed)).axes[0]
    labels = {str(line.get_label()): line.get_xdata() for line in axes.lines}
    assert list(labels["observed, outside" if outside else "observed"]) == [place]


def test_nothing_to_plot_is_refused() -> None:
    """An empty table has no picture."""
    with pytest.raises(ba.FitError, match="no predictive checks"):
        ba.plot_predictive(checks(1.0).iloc[:0])
