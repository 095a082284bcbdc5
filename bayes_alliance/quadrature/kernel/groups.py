"""Outer groups (therapists, sites): the mode of a group's effect, and the integral over it and over its units."""

from __future__ import annotations

import math

import numpy as np

from bayes_alliance.collapse.kernel.compiled import borrowing
from bayes_alliance.quadrature.kernel.units import MOST_STEPS, NEAR, find_mode, integrate_unit


@borrowing
def find_group_mode(  # type: ignore[no-untyped-def]
    kind, rows, group, linear, odds, given, sd, roots, cuts, shapes, start, modes, moves, held, old, half, work
):  # fmt: skip
    """Return the mode of a group's standardised effect, jointly with its units', and the root of its curvature.

    The root is nan where there is none to be found. ``modes`` are climbed from, and hold the units' modes; ``moves``
    how far these move with the group's effect. A step is Newton's in all of them: given the group's effect units are
    independent, so that each is solved for by itself.
    """
    t, last, before = start, -np.inf, start
    first, beyond = rows.group[group], rows.group[group + 1]
    for step in range(MOST_STEPS):
        height, slope, bend, farthest = -0.5 * t * t, 0.0, 0.0, 0.0
        for unit in range(first, beyond):
            for i in range(2):
                held[unit, i] = modes[unit, i]
            value, one, two, reach = find_mode(
                kind, rows, unit, linear, odds, given, sd * t, roots[rows.stratum[unit]], cuts, shapes,
                modes[unit], half, moves[unit], 1, work,
            )  # fmt: skip
            height += rows.weight[unit] * value
            slope += rows.weight[unit] * one
            bend += rows.weight[unit] * two
            farthest = max(farthest, reach)
        if not height >= last - 1e-9 * (1.0 + abs(last)):
            if step == MOST_STEPS - 1 or not np.isfinite(last):
                return t, np.nan
            t = 0.5 * (t + before)
            for unit in range(first, beyond):
                for i in range(2):
                    modes[unit, i] = 0.5 * (held[unit, i] + old[unit, i])
            continue
        last = height
        curvature = max(1.0 + sd * sd * bend, 0.1)
        gain = (sd * slope - t) / curvature
        before = t
        t += gain
        for unit in range(first, beyond):
            for i in range(2):
                old[unit, i] = held[unit, i]
                modes[unit, i] += moves[unit, i] * sd * gain
        if abs(gain) * math.sqrt(curvature) < NEAR and farthest < NEAR:
            return t, math.sqrt(curvature)
    return t, np.nan


@borrowing
def integrate_group(  # type: ignore[no-untyped-def]
    kind, rows, group, linear, odds, given, sd, roots, cuts, shapes, start, modes, moves, held, old, own, half,
    nodes, logs, terms, outer_nodes, outer_logs, outer_terms, work, lanes,
):  # fmt: skip
    """Return the log of the integral over a group's effect and its units', and the mode of the first.

    At each outer node a unit's nodes stand around its mode there: where that moved in proportion, and one step on.
    """
    t, curvature = find_group_mode(
        kind, rows, group, linear, odds, given, sd, roots, cuts, shapes, start, modes, moves, held, old, half, work
    )  # fmt: skip
    if not np.isfinite(curvature):
        return -np.inf, start
    most = -np.inf
    for k in range(len(outer_logs)):
        away = math.sqrt(2.0) * outer_nodes[k] / curvature
        v, total = sd * (t + away), 0.0
        for unit in range(rows.group[group], rows.group[group + 1]):
            root = roots[rows.stratum[unit]]
            for i in range(modes.shape[1]):
                own[i] = modes[unit, i] + moves[unit, i] * sd * away
            find_mode(
                kind, rows, unit, linear, odds, given, v, root, cuts, shapes, own, half, own[2:], 1, work
            )  # fmt: skip
            total += rows.weight[unit] * integrate_unit(
                kind, rows, unit, linear, odds, given, v, root, cuts, shapes, own, half, nodes, logs, terms, work,
                lanes,
            )  # fmt: skip
        outer_terms[k] = outer_logs[k] - 0.5 * (t + away) * (t + away) + total
        most = max(most, outer_terms[k])
    if not np.isfinite(most):
        return -np.inf, start
    total = 0.0
    for k in range(len(outer_logs)):
        total += math.exp(outer_terms[k] - most)
    return most + math.log(total) - math.log(curvature) - 0.5 * math.log(math.pi), t
