"""The quadrature engine from a design to draws of every parameter."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr

from bayes_alliance._messages import count_of
from bayes_alliance.collapse.frame import Frame
from bayes_alliance.collapse.laplace import find_frame
from bayes_alliance.collapse.sampler import PARETO_K, Draws, pareto_shape, sample_independently
from bayes_alliance.design.design import Design
from bayes_alliance.quadrature.density import Density, make_density
from bayes_alliance.quadrature.nodes import LADDER, OUTER, nodes_per_effect
from bayes_alliance.quadrature.parameters import Parameters, first_guess, list_parameters
from bayes_alliance.quadrature.stack import stack_units

MOVED = 0.03
"""How far, in posterior SDs, twice the nodes may move a mean or an SD."""

STILL = 0.05
"""Spread of log-densities at more nodes, around those at fewer, below which nothing can move so far."""

GRID = np.linspace(-6.0, 6.0, 61)
"""Standardised effects at which second modes are looked for."""

DEPTH = 12.0
"""How much lower than the highest a mode may be, in logarithms, to be worth a look."""

PROBES, JUDGES = 64, 400
"""Points at which nodes are chosen, and draws at which the choice is judged."""


@dataclass(frozen=True, eq=False)
class Integrated:
    """Draws by the quadrature engine, effects integrated out.

    ``points`` has shape (chain, draw, parameter) with SDs as positive numbers, in the order of ``parameters``. ``why``
    says how good proposals were, and at how many nodes integrals stood still.
    """

    parameters: Parameters
    points: np.ndarray
    statistics: xr.Dataset
    rung: int
    why: str
    seconds: float


def density_of(design: Design) -> Density:
    """Return the log-density of a design that the engine can fit."""
    stacked = stack_units(design)
    return make_density(stacked, list_parameters(design, stacked))


def sample_integrated(
    design: Design,
    *,
    draws: int,
    chains: int,
    cores: int | None,
    seed: int,
    told: Callable[[float], None] | None = None,
) -> Integrated | str:
    """Sample coefficients, thresholds, shapes, SDs and correlations; where that fails, return in what way.

    Parameters
    ----------
    design : Design
        Without obstacles.
    draws, chains, cores
        As in ``SamplerSettings``.
    seed : int
        For the sampler alone.
    told : callable, optional
        Called with the seconds left, where these are more than a few.
    """
    begun, workers = time.perf_counter(), cores or os.cpu_count() or 1
    density = density_of(design)
    start = first_guess(design, density.parameters)
    frame, rung = None, 0
    while rung < len(LADDER) - 1:
        density = density.at_rung(rung)
        if frame is None or rung > 0:
            frame = find_frame(density, start, workers)
            density = density.near(frame.centre, frame.logs)
            start = _with_logs(frame)
        looked = design.equation.kind.several_modes and density.stacked.effects > 0 and rung == 0
        several = _find_second_modes(density, frame) if looked else 0
        if several:
            return (
                f"{count_of(several, 'unit')} may have effects in several places: integrals around one mode miss them."
            )
        if not _stands_still(density, frame, _probe(frame, seed), workers):
            rung += 1
            continue
        done = sample_independently(
            density,
            partial(_value, density, frame.logs, workers),
            frame,
            np.random.default_rng(seed),
            size=(chains, draws),
            workers=workers,
            told=told,
        )
        if not isinstance(done, Draws):
            return done
        flat = done.values.reshape(-1, density.size)
        judged = flat[np.linspace(0, len(flat) - 1, min(JUDGES, len(flat))).astype(int)]
        if _stands_still(density, Frame(done.logs, frame.centre, frame.scale), judged, workers):
            points = density.parameters.plain(done.values, done.logs)
            why = f"{done.why} {_say_nodes(density)}"
            return Integrated(density.parameters, points, done.statistics, rung, why, time.perf_counter() - begun)
        rung += 1
    return f"Integrals over effects did not stand still at {LADDER[-2]} nodes per effect."


def _value(density: Density, logs: np.ndarray, workers: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the log-density at points, and that nothing more is drawn given each."""
    return density.values(points, logs, workers), np.empty((len(points), 0))


def _say_nodes(density: Density) -> str:
    """Return a sentence on the nodes that a density is worked out with."""
    if density.stacked.effects == 0:
        return "Nothing is integrated out."
    outer = "" if density.stacked.outer is None else f", and {OUTER[density.rung]} per {density.stacked.outer.factor}"
    inner = density.stacked.inner
    name = "unit" if inner is None else inner.factor
    count = nodes_per_effect(density.rung, density.stacked.effects)
    return f"Integrals take {count} nodes per effect of a {name}{outer}; about twice as many change nothing."


def _with_logs(frame: Frame) -> np.ndarray:
    """Return the centre of a frame with all SDs as logarithms."""
    start, count = frame.centre.copy(), len(frame.logs)
    start[:count] = np.where(frame.logs, start[:count], np.log(np.maximum(np.abs(start[:count]), 1e-3)))
    return start


def _probe(frame: Frame, seed: int) -> np.ndarray:
    """Return a few points of the normal that a frame is of."""
    z = np.random.default_rng(seed).normal(size=(PROBES, len(frame.centre)))
    return np.asarray(frame.centre + z @ frame.scale.T)


def _stands_still(density: Density, frame: Frame, points: np.ndarray, workers: int) -> bool:
    """Return whether about twice the nodes would move no mean or SD of points by more than a little."""
    if density.stacked.effects == 0:
        return True
    before = density.values(points, frame.logs, workers)
    more = density.at_rung(density.rung + 1).values(points, frame.logs, workers)
    known = np.isfinite(before) & np.isfinite(more)
    points, change = points[known], (more - before)[known]
    if len(points) < 2:
        return False
    change = change - change.mean()
    if np.abs(change).max() < STILL:
        return True
    weights = np.exp(change - change.max())
    weights /= weights.sum()
    spread = points.std(axis=0)
    mean = weights @ points
    moved = np.abs(mean - points.mean(axis=0)) / spread
    other = np.sqrt(weights @ (points - mean) ** 2) / spread
    return bool(moved.max() <= MOVED and np.abs(other - 1).max() <= MOVED and pareto_shape(change) < PARETO_K)


def _find_second_modes(density: Density, frame: Frame) -> int:
    """Return how many units have a second mode of their effects at the centre of a frame, that is worth a look."""
    heights = density.heights(frame.centre, frame.logs, GRID)
    size = len(GRID)
    shape = (len(heights), *(size,) * density.stacked.effects)
    padded = np.pad(heights.reshape(shape), ((0, 0), *((1, 1),) * density.stacked.effects), constant_values=-np.inf)
    inside = (slice(None), *(slice(1, -1),) * density.stacked.effects)
    peak = np.ones(shape, dtype=bool)
    for axis in range(1, padded.ndim):
        for shift in (-1, 1):
            peak &= padded[inside] > np.roll(padded, shift, axis=axis)[inside]
    top = padded[inside].reshape(len(heights), -1).max(axis=1)
    near = padded[inside] > top.reshape(-1, *(1,) * density.stacked.effects) - DEPTH
    return int(((peak & near).reshape(len(heights), -1).sum(axis=1) > 1).sum())
