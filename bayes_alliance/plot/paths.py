"""A path diagram: what reads what on the way from a predictor to an outcome, with the posterior of every slope."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.text import Text

from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.plot.style import COLOURS, WIDTH, Picture, held_at
from bayes_alliance.posterior.mediation import Mediation, path_slopes

CLEAR, UNCLEAR = COLOURS[0], "0.6"

type Point = tuple[float, float]


def plot_paths(fit: Fit, mediation: Mediation, *, ci_prob: float = 0.95) -> Figure:
    """Draw the variables on the paths of a predictor and the slopes between them.

    Parameters
    ----------
    fit : Fit
        With its design.
    mediation : Mediation
        From ``mediation_effects`` of the same fit: says which paths, and moderators' values.
    ci_prob : float
        Probability of the equal-tailed intervals beside the means.

    Returns
    -------
    Figure
        Slopes in units of the data (those of ``mediation.at``), those within and between units apart; blue where an
        interval excludes 0, grey where all hold 0. Mediators stand in the order in which they are read.
    """
    slopes = path_slopes(fit, mediation)
    first = mediation.paths[0].edges[0]
    equations = design_of(fit).equations
    labels = {name: variable.label for e in equations for name, variable in e.variables.items()}
    labels |= {e.spec.outcome: e.outcome for e in equations}
    if first.level:
        labels[first.source] += f"\n[{first.level}]"
    longest = max(mediation.paths, key=lambda path: len(path.edges))
    order = [edge.target for edge in longest.edges[:-1]]
    order += sorted({e.target for p in mediation.paths for e in p.edges} - {*order, mediation.outcome})
    names = [first.source, *order, mediation.outcome]
    angles = np.linspace(np.pi, 0, len(names))
    places = {name: (float(np.cos(a)), 0.75 * float(np.sin(a))) for name, a in zip(names, angles, strict=True)}
    figure = Picture(figsize=(WIDTH, 3.9 if order else 1.6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    boxes = {name: _name(axes, place, labels[name]) for name, place in places.items()}
    ways = list(dict.fromkeys(key[:2] for key in slopes))
    spots = _free_spots([(places[source], places[target]) for source, target in ways])
    for (source, target), spot in zip(ways, spots, strict=True):
        own = {way: values for (*ends, way), values in slopes.items() if ends == [source, target]}
        _arrow(axes, (places[source], places[target]), (boxes[source], boxes[target]), own, spot, ci_prob)
    axes.set_xlim(-1.3, 1.3)
    axes.set_ylim(-0.12, 0.87 if order else 0.2)
    axes.axis("off")
    axes.set_title(
        f"Posterior mean of every slope, {ci_prob:.0%} equal-tailed interval{held_at(mediation.at)}"
        "\nBlue: an interval excludes 0",
        fontsize=9,
        loc="left",
    )
    return figure


def _free_spots(chords: list[tuple[Point, Point]]) -> list[Point]:
    """Return a spot on every chord, one after the other, far from the other chords and from spots that are taken."""
    taken: list[Point] = []
    for chord in chords:
        others = [np.linspace(np.array(other[0]), np.array(other[1]), 41) for other in chords if other != chord]
        away = np.vstack([*others, *([np.array(taken)] if taken else [])]) if others or taken else np.empty((0, 2))
        shares = np.linspace(0.25, 0.75, 21)
        spots = np.array(chord[0]) + shares[:, None] * (np.array(chord[1]) - np.array(chord[0]))
        gaps = np.linalg.norm(spots[:, None] - away[None], axis=2).min(axis=1) if len(away) else -abs(shares - 0.4)
        x, y = spots[int(gaps.argmax())]
        taken.append((float(x), float(y)))
    return taken


def _arrow(
    axes: Axes,
    ends: tuple[Point, Point],
    boxes: tuple[Text, Text],
    own: Mapping[str, np.ndarray],
    spot: Point,
    ci_prob: float,
) -> None:
    colour, lines = UNCLEAR, []
    for way, values in own.items():
        low, high = np.quantile(values, [(1 - ci_prob) / 2, (1 + ci_prob) / 2])
        colour = CLEAR if low > 0 or high < 0 else colour
        lines += [f"{way}: {values.mean():.2f}" if way else f"{values.mean():.2f}", f"[{low:.2f}, {high:.2f}]"]
    arrow = FancyArrowPatch(
        *ends,
        arrowstyle="-|>",
        mutation_scale=11,
        color=colour,
        linewidth=1.2,
        patchA=boxes[0].get_bbox_patch(),
        patchB=boxes[1].get_bbox_patch(),
        shrinkA=0,
        shrinkB=2,
        zorder=1,
    )
    axes.add_patch(arrow)
    axes.text(
        *spot,
        "\n".join(lines),
        fontsize=6.5,
        ha="center",
        va="center",
        color="0.15" if colour == CLEAR else "0.45",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        zorder=2,
    )


def _name(axes: Axes, place: Point, name: str) -> Text:
    return axes.text(
        *place,
        name.replace("_", "\n"),
        fontsize=8,
        ha="center",
        va="center",
        bbox={"facecolor": "white", "edgecolor": "0.3", "boxstyle": "round,pad=0.35"},
        zorder=3,
    )
