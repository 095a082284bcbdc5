"""Log-likelihood of each unit given all others, effects integrated out: Gaussian block deletion.

Units hand outward what they say about the effects they share with others; what all say, less what one says, is what is
known without it (the cavity of message passing). All arrays have the draws of the variances as their first axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bayes_alliance.collapse.recover import correlations, residual_correlations
from bayes_alliance.collapse.rows import Stacked
from bayes_alliance.collapse.shape import Residuals, Shape, find_places


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


def unit_log_likelihood(stacked: Stacked, factor: str, points: np.ndarray) -> np.ndarray:
    """Return log p(y of unit | y of all others, variances) for every unit of a factor, shape (draw, level).

    Population effects and all group effects are integrated out. Summed over units of a factor it is what leaving one
    unit out needs; it is not the log-likelihood of all.

    Parameters
    ----------
    stacked : Stacked
        The rows.
    factor : str
        A factor of the chain of nested factors.
    points : ndarray, shape (draw, parameter)
        Sampled vectors with positive SDs.

    Raises
    ------
    ValueError
        If the factor crosses others; its units share effects of finer units.
    """
    shape = stacked.shape
    chain = [shape.factors[i].name for i in shape.chain]
    if factor not in chain:
        raise ValueError(f"{factor!r} crosses {chain[0]!r}: leaving one out cuts through units of the other.")
    wanted = chain.index(factor)
    tree = _Tree(stacked, points)
    root = tree.build()
    found = np.zeros((len(points), shape.factors[shape.chain[wanted]].levels))
    mean = (root.covariance @ root.table)[:, :, -1]
    _descend(root.children, mean, root.covariance, root.own, wanted, found)
    return found


class _Tree:
    """Units with their rows' cross-products, from the innermost outward."""

    def __init__(self, stacked: Stacked, points: np.ndarray) -> None:
        self.stacked, self.points, self.shape = stacked, points, stacked.shape
        *self.starts, self.y = self.shape.effect_starts
        self.covariances = [_covariances(self.shape, points, i) for i in range(len(self.shape.factors))]
        self.weights = [self._weights(part.residuals) for part in stacked.classes]
        self.rows = _clusters(stacked)

    def build(self) -> _Unit:
        """Return the last block with all units below it."""
        holders: dict[tuple[int, int], list[int]] = {}
        outer: dict[tuple[int, int], tuple[int, int]] = {}
        chain = self.shape.chain
        for place, (codes, _, _) in enumerate(self.rows):
            path = [(level, int(codes[factor])) for level, factor in enumerate(chain) if codes[factor] >= 0]
            path.append((len(chain), 0))
            holders.setdefault(path[0], []).append(place)
            for one, two in pairwise(path):
                outer[one] = min(outer.get(one, two), two)
        children: dict[tuple[int, int], list[_Unit]] = {}
        root = (len(chain), 0)
        for key in sorted({*holders, *outer, root}):
            unit = self._unit(key, holders.get(key, []), children.pop(key, []))
            if key == root:
                return unit
            children.setdefault(outer[key], []).append(unit)
        raise AssertionError("the last block comes last")

    def _unit(self, key: tuple[int, int], rows: Sequence[int], children: list[_Unit]) -> _Unit:
        level, number = key
        draws, shape = len(self.points), self.shape
        tables = [self._sum(rows)] + [(child.columns, child.message) for child in children]
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
        constant = sum((child.constant for child in children), start=self._constant(rows))
        mine, rest = np.isin(columns, own), ~np.isin(columns, own)
        inner, cross = table[:, mine][:, :, mine], table[:, mine][:, :, rest]
        system = np.eye(len(own)) + prior @ inner
        covariance = np.linalg.solve(system, prior)
        constant = constant - 0.5 * np.linalg.slogdet(system)[1]
        message = table[:, rest][:, :, rest] - cross.transpose(0, 2, 1) @ covariance @ cross
        return _Unit(own, columns[rest], cross, constant, covariance, message, children, level, number)

    def _root_prior(self, own: np.ndarray) -> np.ndarray:
        """Return the covariance of coefficients (in units of their prior SDs) and effects of crossed factors."""
        prior = np.tile(np.eye(len(own)), (len(self.points), 1, 1))
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
        columns = np.unique(np.concatenate([np.array([self.y]), *(c for _, part, _ in blocks for c, _, _ in part)]))
        tables: dict[int, dict[tuple[int, int], np.ndarray]] = {}
        for _, part, number in blocks:
            dense = [np.bincount(np.searchsorted(columns, c), v, len(columns)) for c, v, _ in part]
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
            weight, log_det = self.weights[self.rows[place][2]]
            total -= 0.5 * (log_det + weight.shape[1] * np.log(2 * np.pi))
        return total

    def _weights(self, part: Residuals) -> tuple[np.ndarray, np.ndarray]:
        """Return a class's inverse residual covariance and log determinant."""
        shape = self.shape
        sigma = np.exp(self.points[:, find_places(shape).sigma + np.array(part.sigma)])
        covariance = sigma[:, :, None] * sigma[:, None, :]
        if len(part.equations) > 1:
            at = [shape.joint.index(e) for e in part.equations]
            cor = residual_correlations(shape, self.points)[:, part.stratum]
            covariance = covariance * cor[:, np.array(at)[:, None], at]
        return np.linalg.inv(covariance), np.linalg.slogdet(covariance)[1]


type _Row = tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray, int]], int]


def _clusters(stacked: Stacked) -> list[_Row]:
    """Return each row with its levels per factor, its outcomes' columns and values, and its class."""
    shape = stacked.shape
    *starts, at = shape.effect_starts
    found: list[_Row] = []
    for number, part in enumerate(stacked.classes):
        for i in range(len(part.rows[0])):
            codes = np.full(len(shape.factors), -1)
            outcomes = []
            for equation, rows in zip(part.residuals.equations, part.rows, strict=True):
                source, row = stacked.equations[equation], rows[i]
                columns, values = [np.flatnonzero(shape.equation == equation)], [source.x[row]]
                for f, factor in enumerate(shape.factors):
                    code = int(source.code[f][row])
                    if code >= 0 and factor.places[equation]:
                        codes[f] = code
                        columns.append(starts[f] + code * factor.effects + np.array(factor.places[equation]))
                        values.append(source.z[f][row])
                columns.append(np.array([at]))
                values.append(np.array([source.y[row]]))
                outcomes.append((np.concatenate(columns), np.concatenate(values), equation))
            found.append((codes, outcomes, number))
    return found


def _covariances(shape: Shape, points: np.ndarray, number: int) -> np.ndarray:
    """Return the covariance of a factor's effects in its basis, shape (draw, stratum, effect, effect)."""
    factor, first = shape.factors[number], find_places(shape).sd[number]
    sd = points[:, first : first + factor.strata * factor.effects].reshape(len(points), factor.strata, -1)
    covariance = correlations(shape, points, number) * sd[..., :, None] * sd[..., None, :]
    return np.asarray(factor.basis @ covariance @ factor.basis.T)


def _descend(
    units: Sequence[_Unit],
    mean: np.ndarray,
    covariance: np.ndarray,
    names: np.ndarray,
    wanted: int,
    found: np.ndarray,
) -> None:
    """Go inward with the posterior of what units share (columns ``names``), down to the factor that is wanted."""
    for unit in units:
        at = np.searchsorted(names, unit.columns[:-1])
        shared, spread = mean[:, at], covariance[:, at[:, None], at]
        if unit.level == wanted:
            found[:, unit.number] = _without(unit, shared, spread)
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
            _descend(unit.children, both, joint, columns[order], wanted, found)


def _without(unit: _Unit, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return the log-likelihood of a unit given all others.

    With c ~ N(mean, covariance) given all rows and the unit's own say exp(constant - c'A c / 2 + a'c - q / 2), the
    density without it is that of all over E[1 / say].
    """
    a, linear, square = unit.message[:, :-1, :-1], unit.message[:, :-1, -1], unit.message[:, -1, -1]
    size = a.shape[1]
    system = np.eye(size) - covariance @ a
    # exponent of E[exp(c'A c / 2 - a'c)]: with d = a - A mean it is -a'mean + mean'A mean / 2 + d'(S^-1 - A)^-1 d / 2
    quadratic = (mean[:, None, :] @ a @ mean[..., None])[:, 0, 0]
    apart = (a @ mean[..., None])[..., 0] - linear
    cavity = np.linalg.solve(system, covariance)
    exponent = 0.5 * quadratic - (linear * mean).sum(axis=1)
    exponent += 0.5 * (apart[:, None, :] @ cavity @ apart[..., None])[:, 0, 0]
    log_mean = exponent - 0.5 * np.linalg.slogdet(system)[1]
    return np.asarray(-(log_mean + 0.5 * square - unit.constant))
