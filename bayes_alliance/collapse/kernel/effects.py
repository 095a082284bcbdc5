"""Compiled exact draws given variances: of coefficients, and of effects given these, from the last block inward."""

from __future__ import annotations

import numpy as np

from bayes_alliance.collapse.kernel.compiled import compiled
from bayes_alliance.collapse.kernel.crossed import scale_effects
from bayes_alliance.collapse.kernel.elimination import half_covariance, solve_backward
from bayes_alliance.collapse.kernel.forward import weigh_node
from bayes_alliance.collapse.kernel.parts import (
    COEFS,
    COLUMN_LIST,
    CROSSED_COLUMNS,
    FACTOR_LAMBDA,
    FACTOR_SIZE,
    LEVEL_FACTOR,
    LEVEL_FIRST,
    LEVEL_WIDTH,
    LEVELS,
    NODE_ABOVE,
    NODE_AT,
    NODE_COLUMNS,
    NODE_LAST,
    NODE_STRATUM,
    OUTCOMES,
    PATTERNS,
)
from bayes_alliance.collapse.kernel.shrinkage import mix_coefs, standardise_coefs

# numba has no types for mypy; shapes are in the docstrings
# mypy: disable-error-code="no-untyped-def,untyped-decorator"


@compiled
def draw_coefs(N, R, mean, factor, scales, normals, out, crossed):
    """Write one draw of coefficients to ``out``, from standard normals.

    ``mean`` and ``factor`` are those of the last block's posterior, ``scales`` SDs of standardised coefficients.
    """
    if crossed is not None:
        _draw_crossed_coefs(N, mean, factor, normals, out)
    else:
        apart = solve_backward(factor, normals)
        for i in range(N[COEFS]):
            out[i] = mean[i] + apart[i]
    mix_coefs(N, R, scales, out, True)


@compiled
def draw_effects(N, R, units, tables, lam, weights, work, mean, factor, scales, normals, out, crossed):
    """Write one draw of effects to ``out`` from standard normals in the same order; both begin with the coefficients.

    Effects of crossed factors come first, then those of the levels of the chain, outermost first, unit by unit.
    ``work`` is as ``forward`` left it; ``mean``, ``factor`` and ``scales`` are as of ``draw_coefs``; ``units`` and
    ``tables`` are the statistics with every unit of the innermost factor by itself.
    """
    at = N[COEFS]
    if crossed is not None:
        given = normals.copy()
        standardise_coefs(N, R, scales, given)
        at = _draw_crossed_effects(N, lam, mean, factor, given, out)
    for i in range(N[COEFS]):
        out[i] = normals[i]
    levels = N[LEVELS]
    starts = np.zeros(levels + 1, dtype=np.int64)
    for level in range(levels - 1, -1, -1):
        starts[level] = at
        f = N[N[LEVEL_FACTOR] + level]
        q, chain = N[N[FACTOR_SIZE] + f], N[N[LEVEL_WIDTH] + level]
        table = np.empty(q * (chain + N[OUTCOMES] + N[COEFS] + N[CROSSED_COLUMNS]))
        for node in range(units[units[LEVEL_FIRST] + level], units[units[LEVEL_FIRST] + level + 1]):
            wide = chain + units[units[NODE_LAST] + node]
            if level == 0 and N[PATTERNS] > 0:  # pooled units have no table of their own
                for i in range(q * wide):
                    table[i] = 0.0
                offset = N[N[LEVEL_WIDTH]] - chain
                weigh_node(units, tables, weights, table, node, 0, q, wide, chain, offset)
                place = 0
                source = table
            else:
                same = node - units[units[LEVEL_FIRST] + level] + N[N[LEVEL_FIRST] + level]
                place = N[N[NODE_AT] + same]
                source = work
            lam_at = N[N[FACTOR_LAMBDA] + f] + units[units[NODE_STRATUM] + node] * q * q
            _draw_unit(N, units, level, node, source, place, q, wide, chain, lam, lam_at, starts, normals, at, out)
            at += q
    return at


@compiled
def _draw_unit(N, units, level, node, source, place, q, wide, chain, lam, lam_at, starts, normals, at, out):
    """Draw one unit's effects given those further out: K times what they leave, plus a root of K times normals."""
    coefs, outcomes = N[COEFS], N[OUTCOMES]
    columns_at = units[COLUMN_LIST] + units[units[NODE_COLUMNS] + node]
    rest = np.zeros(q)
    for k in range(q):
        line = place + k * wide
        for c in range(wide - chain):
            column = units[columns_at + c]
            if column < coefs:
                rest[k] -= source[line + chain + c] * out[column]
            elif column < coefs + outcomes:
                rest[k] += source[line + chain + c]
            else:
                rest[k] -= source[line + chain + c] * out[column - outcomes]
        first = q
        for outer in range(level + 1, N[LEVELS]):
            target = units[units[NODE_ABOVE] + node * N[LEVELS] + outer]
            rows = N[N[FACTOR_SIZE] + N[N[LEVEL_FACTOR] + outer]]
            if target >= 0:
                theirs = starts[outer] + (target - units[units[LEVEL_FIRST] + outer]) * rows
                for a in range(rows):
                    rest[k] -= source[line + first + a] * out[theirs + a]
            first += rows
    half, scratch = np.empty(q * q), np.empty(3 * q * q)
    half_covariance(source, place, wide, q, lam, lam_at, half, 0, scratch)
    for i in range(q):
        out[at + i] = 0.0
        for j in range(q):
            inner = normals[at + j]
            for k in range(q):
                inner += half[k * q + j] * rest[k]
            out[at + i] += half[i * q + j] * inner


@compiled
def _draw_crossed_coefs(N, mean, factor, normals, out):
    """Draw coefficients beside effects of crossed factors, without these.

    The factor is that of the last block turned round: coefficients come last in it, and their draw takes no effect.
    """
    n, coefs = len(mean), N[COEFS]
    apart = np.zeros(n)
    for i in range(coefs):  # in SDs of their priors, which no scale of effects multiplies
        apart[n - 1 - i] = normals[i]
    for k in range(n - 1, n - coefs - 1, -1):
        apart[k] /= factor[k, k]
        for j in range(n - coefs, k):
            apart[j] -= factor[k, j] * apart[k]
    for i in range(coefs):
        out[i] = mean[i] + apart[n - 1 - i]


@compiled
def _draw_crossed_effects(N, lam, mean, factor, given, out):
    """Draw effects of crossed factors given standardised coefficients; return how many numbers of ``out`` are written.

    ``given`` begins with the coefficients; standard normals follow.
    """
    n, coefs = len(mean), N[COEFS]
    apart = np.zeros(n)
    for i in range(n):
        apart[n - 1 - i] = given[i] - mean[i] if i < coefs else given[i]
    for k in range(n - 1, -1, -1):
        stop = min(k, n - coefs)  # given ones change nothing but effects
        if k < n - coefs:
            apart[k] /= factor[k, k]
        for j in range(stop):
            apart[j] -= factor[k, j] * apart[k]
    effects = scale_effects(N, lam, apart[::-1].copy())
    for i in range(n):
        out[i] = mean[i] + effects[i]
    return n
