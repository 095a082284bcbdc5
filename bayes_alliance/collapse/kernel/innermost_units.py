"""Compiled: what innermost units say about the effects they share, and their outcomes' density given all others."""

from __future__ import annotations

import numba
import numpy as np

# numba has no types for mypy; shapes are in the docstrings
# mypy: disable-error-code="no-untyped-def,untyped-decorator"

fast = numba.njit(nogil=True, cache=True, error_model="numpy")


@fast
def cholesky(m, n, out):
    """Write the lower root of a positive semidefinite matrix; return log |m| over its positive pivots."""
    log_det, product = 0.0, 1.0
    for j in range(n):
        pivot = m[j, j]
        for k in range(j):
            pivot -= out[j, k] * out[j, k]
        if pivot <= 1e-14 * abs(m[j, j]) or pivot <= 0.0:
            for i in range(j, n):
                out[i, j] = 0.0
            continue
        root = np.sqrt(pivot)
        # one logarithm of a product of pivots in place of many, before it leaves the range of numbers
        if not 1e-100 < product < 1e100 or not 1e-100 < pivot < 1e100:
            log_det += np.log(product)
            product = 1.0
        product *= pivot
        out[j, j] = root
        inverse = 1.0 / root
        for i in range(j + 1, n):
            rest = m[i, j]
            for k in range(j):
                rest -= out[i, k] * out[j, k]
            out[i, j] = rest * inverse
    return log_det + np.log(product)


@fast
def say(products, unit, weights, draw, lam, stratum, own, table, work, root):
    """Write a unit's table with its own effects eliminated to ``table[own:, own:]``; return minus half of log |B|.

    ``products`` has shape (unit, weight, column, column): own effects first, then what is shared, the outcomes last;
    ``lam`` holds roots of the covariance of own effects, shape (draw, stratum, own, own). ``work`` has the shape of
    ``table``, ``root`` (own, own). Whole arrays and indices are handed over here and below, because every slice counts
    its references, and threads that count beside each other in memory are no faster than one.
    """
    size = table.shape[0]
    for a in range(size):
        for b in range(a + 1):
            total = 0.0
            for w in range(weights.shape[1]):
                total += weights[draw, w] * products[unit, w, a, b]
            table[a, b] = total
            table[b, a] = total
    if own == 0:
        return 0.0
    s = stratum[unit]
    for i in range(own):
        for b in range(size):
            total = 0.0
            for k in range(own):
                total += lam[draw, s, k, i] * table[k, b]
            work[i, b] = total
    for i in range(own):
        for j in range(i + 1):
            total = 1.0 if i == j else 0.0
            for k in range(own):
                total += work[i, k] * lam[draw, s, k, j]
            table[i, j] = total
    log_det = cholesky(table, own, root)
    for i in range(own):
        for b in range(own, size):
            rest = work[i, b]
            for k in range(i):
                rest -= root[i, k] * work[k, b]
            work[i, b] = rest / root[i, i]
    for a in range(own, size):
        for b in range(own, a + 1):
            total = table[a, b]
            for k in range(own):
                total -= work[k, a] * work[k, b]
            table[a, b] = total
            table[b, a] = total
    return -0.5 * log_det


@fast
def expect(table, own, constant, mean, half, m, root, scratch, left, g):
    """Return log E[exp(constant - c'A c / 2 + a'c - q / 2)] for c ~ N(mean, half half').

    A, a and q stand in ``table`` behind ``own``; ``m``, ``root`` and ``scratch`` of shape (shared, shared), ``left``
    and ``g`` (shared,) are for use in between. With f the integrand at the mean, S = half' A half and
    g = half' (a - A mean), it is log f + g' (I + S)^-1 g / 2 - log |I + S| / 2.
    """
    n = len(mean)
    at_mean = lift(table, own, constant, mean, half, left, g)
    times(table, own, half, m, scratch, 1.0)
    log_det = cholesky(m, n, root)
    return at_mean + 0.5 * (squared(root, n, g, left) - log_det)


@fast
def lift(table, own, constant, mean, half, left, g):
    """Return the logarithm of what ``expect`` averages at the mean, and write g = half' (a - A mean)."""
    n = len(mean)
    at_mean = constant - 0.5 * table[own + n, own + n]
    for i in range(n):
        total = 0.0
        for j in range(n):
            total += table[own + i, own + j] * mean[j]
        at_mean += (table[own + i, own + n] - 0.5 * total) * mean[i]
        left[i] = table[own + i, own + n] - total
    for i in range(n):
        total = 0.0
        for k in range(i, n):
            total += half[k, i] * left[k]
        g[i] = total
    return at_mean


@fast
def times(table, own, half, out, scratch, sign):
    """Write I + sign half' A half, where ``half`` is lower triangular."""
    n = half.shape[0]
    for i in range(n):
        for j in range(n):
            total = 0.0
            for k in range(j, n):
                total += table[own + i, own + k] * half[k, j]
            scratch[i, j] = total
    for i in range(n):
        for j in range(i + 1):
            total = 0.0
            for k in range(i, n):
                total += half[k, i] * scratch[k, j]
            out[i, j] = sign * total + (1.0 if i == j else 0.0)
            out[j, i] = out[i, j]


@fast
def sum_messages(products, base, stratum, place, weights, lam, message, constant):
    """Add what units say about the columns of their outer unit, and their constants, draw by draw.

    Parameters
    ----------
    products : (unit, weight, column, column)
    base : (unit, draw)
    stratum : (unit,)
    place : (unit, shared); -1 for effects the unit does not have
    weights : (draw, weight)
    lam : (draw, stratum, own, own)
    message : (draw, outer column, outer column), the outcomes last
    constant : (draw,)
    """
    units, size = products.shape[0], products.shape[2]
    own = lam.shape[2]
    shared = size - own - 1
    last = message.shape[1] - 1
    table, work, root = np.empty((size, size)), np.empty((size, size)), np.empty((own, own))
    for draw in range(len(weights)):
        for unit in range(units):
            log_b = say(products, unit, weights, draw, lam, stratum, own, table, work, root)
            constant[draw] += base[unit, draw] + log_b
            for i in range(shared + 1):
                a = last if i == shared else place[unit, i]
                if a < 0:
                    continue
                for j in range(shared + 1):
                    b = last if j == shared else place[unit, j]
                    if b >= 0:
                        message[draw, a, b] += table[own + i, own + j]


@fast
def leave_out(left_out, scored, stratum, place, lam, mean, covariance, found, fitted):
    """Write each unit's log-density given all other units, and given all units, shape (draw, unit).

    ``left_out`` are the products and weights of all that is left out, ``scored`` products, weights and base of the
    outcomes whose density is wanted (no products where these are all). ``mean`` (draw, outer column) and
    ``covariance`` are of what units share, given all rows.
    """
    products, weights = left_out
    wanted, wanted_weights, base = scored
    units, size = products.shape[0], products.shape[2]
    own = lam.shape[2]
    n = size - own - 1
    table, other = np.empty((size, size)), np.empty((size, size))
    work, root = np.empty((size, size)), np.empty((own, own))
    mu, cavity, left, g = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    spread, half, narrow, away = np.empty((n, n)), np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n))
    m, inner, scratch = np.empty((n, n)), np.zeros((n, n)), np.zeros((n, n))
    for draw in range(len(weights)):
        for unit in range(units):
            log_b = say(products, unit, weights, draw, lam, stratum, own, table, work, root)
            if unit == 0 or not alike(place, unit):
                gather(place, unit, mean, covariance, draw, mu, spread)
                cholesky(spread, n, half)
            if len(wanted) == 0:
                constant = base[unit, draw] + log_b
                fitted[draw, unit], found[draw, unit] = with_and_without(
                    table, own, constant, mu, half, m, inner, scratch, left, g
                )
                continue
            log_b = say(wanted, unit, wanted_weights, draw, lam, stratum, own, other, work, root)
            constant = base[unit, draw] + log_b
            fitted[draw, unit] = expect(other, own, constant, mu, half, m, inner, scratch, left, g)
            times(table, own, half, m, scratch, -1.0)
            cholesky(m, n, inner)
            # a root of the covariance without the unit: half inner^-T
            for i in range(n):
                for j in range(n):
                    rest = half[i, j] if j <= i else 0.0
                    for k in range(j):
                        rest -= away[i, k] * inner[j, k]
                    away[i, j] = rest / inner[j, j]
            remove(table, own, mu, away, cavity, left)
            # lower triangular again, as expectations read it
            for i in range(n):
                for j in range(i + 1):
                    total = 0.0
                    for k in range(n):
                        total += away[i, k] * away[j, k]
                    scratch[i, j] = total
                    scratch[j, i] = total
            cholesky(scratch, n, narrow)
            found[draw, unit] = expect(other, own, constant, cavity, narrow, m, inner, scratch, left, g)


@fast
def with_and_without(table, own, constant, mean, half, m, root, scratch, left, g):
    """Return a unit's log-density given all rows, and given all other units.

    With c ~ N(mean, half half') given all rows, S = half' A half and g = half' (a - A mean), the unit's own say
    exp(constant - c'A c / 2 + a'c - q / 2) averages to f exp(g' (I + S)^-1 g / 2) / |I + S|^(1/2), where f is its value
    at the mean. Divided out of what is known of c first, and then averaged, it is
    f exp(-g' (I - S)^-1 g / 2) |I - S|^(1/2): adding the unit back must give all rows.
    """
    n = len(mean)
    at_mean = lift(table, own, constant, mean, half, left, g)
    times(table, own, half, m, scratch, 1.0)
    log_det = cholesky(m, n, root)
    given_all = at_mean + 0.5 * (squared(root, n, g, left) - log_det)
    for i in range(n):
        for j in range(n):
            m[i, j] = -m[i, j]
        m[i, i] += 2.0
    log_det = cholesky(m, n, root)
    given_others = at_mean - 0.5 * (squared(root, n, g, left) - log_det)
    return given_all, given_others


@fast
def squared(root, n, g, scratch):
    """Return g' m^-1 g, where ``root`` is the lower root of m."""
    total = 0.0
    for i in range(n):
        rest = g[i]
        for k in range(i):
            rest -= root[i, k] * scratch[k]
        scratch[i] = rest / root[i, i]
        total += scratch[i] * scratch[i]
    return total


@fast
def alike(place, unit):
    """Return whether a unit and the one before it share the same columns."""
    apart = 0
    for i in range(place.shape[1]):
        apart += place[unit, i] != place[unit - 1, i]
    return apart == 0


@fast
def gather(place, unit, mean, covariance, draw, mu, spread):
    """Write mean and covariance of the columns a unit shares; those it does not have are 0."""
    n = place.shape[1]
    for i in range(n):
        a = place[unit, i]
        mu[i] = mean[draw, a] if a >= 0 else 0.0
        for j in range(n):
            b = place[unit, j]
            spread[i, j] = covariance[draw, a, b] if a >= 0 and b >= 0 else 0.0


@fast
def remove(table, own, mu, away, cavity, left):
    """Write the mean of what units share without one unit, whose root covariance then is ``away``."""
    n = len(mu)
    for i in range(n):
        total = -table[own + i, own + n]
        for j in range(n):
            total += table[own + i, own + j] * mu[j]
        left[i] = total
    for i in range(n):
        cavity[i] = mu[i]
    for k in range(n):
        total = 0.0
        for j in range(n):
            total += away[j, k] * left[j]
        for i in range(n):
            cavity[i] += away[i, k] * total
