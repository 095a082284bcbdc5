"""Compiled exact draws of coefficients and effects given variances, from the last block inward."""

from __future__ import annotations

import numpy as np

from bayes_alliance.collapse.kernel.compiled import compiled
from bayes_alliance.collapse.kernel.crossed import scale_effects, solve_backward
from bayes_alliance.collapse.kernel.elimination import half_covariance
from bayes_alliance.collapse.kernel.forward import last_places, weigh_node
from bayes_alliance.collapse.kernel.parts import (
    COEFS,
    COLUMN_LIST,
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

# numba has no types for mypy; shapes are in the docstrings
# mypy: disable-error-code="no-untyped-def,untyped-decorator"


@compiled
def draw_effects(N, units, tables, lam, weights, work, last_block, depth, normals, out, crossed):
    """Write one joint draw of the effects to ``out``, given standard normals in the same order.

    First come the effects of the last block (coefficients, then crossed factors), then those of ``depth`` levels of the
    chain, outermost first, unit by unit. ``work`` is as ``forward`` left it, and ``last_block`` is the last block with
    its prior means, posterior mean and factor; ``units`` and ``tables`` are the statistics with every unit of the
    innermost factor by itself.
    """
    last, shifts, mean, factor = last_block
    at = _draw_last(N, lam, last, shifts, mean, factor, normals, out, crossed)
    levels = N[LEVELS]
    starts = np.zeros(levels + 1, dtype=np.int64)
    for level in range(levels - 1, levels - 1 - depth, -1):
        starts[level] = at
        f = N[N[LEVEL_FACTOR] + level]
        q, chain = N[N[FACTOR_SIZE] + f], N[N[LEVEL_WIDTH] + level]
        table = np.empty(q * (chain + last.shape[0]))
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
def _draw_last(N, lam, last, shifts, mean, factor, normals, out, crossed):
    """Draw coefficients and crossed effects; return how many there are."""
    coefs, outcomes = N[COEFS], N[OUTCOMES]
    places = last_places(N)
    n = len(places)
    if crossed is not None:
        apart = scale_effects(N, lam, solve_backward(factor, normals[:n]))
        for i in range(n):
            out[i] = mean[i] + apart[i]
        return n
    own, right, half = np.empty(n * n), np.zeros(n), np.empty(n * n)
    for a in range(n):
        for b in range(n):
            own[a * n + b] = last[places[a], places[b]]
        for i in range(outcomes):
            right[a] += last[places[a], coefs + i]
    for a in range(coefs):
        right[a] += shifts[a]
    if n > 0:
        half_covariance(own, 0, n, n, np.eye(n).reshape(-1), 0, half, 0, np.empty(3 * n * n))
    for i in range(n):
        out[i] = 0.0
    for j in range(n):
        inner = normals[j]
        for k in range(n):
            inner += half[k * n + j] * right[k]
        for i in range(n):
            out[i] += half[i * n + j] * inner
    return n
