"""Compiled steps for effects of crossed factors, which stay in the last block and are eliminated densely."""

from __future__ import annotations

import numpy as np

from bayes_alliance.collapse.kernel.compiled import compiled
from bayes_alliance.collapse.kernel.parts import (
    COEFS,
    CROSSED_COLUMNS,
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
def crossed_scale(N, lam):
    """Return the block-diagonal scale of the last block: 1 for coefficients, Lam for each level of crossed factors."""
    coefs, crossed = N[COEFS], N[CROSSED_COLUMNS]
    scale = np.zeros((coefs + crossed, coefs + crossed))
    for i in range(coefs):
        scale[i, i] = 1.0
    for at, lam_at, q in crossed_places(N):
        for i in range(q):
            for j in range(q):
                scale[at + i, at + j] = lam[lam_at + i * q + j]
    return scale


@compiled
def eliminate_crossed(N, lam, own):
    """Return the posterior covariance of the last block's effects, and log |B|."""
    n = len(own)
    scale = crossed_scale(N, lam)
    system = scale.T @ own @ scale
    for a in range(n):
        system[a, a] += 1.0
    factor = np.linalg.cholesky(system)
    root = np.linalg.solve(factor, scale.T)
    log_det = 0.0
    for a in range(n):
        log_det += 2 * np.log(factor[a, a])
    return root.T @ root, log_det


@compiled
def pull_crossed(N, lam, last, shifts, mean, places, lam_bar):
    """Add the adjoints of crossed factors' scales: the diagonal blocks of (right - P mean) right' U - P U."""
    coefs, outcomes = N[COEFS], N[OUTCOMES]
    n = len(places)
    scale = crossed_scale(N, lam)
    own = np.empty((n, n))
    right = np.zeros(n)
    for a in range(n):
        for b in range(n):
            own[a, b] = last[places[a], places[b]]
        for i in range(outcomes):
            right[a] += last[places[a], coefs + i]
    for a in range(coefs):
        right[a] += shifts[a]
    system = scale.T @ own @ scale
    for a in range(n):
        system[a, a] += 1.0
    outer = np.linalg.solve(system, scale.T).T.copy()  # U = Lam B^-1
    slope = -(own @ outer)
    rest = right - own @ mean
    pulled = outer.T @ right
    for at, lam_at, q in crossed_places(N):
        for i in range(q):
            for j in range(q):
                lam_bar[lam_at + i * q + j] += slope[at + i, at + j] + rest[at + i] * pulled[at + j]
