"""Log-likelihood of each unit given all others, effects integrated out: Gaussian block deletion.

Units hand outward what they say about the effects they share with others; what all say, less what one says, is what is
known without it (the cavity of message passing). All arrays have the draws of the variances as their first axis.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np

from bayes_alliance.collapse.effect_draws import correlations, effect_sds, loadings_of
from bayes_alliance.collapse.innermost_units import Leaves, find_leaves, residual_weights
from bayes_alliance.collapse.rows import ClassRows, Stacked, log_scale
from bayes_alliance.collapse.shape import Residuals, Shape
from bayes_alliance.collapse.shrinkage import prior_covariance

AT_ONCE = 32
"""Outer units whose inner ones are worked through together; what is known of each is held by draw until then."""


@dataclass(eq=False)
class _Unit:
    """A unit while it is worked out: its table, its own effects' covariance, and what it hands outward.

    ``columns`` are places in the whole list of columns of what it hands outward; the last one stands for the outcomes.
    """

    own: np.ndarray
    columns: np.ndarray
    table: np.ndarray
    constant: np.ndarray
    covariance: np.ndarray
    message: np.ndarray
    children: list[_Unit]
    level: int
    number: int
    leaves: Leaves | None = None


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Log-densities of units, shape (draw, level), population and group effects integrated out.

    ``without`` is given the variances and the rows of all other units; ``within`` given all rows, the unit's own too.
    ``all_outcomes`` is ``without`` for everything that is left out, where fewer outcomes are scored.
    """

    without: np.ndarray
    within: np.ndarray
    all_outcomes: np.ndarray


def leave_units_out(
    stacked: Stacked, factor: int, points: np.ndarray, outcomes: Sequence[str] | None = None
) -> LeftOut:
    """Return log p(y of unit | y of all others, variances) for every unit of a factor.

    Summed over units of a factor it is what leaving one unit out needs; it is not the log-likelihood of all.

    Parameters
    ----------
    stacked : Stacked
        The rows.
    factor : int
        Place of a factor of the chain of nested factors.
    points : ndarray, shape (draw, parameter)
        Sampled vectors with positive SDs.
    outcomes : sequence of str, optional
        Whose density is wanted, the unit's other outcomes being left out, too; all unless stated.

    """
    shape = stacked.shape
    wanted = shape.chain.index(factor)
    root = _Tree(stacked, points).build()
    some = outcomes is not None and set(outcomes) != set(shape.outcomes)
    scored = _Tree(_restrict(stacked, outcomes or ()), points).build() if some else root
    tasks: list[Callable[[], None]] = []
    found, within = np.zeros((2, len(points), shape.factors[shape.chain[wanted]].levels))
    everything = np.zeros_like(found) if some else found
    mean = _root_mean(root, shape, points)
    _descend(root, scored, mean, root.covariance, root.own, wanted, (found, within), tasks)
    if some:
        _descend(root, root, mean, root.covariance, root.own, wanted, (everything, np.zeros_like(found)), tasks)
    _run(tasks, 1)
    return LeftOut(found, within, everything)


def _root_mean(root: _Unit, shape: Shape, points: np.ndarray) -> np.ndarray:
    """Return the posterior mean of what all units share, shape (draw, column); loadings move prior means."""
    right = root.table[:, :, -1].copy()
    loadings = loadings_of(shape, points)
    for place, number, by in shape.shifts:
        right[:, np.searchsorted(root.own, place)] -= by / shape.scale[place] * loadings[:, number]
    return np.asarray((root.covariance @ right[..., None])[..., 0])


def _restrict(stacked: Stacked, outcomes: Sequence[str]) -> Stacked:
    """Return the rows of some outcomes."""
    chosen = {i for i, outcome in enumerate(stacked.shape.outcomes) if outcome in outcomes}
    classes = []
    for part in stacked.classes:
        own = part.residuals
        kept = [i for i, e in enumerate(own.equations) if e in chosen]
        if kept:
            equations, sigma = (tuple(values[i] for i in kept) for values in (own.equations, own.sigma))
            at = tuple(own.at[i] for i in kept) if own.at else ()
            held = [i for i, piece in enumerate(own.parts) if piece.place in kept]
            pieces = tuple(replace(own.parts[i], place=kept.index(own.parts[i].place)) for i in held)
            residuals = Residuals(equations, sigma, own.stratum, at, own.gap, pieces if own.pieces else ())
            classes.append(ClassRows(residuals, tuple(part.rows[i] for i in held)))
    return replace(stacked, classes=tuple(classes))


class _Tree:
    """Units with their rows' cross-products, from the innermost outward."""

    def __init__(self, stacked: Stacked, points: np.ndarray) -> None:
        self.stacked, self.points, self.shape = stacked, points, stacked.shape
        *self.starts, self.y = self.shape.effect_starts
        self.covariances = [_covariances(self.shape, points, i) for i in range(len(self.shape.factors))]
        self.weights = [residual_weights(self.shape, points, part.residuals) for part in stacked.classes]
        self.leaves = find_leaves(stacked, points) if self.shape.chain else None
        self.rows = _clusters(stacked, None if self.leaves is None else self.shape.chain[0])

    def build(self) -> _Unit:
        """Return the last block with all units below it."""
        holders: dict[tuple[int, int], list[int]] = {}
        outer: dict[tuple[int, int], tuple[int, int]] = {}
        chain = self.shape.chain
        for place, (codes, *_) in enumerate(self.rows):
            path = [(level, int(codes[factor])) for level, factor in enumerate(chain) if codes[factor] >= 0]
            path.append((len(chain), 0))
            holders.setdefault(path[0], []).append(place)
            for one, two in pairwise(path):
                outer[one] = min(outer.get(one, two), two)
        children: dict[tuple[int, int], list[_Unit]] = {}
        root = (len(chain), 0)
        grouped = self._group_leaves(outer)
        said = _all(partial(self._hear, leaves) for leaves in grouped.values())
        heard = dict(zip(grouped, said, strict=True))
        for key in sorted({*holders, *outer, *grouped, root}):
            unit = self._unit(key, holders.get(key, []), children.pop(key, []), grouped.get(key), heard.pop(key, None))
            if key == root:
                return unit
            children.setdefault(outer[key], []).append(unit)
        raise AssertionError("the last block comes last")

    def _group_leaves(self, outer: dict[tuple[int, int], tuple[int, int]]) -> dict[tuple[int, int], Leaves]:
        """Return the innermost units by the unit they lie in; where that one lies is noted in ``outer``."""
        if self.leaves is None:
            return {}
        paths = self.leaves.met[:, list(self.shape.chain[1:])]
        grouped: dict[tuple[int, int], list[np.ndarray]] = {}
        for path in np.unique(paths, axis=0):
            keys = [(level + 1, int(code)) for level, code in enumerate(path) if code >= 0]
            keys.append((len(self.shape.chain), 0))
            for one, two in pairwise(keys):
                outer[one] = min(outer.get(one, two), two)
            chosen = np.flatnonzero((paths == path).all(axis=1))
            grouped.setdefault(keys[0], []).append(chosen)
        return {key: self.leaves.chosen(np.concatenate(units)) for key, units in grouped.items()}

    def _hear(self, leaves: Leaves) -> _Heard:
        """Return what innermost units say, with its columns."""
        shared = leaves.columns(self.y)
        return shared, *leaves.messages(shared)

    def _unit(
        self,
        key: tuple[int, int],
        rows: Sequence[int],
        children: list[_Unit],
        leaves: Leaves | None,
        heard: _Heard | None,
    ) -> _Unit:
        level, number = key
        draws, shape = len(self.points), self.shape
        tables = [self._sum(rows)] + [(child.columns, child.message) for child in children]
        said = np.zeros(draws)
        if heard is not None:
            shared, message, said = heard
            tables.append((shared, message))
        columns = np.unique(np.concatenate([np.array([self.y]), *(part for part, _ in tables)]))
        is_root = level == len(shape.chain)
        if is_root:
            own = columns[columns < self.y]
            prior = self._root_prior(own)
        else:
            factor = shape.chain[level]
            own = (
                self.starts[factor] + number * shape.factors[factor].effects + np.arange(shape.factors[factor].effects)
            )
            columns = np.union1d(columns, own)
            prior = self.covariances[factor][:, shape.factors[factor].stratum[number]]
        table = np.zeros((draws, len(columns), len(columns)))
        for part, values in tables:
            at = np.searchsorted(columns, part)
            table[:, at[:, None], at] += values
        constant = sum((child.constant for child in children), start=self._constant(rows) + said)
        mine, rest = np.isin(columns, own), ~np.isin(columns, own)
        inner, cross = table[:, mine][:, :, mine], table[:, mine][:, :, rest]
        system = np.eye(len(own)) + prior @ inner
        covariance = np.linalg.solve(system, prior)
        constant = constant - 0.5 * np.linalg.slogdet(system)[1]
        message = table[:, rest][:, :, rest] - cross.transpose(0, 2, 1) @ covariance @ cross
        return _Unit(own, columns[rest], cross, constant, covariance, message, children, level, number, leaves)

    def _root_prior(self, own: np.ndarray) -> np.ndarray:
        """Return the covariance of coefficients (in units of their scale) and effects of crossed factors."""
        prior = np.tile(np.eye(len(own)), (len(self.points), 1, 1))
        if self.shape.shrunk:
            coefs = own[own < len(self.shape.equation)]
            at = np.arange(len(coefs))
            prior[:, at[:, None], at] = prior_covariance(self.shape, self.points)[:, coefs[:, None], coefs]
        for number in self.shape.crossed:
            factor, start = self.shape.factors[number], self.starts[number]
            for level in range(factor.levels):
                at = np.searchsorted(own, start + level * factor.effects + np.arange(factor.effects))
                if at[-1] < len(own) and own[at[0]] == start + level * factor.effects:
                    prior[:, at[:, None], at] = self.covariances[number][:, factor.stratum[level]]
        return prior

    def _sum(self, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return columns and weighted cross-products of rows."""
        blocks = [self.rows[place] for place in rows]
        columns = np.unique(np.concatenate([np.array([self.y]), *(c for _, part, *_ in blocks for c, _ in part)]))
        tables: dict[int, dict[tuple[int, int], np.ndarray]] = {}
        for _, part, number, _ in blocks:
            dense = [np.bincount(np.searchsorted(columns, c), v, len(columns)) for c, v in part]
            own = tables.setdefault(number, {})
            for i, one in enumerate(dense):
                for j, two in enumerate(dense):
                    own[i, j] = own.get((i, j), 0.0) + np.outer(one, two)
        whole = np.zeros((len(self.points), len(columns), len(columns)))
        for number, products in tables.items():
            weight = self.weights[number][0]
            for (i, j), product in products.items():
                whole += weight[:, i, j, None, None] * product
        return columns, whole

    def _constant(self, rows: Sequence[int]) -> np.ndarray:
        """Return minus half of log determinants and log 2 pi of rows' residuals."""
        total = np.zeros(len(self.points))
        for place in rows:
            _, _, number, scale = self.rows[place]
            log_det = self.weights[number][1]
            scored = self.stacked.classes[number].residuals.scored
            total += scale - 0.5 * (log_det + scored * np.log(2 * np.pi))
        return total


type _Heard = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Columns, what is said about them draw by draw, and constants."""

type _Row = tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]], int, float]


def _clusters(stacked: Stacked, without: int | None) -> list[_Row]:
    """Return each row with its levels per factor, its pieces' columns and values, its class, and its scale.

    Rows inside the factor ``without`` are left aside.
    """
    shape = stacked.shape
    *starts, at = shape.effect_starts
    found: list[_Row] = []
    for number, part in enumerate(stacked.classes):
        pieces = [(stacked.rows[piece.rows], rows) for piece, rows in zip(part.residuals.parts, part.rows, strict=True)]
        aside = np.zeros(len(part.rows[0]), dtype=bool)
        for source, rows in pieces if without is not None else []:
            aside |= source.code[without][rows] >= 0  # type: ignore[index]
        scale = log_scale(stacked.rows, part)
        for i in np.flatnonzero(~aside):
            codes = np.full(len(shape.factors), -1)
            held = []
            for source, rows in pieces:
                row = rows[i]
                columns, values = [source.coef], [source.x[row]]
                for f, factor in enumerate(shape.factors):
                    code = int(source.code[f][row])
                    if code >= 0:  # of a factor without effects, too, whose levels are only left out
                        codes[f] = code
                    if code >= 0 and len(source.effects[f]):
                        columns.append(starts[f] + code * factor.effects + source.effects[f])
                        values.append(source.z[f][row])
                columns.append(np.array([at]))
                values.append(np.array([source.y[row]]))
                held.append((np.concatenate(columns), np.concatenate(values)))
            found.append((codes, held, number, float(scale[i])))
    return found


def _covariances(shape: Shape, points: np.ndarray, number: int) -> np.ndarray:
    """Return the covariance of a factor's effects in its basis, shape (draw, stratum, effect, effect)."""
    factor, sd = shape.factors[number], effect_sds(shape, points, number)
    covariance = correlations(shape, points, number) * sd[..., :, None] * sd[..., None, :]
    return np.asarray(factor.basis @ covariance @ factor.basis.T)


def _descend(
    outer: _Unit,
    scored: _Unit,
    mean: np.ndarray,
    covariance: np.ndarray,
    names: np.ndarray,
    wanted: int,
    found: tuple[np.ndarray, np.ndarray],
    tasks: list[Callable[[], None]],
) -> None:
    """Go inward with the posterior of what units share (columns ``names``), down to the factor that is wanted.

    ``scored`` is the same outer unit with the outcomes whose density is wanted; a unit without any of them scores 0.
    """
    if wanted == 0 and outer.leaves is not None:
        columns = np.append(names, np.iinfo(np.int64).max)
        other = None if scored is outer else scored.leaves
        if scored is outer or other is not None:
            tasks += outer.leaves.left_out(other, columns, mean, covariance, found)
            _run(tasks, AT_ONCE)
    beside = {(unit.level, unit.number): unit for unit in scored.children}
    for unit in outer.children:
        at = np.searchsorted(names, unit.columns[:-1])
        shared, spread = mean[:, at], covariance[:, at[:, None], at]
        other_unit = beside.get((unit.level, unit.number))
        if unit.level == wanted:
            if other_unit is not None:
                out, fitted = _left_out(unit, other_unit, shared, spread)
                found[0][:, unit.number], found[1][:, unit.number] = out, fitted
        elif unit.level > wanted:
            left = unit.table[:, :, -1:] - unit.table[:, :, :-1] @ shared[..., None]
            own_mean = (unit.covariance @ left)[..., 0]
            slope = -unit.covariance @ unit.table[:, :, :-1]
            cross = slope @ spread
            inner = unit.covariance + cross @ slope.transpose(0, 2, 1)
            columns = np.concatenate([unit.own, unit.columns[:-1]])
            order = np.argsort(columns)
            joint = np.concatenate(
                [np.concatenate([inner, cross], axis=2), np.concatenate([cross.transpose(0, 2, 1), spread], axis=2)],
                axis=1,
            )[:, order][:, :, order]
            both = np.concatenate([own_mean, shared], axis=1)[:, order]
            _descend(unit, other_unit or _silent(unit), both, joint, columns[order], wanted, found, tasks)


def _run(tasks: list[Callable[[], None]], least: int) -> None:
    """Run what has been collected on all cores, if it is worth it."""
    if len(tasks) >= least:
        _all(tasks)
        tasks.clear()


def _all[T](tasks: Iterable[Callable[[], T]]) -> list[T]:
    """Return what tasks give that release Python's lock, run on all cores."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        try:
            return [done.result() for done in [pool.submit(task) for task in tasks]]
        except BaseException:  # a stop does not wait for what has not begun
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _silent(unit: _Unit) -> _Unit:
    """Return a unit without anything to score inside it."""
    return replace(unit, children=[], leaves=None)


def _left_out(unit: _Unit, scored: _Unit, mean: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the log-density of a unit's scored outcomes given all other units, and given all.

    With c ~ N(mean, covariance) given all rows and the unit's own say exp(constant - c'A c / 2 + a'c - q / 2), what is
    known without it is the normal with that factor divided out.
    """
    a, linear = unit.message[:, :-1, :-1], unit.message[:, :-1, -1]
    cavity = np.linalg.solve(np.eye(a.shape[1]) - covariance @ a, covariance)
    apart = (a @ mean[..., None])[..., 0] - linear
    without = mean + (cavity @ apart[..., None])[..., 0]
    at = np.searchsorted(unit.columns[:-1], scored.columns[:-1])
    inner = (slice(None), at[:, None], at)
    return _expect(scored, without[:, at], cavity[inner]), _expect(scored, mean[:, at], covariance[inner])


def _expect(unit: _Unit, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return the log of what a unit says, averaged over what it shares."""
    a, linear, square = unit.message[:, :-1, :-1], unit.message[:, :-1, -1], unit.message[:, -1, -1]
    system = np.eye(a.shape[1]) + covariance @ a
    left = linear - (a @ mean[..., None])[..., 0]
    gained = np.linalg.solve(system, covariance)
    exponent = ((linear + left) * mean).sum(axis=1) / 2 + 0.5 * (left[:, None] @ gained @ left[..., None])[:, 0, 0]
    return np.asarray(unit.constant - 0.5 * square + exponent - 0.5 * np.linalg.slogdet(system)[1])
