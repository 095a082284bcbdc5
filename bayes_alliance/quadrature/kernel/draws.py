"""Effects drawn given everything else: independent proposals around their modes, kept as a Markov chain keeps them."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np

from bayes_alliance.collapse.kernel.compiled import borrowing, kernel_text
from bayes_alliance.quadrature.kernel import units
from bayes_alliance.quadrature.kernel.evaluate import NEGATIVE_BINOMIAL, WORK, read_point
from bayes_alliance.quadrature.kernel.groups import find_group_mode
from bayes_alliance.quadrature.kernel.units import MOST_STEPS, unit_value

# called, not inlined: half the time to compile, where a fit's effects take little
find_mode = borrowing(units.find_mode.py_func)
integrate_unit = borrowing(units.integrate_unit.py_func)

DEGREES = 5.0
"""Degrees of freedom of proposals: their tails are heavier than those of what they stand for, so that weights end."""

WIDER = 1.1
"""How much wider than the normal around the mode proposals are."""

PROPOSALS = 10
"""Proposals per draw. Most are accepted: what is left of the first is of the order of a hundred-thousandth."""


@borrowing
def draw_unit(kind, rows, unit, linear, odds, given, v, root, cuts, shapes, w, half, work, drawn):  # type: ignore[no-untyped-def]
    """Draw a unit's standardised effects around their mode ``w``."""
    size = rows.z.shape[1]
    u, z, last = work[4], work[5], -np.inf
    for _ in range(PROPOSALS):
        spread = WIDER / math.sqrt(np.random.chisquare(DEGREES) / DEGREES)
        square = 0.0
        for i in range(size):
            z[i] = spread * np.random.normal()
            square += z[i] * z[i]
        if size == 1:
            first, second = w[0] + z[0] / half[0, 0], 0.0
            u[0] = root[0, 0] * first
        else:
            second = z[1] / half[1, 1]
            first = w[0] + (z[0] - half[1, 0] * second) / half[0, 0]
            second += w[1]
            u[0], u[1] = root[0, 0] * first, root[1, 0] * first + root[1, 1] * second
        at = unit_value(kind, rows, unit, linear, odds, given, v, u, cuts, shapes)
        at -= 0.5 * (first * first + second * second)
        at += 0.5 * (DEGREES + size) * math.log1p(square / (DEGREES * WIDER * WIDER))
        if last == -np.inf or math.log(np.random.random()) < at - last:
            last, drawn[0], drawn[1] = at, first, second


@borrowing
def draw_group(  # type: ignore[no-untyped-def]
    kind, rows, group, linear, odds, given, sd, roots, cuts, shapes, t, curvature, modes, moves, own, half,
    nodes, logs, terms, work, lanes,
):  # fmt: skip
    """Draw a group's standardised effect, those of its units integrated out."""
    last, drawn = -np.inf, t
    for _ in range(PROPOSALS):
        z = WIDER * np.random.normal() / math.sqrt(np.random.chisquare(DEGREES) / DEGREES)
        away = z / curvature
        v, at = sd * (t + away), -0.5 * (t + away) ** 2
        for unit in range(rows.group[group], rows.group[group + 1]):
            root = roots[rows.stratum[unit]]
            for i in range(2):
                own[i] = modes[unit, i] + moves[unit, i] * sd * away
            find_mode(
                kind, rows, unit, linear, odds, given, v, root, cuts, shapes, own, half, own[2:], 1, work
            )  # fmt: skip
            at += rows.weight[unit] * integrate_unit(
                kind, rows, unit, linear, odds, given, v, root, cuts, shapes, own, half, nodes, logs, terms, work,
                lanes,
            )  # fmt: skip
        at += 0.5 * (DEGREES + 1.0) * math.log1p(z * z / (DEGREES * WIDER * WIDER))
        if last == -np.inf or math.log(np.random.random()) < at - last:
            last, drawn = at, t + away
    return drawn


@cache
def drawer() -> Any:
    """Return the compiled function that draws effects given points; rows are not pooled."""
    text = kernel_text() + kernel_text(Path(__file__).parent)

    def draw(sizes, rows, points, seeds, inner, outer, modes, outer_modes, nodes, logs):  # type: ignore[no-untyped-def]
        text  # noqa: B018  # a new text of the kernel is a new function on disk
        size, strata = rows.z.shape[1], sizes[5]
        linear, odds = np.empty(len(rows.place)), np.empty(len(rows.place))
        roots, cell_cuts = np.zeros((max(strata, 1), 2, 2)), np.empty(max(sizes[3], 1))
        half, own, terms, drawn = np.zeros((2, 2)), np.zeros(4), np.empty(len(logs)), np.zeros(2)
        work, lanes = np.zeros((WORK, 3)), np.empty((4, len(logs)))
        starts, moves = np.empty_like(modes), np.zeros_like(modes)
        held, old = np.empty_like(modes), np.empty_like(modes)
        for i in range(len(points)):
            np.random.seed(seeds[i])
            cuts, shapes, _ = read_point(sizes, rows, points[i], linear, odds, roots, cell_cuts)
            given = (shapes[0], 1.0) if sizes[1] == NEGATIVE_BINOMIAL else (1.0, 0.0)
            starts[:] = modes
            for group in range(len(rows.group) - 1):
                v = 0.0
                if sizes[6] > 0:
                    sd = points[i, len(points[i]) - 1]
                    t, curvature = find_group_mode(
                        sizes[0], rows, group, linear, odds, given, sd, roots, cuts, shapes, outer_modes[group],
                        starts, moves, held, old, half, work,
                    )  # fmt: skip
                    v = sd * draw_group(
                        sizes[0], rows, group, linear, odds, given, sd, roots, cuts, shapes, t, curvature, starts,
                        moves, own, half, nodes, logs, terms, work, lanes,
                    )  # fmt: skip
                    outer[i, group] = v
                for unit in range(rows.group[group], rows.group[group + 1]):
                    root = roots[rows.stratum[unit]]
                    find_mode(
                        sizes[0], rows, unit, linear, odds, given, v, root, cuts, shapes, starts[unit], half,
                        moves[unit], MOST_STEPS, work,
                    )  # fmt: skip
                    draw_unit(
                        sizes[0], rows, unit, linear, odds, given, v, root, cuts, shapes, starts[unit], half, work,
                        drawn,
                    )  # fmt: skip
                    inner[i, unit, 0] = root[0, 0] * drawn[0]
                    if size == 2:
                        inner[i, unit, 1] = root[1, 0] * drawn[0] + root[1, 1] * drawn[1]

    return numba.njit(nogil=True, cache=True, error_model="numpy")(draw)
