"""Ranks of a calibration as empirical distribution functions, less the diagonal, with simultaneous bands."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.figure import Figure

from bayes_alliance.diagnosis.calibration import Calibration
from bayes_alliance.diagnosis.uniformity import simultaneous_band
from bayes_alliance.plot.style import COLOURS, WIDTH, Picture

COLUMNS = 3

TITLE = 40
"""Letters of a quantity's name that fit above its picture in one line."""


def plot_calibration(calibration: Calibration, *, prob: float = 0.95) -> Figure:
    """Draw one small picture per quantity: the ECDF of its ranks less the diagonal.

    Parameters
    ----------
    calibration : Calibration
        From ``calibrate``.
    prob : float
        Probability that the band holds the whole curve of one quantity if its ranks are uniform.

    Returns
    -------
    Figure
        A curve below the band on the left and above it on the right: posteriors too wide; the other way: too narrow;
        a curve on one side: shifted.
    """
    names = calibration.quantities
    rows = -(-len(names) // COLUMNS)
    figure = Picture(figsize=(WIDTH, 0.5 + 1.25 * rows), dpi=150, layout="constrained")
    places, low, high = simultaneous_band(len(calibration), prob)
    grid = np.linspace(0, 1, 201)
    for number, name in enumerate(names):
        axes = figure.add_subplot(rows, COLUMNS, number + 1)
        axes.fill_between(places, low - places, high - places, color="0.88", linewidth=0)
        values = np.sort(calibration.uniform(name))
        curve = np.searchsorted(values, grid, side="right") / len(values) - grid
        outside = (
            (np.interp(places, grid, curve) < low - places) | (np.interp(places, grid, curve) > high - places)
        ).any()
        axes.plot(grid, curve, color=COLOURS[1] if outside else COLOURS[0], linewidth=1.2)
        axes.axhline(0, color="0.5", linewidth=0.6)
        axes.set_title("\n".join(textwrap.wrap(name, TITLE, break_long_words=False)), fontsize=6)
        axes.tick_params(labelsize=6)
        axes.set_xlim(0, 1)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"ECDF of ranks less the diagonal, {len(calibration)} studies, {prob:.0%} simultaneous bands",
        fontsize=8,
        x=0.01,
        ha="left",
    )
    return figure
