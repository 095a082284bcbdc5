"""Shares of variance: what lies between patients, between therapists, between groups, and what is left."""

from __future__ import annotations

from matplotlib.figure import Figure

from bayes_alliance.errors import FitError
from bayes_alliance.fit.result import Fit
from bayes_alliance.names import factor_key
from bayes_alliance.plot.style import COLOURS, MARKERS, draw_interval, legend_label, make_figure
from bayes_alliance.posterior.variance import fitted_factors, fitted_moments, variance_shares


def has_shares(fit: Fit) -> bool:
    """Return whether the model has a grouping factor."""
    return bool(fitted_factors(fit))


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
    parts = [*fitted_factors(fit), "residual"]
    strata = [str(stratum) for stratum in shares["stratum"].values]
    figure, axes = make_figure(1.3 + 0.2 * len(parts) * (len(strata) + 1))
    shown: set[str] = set()
    for i, part in enumerate(reversed(parts)):
        for j, stratum in enumerate(strata):
            row = i + 0.7 * ((len(strata) - 1) / 2 - j) / len(strata)
            values = shares[f"share_{factor_key(part)}"].sel(stratum=stratum).values.ravel()
            if not values.any():
                continue  # a factor that does not exist in this arm
            label = None if stratum in shown else legend_label(stratum.replace("rows", "average over rows", 1))
            colour, marker = COLOURS[j % len(COLOURS)], MARKERS[j % len(MARKERS)]
            draw_interval(axes, row, values, ci_prob, colour=colour, marker=marker, label=label)
            shown.add(stratum)
    axes.set_yticks(range(len(parts)), parts[::-1])
    axes.set_ylim(-0.6, len(parts) - 0.4)
    axes.set_xlim(0, 1)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color="0.92", linewidth=0.8)
    axes.set_xlabel(f"share of the variance of {', '.join(fitted_moments(fit))} ({shares.attrs['scale']})")
    if len(strata) > 1:
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
