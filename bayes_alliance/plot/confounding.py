"""An effect over stated correlations of residuals: where it would vanish."""

from __future__ import annotations

from matplotlib.figure import Figure

from bayes_alliance.comparison.confounding import Sensitivity
from bayes_alliance.names import RESIDUAL
from bayes_alliance.plot.style import COLOURS, make_figure


def plot_sensitivity(sensitivity: Sensitivity) -> Figure:
    """Draw the mean of an effect with its 95 % interval over correlations of two outcomes' residuals or effects.

    Parameters
    ----------
    sensitivity : Sensitivity
        From ``confounding_sensitivity``.

    Returns
    -------
    Figure
        Dashed lines stand where the mean is 0; the model as it stands is at a correlation of 0.
    """
    figure, axes = make_figure(3.2)
    table = sensitivity.table
    axes.fill_between(
        table["correlation"], table["eti95_lb"], table["eti95_ub"], color=COLOURS[0], alpha=0.2, linewidth=0
    )
    axes.plot(table["correlation"], table["mean"], color=COLOURS[0], marker="o", markersize=4)
    axes.axhline(0, color="0.4", linewidth=0.8)
    axes.axvline(0, color="0.8", linewidth=0.8)
    for value in sensitivity.tipping:
        axes.axvline(value, color=COLOURS[1], linestyle="--", linewidth=1)
        axes.annotate(
            f"{value:.2f}",
            (value, 1.0),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            fontsize=8,
            color=COLOURS[1],
        )
    one, two = sensitivity.between
    what = "residuals" if sensitivity.level == RESIDUAL else f"{sensitivity.level} effects"
    axes.set_xlabel(f"Correlation of the {what} of {one} and {two} (stated, not estimated)")
    axes.set_ylabel(f"Effect {sensitivity.effect!r}\non {sensitivity.outcome}")
    axes.set_title("Posterior mean and 95% equal-tailed interval", fontsize=9, loc="left", pad=14)
    return figure
