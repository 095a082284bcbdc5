"""Group effects in order of size: who stands out, and how surely."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from bayes_alliance._messages import unknown
from bayes_alliance.errors import FitError
from bayes_alliance.fit.result import Fit
from bayes_alliance.names import INTERCEPT, coef_label, effect_dim, effects_name, factor_key, spread_label
from bayes_alliance.plot.style import COLOURS, make_figure
from bayes_alliance.posterior.variance import fitted_factors, fitted_moments
from bayes_alliance.spec.families import FAMILY

NAMED = 40
"""Levels up to which each is named on the axis."""


def plot_caterpillar(fit: Fit, factor: str, *, effect: str | None = None, ci_prob: float = 0.95) -> Figure:
    """Draw the effects of a grouping factor's levels, sorted by their means.

    Parameters
    ----------
    fit : Fit
        Its factor's effects are deviations from the population, in outcome units (log-odds for 0/1 outcomes).
    factor : str
        Such as ``"therapist"``.
    effect : str, optional
        Which effect, by its label (``"Intercept"``, ``"month"``, or ``"phq9, month"`` where the model has several
        outcomes); the first one unless stated.
    ci_prob : float
        Probability of the equal-tailed interval.

    Returns
    -------
    Figure
        Effects are shrunken towards 0: levels with few rows lie closer to it and have wider intervals.

    Raises
    ------
    FitError
        If there is no such factor or effect.
    """
    factors = fitted_factors(fit)
    if factor not in factors:
        raise FitError(unknown("grouping factor", factor, factors))
    draws = fit.data["posterior"].to_dataset()[effects_name(factor)]
    dim = effect_dim(factor)
    moments = fitted_moments(fit)
    full = [str(label) for label in draws[dim].values]
    spreads = {spread_label(name): name for name in moments}
    known = [*moments, *spreads]
    owners = [next(name for name in known if label.startswith(coef_label(name, ""))) for label in full]
    labels = [label.removeprefix(coef_label(owner, "")) for label, owner in zip(full, owners, strict=True)]
    if effect is not None and effect not in (*labels, *full):
        raise FitError(unknown(f"effect of {factor}", effect, full if len(moments) > 1 else labels))
    place = 0 if effect is None else full.index(effect) if effect in full else labels.index(effect)
    outcome = owners[place]
    values = draws.isel({dim: place}).transpose(factor_key(factor), ...).values
    values = values.reshape(values.shape[0], -1)
    order = np.argsort(values.mean(axis=1), kind="stable")
    low, high = np.quantile(values[order], [(1 - ci_prob) / 2, (1 + ci_prob) / 2], axis=1)
    count = len(order)
    named = count <= NAMED
    figure, axes = make_figure(1.1 + 0.17 * count if named else 5.0)
    rows = np.arange(count)
    axes.hlines(rows, low, high, color=COLOURS[0], linewidth=1.2 if named else 0.5, alpha=1.0 if named else 0.6)
    means, size = values[order].mean(axis=1), 4 if named else 2
    axes.plot(means, rows, marker="o", linestyle="none", color=COLOURS[0], markersize=size)
    axes.axvline(0, color="0.4", linewidth=0.8, linestyle="--")
    names = draws[factor_key(factor)].values[order]
    axes.set_yticks(rows if named else [], [str(name) for name in names] if named else [], fontsize=8)
    axes.set_ylim(-0.8, count - 0.2)
    axes.grid(axis="y", visible=False)
    axes.set_ylabel(f"{factor}" if named else f"{count} levels of {factor}, by size")
    unit = FAMILY[moments[outcome].attrs["family"]].unit if outcome in moments else "log residual SD"
    gate = len(labels) == 1 and labels[0].endswith("]")
    of = "" if labels[place] == INTERCEPT else f", in {labels[0]}" if gate else f" per unit of {labels[place]}"
    axes.set_xlabel(f"deviation from the population, {unit} of {spreads.get(outcome, outcome)}{of}")
    axes.set_title(f"Posterior mean and {ci_prob:.0%} equal-tailed interval of each {factor}", fontsize=9, loc="left")
    return figure
