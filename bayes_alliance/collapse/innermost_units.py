"""Innermost units for leaving out: thousands of small tables worked through by a compiled kernel, not one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from bayes_alliance.collapse.effect_draws import correlations, effect_sds, loadings_of, residual_correlations
from bayes_alliance.collapse.kernel.innermost_units import leave_out, sum_messages
from bayes_alliance.collapse.rows import EquationRows, Stacked, log_scale
from bayes_alliance.collapse.shape import KNOWN, Residuals, Shape, find_places

CHUNK = 500
"""Units that a thread takes at a time: their constants, by draw, are held in memory."""


PER_UNIT = ("number", "met", "stratum", "products", "place", "count", "scale")


@dataclass(frozen=True, eq=False)
class Leaves:
    """Innermost units that meet at most one level of every other factor, so that all tables have one layout.

    ``number`` are their levels, ``met`` of shape (unit, factor) the levels of the other factors they lie in, -1 for
    none; ``stratum`` says which covariance their effects have. ``products`` has shape (unit, weight, column, column):
    own effects, coefficients, effects of the other factors, outcomes. ``place`` of shape (unit, shared) says which of
    all columns the shared ones are, -1 for none; ``count`` of shape (unit, class) is the number of rows, ``scale`` of
    shape (unit,) the sum of logarithms of what they were multiplied by. ``weights`` of
    shape (draw, weight) and ``constants`` of shape (class, draw) come from residual SDs; ``lam`` of shape (draw,
    stratum, own, own) are roots of the covariances of own effects.
    """

    number: np.ndarray
    met: np.ndarray
    stratum: np.ndarray
    products: np.ndarray
    place: np.ndarray
    count: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    constants: np.ndarray
    lam: np.ndarray

    def chosen(self, units: np.ndarray) -> Leaves:
        """Return some of the units."""
        per_unit = {name: getattr(self, name)[units] for name in PER_UNIT}
        return replace(self, **per_unit)

    def columns(self, last: int) -> np.ndarray:
        """Return the shared columns of all units, in order, then the one that stands for outcomes."""
        return np.append(np.unique(self.place[self.place >= 0]), last)

    def messages(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what all units say about columns, shape (draw, column, column), and their constants, shape (draw,)."""
        at = _within(columns, self.place)
        message = np.zeros((len(self.weights), len(columns), len(columns)))
        constant = np.zeros(len(self.weights))
        for part in self._parts():
            base = self.count[part] @ self.constants + self.scale[part, None]
            given = (self.products[part], base, self.stratum[part], at[part])
            sum_messages(*given, self.weights, self.lam, message, constant)
        return message, constant

    def left_out(
        self,
        scored: Leaves | None,
        columns: np.ndarray,
        mean: np.ndarray,
        covariance: np.ndarray,
        found: tuple[np.ndarray, np.ndarray],
    ) -> list[Callable[[], None]]:
        """Return what is to be run, in any order or at once, to write each unit's log-density.

        Parameters
        ----------
        scored : Leaves, optional
            The same units with the outcomes whose density is wanted, where these are not all.
        columns, mean, covariance
            Of what units share, given all rows.
        found : tuple of ndarray, shape (draw, level)
            For densities given all other units, and given all.
        """
        at = _within(columns, self.place)
        target = self if scored is None else scored
        mean, covariance = np.ascontiguousarray(mean), np.ascontiguousarray(covariance)
        none = np.empty((0, *target.products.shape[1:]))

        def run(part: slice) -> None:
            products = none if scored is None else target.products[part]
            constants = target.count[part] @ target.constants + target.scale[part, None]
            wanted = (products, target.weights, constants)
            # the kernel writes to arrays of its own: parts of the draws' rows are not contiguous
            out, fitted = np.empty((2, len(self.weights), part.stop - part.start))
            all_of = (self.products[part], self.weights)
            leave_out(all_of, wanted, self.stratum[part], at[part], self.lam, mean, covariance, out, fitted)
            found[0][:, self.number[part]], found[1][:, self.number[part]] = out, fitted

        return [partial(run, part) for part in self._parts()]

    def _parts(self) -> list[slice]:
        size = len(self.number)
        return [slice(start, min(start + CHUNK, size)) for start in range(0, size, CHUNK)]


def find_leaves(stacked: Stacked, points: np.ndarray) -> Leaves | None:
    """Return the units of the innermost factor; None where one of them meets two levels of another factor."""
    shape = stacked.shape
    inner, links = shape.chain[0], stacked.links
    size = shape.factors[inner].levels
    others = [f for f in range(len(shape.factors)) if f != inner]
    met = np.full((size, len(shape.factors)), -1)
    for f in others:
        both = (links[:, inner] >= 0) & (links[:, f] >= 0)
        met[links[both, inner], f] = links[both, f]
        if (met[links[both, inner], f] != links[both, f]).any():
            return None
    lam = _root(shape, points, inner)
    sums = [_sum(stacked, number, inner, others) for number in range(len(stacked.classes))]
    weights = [_weights(shape, points, part.residuals) for part in stacked.classes]
    products = np.concatenate([products for products, _, _ in sums], axis=1)
    return Leaves(
        np.arange(size),
        met,
        shape.factors[inner].stratum,
        np.ascontiguousarray(products),
        _place(shape, met, others),
        np.column_stack([count for _, count, _ in sums]).astype(float),
        np.sum([constant for _, _, constant in sums], axis=0),
        np.ascontiguousarray(np.concatenate([values for values, _ in weights], axis=1)),
        np.array([constant for _, constant in weights]),
        lam,
    )


def _within(columns: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return where places stand among columns, -1 kept."""
    return np.where(place >= 0, np.searchsorted(columns[:-1], place), -1)


def _place(shape: Shape, met: np.ndarray, others: list[int]) -> np.ndarray:
    coefficients = len(shape.equation)
    parts = [np.tile(np.arange(coefficients), (len(met), 1))]
    for f in others:
        size = shape.factors[f].effects
        first = shape.effect_starts[f] + met[:, f] * size
        parts.append(np.where(met[:, f, None] >= 0, first[:, None] + np.arange(size), -1))
    return np.ascontiguousarray(np.concatenate(parts, axis=1))


def _sum(stacked: Stacked, number: int, inner: int, others: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return one class's cross-products, one per pair of its pieces, by unit; its rows, and their scale, by unit."""
    shape, part = stacked.shape, stacked.classes[number]
    size = shape.factors[inner].levels
    pieces = [(stacked.rows[piece.rows], rows) for piece, rows in zip(part.residuals.parts, part.rows, strict=True)]
    unit = np.max([own.code[inner][rows] for own, rows in pieces], axis=0)
    inside = np.flatnonzero(unit >= 0)
    order = inside[np.argsort(unit[inside], kind="stable")]
    unit = unit[order]
    tables = [_dense(shape, own, rows[order], inner, others) for own, rows in pieces]
    width = tables[0].shape[1]
    starts = np.searchsorted(unit, np.arange(size))
    found = []
    for i, one in enumerate(tables):
        for j in range(i + 1):
            summed = np.zeros((size, width, width))
            for a in range(width):
                for b in range(a + 1):
                    values = one[:, a] * tables[j][:, b]
                    if i != j:
                        values = values + one[:, b] * tables[j][:, a]
                    if values.any():
                        summed[:, a, b] = np.bincount(unit, values, size)
                        summed[:, b, a] = summed[:, a, b]
            found.append(summed)
    scale = np.bincount(unit, log_scale(stacked.rows, part)[order], size)
    return np.stack(found, axis=1), np.diff(np.append(starts, len(unit))), scale


def _dense(shape: Shape, source: EquationRows, rows: np.ndarray, inner: int, others: list[int]) -> np.ndarray:
    """Return rows over the columns of a unit, shape (row, column)."""

    def effects(f: int) -> np.ndarray:
        values = np.zeros((len(rows), shape.factors[f].effects))
        values[:, source.effects[f]] = source.z[f][rows]
        return np.where(source.code[f][rows, None] >= 0, values, 0.0)

    coefficients = np.zeros((len(rows), len(shape.equation)))
    coefficients[:, source.coef] = source.x[rows]
    return np.column_stack([effects(inner), coefficients, *(effects(f) for f in others), source.y[rows]])


def _weights(shape: Shape, points: np.ndarray, part: Residuals) -> tuple[np.ndarray, np.ndarray]:
    """Return a class's inverse residual covariance, one column per pair of pieces, and the constant of a row."""
    weight, log_det = residual_weights(shape, points, part)
    size = len(part.parts)
    columns = [weight[:, i, j] for i in range(size) for j in range(i + 1)]
    return np.column_stack(columns), -0.5 * (log_det + part.scored * np.log(2 * np.pi))


def residual_weights(shape: Shape, points: np.ndarray, part: Residuals) -> tuple[np.ndarray, np.ndarray]:
    """Return a class's inverse residual covariance, shape (draw, piece, piece), and its log determinant.

    Of a session given one before, what stands between the two in its density, and the log of its variance. Pieces have
    the weights of their places, times what loadings multiply them by.
    """
    weight, log_det = _place_weights(shape, points, part)
    if not part.pieces:
        return weight, log_det
    loadings = loadings_of(shape, points)
    products = np.column_stack([loadings[:, list(piece.loadings)].prod(axis=1) for piece in part.pieces])
    at = np.array([piece.place for piece in part.pieces])
    return weight[:, at[:, None], at] * products[:, :, None] * products[:, None, :], log_det


def _place_weights(shape: Shape, points: np.ndarray, part: Residuals) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of the places of a class, and log determinants, whatever stands in their rows."""
    if KNOWN in part.sigma:
        return np.ones((len(points), 1, 1)), np.zeros(len(points))
    sigma = np.exp(points[:, find_places(shape).sigma + np.array(part.sigma)])
    if part.gap:
        rho = residual_correlations(shape, points)[:, part.stratum, 1, 0] ** part.gap
        row = np.column_stack([1 / sigma[:, 0], -rho / sigma[:, 1]])
        left = 1 - rho**2
        return row[:, :, None] * row[:, None, :] / left[:, None, None], np.log(left * sigma[:, 0] ** 2)
    covariance = sigma[:, :, None] * sigma[:, None, :]
    if len(part.equations) > 1:
        at = np.array(part.at)
        covariance = covariance * residual_correlations(shape, points)[:, part.stratum][:, at[:, None], at]
    return np.linalg.inv(covariance), np.linalg.slogdet(covariance)[1]


def _root(shape: Shape, points: np.ndarray, number: int) -> np.ndarray:
    """Return roots of the covariances of a factor's effects in its basis, shape (draw, stratum, effect, effect)."""
    factor, sd = shape.factors[number], effect_sds(shape, points, number)
    half = np.linalg.cholesky(correlations(shape, points, number))
    return np.ascontiguousarray(factor.basis @ (sd[..., :, None] * half))
