"""The integrated log-likelihood at many points: the compiled function that Python calls, kept on disk."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np

from bayes_alliance.collapse.kernel.compiled import compiled, kernel_text
from bayes_alliance.quadrature.kernel.groups import integrate_group
from bayes_alliance.quadrature.kernel.units import MOST_STEPS, find_mode, integrate_unit, unit_value

NO_FLAVOUR, NEGATIVE_BINOMIAL, CUMULATIVE = range(3)
"""What rows of the first kind are beside that: with a shape that counts as trials, with thresholds, or neither."""

WORK = 7
"""Small arrays that a unit is worked out in."""


@compiled
def read_point(sizes, rows, point, linear, odds, roots, cell_cuts):  # type: ignore[no-untyped-def]
    """Write linear predictors of cells and roots of covariances; return thresholds, shapes and what is constant.

    ``sizes`` are the kind of rows, its flavour, and the numbers of coefficients, thresholds, shapes, strata and of
    outer effects. A point holds these in turn: coefficients, thresholds, shapes, SDs by stratum, correlations by
    stratum, the outer SD.
    """
    flavour, coefs, count, kinds, strata = sizes[1], sizes[2], sizes[3], sizes[4], sizes[5]
    size = rows.z.shape[1]
    cuts = point[coefs : coefs + count]
    shapes = point[coefs + count : coefs + count + kinds]
    if flavour == NEGATIVE_BINOMIAL:
        cell_cuts[0] = math.log(shapes[0])
    else:
        for k in range(count):
            cell_cuts[k] = cuts[k]
    total = 0.0
    for c in range(len(linear)):
        at = 0.0
        for p in range(coefs):
            at += rows.predictors[rows.place[c], p] * point[p]
        if rows.cut[c] >= 0:
            at -= cell_cuts[rows.cut[c]]
        linear[c] = at
        odds[c] = math.exp(at)
        total += rows.sums[c] * at
    if flavour == NEGATIVE_BINOMIAL:
        for i in range(len(rows.values)):
            total += rows.counts[i] * (math.lgamma(rows.values[i] + shapes[0]) - math.lgamma(shapes[0]))
    if flavour == CUMULATIVE:
        for i in range(len(rows.values)):
            category = int(rows.values[i])
            if 0 < category < count:
                total += rows.counts[i] * math.log(-math.expm1(cuts[category - 1] - cuts[category]))
    first = coefs + count + kinds
    for s in range(strata):
        if size > 0:
            roots[s, 0, 0] = point[first + s * size]
        if size == 2:
            sd, cor = point[first + 2 * s + 1], point[first + 2 * strata + s]
            roots[s, 1, 0], roots[s, 1, 1] = sd * cor, sd * math.sqrt(1.0 - cor * cor)
    return cuts, shapes, total


@cache
def evaluator() -> Any:
    """Return the compiled function that writes log-likelihoods of points; it gives up Python's lock."""
    text = kernel_text() + kernel_text(Path(__file__).parent)

    def evaluate(sizes, rows, points, found, modes, outer_modes, nodes, logs, outer_nodes, outer_logs, keep):  # type: ignore[no-untyped-def]
        text  # noqa: B018  # a new text of the kernel is a new function on disk
        size, strata = rows.z.shape[1], sizes[5]
        linear, odds = np.empty(len(rows.place)), np.empty(len(rows.place))
        roots, cell_cuts = np.zeros((max(strata, 1), 2, 2)), np.empty(max(sizes[3], 1))
        half, own, terms = np.zeros((2, 2)), np.zeros(4), np.empty(len(logs))
        outer_terms, lanes = np.empty(len(outer_logs)), np.empty((4, len(logs)))
        work = np.zeros((WORK, 3))
        starts, moves, units = np.empty_like(modes), np.zeros_like(modes), len(rows.weight)
        held, old = np.empty_like(modes), np.empty_like(modes)
        for i in range(len(points)):
            cuts, shapes, total = read_point(sizes, rows, points[i], linear, odds, roots, cell_cuts)
            given = (shapes[0], 1.0) if sizes[1] == NEGATIVE_BINOMIAL else (1.0, 0.0)
            starts[:] = modes
            if sizes[6] == 0:
                for unit in range(units):
                    root = roots[rows.stratum[unit]]
                    value, _, _, _ = find_mode(
                        sizes[0], rows, unit, linear, odds, given, 0.0, root, cuts, shapes, starts[unit], half,
                        moves[unit], MOST_STEPS, work,
                    )  # fmt: skip
                    if value == -np.inf:
                        total = -np.inf
                        break
                    total += rows.weight[unit] * integrate_unit(
                        sizes[0], rows, unit, linear, odds, given, 0.0, root, cuts, shapes, starts[unit], half,
                        nodes, logs, terms, work, lanes,
                    )  # fmt: skip
            else:
                sd = points[i, len(points[i]) - 1]
                for group in range(len(rows.group) - 1):
                    value, t = integrate_group(
                        sizes[0], rows, group, linear, odds, given, sd, roots, cuts, shapes, outer_modes[group],
                        starts, moves, held, old, own, half, nodes, logs, terms, outer_nodes, outer_logs, outer_terms,
                        work, lanes,
                    )  # fmt: skip
                    total += value
                    if keep:
                        outer_modes[group] = t
                    if value == -np.inf:
                        break
            if keep:
                modes[:, :size] = starts[:, :size]
            found[i] = total if np.isfinite(total) else -np.inf

    return numba.njit(nogil=True, cache=True, error_model="numpy")(evaluate)


@cache
def scanner() -> Any:
    """Return the compiled function that writes log-densities of units at standardised effects."""
    text = kernel_text() + kernel_text(Path(__file__).parent)

    def scan(sizes, rows, point, outer_modes, effects, found):  # type: ignore[no-untyped-def]
        text  # noqa: B018  # a new text of the kernel is a new function on disk
        linear, odds = np.empty(len(rows.place)), np.empty(len(rows.place))
        roots, cell_cuts, u = np.zeros((max(sizes[5], 1), 2, 2)), np.empty(max(sizes[3], 1)), np.zeros(2)
        cuts, shapes, _ = read_point(sizes, rows, point, linear, odds, roots, cell_cuts)
        given = (shapes[0], 1.0) if sizes[1] == NEGATIVE_BINOMIAL else (1.0, 0.0)
        for group in range(len(rows.group) - 1):
            v = point[len(point) - 1] * outer_modes[group] if sizes[6] > 0 else 0.0
            for unit in range(rows.group[group], rows.group[group + 1]):
                root = roots[rows.stratum[unit]]
                for k in range(len(effects)):
                    for i in range(rows.z.shape[1]):
                        u[i] = 0.0
                        for j in range(i + 1):
                            u[i] += root[i, j] * effects[k, j]
                    found[unit, k] = unit_value(sizes[0], rows, unit, linear, odds, given, v, u, cuts, shapes)

    return numba.njit(nogil=True, cache=True, error_model="numpy")(scan)
