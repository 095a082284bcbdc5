"""Units with the same cross-products of covariates, pooled: they are eliminated together, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
import pandas as pd

from bayes_alliance.collapse.kernel import parts as at
from bayes_alliance.collapse.shape import pairs_of
from bayes_alliance.collapse.statistics import ROOT, Statistics

NOT_POOLED = -1


@dataclass(frozen=True, eq=False)
class Cells:
    """What units of a pattern in one target (an outer unit, or the last block) add up to.

    ``target`` and ``pattern`` have shape (cell,), sorted; ``sums`` shape (cell, pair of effects, row, column), the
    products of the units' tables for every pair of own effects, both orders added up.
    """

    level: int
    target: np.ndarray
    pattern: np.ndarray
    sums: np.ndarray


@dataclass(frozen=True, eq=False)
class Pooled:
    """Patterns: ``pattern`` of shape (unit,); per pattern its classes, stratum, number of units, own cross-products."""

    pattern: np.ndarray
    kind: tuple[tuple[int, ...], ...]
    stratum: np.ndarray
    count: np.ndarray
    own: np.ndarray
    cells: tuple[Cells, ...]

    def parts(self, outer: Sequence[int], weights: Sequence[np.ndarray]) -> dict[int, np.ndarray]:
        """Return the parts of the kernel's arrays.

        Parameters
        ----------
        outer : sequence of int
            First node of each level further out.
        weights : sequence of ndarray, shape (effect,)
            Per pattern, the place of each effect's weight.
        """
        nodes, pointers, starts, offset = [], [0], [], 0
        for cells in self.cells:
            targets, counts = np.unique(cells.target, return_counts=True)
            nodes.append(targets if cells.level == ROOT else targets + outer[cells.level - 1])
            pointers += list(pointers[-1] + np.cumsum(counts))
            size = int(np.prod(cells.sums.shape[1:]))
            starts.append(offset + np.arange(len(cells.target)) * size)
            offset += cells.sums.size
        return {
            at.PATTERN_STRATUM: self.stratum,
            at.PATTERN_WEIGHT: np.concatenate(weights),
            at.PATTERN_COUNT: self.count,
            at.PATTERN_OWN: self.own,
            at.TARGET_NODE: np.concatenate(nodes),
            at.TARGET_CELLS: np.array(pointers),
            at.CELL_PATTERN: np.concatenate([cells.pattern for cells in self.cells]),
            at.CELL_AT: np.concatenate(starts),
            at.CELL_SUMS: np.concatenate([cells.sums.reshape(-1) for cells in self.cells]),
        }


def pool_units(statistics: Statistics, uncorrelated: bool) -> Pooled | None:
    """Pool the units of the innermost factor; None where there are too few alike, or where pooling is not possible.

    A unit can be pooled where no factor crosses, residuals do not correlate, and each of its outcomes has one residual
    SD: then effects of one outcome meet columns of the same outcome only, and weights factor out. The key of a pattern
    is exact: the classes, the stratum, and every number of the cross-products of covariates.

    Parameters
    ----------
    statistics : Statistics
        Of all units.
    uncorrelated : bool
        Whether no class of residuals has several outcomes.
    """
    shape = statistics.shape
    if not shape.chain or shape.crossed or not uncorrelated:
        return None
    level, factor = statistics.levels[0], shape.factors[shape.chain[0]]
    units, own = len(level.start), factor.effects
    by_class = level.flat.reshape(units, len(statistics.classes), own, -1)
    tables = by_class[:, 0] if len(statistics.classes) == 1 else by_class.sum(axis=1)
    sets, which = np.unique(level.count > 0, axis=0, return_inverse=True)
    kinds = [tuple(int(c) for c in np.flatnonzero(row)) for row in sets]
    single = np.array([_one_each([statistics.classes[c].equations[0] for c in kind]) for kind in kinds])
    key = np.column_stack([which.reshape(-1), factor.stratum]).astype(float)
    number = _factorize(np.column_stack([key, tables[:, :, :own].reshape(units, -1)]))
    size = np.bincount(number)
    enough = size >= max(2, (own + pairs_of(own)) // 2)
    chosen = enough[number] & single[which.reshape(-1)]
    if not chosen.any():
        return None
    kept, pattern = np.unique(number[chosen], return_inverse=True)
    members = np.flatnonzero(chosen)
    first = members[np.unique(pattern, return_index=True)[1]]
    whole = np.full(units, NOT_POOLED)
    whole[members] = pattern
    return Pooled(
        pattern=whole,
        kind=tuple(kinds[i] for i in which.reshape(-1)[first]),
        stratum=factor.stratum[first],
        count=size[kept],
        own=tables[first][:, :, :own].reshape(len(first), -1),
        cells=_cells(statistics, tables[members], pattern, level.above[members], len(kept)),
    )


def _one_each(equations: Sequence[int]) -> bool:
    return len(equations) == len(set(equations))


def _factorize(columns: np.ndarray) -> np.ndarray:
    """Return a number for each row of a matrix, equal for equal rows."""
    number = np.zeros(len(columns), dtype=np.int64)
    for column in columns.T:
        codes, _ = pd.factorize(column + 0.0)
        number, _ = pd.factorize(number * (int(codes.max(initial=0)) + 1) + codes)
    return np.asarray(number, dtype=np.int64)


def _cells(
    statistics: Statistics, tables: np.ndarray, pattern: np.ndarray, above: np.ndarray, patterns: int
) -> tuple[Cells, ...]:
    shape = statistics.shape
    widths = shape.path(0)
    found, first = [], widths[0]
    for level in range(1, len(shape.chain)):
        target = above[:, level]
        inside = target >= 0
        keys, cell = np.unique(target[inside] * patterns + pattern[inside], return_inverse=True)
        sums = _sum_products(tables[inside], cell, len(keys), first, first + widths[level])
        found.append(Cells(level, keys // patterns, keys % patterns, sums))
        first += widths[level]
    sums = _sum_products(tables, pattern, patterns, first, tables.shape[2])
    found.append(Cells(ROOT, np.full(patterns, ROOT), np.arange(patterns), sums))
    return tuple(found)


@numba.njit(cache=True)
def _sum_products(tables, cell, cells, start, stop):  # type: ignore[no-untyped-def]
    """Return, per cell, pair of effects (a, b <= a), row and column, the sum over units of products of both orders."""
    units, own, wide = tables.shape
    rows, columns = stop - start, wide - start
    sums = np.zeros((cells, own * (own + 1) // 2, rows, columns))
    for unit in range(units):
        pair = 0
        for a in range(own):
            for b in range(a + 1):
                for i in range(rows):
                    for j in range(columns):
                        value = tables[unit, a, start + i] * tables[unit, b, start + j]
                        if a != b:
                            value += tables[unit, b, start + i] * tables[unit, a, start + j]
                        sums[cell[unit], pair, i, j] += value
                pair += 1
    return sums
