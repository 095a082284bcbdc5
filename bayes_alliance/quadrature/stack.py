"""A design's rows as the kernel reads them: equal rows of a unit counted once, equal units of a group counted once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import numpy as np
from scipy.special import gammaln

from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.factors import FactorDesign
from bayes_alliance.names import INTERCEPT
from bayes_alliance.quadrature.kernel import rows as kinds
from bayes_alliance.quadrature.kernel.evaluate import CUMULATIVE, NEGATIVE_BINOMIAL, NO_FLAVOUR
from bayes_alliance.quadrature.kernel.rows import Rows


@dataclass(frozen=True)
class Kind:
    """How a family's rows are worked out: the kernel's kind of rows, and its flavour."""

    rows: int
    flavour: int = NO_FLAVOUR

    @property
    def additive(self) -> bool:
        """Return whether rows that differ in outcomes alone are one row of their sums."""
        return self.rows in (kinds.SOFTPLUS, kinds.EXPONENTIAL)


def kind_of(e: EquationDesign) -> Kind:
    """Return how the kernel works out an equation's rows.

    Raises
    ------
    ValueError
        If it does not.
    """
    match e.kind.integrand:
        case "log-odds":
            return Kind(kinds.SOFTPLUS)
        case "log-odds of categories":
            return Kind(kinds.SOFTPLUS, CUMULATIVE)
        case "log-odds of counts":
            return Kind(kinds.SOFTPLUS, NEGATIVE_BINOMIAL)
        case "rate" | "hazard":
            return Kind(kinds.EXPONENTIAL)
        case "probit":
            return Kind(kinds.PROBIT)
        case "probit of categories":
            return Kind(kinds.PROBIT_CUMULATIVE)
        case "beta-binomial":
            return Kind(kinds.BETA_BINOMIAL)
        case "ordered beta":
            return Kind(kinds.ORDERED_BETA)
        case "censored normal":
            return Kind(kinds.CENSORED)
        case None:
            raise ValueError(f"{e.outcome} is {e.family}, which the kernel does not work out")
        case _:
            assert_never(e.kind.integrand)


@dataclass(frozen=True, eq=False)
class Stacked:
    """Rows for the kernel, and whose they are.

    ``inner`` and ``outer`` are the factors whose effects are integrated out, outer ones being intercepts. ``members``
    has shape (level of the inner factor,): the unit that stands for it, -1 where it has no rows; ``groups`` the same of
    the outer factor. ``constant`` is what the log-likelihood has beside what the kernel works out.
    """

    rows: Rows
    kind: Kind
    inner: FactorDesign | None
    outer: FactorDesign | None
    members: np.ndarray
    groups: np.ndarray
    constant: float

    @property
    def effects(self) -> int:
        """Return the number of effects of a unit."""
        return int(self.rows.z.shape[1])


def split_factors(design: Design) -> tuple[FactorDesign | None, FactorDesign | None]:
    """Return the inner and the outer of a design's factors, the inner one being that with more levels."""
    factors = sorted(design.factors, key=lambda own: len(own.levels), reverse=True)
    return (factors[0] if factors else None), (factors[1] if len(factors) > 1 else None)


def stack_units(design: Design, *, pool: bool = True) -> Stacked:
    """Return the rows of a design that the engine can fit.

    Parameters
    ----------
    design : Design
        Without obstacles; see ``find_quadrature_obstacles``.
    pool : bool
        Whether equal units of a group are counted once.
    """
    e = design.equation
    kind = kind_of(e)
    inner, outer = split_factors(design)
    level, covariates = _codes(e, inner)
    group, _ = _codes(e, outer)
    predictors, place = np.unique(centred_columns(e), axis=0, return_inverse=True)
    source, cut, y, n, code = _row_numbers(e)
    unit = level[source]
    added = np.zeros(len(y)) if kind.additive else 1.0  # rows that differ in what adds up alone are one
    keys = np.column_stack([place.reshape(-1)[source], cut, code, y * added, n * added, covariates[source]])
    distinct, which = np.unique(keys, axis=0, return_inverse=True)
    pairs, row = np.unique(np.column_stack([unit, which.reshape(-1)]), axis=0, return_inverse=True)
    many = np.bincount(row.reshape(-1)).astype(float)
    if kind.additive:
        y, n = (np.bincount(row.reshape(-1), values) for values in (y, n))
    else:
        y, n = distinct[pairs[:, 1], 3], distinct[pairs[:, 1], 4]
    units = 1 if inner is None else len(inner.levels)
    start = np.searchsorted(pairs[:, 0], np.arange(units + 1))
    stratum = np.zeros(units, dtype=np.int64) if inner is None or inner.by is None else np.asarray(inner.by.code)
    home = np.zeros(units, dtype=np.int64)
    home[level] = group
    content = np.column_stack([pairs[:, 1], many, y, n])
    chosen, weight, member = _pool_units(start, content, np.column_stack([home, stratum]), pool)
    order = np.concatenate([np.arange(start[u], start[u + 1]) for u in chosen])
    lengths = start[chosen + 1] - start[chosen]
    parts = distinct[pairs[order, 1]]
    cells, cell = np.unique(parts[:, :2], axis=0, return_inverse=True)
    y, n, z = y[order], n[order], np.ascontiguousarray(parts[:, 5:])
    sums = np.bincount(cell.reshape(-1), y * np.repeat(weight, lengths) * kind.additive, minlength=len(cells))
    present = np.unique(home[chosen])
    values, counts = np.unique(
        e.scale.category(e.y) if e.kind.thresholds else e.y, return_counts=True
    )  # fmt: skip
    used = Rows(
        predictors=np.ascontiguousarray(predictors),
        place=cells[:, 0].astype(np.int64),
        cut=cells[:, 1].astype(np.int64),
        sums=sums,
        cell=cell.reshape(-1).astype(np.int64),
        stratum=np.ascontiguousarray(stratum[chosen], dtype=np.int64),
        group=np.append(np.searchsorted(home[chosen], present), len(chosen)).astype(np.int64),
        values=values.astype(float),
        counts=counts.astype(float),
        y=np.ascontiguousarray(y),
        n=np.ascontiguousarray(n),
        code=parts[:, 2].astype(np.int64),
        many=many[order],
        z=z,
        start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        weight=weight,
        own=_sum_own(kind, y, z, lengths),
    )
    groups = np.full(0 if outer is None else len(outer.levels), -1, dtype=np.int64)
    if outer is not None:
        groups[present] = np.arange(len(present))
    return Stacked(used, kind, inner, outer, member, groups, float(row_constants(e).sum()))


def centred_columns(e: EquationDesign) -> np.ndarray:
    """Return population columns with the intercept at their centring constants, or thresholds there."""
    labels = e.coef.labels
    moved = labels[:1] == (INTERCEPT,) or e.kind.thresholds
    return np.asarray(e.coef.values - (e.centre if moved else 0.0), dtype=float)


def _codes(e: EquationDesign, factor: FactorDesign | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the level of every row, and its covariates; one level without covariates where there is no factor."""
    if factor is None:
        return np.zeros(len(e.y), dtype=np.int64), np.empty((len(e.y), 0))
    group = next(own for own in e.groups if own.factor == factor.factor)
    return np.asarray(group.code, dtype=np.int64), np.asarray(group.values, dtype=float)


def _row_numbers(e: EquationDesign) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return which row each of the kernel's is of, its threshold, outcome, what this is out of, and its code."""
    y, rows = np.asarray(e.y, dtype=float), np.arange(len(e.y))
    none, one, nothing = np.full(len(y), -1), np.ones(len(y)), np.zeros(len(y), dtype=np.int64)
    match e.kind.integrand:
        case "log-odds" | "probit" | "beta-binomial":
            return rows, none, y, one if e.scale.trials is None else np.asarray(e.scale.trials, dtype=float), nothing
        case "log-odds of categories":
            return _split_categories(e)
        case "log-odds of counts":  # the log of the shape stands where others have a threshold
            return rows, nothing, y, one, nothing
        case "rate":
            return rows, none, y, one, nothing
        case "hazard":
            return rows, none, np.zeros(len(y)), one, (y > 0).astype(np.int64)
        case "probit of categories":
            return rows, none, np.zeros(len(y)), one, e.scale.category(y)
        case "ordered beta":
            code = e.scale.category(y)
            return rows, none, np.where(code == 1, e.scale.share(y), 0.5), one, code
        case "censored normal":  # the number of the residual SD stands where others have trials
            return rows, none, y, np.asarray(e.sigma_code, dtype=float), e.scale.side(y) + 1
        case None:
            raise ValueError(f"{e.outcome} is {e.family}, which the kernel does not work out")
        case _:
            assert_never(e.kind.integrand)


def _split_categories(e: EquationDesign) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return each row beside the threshold above its category and beside that below, as in ``_row_numbers``.

    The log-probability of a category is -log(1 + exp(eta - above)) - log(1 + exp(below - eta)), and a part that
    thresholds alone decide; the second is eta - below - log(1 + exp(eta - below)).
    """
    category, last = e.scale.category(e.y), len(e.scale.thresholds)
    above, below = np.flatnonzero(category < last), np.flatnonzero(category > 0)
    source = np.concatenate([above, below])
    cut = np.concatenate([category[above], category[below] - 1])
    y = np.concatenate([np.zeros(len(above)), np.ones(len(below))])
    return source, cut, y, np.ones(len(source)), np.zeros(len(source), dtype=np.int64)


def _pool_units(
    start: np.ndarray, content: np.ndarray, kind: np.ndarray, pool: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return units that stand for all equal to them, by group, how many each stands for, and which stands for each.

    ``content`` has a line per row of a unit, ``kind`` the group and the stratum of each unit.
    """
    first: dict[object, int] = {}
    stands = np.full(len(kind), -1, dtype=np.int64)
    for unit in np.flatnonzero(np.diff(start)).tolist():
        key = (kind[unit].tobytes(), content[start[unit] : start[unit + 1]].tobytes()) if pool else unit
        stands[unit] = first.setdefault(key, unit)
    chosen = np.unique(stands[stands >= 0])
    chosen = chosen[np.argsort(kind[chosen, 0], kind="stable")]
    number = np.full(len(kind), -1, dtype=np.int64)
    number[chosen] = np.arange(len(chosen))
    member = np.where(stands >= 0, number[stands], -1)
    return chosen, np.bincount(member[member >= 0], minlength=len(chosen)).astype(float), member


def _sum_own(kind: Kind, y: np.ndarray, z: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return outcomes summed over rows of a unit, those times covariates, and whether all covariates are 1."""
    own, unit = np.zeros((len(lengths), z.shape[1] + 2)), np.repeat(np.arange(len(lengths)), lengths)
    if kind.additive:
        for i, values in enumerate([y, *(y * column for column in z.T)]):
            own[:, i] = np.bincount(unit, values, minlength=len(lengths))
    own[:, -1] = np.bincount(unit, (z != 1).any(axis=1), minlength=len(lengths)) == 0
    return own


def row_constants(e: EquationDesign) -> np.ndarray:
    """Return what rows' log-densities have that no parameter changes and the kernel leaves out, shape (obs,)."""
    y, n = np.asarray(e.y, dtype=float), e.scale.trials
    match e.kind.integrand:
        case "log-odds" | "probit" | "beta-binomial" if n is not None:
            return np.asarray(gammaln(n + 1.0) - gammaln(y + 1.0) - gammaln(n - y + 1.0))
        case "rate" | "log-odds of counts":
            return np.asarray(-gammaln(y + 1.0))
        case "ordered beta":
            return np.where(e.scale.category(y) == 1, -np.log(e.scale.width), 0.0)
    return np.zeros(len(y))
