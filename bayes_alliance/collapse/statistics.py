"""Sufficient statistics: cross-products of all columns per unit, summed in one pass over rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from bayes_alliance.collapse.rows import ClassRows, EquationRows, Stacked, log_scale
from bayes_alliance.collapse.shape import Product, Residuals, Shape, list_products

ROOT = -1
"""Stands for the last block where a level of the chain could stand."""


@dataclass(frozen=True, eq=False)
class Level:
    """Cross-products of the units of one factor of the chain.

    A unit's table has a row per own effect and a column per own effect, effect of outer units, coefficient, outcome,
    then effect of the levels of crossed factors (the innermost factor's units: of those they meet, listed in
    ``touched``). ``flat`` holds the tables, unit by product; ``start`` of shape (unit,) a unit's first number, and
    ``columns`` of shape (unit,) the width of its tables. ``count`` of shape (unit, product) is the number of rows.
    ``above`` of shape (unit, level) are outer units, -1 where there is none.
    """

    flat: np.ndarray
    start: np.ndarray
    columns: np.ndarray
    count: np.ndarray
    above: np.ndarray
    touched: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Statistics:
    """Everything the likelihood reads of the data; its size does not depend on the number of rows.

    ``products`` are the tables of cross-products. ``root`` has shape (product, column, column), ``clusters`` of shape
    (class,) the number of rows of each class (rows of several outcomes count once), ``rows`` the number of outcomes in
    all. ``constant`` is the sum of logarithms of what rows were multiplied by.
    """

    shape: Shape
    classes: tuple[Residuals, ...]
    products: tuple[Product, ...]
    levels: tuple[Level, ...]
    root: np.ndarray
    clusters: np.ndarray
    rows: int
    constant: float = 0.0


class Accumulator:
    """Sums cross-products over pieces of a table; pieces may come in any order.

    Parameters
    ----------
    shape : Shape
        Columns and factors.
    classes : sequence of Residuals
        All classes of residuals that may come.
    above : sequence of ndarray
        Per level of the chain, outer units of shape (unit, level of the chain).
    touched : tuple of ndarray, optional
        Where factors cross: per unit of the innermost factor, the crossed columns it meets, as one flat array (counted
        from the first crossed column), and where each unit's part of it starts.
    """

    def __init__(
        self,
        shape: Shape,
        classes: Sequence[Residuals],
        above: Sequence[np.ndarray],
        touched: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        self.shape, self.classes, self.products = shape, tuple(classes), list_products(classes)
        self._above = list(above)
        self._flats, self._starts, self._columns, self._counts = [], [], [], []
        self._touched = []
        for level in range(len(shape.chain)):
            units = shape.factors[shape.chain[level]].levels
            own, wide = shape.path(level)[0], sum(shape.path(level)) + shape.outer
            meets = touched if level == 0 and touched is not None else _all_columns(units, shape.crossed_columns)
            columns = wide + np.diff(meets[1])
            starts = np.concatenate([[0], np.cumsum(own * columns * len(self.products))])
            self._flats.append(np.zeros(int(starts[-1])))
            self._starts.append(starts[:-1])
            self._columns.append(columns)
            self._counts.append(np.zeros((units, len(self.products)), dtype=np.int64))
            self._touched.append(meets)
        size = shape.outer + shape.crossed_columns
        self._root = np.zeros((len(self.products), size, size))
        self._clusters = np.zeros(len(classes), dtype=np.int64)
        self._rows, self._constant = 0, 0.0

    def add(self, equations: Sequence[EquationRows], classes: Sequence[ClassRows]) -> None:
        """Add the rows of a piece."""
        for part in classes:
            own = self.classes.index(part.residuals)
            self._clusters[own] += len(part.rows[0]) + part.degrees
            self._rows += len(part.rows[0]) * part.residuals.scored
            self._constant += log_scale(equations, part).sum()
            for number, product in enumerate(self.products):
                if product.part == own:
                    self._add_product(equations, part, product, number)
            if part.squares:  # of the outcomes alone, in the first piece
                at = len(self.shape.equation)
                first = next(i for i, one in enumerate(self.products) if one.part == own)
                self._root[first, at, at] += part.squares

    def _add_product(self, equations: Sequence[EquationRows], part: ClassRows, product: Product, number: int) -> None:
        """Add the cross-products of all places of a class, or of two of them in both orders."""
        size, pieces = range(len(part.rows)), part.residuals.parts
        pairs = [(a, b) for a in size for b in size]
        if product.places is not None:
            pairs = list(dict.fromkeys([product.places, product.places[::-1]]))
        for a in dict.fromkeys(a for a, _ in pairs):
            for level, factor in enumerate(self.shape.chain):
                code = equations[pieces[a].rows].code[factor][part.rows[a]]
                np.add.at(self._counts[level][:, number], code[code >= 0], 1)
        for a, b in pairs:
            pair = equations[pieces[a].rows], equations[pieces[b].rows]
            self._add_pair(pair, (part.rows[a], part.rows[b]), number)

    def finish(self) -> Statistics:
        """Return the sums."""
        levels = [
            Level(*parts)
            for parts in zip(
                self._flats, self._starts, self._columns, self._counts, self._above, self._touched, strict=True
            )
        ]
        return Statistics(
            self.shape,
            self.classes,
            self.products,
            tuple(levels),
            self._root,
            self._clusters,
            self._rows,
            self._constant,
        )

    def _add_pair(
        self, pair: tuple[EquationRows, EquationRows], rows: tuple[np.ndarray, np.ndarray], number: int
    ) -> None:
        """Add the products of two outcomes of the same rows, at every level and in the last block."""
        shape = self.shape
        left, right = pair
        for level, factor in enumerate(shape.chain):
            code = left.code[factor][rows[0]]
            inside = np.flatnonzero(code >= 0)
            places = left.effects[factor]
            if not len(inside) or not len(places):
                continue
            unit, mine, theirs = code[inside], rows[0][inside], rows[1][inside]
            own = shape.path(level)[0]
            start = self._starts[level][unit] + number * own * self._columns[level][unit]
            stride, base = self._columns[level][unit], sum(shape.path(level))
            z = left.z[factor][mine]
            columns, at = self._columns_of(right, theirs, level)
            nothing = np.zeros(len(mine), dtype=np.int64)
            _add_products(self._flats[level], start, stride, z, places, nothing, columns, at, nothing)
            for values, at, shift in self._crossed_of(right, theirs, level, unit):
                _add_products(self._flats[level], start, stride, z, places, nothing, values, base + at, shift)
        self._add_root(pair, rows, number)

    def _add_root(
        self, pair: tuple[EquationRows, EquationRows], rows: tuple[np.ndarray, np.ndarray], number: int
    ) -> None:
        size = self._root.shape[1]
        nothing = np.zeros(len(rows[0]), dtype=np.int64)
        start, stride = nothing + number * size * size, nothing + size
        flat = self._root.reshape(-1)
        parts = []
        for piece, chosen in zip(pair, rows, strict=True):
            values, at = self._columns_of(piece, chosen, ROOT)
            parts.append([(values, at, nothing), *self._crossed_of(piece, chosen, ROOT, nothing)])
        for values, at, shift in parts[0]:
            for others, there, moved in parts[1]:
                _add_products(flat, start, stride, values, at, shift, others, there, moved)

    def _columns_of(self, piece: EquationRows, rows: np.ndarray, level: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a row's own, outer and last columns but the crossed ones, and their places in a unit's table."""
        shape = self.shape
        values, places, base = [], [], 0
        if level != ROOT:
            for factor in shape.chain[level:]:
                values.append(piece.z[factor][rows])
                places.append(base + piece.effects[factor])
                base += shape.factors[factor].effects
        values += [piece.x[rows], piece.y[rows, None]]
        places += [base + piece.coef, np.array([base + len(shape.equation) + piece.response])]
        return np.ascontiguousarray(np.concatenate(values, axis=1)), np.concatenate(places).astype(np.int64)

    def _crossed_of(
        self, piece: EquationRows, rows: np.ndarray, level: int, unit: np.ndarray
    ) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Return covariates of crossed factors, their places in the last block, and where each row's level starts."""
        shape, found = self.shape, []
        for factor in shape.crossed:
            own = shape.factors[factor]
            if not len(piece.effects[factor]):
                continue
            code = piece.code[factor][rows]
            column = shape.crossed_start(factor) - shape.outer + np.maximum(code, 0) * own.effects
            if level != ROOT:
                column = _find_touched(self._touched[level], unit, column)
            values = np.where((code >= 0)[:, None], piece.z[factor][rows], 0.0)
            places = shape.outer + piece.effects[factor]
            found.append((np.ascontiguousarray(values), places, np.ascontiguousarray(column)))
        return found


def sum_rows(stacked: Stacked) -> Statistics:
    """Return the statistics of rows that are all at hand."""
    shape, links = stacked.shape, stacked.links
    accumulator = make_accumulator(shape, [part.residuals for part in stacked.classes], links)
    accumulator.add(stacked.rows, stacked.classes)
    return accumulator.finish()


def make_accumulator(shape: Shape, classes: Sequence[Residuals], links: np.ndarray) -> Accumulator:
    """Return an accumulator with nothing in it, for levels that meet as ``links`` say."""
    touched = _touch(shape, links) if shape.crossed and shape.chain else None
    return Accumulator(shape, classes, outer_units(shape, links), touched)


def outer_units(shape: Shape, links: np.ndarray) -> list[np.ndarray]:
    """Return, per level of the chain, each unit's outer units over the levels of the chain; -1 where it has none."""
    found = []
    for level, inner in enumerate(shape.chain):
        above = np.full((shape.factors[inner].levels, len(shape.chain)), -1, dtype=np.int64)
        for place, outer in list(enumerate(shape.chain))[level + 1 :]:
            both = (links[:, inner] >= 0) & (links[:, outer] >= 0)
            above[links[both, inner], place] = links[both, outer]
        found.append(above)
    return found


def _all_columns(units: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return that every unit has all crossed columns."""
    return np.tile(np.arange(columns), units), np.arange(units + 1) * columns


def _touch(shape: Shape, links: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the crossed columns that each unit of the innermost factor meets, sorted within units."""
    inner = shape.chain[0]
    units, columns = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for factor in shape.crossed:
        own = shape.factors[factor]
        both = (links[:, inner] >= 0) & (links[:, factor] >= 0)
        first = shape.crossed_start(factor) - shape.outer + links[both, factor] * own.effects
        units += [links[both, inner]] * own.effects
        columns += [first + effect for effect in range(own.effects)]
    size = max(shape.crossed_columns, 1)
    keys = np.unique(np.concatenate(units) * size + np.concatenate(columns))
    unit = keys // size
    return keys % size, np.searchsorted(unit, np.arange(shape.factors[inner].levels + 1))


def _find_touched(touched: tuple[np.ndarray, np.ndarray], unit: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Return the place of a crossed column among those of a unit."""
    listed, starts = touched
    size = int(listed.max(initial=0)) + 1
    owner = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    return np.asarray(np.searchsorted(owner * size + listed, unit * size + column) - starts[unit])


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_products(  # type: ignore[no-untyped-def]
    flat, start, stride, left, left_at, left_shift, right, right_at, right_shift
) -> None:
    """Add the outer product of two rows of columns to the table of each row's unit."""
    rows, mine = left.shape
    theirs = right.shape[1]
    for i in range(rows):
        for a in range(mine):
            value = left[i, a]
            if value == 0.0:
                continue
            line = start[i] + (left_at[a] + left_shift[i]) * stride[i] + right_shift[i]
            for b in range(theirs):
                if right[i, b] != 0.0:  # a row outside a crossed factor has no place of its own
                    flat[line + right_at[b]] += value * right[i, b]
