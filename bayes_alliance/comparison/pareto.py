"""Pareto-smoothed importance weights of many units at once.

ArviZ has the same estimate for one array at a time, at about a millisecond each; with tens of thousands of patients
that is most of what leaving them out takes. A test holds the two together.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

AT_ONCE = 4_000_000
"""Numbers that are held at a time."""

FIRST, BROAD, PRIOR_K, PRIOR_SIZE = 30, 3, 0.5, 10
"""Candidates beside the root of the tail's size, width of their prior; shape that k is drawn to, by so many draws."""


def smooth_weights(log_ratios: np.ndarray, efficiency: float) -> tuple[np.ndarray, np.ndarray]:
    """Return normalised log-weights with smoothed tails, and each unit's Pareto k (Vehtari et al. 2024).

    Parameters
    ----------
    log_ratios : ndarray, shape (unit, draw)
        Logarithms of importance ratios, up to a constant per unit.
    efficiency : float
        Effective draws per draw.

    Returns
    -------
    weights : ndarray, shape (unit, draw)
        Their exponentials sum to 1.
    k : ndarray, shape (unit,)
        NaN where the tail is far from any Pareto distribution; nothing is smoothed there.
    """
    units, draws = log_ratios.shape
    tail = int(3 * np.sqrt(draws / efficiency)) if draws * efficiency > 225 else draws // 5
    weights, k = np.empty_like(log_ratios), np.empty(units)
    step = max(1, AT_ONCE // (max(tail, 1) * (FIRST + int(np.sqrt(tail)))))
    for start in range(0, units, step):
        part = slice(start, start + step)
        weights[part], k[part] = _smooth(log_ratios[part], tail)
    return weights, k


def _smooth(log_ratios: np.ndarray, tail: int) -> tuple[np.ndarray, np.ndarray]:
    ratios = log_ratios - log_ratios.max(axis=1, keepdims=True)
    order = np.argsort(ratios, axis=1)
    largest = order[:, -tail:]
    edge = np.exp(np.take_along_axis(ratios, order[:, -tail - 1, None], axis=1))
    k, scale = fit_pareto(np.exp(np.take_along_axis(ratios, largest, axis=1)) - edge)
    fitted = np.isfinite(k)
    p = (np.arange(tail) + 0.5) / tail
    with np.errstate(over="ignore"):
        above = scale[fitted, None] * np.expm1(-k[fitted, None] * np.log1p(-p)) / k[fitted, None]
    smoothed = np.minimum(np.log(edge[fitted] + above), 0.0)
    ratios[np.flatnonzero(fitted)[:, None], largest[fitted]] = smoothed
    return ratios - logsumexp(ratios, axis=1, keepdims=True), k


def fit_pareto(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return shapes and scales of generalised Pareto distributions, shape (unit,).

    The estimate of Zhang and Stephens (2009), a posterior mean over candidates on a grid, its shape drawn to 0.5 as if
    by ten more values (Vehtari et al. 2024). NaN where the first quartile is not above the smallest value.

    Parameters
    ----------
    values : ndarray, shape (unit, tail)
        Above the threshold, in rising order.
    """
    units, n = values.shape
    k, scale = np.full(units, np.nan), np.full(units, np.nan)
    quartile = values[:, int(n / 4 + 0.5) - 1]
    usable = quartile > values[:, 0]
    x = values[usable]
    count = FIRST + int(np.sqrt(n))
    steps = 1 - np.sqrt(count / (np.arange(1, count + 1) - 0.5))
    theta = steps / (BROAD * quartile[usable, None]) + 1 / x[:, -1:]
    shape = np.log1p(-theta[:, :, None] * x[:, None, :]).mean(axis=2)
    log_likelihood = n * (np.log(-theta / shape) - shape - 1)
    weight = np.exp(log_likelihood - logsumexp(log_likelihood, axis=1, keepdims=True))
    weight[weight < 10 * np.finfo(float).eps] = 0.0
    theta_mean = (theta * weight).sum(axis=1) / weight.sum(axis=1)
    own = np.log1p(-theta_mean[:, None] * x).mean(axis=1)
    scale[usable] = -own / theta_mean
    k[usable] = (n * own + PRIOR_SIZE * PRIOR_K) / (n + PRIOR_SIZE)
    return k, scale
