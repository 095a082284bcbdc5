"""Nodes and weights of Gauss-Hermite rules, and how many are tried."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

LADDER = (7, 15, 31, 63, 127)
"""Nodes of a unit's effect that are tried; the last is only what the one before it is held to."""

PAIRS = (5, 9, 17, 33, 65)
"""Nodes per effect of a unit that has two."""

OUTER = (3, 5, 9, 17, 33)
"""Nodes of an outer effect that go with them."""

LEAST_WEIGHT = 1e-12
"""Product of weights, over the largest, below which a pair of nodes is left out."""


@dataclass(frozen=True, eq=False)
class Nodes:
    """A rule: ``nodes``, shape (node, effect), logs of weights plus squares of nodes, and the same of outer effects."""

    inner: np.ndarray
    logs: np.ndarray
    outer: np.ndarray
    outer_logs: np.ndarray


def nodes_per_effect(rung: int, effects: int) -> int:
    """Return the nodes per effect of a rung of the ladder."""
    return (PAIRS if effects == 2 else LADDER)[rung]


@cache
def make_nodes(rung: int, effects: int) -> Nodes:
    """Return the rule of a rung of the ladder."""
    inner, logs = _product(nodes_per_effect(rung, effects), effects)
    outer, outer_logs = _product(OUTER[rung], 1)
    return Nodes(inner, logs, np.ascontiguousarray(outer[:, 0]), outer_logs)


def _product(count: int, effects: int) -> tuple[np.ndarray, np.ndarray]:
    x, weight = np.polynomial.hermite.hermgauss(count)
    if effects == 0:
        return np.empty((1, 0)), np.zeros(1)
    kept = weight > 0
    x, weight = x[kept], weight[kept]
    if effects == 1:
        return np.ascontiguousarray(x[:, None]), np.log(weight) + x**2
    pair = np.multiply.outer(weight, weight)
    first, second = np.nonzero(pair > LEAST_WEIGHT * pair.max())
    both = np.column_stack([x[first], x[second]])
    return both, np.log(pair[first, second]) + (both**2).sum(axis=1)
