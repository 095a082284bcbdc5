"""Rows as the exact engine sums them: columns centred and scaled, codes of factors, classes of residuals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bayes_alliance.collapse.shape import Factor, Residuals, Shape, choose_chain
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.factors import FactorDesign
from bayes_alliance.design.equations.residual import ResidualDesign
from bayes_alliance.design.equations.series import Series
from bayes_alliance.design.equations.visits import VisitResiduals
from bayes_alliance.design.groups.groups import find_nesting
from bayes_alliance.names import INTERCEPT, RESIDUAL
from bayes_alliance.spec.parameters import AUTOCORRELATION


@dataclass(frozen=True, eq=False)
class EquationRows:
    """The rows of one equation.

    ``x`` of shape (obs, own coef) times the prior's scale, ``y`` less the prior's mean; ``code`` per factor of shape
    (obs,), -1 outside; ``z`` per factor of shape (obs, own effect) in the factor's basis.
    """

    x: np.ndarray
    y: np.ndarray
    code: tuple[np.ndarray, ...]
    z: tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class ClassRows:
    """Rows of one class of residuals: per outcome of the class, positions in its equation's rows, aligned."""

    residuals: Residuals
    rows: tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class Stacked:
    """A design as the exact engine reads it; ``links`` are the levels that meet in some row, as of ``find_links``."""

    shape: Shape
    equations: tuple[EquationRows, ...]
    classes: tuple[ClassRows, ...]
    links: np.ndarray


def stack_rows(design: Design) -> Stacked:
    """Stack a design's equations.

    Parameters
    ----------
    design : Design
        Of an eligible model: Gaussian outcomes, normal priors on coefficients, no latent means.
    """
    layout = lay_out(design)
    shape = make_shape(design, layout.chain, layout.crossed)
    rows = tuple(
        equation_rows(shape, i, e.coef.values, e.y, layout.codes[i], _values(e, design.factors))
        for i, e in enumerate(design.equations)
    )
    return Stacked(shape, rows, layout.classes, layout.links)


@dataclass(frozen=True, eq=False)
class Layout:
    """How factors lie to each other: ``codes`` by equation and factor, shape (obs,); ``chain`` and ``crossed``."""

    codes: tuple[tuple[np.ndarray, ...], ...]
    classes: tuple[ClassRows, ...]
    links: np.ndarray
    chain: tuple[int, ...]
    crossed: tuple[int, ...]


def lay_out(design: Design) -> Layout:
    """Find out which factors of a design nest and which cross."""
    codes = tuple(tuple(_codes(e, factor) for factor in design.factors) for e in design.equations)
    classes = _classes(design)
    links = find_links(codes, classes)
    return Layout(codes, classes, links, *order_factors(design, links))


def order_factors(design: Design, links: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the places of nested factors, finest first, and of those that cross."""
    return choose_chain([len(factor.levels) for factor in design.factors], find_nesting(links))


def equation_rows(
    shape: Shape,
    number: int,
    coef: np.ndarray,
    y: np.ndarray,
    codes: Sequence[np.ndarray],
    values: Sequence[np.ndarray],
) -> EquationRows:
    """Centre and scale the rows of one equation.

    Parameters
    ----------
    shape : Shape
        Gives constants, priors and bases.
    number : int
        Which equation.
    coef, y : ndarray, shape (obs, own coef) and (obs,)
        As the design has them.
    codes, values : sequence of ndarray
        Per factor: levels, -1 outside, shape (obs,); covariates of the equation's effects, shape (obs, own effect).
    """
    own = shape.equation == number
    centred = coef - shape.centre[own]
    z = []
    for factor, value in zip(shape.factors, values, strict=True):
        places = list(factor.places[number])
        z.append(np.ascontiguousarray(value @ np.linalg.inv(factor.basis[np.ix_(places, places)])))
    return EquationRows(
        np.ascontiguousarray(centred * shape.scale[own]),
        np.ascontiguousarray(y - centred @ shape.mean[own]),
        tuple(np.ascontiguousarray(code, dtype=np.int64) for code in codes),
        tuple(z),
    )


def make_shape(design: Design, chain: tuple[int, ...], crossed: tuple[int, ...]) -> Shape:
    """Return everything of a design but its rows."""
    factors = tuple(_factor(design, factor) for factor in design.factors)
    equations, residual = design.equations, design.residual
    outcomes = tuple(e.outcome for e in equations)
    joint, strata, joint_cor = 0, 1, None
    if residual is not None:
        joint, strata = len(residual.labels), max(len(residual.by), 1)
        joint_cor = design.priors.cor[RESIDUAL][0].distribution if residual.fixed is None else None
    elif AUTOCORRELATION in design.priors.shapes:  # a matrix of two per outcome: neighbours in its series
        priors = design.priors.shapes[AUTOCORRELATION]
        joint, strata, joint_cor = 2, len(priors), priors[0].distribution
    return Shape(
        outcomes=outcomes,
        equation=np.repeat(np.arange(len(equations)), [len(e.coef.labels) for e in equations]),
        centre=np.concatenate([e.centre for e in equations]) if equations else np.zeros(0),
        mean=np.array([prior.distribution.value("mu") for prior in design.priors.coef]),
        scale=np.array([prior.distribution.value("sigma") for prior in design.priors.coef]),
        factors=factors,
        chain=chain,
        crossed=crossed,
        sigma=tuple(prior.distribution for prior in design.priors.sigma),
        joint=joint,
        joint_strata=strata,
        joint_cor=joint_cor,
        fixed=None if residual is None else residual.fixed,
    )


def _factor(design: Design, factor: FactorDesign) -> Factor:
    places = tuple(factor.places.get(e.outcome, ()) for e in design.equations)
    equation = np.zeros(len(factor.effects), dtype=np.int64)
    basis = np.eye(len(factor.effects))
    for number, e in enumerate(design.equations):
        equation[list(places[number])] = number
        for group in e.groups:
            if group.factor == factor.factor and INTERCEPT in group.effects:
                start = places[number][group.effects.index(INTERCEPT)]
                for effect, place in enumerate(places[number]):
                    if place != start:
                        basis[start, place] = group.values[group.inside, effect].mean()
    correlated = [block for block in factor.blocks if len(block.members) > 1]
    priors = design.priors
    return Factor(
        name=factor.factor,
        levels=len(factor.levels),
        equation=equation,
        blocks=tuple(block.members for block in correlated),
        basis=basis,
        places=places,
        strata=1 if factor.by is None else len(factor.by.labels),
        stratum=np.zeros(len(factor.levels), dtype=np.int64) if factor.by is None else factor.by.code,
        sd=tuple(prior.distribution for prior in priors.sd[factor.factor]),
        cor=tuple(prior.distribution for prior in priors.cor.get(factor.factor, ())),
    )


def _codes(equation: EquationDesign, factor: FactorDesign) -> np.ndarray:
    """Return a factor's codes over the rows of an equation, -1 outside."""
    group = next((g for g in equation.groups if g.factor == factor.factor), None)
    return np.full(len(equation.y), -1) if group is None else np.where(group.inside, group.code, -1)


def _values(equation: EquationDesign, factors: Sequence[FactorDesign]) -> list[np.ndarray]:
    by_name = {group.factor: group.values for group in equation.groups}
    return [by_name.get(factor.factor, np.zeros((len(equation.y), 0))) for factor in factors]


def find_links(codes: Sequence[Sequence[np.ndarray]], classes: Sequence[ClassRows]) -> np.ndarray:
    """Return the levels of all factors that meet in a row, shape (link, factor), -1 where a row is outside a factor.

    Parameters
    ----------
    codes : sequence of sequence of ndarray
        By equation and factor, shape (obs,).
    classes : sequence of ClassRows
        Outcomes of a row whose residuals correlate make the factors of their equations meet.
    """
    parts = [np.column_stack(own) for own in codes if own]
    for part in classes:
        if len(part.rows) > 1:
            each = [
                np.column_stack([code[rows] for code in codes[equation]])
                for equation, rows in zip(part.residuals.equations, part.rows, strict=True)
                if codes[equation]
            ]
            parts += [np.max(each, axis=0)] if each else []
    return np.concatenate(parts).astype(np.int64) if parts else np.empty((0, 0), dtype=np.int64)


def _classes(design: Design) -> tuple[ClassRows, ...]:
    """Return the classes of residuals: by equation and residual SD, or by the rows whose residuals correlate."""
    starts = np.cumsum([0, *(len(e.sigma_coef) for e in design.equations)])
    joint = design.residual.outcomes if isinstance(design.residual, ResidualDesign) else ()
    series = [e.outcome for e in design.equations if e.series is not None]
    classes: list[ClassRows] = []
    for number, e in enumerate(design.equations):
        sigma = int(starts[number]) + e.sigma_code
        if e.series is not None:
            classes += _serial_classes(number, e.series, sigma, series.index(e.outcome))
        elif isinstance(design.residual, VisitResiduals) and e.outcome == design.residual.outcome:
            classes += _visit_classes(number, design.residual, sigma)
        elif e.outcome not in joint:
            classes += [
                ClassRows(Residuals((number,), (int(one),)), (np.flatnonzero(sigma == one),))
                for one in range(starts[number], starts[number + 1])
            ]
    return (*classes, *_joint_classes(design, starts))


def _serial_classes(number: int, series: Series, sigma: np.ndarray, stratum: int) -> list[ClassRows]:
    """Return the rows that follow none by residual SD, and those that follow one by the gap and both residual SDs."""
    first = np.flatnonzero(series.gap == 0)
    found = [
        ClassRows(Residuals((number,), (int(one),)), (first[sigma[first] == one],)) for one in np.unique(sigma[first])
    ]
    rows = np.flatnonzero(series.gap > 0)
    keys = np.column_stack([series.distance[rows], sigma[rows], sigma[series.before[rows]]])
    kinds, which = np.unique(keys, axis=0, return_inverse=True)
    for place, (gap, one, two) in enumerate(kinds):
        own = rows[which.reshape(-1) == place]
        part = Residuals((number, number), (int(one), int(two)), stratum, (1, 0), int(gap))
        found.append(ClassRows(part, (own, series.before[own])))
    return found


def _visit_classes(number: int, visits: VisitResiduals, sigma: np.ndarray) -> list[ClassRows]:
    """Return the patients by the visits they have and their stratum."""
    strata, held, which = visits.patterns()
    found = []
    for place, stratum in enumerate(strata):
        kept = np.flatnonzero(held[place])
        rows = visits.place[which == place][:, kept].T
        if len(kept):
            sds = tuple(int(sigma[row[0]]) for row in rows)
            part = Residuals((number,) * len(kept), sds, int(stratum), tuple(map(int, kept)))
            found.append(ClassRows(part, tuple(rows)))
    return found


def _joint_classes(design: Design, starts: np.ndarray) -> list[ClassRows]:
    if not isinstance(design.residual, ResidualDesign):
        return []
    numbers = [i for o in design.residual.outcomes for i, e in enumerate(design.equations) if e.outcome == o]
    frames = []
    for number in numbers:
        e = design.equations[number]
        sigma = starts[number] + e.sigma_code
        stratum = design.residual.beside[e.outcome].stratum
        frame = {"row": e.row, f"place{number}": np.arange(len(e.y)), f"sigma{number}": sigma}
        frames.append(pd.DataFrame(frame | {f"stratum{number}": stratum}).set_index("row"))
    together = pd.concat(frames, axis=1).fillna(-1).astype(np.int64)
    together["stratum"] = together[[f"stratum{n}" for n in numbers]].max(axis=1)
    classes = []
    for key, part in together.groupby([*(f"sigma{n}" for n in numbers), "stratum"]):
        numbers_of = [int(str(part)) for part in key] if isinstance(key, tuple) else []
        present: Mapping[int, int] = {n: s for n, s in zip(numbers, numbers_of, strict=False) if s >= 0}
        at = tuple(numbers.index(n) for n in present)
        residuals = Residuals(tuple(present), tuple(present.values()), numbers_of[-1], at)
        classes.append(ClassRows(residuals, tuple(part[f"place{n}"].to_numpy() for n in present)))
    return classes


def add_units(stacked: Stacked, codes: Sequence[np.ndarray]) -> tuple[Stacked, int] | None:
    """Return rows with one more factor, without effects, whose levels can be left out; and its place.

    Factors that lie in its levels come before it in the chain and those it lies in after it; None where a factor of
    the rows does neither, so that leaving a level out cuts through levels of that factor.

    Parameters
    ----------
    stacked : Stacked
        The rows.
    codes : sequence of ndarray, shape (obs,)
        Of every equation's rows.
    """
    shape, new = stacked.shape, len(stacked.shape.factors)
    levels = 1 + max(int(code.max()) for code in codes)
    nothing = np.zeros(0, dtype=np.int64)
    added = Factor(
        name="",
        levels=levels,
        equation=nothing,
        blocks=(),
        basis=np.zeros((0, 0)),
        places=tuple(() for _ in shape.outcomes),
        strata=1,
        stratum=np.zeros(levels, dtype=np.int64),
        sd=(),
        cor=(),
    )
    equations = tuple(
        replace(rows, code=(*rows.code, np.ascontiguousarray(code)), z=(*rows.z, np.zeros((len(code), 0))))
        for rows, code in zip(stacked.equations, codes, strict=True)
    )
    links = find_links([rows.code for rows in equations], stacked.classes)
    nested = find_nesting(links)
    sizes = [factor.levels for factor in (*shape.factors, added)]
    inner = [f for f in range(new) if nested[f][new]]
    outer = [f for f in range(new) if nested[new][f] and f not in inner]
    if len(inner) + len(outer) < new:
        return None
    before, after = (_choose(group, sizes, nested) for group in (inner, outer))
    if len(before) < len(inner):
        return None
    chain = (*before, new, *(f for f in after if all(nested[i][f] for i in before)))
    crossed = tuple(f for f in range(new) if f not in chain)
    changed = replace(shape, factors=(*shape.factors, added), chain=chain, crossed=crossed)
    return replace(stacked, shape=changed, equations=equations, links=links), new


def _choose(group: Sequence[int], sizes: Sequence[int], nested: Sequence[Sequence[bool]]) -> list[int]:
    """Return the chain of nested factors among some of them."""
    chain, _ = choose_chain([sizes[f] for f in group], [[nested[i][o] for o in group] for i in group])
    return [group[i] for i in chain]
