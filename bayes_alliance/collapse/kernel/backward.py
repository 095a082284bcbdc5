"""Compiled adjoints of the elimination, from the last block inward."""

from __future__ import annotations

import numpy as np

from bayes_alliance.collapse.kernel.compiled import compiled
from bayes_alliance.collapse.kernel.crossed import crossed_covariance, pull_crossed
from bayes_alliance.collapse.kernel.elimination import (
    add_adjoint,
    invert_factor,
    own_adjoint,
)
from bayes_alliance.collapse.kernel.forward import (
    STACK,
    WIDE,
    is_stacked,
    last_places,
    most_effects,
    pattern_weight,
    target_place,
)
from bayes_alliance.collapse.kernel.parts import (
    CELL_AT,
    CELL_PATTERN,
    CELL_SUMS,
    COEFS,
    COLUMN_EQUATION,
    COLUMN_LIST,
    FACTOR_LAMBDA,
    FACTOR_SIZE,
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


@compiled
def last_adjoint(N, lam, last, shifts, factor, mean, lam_bar, crossed):
    """Return the adjoint of the last block, symmetric: minus half the posterior's second moments of (effects, -1)."""
    coefs, outcomes = N[COEFS], N[OUTCOMES]
    places = last_places(N)
    n = len(places)
    if crossed is not None:
        covariance = crossed_covariance(N, lam, factor)
        pull_crossed(N, lam, last, shifts, factor, mean, places, lam_bar)
    else:
        root = invert_factor(factor)
        covariance = np.dot(root.T, root)
    bar = np.zeros_like(last)
    for a in range(n):
        for b in range(n):
            bar[places[a], places[b]] = -0.5 * (covariance[a, b] + mean[a] * mean[b])
        for i in range(outcomes):
            bar[places[a], coefs + i] = 0.5 * mean[a]
            bar[coefs + i, places[a]] = 0.5 * mean[a]
    for i in range(outcomes):
        for j in range(outcomes):
            bar[coefs + i, coefs + j] = -0.5
    return bar


@compiled
def backward(N, R, lam, weights, work, bar, inner, lam_bar, weight_bar):
    """Pass adjoints from the last block inward; node tables in ``work`` are replaced by their adjoints."""
    levels, most = N[LEVELS], most_effects(N)
    size = bar.shape[0]
    first_width = N[N[LEVEL_WIDTH]] if levels > 0 else 0
    scratch = np.empty(3 * most * most)
    outer = np.empty(most * most)
    below = np.empty(most * (first_width + size))
    flat = bar.reshape(-1)
    rows = max(STACK, most) if size >= WIDE else 0
    stack = np.empty((rows, size))
    for level in range(levels - 1, -1, -1):
        f = N[N[LEVEL_FACTOR] + level]
        q, chain = N[N[FACTOR_SIZE] + f], N[N[LEVEL_WIDTH] + level]
        offset = N[N[LEVEL_WIDTH]] - chain
        stacked, row, stop = stack, rows, N[N[LEVEL_FIRST] + level + 1]
        for node in range(N[N[LEVEL_FIRST] + level], stop):
            at, wide = N[N[NODE_AT] + node], chain + N[N[NODE_LAST] + node]
            own = at + q * wide
            if is_stacked(N, node, size):
                if row + q > rows:
                    _stack(N, work, stack, node, stop, q, chain)
                    stacked, row = np.dot(stack, bar), 0
                node_adjoint(N, R, work, bar, flat, node, level, below, stacked, row)
                row += q
            else:
                node_adjoint(N, R, work, bar, flat, node, level, below, stacked, -1)
            for i in range(q):
                for j in range(q):
                    total = 0.0
                    for c in range(q, wide):
                        total -= below[i * wide + c] * work[at + j * wide + c]
                    outer[i * q + j] = total
            lam_at = N[N[FACTOR_LAMBDA] + f] + N[N[NODE_STRATUM] + node] * q * q
            own_adjoint(work, at, wide, q, work, own, 1.0, outer, lam_bar, lam_at, scratch)
            for i in range(q):
                for c in range(q, wide):
                    total = 0.0
                    for k in range(q):
                        total -= 2.0 * work[own + i * q + k] * below[k * wide + c]
                    work[at + i * wide + c] = total
            _pull_node(N, R, work, weight_bar, node, at, q, wide, chain, offset)
    _pull_patterns(N, R, lam, weights, work, flat, size, inner, lam_bar, weight_bar, scratch, outer)
    first = N[N[LEVEL_WIDTH]] if N[LEVELS] > 0 else 0
    outcomes = N[OUTCOMES]
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
                    weight_bar[place] += bar[i, j] * R[N[ROOT_TABLES] + start + i * size + j]


@compiled
def _stack(N, work, stack, node, stop, q, chain):
    """Stack the last columns of a unit and of those after it, as many as there is room for."""
    rows, size = stack.shape
    row = 0
    while node < stop and row + q <= rows:
        if is_stacked(N, node, size):
            at = N[N[NODE_AT] + node] + chain
            for k in range(q):
                for c in range(size):
                    stack[row + k, c] = work[at + k * (chain + size) + c]
            row += q
        node += 1
    for k in range(row, rows):
        for c in range(size):
            stack[k, c] = 0.0


@compiled
def node_adjoint(N, R, work, bar, flat, node, level, below, stacked, row):
    """Write N A to ``below``: a node's outer columns times the adjoint of what they push outward.

    For the last columns these are rows of ``stacked`` from ``row`` on, if this is not negative.
    """
    levels, size = N[LEVELS], bar.shape[0]
    q, chain = N[N[FACTOR_SIZE] + N[N[LEVEL_FACTOR] + level]], N[N[LEVEL_WIDTH] + level]
    at, last = N[N[NODE_AT] + node], N[N[NODE_LAST] + node]
    wide, columns_at = chain + last, N[COLUMN_LIST] + N[N[NODE_COLUMNS] + node]
    for i in range(q * wide):
        below[i] = 0.0
    for k in range(q):
        if row >= 0:
            for c in range(last):
                below[k * wide + chain + c] = stacked[row + k, c]
            continue
        for a in range(last):
            weight = work[at + k * wide + chain + a]
            if weight != 0.0:
                line = N[columns_at + a] * size
                for c in range(last):
                    below[k * wide + chain + c] += weight * flat[line + N[columns_at + c]]
    first = q
    for outer in range(level + 1, levels):
        target = N[N[NODE_ABOVE] + node * levels + outer]
        rows = N[N[FACTOR_SIZE] + N[N[LEVEL_FACTOR] + outer]]
        if target >= 0:
            target_wide = N[N[LEVEL_WIDTH] + outer] + N[N[NODE_LAST] + target]
            to = N[N[NODE_AT] + target]
            add_adjoint(work, at, wide, q, first, rows, chain, work, to, target_wide, N, columns_at, below)
        first += rows


@compiled
def _pull_node(N, R, work, weight_bar, node, at, q, wide, chain, offset):
    outcomes = N[OUTCOMES]
    columns_at = N[COLUMN_LIST] + N[N[NODE_COLUMNS] + node]
    for layer in range(N[N[NODE_LAYERS] + node], N[N[NODE_LAYERS] + node + 1]):
        kind, source = N[N[LAYER_KIND] + layer] * outcomes * outcomes, N[LAYER_TABLES] + N[N[LAYER_AT] + layer]
        if outcomes == 1:
            total = 0.0
            for i in range(q * wide):
                total += work[at + i] * R[source + i]
            weight_bar[N[N[KIND_WEIGHT] + kind]] += total
            continue
        for i in range(q):
            own = kind + N[N[COLUMN_EQUATION] + offset + i] * outcomes
            for j in range(wide):
                column = offset + j if j < chain else N[N[LEVEL_WIDTH]] + N[columns_at + j - chain]
                place = N[N[KIND_WEIGHT] + own + N[N[COLUMN_EQUATION] + column]]
                if place >= 0:
                    weight_bar[place] += work[at + i * wide + j] * R[source + i * wide + j]


@compiled
def _pull_patterns(N, R, lam, weights, work, flat, size, inner, lam_bar, weight_bar, scratch, outer):
    """Pass adjoints to pooled units: from their cells to their covariance, then to scales and weights."""
    patterns = N[PATTERNS]
    if patterns == 0:
        return
    f = N[N[LEVEL_FACTOR]]
    q = N[N[FACTOR_SIZE] + f]
    pairs = q * (q + 1) // 2
    slopes = np.zeros((patterns, pairs))
    for target in range(N[TARGETS]):
        node = N[N[TARGET_NODE] + target]
        at, length = target_place(N, node, size)
        for cell in range(N[N[TARGET_CELLS] + target], N[N[TARGET_CELLS] + target + 1]):
            p, source = N[N[CELL_PATTERN] + cell], N[N[CELL_AT] + cell]
            for pair in range(pairs):
                total = 0.0
                if node >= 0:
                    for i in range(length):
                        total += work[at + i] * R[N[CELL_SUMS] + source + pair * length + i]
                else:
                    for i in range(length):
                        total += flat[i] * R[N[CELL_SUMS] + source + pair * length + i]
                slopes[p, pair] -= total
    table = np.empty(q * q)
    for p in range(patterns):
        own, pair = p * (len(inner) // patterns), 0
        for a in range(q):
            for b in range(a + 1):
                slope = slopes[p, pair] * (1.0 if a == b else 0.5)
                outer[a * q + b] = slope
                outer[b * q + a] = slope
                pair += 1
        for a in range(q):
            weight, total = pattern_weight(N, weights, p * q + a), 0.0
            for b in range(q):
                other = pattern_weight(N, weights, p * q + b)
                total += 2.0 * inner[own + a * q + b] * other * outer[a * q + b]
                table[a * q + b] = weight * R[N[PATTERN_OWN] + (p * q + a) * q + b]
            if N[N[PATTERN_WEIGHT] + p * q + a] >= 0:
                weight_bar[N[N[PATTERN_WEIGHT] + p * q + a]] += total
        for a in range(q):
            for b in range(q):
                outer[a * q + b] *= pattern_weight(N, weights, p * q + a) * pattern_weight(N, weights, p * q + b)
        lam_at = N[N[FACTOR_LAMBDA] + f] + N[N[PATTERN_STRATUM] + p] * q * q
        own_adjoint(table, 0, q, q, inner, own, float(N[N[PATTERN_COUNT] + p]), outer, lam_bar, lam_at, scratch)
        for a in range(q):
            if N[N[PATTERN_WEIGHT] + p * q + a] >= 0:
                for b in range(q):
                    weight_bar[N[N[PATTERN_WEIGHT] + p * q + a]] += (
                        table[a * q + b] * R[N[PATTERN_OWN] + (p * q + a) * q + b]
                    )
