"""Densities of units with their own effects integrated out, all else as drawn: any family, either engine's draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr
from scipy.stats import qmc, t

from bayes_alliance.comparison.units import Units
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.latent_columns import FollowMeasured
from bayes_alliance.errors import FitError
from bayes_alliance.outcome.contract import OutcomeRows
from bayes_alliance.posterior.linear import (
    Linear,
    add_effects,
    drawn_rows,
    effect_roots,
    linear_parts,
    residual_cor,
)

NODES: Final = {1: 21, 2: 15, 3: 9}
"""Points per dimension of adaptive Gauss-Hermite quadrature."""

POINTS, HEAVY = 512, 5.0
"""Where there are more dimensions: points of importance sampling, and degrees of freedom of its t proposal."""

EDGE, FINE = 8.0, 0.7
"""Where rows are t: how far a grid reaches, in SDs of the effect, and its step in SDs of its sharpest peak."""

STEPS = 30
"""Newton steps to the mode, at most."""

AT_ONCE = 4_000_000
"""Numbers that are held at a time."""


@dataclass(frozen=True, eq=False)
class _Rows:
    """An equation's rows as they are scored: the predictor given effects that stay, and effects that are integrated."""

    equation: EquationDesign
    linear: Linear
    given: np.ndarray
    outcomes: OutcomeRows

    @property
    def smooth(self) -> bool:
        """Return whether effects are integrated out exactly."""
        return self.equation.kind.normal


def integrated_factors(design: Design, units: Units) -> tuple[str, ...]:
    """Return the factors whose effects belong to one unit each: the unit's own and those of what lies inside it."""
    inside = []
    for factor in design.factors:
        homes: dict[int, set[int]] = {}
        for e in design.equations:
            for group in e.groups:
                if group.factor == factor.factor:
                    for level, unit in set(
                        zip(
                            group.code[group.inside].tolist(),
                            units.codes[e.outcome][group.inside].tolist(),
                            strict=True,
                        )
                    ):
                        homes.setdefault(level, set()).add(unit)
        if all(len(own) == 1 for own in homes.values()):
            inside.append(factor.factor)
    return tuple(inside)


def scored_density(
    design: Design,
    units: Units,
    flat: xr.Dataset,
    wanted: Sequence[str],
    *,
    given_others: bool = False,
    chosen: Sequence[int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return log-densities of all outcomes of units, and of those wanted, alone or given the others; (draw, unit).

    Parameters
    ----------
    design, units, flat, chosen
        As in ``integrated_density``.
    wanted : sequence of str
        Outcomes that are scored.
    given_others : bool
        Whether the units' other outcomes are known.
    """
    everything = integrated_density(design, units, flat, chosen=chosen)
    rest = [e.outcome for e in design.equations if e.outcome not in wanted]
    if not rest:
        return everything, everything
    part = integrated_density(design, units, flat, outcomes=rest if given_others else wanted, chosen=chosen)
    return everything, everything - part if given_others else part


def integrated_density(
    design: Design,
    units: Units,
    flat: xr.Dataset,
    *,
    outcomes: Sequence[str] | None = None,
    chosen: Sequence[int] | None = None,
    inside: Sequence[str] | None = None,
) -> np.ndarray:
    """Return the log-density of units given coefficients and the effects of what is shared, shape (draw, unit).

    Effects of the unit and of what lies inside it are integrated out: exactly where all its outcomes are Gaussian, by
    adaptive Gauss-Hermite quadrature up to three dimensions, by importance sampling around the mode beyond.

    Parameters
    ----------
    design : Design
        The rows.
    units : Units
        What is left out.
    flat : Dataset over (sample, …)
        Draws, effects of what is shared among them.
    outcomes : sequence of str, optional
        Whose density is wanted; all unless stated.
    chosen : sequence of int, optional
        Units; all unless stated.
    inside : sequence of str, optional
        Factors whose effects are integrated out, in place of those of the unit and of what lies inside it.

    Raises
    ------
    FitError
        If rows follow latent means of a variable without an equation: the unit's own values inform its mean.
    """
    measured = {m.variable for e in design.equations for m, f in e.follows.items() if isinstance(f, FollowMeasured)}
    if measured:
        raise FitError(
            f"Rows follow latent means of {', '.join(sorted(measured))}, which a unit's own values inform; its density "
            f"without them is not worked out. Compare by kfold, or take observed means."
        )
    inside = integrated_factors(design, units) if inside is None else inside
    varied = {g.factor for e in design.equations if e.spread is not None for g in e.spread.groups} & set(inside)
    if varied:
        raise FitError(
            f"Residual SDs vary by {', '.join(sorted(varied))}, and the SDs of who is left out are not known; their "
            f"density is not worked out. Compare models whose residual SDs follow predictors only, or by estimands."
        )
    shared = [factor.factor for factor in design.factors if factor.factor not in inside]
    wanted = set(outcomes or [e.outcome for e in design.equations])
    rows = []
    for e in design.equations:
        if e.outcome in wanted:
            linear = linear_parts(design, e, flat)
            rows.append(_Rows(e, linear, add_effects(linear, flat, shared), drawn_rows(design, e, flat)))
    roots = {factor: effect_roots(design, factor, flat) for factor in inside}
    cor = residual_cor(design, flat) if design.residual is not None else None
    numbers = range(len(units)) if chosen is None else chosen
    density = np.empty((flat.sizes["sample"], len(numbers)))
    by_unit = [_positions(units.codes[r.equation.outcome], len(units)) for r in rows]
    for place, unit in enumerate(numbers):
        density[:, place] = _density(design, rows, [own[unit] for own in by_unit], roots, cor)
    return density


def _positions(code: np.ndarray, count: int) -> list[np.ndarray]:
    order = np.argsort(code, kind="stable")
    return np.split(order, np.searchsorted(code[order], np.arange(1, count)))


def _density(
    design: Design,
    rows: Sequence[_Rows],
    places: Sequence[np.ndarray],
    roots: dict[str, np.ndarray],
    cor: np.ndarray | None,
) -> np.ndarray:
    """Return one unit's log-density, shape (draw,)."""
    draws = len(rows[0].given)
    columns = _columns(rows, places, roots)
    size = sum(stop - start for start, stop in columns.values())
    loads = [_loads(r, at, columns, roots, size) for r, at in zip(rows, places, strict=True)]
    total, mean, half = np.zeros(draws), np.zeros((draws, size)), np.broadcast_to(np.eye(size), (draws, size, size))
    smooth = [i for i, r in enumerate(rows) if r.smooth and len(places[i])]
    if smooth:
        left = np.concatenate([rows[i].equation.y[places[i]] - rows[i].given[:, places[i]] for i in smooth], axis=1)
        noise = _noise(design, [rows[i] for i in smooth], [places[i] for i in smooth], cor)
        load = np.concatenate([loads[i] for i in smooth], axis=1)
        total, mean, half = _gaussian(left, noise, load)
    curved = [i for i, r in enumerate(rows) if not r.smooth and len(places[i])]
    if curved:
        eta = np.concatenate([rows[i].given[:, places[i]] for i in curved], axis=1)
        load = np.concatenate([loads[i] for i in curved], axis=1)
        eta = eta + (load @ mean[..., None])[..., 0]
        total = total + average_density(eta, load @ half, [rows[i].outcomes.chosen(places[i]) for i in curved])
    return total


def _columns(
    rows: Sequence[_Rows], places: Sequence[np.ndarray], roots: dict[str, np.ndarray]
) -> dict[tuple[str, int], tuple[int, int]]:
    """Lay out the integrated effects of a unit: first and last place per factor and level."""
    levels = sorted(
        {
            (entry.factor, int(level))
            for r, at in zip(rows, places, strict=True)
            for entry in r.linear.entries
            if entry.factor in roots
            for level in entry.levels(at)
        }
    )
    starts, start = {}, 0
    for factor, level in levels:
        starts[factor, level] = (start, start + roots[factor].shape[-1])
        start += roots[factor].shape[-1]
    return starts


def _loads(
    row: _Rows,
    at: np.ndarray,
    columns: dict[tuple[str, int], tuple[int, int]],
    roots: dict[str, np.ndarray],
    size: int,
) -> np.ndarray:
    """Return what independent standard normals in place of effects add to rows, shape (draw, row, normal)."""
    loads = np.zeros((len(row.given), len(at), size))
    for entry in row.linear.entries:
        if entry.factor not in roots:
            continue
        for level in entry.levels(at):
            own = np.flatnonzero(entry.code[at] == level)
            start, stop = columns[entry.factor, int(level)]
            root = roots[entry.factor][:, level][:, list(entry.effects)]
            loads[:, own, start:stop] += entry.values[..., at[own], :] @ root
    return loads


def _noise(
    design: Design, rows: Sequence[_Rows], places: Sequence[np.ndarray], cor: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return residual SDs, shape (draw, row), and the root of residuals' correlations where rows correlate."""
    spread = np.concatenate([r.outcomes.given["sigma"][:, at] for r, at in zip(rows, places, strict=True)], axis=1)
    residual = design.residual
    if residual is None or cor is None:
        return spread, None
    count = spread.shape[1]
    matrix = np.zeros((len(spread), count, count))
    matrix[:, range(count), range(count)] = 1.0
    starts = np.cumsum([0, *(len(at) for at in places)])
    for i, (one, at) in enumerate(zip(rows, places, strict=True)):
        for j, (other, beside) in enumerate(zip(rows, places, strict=True)):
            names = (one.equation.outcome, other.equation.outcome)
            if i == j or not all(name in residual.outcomes for name in names):
                continue
            same = one.equation.row[at][:, None] == other.equation.row[beside]
            for a, b in np.argwhere(same):
                stratum = residual.beside[names[0]].stratum[at[a]]
                rho = cor[:, stratum, residual.outcomes.index(names[0]), residual.outcomes.index(names[1])]
                matrix[:, starts[i] + a, starts[j] + b] = rho
    return spread, np.linalg.cholesky(matrix)


def _gaussian(
    left: np.ndarray, noise: tuple[np.ndarray, np.ndarray | None], load: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the log-density of what is left over, and mean and root covariance of the normals given it."""
    spread, half = noise
    scaled, residual = load / spread[..., None], (left / spread)[..., None]
    log_det = 2 * np.log(spread).sum(axis=1)
    if half is not None:
        scaled, residual = np.linalg.solve(half, scaled), np.linalg.solve(half, residual)
        log_det = log_det + 2 * np.log(np.diagonal(half, axis1=1, axis2=2)).sum(axis=1)
    precision = np.eye(load.shape[2]) + scaled.transpose(0, 2, 1) @ scaled
    lower = np.linalg.cholesky(precision)
    pulled = np.linalg.solve(lower, scaled.transpose(0, 2, 1) @ residual)
    log_det = log_det + 2 * np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
    square = (residual**2).sum(axis=(1, 2)) - (pulled**2).sum(axis=(1, 2))
    upper = lower.transpose(0, 2, 1)
    mean = np.linalg.solve(upper, pulled)[..., 0]
    root = np.linalg.solve(upper, np.broadcast_to(np.eye(load.shape[2]), upper.shape))
    return -0.5 * (square + log_det + left.shape[1] * np.log(2 * np.pi)), mean, root


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
