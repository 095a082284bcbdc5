"""The mode of the sampled parameters, and coordinates in which the posterior is near a normal."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from bayes_alliance.collapse.density import Density, Frame

NEAR_ZERO = 0.15
"""Posterior SD of log SD above which an SD is sampled as it is, of either sign: 0 is then within reach."""

STEP = 1e-3
"""Step of second differences, in units of the parameters (logarithms, inverse hyperbolic tangents)."""

SMALL = 1e-5
"""Step of first differences."""

FARTHEST = 8.0
"""How far from the first guess a mode may be, in logarithms: SDs 3,000 times larger or smaller."""

STEEP = 1e-2
"""Share of the slope at the first guess that may be left at a mode."""

LOWEST = -1e100
"""Stands for a log-density of minus infinity in differences."""

FEW = 12
"""Parameters up to which slopes are differences of values, unless that takes long: no gradient to compile."""

HEAVY = 200_000
"""Numbers of the statistics from which an evaluation takes long."""

WIDEST = 3.0
"""Largest scale of a direction: on it an SD changes 20-fold, or a correlation covers nearly all it can."""


def find_frame(density: Density, start: np.ndarray, cores: int = 1) -> Frame:
    """Return coordinates centred at the mode.

    The mode is first found with all SDs as logarithms, where it exists for any proper prior. An SD that may be 0 is
    then taken as it is, with either sign: the density is even in it and smooth through 0, so that nothing piles up at
    an edge.

    Parameters
    ----------
    density : Density
        The log-density.
    start : ndarray, shape (parameter,)
        With all SDs as logarithms.
    cores : int
        Threads.
    """
    sds = density.sds
    logs = np.ones(sds, dtype=bool)
    mode = _climb(density, start, logs, cores)
    covariance = _covariance(density, mode, logs, cores)
    logs = np.sqrt(np.diag(covariance)[:sds]) < NEAR_ZERO
    if logs.all():
        return Frame(logs, mode, _root(covariance))
    natural = mode.copy()
    natural[:sds] = np.where(logs, mode[:sds], np.exp(mode[:sds]))
    natural = _climb(density, natural, logs, cores)
    covariance = _covariance(density, natural, logs, cores)
    signed = np.flatnonzero(~logs)
    natural[signed] = np.maximum(np.abs(natural[signed]), 0.8 * np.sqrt(np.diag(covariance)[signed]))
    return Frame(logs, natural, _root(covariance))


def _climb(density: Density, start: np.ndarray, logs: np.ndarray, cores: int) -> np.ndarray:
    # in these units the first step is no longer than 1: slopes of many rows would send it to the farthest corner
    first, steepest = _negative(density, start, logs, cores)
    unit = max(1.0, float(np.abs(steepest).max(initial=0.0)))

    def cost(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = _negative(density, x, logs, cores)
        return value / unit, slope / unit

    limits = list(zip(start - FARTHEST, start + FARTHEST, strict=True))
    found = minimize(cost, start, jac=True, method="L-BFGS-B", bounds=limits, options={"maxiter": 200})
    free = (found.x > start - FARTHEST) & (found.x < start + FARTHEST)
    if found.fun > first / unit or found.fun >= -LOWEST / unit or np.abs(found.jac[free]).max(initial=0.0) > STEEP:
        # a step went where numbers break down: go without slopes, which never leaves the good side
        found = minimize(lambda x: cost(x)[0], found.x, method="Nelder-Mead", options={"maxiter": 400 * len(start)})
    return np.asarray(found.x)


def _negative(density: Density, x: np.ndarray, logs: np.ndarray, cores: int) -> tuple[float, np.ndarray]:
    """Return minus the log-density and its slope."""
    if _has_gradient(density):
        value, slope = density.gradient(x, logs)
    else:
        steps = SMALL * np.eye(len(x))
        values = density.values(np.concatenate([[x], x + steps, x - steps]), logs, cores)
        values = np.maximum(values, LOWEST)  # where numbers break down the density is 0
        value, slope = values[0], (values[1 : len(x) + 1] - values[len(x) + 1 :]) / (2 * SMALL)
    if not np.isfinite(value):
        return -LOWEST, np.zeros(len(x))
    return -float(value), -slope


def _has_gradient(density: Density) -> bool:
    return density.packed.size > FEW or len(density.packed.floats) > HEAVY


def _covariance(density: Density, point: np.ndarray, logs: np.ndarray, cores: int) -> np.ndarray:
    """Return the inverse of minus the second derivatives, flat or upward directions set to the widest scale."""
    size = len(point)
    steps = STEP * np.eye(size)
    if _has_gradient(density):
        rows = [density.gradient(point - s, logs)[1] - density.gradient(point + s, logs)[1] for s in steps]
        hessian = np.array(rows) / (2 * STEP)
    else:
        corners = [point + a * one + b * two for one in steps for two in steps for a in (1, -1) for b in (1, -1)]
        values = np.maximum(density.values(np.array(corners), logs, cores), LOWEST).reshape(size, size, 2, 2)
        hessian = -(values[..., 0, 0] - values[..., 0, 1] - values[..., 1, 0] + values[..., 1, 1]) / (4 * STEP**2)
    hessian = np.where(np.isfinite(hessian), hessian, 0.0)
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    return np.asarray((vectors / np.maximum(values, WIDEST**-2)) @ vectors.T)


def _root(covariance: np.ndarray) -> np.ndarray:
    """Return the lower triangular root of a covariance, also of one that rounding has left not positive definite.

    That happens where one direction is wider than another by more digits than numbers have; the narrow ones are then as
    wide as rounding is. Chains start and step by this root, and what they sample does not depend on it.
    """
    try:
        return np.asarray(np.linalg.cholesky(covariance))
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        values = np.maximum(values, len(values) * np.finfo(float).eps * values.max())
        upper = np.linalg.qr((vectors * np.sqrt(values)).T, mode="r")
        return np.asarray((upper * np.where(np.diag(upper) < 0, -1.0, 1.0)[:, None]).T)
