"""Compiled steps for effects of crossed factors, which stay in the last block and are eliminated densely."""

from __future__ import annotations

import numpy as np

from bayes_alliance.collapse.kernel.compiled import compiled
from bayes_alliance.collapse.kernel.elimination import solve_backward, solve_forward
from bayes_alliance.collapse.kernel.parts import (
    COEFS,
    CROSSED_FACTOR,
    CROSSED_FACTORS,
    CROSSED_LEVELS,
    CROSSED_START,
    CROSSED_STRATUM,
    FACTOR_LAMBDA,
    FACTOR_SIZE,
    OUTCOMES,
)

# numba has no types for mypy; shapes are in the docstrings
# mypy: disable-error-code="no-untyped-def,untyped-decorator"


@compiled
def crossed_places(N):
    """Return per level of the crossed factors its first effect in the last block, where its Lam is, and how wide."""
    levels = 0
    for c in range(N[CROSSED_FACTORS]):
        levels += N[N[CROSSED_LEVELS] + c]
    places = np.empty((levels, 3), dtype=np.int64)
    row = 0
    for c in range(N[CROSSED_FACTORS]):
        f = N[N[CROSSED_FACTOR] + c]
        q = N[N[FACTOR_SIZE] + f]
        for level in range(N[N[CROSSED_LEVELS] + c]):
            places[row, 0] = N[COEFS] + N[N[CROSSED_START] + c] + level * q
            places[row, 1] = N[N[FACTOR_LAMBDA] + f] + N[N[CROSSED_STRATUM] + row] * q * q
            places[row, 2] = q
            row += 1
    return places


@compiled
def scale_columns(N, lam, matrix):
    """Return a matrix with its last columns in units of independent effects: times Lam, level by level."""
    scaled = matrix.copy()
    for at, lam_at, q in crossed_places(N):
        for a in range(len(matrix)):
            for j in range(q):
                total = 0.0
                for i in range(q):
                    total += matrix[a, at + i] * lam[lam_at + i * q + j]
                scaled[a, at + j] = total
    return scaled


@compiled
def scale_effects(N, lam, vector):
    """Return effects of the last block from independent ones: Lam times them, level by level."""
    return _scale_rows(N, lam, vector.reshape(len(vector), 1))[:, 0].copy()


@compiled
def factor_crossed(N, lam, own):
    """Return the Cholesky factor of the last block's system turned round, coefficients and levels in their own units.

    The scale is block-diagonal, so that only the factorisation takes the third power of the effects' number. Turned
    round coefficients come last: their own factor is a corner of it, and effects are drawn given them.
    """
    half = scale_columns(N, lam, own)
    system = scale_columns(N, lam, half.T.copy())
    for a in range(len(own)):
        system[a, a] += 1.0
    return np.linalg.cholesky(system[::-1, ::-1].copy())


@compiled
def eliminate_crossed(N, lam, own, right, mean, factor):
    """Write the last block's posterior mean, and the factor of its system turned round."""
    factor[:] = factor_crossed(N, lam, own)
    pulled = scale_columns(N, lam, right.reshape(1, len(right)))[0][::-1].copy()
    mean[:] = scale_effects(N, lam, solve_backward(factor, solve_forward(factor, pulled))[::-1].copy())


@compiled
def crossed_covariance(N, lam, factor):
    """Return the last block's posterior covariance."""
    half = _scale_rows(N, lam, _inverse(factor))
    return _scale_rows(N, lam, half.T.copy())


@compiled
def _inverse(factor):
    """Return the inverse of the last block's system, in its own order, by the factor of what is turned round."""
    root = np.linalg.inv(factor)
    return (root.T @ root)[::-1, ::-1].copy()


@compiled
def _scale_rows(N, lam, matrix):
    """Return a matrix with its last rows as effects: Lam times those of independent ones."""
    scaled = matrix.copy()
    for at, lam_at, q in crossed_places(N):
        for i in range(q):
            for c in range(matrix.shape[1]):
                total = 0.0
                for j in range(q):
                    total += lam[lam_at + i * q + j] * matrix[at + j, c]
                scaled[at + i, c] = total
    return scaled


@compiled
def pull_crossed(N, lam, last, shifts, factor, mean, places, lam_bar):
    """Add the adjoints of crossed factors' scales: the diagonal blocks of (right - P mean) right' U - P U."""
    coefs, outcomes = N[COEFS], N[OUTCOMES]
    n = len(places)
    own = np.empty((n, n))
    right = np.zeros(n)
    for a in range(n):
        for b in range(n):
            own[a, b] = last[places[a], places[b]]
        for i in range(outcomes):
            right[a] += last[places[a], coefs + i]
    for a in range(coefs):
        right[a] += shifts[a]
    outer = _scale_rows(N, lam, _inverse(factor))  # U = Lam B^-1
    rest = right - own @ mean
    pulled = outer.T @ right
    for at, lam_at, q in crossed_places(N):
        for i in range(q):
            for j in range(q):
                slope = 0.0
                for k in range(n):
                    slope -= own[at + i, k] * outer[k, at + j]
                lam_bar[lam_at + i * q + j] += slope + rest[at + i] * pulled[at + j]
