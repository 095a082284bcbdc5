"""Compiled exact draws given variances: of coefficients, and of effects given these, from the last block inward."""

from __future__ import annotations

import numpy as np

from bayes_alliance.collapse.kernel.compiled import compiled
from bayes_alliance.collapse.kernel.crossed import scale_effects
from bayes_alliance.collapse.kernel.elimination import half_covariance
from bayes_alliance.collapse.kernel.forward import weigh_node
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
    """Write one draw to ``out``, from standard normals in the same order.

    A depth of 0 draws coefficients, and ``out`` and ``normals`` end with them. A larger one draws effects given
    coefficients, which ``normals`` begins with: those of crossed factors, then those of ``depth`` levels of the chain,
    outermost first, unit by unit. ``work`` is as ``forward`` left it, and ``last_block`` is the last block with its
    prior means, posterior mean and factor; ``units`` and ``tables`` are the statistics with every unit of the innermost
    factor by itself.
    """
    last, shifts, mean, factor = last_block
    if crossed is not None:
        at = _draw_crossed(N, lam, mean, factor, depth, normals, out)
    elif depth == 0:
        at = _draw_coefs(N, last, shifts, normals, out)
    else:
        at = N[COEFS]
        for i in range(at):
            out[i] = normals[i]
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
def _draw_crossed(N, lam, mean, factor, depth, normals, out):
    """Draw coefficients, or effects of crossed factors given them; return how many numbers of ``out`` are written.

    The factor is that of the last block turned round: coefficients come last in it, and their draw takes no effect.
    """
    n, coefs = len(mean), N[COEFS]
    apart = np.zeros(n)
    for i in range(coefs):  # in SDs of their priors, which no scale of effects multiplies
        apart[n - 1 - i] = normals[i] if depth == 0 else normals[i] - mean[i]
    for i in range(coefs, n if depth > 0 else coefs):
        apart[n - 1 - i] = normals[i]
    least = n - coefs if depth == 0 else 0
    for k in range(n - 1, least - 1, -1):
        stop = k
        if depth > 0 and k >= n - coefs:
            stop = n - coefs  # given ones change nothing but effects
        else:
            apart[k] /= factor[k, k]
        for j in range(least, stop):
            apart[j] -= factor[k, j] * apart[k]
    if depth == 0:
        for i in range(coefs):
            out[i] = mean[i] + apart[n - 1 - i]
        return coefs
    effects = scale_effects(N, lam, apart[::-1].copy())
    for i in range(n):
        out[i] = mean[i] + effects[i]
    return n


@compiled
def _draw_coefs(N, last, shifts, normals, out):
    """Draw coefficients where no factor crosses; return how many there are."""
    n, outcomes = N[COEFS], N[OUTCOMES]
    if n == 0:
        return n
    own, right, half = np.empty(n * n), shifts.copy(), np.empty(n * n)
    for a in range(n):
        for b in range(n):
            own[a * n + b] = last[a, b]
        for i in range(outcomes):
            right[a] += last[a, n + i]
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
