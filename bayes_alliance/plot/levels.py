"""One slope within units and another between them, side by side, with what they were fitted to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayes_alliance._messages import unknown
from bayes_alliance.errors import FitError
from bayes_alliance.fit.result import Fit
from bayes_alliance.plot.style import COLOURS, WIDTH, Picture


def plot_within_between(
    fit: Fit,
    *,
    predictor: str,
    outcome: str,
    parts: Mapping[str, str],
    adjust: Sequence[str] = (),
    ci_prob: float = 0.95,
) -> Figure:
    """Draw the parts of a predictor's association with an outcome: within units, and between them.

    Parameters
    ----------
    fit : Fit
        With its rows and with an estimand for every part.
    predictor, outcome : str
        Variables of the model.
    parts : mapping of str to str
        From the finest to the widest, what a part is of to the estimand that is its slope, such as
        ``{"patient": "within_therapists", "therapist": "between_therapists"}``: patients less their therapist's mean,
        and means of therapists. The finest is ``session`` or ``patient``; units are roles.
    adjust : sequence of str
        Variables whose linear relation with the outcome is taken from the points first, by least squares.
    ci_prob : float
        Probability of the equal-tailed band.

    Returns
    -------
    Figure
        A panel per part. Points: rows less the mean of the next unit, or observed means of units less those of the next
        one, larger with more rows. Lines: the slope's posterior with its band, through the points' middle. A slope
        of true means is steeper than the points where observed means have error.

    Raises
    ------
    FitError
        If the fit has no rows, or a part names no estimand or no variable.
    """
    frame = _points(fit, predictor, outcome, list(parts), adjust)
    figure = Picture(figsize=(WIDTH, 3.1), dpi=150, layout="constrained")
    estimands = fit.data["estimands"].to_dataset() if "estimands" in fit.data.children else xr.Dataset()
    known = [str(name) for name in estimands["estimand"].values] if "estimand" in estimands else []
    units = list(parts)
    for place, (unit, name) in enumerate(parts.items()):
        if name not in known:
            raise FitError(unknown("estimand", name, known))
        slope = estimands["value"].sel(estimand=name).values.ravel()
        wider = units[place + 1] if place + 1 < len(units) else None
        axes = figure.add_subplot(1, len(parts), place + 1, sharey=figure.axes[0] if place else None)
        _draw_part(axes, _apart(frame, unit, wider), slope, ci_prob, COLOURS[place % len(COLOURS)])
        what = f"{unit}s of one {wider}" if wider else f"means of {unit}s"
        low, high = np.quantile(slope, [(1 - ci_prob) / 2, (1 + ci_prob) / 2])
        axes.set_title(f"{what}\n{np.median(slope):.2f} [{low:.2f}, {high:.2f}]", fontsize=9, loc="left")
        axes.set_xlabel(predictor if wider is None else f"{predictor}, less the {wider}'s mean", fontsize=8)
    figure.axes[0].set_ylabel(outcome + (f",\nadjusted for {', '.join(adjust)}" if adjust else ""), fontsize=8)
    figure.suptitle(
        f"Posterior median of each slope with {ci_prob:.0%} equal-tailed interval; bands are of the slope alone.\n"
        "Points: rows or observed means, larger with more rows.",
        fontsize=9,
        x=0.01,
        ha="left",
    )
    return figure


def _points(fit: Fit, predictor: str, outcome: str, units: list[str], adjust: Sequence[str]) -> pd.DataFrame:
    """Return predictor, outcome (adjusted) and ids of the rows of the outcome's equation."""
    if fit.design is None:
        raise FitError("Points need the rows; use fit.with_rows(sessions).")
    equation = fit.design.find(outcome)
    odd = [name for name in (predictor, *adjust) if name not in equation.variables]
    if odd:
        raise FitError(unknown(f"variable of {outcome}", odd[0], equation.variables))
    y, seen = equation.y + equation.offset, equation.seen
    if adjust:
        x = np.column_stack([np.ones(len(y)), *(equation.variables[name].values for name in adjust)])
        y = y - (x - x[seen].mean(axis=0)) @ np.linalg.lstsq(x[seen], y[seen], rcond=None)[0]
    frame = pd.DataFrame({"x": equation.variables[predictor].values, "y": y, "patient": equation.patient})
    for unit in units:
        if unit in ("session", "patient"):
            continue
        group = next((group for group in equation.groups if group.factor == unit), None)
        if group is None:
            raise FitError(unknown(f"unit of {outcome}", unit, ["patient", *(g.factor for g in equation.groups)]))
        frame[unit] = np.where(group.inside, group.code, np.nan)
    return frame[np.asarray(seen)].dropna()


def _apart(frame: pd.DataFrame, unit: str, wider: str | None) -> pd.DataFrame:
    """Return means of units, less those of the wider unit, around the mean of all."""
    keys = [] if unit == "session" else [unit]
    keys += [wider] if wider is not None else []
    if unit == "session":
        means = frame.assign(n=1)
    else:
        grouped = frame.groupby(keys)
        means = grouped[["x", "y"]].mean().assign(n=grouped.size()).reset_index()
    if wider is None:
        return means
    of_wider = means.groupby(wider)[["x", "y"]].transform("mean")
    return means.assign(x=means["x"] - of_wider["x"], y=means["y"] - of_wider["y"] + means["y"].mean())


def _draw_part(axes: Axes, points: pd.DataFrame, slope: np.ndarray, ci_prob: float, colour: str) -> None:
    alike = points["n"].nunique() == 1
    size = np.full(len(points), 7.0) if alike else 5 + 45 * points["n"] / points["n"].max()
    axes.scatter(points["x"], points["y"], s=size, color="0.6", alpha=0.6, linewidth=0, zorder=1)
    middle_x, middle_y = np.average(points["x"], weights=points["n"]), np.average(points["y"], weights=points["n"])
    grid = np.linspace(points["x"].min(), points["x"].max(), 40)
    lines = middle_y + slope[:, None] * (grid - middle_x)
    low, high = np.quantile(lines, [(1 - ci_prob) / 2, (1 + ci_prob) / 2], axis=0)
    axes.fill_between(grid, low, high, color=colour, alpha=0.25, linewidth=0, zorder=2)
    axes.plot(grid, middle_y + np.median(slope) * (grid - middle_x), color=colour, linewidth=2, zorder=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
