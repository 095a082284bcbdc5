"""Group effects in order of size: who stands out, how surely, and from how many patients."""

from __future__ import annotations

from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bayes_alliance.fit.result import Fit
from bayes_alliance.names import factor_key
from bayes_alliance.plot.style import COLOURS, make_figure
from bayes_alliance.posterior.units import Direction, count_caseload, effect_text, unit_effect, unit_estimates

NAMED = 40
"""Levels up to which each is named on the axis."""

SURE = 0.8
"""Probability of being in a third from which a level is coloured as one of it."""


def plot_caterpillar(
    fit: Fit, factor: str, *, effect: str | None = None, better: Direction | None = None, ci_prob: float = 0.95
) -> Figure:
    """Draw the effects of a grouping factor's levels, sorted by their means.

    Parameters
    ----------
    fit : Fit
        Its factor's effects are deviations from the population, in outcome units (log-odds or probits for 0/1
        outcomes).
    factor : str
        Such as ``"therapist"``.
    effect : str, optional
        Which effect, by its label (``"Intercept"``, ``"month"``, or ``"phq9, month"`` where the model has several
        outcomes); the first one unless stated.
    better : {"higher", "lower"}, optional
        Which direction of the outcome is an improvement: levels that are in the best or worst third with a probability
        of 80 % or more are then coloured. Needs the rows.
    ci_prob : float
        Probability of the equal-tailed interval.

    Returns
    -------
    Figure
        Effects are shrunken towards 0: levels with few rows lie closer to it and have wider intervals. Where the fit
        has its rows, points grow with the number of patients.

    Raises
    ------
    FitError
        If there is no such factor or effect, or ``better`` is stated of a fit without rows.
    """
    chosen = unit_effect(fit, factor, effect)
    values = chosen.values.values.reshape(chosen.values.shape[0], -1)
    names = [str(name) for name in chosen.values[factor_key(factor)].values]
    order = np.argsort(values.mean(axis=1), kind="stable")
    low, high = np.quantile(values[order], [(1 - ci_prob) / 2, (1 + ci_prob) / 2], axis=1)
    count = len(order)
    named = count <= NAMED
    figure, axes = make_figure(1.1 + 0.17 * count if named else 5.0)
    rows = np.arange(count)
    colours = np.array([COLOURS[0]] * count)
    if better is not None:
        table = unit_estimates(fit, factor=factor, better=better, effect=effect).set_index(factor)
        own = table.loc[[names[i] for i in order]]
        colours[(own["p_best_third"] >= SURE).to_numpy()] = COLOURS[2]
        colours[(own["p_worst_third"] >= SURE).to_numpy()] = COLOURS[1]
        _explain_thirds(figure)
    axes.hlines(rows, low, high, color=colours, linewidth=1.2 if named else 0.5, alpha=1.0 if named else 0.6)
    patients = None
    if fit.design is not None and factor != "patient":
        caseload = count_caseload(fit.design, factor, chosen.outcome)
        patients = np.array([caseload[names[i]][0] for i in order])
    size = (16.0 if named else 4.0) if patients is None else (8 if named else 3) + 60 * patients / patients.max()
    axes.scatter(values[order].mean(axis=1), rows, s=size, color=colours, zorder=3)
    axes.axvline(0, color="0.4", linewidth=0.8, linestyle="--")
    _name_levels(axes, factor, [names[i] for i in order], named, patients)
    axes.set_xlabel(fill(f"deviation from the population, {chosen.unit} of {chosen.outcome}{effect_text(chosen)}", 80))
    sizes = (
        "" if patients is None else f"\nPoints grow with the number of patients, {patients.min()} to {patients.max()}"
    )
    axes.set_title(
        f"Posterior mean and {ci_prob:.0%} equal-tailed interval of each {factor}{sizes}", fontsize=9, loc="left"
    )
    return figure


def _name_levels(axes: Axes, factor: str, names: list[str], named: bool, patients: np.ndarray | None) -> None:
    """Name every level with its patients where there is room, else say how many there are."""
    count = len(names)
    shown = names if patients is None else [f"{name} (n = {n})" for name, n in zip(names, patients, strict=True)]
    axes.set_yticks(np.arange(count) if named else [], shown if named else [], fontsize=8)
    axes.set_ylim(-0.8, count - 0.2)
    axes.grid(axis="y", visible=False)
    axes.set_ylabel(f"{factor}" if named else f"{count} levels of {factor}, by their means")


def _explain_thirds(figure: Figure) -> None:
    """Explain colours below the axes: intervals may fill these from corner to corner."""
    marks = [
        Line2D([], [], color=COLOURS[2], marker="o", label=f"best third, probability {SURE:.0%} or more"),
        Line2D([], [], color=COLOURS[1], marker="o", label=f"worst third, probability {SURE:.0%} or more"),
        Line2D([], [], color=COLOURS[0], marker="o", label="neither is sure"),
    ]
    figure.legend(handles=marks, frameon=False, fontsize=8, loc="outside lower center", ncols=3)
