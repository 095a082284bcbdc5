"""Coefficients with their intervals, on one scale so that they can stand side by side."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from bayes_alliance.design.terms import Columns
from bayes_alliance.errors import FitError
from bayes_alliance.fit.result import Fit
from bayes_alliance.names import INTERCEPT
from bayes_alliance.plot.style import COLOURS, draw_interval, make_figure


def has_effects(fit: Fit, outcome: str | None = None) -> bool:
    """Return whether the model has a coefficient beside the intercept, and the fit its rows."""
    if fit.design is None:
        return False
    equations = fit.design.equations if outcome is None else (fit.design.find(outcome),)
    return any(label != INTERCEPT for equation in equations for label in equation.coef.labels)


def plot_effects(fit: Fit, *, outcome: str | None = None, ci_prob: float = 0.95) -> Figure:
    """Draw every population coefficient of an outcome but the intercept, on one scale.

    A predictor that takes two values is drawn as the whole difference between them, any other per SD (Gelman 2008); a
    product per SD, or difference, of each of its parts. What products modify is drawn at the mean of its moderators,
    where rows are: a coefficient as it stands would be the effect where they are 0, which no row may be near. Where a
    moderator has no coefficient of its own (``week + week:arm``) it stays at 0, and the product is per SD of itself.

    Parameters
    ----------
    fit : Fit
        With its rows, which the SDs of the predictors come from.
    outcome : str, optional
        Which outcome, where the model has several.
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
    shown = [i for i, label in enumerate(equation.coef.labels) if label != INTERCEPT]
    if not shown:
        raise FitError("This model has no predictor to draw.")
    draws = fit.data["posterior"].to_dataset()["b"].sel(coef=list(equation.coef_labels)).values
    weights = comparable(equation.coef)
    draws = draws.reshape(-1, len(equation.coef.labels)) @ weights.T
    figure, axes = make_figure(1.2 + 0.38 * len(shown))
    for row, i in enumerate(reversed(shown)):
        draw_interval(axes, row, draws[:, i], ci_prob, colour=COLOURS[0])
    axes.axvline(0, color="0.4", linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(shown)), [equation.coef.labels[i] for i in reversed(shown)])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.grid(axis="y", visible=False)
    modified = bool((weights[~np.eye(len(weights), dtype=bool)] != 0).any())
    axes.set_xlabel(
        f"{equation.kind.unit} of {equation.outcome} per SD of the predictor, between the values of one that has two"
        + (";\nwhat products modify: at the mean of moderators in the model" if modified else ""),
        fontsize=8,
    )
    return figure


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
