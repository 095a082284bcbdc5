"""Rows as compiled functions read them, and the log-density of one row given its linear predictor."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from bayes_alliance.collapse.kernel.compiled import borrowing

SOFTPLUS, EXPONENTIAL, PROBIT, PROBIT_CUMULATIVE, BETA_BINOMIAL, ORDERED_BETA, CENSORED = range(7)
"""Kinds of rows: y eta - n log(1 + exp(eta)); y eta - n exp(eta), with events of a hazard; the rest one by one."""

EVENT = 1
"""Code of a row of the second kind in which the event happens: log(1 - exp(-exp(eta)))."""

LOST = 30.0
"""Log-odds beyond which a share is no longer told from 0 or 1."""

DEEP = -30.0
"""Standard normal values below which their tail is a series."""

STEP = 1e-3
"""Step of differences in linear predictors, where slopes are no sums: modes need no more."""


class Rows(NamedTuple):
    """Rows of units of the inner factor, in the order of the units, and units in the order of outer groups.

    A *cell* is a linear predictor without effects: a row of ``predictors`` less a threshold (``cut`` below 0: none).
    ``cell``, ``y``, ``n``, ``code``, ``many`` and ``z`` have a row per distinct row of a unit, counted ``many`` times;
    ``weight`` counts equal units. ``sums`` are outcomes summed over the rows of a cell, ``own`` over those of a unit
    with their covariates, of terms that are linear in the predictor. ``values`` are distinct outcomes, ``counts`` how
    often each comes.
    """

    predictors: np.ndarray
    place: np.ndarray
    cut: np.ndarray
    sums: np.ndarray
    cell: np.ndarray
    y: np.ndarray
    n: np.ndarray
    code: np.ndarray
    many: np.ndarray
    z: np.ndarray
    start: np.ndarray
    weight: np.ndarray
    stratum: np.ndarray
    own: np.ndarray
    group: np.ndarray
    values: np.ndarray
    counts: np.ndarray


@borrowing
def log_normal_below(x):  # type: ignore[no-untyped-def]
    """Return the log of the standard normal distribution function."""
    if x > DEEP:
        return math.log(0.5 * math.erfc(-x / math.sqrt(2.0)))
    s = 1.0 / (x * x)
    return -0.5 * x * x - math.log(-x) - 0.5 * math.log(2 * math.pi) + math.log1p(-s * (1 - 3 * s * (1 - 5 * s)))


@borrowing
def log_normal_between(low, high):  # type: ignore[no-untyped-def]
    """Return the log of the standard normal probability between two numbers, either of which may be infinite."""
    if low + high > 0:
        low, high = -high, -low
    if low == -np.inf:
        return log_normal_below(high) if high < np.inf else 0.0
    above = log_normal_below(high)
    return above + math.log(-math.expm1(log_normal_below(low) - above))


@borrowing
def softplus(x):  # type: ignore[no-untyped-def]
    """Return log(1 + exp(x))."""
    return x + math.log1p(math.exp(-x)) if x > 0 else math.log1p(math.exp(x))


@borrowing
def share(x):  # type: ignore[no-untyped-def]
    """Return 1 / (1 + exp(-x))."""
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    at = math.exp(x)
    return at / (1.0 + at)


@borrowing
def row_value(kind, eta, y, n, code, cuts, shapes):  # type: ignore[no-untyped-def]
    """Return the log-density of a row of the kinds that are worked out one by one, without what is constant."""
    if kind == PROBIT:
        return y * log_normal_below(eta) + (n - y) * log_normal_below(-eta)
    if kind == PROBIT_CUMULATIVE:
        low = cuts[code - 1] - eta if code > 0 else -np.inf
        high = cuts[code] - eta if code < len(cuts) else np.inf
        return log_normal_between(low, high)
    if kind == CENSORED:
        sigma, side = shapes[int(n)], code - 1
        z = (y - eta) / sigma
        if side == 0:
            return -0.5 * z * z - math.log(sigma) - 0.5 * math.log(2 * math.pi)
        return log_normal_below(-side * z)
    cut_off = min(max(eta, -LOST), LOST)
    a, b = share(cut_off) * shapes[0], share(-cut_off) * shapes[0]
    if kind == BETA_BINOMIAL:
        rise = math.lgamma(y + a) - math.lgamma(a) + math.lgamma(n - y + b) - math.lgamma(b)
        return rise - math.lgamma(n + a + b) + math.lgamma(a + b)
    # a bounded score: at its floor, between, at its ceiling
    if code == 0:
        return -softplus(eta - cuts[0])
    if code == 2:
        return -softplus(cuts[1] - eta)
    gap = math.log(-math.expm1(cuts[0] - cuts[1]))
    inside = (a - 1) * math.log(y) + (b - 1) * math.log1p(-y)
    return (
        gap - softplus(eta - cuts[1]) - softplus(cuts[0] - eta)
        + inside - math.lgamma(a) - math.lgamma(b) + math.lgamma(a + b)
    )  # fmt: skip


@borrowing
def row_slopes(kind, eta, y, n, code, cuts, shapes):  # type: ignore[no-untyped-def]
    """Return the log-density of a row, its slope and minus its curvature in the linear predictor.

    Those of normal kinds are worked out, others are differences.
    """
    if kind == CENSORED:
        sigma, side = shapes[int(n)], code - 1
        z = (y - eta) / sigma
        if side == 0:
            value = -0.5 * z * z - math.log(sigma) - 0.5 * math.log(2 * math.pi)
            return value, z / sigma, 1.0 / (sigma * sigma)
        value = log_normal_below(-side * z)
        ratio = math.exp(-0.5 * z * z - 0.5 * math.log(2 * math.pi) - value)
        return value, side * ratio / sigma, ratio * (ratio - side * z) / (sigma * sigma)
    if kind == PROBIT:
        up, down = log_normal_below(eta), log_normal_below(-eta)
        one = math.exp(-0.5 * eta * eta - 0.5 * math.log(2 * math.pi) - up)
        other = math.exp(-0.5 * eta * eta - 0.5 * math.log(2 * math.pi) - down)
        bend = y * one * (one + eta) + (n - y) * other * (other - eta)
        return y * up + (n - y) * down, y * one - (n - y) * other, bend
    value = row_value(kind, eta, y, n, code, cuts, shapes)
    above = row_value(kind, eta + STEP, y, n, code, cuts, shapes)
    below = row_value(kind, eta - STEP, y, n, code, cuts, shapes)
    return value, (above - below) / (2 * STEP), (2 * value - above - below) / STEP**2
