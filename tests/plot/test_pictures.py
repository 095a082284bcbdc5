"""Pictures are figures that hold what they say, made without global state."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

import bayes_alliance as ba


def test_trajectories_show_each_condition(small_fit: ba.Fit) -> None:
    """One labelled line per condition, axes in the study's names, the interval named in the title."""
    figure = ba.plot_trajectories(small_fit)
    assert isinstance(figure, Figure)
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.get_lines()] == ["TAU", "MBCT"]
    assert axes.get_xlabel() == "week"
    assert axes.get_ylabel() == "score (expected)"
    assert "95% equal-tailed" in axes.get_title(loc="left")
    line = axes.get_lines()[0]
    mean = ba.predict_trajectories(small_fit).sel(arm="TAU").mean(("chain", "draw"))
    np.testing.assert_allclose(line.get_ydata(), mean.values)


def test_effects_show_every_coefficient_but_the_intercept(small_fit: ba.Fit) -> None:
    """One row per coefficient, top to bottom in the order of the formula, unit on the axis."""
    (axes,) = ba.plot_effects(small_fit).axes
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ["week:arm[MBCT]", "arm[MBCT]", "week"]
    assert axes.get_xlabel() == "points of score per SD of the predictor"


def test_pictures_need_rows(small_fit: ba.Fit, tmp_path: object) -> None:
    """A loaded fit without rows says how to bring them back."""
    loaded = ba.load_fit(small_fit.save(f"{tmp_path}/f"))
    for draw in (ba.plot_trajectories, ba.plot_effects):
        with pytest.raises(ba.FitError, match=r"use fit\.with_rows"):
            draw(loaded)
