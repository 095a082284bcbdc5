"""What was thought possible of each parameter beside what is known after the data."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayes_alliance._messages import unknown
from bayes_alliance.diagnosis.sensitivity import prior_and_posterior
from bayes_alliance.errors import FitError
from bayes_alliance.fit.result import Fit
from bayes_alliance.plot.style import COLOURS, WIDTH, Picture

SHOWN = 12
"""Parameters in one picture."""

COLUMNS = 3


def plot_prior_posterior(fit: Fit, *, seed: int, names: Sequence[str] | None = None) -> Figure:
    """Draw the prior and the posterior of each parameter.

    Parameters
    ----------
    fit : Fit
        With its design.
    seed : int
        For draws from the priors.
    names : sequence of str, optional
        Parameters as ``summarize`` names them, such as ``"sd_therapist[phq9, Intercept]"``; the first 12 unless stated.

    Returns
    -------
    Figure
        A panel per parameter in its own unit: prior as an area, posterior as a line, over the range of the posterior
        and half as much of the prior. A posterior that looks like its prior was not informed by the data.

    Raises
    ------
    FitError
        If the fit has no design, or a name is none of its parameters.
    DesignError
        If a prior is improper.
    """
    draws = prior_and_posterior(fit, seed=seed)
    odd = [unknown("parameter", name, draws) for name in names or () if name not in draws]
    if odd:
        raise FitError(odd)
    chosen = list(names or list(draws)[:SHOWN])
    rows = -(-len(chosen) // COLUMNS)
    figure = Picture(figsize=(WIDTH, 0.5 + 1.5 * rows), dpi=150, layout="constrained")
    places = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes, name in zip(places, chosen, strict=False):
        _panel(axes, name, *draws[name])
    for axes in places[len(chosen) :]:
        axes.set_visible(False)
    figure.legend(*places[0].get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside upper left", ncols=2)
    return figure


def _panel(axes: Axes, name: str, prior: np.ndarray, posterior: np.ndarray) -> None:
    low, high = np.quantile(np.concatenate([np.quantile(prior, [0.25, 0.75]), np.quantile(posterior, [0, 1])]), [0, 1])
    bins = list(np.linspace(low, high, 49))
    width = bins[1] - bins[0]
    weights = np.full(len(prior), 1 / (len(prior) * 4 * width))
    axes.hist(prior, bins=bins[::4], weights=weights, color=COLOURS[4], alpha=0.5, label="prior")
    weights = np.full(len(posterior), 1 / (len(posterior) * width))
    axes.hist(
        posterior, bins=bins, weights=weights, histtype="step", color=COLOURS[1], linewidth=1.4, label="posterior"
    )
    axes.set_title(fill(name, 30), fontsize=7, loc="left", parse_math=False)
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(labelsize=7)
