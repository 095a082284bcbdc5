"""Coefficients with their intervals, on the scale of one predictor SD so that they can stand side by side."""

from __future__ import annotations

from matplotlib.figure import Figure

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
    """Draw every population coefficient of an outcome but the intercept, per SD of its predictor.

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
    spread = equation.coef.values.std(axis=0, ddof=1)
    draws = fit.data["posterior"].to_dataset()["b"].sel(coef=list(equation.coef_labels)).values
    draws = draws.reshape(-1, len(spread)) * spread
    figure, axes = make_figure(1.2 + 0.38 * len(shown))
    for row, i in enumerate(reversed(shown)):
        draw_interval(axes, row, draws[:, i], ci_prob, colour=COLOURS[0])
    axes.axvline(0, color="0.4", linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(shown)), [equation.coef.labels[i] for i in reversed(shown)])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"{equation.kind.unit} of {equation.outcome} per SD of the predictor")
    return figure
