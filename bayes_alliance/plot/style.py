"""One look for every picture: colours that colour-blind readers can tell apart, print sizes, plain axes."""

from __future__ import annotations

import io
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe and Ito's palette, ordered for contrast."""

MARKERS: Final = ("o", "s", "^", "D", "v", "P")

WIDTH: Final = 6.3
"""Inches: the text width of an A4 page."""


class Picture(Figure):
    """A figure that notebooks show as the value of a cell, whether or not pyplot was ever imported."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def make_figure(height: float) -> tuple[Figure, Axes]:
    """Return a figure of print width with one plain pair of axes, made without touching global state."""
    figure = Picture(figsize=(WIDTH, height), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes
