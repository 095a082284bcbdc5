"""A response surface: from the side, from above with the rows it rests on, and along its two lines with uncertainty."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path as Outline
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator

from bayes_alliance.plot.style import COLOURS, WIDTH, Picture, held_at
from bayes_alliance.posterior.geometry import hull_of
from bayes_alliance.posterior.surface import Surface

GRID = 61
SHOWN = 0.995
"""Share of ratings that lie in the picture."""

MOST = 4000
"""Draws that bands are worked out from."""

HIGH = 1.0
"""Half the width of a surface whose form does not hold the ratings, in their points."""


def plot_surface(surface: Surface, *, ci_prob: float = 0.95) -> Figure:
    """Draw a response surface three ways.

    Parameters
    ----------
    surface : Surface
        From ``response_surface``.
    ci_prob : float
        Probability of the equal-tailed bands along the lines.

    Returns
    -------
    Figure
        The posterior mean from the side and from above, as the difference from the centre in points of the outcome;
        from above, what lies outside the rows is pale, dots are rows, the line of congruence is solid, that of
        incongruence dotted, the first principal axis dashed. Below, the lines of congruence (x = y) and incongruence
        (x = -y) with bands, solid where rows surround them.
    """
    figure = Picture(figsize=(WIDTH, 6.0), dpi=150, layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(1.25, 1))
    side = float(np.quantile(np.abs(surface.points), SHOWN)) if surface.points is not None else HIGH
    ticks = np.linspace(-side, side, GRID)
    x, y = np.meshgrid(ticks, ticks)
    heights = surface.heights(x, y)
    inside = lies_inside(surface, x, y)
    _from_side(figure, grid[0, 0], surface, x, y, np.where(inside, heights, np.nan))
    above = figure.add_subplot(grid[0, 1])
    _from_above(above, surface, x, y, heights, inside)
    for place, (name, direction) in enumerate((("congruence (x = y)", 1.0), ("incongruence (x = -y)", -1.0))):
        axes = figure.add_subplot(grid[1, place])
        _along(axes, surface, ticks, direction, ci_prob)
        axes.set_title(f"Line of {name}", fontsize=8, loc="left")
        axes.set_xlabel(
            f"{surface.ratings[0]}, less the centre" + ("; y = -x" if direction < 0 else "; y = x"), fontsize=7
        )
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[-2].set_ylabel(f"{surface.scale}: difference\nfrom the centre", fontsize=7)
    low, high = (f([a.get_ylim()[i] for a in figure.axes[-2:]]) for i, f in enumerate((min, max)))
    for axes in figure.axes[-2:]:
        axes.set_ylim(low, high)
    held = held_at(surface.at)
    figure.suptitle(
        f"Posterior mean of {surface.scale}, {ci_prob:.0%} equal-tailed bands{held}", fontsize=9, x=0.01, ha="left"
    )
    return figure


def lies_inside(surface: Surface, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return which places of a grid lie among the rows; all of them where rows are not known."""
    if surface.points is None:
        return np.ones(x.shape, dtype=bool)
    outline = Outline(hull_of(surface.points))
    return np.asarray(outline.contains_points(np.column_stack([x.ravel(), y.ravel()])).reshape(x.shape))


def _from_side(figure: Figure, place: object, surface: Surface, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> None:
    axes = figure.add_subplot(place, projection="3d")
    axes.plot_surface(x, y, z, cmap="viridis", linewidth=0, antialiased=True, rcount=GRID, ccount=GRID, alpha=0.95)
    axes.set_xlabel(f"x: {surface.ratings[0]}", fontsize=6.5, labelpad=-5)
    axes.set_ylabel(f"y: {surface.ratings[1]}", fontsize=6.5, labelpad=-5)
    axes.set_zlabel(f"{surface.scale}: difference\nfrom the centre", fontsize=6.5, labelpad=3)
    axes.tick_params(labelsize=6, pad=-3)
    axes.view_init(elev=24, azim=-120)
    axes.set_title("From the side, where rows are", fontsize=7, loc="left")


def _from_above(axes: Axes, surface: Surface, x: np.ndarray, y: np.ndarray, z: np.ndarray, inside: np.ndarray) -> None:
    levels = np.linspace(float(z[inside].min()), float(z[inside].max()), 14)
    axes.contourf(x, y, z, levels=levels, cmap="viridis", alpha=0.25, extend="both")
    shades = axes.contourf(x, y, np.where(inside, z, np.nan), levels=levels, cmap="viridis")
    bar = axes.figure.colorbar(shades, ax=axes, shrink=0.8, pad=0.02, ticks=MaxNLocator(5))
    bar.ax.tick_params(labelsize=6)
    side = float(x.max())
    dark = [Stroke(linewidth=2.6, foreground="0.15"), Normal()]  # white is lost on the brightest shade
    axes.plot([-side, side], [-side, side], color="white", linewidth=1.4, path_effects=dark)
    axes.plot([-side, side], [side, -side], color="white", linewidth=1.4, linestyle=":", path_effects=dark)
    if surface.points is not None:
        shown = surface.points[:: max(1, len(surface.points) // 1000)]
        axes.plot(shown[:, 0], shown[:, 1], ".", color="black", markersize=1.2, alpha=0.35)
    if "p11" in surface.draws["estimand"].values:
        p10, p11 = (float(surface.draws["value"].sel(estimand=name).median()) for name in ("p10", "p11"))
        axes.plot([-side, side], [p10 + p11 * one for one in (-side, side)], "--", color=COLOURS[1])
    axes.set_xlim(-side, side)
    axes.set_ylim(-side, side)
    axes.set_aspect("equal")
    axes.set_xlabel(f"x: {surface.ratings[0]}, less the centre", fontsize=7)
    axes.set_ylabel(f"y: {surface.ratings[1]}, less the centre", fontsize=7)
    axes.tick_params(labelsize=7)
    axes.set_title(
        "From above; pale: no rows\nsolid: x = y, dotted: x = -y, dashed: first axis", fontsize=7, loc="left"
    )


def _along(axes: Axes, surface: Surface, ticks: np.ndarray, direction: float, ci_prob: float) -> None:
    """Draw the surface along a line with its band; dotted where no rows surround the line."""
    heights = surface.heights(ticks, direction * ticks, draws=MOST)
    low, high = np.quantile(heights, [(1 - ci_prob) / 2, (1 + ci_prob) / 2], axis=0)
    inside = lies_inside(surface, ticks, direction * ticks)
    axes.fill_between(ticks, low, high, color=COLOURS[0], alpha=0.12, linewidth=0)
    axes.fill_between(ticks, low, high, where=list(inside), color=COLOURS[0], alpha=0.2, linewidth=0)
    axes.plot(ticks, heights.mean(axis=0), color=COLOURS[0], linestyle=":", linewidth=1.2)
    axes.plot(ticks, np.where(inside, heights.mean(axis=0), np.nan), color=COLOURS[0], linewidth=1.6)
    axes.axhline(0, color="0.6", linewidth=0.7)
