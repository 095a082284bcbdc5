"""What the priors expect beside what was seen."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from bayes_alliance.design.design import Design
from bayes_alliance.plot.style import COLOURS, make_figure
from bayes_alliance.simulate.prior import predict_prior


def plot_prior_prediction(design: Design, *, seed: int, outcome: str | None = None, draws: int = 200) -> Figure:
    """Draw the outcomes that the priors expect, before any was seen, and the observed ones.

    Parameters
    ----------
    design : Design
        With its priors as numbers.
    seed : int
        The same seed gives the same picture.
    outcome : str, optional
        Which outcome, where the model has several.
    draws : int
        Studies drawn from the priors.

    Returns
    -------
    Figure
        Shares of outcomes: priors as an area, observed ones as a line. Priors should be wider than the data and of
        the same order; the outermost 1 % of prior draws on each side are left out of the picture.

    Raises
    ------
    DesignError
        If a prior is improper.
    """
    equation = design.find(outcome)
    drawn = predict_prior(design, draws=draws, seed=seed)[equation.outcome].values.ravel() + equation.offset
    observed = equation.y[equation.seen] + equation.offset
    figure, axes = make_figure(3.2)
    if equation.kind.binary:
        shares = drawn.reshape(draws, -1).mean(axis=1)
        axes.hist(shares, bins=20, range=(0, 1), weights=np.full(draws, 1 / draws), color=COLOURS[0], alpha=0.3)
        axes.axvline(observed.mean(), color=COLOURS[1], linewidth=2)
        axes.set_xlabel(f"share of {equation.outcome} = 1 in a study")
        axes.set_ylabel("share of studies")
    else:
        low, high = np.quantile(drawn, [0.01, 0.99])
        bins = list(np.linspace(min(low, observed.min()), max(high, observed.max()), 60))
        weights = np.full(len(drawn), 1 / len(drawn))
        axes.hist(drawn, bins=bins, weights=weights, color=COLOURS[0], alpha=0.3)
        weights = np.full(len(observed), 1 / len(observed))
        axes.hist(observed, bins=bins, weights=weights, histtype="step", color=COLOURS[1], linewidth=1.5)
        axes.set_xlabel(equation.outcome)
        axes.set_ylabel("share of outcomes")
    axes.set_title(f"Area: {draws} studies drawn from the priors. Line: observed.", fontsize=9, loc="left")
    return figure
