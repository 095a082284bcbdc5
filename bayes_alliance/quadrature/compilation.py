"""What is compiled of the quadrature engine, loaded in one visible step: one function for all families and shapes."""

from __future__ import annotations

import time

import numpy as np

from bayes_alliance.quadrature.kernel.evaluate import evaluator
from bayes_alliance.quadrature.kernel.rows import SOFTPLUS, Rows
from bayes_alliance.quadrature.nodes import make_nodes

_LOADED: dict[str, float] = {}
"""Seconds by what this process has compiled, or read from disk."""


def load_quadrature() -> float:
    """Load the compiled function, and return the seconds that took; 0 where it was loaded before."""
    if "values" in _LOADED:
        return 0.0
    begun = time.perf_counter()
    nodes, one, place = make_nodes(0, 1), np.ones(1), np.zeros(1, dtype=np.int64)
    ends = np.array([0, 1])
    rows = Rows(
        np.ones((1, 1)), place, place - 1, one, place, one, one, place, one, np.ones((1, 1)), ends, one, place,
        np.ones((1, 3)), ends, one, one,
    )  # fmt: skip
    sizes = np.array([SOFTPLUS, 0, 1, 0, 0, 1, 0])
    modes, outer = np.zeros((1, 2)), np.zeros(1)
    evaluator()(
        sizes, rows, np.array([[0.0, 1.0]]), np.empty(1), modes, outer, nodes.inner, nodes.logs, nodes.outer,
        nodes.outer_logs, False,
    )  # fmt: skip
    _LOADED["values"] = time.perf_counter() - begun
    return _LOADED["values"]
