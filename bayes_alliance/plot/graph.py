"""What a model says predicts what: a graph of its variables, without data."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from bayes_alliance.plot.style import COLOURS, WIDTH, Picture
from bayes_alliance.spec.equation_order import sort_outcomes
from bayes_alliance.spec.model import ModelSpec

ROW = 0.5
"""Inches between two variables of a column."""


def plot_graph(spec: ModelSpec) -> Figure:
    """Draw a model as a graph of its variables.

    Parameters
    ----------
    spec : ModelSpec
        From ``load_model``.

    Returns
    -------
    Figure
        Variables without an equation in the first column, each outcome to the right of the outcomes it reads; an arrow
        from predictor to outcome, a dashed one where two outcomes read each other, at earlier sessions or in others'
        rows. Factors whose units have effects of their own stand under an outcome.
    """
    order = sort_outcomes(spec)
    reads = {equation.outcome: equation.predictors for equation in spec.equation}
    column = {name: 0 for names in reads.values() for name in names if name not in reads}
    for outcome in order:
        known = [column[name] for name in reads[outcome] if name in column and name != outcome]
        column[outcome] = 1 + max(known, default=0)
    columns = [[name for name, place in column.items() if place == c] for c in range(max(column.values()) + 1)]
    height = max(len(names) for names in columns)
    staggered = len(columns) > 3  # else arrows past an outcome would run through it
    places = {
        name: (float(c), ((len(names) - 1) / 2 - row) * (1.0 if c == 0 else 1.6) + _step(c, staggered))
        for c, names in enumerate(columns)
        for row, name in enumerate(names)
    }
    height = max(height, 4 if staggered else 2)
    figure = Picture(figsize=(WIDTH, 0.6 + ROW * height), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for outcome, names in reads.items():
        for name in names:
            if name == outcome:
                continue
            back = column[name] >= column[outcome]
            arrow = FancyArrowPatch(
                places[name],
                places[outcome],
                arrowstyle="-|>",
                mutation_scale=10,
                color="0.55",
                linewidth=0.9,
                linestyle="--" if back else "-",
                connectionstyle=f"arc3,rad={0.3 if back else 0.08}",
                shrinkA=22,
                shrinkB=26,
                zorder=1,
            )
            axes.add_patch(arrow)
    for name, place in places.items():
        is_outcome = name in reads
        text = _under(spec, name) if is_outcome else name
        box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": COLOURS[0] if is_outcome else "0.6"}
        axes.text(*place, text, ha="center", va="center", fontsize=8, bbox=box, zorder=2, parse_math=False)
    axes.set_xlim(-0.6, len(columns) - 0.4)
    heights = [height for _, height in places.values()]
    axes.set_ylim(min(heights) - 0.8, max(heights) + 0.8)
    axes.axis("off")
    return figure


def _step(column: int, staggered: bool) -> float:
    if not staggered or column == 0:
        return 0.0
    return 1.1 if column % 2 else -1.1


def _under(spec: ModelSpec, outcome: str) -> str:
    equation = next(equation for equation in spec.equation if equation.outcome == outcome)
    factors = ", ".join(dict.fromkeys(equation.factors))
    return f"{outcome}\n({factors})" if factors else outcome
