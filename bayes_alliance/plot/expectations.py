"""Predictions, comparisons and slopes as a picture: lines along a number, or results side by side."""

from __future__ import annotations

from textwrap import fill
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayes_alliance._messages import unknown
from bayes_alliance.errors import FitError
from bayes_alliance.plot.estimands import plot_estimands
from bayes_alliance.plot.style import COLOURS, MARKERS, legend_label, make_figure
from bayes_alliance.posterior.expectations import Expectations
from bayes_alliance.posterior.summary import check_interval

FEWEST: Final = 3
"""Values of a number that a line is drawn along."""

MOST_LINES: Final = 12
"""Lines in one picture."""

MOST_RESULTS: Final = 60
"""Results that are drawn side by side."""


def plot_expectations(results: Expectations, *, along: str | None = None, ci_prob: float = 0.95) -> Figure:
    """Draw predictions, comparisons or slopes: along a number where they are worked out at several of its values.

    Parameters
    ----------
    results : Expectations
        From ``predictions``, ``comparisons`` or ``slopes``.
    along : str, optional
        The column of ``lines`` that is the horizontal axis: a number with three values or more. Unless stated the
        number with most values; ``""`` draws the results side by side.
    ci_prob : float
        Probability of the equal-tailed interval.

    Returns
    -------
    Figure
        Lines: posterior means with a band, one line per combination of what else was set. Short strokes on the axis:
        the values that the fit's rows have. Without a number to draw along: points with intervals.

    Raises
    ------
    FitError
        If there is no such column, it has too few values, or there is too much for one picture.

    Examples
    --------
    >>> predictions(fit, at={"session": range(1, 13), "condition": ["TAU", "CBT"]}).plot()  # doctest: +SKIP
    """
    check_interval(ci_prob, "eti")
    axis = _axis_of(results) if along is None else along
    if axis == "":
        if len(results.lines) > MOST_RESULTS:
            raise FitError(f"{len(results.lines):,} results are too many for one picture. Average by something (by=).")
        return plot_estimands(results.draws, ci_prob=ci_prob)
    if axis not in results.lines:
        raise FitError(unknown("column", axis, list(map(str, results.lines)), "along"))
    if not pd.api.types.is_numeric_dtype(results.lines[axis]) or results.lines[axis].nunique() < FEWEST:
        raise FitError(f"{axis!r} has no {FEWEST} numbers to draw a line along. State along='' for points.")
    rest = [name for name in results.lines if name != axis]
    groups = list(results.lines.groupby(rest, sort=False, dropna=False)) if rest else [((), results.lines)]
    if len(groups) > MOST_LINES:
        raise FitError(f"{len(groups)} lines are too many for one picture; {MOST_LINES} are drawn. Set fewer values.")
    figure, axes = make_figure(3.8)
    for place, (key, lines) in enumerate(groups):
        label = ", ".join(f"{name} = {_shown(value)}" for name, value in zip(rest, key, strict=True))
        _draw_line(axes, results, lines, axis, label, place, ci_prob)
    null = results.draws["null"].values[0]
    if np.isfinite(null):
        axes.axhline(float(null), color="0.4", linewidth=0.8, linestyle="--")
    if axis in results.observed:
        _draw_rug(axes, results.observed[axis], results.lines[axis].to_numpy(float))
    axes.set_xlabel(axis)
    axes.set_ylabel(fill(str(results.draws["unit"].values[0]), 45))
    if rest:
        axes.legend(frameon=False, fontsize=8)
    axes.margins(x=0.02)
    said = " Strokes: observed values." if axis in results.observed else ""
    how = f"Lines: posterior mean with {ci_prob:.0%} equal-tailed band.{said}"
    axes.set_title(f"{fill(results.title, 75)}\n{fill(how, 75)}", fontsize=9, loc="left")
    return figure


def _axis_of(results: Expectations) -> str:
    """Return the number with most values, empty where none has enough."""
    numbers = {
        str(name): own.nunique()
        for name, own in results.lines.items()
        if pd.api.types.is_numeric_dtype(own) and name != "row"
    }
    found = max(numbers, key=lambda name: numbers[name], default="")
    return found if found and numbers[found] >= FEWEST else ""


def _draw_line(
    axes: Axes, results: Expectations, lines: pd.DataFrame, axis: str, label: str, place: int, ci_prob: float
) -> None:
    own = lines.sort_values(axis)
    where = results.lines.index.get_indexer(own.index)
    values = results.draws["value"].transpose("estimand", "chain", "draw").values[where]
    flat = values.reshape(len(where), -1)
    x, colour = own[axis].to_numpy(float), COLOURS[place % len(COLOURS)]
    low, high = np.quantile(flat, [(1 - ci_prob) / 2, (1 + ci_prob) / 2], axis=1)
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    marker = MARKERS[place % len(MARKERS)] if len(x) <= 25 else ""
    style = "-" if place < len(COLOURS) else "--"
    shown = legend_label(label) if label else None
    axes.plot(x, flat.mean(axis=1), style, color=colour, linewidth=2, marker=marker, markersize=4, label=shown)


def _draw_rug(axes: Axes, observed: np.ndarray, shown: np.ndarray) -> None:
    """Draw a stroke at every distinct value that rows have within the range of the picture."""
    values = np.unique(observed)
    values = values[(values >= shown.min()) & (values <= shown.max())]
    axes.plot(values, np.zeros(len(values)), "|", color="0.35", markersize=7, transform=axes.get_xaxis_transform())


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
