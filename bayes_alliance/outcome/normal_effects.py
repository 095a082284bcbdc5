"""Means of functions of a linear predictor over a normal effect that is added to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import scipy

type Function = Callable[[np.ndarray], np.ndarray]
"""Of the linear predictor, value by value."""

REACH: Final = 6.0
"""SDs of a normal effect that are integrated over: 2e-9 of it lies further out."""

STEP: Final = 0.6
"""Distance of the points of the trapezoidal rule, in units of the linear predictor.

A link with its nearest pole pi / 2 away (cloglog; pi for logit) is integrated with an error of about
exp(-pi^2 / STEP) = 7e-8 (Trefethen and Weideman 2014)."""

MOST_NODES: Final = 2000
"""Points of the rule at most: enough for effects with an SD of 100 on the scale of the link."""

SPACING: Final = 0.05
"""Distance of the points of a table of means, in predictor and SD: cubic splines are then off by 5e-8 for cloglog."""

EDGE: Final = 12
"""Points of a table beyond what is read: what is wrong at the ends of a cubic spline falls to .27 with every point."""

FEW: Final = 10_000
"""Values for which no table is made."""

A_THREAD: Final = 200_000
"""Values that a thread of its own is worth."""

MOST_THREADS: Final = 8
"""Threads that a table is read by at most."""

SAVED: Final = 4
"""Points of a table are at most this part of the values that it saves."""


def normal_rule(sd: float) -> Iterator[tuple[float, float]]:
    """Yield points and weights that integrate over a standard normal variable, multiplied by up to ``sd``."""
    if sd == 0:
        yield 0.0, 1.0
        return
    step = min(0.5, STEP / sd)
    half = min(int(np.ceil(REACH / step)), MOST_NODES // 2)
    nodes = np.linspace(-REACH, REACH, 2 * half + 1)
    weights = np.exp(-0.5 * nodes**2)
    yield from zip(nodes.tolist(), (weights / weights.sum()).tolist(), strict=True)


def integrate(function: Function, linear: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return the mean of a function with a normal effect added to the linear predictor, by the trapezoidal rule.

    Parameters
    ----------
    function : callable
        May differ between values, such as by thresholds in every draw.
    linear, sd : ndarray of one shape
        The linear predictor, and the SD of the effect.
    """
    total = np.zeros_like(linear)
    for node, weight in normal_rule(float(sd.max(initial=0.0))):
        total += weight * function(linear + node * sd)
    return total


def integrate_same(function: Function, linear: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return what ``integrate`` does, for a function that is the same for all values.

    Many values are read from a table of means over predictor and SD, by cubic splines. A mean is even in the SD, so the
    table is mirrored at 0.
    """
    if linear.size < FEW:
        return integrate(function, linear, sd)
    lowest, widest = float(linear.min()), float(sd.max())
    sizes = np.ceil((np.array([float(linear.max()) - lowest, widest])) / SPACING) + EDGE + 1
    sizes[0] += EDGE
    if widest == 0 or not SAVED * sizes.prod() <= linear.size:  # nor where a value is no number
        return integrate(function, linear, sd)
    start = lowest - EDGE * SPACING
    across, down = start + SPACING * np.arange(sizes[0]), SPACING * np.arange(sizes[1])
    means = integrate(function, *np.meshgrid(across, down, indexing="ij"))
    splines = scipy.ndimage.spline_filter(means, order=3, mode="mirror")
    places = ((linear - start) / SPACING).ravel(), (sd / SPACING).ravel()
    return _read_table(splines, places).reshape(linear.shape)


def _read_table(splines: np.ndarray, places: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return the table's values at places, some of them on each core: SciPy reads without holding Python up."""
    threads = max(1, min(MOST_THREADS, os.cpu_count() or 1, len(places[0]) // A_THREAD))
    parts = zip(*(np.array_split(own, threads) for own in places), strict=True)

    def read(part: tuple[np.ndarray, ...]) -> np.ndarray:
        return np.asarray(scipy.ndimage.map_coordinates(splines, part, order=3, mode="mirror", prefilter=False))

    if threads == 1:
        return read(places)
    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(read, parts)))
