"""Exact joint draws of coefficients and group effects for every draw of the variances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayes_alliance.collapse.density import Density
from bayes_alliance.collapse.shape import Shape, find_places, pairs_of
from bayes_alliance.collapse.tables import Packed


@dataclass(frozen=True, eq=False)
class Recovered:
    """Draws of effects.

    ``coef`` has shape (draw, coef), intercepts at the centring constants, then means of variables whose means of units
    are latent; ``effects`` holds, by factor, shape (draw, level, effect).
    """

    coef: np.ndarray
    effects: dict[str, np.ndarray]


def count_effects(shape: Shape) -> int:
    """Return the number of group effects of a draw."""
    return sum(factor.levels * factor.effects for factor in shape.factors)


def recover(
    density: Density, units: Packed | None, points: np.ndarray, rng: np.random.Generator, *, cores: int
) -> Recovered:
    """Draw coefficients and, where ``units`` is given, all group effects.

    Parameters
    ----------
    density : Density
        Of the data.
    units : Packed, optional
        The same statistics, not pooled; None draws coefficients and effects of crossed factors only.
    points : ndarray, shape (draw, parameter)
        Sampled vectors with positive SDs, as they are.
    rng : Generator
        Coefficients come out the same whether or not group effects are drawn.
    cores : int
        Threads.
    """
    shape = density.shape
    coefs, last = len(shape.equation), len(shape.equation) + shape.crossed_columns
    chain = [shape.factors[i] for i in shape.chain]
    normals = rng.normal(size=(len(points), last))
    depth = 0
    if units is not None:
        depth = len(chain)
        rest = sum(factor.levels * factor.effects for factor in chain)
        normals = np.concatenate([normals, rng.normal(size=(len(points), rest))], axis=1)
    drawn = density.draw_effects(points, units or density.packed, normals, depth, cores)
    found: dict[str, np.ndarray] = {}
    loadings = loadings_of(shape, points)
    at = coefs
    for place in shape.crossed:
        factor = shape.factors[place]
        found[factor.name] = _unbased(drawn, at, factor.levels, factor.basis)
        at += factor.levels * factor.effects
    for factor in reversed(chain[:depth]):
        found[factor.name] = _unbased(drawn, at, factor.levels, factor.basis)
        at += factor.levels * factor.effects
    coef = shape.mean + shape.scale * drawn[:, :coefs]
    whole = np.empty((len(points), coefs + len(shape.loading)))
    # coefficients of the design, in its order; means of measured variables come behind them
    first = np.concatenate([shape.coef, np.arange(len(shape.coef), coefs) + len(shape.loading)])
    whole[:, first.astype(np.int64)], whole[:, shape.loading] = coef, loadings
    for place, number, by in shape.shifts:
        whole[:, shape.coef[place]] += by * loadings[:, number]
    return Recovered(whole, found)


def loadings_of(shape: Shape, points: np.ndarray) -> np.ndarray:
    """Return the loadings, shape (draw, loading); they are sampled in SDs of their priors."""
    return np.asarray(shape.loading_mean + shape.loading_scale * points[:, find_places(shape).loading :])


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
