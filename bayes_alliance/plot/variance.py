"""Shares of variance: what lies between patients, between therapists, between groups, and what is left."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from bayes_alliance.errors import FitError
from bayes_alliance.fit.result import Fit
from bayes_alliance.plot.style import COLOURS, MARKERS, make_figure
from bayes_alliance.posterior.variance import variance_shares


def has_shares(fit: Fit) -> bool:
    """Return whether the model has a grouping factor."""
    return bool(fit.data["variance"].sizes.get("factor"))


def plot_variance_shares(fit: Fit, *, ci_prob: float = 0.95, session: float | None = None) -> Figure:
    """Draw each factor's share of the variance that the predictors leave, by stratum.

    Parameters
    ----------
    fit : Fit
        With one grouping factor or more.
    ci_prob : float
        Probability of the equal-tailed interval; the thick part holds one half.
    session : float, optional
        Session number at which shares are stated beside their average over rows.

    Returns
    -------
    Figure
        One row per factor and the residual, one colour per stratum (all rows, a session, an arm). Shares of a
        stratum add up to 1 in every draw; their means do, too.

    Raises
    ------
    FitError
        If the model has no grouping factor.
    """
    if not has_shares(fit):
        raise FitError("This model has no grouping factor, so there are no shares to draw.")
    shares = variance_shares(fit, session=session)
    names = [str(name) for name in shares.data_vars if str(name).startswith("share_")]
    strata = [str(stratum) for stratum in shares["stratum"].values]
    figure, axes = make_figure(1.3 + 0.2 * len(names) * (len(strata) + 1))
    tails = [(1 - ci_prob) / 2, 0.25, 0.75, (1 + ci_prob) / 2]
    shown: set[str] = set()
    for i, name in enumerate(reversed(names)):
        for j, stratum in enumerate(strata):
            row = i + 0.7 * ((len(strata) - 1) / 2 - j) / len(strata)
            values = shares[name].sel(stratum=stratum).values.ravel()
            if not values.any():
                continue  # a factor that does not exist in this arm
            colour = COLOURS[j % len(COLOURS)]
            low, inner_low, inner_high, high = np.quantile(values, tails)
            axes.plot([low, high], [row, row], color=colour, linewidth=1.2)
            axes.plot([inner_low, inner_high], [row, row], color=colour, linewidth=4, solid_capstyle="butt")
            axes.plot(
                values.mean(),
                row,
                marker=MARKERS[j % len(MARKERS)],
                color="white",
                markeredgecolor=colour,
                markersize=5,
                linestyle="none",
                label=None if stratum in shown else stratum.replace("rows", "average over rows", 1),
            )
            shown.add(stratum)
    axes.set_yticks(range(len(names)), [name.removeprefix("share_").replace("_", ":") for name in reversed(names)])
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlim(0, 1)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color="0.92", linewidth=0.8)
    axes.set_xlabel(f"share of the variance of {fit.data['variance'].attrs['outcome']} ({shares.attrs['scale']})")
    axes.set_title(f"Posterior mean, 50% and {ci_prob:.0%} equal-tailed intervals", fontsize=9, loc="left")
    if len(strata) > 1:
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
