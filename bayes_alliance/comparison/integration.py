"""Densities of units with their own effects integrated out, all else as drawn: any family, either engine's draws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from bayes_alliance.comparison.quadrature import MOST_PARAMETER_EFFECTS, average_density, integrate_around_mode
from bayes_alliance.comparison.units import Units
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.latent_columns import FollowMeasured
from bayes_alliance.design.equations.residual import ResidualDesign
from bayes_alliance.design.equations.visits import VisitResiduals
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.linear import Linear, add_effects, effect_roots, linear_parts, residual_cor
from bayes_alliance.expectation.outcomes import autocorrelation, drawn_rows
from bayes_alliance.outcome.contract import OutcomeRows, Parameter


@dataclass(frozen=True, eq=False)
class _Rows:
    """An equation's rows as they are scored: the predictor given effects that stay, and effects that are integrated.

    ``formulas`` has the same of the parameters that have a formula with integrated effects, each with its link;
    ``serial`` is the autocorrelation of residuals, shape (draw,), where they have one.
    """

    equation: EquationDesign
    linear: Linear
    given: np.ndarray
    outcomes: OutcomeRows
    formulas: Mapping[str, tuple[Parameter, Linear, np.ndarray]]
    serial: np.ndarray | None = None

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
    shared = [factor.factor for factor in design.factors if factor.factor not in inside]
    wanted = set(outcomes or [e.outcome for e in design.equations])
    rows = []
    for e in design.equations:
        if e.outcome in wanted:
            linear = linear_parts(design, e.mean, flat)
            drawn = drawn_rows(design, e, flat, factors=shared)
            formulas = _formulas(design, e, flat, shared)
            serial = autocorrelation(e, flat) if e.series is not None else None
            rows.append(_Rows(e, linear, add_effects(linear, flat, shared), drawn, formulas, serial))
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


def _formulas(
    design: Design, e: EquationDesign, flat: xr.Dataset, shared: Sequence[str]
) -> dict[str, tuple[Parameter, Linear, np.ndarray]]:
    """Return the predictors of parameters that have integrated effects."""
    found = {}
    for parameter in e.kind.parameters:
        own = e.parameters.get(parameter.name)
        if own is None or all(group.factor in shared for group in own.groups):
            continue
        if e.modelled is not None:
            raise FitError(
                f"{own.name} varies between units and {e.outcome} is measured with error or has missing values that "
                f"are modelled; the density of a unit that is left out is not worked out. Compare by kfold."
            )
        linear = linear_parts(design, own, flat)
        found[parameter.name] = (parameter, linear, add_effects(linear, flat, shared))
    return found


def _density(
    design: Design,
    rows: Sequence[_Rows],
    places: Sequence[np.ndarray],
    roots: dict[str, np.ndarray],
    cor: np.ndarray | None,
) -> np.ndarray:
    """Return one unit's log-density, shape (draw,)."""
    columns = _columns(rows, places, roots)
    size = sum(stop - start for start, stop in columns.values())
    loads = [_loads(r.linear, at, columns, roots, size) for r, at in zip(rows, places, strict=True)]
    eta = [r.given[:, at] for r, at in zip(rows, places, strict=True)]
    outcomes = [r.outcomes.chosen(at) for r, at in zip(rows, places, strict=True)]
    known = _Known(design, rows, places, cor)
    formulas = [
        (i, parameter, given[:, at], _loads(linear, at, columns, roots, size))
        for i, (r, at) in enumerate(zip(rows, places, strict=True))
        for parameter, linear, given in r.formulas.values()
    ]
    formulas = [formula for formula in formulas if formula[3].any()]
    if not formulas:
        return _given_parameters(known, eta, outcomes, loads)
    return _over_parameters(known, eta, outcomes, loads, formulas)


@dataclass(frozen=True, eq=False)
class _Known:
    """What does not change with a unit's effects: the design, its rows, and residuals' correlations."""

    design: Design
    rows: Sequence[_Rows]
    places: Sequence[np.ndarray]
    cor: np.ndarray | None


def _given_parameters(
    known: _Known, eta: Sequence[np.ndarray], outcomes: Sequence[OutcomeRows], loads: Sequence[np.ndarray]
) -> np.ndarray:
    """Return one unit's log-density given the parameters of its rows, shape (draw,)."""
    rows, places = known.rows, known.places
    draws, size = len(eta[0]), loads[0].shape[2]
    total, mean, half = np.zeros(draws), np.zeros((draws, size)), np.broadcast_to(np.eye(size), (draws, size, size))
    smooth = [i for i, r in enumerate(rows) if r.smooth and len(places[i])]
    if smooth:
        left = np.concatenate([rows[i].equation.y[places[i]] - eta[i] for i in smooth], axis=1)
        spread = np.concatenate([np.broadcast_to(outcomes[i].given["sigma"], eta[i].shape) for i in smooth], axis=1)
        noise = spread, _residual_root(known, smooth, spread)
        load = np.concatenate([loads[i] for i in smooth], axis=1)
        total, mean, half = _gaussian(left, noise, load)
    curved = [i for i, r in enumerate(rows) if not r.smooth and len(places[i])]
    if curved:
        whole = np.concatenate([eta[i] for i in curved], axis=1)
        load = np.concatenate([loads[i] for i in curved], axis=1)
        whole = whole + (load @ mean[..., None])[..., 0]
        total = total + average_density(whole, load @ half, [outcomes[i] for i in curved])
    return total


type Formula = tuple[int, Parameter, np.ndarray, np.ndarray]
"""A parameter with effects: whose rows, its link, its predictor without effects, what standard normals add to it."""


def _over_parameters(
    known: _Known,
    eta: Sequence[np.ndarray],
    outcomes: Sequence[OutcomeRows],
    loads: Sequence[np.ndarray],
    formulas: Sequence[Formula],
) -> np.ndarray:
    """Return one unit's log-density where effects on parameters are integrated out, too, shape (draw,).

    The standard normals are turned so that parameters depend on the first few alone. These are integrated out by
    quadrature around the mode; given them the density is that of rows with known parameters.
    """
    own = np.concatenate([load for *_, load in formulas], axis=1)
    values, turn = np.linalg.svd(own, full_matrices=True)[1:]
    count = int((values > 1e-9 * values.max()).sum(axis=1).max())
    if count > MOST_PARAMETER_EFFECTS:
        raise FitError(
            f"{count} effects of a unit change the parameters of its rows; a unit's density is worked out with up to "
            f"{MOST_PARAMETER_EFFECTS}. Compare by kfold, or by estimands."
        )
    basis = turn.transpose(0, 2, 1)
    first, rest = basis[:, :, :count], basis[:, :, count:]

    def log_density(w: np.ndarray) -> np.ndarray:
        """Return the log of density times prior at values of the first normals, (draw, count)."""
        z = (first @ w[..., None])[..., 0][..., None]
        moved = [one + (load @ z)[..., 0] for one, load in zip(eta, loads, strict=True)]
        given = [dict(rows.given) for rows in outcomes]
        for place, parameter, middle, load in formulas:
            given[place][parameter.name] = parameter.inverse(middle + (load @ z)[..., 0])
        made = [replace(rows, given=one) for rows, one in zip(outcomes, given, strict=True)]
        inner = _given_parameters(known, moved, made, [load @ rest for load in loads])
        return np.asarray(inner - 0.5 * (w**2).sum(axis=1) - 0.5 * count * np.log(2 * np.pi))

    return integrate_around_mode(log_density, len(eta[0]), count)


def _columns(
    rows: Sequence[_Rows], places: Sequence[np.ndarray], roots: dict[str, np.ndarray]
) -> dict[tuple[str, int], tuple[int, int]]:
    """Lay out the integrated effects of a unit: first and last place per factor and level."""
    levels = sorted(
        {
            (entry.factor, int(level))
            for r, at in zip(rows, places, strict=True)
            for linear in (r.linear, *(own for _, own, _ in r.formulas.values()))
            for entry in linear.entries
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
    linear: Linear,
    at: np.ndarray,
    columns: dict[tuple[str, int], tuple[int, int]],
    roots: dict[str, np.ndarray],
    size: int,
) -> np.ndarray:
    """Return what independent standard normals in place of effects add to rows, shape (draw, row, normal)."""
    loads = np.zeros((len(linear.population), len(at), size))
    for entry in linear.entries:
        if entry.factor not in roots:
            continue
        for level in entry.levels(at):
            own = np.flatnonzero(entry.code[at] == level)
            start, stop = columns[entry.factor, int(level)]
            root = roots[entry.factor][:, level][:, list(entry.effects)]
            loads[:, own, start:stop] += entry.values[..., at[own], :] @ root
    return loads


def _residual_root(known: _Known, smooth: Sequence[int], spread: np.ndarray) -> np.ndarray | None:
    """Return the root of residuals' correlations, shape (draw, row, row); None where no rows correlate."""
    rows, places = [known.rows[i] for i in smooth], [known.places[i] for i in smooth]
    if known.cor is None and all(one.serial is None for one in rows):
        return None
    count = spread.shape[1]
    matrix = np.zeros((len(spread), count, count))
    matrix[:, range(count), range(count)] = 1.0
    starts = np.cumsum([0, *(len(at) for at in places)])
    for i, (one, at) in enumerate(zip(rows, places, strict=True)):
        for j, (other, beside) in enumerate(zip(rows, places, strict=True)):
            for a, b, rho in _correlating(known, (one, at), (other, beside)):
                matrix[:, starts[i] + a, starts[j] + b] = rho
    return np.linalg.cholesky(matrix)


def _correlating(
    known: _Known, one: tuple[_Rows, np.ndarray], other: tuple[_Rows, np.ndarray]
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield which of two equations' rows correlate, and their correlation of shape (draw,)."""
    (first, at), (second, beside), residual, cor = one, other, known.design.residual, known.cor
    e = first.equation
    if first is second and e.serial:
        same = (e.patient[at][:, None] == e.patient[at]) & ~np.eye(len(at), dtype=bool)
        for a, b in np.argwhere(same):
            if first.serial is not None:
                yield a, b, first.serial ** abs(e.session[at[a]] - e.session[at[b]])
            elif isinstance(residual, VisitResiduals) and cor is not None:
                stratum = residual.stratum[residual.patient[at[a]]]
                yield a, b, cor[:, stratum, residual.visit[at[a]], residual.visit[at[b]]]
    elif first is not second and isinstance(residual, ResidualDesign) and cor is not None:
        names = (e.outcome, second.equation.outcome)
        if not all(name in residual.outcomes for name in names):
            return
        i, j = (residual.outcomes.index(name) for name in names)
        for a, b in np.argwhere(e.row[at][:, None] == second.equation.row[beside]):
            yield a, b, cor[:, residual.beside[names[0]].stratum[at[a]], i, j]


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
