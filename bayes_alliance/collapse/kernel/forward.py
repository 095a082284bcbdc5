"""Compiled elimination from the innermost units outward: what is left is the last block."""

from __future__ import annotations

import numpy as np

from bayes_alliance.collapse.kernel.compiled import compiled
from bayes_alliance.collapse.kernel.crossed import eliminate_crossed
from bayes_alliance.collapse.kernel.elimination import (
    eliminate_own,
    factor_symmetric,
    solve_backward,
    solve_forward,
    take_products,
    times_covariance,
)
from bayes_alliance.collapse.kernel.parts import (
    CELL_AT,
    CELL_PATTERN,
    CELL_SUMS,
    COEFS,
    COLUMN_EQUATION,
    COLUMN_LIST,
    CROSSED_COLUMNS,
    FACTOR_LAMBDA,
    FACTOR_SIZE,
    FACTORS,
    KIND_WEIGHT,
    LAYER_AT,
    LAYER_KIND,
    LAYER_TABLES,
    LEVEL_FACTOR,
    LEVEL_FIRST,
    LEVEL_WIDTH,
    LEVELS,
    NODE_ABOVE,
    NODE_AT,
    NODE_COLUMNS,
    NODE_LAST,
    NODE_LAYERS,
    NODE_LEVEL,
    NODE_STRATUM,
    OUTCOMES,
    PATTERN_COUNT,
    PATTERN_OWN,
    PATTERN_STRATUM,
    PATTERN_WEIGHT,
    PATTERNS,
    ROOT_KIND,
    ROOT_LAYERS,
    ROOT_TABLES,
    TARGET_CELLS,
    TARGET_NODE,
    TARGETS,
)

# numba has no types for mypy; shapes are in the docstrings
# mypy: disable-error-code="no-untyped-def,untyped-decorator"

STACK = 128
"""Rows of units whose products are taken from the last block at once, by the linear algebra library."""

WIDE = 12
"""Columns of the last block from which stacking pays."""


@compiled
def forward(N, R, lam, weights, work, last, inner):
    """Eliminate every unit; return the sum of log determinants and of weighted squares of outcomes.

    What is left is in ``last``.
    ``work`` must be 0; it then holds each node's table, K and U. ``inner`` holds K and U of the patterns, of as many
    numbers each as the widest factor takes.
    """
    _weigh_last(N, R, weights, last)
    square = 0.0
    for i in range(N[COEFS], N[COEFS] + N[OUTCOMES]):
        square += last[i, i]
    levels, first_width = N[LEVELS], N[N[LEVEL_WIDTH]] if N[LEVELS] > 0 else 0
    most = most_effects(N)
    scratch = np.empty(3 * most * most)
    product = np.empty(most * (first_width + last.shape[0]))
    flat, size = last.reshape(-1), last.shape[0]
    rows = max(STACK, most) if size >= WIDE else 0
    left, right, filled = np.empty((rows, size)), np.empty((rows, size)), 0
    total = _eliminate_patterns(N, R, lam, weights, work, flat, size, inner, scratch)
    for level in range(levels):
        f = N[N[LEVEL_FACTOR] + level]
        q, chain = N[N[FACTOR_SIZE] + f], N[N[LEVEL_WIDTH] + level]
        offset = N[N[LEVEL_WIDTH]] - chain
        for node in range(N[N[LEVEL_FIRST] + level], N[N[LEVEL_FIRST] + level + 1]):
            at, wide = N[N[NODE_AT] + node], chain + N[N[NODE_LAST] + node]
            weigh_node(N, R, weights, work, node, at, q, wide, chain, offset)
            own = at + q * wide
            lam_at = N[N[FACTOR_LAMBDA] + f] + N[N[NODE_STRATUM] + node] * q * q
            total += eliminate_own(work, at, wide, q, lam, lam_at, work, own, scratch)
            times_covariance(work, at, wide, q, q, work, own, product)
            columns_at = N[COLUMN_LIST] + N[N[NODE_COLUMNS] + node]
            first = q
            for outer in range(level + 1, levels):
                target = N[N[NODE_ABOVE] + node * levels + outer]
                effects = N[N[FACTOR_SIZE] + N[N[LEVEL_FACTOR] + outer]]
                if target >= 0:
                    target_wide = N[N[LEVEL_WIDTH] + outer] + N[N[NODE_LAST] + target]
                    to = N[N[NODE_AT] + target]
                    taken = (first, effects, chain)
                    take_products(work, at, wide, q, product, *taken, work, to, target_wide, N, columns_at)
                first += effects
            if is_stacked(N, node, size):
                if filled + q > left.shape[0]:
                    _take_stacked(left, right, filled, flat)
                    filled = 0
                for k in range(q):
                    for c in range(size):
                        left[filled + k, c] = work[at + k * wide + chain + c]
                        right[filled + k, c] = product[k * wide + chain + c]
                filled += q
                continue
            for a in range(N[N[NODE_LAST] + node]):
                line = N[columns_at + a] * size
                for k in range(q):
                    weight = work[at + k * wide + chain + a]
                    if weight != 0.0:
                        for c in range(N[N[NODE_LAST] + node]):
                            flat[line + N[columns_at + c]] -= weight * product[k * wide + chain + c]
    if filled > 0:
        _take_stacked(left, right, filled, flat)
    return total, square


@compiled
def is_stacked(N, node, size):
    """Return whether a unit meets all columns of a wide last block: then they stand there in its own order."""
    return size >= WIDE and N[N[NODE_LAST] + node] == size


@compiled
def _take_stacked(left, right, filled, flat):
    """Take the products of stacked rows, left' right, from the last block."""
    rows, size = left.shape
    for k in range(filled, rows):
        for c in range(size):
            left[k, c] = 0.0
            right[k, c] = 0.0
    taken = np.dot(left.T, right).reshape(-1)
    for i in range(size * size):
        flat[i] -= taken[i]


@compiled
def _weigh_last(N, R, weights, last):
    size, outcomes = last.shape[0], N[OUTCOMES]
    first = N[N[LEVEL_WIDTH]] if N[LEVELS] > 0 else 0
    for layer in range(N[ROOT_LAYERS]):
        kind, start = N[N[ROOT_KIND] + layer] * outcomes * outcomes, layer * size * size
        for i in range(size):
            for j in range(size):
                place = N[
                    N[KIND_WEIGHT]
                    + kind
                    + N[N[COLUMN_EQUATION] + first + i] * outcomes
                    + N[N[COLUMN_EQUATION] + first + j]
                ]
                if place >= 0:
                    last[i, j] += weights[place] * R[N[ROOT_TABLES] + start + i * size + j]


@compiled
def weigh_node(N, R, weights, work, node, at, q, wide, chain, offset):
    """Add a node's weighted cross-products to its table."""
    outcomes = N[OUTCOMES]
    columns_at = N[COLUMN_LIST] + N[N[NODE_COLUMNS] + node]
    for layer in range(N[N[NODE_LAYERS] + node], N[N[NODE_LAYERS] + node + 1]):
        kind, source = N[N[LAYER_KIND] + layer] * outcomes * outcomes, N[LAYER_TABLES] + N[N[LAYER_AT] + layer]
        if outcomes == 1:
            weight = weights[N[N[KIND_WEIGHT] + kind]]
            for i in range(q * wide):
                work[at + i] += weight * R[source + i]
            continue
        for i in range(q):
            own = kind + N[N[COLUMN_EQUATION] + offset + i] * outcomes
            for j in range(wide):
                column = offset + j if j < chain else N[N[LEVEL_WIDTH]] + N[columns_at + j - chain]
                place = N[N[KIND_WEIGHT] + own + N[N[COLUMN_EQUATION] + column]]
                if place >= 0:
                    work[at + i * wide + j] += weights[place] * R[source + i * wide + j]


@compiled
def _eliminate_patterns(N, R, lam, weights, work, flat, size, inner, scratch):
    """Eliminate pooled units; take what they leave from outer units and the last block."""
    total = 0.0
    patterns = N[PATTERNS]
    if patterns == 0:
        return total
    f = N[N[LEVEL_FACTOR]]
    q = N[N[FACTOR_SIZE] + f]
    pairs = q * (q + 1) // 2
    covariance = np.empty((patterns, pairs))
    table = np.empty(q * q)
    for p in range(patterns):
        for i in range(q):
            weight = pattern_weight(N, weights, p * q + i)
            for j in range(q):
                table[i * q + j] = weight * R[N[PATTERN_OWN] + (p * q + i) * q + j]
        lam_at = N[N[FACTOR_LAMBDA] + f] + N[N[PATTERN_STRATUM] + p] * q * q
        own = p * (len(inner) // patterns)
        total += N[N[PATTERN_COUNT] + p] * eliminate_own(table, 0, q, q, lam, lam_at, inner, own, scratch)
        pair = 0
        for a in range(q):
            for b in range(a + 1):
                covariance[p, pair] = (
                    inner[own + a * q + b]
                    * pattern_weight(N, weights, p * q + a)
                    * pattern_weight(N, weights, p * q + b)
                )
                pair += 1
    for target in range(N[TARGETS]):
        node = N[N[TARGET_NODE] + target]
        at, length = target_place(N, node, size)
        into = work if node >= 0 else flat
        for cell in range(N[N[TARGET_CELLS] + target], N[N[TARGET_CELLS] + target + 1]):
            p, source = N[N[CELL_PATTERN] + cell], N[CELL_SUMS] + N[N[CELL_AT] + cell]
            if pairs == 3:
                one, two, three = covariance[p, 0], covariance[p, 1], covariance[p, 2]
                for i in range(length):
                    rest = one * R[source + i] + two * R[source + length + i] + three * R[source + 2 * length + i]
                    into[at + i] -= rest
                continue
            for pair in range(pairs):
                weight = covariance[p, pair]
                for i in range(length):
                    into[at + i] -= weight * R[source + pair * length + i]
    return total


@compiled
def pattern_weight(N, weights, place):
    """Return the weight of one effect of a pattern, 0 where its units have no row of the effect's outcome."""
    return weights[N[N[PATTERN_WEIGHT] + place]] if N[N[PATTERN_WEIGHT] + place] >= 0 else 0.0


@compiled
def target_place(N, node, size):
    """Return where a target's table starts and how long it is."""
    if node < 0:
        return 0, size * size
    level = N[N[NODE_LEVEL] + node]
    q = N[N[FACTOR_SIZE] + N[N[LEVEL_FACTOR] + level]]
    return N[N[NODE_AT] + node], q * (N[N[LEVEL_WIDTH] + level] + N[N[NODE_LAST] + node])


@compiled
def most_effects(N):
    """Return the largest number of effects of a factor."""
    most = 1
    for f in range(N[FACTORS]):
        most = max(most, N[N[FACTOR_SIZE] + f])
    return most


@compiled
def last_places(N):
    """Return the columns of the last block that are effects: coefficients, then crossed effects."""
    coefs, outcomes, crossed = N[COEFS], N[OUTCOMES], N[CROSSED_COLUMNS]
    places = np.empty(coefs + crossed, dtype=np.int64)
    for i in range(coefs):
        places[i] = i
    for i in range(crossed):
        places[coefs + i] = coefs + outcomes + i
    return places


@compiled
def solve_last(N, lam, last, shifts, mean, factor, crossed):
    """Eliminate the last block: write its effects' mean and a factor; return the quadratic form and log |B|.

    ``shifts``, shape (coef,), are prior means of coefficients, in SDs of their priors. ``crossed`` is None where no
    factor crosses, and the compiler then leaves what is for such factors out.
    """
    coefs, outcomes = N[COEFS], N[OUTCOMES]
    places = last_places(N)
    n = len(places)
    right = np.zeros(n)
    quadratic = 0.0
    for i in range(outcomes):
        for j in range(outcomes):
            quadratic += last[coefs + i, coefs + j]
        for a in range(n):
            right[a] += last[places[a], coefs + i]
    for a in range(coefs):
        right[a] += shifts[a]
        quadratic += shifts[a] ** 2
    if n == 0:
        return quadratic, 0.0
    own = np.empty((n, n))
    for a in range(n):
        for b in range(n):
            own[a, b] = last[places[a], places[b]]
    if crossed is None:
        # coefficients are counted in SDs of their priors, so that the prior adds 1 to each
        for a in range(n):
            own[a, a] += 1.0
        log_det = factor_symmetric(own, factor)
        mean[:] = solve_backward(factor, solve_forward(factor, right))
    else:
        eliminate_crossed(N, lam, own, right, mean, factor)
        log_det = 0.0
        for a in range(n):
            log_det += 2 * np.log(factor[a, a])
    for a in range(n):
        quadratic -= right[a] * mean[a]
    return quadratic, log_det
