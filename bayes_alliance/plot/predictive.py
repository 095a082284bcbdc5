"""Figures of the data beside those of data that the fitted model makes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bayes_alliance.errors import FitError
from bayes_alliance.plot.style import COLOURS, make_figure

OFF = 4.0
"""Half widths of its interval beyond which a figure is drawn at the edge."""


def plot_predictive(table: pd.DataFrame) -> Figure:
    """Plot predictive checks: each figure of the data against the 95 % interval of data drawn anew.

    Parameters
    ----------
    table : DataFrame
        From ``predictive_checks``: ``outcome``, ``figure``, ``observed``, ``predicted``, ``eti95_lb``, ``eti95_ub``.

    Returns
    -------
    Figure
        A line per figure, its interval from -1 to 1 whatever its unit; observed values in red where outside, and at the
        edge where far outside.

    Raises
    ------
    FitError
        If the table has no line.
    """
    if table.empty:
        raise FitError("There are no predictive checks to plot.")
    several = table["outcome"].nunique() > 1
    names = [f"{r.outcome}: {r.figure}" if several else str(r.figure) for r in table.itertuples()]
    middle = (table["eti95_ub"] + table["eti95_lb"]) / 2
    half = ((table["eti95_ub"] - table["eti95_lb"]) / 2).replace(0, np.nan)
    place = ((table["observed"] - middle) / half).fillna(0).clip(-OFF, OFF).to_numpy()
    rows = np.arange(len(table))[::-1]
    figure, axes = make_figure(1.1 + 0.24 * len(table))
    axes.axvspan(-1, 1, color=COLOURS[4], alpha=0.25, linewidth=0)
    predicted = ((table["predicted"] - middle) / half).fillna(0).to_numpy()
    axes.plot(predicted, rows, "|", color=COLOURS[0], markersize=9, label="predicted (mean)")
    inside = np.abs(place) <= 1
    axes.plot(place[inside], rows[inside], "o", color="black", markersize=4.5, label="observed")
    if (~inside).any():
        axes.plot(place[~inside], rows[~inside], "D", color=COLOURS[1], markersize=5, label="observed, outside")
    axes.set_yticks(rows, names, fontsize=8, parse_math=False)
    axes.set_xlim(-OFF - 0.3, OFF + 0.3)
    axes.set_xlabel("half widths of the 95% interval of data drawn anew")
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=3)
    return figure
