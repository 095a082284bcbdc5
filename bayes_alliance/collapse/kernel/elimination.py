"""Compiled steps of the elimination: small symmetric systems over flat arrays, without views in the inner loops."""

from __future__ import annotations

import numpy as np

from bayes_alliance.collapse.kernel.compiled import compiled

# numba has no types for mypy; shapes are in the docstrings
# mypy: disable-error-code="no-untyped-def,untyped-decorator"


@compiled
def eliminate_own(m, at, stride, q, lam, lam_at, inner, inner_at, scratch):
    """Eliminate q effects with covariance Lam Lam' and weighted cross-products P = m[at:]; return log |B|.

    B = I + Lam' P Lam. Writes K = Lam B^-1 Lam' (the posterior covariance of the effects) to ``inner[inner_at:]`` and
    U = Lam B^-1 behind it. ``scratch`` holds 3 q q numbers. Nothing divides by a variance, so it may be 0.
    """
    if q == 1:
        scale, p = lam[lam_at], m[at]
        left = 1.0 + scale * scale * p
        inner[inner_at] = scale * scale / left
        inner[inner_at + 1] = scale / left
        return np.log(left)
    if q == 2:
        return _eliminate_two(m, at, stride, lam, lam_at, inner, inner_at)
    size = q * q
    log_det = half_covariance(m, at, stride, q, lam, lam_at, scratch, 2 * size, scratch)
    for i in range(q):
        for j in range(i + 1):
            total = 0.0
            for k in range(q):
                total += scratch[2 * size + i * q + k] * scratch[2 * size + j * q + k]
            inner[inner_at + i * q + j] = total
            inner[inner_at + j * q + i] = total
        for j in range(q - 1, -1, -1):
            rest = scratch[2 * size + i * q + j]
            for k in range(j + 1, q):
                rest -= scratch[size + k * q + j] * inner[inner_at + size + i * q + k]
            inner[inner_at + size + i * q + j] = rest / scratch[size + j * q + j]
    return log_det


@compiled
def half_covariance(m, at, stride, q, lam, lam_at, half, half_at, scratch):
    """Write Lam C^-T, C C' = B, whose square is the effects' posterior covariance K; return log |B|.

    ``scratch`` holds 2 q q numbers and is left with C behind the first q q.
    """
    size = q * q
    for i in range(q):
        for j in range(q):
            total = 0.0
            for k in range(q):
                total += m[at + i * stride + k] * lam[lam_at + k * q + j]
            scratch[i * q + j] = total
    for i in range(q):
        for j in range(i + 1):
            total = 1.0 if i == j else 0.0
            for k in range(q):
                total += lam[lam_at + k * q + i] * scratch[k * q + j]
            scratch[size + i * q + j] = total
    log_det = 0.0
    for j in range(q):
        left = scratch[size + j * q + j]
        for k in range(j):
            left -= scratch[size + j * q + k] ** 2
        root = np.sqrt(left)
        scratch[size + j * q + j] = root
        log_det += 2.0 * np.log(root)
        for i in range(j + 1, q):
            rest = scratch[size + i * q + j]
            for k in range(j):
                rest -= scratch[size + i * q + k] * scratch[size + j * q + k]
            scratch[size + i * q + j] = rest / root
    for i in range(q):
        for j in range(q):
            rest = lam[lam_at + i * q + j]
            for k in range(j):
                rest -= scratch[size + j * q + k] * half[half_at + i * q + k]
            half[half_at + i * q + j] = rest / scratch[size + j * q + j]
    return log_det


@compiled
def _eliminate_two(m, at, stride, lam, lam_at, inner, inner_at):
    """Eliminate two effects, written out: the most common case, in a third of the time."""
    p, r, s = m[at], m[at + 1], m[at + stride + 1]
    a, b, c, d = lam[lam_at], lam[lam_at + 1], lam[lam_at + 2], lam[lam_at + 3]
    pa, pb, pc, pd = p * a + r * c, p * b + r * d, r * a + s * c, r * b + s * d
    e, f, g = 1.0 + a * pa + c * pc, a * pb + c * pd, 1.0 + b * pb + d * pd
    # pivots keep the determinant positive where e g - f f would cancel
    ratio = f / e
    left = g - f * ratio
    u, v = a, b - a * ratio
    w, x = c, d - c * ratio
    inner[inner_at] = u * u / e + v * v / left
    inner[inner_at + 1] = inner[inner_at + 2] = u * w / e + v * x / left
    inner[inner_at + 3] = w * w / e + x * x / left
    inner[inner_at + 4] = u / e - v * ratio / left
    inner[inner_at + 5] = v / left
    inner[inner_at + 6] = w / e - x * ratio / left
    inner[inner_at + 7] = x / left
    return np.log(e * left)


@compiled
def own_adjoint(m, at, stride, q, inner, inner_at, count, outer, lam_bar, lam_at, scratch):
    """Turn the adjoint of K into those of P and Lam.

    Parameters
    ----------
    m, at, stride
        P, replaced by its adjoint: every entry counts once.
    inner, inner_at
        K and U of the elimination.
    count
        How many units were eliminated at once.
    outer
        The adjoint of K, symmetric, q by q.
    lam_bar, lam_at
        Where the adjoint of Lam is added.
    scratch
        3 q q numbers.
    """
    if q == 1:
        k, u, slope = inner[inner_at], inner[inner_at + 1], outer[0]
        lam_bar[lam_at] += 2.0 * slope * u - m[at] * (count * u + 2.0 * k * slope * u)
        m[at] = -0.5 * count * k - k * k * slope
        return
    size = q * q
    u_at = inner_at + size
    # scratch: Kbar U, then K Kbar
    for i in range(q):
        for j in range(q):
            one, two = 0.0, 0.0
            for k in range(q):
                one += outer[i * q + k] * inner[u_at + k * q + j]
                two += inner[inner_at + i * q + k] * outer[k * q + j]
            scratch[i * q + j] = one
            scratch[size + i * q + j] = two
    # Lam_bar = -count P U + 2 (Kbar U - P K Kbar U)
    for i in range(q):
        for j in range(q):
            total = 0.0
            for k in range(q):
                total += scratch[size + i * q + k] * inner[u_at + k * q + j]
            scratch[2 * size + i * q + j] = total  # K Kbar U
    for i in range(q):
        for j in range(q):
            total = 2.0 * scratch[i * q + j]
            for k in range(q):
                p = m[at + i * stride + k]
                total -= p * (count * inner[u_at + k * q + j] + 2.0 * scratch[2 * size + k * q + j])
            lam_bar[lam_at + i * q + j] += total
    # P_bar = -count K / 2 - K Kbar K
    for i in range(q):
        for j in range(q):
            total = -0.5 * count * inner[inner_at + i * q + j]
            for k in range(q):
                total -= scratch[size + i * q + k] * inner[inner_at + k * q + j]
            m[at + i * stride + j] = total


@compiled
def times_covariance(m, at, wide, q, start, inner, inner_at, out):
    """Write K N, for the columns N of a table from ``start`` on, to ``out`` (q rows of ``wide``)."""
    for i in range(q):
        for c in range(start, wide):
            out[i * wide + c] = 0.0
        for k in range(q):
            weight = inner[inner_at + i * q + k]
            if weight != 0.0:
                for c in range(start, wide):
                    out[i * wide + c] += weight * m[at + k * wide + c]


@compiled
def take_products(m, at, wide, q, product, first, rows, chain, target, target_at, target_wide, columns, columns_at):
    """Take N' K N from the rows of an outer unit's table.

    Its rows are the columns ``first`` to ``first + rows`` of this unit, its columns those from ``first`` on; columns
    behind ``chain`` stand in its last columns where ``columns`` says.
    """
    for a in range(rows):
        line = target_at + a * target_wide - first
        for k in range(q):
            weight = m[at + k * wide + first + a]
            if weight == 0.0:
                continue
            for c in range(first, chain):
                target[line + c] -= weight * product[k * wide + c]
            for c in range(wide - chain):
                target[line + chain + columns[columns_at + c]] -= weight * product[k * wide + chain + c]


@compiled
def add_adjoint(m, at, wide, q, first, rows, chain, bar, bar_at, bar_wide, columns, columns_at, out):
    """Add N A of an outer unit's adjoint A to ``out``; entries of A outside its own square stand for two."""
    for a in range(rows):
        line = bar_at + a * bar_wide - first
        for k in range(q):
            weight = m[at + k * wide + first + a]
            total = 0.0
            for c in range(first, first + rows):
                out[k * wide + c] += weight * bar[line + c]
            for c in range(first + rows, chain):
                half = 0.5 * bar[line + c]
                out[k * wide + c] += weight * half
                total += m[at + k * wide + c] * half
            for c in range(wide - chain):
                half = 0.5 * bar[line + chain + columns[columns_at + c]]
                out[k * wide + chain + c] += weight * half
                total += m[at + k * wide + chain + c] * half
            out[k * wide + first + a] += total


@compiled
def factor_symmetric(matrix, lower):
    """Write the Cholesky factor of a symmetric positive definite matrix below the diagonal; return log |matrix|."""
    log_det = 0.0
    for i in range(len(matrix)):
        for j in range(i + 1):
            rest = matrix[i, j]
            for k in range(j):
                rest -= lower[i, k] * lower[j, k]
            lower[i, j] = np.sqrt(rest) if i == j else rest / lower[j, j]
        log_det += 2.0 * np.log(lower[i, i])
    return log_det


@compiled
def invert_factor(lower):
    """Return the inverse of a lower factor, line by line of it."""
    n = len(lower)
    inverse = np.zeros((n, n))
    for i in range(n):
        for k in range(i):
            weight = lower[i, k]
            for j in range(k + 1):
                inverse[i, j] -= weight * inverse[k, j]
        for j in range(i):
            inverse[i, j] /= lower[i, i]
        inverse[i, i] = 1.0 / lower[i, i]
    return inverse


@compiled
def invert_symmetric(matrix, inverse):
    """Write the inverse of a small symmetric positive definite matrix; return its log determinant."""
    n = len(matrix)
    lower = np.zeros((n, n))
    log_det = factor_symmetric(matrix, lower)
    root = invert_factor(lower)
    for i in range(n):
        for j in range(i + 1):
            total = 0.0
            for k in range(i, n):
                total += root[k, i] * root[k, j]
            inverse[i, j] = total
            inverse[j, i] = total
    return log_det


@compiled
def solve_forward(factor, right):
    """Return L^-1 b of a lower factor."""
    n = len(right)
    found = np.empty(n)
    for i in range(n):
        rest = right[i]
        for k in range(i):
            rest -= factor[i, k] * found[k]
        found[i] = rest / factor[i, i]
    return found


@compiled
def solve_backward(factor, right):
    """Return L'^-1 b of a lower factor, row by row of it."""
    found = right.copy()
    for i in range(len(right) - 1, -1, -1):
        found[i] /= factor[i, i]
        for k in range(i):
            found[k] -= factor[i, k] * found[i]
    return found
