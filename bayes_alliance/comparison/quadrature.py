"""Effects integrated out of the densities of a unit's rows: by quadrature, or by importance sampling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Final

import numpy as np
from scipy.stats import qmc, t

from bayes_alliance.outcome.contract import OutcomeRows

NODES: Final = {1: 21, 2: 15, 3: 9}
"""Points per dimension of adaptive Gauss-Hermite quadrature."""

POINTS, HEAVY = 512, 5.0
"""Where there are more dimensions: points of importance sampling, and degrees of freedom of its t proposal."""

EDGE, FINE = 8.0, 0.7
"""Where rows are t: how far a grid reaches, in SDs of the effect, and its step in SDs of its sharpest peak."""

STEPS = 30
"""Newton steps to the mode, at most."""

DIFFERENCE = 1e-3
"""Step of differences that stand for derivatives, in SDs of an effect."""

OUTER: Final = {1: 21, 2: 11, 3: 7}
"""Points per effect on parameters of adaptive Gauss-Hermite quadrature."""

MOST_PARAMETER_EFFECTS: Final = max(OUTER)
"""Effects on parameters that are integrated out at most."""

AT_ONCE = 4_000_000
"""Numbers that are held at a time."""


def integrate_around_mode(log_density: Callable[[np.ndarray], np.ndarray], draws: int, count: int) -> np.ndarray:
    """Return the log of the integral of a density over a few variables, shape (draw,).

    Adaptive Gauss-Hermite quadrature. Newton's method with derivatives by differences finds the mode of every draw.

    Parameters
    ----------
    log_density : callable
        Takes values of shape (draw, count) and returns shape (draw,); near its mode it is close to a normal one.
    draws, count : int
        Numbers of draws and of variables.
    """
    mode, eye = np.zeros((draws, count)), np.eye(count) * DIFFERENCE
    for _ in range(STEPS):
        middle = log_density(mode)
        up = np.stack([log_density(mode + eye[i]) for i in range(count)], axis=1)
        down = np.stack([log_density(mode - eye[i]) for i in range(count)], axis=1)
        slope = (up - down) / (2 * DIFFERENCE)
        bend = np.zeros((draws, count, count))
        for i in range(count):
            bend[:, i, i] = (up[:, i] - 2 * middle + down[:, i]) / DIFFERENCE**2
            for j in range(i):
                across = log_density(mode + eye[i] + eye[j]) - up[:, i] - up[:, j] + middle
                bend[:, i, j] = bend[:, j, i] = across / DIFFERENCE**2
        # where the density is not concave yet, the curvature of the prior alone leads on
        concave = np.linalg.eigvalsh(-bend).min(axis=1) > 0.1
        precision = np.where(concave[:, None, None], -bend, np.eye(count))
        step = np.linalg.solve(precision, slope[..., None])[..., 0]
        step = step / np.maximum(1.0, np.abs(step).max(axis=1, keepdims=True))
        mode = mode + step
        if np.abs(step).max() < 1e-4:
            break
    root = np.linalg.cholesky(np.linalg.inv(precision))
    x, w = np.polynomial.hermite_e.hermegauss(OUTER[count])
    terms = []
    for chosen in product(range(len(x)), repeat=count):
        node = x[list(chosen)]
        weight = np.log(w[list(chosen)]).sum() + 0.5 * (node**2).sum()
        terms.append(log_density(mode + root @ node) + weight)
    log_det = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    return np.asarray(log_det + np.logaddexp.reduce(terms, axis=0))


def average_density(eta: np.ndarray, load: np.ndarray, outcomes: Sequence[OutcomeRows]) -> np.ndarray:
    """Return log E[p(y | eta + load z)] for standard normal z, shape (draw,); rows of families one after the other."""
    if load.shape[2] == 0 or not load.any():
        return _log_density(eta, outcomes).sum(axis=1)
    peaks = load.shape[2] == 1 and any(rows.family.several_modes for rows in outcomes)
    nodes = _grid(load, outcomes)[0] if peaks else _nodes(load.shape[2])[0]
    draws = max(1, AT_ONCE // (len(nodes) * (eta.shape[1] + load.shape[2])))
    found = []
    for start in range(0, len(eta), draws):
        p = slice(start, start + draws)
        own = [rows.drawn(p) for rows in outcomes]
        found.append(_over_grid(eta[p], load[p], own) if peaks else _around_mode(eta[p], load[p], own))
    return np.concatenate(found)


def _over_grid(eta: np.ndarray, load: np.ndarray, outcomes: Sequence[OutcomeRows]) -> np.ndarray:
    """Return the same for one effect by the trapezoidal rule: t rows that disagree have a peak each."""
    z, step = _grid(load, outcomes)
    value = eta[:, None] + z[:, None] * load[:, None, :, 0]
    inside = _log_density(value, [rows.at_points() for rows in outcomes]).sum(axis=2)
    return np.asarray(np.logaddexp.reduce(inside - 0.5 * z**2 - 0.5 * np.log(2 * np.pi) + np.log(step), axis=1))


def _grid(load: np.ndarray, outcomes: Sequence[OutcomeRows]) -> tuple[np.ndarray, float]:
    """Return points of one effect, and their distance: fine enough for the sharpest peak rows could have together."""
    information = np.ones(len(load))
    for rows, own in zip(outcomes, _split(load[..., 0], outcomes), strict=True):
        information = information + (rows.family.sharpest(rows) * own**2).sum(axis=1)
    count = int(np.clip(np.ceil(2 * EDGE / (FINE / np.sqrt(information.max()))), 50, 2000))
    z = np.linspace(-EDGE, EDGE, count)
    return z, float(z[1] - z[0])


def _split(values: np.ndarray, outcomes: Sequence[OutcomeRows]) -> list[np.ndarray]:
    """Return values of rows, the last axis, family by family."""
    return np.split(values, np.cumsum([len(rows.y) for rows in outcomes])[:-1], axis=-1)


def _log_density(eta: np.ndarray, outcomes: Sequence[OutcomeRows]) -> np.ndarray:
    parts = [rows.log_density(own) for rows, own in zip(outcomes, _split(eta, outcomes), strict=True)]
    return np.concatenate(parts, axis=-1)


def _around_mode(eta: np.ndarray, load: np.ndarray, outcomes: Sequence[OutcomeRows]) -> np.ndarray:
    size = load.shape[2]
    mode = np.zeros((len(eta), size))
    turned = load.transpose(0, 2, 1)
    for _ in range(STEPS):
        value = eta + (load @ mode[..., None])[..., 0]
        parts = list(zip(outcomes, _split(value, outcomes), strict=True))
        slope = np.concatenate([rows.derivatives(own)[0] for rows, own in parts], axis=1)
        information = np.concatenate([rows.information(own) for rows, own in parts], axis=1)
        hessian = np.eye(size) + turned @ (load * information[..., None])
        climb = (turned @ slope[..., None])[..., 0] - mode
        step = np.linalg.solve(hessian, climb[..., None])[..., 0]
        mode = mode + step / np.maximum(1.0, np.abs(step).max(axis=1, keepdims=True) / 2)
        if np.abs(step).max() < 1e-8:
            break
    root = np.linalg.cholesky(np.linalg.inv(hessian))
    nodes, log_weights = _nodes(size)
    z = mode[:, None] + nodes @ root.transpose(0, 2, 1)
    value = eta[:, None] + z @ turned
    inside = _log_density(value, [rows.at_points() for rows in outcomes]).sum(axis=2)
    inside = inside - 0.5 * (z**2).sum(axis=2) - 0.5 * size * np.log(2 * np.pi)
    log_det = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    return np.asarray(log_det + np.logaddexp.reduce(inside + log_weights, axis=1))


def _nodes(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return points, shape (point, dimension), and logs of weight over the density they stand for."""
    if size in NODES:
        x, w = np.polynomial.hermite_e.hermegauss(NODES[size])
        grid = np.stack(np.meshgrid(*[x] * size, indexing="ij"), axis=-1).reshape(-1, size)
        weights = np.stack(np.meshgrid(*[np.log(w)] * size, indexing="ij"), axis=-1).reshape(-1, size).sum(axis=1)
        return grid, weights + 0.5 * (grid**2).sum(axis=1)
    uniform = qmc.Sobol(size, rng=1).random(POINTS)
    uniform = np.clip(uniform, 1e-9, 1 - 1e-9)
    # one t per coordinate has tails at least as heavy as the normal prior times a bounded likelihood
    points = t.ppf(uniform, HEAVY)
    log_density = t.logpdf(points, HEAVY).sum(axis=1)
    return points, -log_density - np.log(POINTS)
