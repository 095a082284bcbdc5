"""Estimands with their intervals, those of one unit side by side, on the region that counts as none."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayes_alliance._messages import unknown
from bayes_alliance.errors import FitError
from bayes_alliance.fit.result import Fit
from bayes_alliance.plot.style import COLOURS, WIDTH, Picture, draw_interval, on_log_axis
from bayes_alliance.posterior.estimands import estimand_draws, null_values


def plot_estimands(
    source: Fit | xr.Dataset, *, names: Sequence[str] | None = None, together: bool = False, ci_prob: float = 0.95
) -> Figure:
    """Draw estimands as a forest: raters, arms, paths or parameters of a surface and their differences.

    Parameters
    ----------
    source : Fit or Dataset
        A fit, or the ``draws`` of ``mediation_effects``, ``counterfactual_effects`` or ``response_surface``.
    names : sequence of str, optional
        Which estimands; all of them unless stated. Ratios, which may have no mean, are left out unless named.
    together : bool
        Whether estimands of several units share one axis, each in its own unit: for effects per point of predictors
        that have one scale.
    ci_prob : float
        Probability of the equal-tailed interval; the thick part holds one half.

    Returns
    -------
    Figure
        A part per unit. Points are posterior means (medians of ratios); regions of equivalence are shaded; factors
        are on a logarithmic axis, where 1 is no difference.

    Raises
    ------
    FitError
        If there is no estimand, or none of a name.
    """
    draws = _draws_of(source)
    every = list(map(str, draws["estimand"].values))
    odd = [name for name in names or () if name not in every]
    if odd:
        raise FitError(unknown("estimand", odd[0], every))
    shown = draws.sel(estimand=list(names)) if names else draws.isel(estimand=draws["ratio"].values == 0)
    if not shown.sizes["estimand"]:
        raise FitError("All estimands are ratios, which may have no mean; name those to be drawn.")
    own = list(map(str, shown["unit"].values))
    units = ["each in its unit" if len(set(own)) > 1 else own[0]] if together else list(dict.fromkeys(own))
    parts = [shown] if together else [shown.isel(estimand=shown["unit"].values == unit) for unit in units]
    heights = [part.sizes["estimand"] + 1.2 for part in parts]
    figure = Picture(figsize=(WIDTH, 0.5 + 0.36 * sum(heights)), dpi=150, layout="constrained")
    grid = figure.add_gridspec(len(parts), 1, height_ratios=heights)
    for place, (unit, part) in enumerate(zip(units, parts, strict=True)):
        _draw_part(figure.add_subplot(grid[place, 0]), unit, part, ci_prob)
        if place:
            figure.axes[-1].set_title("", loc="left")
    return figure


def _draws_of(source: Fit | xr.Dataset) -> xr.Dataset:
    if isinstance(source, xr.Dataset):
        return source
    if "estimands" not in source.data.children:
        raise FitError("The model states no estimand. Add [labels] and [estimands] to its file, or use add_estimands.")
    return estimand_draws(source)


def _draw_part(axes: Axes, unit: str, part: xr.Dataset, ci_prob: float) -> None:
    """Draw the estimands of one unit, the first one on top."""
    names = list(map(str, part["estimand"].values))
    nulls = null_values(part)
    if (nulls == 1).all():
        on_log_axis(axes)
    for row, name in enumerate(reversed(names)):
        one = part.sel(estimand=name)
        low, high = float(one["rope_lb"]), float(one["rope_ub"])
        if np.isfinite(low):
            axes.fill_betweenx([row - 0.4, row + 0.4], low, high, color="0.88", linewidth=0)
        draw_interval(axes, row, one["value"].values.ravel(), ci_prob, colour=COLOURS[0])
        if int(one["ratio"]):
            axes.lines[-1].set_xdata([float(one["value"].median())])
    for null in np.unique(nulls):
        if np.isfinite(null):
            axes.axvline(float(null), color="0.4", linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(names)), list(reversed(names)), fontsize=8)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(fill(unit, 90), fontsize=8)
