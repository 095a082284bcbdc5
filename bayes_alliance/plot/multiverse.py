"""The specification curve: one estimand in every analysis, in order of size, and the decisions under it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayes_alliance.comparison.multiverse import Multiverse
from bayes_alliance.errors import FitError
from bayes_alliance.plot.style import COLOURS, WIDTH, Picture

CLEAR, UNCLEAR, FAILED = COLOURS[0], "0.6", COLOURS[1]


def plot_multiverse(multiverse: Multiverse) -> Figure:
    """Draw an estimand's median and 95 % interval in every combination, smallest first, above its options.

    Parameters
    ----------
    multiverse : Multiverse
        From ``fit_multiverse``; combinations that could not be fitted are left out.

    Returns
    -------
    Figure
        Intervals that exclude 0 (1 of factors) in blue, others in grey, those whose sampling checks failed in red. The
        forks stand from the one that moves the estimand most downward.

    Raises
    ------
    FitError
        If no combination was fitted.
    """
    done = multiverse.table[multiverse.table["error"] == ""].sort_values("median", kind="stable")
    if done.empty:
        raise FitError("No combination was fitted; there is nothing to draw.")
    forks = [str(fork) for fork in multiverse.moves["fork"]]
    lines = sum(len(multiverse.forks[fork]) for fork in forks) + len(forks)
    below = 0.17 * lines + 0.3
    figure = Picture(figsize=(WIDTH, 2.6 + below), dpi=150, layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[2.4, below])
    _draw_curve(top, multiverse, done)
    _draw_options(bottom, multiverse, done, forks)
    return figure


def _draw_curve(axes: Axes, multiverse: Multiverse, table: pd.DataFrame) -> None:
    place = np.arange(len(table))
    clear, null = multiverse.clear(table).to_numpy(), multiverse.null
    passed = table["passed"].to_numpy()
    kinds = (
        (passed & clear, CLEAR, f"95% interval excludes {null or 0:g}"),
        (passed & ~clear, UNCLEAR, "95% interval" if null is None else f"95% interval holds {null:g}"),
        (~passed, FAILED, "sampling checks failed"),
    )
    for chosen, colour, label in kinds:
        if chosen.any():
            own = table[chosen]
            axes.vlines(place[chosen], own["eti95_lb"], own["eti95_ub"], color=colour, linewidth=_width(len(table)))
            axes.plot(place[chosen], own["median"], "o", color=colour, markersize=_dot(len(table)), label=label)
    if null is not None:
        axes.axhline(null, color="0.4", linewidth=0.8, linestyle="--")
    units = ", ".join(dict.fromkeys(table["unit"]))
    axes.set_ylabel(f"{multiverse.estimand}\n({units})", fontsize=8)
    axes.set_title(f"{len(table)} analyses, median and 95% equal-tailed interval", fontsize=9, loc="left", pad=16)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(axis="x", length=0)
    axes.tick_params(axis="y", labelsize=8)
    axes.legend(fontsize=7, frameon=False, loc="lower left", bbox_to_anchor=(-0.01, 0.98), ncols=3, columnspacing=1.0)


def _draw_options(axes: Axes, multiverse: Multiverse, table: pd.DataFrame, forks: list[str]) -> None:
    moved = multiverse.moves.set_index("fork")["mean_move"]
    row, ticks, labels, headings = 0, [], [], []
    for fork in forks:
        headings.append(f"{fork} (moves {moved[fork]:.2g})" if np.isfinite(moved[fork]) else fork)
        ticks.append(row)
        labels.append(headings[-1])
        for option in multiverse.forks[fork]:
            row += 1
            ticks.append(row)
            labels.append(option)
            here = np.flatnonzero((table[fork] == option).to_numpy())
            axes.plot(
                here, np.full(len(here), row), "|", color="0.15", markersize=6, markeredgewidth=_width(len(table))
            )
        row += 1
    axes.set_yticks(ticks, labels, fontsize=7)
    for text in axes.get_yticklabels():
        if text.get_text() in headings:
            text.set_fontweight("bold")
    axes.set_ylim(row - 0.5, -0.6)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _width(count: int) -> float:
    return float(np.clip(90 / count, 0.5, 2.0))


def _dot(count: int) -> float:
    return float(np.clip(150 / count, 1.2, 4.0))
