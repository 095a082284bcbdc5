"""A response surface to be turned: needs plotly, the extra ``interactive``."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_alliance._messages import visible
from bayes_alliance.errors import FitError
from bayes_alliance.plot.style import held_at
from bayes_alliance.plot.surface import HIGH, SHOWN, lies_inside
from bayes_alliance.posterior.surface import Surface

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

TICKS = 41
DRAWS = 400
"""Posterior draws that bands are worked out from."""


def turn_surface(surface: Surface, *, ci_prob: float = 0.95) -> Figure:
    """Draw a response surface that can be turned, read by pointing at it, and taken apart by its legend.

    Parameters
    ----------
    surface : Surface
        From ``response_surface``.
    ci_prob : float
        Probability of the equal-tailed bounds, two more surfaces that the legend shows and hides.

    Returns
    -------
    plotly.graph_objects.Figure
        The posterior mean where rows are, as the difference from the centre in points of the outcome, with rows below
        it and the lines of congruence and incongruence on it. Pointing gives both ratings, mean, interval and how
        probable a place is to lie above the centre.

    Raises
    ------
    FitError
        If plotly is not installed.
    """
    try:
        from plotly import graph_objects as go
    except ImportError:
        raise FitError(
            "A surface that turns needs plotly: pip install 'bayes-alliance[interactive]'. plot_surface needs nothing."
        ) from None
    side = float(np.quantile(np.abs(surface.points), SHOWN)) if surface.points is not None else HIGH
    ticks = np.linspace(-side, side, TICKS)
    pieces = [
        *_sheets(go, surface, ticks, ci_prob),
        *_lines(go, surface, ticks),
        *_rows(go, surface, ticks),
    ]
    held = held_at(surface.at)
    figure = go.Figure(pieces)
    figure.update_layout(
        title={"text": _plain(f"Posterior mean of {surface.scale} where rows are{held}"), "font": {"size": 14}},
        scene={
            "xaxis_title": _plain(f"{surface.ratings[0]}, less the centre"),
            "yaxis_title": _plain(f"{surface.ratings[1]}, less the centre"),
            "zaxis_title": _plain(surface.scale),
            "camera": {"eye": {"x": -1.6, "y": -1.6, "z": 0.9}},
        },
        legend={"orientation": "h", "y": -0.05},
        margin={"l": 0, "r": 0, "t": 40, "b": 0},
        template="plotly_white",
    )
    return figure


def _sheets(go: Any, surface: Surface, ticks: np.ndarray, ci_prob: float) -> list[Any]:
    """Return the mean, and the bounds that the legend shows."""
    x, y = np.meshgrid(ticks, ticks)
    heights = surface.heights(x, y, draws=DRAWS)
    outside = ~lies_inside(surface, x, y)
    tail = (1 - ci_prob) / 2
    low, high = np.quantile(heights, [tail, 1 - tail], axis=0)
    mean = surface.heights(x, y)
    told = np.stack([low, high, (heights > 0).mean(axis=0)], axis=-1)
    one, two = surface.ratings
    hover = (
        f"{one}: %{{x:.2f}}<br>{two}: %{{y:.2f}}<br>{surface.scale}: %{{z:.2f}}"
        f"<br>{ci_prob:.0%} interval: %{{customdata[0]:.2f}} to %{{customdata[1]:.2f}}"
        "<br>P(above the centre): %{customdata[2]:.2f}<extra></extra>"
    )
    sheets = [
        go.Surface(
            x=ticks,
            y=ticks,
            z=np.where(outside, np.nan, mean).round(4),
            customdata=told.round(3),
            hovertemplate=hover,
            colorscale="Viridis",
            name="posterior mean",
            showlegend=True,
            colorbar={"title": {"text": _plain(surface.scale)}, "len": 0.6},
        )
    ]
    for values, name in ((low, "lower"), (high, "upper")):
        bound = go.Surface(
            x=ticks,
            y=ticks,
            z=np.where(outside, np.nan, values).round(4),
            opacity=0.35,
            showscale=False,
            colorscale=[[0, "#888888"], [1, "#888888"]],
            hoverinfo="skip",
            name=f"{name} bound ({ci_prob:.0%})",
            showlegend=True,
            visible="legendonly",
        )
        sheets.append(bound)
    return sheets


def _lines(go: Any, surface: Surface, ticks: np.ndarray) -> list[Any]:
    found = []
    for sign, name, dash in ((1.0, "line of congruence", "solid"), (-1.0, "line of incongruence", "dash")):
        across = sign * ticks
        height = np.where(lies_inside(surface, ticks, across), surface.heights(ticks, across), np.nan)
        style = {"color": "black", "width": 5, "dash": dash}
        found.append(go.Scatter3d(x=ticks, y=across, z=height, mode="lines", line=style, name=name, hoverinfo="skip"))
    return found


def _rows(go: Any, surface: Surface, ticks: np.ndarray) -> list[Any]:
    """Return rows as dots below the surface."""
    if surface.points is None:
        return []
    x, y = np.meshgrid(ticks, ticks)
    floor = float(surface.heights(x, y)[lies_inside(surface, x, y)].min())
    rows = surface.points[:: max(1, len(surface.points) // 1000)].round(3)
    return [
        go.Scatter3d(
            x=rows[:, 0],
            y=rows[:, 1],
            z=np.full(len(rows), floor),
            mode="markers",
            marker={"size": 2, "color": "#D55E00"},
            name="rows",
            hoverinfo="skip",
        )
    ]


def _plain(text: str) -> str:
    """Return text that plotly shows as it stands; it reads some tags of HTML."""
    return escape(visible(text), quote=False)
