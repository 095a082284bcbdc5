"""What is compiled of the quadrature engine, loaded in one visible step: a function for all families and shapes."""

from __future__ import annotations

import subprocess
import threading
import time

import numpy as np

from bayes_alliance.collapse.warm import SLOW, begin_beside, leave_beside
from bayes_alliance.quadrature.kernel.draws import drawer
from bayes_alliance.quadrature.kernel.evaluate import evaluator
from bayes_alliance.quadrature.kernel.rows import SOFTPLUS, Rows
from bayes_alliance.quadrature.nodes import make_nodes

_LOADED: dict[str, float] = {}
"""Seconds by what this process has compiled, or read from disk."""

VALUES, EFFECTS = "values", "effects"
"""The functions that every fit needs, and that effects need once they are asked for."""


def load_quadrature() -> float:
    """Load the function of values, and return the seconds that took; 0 where it was loaded before.

    Where it must be compiled, that of effects is meanwhile, in another process that is not waited for.
    """
    if VALUES in _LOADED:
        return 0.0
    begun: list[subprocess.Popen[bytes]] = []
    code = f"from bayes_alliance.quadrature.compilation import load; load({EFFECTS!r})"
    timer = threading.Timer(SLOW, lambda: begun.append(begin_beside(code)))
    timer.daemon = True
    timer.start()
    try:
        seconds = load(VALUES)
    finally:
        timer.cancel()
        timer.join()
        for process in begun:
            leave_beside(process)
    return seconds


def load(what: str) -> float:
    """Load a compiled function by calling it on one row, and return the seconds that took."""
    begun = time.perf_counter()
    nodes, one, place = make_nodes(0, 1), np.ones(1), np.zeros(1, dtype=np.int64)
    ends = np.array([0, 1])
    rows = Rows(
        np.ones((1, 1)), place, place - 1, one, place, one, one, place, one, np.ones((1, 1)), ends, one, place,
        np.ones((1, 3)), ends, one, one,
    )  # fmt: skip
    sizes = np.array([SOFTPLUS, 0, 1, 0, 0, 1, 0])
    point, modes, outer = np.array([[0.0, 1.0]]), np.zeros((1, 2)), np.zeros(1)
    if what == VALUES:
        evaluator()(
            sizes, rows, point, np.empty(1), modes, outer, nodes.inner, nodes.logs, nodes.outer, nodes.outer_logs, False
        )  # fmt: skip
    else:
        inner, groups = np.empty((1, 1, 1)), np.empty((1, 1))
        drawer()(sizes, rows, point, place, inner, groups, modes, outer, nodes.inner, nodes.logs)
    _LOADED[what] = time.perf_counter() - begun
    return _LOADED[what]
