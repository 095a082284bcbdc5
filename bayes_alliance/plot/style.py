"""One look for every picture: colours that colour-blind readers can tell apart, print sizes, plain axes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, NullLocator

from bayes_alliance._messages import visible

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe and Ito's palette, ordered for contrast."""

MARKERS: Final = ("o", "s", "^", "D", "v", "P")

WIDTH: Final = 6.3
"""Inches: the text width of an A4 page."""


class Picture(Figure):
    """A figure that notebooks show as the value of a cell, whether or not pyplot was ever imported.

    Its text is shown as it stands: a column ``$a$b`` is no formula, and control characters are escaped.
    """

    def draw(self, renderer: RendererBase) -> None:
        """Draw the figure."""
        with rc_context({"text.parse_math": False}):  # of labels of ticks, which are made while drawing
            self._as_it_stands()
            super().draw(renderer)

    def get_tightbbox(self, *arguments: Any, **options: Any) -> Any:
        """Measure the figure, for ``savefig(bbox_inches="tight")``."""
        with rc_context({"text.parse_math": False}):
            self._as_it_stands()
            return super().get_tightbbox(*arguments, **options)

    def _as_it_stands(self) -> None:
        for text in self.findobj(Text):
            text.set_parse_math(False)
            text.set_text(visible(text.get_text()))

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def legend_label(text: str) -> str:
    """Return a label that legends show: one that begins with ``_`` is left out of them, and so gets a blank before."""
    return f" {text}" if text.startswith("_") else text


def held_at(at: Mapping[str, float | str]) -> str:
    """Return what a picture's title says of moderators at stated values."""
    return f"; at {', '.join(f'{name} = {value}' for name, value in at.items())}" if at else ""


class _FewNumbers(MaxNLocator):
    """Ticks of a logarithmic axis: 1, 2 and 5 over the decades, round numbers within a short range."""

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """Return the ticks between two ends."""
        if not 0 < 6 * vmin < vmax:
            return [float(tick) for tick in super().tick_values(max(vmin, 1e-9), vmax)]
        decades = 10.0 ** np.arange(np.floor(np.log10(vmin)), np.ceil(np.log10(vmax)) + 1)
        steps = (1, 2, 5) if vmax < 300 * vmin else (1,)
        return [float(decade * step) for decade in decades for step in steps]


def on_log_axis(axes: Axes) -> None:
    """Give factors a logarithmic axis with a few plain numbers on it."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(_FewNumbers(6))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())


def draw_interval(
    axes: Axes,
    row: float,
    values: np.ndarray,
    ci_prob: float,
    *,
    colour: str,
    marker: str = "o",
    label: str | None = None,
) -> None:
    """Draw the mean of draws with its equal-tailed interval, the thick part holding one half."""
    tails = [(1 - ci_prob) / 2, 0.25, 0.75, (1 + ci_prob) / 2]
    low, inner_low, inner_high, high = np.quantile(values, tails)
    axes.plot([low, high], [row, row], color=colour, linewidth=1.2)
    axes.plot([inner_low, inner_high], [row, row], color=colour, linewidth=4, solid_capstyle="butt")
    point = axes.plot(values.mean(), row, marker=marker, color="white", linestyle="none", label=label)[0]
    point.set(markeredgecolor=colour, markersize=5)
    axes.set_title(f"Posterior mean, 50% and {ci_prob:.0%} equal-tailed intervals", fontsize=9, loc="left")


def make_figure(height: float) -> tuple[Figure, Axes]:
    """Return a figure of print width with one plain pair of axes, made without touching global state."""
    figure = Picture(figsize=(WIDTH, height), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes
