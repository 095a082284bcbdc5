"""Compiled: what loadings do to weights and to prior means of intercepts, and back.

Rows are sums of pieces, each times a product of loadings, so that their weighted cross-products are those of pieces,
weighted by the residuals' inverse covariance times both products.
"""

from __future__ import annotations

import math

import numpy as np

from bayes_alliance.collapse.kernel.compiled import compiled
from bayes_alliance.collapse.kernel.parts import (
    CLASS_PIECES,
    CLASS_SIZE,
    CLASS_WEIGHT,
    CLASSES,
    LOADING_LIST,
    LOADING_PLACE,
    LOADING_PRIOR,
    PIECE_LOADINGS,
    PIECE_PLACE,
    PIECE_WEIGHT,
    SHIFT_BY,
    SHIFT_COEF,
)

# numba has no types for mypy; shapes are in the docstrings
# mypy: disable-error-code="no-untyped-def,untyped-decorator"


@compiled
def loading(N, R, x, number):
    """Return a loading: they are sampled in SDs of their priors, from their prior means."""
    prior = N[LOADING_PRIOR] + 2 * number
    return R[prior] + R[prior + 1] * x[N[N[LOADING_PLACE]] + number]


@compiled
def log_prior_loadings(N, x, gradient):
    """Return the log prior of the loadings, and add its gradient."""
    total = 0.0
    for number in range(N[N[LOADING_PLACE] + 1]):
        place = N[N[LOADING_PLACE]] + number
        total -= 0.5 * x[place] ** 2 + 0.5 * math.log(2 * math.pi)
        gradient[place] -= x[place]
    return total


@compiled
def fill_shifts(N, R, x, means):
    """Take from prior means of coefficients, in SDs of their priors, what loadings move them by; shape (coef,)."""
    for i in range(N[N[LOADING_PLACE] + 2]):
        at = N[SHIFT_COEF] + 2 * i
        means[N[at]] -= R[N[SHIFT_BY] + i] * loading(N, R, x, N[at + 1])


@compiled
def pull_shifts(N, R, shifts, mean, gradient):
    """Add the adjoints of loadings that move prior means; ``mean`` is that of the posterior."""
    for i in range(N[N[LOADING_PLACE] + 2]):
        at = N[SHIFT_COEF] + 2 * i
        slope = (mean[N[at]] - shifts[N[at]]) * R[N[LOADING_PRIOR] + 2 * N[at + 1] + 1]
        gradient[N[N[LOADING_PLACE]] + N[at + 1]] -= R[N[SHIFT_BY] + i] * slope


@compiled
def _products(N, R, x, c):
    """Return what loadings multiply each piece of a class by."""
    first, stop = N[N[CLASS_PIECES] + c], N[N[CLASS_PIECES] + c + 1]
    products = np.ones(stop - first)
    for piece in range(first, stop):
        for at in range(N[N[PIECE_LOADINGS] + piece], N[N[PIECE_LOADINGS] + piece + 1]):
            products[piece - first] *= loading(N, R, x, N[N[LOADING_LIST] + at])
    return products


@compiled
def _layout(N, c):
    """Return of a class its first piece, how many there are, how many places, and where weights of both begin."""
    first = N[N[CLASS_PIECES] + c]
    count = N[N[CLASS_PIECES] + c + 1] - first
    return first, count, N[N[CLASS_SIZE] + c], N[N[CLASS_WEIGHT] + c], N[N[PIECE_WEIGHT] + c]


@compiled
def fill_pieces(N, R, x, weights):
    """Write the weight of every pair of pieces, from those of their places."""
    for c in range(N[CLASSES]):
        first, count, size, base, to = _layout(N, c)
        products = _products(N, R, x, c)
        for a in range(count):
            i = N[N[PIECE_PLACE] + first + a]
            for b in range(count):
                weight = weights[base + i * size + N[N[PIECE_PLACE] + first + b]]
                weights[to + a * count + b] = weight * products[a] * products[b]


@compiled
def pull_pieces(N, R, x, weights, weight_bar, gradient):
    """Pass the adjoints of pairs of pieces to the weights of their places and to the loadings."""
    for c in range(N[CLASSES]):
        first, count, size, base, to = _layout(N, c)
        products = _products(N, R, x, c)
        bar = np.zeros(count)
        for a in range(count):
            i = N[N[PIECE_PLACE] + first + a]
            for b in range(count):
                place = base + i * size + N[N[PIECE_PLACE] + first + b]
                slope = weight_bar[to + a * count + b]
                weight_bar[place] += slope * products[a] * products[b]
                bar[a] += slope * weights[place] * products[b]
                bar[b] += slope * weights[place] * products[a]
        for a in range(count):
            start, stop = N[N[PIECE_LOADINGS] + first + a], N[N[PIECE_LOADINGS] + first + a + 1]
            for at in range(start, stop):
                slope = bar[a]
                for other in range(start, stop):
                    if other != at:
                        slope *= loading(N, R, x, N[N[LOADING_LIST] + other])
                number = N[N[LOADING_LIST] + at]
                gradient[N[N[LOADING_PLACE]] + number] += slope * R[N[LOADING_PRIOR] + 2 * number + 1]
