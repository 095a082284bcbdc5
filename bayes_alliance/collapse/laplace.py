"""The mode of the sampled parameters, and coordinates in which the posterior is near a normal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from bayes_alliance.collapse.frame import Frame
from bayes_alliance.collapse.target import Target

NEAR_ZERO = 0.15
"""Posterior SD of log SD above which an SD is sampled as it is, of either sign: 0 is then within reach."""

STEP = 1e-3
"""Step of second differences, in units of the parameters (logarithms, inverse hyperbolic tangents)."""

SMALL = 1e-5
"""Step of first differences."""

FARTHEST = 8.0
"""How far from the first guess a mode may be, in logarithms: SDs 3,000 times larger or smaller."""

STEEP = 1e-2
"""Slope that may be left at a mode."""

LEFT = 1e-3
"""How much higher a mode may be than where a search ended, by the curvature that the search has learnt."""

STOP = {"maxiter": 200, "ftol": 1e-13, "gtol": 1e-6}
"""When a search by slopes ends: changes and slopes as small as differences of values can tell."""

RISEN = 1e-5
"""By how much less than that the log-density must rise in a step for a search to end."""

LOWEST = -1e100
"""Stands for a log-density of minus infinity in differences."""

HEAVY = 200_000
"""Numbers of the statistics from which an evaluation takes long."""

WIDEST = 3.0
"""Largest scale of a direction: on it an SD changes 20-fold, or a correlation covers nearly all it can."""


def find_frame(density: Target, start: np.ndarray, cores: int = 1) -> Frame:
    """Return coordinates centred at the mode.

    The mode is first found with all SDs as logarithms, where it exists for any proper prior. An SD that may be 0 is
    then taken as it is, with either sign: the density is even in it and smooth through 0, so that nothing piles up at
    an edge. One whose prior has no density at 0 stays a logarithm.

    Parameters
    ----------
    density : Target
        The log-density.
    start : ndarray, shape (parameter,)
        With all SDs as logarithms.
    cores : int
        Threads.
    """
    sds = density.sds
    target = _Target(density, np.ones(sds, dtype=bool), np.ones(density.size), cores)
    mode = _climb(target, start)
    covariance = _covariance(target, mode)
    logs = (np.sqrt(np.diag(covariance)[:sds]) < NEAR_ZERO) | density.above_zero
    if logs.all():
        return Frame(logs, mode, _root(covariance))
    # an SD as it is counts in units of its mode as a logarithm, so that outcomes in other units change nothing
    unit = np.ones(len(mode))
    unit[:sds] = np.where(logs, 1.0, np.exp(mode[:sds]))
    target = _Target(density, logs, unit, cores)
    natural = _climb(target, np.where(np.append(logs, np.ones(len(mode) - sds, dtype=bool)), mode, 1.0))
    covariance = _covariance(target, natural)
    signed = np.flatnonzero(~logs)
    natural[signed] = np.maximum(np.abs(natural[signed]), 0.8 * np.sqrt(np.diag(covariance)[signed]))
    return Frame(logs, natural * unit, _root(covariance) * unit[:, None])


@dataclass(frozen=True, eq=False)
class _Target:
    """What is climbed: minus a log-density at parameters in units of their own, as ``logs`` says of SDs."""

    density: Target
    logs: np.ndarray
    unit: np.ndarray
    cores: int

    def values(self, points: np.ndarray) -> np.ndarray:
        """Return minus the log-density at points, shape (point, parameter); very large where numbers break down."""
        values = self.density.values(points * self.unit, self.logs, self.cores)
        return np.asarray(-np.maximum(np.where(np.isfinite(values), values, LOWEST), LOWEST))

    def value_and_slope(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return minus the log-density and its slope."""
        if self.density.exact_slopes:
            value, slope = self.density.gradient(x * self.unit, self.logs)
            value, slope = -value, -slope * self.unit
        elif self.density.numbers > HEAVY:
            # on one side: half the evaluations, and off by a hundred-thousandth of what so many rows leave open
            values = self.values(np.concatenate([[x], x + SMALL * np.eye(len(x))]))
            value, slope = float(values[0]), (values[1:] - values[0]) / SMALL
        else:
            steps = SMALL * np.eye(len(x))
            values = self.values(np.concatenate([[x], x + steps, x - steps]))
            value, slope = float(values[0]), (values[1 : len(x) + 1] - values[len(x) + 1 :]) / (2 * SMALL)
        return (value, slope) if np.isfinite(value) else (-LOWEST, np.zeros(len(x)))


def _climb(target: _Target, start: np.ndarray) -> np.ndarray:
    """Return the mode: by slopes, anew from where these end early, else without them."""
    first, steepest = target.value_and_slope(start)
    base = first if first < -LOWEST else 0.0
    # in these units the first step is no longer than 1: slopes of many rows would send it to the farthest corner
    unit = max(1.0, float(np.abs(steepest).max(initial=0.0)))
    limits = list(zip(start - FARTHEST, start + FARTHEST, strict=True))

    def cost(x: np.ndarray) -> tuple[float, np.ndarray]:
        # less the first value: a search ends by changes relative to the value, whose size means nothing
        value, slope = target.value_and_slope(x)
        return (value - base) / unit, slope / unit

    at, stop = start, STOP | {"ftol": max(STOP["ftol"], RISEN / unit)}
    for _ in range(2):
        found = minimize(cost, at, jac=True, method="L-BFGS-B", bounds=limits, options=stop)
        free = (found.x > start - FARTHEST) & (found.x < start + FARTHEST)
        slope = np.where(free, found.jac, 0.0)
        worse = found.fun * unit + base > min(first, -LOWEST / 2)
        left = 0.5 * unit * float(slope @ found.hess_inv(slope))
        if not worse and (np.abs(slope).max(initial=0.0) <= STEEP / unit or left <= LEFT):
            return np.asarray(found.x)
        at = start if worse else found.x
    # a step went where numbers break down: go without slopes, which never leaves the good side
    alone = {"maxiter": 400 * len(start)}
    found = minimize(lambda x: (target.values(x[None])[0] - base) / unit, at, method="Nelder-Mead", options=alone)
    return np.asarray(found.x)


def _covariance(target: _Target, point: np.ndarray) -> np.ndarray:
    """Return the inverse of minus the second derivatives, flat or upward directions set to the widest scale."""
    size = len(point)
    steps = STEP * np.eye(size)
    if target.density.exact_slopes:
        rows = [target.value_and_slope(point + s)[1] - target.value_and_slope(point - s)[1] for s in steps]
        hessian = np.array(rows) / (2 * STEP)
    else:
        one, two = np.tril_indices(size)
        corners = [point + a * steps[one] + b * steps[two] for a in (1, -1) for b in (1, -1)]
        values = target.values(np.concatenate(corners)).reshape(4, -1)
        hessian = np.zeros((size, size))
        hessian[one, two] = (values[0] - values[1] - values[2] + values[3]) / (4 * STEP**2)
        hessian[two, one] = hessian[one, two]
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
