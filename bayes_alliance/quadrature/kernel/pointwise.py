"""What each unit, or each outer group, says given all others: integrals with it over integrals without it."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np

from bayes_alliance.collapse.kernel.compiled import kernel_text
from bayes_alliance.quadrature.kernel.draws import find_mode, integrate_unit
from bayes_alliance.quadrature.kernel.evaluate import NEGATIVE_BINOMIAL, WORK, read_point
from bayes_alliance.quadrature.kernel.groups import find_group_mode
from bayes_alliance.quadrature.kernel.rows import EXPONENTIAL
from bayes_alliance.quadrature.kernel.units import MOST_STEPS, add_terms


@cache
def pointwise() -> Any:
    """Return the compiled function that writes log-densities of units and groups given others; rows are not pooled.

    Units of a group are left out at the nodes of the group's effect: the integral of all over that without one.
    """
    text = kernel_text() + kernel_text(Path(__file__).parent)

    def write(sizes, rows, points, inner, outer, modes, outer_modes, nodes, logs, outer_nodes, outer_logs):  # type: ignore[no-untyped-def]
        text  # noqa: B018  # a new text of the kernel is a new function on disk
        count, strata, additive = len(outer_logs), sizes[5], sizes[0] <= EXPONENTIAL
        linear, odds = np.empty(len(rows.place)), np.empty(len(rows.place))
        roots, cell_cuts = np.zeros((max(strata, 1), 2, 2)), np.empty(max(sizes[3], 1))
        half, own, terms, lanes = np.zeros((2, 2)), np.zeros(4), np.empty(len(logs)), np.empty((4, len(logs)))
        work, each = np.zeros((WORK, 3)), np.empty((len(rows.weight), count))
        starts, moves = np.empty_like(modes), np.zeros_like(modes)
        held, old, all_of, without = np.empty_like(modes), np.empty_like(modes), np.empty(count), np.empty(count)
        for i in range(len(points)):
            cuts, shapes, _ = read_point(sizes, rows, points[i], linear, odds, roots, cell_cuts)
            given = (shapes[0], 1.0) if sizes[1] == NEGATIVE_BINOMIAL else (1.0, 0.0)
            starts[:] = modes
            for group in range(len(rows.group) - 1):
                first, beyond = rows.group[group], rows.group[group + 1]
                sd, t, curvature, used = 0.0, 0.0, 1.0, 1
                if sizes[6] > 0:
                    sd, used = points[i, len(points[i]) - 1], count
                    t, curvature = find_group_mode(
                        sizes[0], rows, group, linear, odds, given, sd, roots, cuts, shapes, outer_modes[group],
                        starts, moves, held, old, half, work,
                    )  # fmt: skip
                for k in range(used):
                    away = math.sqrt(2.0) * outer_nodes[k] / curvature if sizes[6] > 0 else 0.0
                    v = sd * (t + away)
                    all_of[k] = outer_logs[k] - 0.5 * (t + away) ** 2 if sizes[6] > 0 else 0.0
                    for unit in range(first, beyond):
                        root = roots[rows.stratum[unit]]
                        own[0] = starts[unit, 0] + moves[unit, 0] * sd * away
                        own[1] = starts[unit, 1] + moves[unit, 1] * sd * away
                        find_mode(
                            sizes[0], rows, unit, linear, odds, given, v, root, cuts, shapes, own, half, own[2:],
                            MOST_STEPS, work,
                        )  # fmt: skip
                        each[unit, k] = integrate_unit(
                            sizes[0], rows, unit, linear, odds, given, v, root, cuts, shapes, own, half, nodes, logs,
                            terms, work, lanes,
                        )  # fmt: skip
                        for r in range(rows.start[unit], rows.start[unit + 1] if additive else rows.start[unit]):
                            each[unit, k] += rows.y[r] * linear[rows.cell[r]]
                        all_of[k] += each[unit, k]
                whole = add_terms(all_of, used)
                outer[i, group] = whole - (math.log(curvature) + 0.5 * math.log(math.pi) if sizes[6] > 0 else 0.0)
                for unit in range(first, beyond):
                    for k in range(used):
                        without[k] = all_of[k] - each[unit, k]
                    inner[i, unit] = whole - add_terms(without, used)

    return numba.njit(nogil=True, cache=True, error_model="numpy")(write)
