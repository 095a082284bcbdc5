"""Exact draws of coefficients given variances, and of group effects given both."""

from __future__ import annotations

import numpy as np

from bayes_alliance.collapse.density import Density
from bayes_alliance.collapse.shape import Shape, find_places, pairs_of
from bayes_alliance.collapse.tables import Packed


def draw_coefs(
    density: Density, points: np.ndarray, logs: np.ndarray, rng: np.random.Generator, *, cores: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the log-density at sampled vectors, and one draw of all coefficients given each.

    Parameters
    ----------
    density : Density
        Of the data.
    points : ndarray, shape (draw, parameter)
        Sampled vectors, SDs as ``logs`` says.
    rng : Generator
        Of the standard normals.
    cores : int
        Threads.

    Returns
    -------
    ndarray, shape (draw,)
    ndarray, shape (draw, coef)
        Intercepts at the centring constants, then means of variables whose means of units are latent.
    """
    shape = density.shape
    normals = rng.normal(size=(len(points), len(shape.equation)))
    values, drawn = density.draw_coefs(points, logs, normals, cores)
    loadings = loadings_of(shape, points)
    whole = np.empty((len(points), drawn.shape[1] + len(shape.loading)))
    whole[:, _places(shape)], whole[:, shape.loading] = shape.mean + shape.scale * drawn, loadings
    for place, number, by in shape.shifts:
        whole[:, shape.coef[place]] += by * loadings[:, number]
    return values, whole


def draw_effects(
    density: Density, units: Packed, points: np.ndarray, coef: np.ndarray, rng: np.random.Generator, *, cores: int
) -> dict[str, np.ndarray]:
    """Return one draw of all group effects given variances and coefficients, by factor, shape (draw, level, effect).

    Parameters
    ----------
    density : Density
        Of the data.
    units : Packed
        The same statistics, not pooled.
    points : ndarray, shape (draw, parameter)
        Sampled vectors with positive SDs, as they are.
    coef : ndarray, shape (draw, coef)
        As ``draw_coefs`` returns it.
    rng : Generator
        Of the standard normals.
    cores : int
        Threads.
    """
    shape = density.shape
    given, loadings = coef.copy(), loadings_of(shape, points)
    for place, number, by in shape.shifts:
        given[:, shape.coef[place]] -= by * loadings[:, number]
    given = (given[:, _places(shape)] - shape.mean) / shape.scale
    order = [*(shape.factors[i] for i in shape.crossed), *(shape.factors[i] for i in reversed(shape.chain))]
    size = sum(factor.levels * factor.effects for factor in order)
    drawn = density.draw_effects(
        points, units, np.concatenate([given, rng.normal(size=(len(points), size))], axis=1), cores
    )
    found, at = {}, given.shape[1]
    for factor in order:
        found[factor.name] = _unbased(drawn, at, factor.levels, factor.basis)
        at += factor.levels * factor.effects
    return found


def _places(shape: Shape) -> np.ndarray:
    """Return where coefficients that are integrated out stand among all: of the design, then overall means."""
    behind = np.arange(len(shape.coef), len(shape.equation)) + len(shape.loading)
    return np.concatenate([shape.coef, behind]).astype(np.int64)


def loadings_of(shape: Shape, points: np.ndarray) -> np.ndarray:
    """Return the loadings, shape (draw, loading); they are sampled in SDs of their priors."""
    first = find_places(shape).loading
    return np.asarray(shape.loading_mean + shape.loading_scale * points[:, first : first + len(shape.loading)])


def effect_sds(shape: Shape, points: np.ndarray, factor: int) -> np.ndarray:
    """Return the SDs of a factor's effects, shape (draw, stratum, effect)."""
    own, places = shape.factors[factor], find_places(shape)
    if own.shared is None:
        first = places.sd[factor]
        return points[:, first : first + own.sds].reshape(len(points), own.strata, own.effects)
    first = places.sigma + own.shared
    return np.exp(points[:, first : first + own.strata]).reshape(len(points), own.strata, 1)


def _unbased(drawn: np.ndarray, at: int, levels: int, basis: np.ndarray) -> np.ndarray:
    block = drawn[:, at : at + levels * len(basis)].reshape(len(drawn), levels, len(basis))
    return np.asarray(block @ np.linalg.inv(basis).T)


def correlations(shape: Shape, points: np.ndarray, factor: int) -> np.ndarray:
    """Return the correlations of a factor's effects, shape (draw, stratum, effect, effect), 1 on the diagonal."""
    places, own = find_places(shape), shape.factors[factor]
    whole = np.zeros((len(points), own.strata, own.effects, own.effects))
    whole[:, :, range(own.effects), range(own.effects)] = 1.0
    for block, start in zip(own.blocks, places.cor[factor], strict=True):
        pairs = pairs_of(len(block))
        for stratum in range(own.strata):
            first = start + stratum * pairs
            matrix = _from_partial(points[:, first : first + pairs], len(block))
            whole[:, stratum, np.array(block)[:, None], np.array(block)] = matrix
    return whole


def residual_correlations(shape: Shape, points: np.ndarray) -> np.ndarray:
    """Return the correlations of residuals, shape (draw, stratum, outcome, outcome)."""
    size, places = shape.joint, find_places(shape)
    if shape.fixed is not None:
        return np.broadcast_to(shape.fixed, (len(points), shape.joint_strata, size, size)).copy()
    pairs = pairs_of(size)
    starts = [places.residual + stratum * pairs for stratum in range(shape.joint_strata)]
    return np.stack([_from_partial(points[:, s : s + pairs], size) for s in starts], axis=1)


def _from_partial(values: np.ndarray, size: int) -> np.ndarray:
    """Return correlation matrices from inverse hyperbolic tangents of partial correlations, row by row."""
    lower = np.zeros((len(values), size, size))
    pair = 0
    for i in range(size):
        before = np.ones(len(values))
        for j in range(i):
            lower[:, i, j] = np.tanh(values[:, pair]) * before
            before = before / np.cosh(values[:, pair])
            pair += 1
        lower[:, i, i] = before
    product = lower @ lower.transpose(0, 2, 1)
    product[:, range(size), range(size)] = 1.0
    return product


def to_partial(matrices: np.ndarray) -> np.ndarray:
    """Return inverse hyperbolic tangents of partial correlations of matrices, shape (draw, pair), row by row."""
    size = matrices.shape[-1]
    # a matrix at the edge has no Cholesky factor; this much off it is far below rounding of any effect
    lower = np.linalg.cholesky(matrices * (1 - 1e-14) + 1e-14 * np.eye(size))
    found = []
    for i in range(size):
        left = np.ones(len(matrices))
        for j in range(i):
            partial = lower[:, i, j] / np.sqrt(left)
            found.append(np.arctanh(np.clip(partial, -1 + 1e-15, 1 - 1e-15)))
            left = np.maximum(left - lower[:, i, j] ** 2, 1e-30)
    return np.stack(found, axis=1)
