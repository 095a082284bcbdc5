"""Natural cubic splines: knots from the rows of an equation, kept with it, and the columns they give."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import BSpline

from bayes_alliance.design.columns.evaluator import Evaluator
from bayes_alliance.design.columns.values import Value
from bayes_alliance.spec.expressions import Call, Number, render

DEGREE = 3


def spline(evaluator: Evaluator, call: Call) -> list[tuple[str, Value]]:
    """Return the columns of a natural cubic spline with so many degrees of freedom.

    Its knots are those that an equation has already: the ends of its rows' values, and quantiles between them.
    """
    value = evaluator.value(call.arguments[0])
    if value.latent:
        evaluator.findings.problem("a spline takes observed values, not latent means.", where=render(call))
        return [("", evaluator.nothing())]
    numbers = value.numbers
    if render(call) not in evaluator.knots:
        found = _find_knots(evaluator, call, numbers)
        if found is None:
            return [("", evaluator.nothing())]
        evaluator.knots[render(call)] = found
    shown = ", ".join(f"{knot:g}" for knot in evaluator.knots[render(call)])
    evaluator.findings.note(f"{render(call)}: knots at {shown}; a straight line beyond the outer ones.")
    columns = natural_columns(numbers, evaluator.knots[render(call)])
    return [(f"{place + 1}", Value(columns[:, place])) for place in range(columns.shape[1])]


def _find_knots(evaluator: Evaluator, call: Call, numbers: np.ndarray) -> tuple[float, ...] | None:
    """Return the knots of a spline from the lowest to the highest; None where there can be none.

    They are the ends, and quantiles of rows between them, or of different values where many rows share one.
    """
    stated = call.arguments[1]
    if not isinstance(stated, Number) or stated.value < 1 or stated.value % 1:
        evaluator.findings.problem(
            "degrees of freedom are a whole number from 1, such as spline(session, 3).", where=render(call)
        )
        return None
    df, counted = int(stated.value), evaluator.counted(numbers)
    known = counted[~np.isnan(counted)]
    distinct = np.unique(known)
    if not len(known):
        return None
    if len(distinct) <= df:
        evaluator.findings.problem(
            f"a spline with {df} degrees of freedom needs {df + 1} different values, and there are {len(distinct)}.",
            where=render(call),
            fix=f"State at most {len(distinct) - 1}." if len(distinct) > 1 else "",
        )
        return None
    shares = np.linspace(0, 1, df + 1)
    knots = np.quantile(known, shares)
    if (np.diff(knots) <= 0).any():
        knots = np.quantile(distinct, shares)
    return tuple(map(float, knots))


def natural_columns(values: np.ndarray, knots: tuple[float, ...]) -> np.ndarray:
    """Return the columns of a natural cubic spline, shape (row, knot - 1); NaN where a value is missing.

    The basis is that of ``ns`` in R's package splines: cubic B-splines without the first, with second derivatives of 0
    at the outer knots, and the lines that continue them beyond.

    Parameters
    ----------
    values : ndarray, shape (row,)
    knots : tuple of float
        From the lowest to the highest; the outer ones are the ends.

    Examples
    --------
    >>> natural_columns(np.array([0.0, 1.0, 2.0]), (0.0, 2.0)).round(3).tolist()
    [[0.0], [0.385], [0.77]]
    """
    low, high = knots[0], knots[-1]
    whole = np.array([*[low] * (DEGREE + 1), *knots[1:-1], *[high] * (DEGREE + 1)])
    basis = BSpline(whole, np.eye(len(whole) - DEGREE - 1), DEGREE)
    bent = basis.derivative(2)(np.array([low, high]))[:, 1:]
    turn = np.linalg.qr(bent.T, mode="complete")[0][:, 2:]
    inside = np.clip(values, low, high)
    found = basis(np.nan_to_num(inside, nan=low))[:, 1:]
    slopes = basis.derivative(1)(np.array([low, high]))[:, 1:]
    beyond = values - inside
    found = found + np.where(beyond < 0, beyond, 0.0)[:, None] * slopes[0]
    found = found + np.where(beyond > 0, beyond, 0.0)[:, None] * slopes[1]
    return np.asarray(np.where(np.isnan(values)[:, None], np.nan, found @ turn))
