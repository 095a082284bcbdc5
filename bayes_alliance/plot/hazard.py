"""Leaving by the alliance: chances to leave at each session, and who is still there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from bayes_alliance.plot.style import COLOURS, WIDTH, Picture, legend_label

PANELS = (("hazard", "probability of dropout, of those at risk"), ("staying", "still in treatment after the session"))


def plot_hazard(draws: xr.Dataset, *, ci_prob: float = 0.95, names: Sequence[str] | None = None) -> Figure:
    """Draw hazards and staying at values of a predictor.

    Parameters
    ----------
    draws : Dataset
        By ``predict_hazard``.
    ci_prob : float
        Probability of the equal-tailed band.
    names : sequence of str, optional
        What the values are called, such as ``("weak alliance", "strong alliance")``; the values unless stated.

    Returns
    -------
    Figure
        Left: probabilities of dropout, with bands of their posterior. Right: the share that is still in treatment,
        where the draws have it.
    """
    panels = [panel for panel in PANELS if panel[0] in draws]
    figure = Picture(figsize=(WIDTH, 3.5), dpi=150, layout="constrained")
    predictor, sessions = str(draws.attrs["predictor"]), draws["session"].values
    values_set = [value if isinstance(value, str) else f"{value:g}" for value in draws["value"].values.tolist()]
    labels = list(names) if names is not None else values_set
    for number, (part, label) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        for i, name in enumerate(labels):
            values = draws[part].isel(value=i).values
            low, high = np.quantile(values, [(1 - ci_prob) / 2, (1 + ci_prob) / 2], axis=0)
            colour = COLOURS[i % len(COLOURS)]
            axes.fill_between(sessions, low, high, color=colour, alpha=0.2, linewidth=0, step=None)
            axes.plot(sessions, values.mean(axis=0), color=colour, linewidth=2, label=legend_label(str(name)))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="0.92", linewidth=0.8)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_ylim(bottom=0.0, top=1.0 if part == "staying" else None)
        axes.set_xlabel(str(draws.attrs["session"]))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(label, fontsize=9, loc="left")
    lines, texts = figure.axes[0].get_legend_handles_labels()
    figure.legend(lines, texts, frameon=False, fontsize=8, title=predictor, loc="outside lower center", ncols=3)
    figure.suptitle(
        f"Posterior mean with {ci_prob:.0%} equal-tailed band, averaged over patients",
        fontsize=9,
        x=0.01,
        ha="left",
    )
    return figure
