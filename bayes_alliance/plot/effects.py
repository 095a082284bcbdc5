"""Coefficients with their intervals, on one scale so that they can stand side by side."""

from __future__ import annotations

from textwrap import fill
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from bayes_alliance.design.columns.terms import Columns
from bayes_alliance.errors import FitError
from bayes_alliance.fit.result import Fit
from bayes_alliance.names import INTERCEPT
from bayes_alliance.plot.style import COLOURS, draw_interval, make_figure

LABEL: Final = 36
"""Characters after which a label goes on in the next line."""


def has_effects(fit: Fit, outcome: str | None = None) -> bool:
    """Return whether the model has a coefficient beside the intercept, and the fit its rows."""
    if fit.design is None:
        return False
    equations = fit.design.equations if outcome is None else (fit.design.find(outcome),)
    return any(label != INTERCEPT for equation in equations for label in equation.coef.labels)


def plot_effects(fit: Fit, *, outcome: str | None = None, standardised: bool = False, ci_prob: float = 0.95) -> Figure:
    """Draw every population coefficient of an outcome but the intercept: the numbers of ``summarize``.

    Parameters
    ----------
    fit : Fit
        With its rows.
    outcome : str, optional
        Which outcome, where the model has several.
    standardised : bool
        Whether coefficients are brought to one scale, so that their sizes can be compared; the title and every label
        say so. A predictor that takes two values is drawn as the whole difference between them, any other per SD
        (Gelman 2008); a product per SD, or difference, of each of its parts. What is part of a product is drawn at the
        mean of its moderators. Where a moderator has no coefficient of its own (``week + week:arm``) it stays at 0, and
        the product is per SD of itself.
    ci_prob : float
        Probability of the equal-tailed interval; the thick part holds one half.

    Returns
    -------
    Figure
        Points: posterior means.

    Raises
    ------
    FitError
        If the fit has no rows, or the model no predictor.
    """
    if fit.design is None:
        raise FitError("This picture needs the rows; use fit.with_rows(sessions).")
    equation = fit.design.find(outcome)
    columns = equation.coef
    shown = [i for i, label in enumerate(columns.labels) if label != INTERCEPT]
    if not shown:
        raise FitError("This model has no predictor to draw.")
    draws = fit.data["posterior"].to_dataset()["b"].sel(coef=list(equation.coef_labels)).values
    weights = comparable(columns) if standardised else np.eye(len(columns.labels))
    draws = draws.reshape(-1, len(columns.labels)) @ weights.T
    whole = [label_of(columns, weights, i) if standardised else columns.labels[i] for i in reversed(shown)]
    labels = [fill(label, LABEL) for label in whole]
    figure, axes = make_figure(1.2 + 0.38 * len(shown) + 0.14 * sum(label.count("\n") for label in labels))
    for row, i in enumerate(reversed(shown)):
        draw_interval(axes, row, draws[:, i], ci_prob, colour=COLOURS[0])
    axes.axvline(0, color="0.4", linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(shown)), labels)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.grid(axis="y", visible=False)
    if standardised:
        axes.set_title(f"Standardised coefficients\n{axes.get_title(loc='left')}", fontsize=9, loc="left")
    per = "" if standardised else " per unit of each predictor,"
    unit = f"Change in {equation.outcome}, {equation.kind.unit},{per} with {ci_prob:.0%} CrI"
    axes.set_xlabel(fill(unit, 70), fontsize=8)
    return figure


def label_of(columns: Columns, weights: np.ndarray, place: int) -> str:
    """Return what a drawn number is: the coefficient's label, its scale, and which moderators are held at their means.

    A coefficient that is on the common scale as it is in tables says that its unit is 1.
    """
    moderators = [
        columns.labels[columns.parts.index(columns.parts[j] - columns.parts[place])]
        for j in np.flatnonzero(weights[place])
        if j != place
    ]
    said = [_scale_text(columns, place, weights[place, place])]
    said += [f"at mean {name}" for name in dict.fromkeys(moderators)]
    return ", ".join([columns.labels[place], *said])


def _scale_text(columns: Columns, place: int, weight: float) -> str:
    """Return per how many units of its predictor a coefficient is drawn."""
    values = np.unique(columns.values[:, place])
    if len(columns.parts[place]) == 1 and len(values) == 2:
        return f"{values[1]:g} rather than {values[0]:g}"
    return f"per {weight:.3g} (SD)" if len(columns.parts[place]) == 1 else f"per {weight:.3g} (SDs)"


def comparable(columns: Columns) -> np.ndarray:
    """Return the weights, shape (coef, coef), that bring coefficients to one scale.

    A row's own weight is the scale of its column: 1 of the intercept, SDs or the distance of two values, multiplied
    over the parts of a product. What is part of a product takes the product's coefficient at the mean of the rest.
    """
    place = {parts: i for i, parts in enumerate(columns.parts)}
    weights = np.eye(len(columns.labels))
    for i, parts in enumerate(columns.parts):
        for j, whole in enumerate(columns.parts):
            if parts and parts < whole and whole - parts in place:
                weights[i, j] = columns.values[:, place[whole - parts]].mean()
    alone = {part: _scale(columns.values[:, i]) for parts, i in place.items() if len(parts) == 1 for part in parts}
    for i, parts in enumerate(columns.parts):
        known = all(part in alone for part in parts)
        weights[i] *= np.prod([alone[part] for part in parts]) if known else _scale(columns.values[:, i])
    return weights


def _scale(values: np.ndarray) -> float:
    """Return the distance of two values, or the SD of several."""
    levels = np.unique(values)
    return float(np.ptp(levels) if len(levels) == 2 else values.std(ddof=1))
