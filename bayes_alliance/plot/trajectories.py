"""Fitted trajectories by condition, with the observed means they should pass near."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.fit.result import Fit
from bayes_alliance.names import clock_of
from bayes_alliance.plot.style import COLOURS, MARKERS, legend_label, make_figure
from bayes_alliance.posterior.trajectories import (
    arm_levels,
    observed_means,
    predict_trajectories,
    predict_unit_trajectories,
)


def plot_trajectories(fit: Fit, *, outcome: str | None = None, by: str | None = None, ci_prob: float = 0.95) -> Figure:
    """Draw the expected outcome along time for each condition.

    Parameters
    ----------
    fit : Fit
        Of a growth model, with its rows.
    outcome : str, optional
        Which outcome, where the model has several.
    by : str, optional
        A grouping factor, such as ``"therapist"``: the posterior mean of every level is drawn, too, thin and in the
        colour of the condition most of its rows have.
    ci_prob : float
        Probability of the equal-tailed band.

    Returns
    -------
    Figure
        Lines and bands: posterior mean and interval of the expected outcome. Points: observed means, larger where
        more rows stand behind them.

    Raises
    ------
    FitError
        If the fit has no rows or the model no trajectory.
    """
    draws = predict_trajectories(fit, outcome=outcome)
    assert fit.design is not None  # predict_trajectories raised otherwise
    equation = fit.design.find(outcome)
    observed, clock = observed_means(equation), clock_of(equation.variables)
    figure, axes = make_figure(3.8)
    tails = [(1 - ci_prob) / 2, (1 + ci_prob) / 2]
    if by is not None:
        _draw_units(axes, fit, equation, by)
    for i, arm in enumerate(draws["arm"].values):
        colour = COLOURS[i % len(COLOURS)]
        values = draws.sel(arm=arm)
        low, high = values.quantile(tails, dim=("chain", "draw")).values
        x = values[clock].values
        axes.fill_between(x, low, high, color=colour, alpha=0.35 if by else 0.2, linewidth=0, zorder=2)
        label = "fitted" if arm == "all" else legend_label(str(arm))
        axes.plot(x, values.mean(("chain", "draw")), color=colour, linewidth=2, label=label)
        sizes = 8 + 40 * observed.count[i] / max(observed.count.max(), 1)
        marker = MARKERS[i % len(MARKERS)]
        axes.scatter(
            observed.time,
            observed.mean[i],
            s=sizes,
            color=colour,
            marker=marker,
            edgecolor="white",
            linewidth=0.6,
            zorder=3,
        )
    axes.set_xlabel(equation.variables[clock].label)
    axes.set_ylabel(f"{equation.outcome} (expected)")
    axes.legend(frameon=False, title=equation.arms.label if equation.arms and len(draws["arm"]) > 1 else None)
    axes.set_title(
        f"Lines: posterior mean with {ci_prob:.0%} equal-tailed band"
        + (f"; thin lines: each {by}." if by else ".")
        + "\nPoints: observed means of those still there, larger with more rows.",
        fontsize=9,
        loc="left",
    )
    axes.margins(x=0.02)
    return figure


def _draw_units(axes: Axes, fit: Fit, equation: EquationDesign, factor: str) -> None:
    """Draw the posterior mean line of every level of a factor."""
    lines = predict_unit_trajectories(fit, factor, outcome=equation.outcome).mean(("chain", "draw"))
    group = next(one for one in equation.groups if one.factor == factor)
    arms = arm_levels(equation)
    for level, line in zip(lines[factor].values, lines.values, strict=True):
        rows = (group.code == group.levels.index(str(level))) & group.inside
        arm = int(np.bincount(equation.arms.code[rows]).argmax()) if equation.arms and len(arms) > 1 else 0
        colour = COLOURS[arm % len(COLOURS)] if len(arms) > 1 else "0.5"
        axes.plot(lines[clock_of(equation.variables)], line, color=colour, linewidth=0.5, alpha=0.4, zorder=1)
