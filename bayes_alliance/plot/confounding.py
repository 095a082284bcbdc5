"""An effect over stated correlations of residuals, of one pair or of several: where it would vanish."""

from __future__ import annotations

from textwrap import fill

from matplotlib.figure import Figure

from bayes_alliance.comparison.confounders import SensitivityGrid
from bayes_alliance.comparison.confounding import Sensitivity
from bayes_alliance.comparison.missing_not_at_random import Sweep
from bayes_alliance.names import RESIDUAL
from bayes_alliance.plot.style import COLOURS, MARKERS, WIDTH, Picture, make_figure


def plot_sensitivity(sensitivity: Sensitivity | SensitivityGrid | Sweep) -> Figure:
    """Draw the mean of an effect over stated correlations of outcomes' residuals or effects, or held coefficients.

    Parameters
    ----------
    sensitivity : Sensitivity, SensitivityGrid or Sweep
        From ``confounding_sensitivity``, ``confounding_grid`` or ``delta_sweep``.

    Returns
    -------
    Figure
        Of one pair, with the 95 % interval; dashed lines stand where the mean is 0 (1 of factors). Of several, a line
        per value of the second pair and a panel per combination of the others; hollow marks have an interval that holds
        0. The model as it stands is at correlations of 0. Of a sweep, a diamond stands where the coefficient was
        estimated, hollow marks where a sampling check failed, and crosses where chains did not agree.
    """
    if isinstance(sensitivity, SensitivityGrid):
        return _plot_grid(sensitivity)
    figure, axes = make_figure(3.2)
    swept = isinstance(sensitivity, Sweep)
    table, stated = sensitivity.table, "held" if swept else "correlation"
    if isinstance(sensitivity, Sweep):
        table = sensitivity.agreed
    axes.fill_between(table[stated], table["eti95_lb"], table["eti95_ub"], color=COLOURS[0], alpha=0.2, linewidth=0)
    axes.plot(table[stated], table["mean"], color=COLOURS[0], marker="o", markersize=4)
    null = sensitivity.null if isinstance(sensitivity, Sweep) else 0.0
    if null is not None:
        axes.axhline(null, color="0.4", linewidth=0.8)
    axes.axvline(0, color="0.8", linewidth=0.8)
    turns = f"mean is {null or 0:g}, between fits"
    for number, value in enumerate(sensitivity.tipping):
        axes.axvline(value, color=COLOURS[1], linestyle="--", linewidth=1, label=None if number else turns)
        axes.annotate(
            f"{value:.2f}",
            (value, 1.0),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            fontsize=8,
            color=COLOURS[1],
        )
    if isinstance(sensitivity, Sweep):
        free, far = sensitivity.estimated.iloc[0], sensitivity.apart
        short = table[~table["passed"].astype(bool)]
        if len(short):
            axes.plot(
                short["held"],
                short["mean"],
                "o",
                color=COLOURS[0],
                markerfacecolor="white",
                markersize=5,
                label="a sampling check failed",
            )
        if len(far):
            axes.plot(far["held"], far["mean"], "x", color=COLOURS[1], label="chains did not agree")
        axes.plot([free["held"]] * 2, [free["eti95_lb"], free["eti95_ub"]], color=COLOURS[2], linewidth=1.5)
        axes.plot(free["held"], free["mean"], color=COLOURS[2], marker="D", linestyle="none", label="estimated")
        axes.set_xlabel(f"{sensitivity.coefficient} (held, not estimated)")
        axes.set_ylabel(f"{sensitivity.estimand}\n{sensitivity.unit}")
    else:
        one, two = sensitivity.between
        what = "residuals" if sensitivity.factor == RESIDUAL else f"{sensitivity.factor} effects"
        axes.set_xlabel(fill(f"Correlation of the {what} of {one} and {two} (stated, not estimated)", 72))
        axes.set_ylabel(fill(f"{sensitivity.effect} on {sensitivity.outcome}", 40))
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=8)
    axes.set_title("Posterior mean and 95% equal-tailed interval", fontsize=9, loc="left", pad=14)
    return figure


def _plot_grid(grid: SensitivityGrid) -> Figure:
    first, second, *others = grid.labels
    table = grid.table
    groups = [part for _, part in table.groupby(others)] if others else [table]
    columns = min(len(groups), 3)
    lines = -(-len(groups) // columns)
    figure = Picture(figsize=(WIDTH, 0.9 + 2.2 * lines), dpi=150, layout="constrained")
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    values = sorted(table[second].unique())
    for axes, part in zip(panels.flat, groups, strict=False):
        axes.axhline(0, color="0.4", linewidth=0.8)
        axes.axvline(0, color="0.8", linewidth=0.8)
        for number, value in enumerate(values):
            own = part[part[second] == value].sort_values(first)
            colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
            axes.plot(
                own[first], own["mean"], color=colour, marker=marker, markersize=4.5, linewidth=1.2, label=f"{value:g}"
            )
            open_marks = own[(own["eti95_lb"] <= 0) & (own["eti95_ub"] >= 0)]
            axes.scatter(
                open_marks[first],
                open_marks["mean"],
                s=20,
                marker=marker,
                facecolor="white",
                edgecolor=colour,
                zorder=3,
            )
        if others:
            axes.set_title(", ".join(f"{name}: {part[name].iloc[0]:g}" for name in others), fontsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in list(panels.flat)[len(groups) :]:
        axes.set_visible(False)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, title=f"{second}", loc="outside right center", fontsize=8, title_fontsize=8, frameon=False
    )
    figure.supxlabel(f"Correlation of residuals {first} (stated, not estimated)", fontsize=9)
    figure.supylabel(f"Effect {grid.effect!r} on {grid.outcome}", fontsize=9)
    figure.suptitle("Posterior mean; hollow: the 95% equal-tailed interval holds 0", fontsize=9, x=0.01, ha="left")
    return figure
