"""One unit of the inner factor: its log-density given effects, the mode of these, and the integral over them."""

from __future__ import annotations

import math

import numpy as np

from bayes_alliance.collapse.kernel.compiled import inlined
from bayes_alliance.quadrature.kernel.rows import EVENT, EXPONENTIAL, SOFTPLUS, row_slopes, row_value, softplus

NEAR = 0.05
"""Step, in units of the posterior SD, after which a mode is found: the next one would be about its square."""

FLATTEST = 0.1
"""Least curvature that a step counts with; the prior alone has 1."""

MOST_STEPS = 60
"""Steps to a mode."""

FULL = 1e100
"""Product of 1 + exp(eta) from which its logarithm is taken."""

FEW, SMALL = 31.0, 1e3
"""Trials, and odds, up to which a power is multiplied out: it stays far below the largest number."""

LARGE = 1e20
"""Odds beyond which log(1 + odds) is the log of the odds."""


@inlined
def unit_value(kind, rows, unit, linear, odds, given, v, u, cuts, shapes):  # type: ignore[no-untyped-def]
    """Return the log-density of a unit's rows given its effects ``u`` and the outer effect ``v``.

    ``linear`` and ``odds`` (its exponential) are linear predictors of cells; ``given`` says how counts of a row make
    its ``n``: ``given[0] n + given[1] y``. What is linear in predictors of cells is left out: it is a sum of its own.
    """
    size = rows.z.shape[1]
    total = rows.own[unit, 0] * v
    for i in range(size):
        total += rows.own[unit, 1 + i] * u[i]
    first, last = rows.start[unit], rows.start[unit + 1]
    plain = size == 0 or (size == 1 and rows.own[unit, 1 + size] == 1.0)
    shift = v + (u[0] if size == 1 else 0.0)
    if kind == SOFTPLUS:
        product, lift, eta = 1.0, math.exp(shift) if plain else 1.0, 0.0
        for r in range(first, last):
            c = rows.cell[r]
            if plain:
                at = odds[c] * lift
            else:
                eta = linear[c] + v
                for i in range(size):
                    eta += rows.z[r, i] * u[i]
                at = math.exp(eta)
            n = given[0] * rows.n[r] + given[1] * rows.y[r]
            if at > LARGE:
                total -= n * (linear[c] + shift if plain else eta)
            elif n == 1.0:
                product *= 1.0 + at
                if product > FULL:
                    total, product = total - math.log(product), 1.0
            else:
                total -= n * math.log1p(at)
        return total - math.log(product)
    if kind == EXPONENTIAL:
        lift, whole = math.exp(shift) if plain else 1.0, 0.0
        for r in range(first, last):
            c = rows.cell[r]
            if plain:
                at = odds[c] * lift
            else:
                eta = linear[c] + v
                for i in range(size):
                    eta += rows.z[r, i] * u[i]
                at = math.exp(eta)
            if rows.code[r] == EVENT:
                total += rows.n[r] * math.log(-math.expm1(-at))
            else:
                whole += rows.n[r] * at
        return total - whole
    for r in range(first, last):
        eta = linear[rows.cell[r]] + v
        for i in range(size):
            eta += rows.z[r, i] * u[i]
        total += rows.many[r] * row_value(kind, eta, rows.y[r], rows.n[r], rows.code[r], cuts, shapes)
    return total


@inlined
def plain_slopes(kind, rows, unit, linear, odds, given, v, u, first_order, second_order):  # type: ignore[no-untyped-def]
    """Return what ``unit_slopes`` does where all covariates are 1 and rows are of the first two kinds."""
    size = rows.z.shape[1]
    shift = v + (u[0] if size == 1 else 0.0)
    total, slope, bend = rows.own[unit, 0] * shift, rows.own[unit, 0], 0.0
    lift, product = math.exp(shift), 1.0
    for r in range(rows.start[unit], rows.start[unit + 1]):
        at = odds[rows.cell[r]] * lift
        if kind == EXPONENTIAL:
            if rows.code[r] == EVENT:
                total += rows.n[r] * math.log(-math.expm1(-at))
                ratio = at / math.expm1(at) if at < 700.0 else 0.0
                slope += rows.n[r] * ratio
                bend += rows.n[r] * ratio * (at + ratio - 1.0)
            else:
                total -= rows.n[r] * at
                slope -= rows.n[r] * at
                bend += rows.n[r] * at
            continue
        n = given[0] * rows.n[r] + given[1] * rows.y[r]
        if at > LARGE:
            total -= n * (linear[rows.cell[r]] + shift)
            slope -= n
            continue
        rest = 1.0 / (1.0 + at)
        slope -= n * at * rest
        bend += n * at * rest * rest
        if n == 1.0:
            product *= 1.0 + at
        elif n == math.floor(n) and n <= FEW and at < SMALL:
            base, left = 1.0 + at, int(n)
            while left > 0:  # a power by squares: a logarithm takes as long as ten products
                if left & 1:
                    product *= base
                base *= base
                left >>= 1
        else:
            total -= n * math.log1p(at)
        if product > FULL:
            total -= math.log(product)
            product = 1.0
    first_order[0] = slope
    second_order[0, 0] = bend
    if size == 1:
        first_order[1] = slope
        second_order[0, 1] = bend
        second_order[1, 1] = bend
    return total - math.log(product)


@inlined
def unit_slopes(kind, rows, unit, linear, odds, given, v, u, cuts, shapes, first_order, second_order):  # type: ignore[no-untyped-def]
    """Return a unit's log-density; write its slopes in (v, u) and minus its second derivatives."""
    size = rows.z.shape[1]
    if kind <= EXPONENTIAL and (size == 0 or (size == 1 and rows.own[unit, 2] == 1.0)):
        return plain_slopes(kind, rows, unit, linear, odds, given, v, u, first_order, second_order)
    total = rows.own[unit, 0] * v
    first_order[0] = rows.own[unit, 0]
    for i in range(size):
        total += rows.own[unit, 1 + i] * u[i]
        first_order[1 + i] = rows.own[unit, 1 + i]
    second_order[: 1 + size, : 1 + size] = 0.0
    for r in range(rows.start[unit], rows.start[unit + 1]):
        eta = linear[rows.cell[r]] + v
        for i in range(size):
            eta += rows.z[r, i] * u[i]
        if kind == SOFTPLUS:
            n = given[0] * rows.n[r] + given[1] * rows.y[r]
            small = math.exp(-abs(eta))
            at = 1.0 / (1.0 + small)
            total -= n * (max(eta, 0.0) + math.log1p(small))
            bend = n * small * at * at
            slope = -n * at if eta > 0 else -n * small * at
        elif kind == EXPONENTIAL:
            at = math.exp(eta)
            if rows.code[r] == EVENT:
                total += rows.n[r] * math.log(-math.expm1(-at))
                ratio = at / math.expm1(at) if at < 700.0 else 0.0
                slope, bend = rows.n[r] * ratio, rows.n[r] * ratio * (at + ratio - 1.0)
            else:
                total -= rows.n[r] * at
                slope, bend = -rows.n[r] * at, rows.n[r] * at
        else:
            value, slope, bend = row_slopes(kind, eta, rows.y[r], rows.n[r], rows.code[r], cuts, shapes)
            total += rows.many[r] * value
            slope, bend = rows.many[r] * slope, rows.many[r] * bend
        first_order[0] += slope
        second_order[0, 0] += bend
        for i in range(size):
            first_order[1 + i] += slope * rows.z[r, i]
            second_order[0, 1 + i] += bend * rows.z[r, i]
            for j in range(i + 1):
                second_order[1 + i, 1 + j] += bend * rows.z[r, i] * rows.z[r, j]
    return total


@inlined
def step_one(root, w, first_order, second_order, half, gain, moves):  # type: ignore[no-untyped-def]
    """Write Newton's step of one standardised effect; return its length, and what the outer effect's slopes need.

    These are how much of the outer curvature the effect takes up by moving along, and the slope along its move.
    """
    slope = root[0, 0] * first_order[1] - w[0]
    half[0, 0] = math.sqrt(max(1.0 + root[0, 0] ** 2 * second_order[1, 1], FLATTEST))
    gain[0] = slope / half[0, 0] ** 2
    cross = root[0, 0] * second_order[0, 1] / half[0, 0]
    moves[0] = -cross / half[0, 0]
    return abs(slope) / half[0, 0], cross * cross, moves[0] * slope


@inlined
def step_two(root, w, first_order, second_order, half, gain, moves):  # type: ignore[no-untyped-def]
    """Write Newton's step of two standardised effects; return what ``step_one`` does."""
    a, b, c = root[0, 0], root[1, 0], root[1, 1]
    h00, h01, h11 = second_order[1, 1], second_order[2, 1], second_order[2, 2]
    slope0, slope1 = a * first_order[1] + b * first_order[2] - w[0], c * first_order[2] - w[1]
    bend00, bend01 = 1.0 + a * a * h00 + 2 * a * b * h01 + b * b * h11, c * (a * h01 + b * h11)
    half[0, 0] = math.sqrt(max(bend00, FLATTEST))
    half[1, 0] = bend01 / half[0, 0]
    half[1, 1] = math.sqrt(max(1.0 + c * c * h11 - half[1, 0] ** 2, FLATTEST))
    step0 = slope0 / half[0, 0]
    step1 = (slope1 - half[1, 0] * step0) / half[1, 1]
    gain[1] = step1 / half[1, 1]
    gain[0] = (step0 - half[1, 0] * gain[1]) / half[0, 0]
    cross0 = (a * second_order[0, 1] + b * second_order[0, 2]) / half[0, 0]
    cross1 = (c * second_order[0, 2] - half[1, 0] * cross0) / half[1, 1]
    moves[1] = -cross1 / half[1, 1]
    moves[0] = (-cross0 - half[1, 0] * moves[1]) / half[0, 0]
    reach = math.sqrt(step0 * step0 + step1 * step1)
    return reach, cross0 * cross0 + cross1 * cross1, moves[0] * slope0 + moves[1] * slope1


@inlined
def find_mode(  # type: ignore[no-untyped-def]
    kind, rows, unit, linear, odds, given, v, root, cuts, shapes, w, half, moves, most, work
):
    """Climb to the mode of a unit's standardised effects from ``w``, which then holds it, in ``most`` steps at most.

    Effects are ``root w``, root lower triangular. ``half`` gets the lower root of minus the second derivatives there,
    and ``moves`` how far the mode moves with ``v``. Returns the log of density times prior before the last step, slope
    and curvature of the mode's height in ``v``, and the length of the last step in posterior SDs. With one step, from a
    place near the mode, all are smooth functions of that place.
    """
    size = rows.z.shape[1]
    first_order, second_order = work[0], work[1:4]
    u, before = work[4], work[5]
    gain, last = work[6], -np.inf
    for step in range(most):
        for i in range(size):
            u[i] = 0.0
            for j in range(i + 1):
                u[i] += root[i, j] * w[j]
        value = unit_slopes(kind, rows, unit, linear, odds, given, v, u, cuts, shapes, first_order, second_order)
        for i in range(size):
            value -= 0.5 * w[i] * w[i]
        if not value >= last - 1e-9 * (1.0 + abs(last)):
            if step == most - 1 or not np.isfinite(last):
                return -np.inf, 0.0, 1.0, np.inf
            for i in range(size):
                w[i] = 0.5 * (w[i] + before[i])
            continue
        last = value
        if size == 0:
            return value, first_order[0], second_order[0, 0], 0.0
        if size == 1:
            reach, shared, along = step_one(root, w, first_order, second_order, half, gain, moves)
        else:
            reach, shared, along = step_two(root, w, first_order, second_order, half, gain, moves)
        slope_v, bend_v = first_order[0] + along, second_order[0, 0] - shared
        for i in range(size):
            before[i] = w[i]
            w[i] += gain[i]
        if reach < NEAR or most == 1:
            return value, slope_v, bend_v, reach
    return -np.inf, 0.0, 1.0, np.inf


@inlined
def plain_values(rows, unit, linear, odds, given, shifts, lifts, products, powers, terms):  # type: ignore[no-untyped-def]
    """Add a unit's log-density at nodes to ``terms`` where covariates are 1: what ``unit_value`` is, all nodes at once.

    ``shifts`` are effects at nodes, in order, and ``lifts`` their exponentials. Products of 1 + odds stand in for sums
    of logarithms; they are taken before one overflows.
    """
    count = len(shifts)
    most = lifts[0] if lifts[0] > lifts[count - 1] else lifts[count - 1]
    for k in range(count):
        products[k] = 1.0
        terms[k] += rows.own[unit, 0] * shifts[k]
    for r in range(rows.start[unit], rows.start[unit + 1]):
        at = odds[rows.cell[r]]
        n = given[0] * rows.n[r] + given[1] * rows.y[r]
        if at * most > LARGE:
            for k in range(count):
                terms[k] -= n * softplus(linear[rows.cell[r]] + shifts[k])
        elif n == 1.0:
            for k in range(count):
                products[k] *= 1.0 + at * lifts[k]
        elif n == math.floor(n) and n <= FEW and at * most < SMALL:
            for k in range(count):
                powers[k] = 1.0 + at * lifts[k]
            left = int(n)
            while left > 0:  # a power by squares, all nodes at once
                if left & 1:
                    for k in range(count):
                        products[k] *= powers[k]
                left >>= 1
                if left > 0:
                    for k in range(count):
                        powers[k] *= powers[k]
        else:
            for k in range(count):
                terms[k] -= n * math.log1p(at * lifts[k])
        if products[0] > FULL or products[count - 1] > FULL:
            for k in range(count):
                terms[k] -= math.log(products[k])
                products[k] = 1.0
    for k in range(count):
        terms[k] -= math.log(products[k])


@inlined
def add_terms(terms, count):  # type: ignore[no-untyped-def]
    """Return the log of the sum of exponentials."""
    most = -np.inf
    for k in range(count):
        most = max(most, terms[k])
    if not np.isfinite(most):
        return -np.inf
    total = 0.0
    for k in range(count):
        total += math.exp(terms[k] - most)
    return most + math.log(total)


@inlined
def integrate_unit(  # type: ignore[no-untyped-def]
    kind, rows, unit, linear, odds, given, v, root, cuts, shapes, w, half, nodes, logs, terms, work, lanes
):
    """Return the log of the integral over a unit's effects, by Gauss-Hermite nodes around their mode.

    ``nodes`` has shape (node, effect); ``logs`` are the logs of weights plus squares of nodes.
    """
    size = rows.z.shape[1]
    u = work[4]
    if size == 0:
        return unit_value(kind, rows, unit, linear, odds, given, v, u, cuts, shapes)
    count = len(logs)
    if kind == SOFTPLUS and size == 1 and rows.own[unit, 2] == 1.0:
        shifts, lifts, products, powers = lanes[0, :count], lanes[1, :count], lanes[2, :count], lanes[3, :count]
        step = math.sqrt(2.0) / half[0, 0]
        for k in range(count):
            at = w[0] + step * nodes[k, 0]
            shifts[k] = v + root[0, 0] * at
            lifts[k] = math.exp(shifts[k])
            terms[k] = logs[k] - 0.5 * at * at
        plain_values(rows, unit, linear, odds, given, shifts, lifts, products, powers, terms)
        return add_terms(terms, count) - math.log(half[0, 0]) - 0.5 * math.log(math.pi)
    for k in range(count):
        if size == 1:
            at = w[0] + math.sqrt(2.0) * nodes[k, 0] / half[0, 0]
            square = at * at
            u[0] = root[0, 0] * at
        else:
            second = math.sqrt(2.0) * nodes[k, 1] / half[1, 1]
            first = (math.sqrt(2.0) * nodes[k, 0] - half[1, 0] * second) / half[0, 0]
            first, second = w[0] + first, w[1] + second
            square = first * first + second * second
            u[0], u[1] = root[0, 0] * first, root[1, 0] * first + root[1, 1] * second
        terms[k] = logs[k] - 0.5 * square + unit_value(
            kind, rows, unit, linear, odds, given, v, u, cuts, shapes
        )  # fmt: skip
    spread = math.log(half[0, 0]) + (math.log(half[1, 1]) if size == 2 else 0.0)
    return add_terms(terms, count) - spread - 0.5 * size * math.log(math.pi)
