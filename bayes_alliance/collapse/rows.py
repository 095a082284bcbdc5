"""Rows as the exact engine sums them: columns centred and scaled, codes of factors, classes of residuals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bayes_alliance.collapse.shape import Factor, Residuals, Shape, choose_chain
from bayes_alliance.collapse.shrinkage import list_shrinkage, prior_moments
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.factors import FactorDesign
from bayes_alliance.design.groups.groups import find_nesting
from bayes_alliance.names import INTERCEPT, RESIDUAL
from bayes_alliance.spec.parameters import AUTOCORRELATION


@dataclass(frozen=True, eq=False)
class EquationRows:
    """The rows of one equation, or a piece of them.

    ``x`` of shape (obs, own coef) times the prior's scale, ``y`` less the prior's mean; ``code`` per factor of shape
    (obs,), -1 outside; ``z`` per factor of shape (obs, own effect) in the factor's basis. ``coef`` and ``effects`` (per
    factor) say which coefficients and effects these are, ``response`` which column holds the outcome. ``owner`` is the
    equation, variables whose means are latent coming after all; ``place``, shape (obs,), says which of its rows they
    are, None for all of them. ``log_scale``, shape (obs,), is the logarithm of what each row was multiplied by, None
    where they are as they were observed.
    """

    x: np.ndarray
    y: np.ndarray
    code: tuple[np.ndarray, ...]
    z: tuple[np.ndarray, ...]
    coef: np.ndarray
    effects: tuple[np.ndarray, ...]
    response: int
    owner: int
    place: np.ndarray | None = None
    log_scale: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class ClassRows:
    """Rows of one class of residuals: per place (or piece) of the class, positions in its rows, aligned.

    ``squares`` over ``degrees`` of freedom are squared deviations from means that the rows stand for, summed before.
    """

    residuals: Residuals
    rows: tuple[np.ndarray, ...]
    squares: float = 0.0
    degrees: int = 0


@dataclass(frozen=True, eq=False)
class Stacked:
    """A design as the exact engine reads it; ``links`` are the levels that meet in some row, as of ``find_links``."""

    shape: Shape
    rows: tuple[EquationRows, ...]
    classes: tuple[ClassRows, ...]
    links: np.ndarray


def order_factors(levels: Sequence[int], links: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the places of nested factors, finest first, and of those that cross."""
    return choose_chain(levels, find_nesting(links))


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
        np.flatnonzero(own),
        tuple(np.array(factor.places[number], dtype=np.int64) for factor in shape.factors),
        number,
        number,
    )


def make_shape(design: Design, chain: tuple[int, ...], crossed: tuple[int, ...]) -> Shape:
    """Return everything of a design but its rows."""
    factors = list_factors(design)
    equations, residual = design.equations, design.residual
    outcomes = tuple(e.outcome for e in equations)
    joint, strata, joint_cor = 0, 1, None
    if residual is not None:
        joint, strata = len(residual.labels), max(len(residual.by), 1)
        joint_cor = design.priors.cor[RESIDUAL][0].distribution if residual.fixed is None else None
    elif AUTOCORRELATION in design.priors.shapes:  # a matrix of two per outcome: neighbours in its series
        priors = design.priors.shapes[AUTOCORRELATION]
        joint, strata, joint_cor = 2, len(priors), priors[0].distribution
    mean, scale = prior_moments(design)
    shrunk, mix = list_shrinkage(design, np.arange(len(mean)), scale)
    return Shape(
        outcomes=outcomes,
        equation=np.repeat(np.arange(len(equations)), [len(e.coef.labels) for e in equations]),
        centre=np.concatenate([e.centre for e in equations]) if equations else np.zeros(0),
        mean=mean,
        scale=scale,
        factors=factors,
        chain=chain,
        crossed=crossed,
        sigma=tuple(prior.distribution for prior in design.priors.sigma),
        joint=joint,
        joint_strata=strata,
        joint_cor=joint_cor,
        fixed=None if residual is None else residual.fixed,
        coef=np.arange(len(design.priors.coef)),
        loading=np.zeros(0, dtype=np.int64),
        loading_mean=np.zeros(0),
        loading_scale=np.zeros(0),
        mix=mix,
        shrunk=shrunk,
    )


def list_factors(design: Design) -> tuple[Factor, ...]:
    """Return the grouping factors of a design."""
    return tuple(_factor(design, factor) for factor in design.factors)


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


def codes_of(equation: EquationDesign, factor: FactorDesign) -> np.ndarray:
    """Return a factor's codes over the rows of an equation, -1 outside."""
    group = next((g for g in equation.groups if g.factor == factor.factor), None)
    return np.full(len(equation.y), -1) if group is None else np.where(group.inside, group.code, -1)


def values_of(equation: EquationDesign, factors: Sequence[FactorDesign]) -> list[np.ndarray]:
    """Return per factor the covariates of an equation's effects, shape (obs, own effect)."""
    by_name = {group.factor: group.values for group in equation.groups}
    return [by_name.get(factor.factor, np.zeros((len(equation.y), 0))) for factor in factors]


def find_links(codes: Sequence[Sequence[np.ndarray]], classes: Sequence[ClassRows]) -> np.ndarray:
    """Return the levels of all factors that meet in a row, shape (link, factor), -1 where a row is outside a factor.

    Parameters
    ----------
    codes : sequence of sequence of ndarray
        By rows of an equation (or piece of them) and factor, shape (obs,).
    classes : sequence of ClassRows
        Outcomes of a row whose residuals correlate make the factors of their equations meet.
    """
    parts = [np.column_stack(own) for own in codes if own]
    for part in classes:
        if len(part.rows) > 1:
            each = [
                np.column_stack([code[rows] for code in codes[piece.rows]])
                for piece, rows in zip(part.residuals.parts, part.rows, strict=True)
                if codes[piece.rows]
            ]
            parts += [np.max(each, axis=0)] if each else []
    return np.concatenate(parts).astype(np.int64) if parts else np.empty((0, 0), dtype=np.int64)


def log_scale(rows_of: Sequence[EquationRows], part: ClassRows) -> np.ndarray:
    """Return the sum of logarithms of what the rows of a class were multiplied by, shape (row of the class,)."""
    total = np.zeros(len(part.rows[0]))
    seen: set[int] = set()
    for piece, rows in zip(part.residuals.parts, part.rows, strict=True):
        scale = rows_of[piece.rows].log_scale
        if piece.place not in seen and scale is not None:
            total += scale[rows]
        seen.add(piece.place)
    return total


def add_units(stacked: Stacked, codes: Sequence[np.ndarray]) -> tuple[Stacked, int] | None:
    """Return rows with one more factor, without effects, whose levels can be left out; and its place.

    Units of variables whose means are latent belong to the level of the rows that follow them. Factors that lie in the
    new one's levels come before it in the chain and those it lies in after it; None where a factor of the rows does
    neither, so that leaving a level out cuts through levels of that factor.

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
    of_rows = [_codes_of(rows, codes, stacked) for rows in stacked.rows]
    equations = tuple(
        replace(
            rows,
            code=(*rows.code, np.ascontiguousarray(code)),
            z=(*rows.z, np.zeros((len(code), 0))),
            effects=(*rows.effects, nothing),
        )
        for rows, code in zip(stacked.rows, of_rows, strict=True)
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
    return replace(stacked, shape=changed, rows=equations, links=links), new


def _codes_of(rows: EquationRows, codes: Sequence[np.ndarray], stacked: Stacked) -> np.ndarray:
    """Return the level of each row among those that are left out, -1 where no other row says."""
    if rows.owner < len(codes):
        return codes[rows.owner] if rows.place is None else codes[rows.owner][rows.place]
    inner = next(f for f, code in enumerate(rows.code) if (code >= 0).all() and len(np.unique(code)) == len(code))
    found = np.full(stacked.shape.factors[inner].levels, -1)
    for other in stacked.rows:
        if other.owner < len(codes):
            inside = other.code[inner] >= 0
            own = codes[other.owner] if other.place is None else codes[other.owner][other.place]
            found[other.code[inner][inside]] = own[inside]
    return np.asarray(found[rows.code[inner]])


def _choose(group: Sequence[int], sizes: Sequence[int], nested: Sequence[Sequence[bool]]) -> list[int]:
    """Return the chain of nested factors among some of them."""
    chain, _ = choose_chain([sizes[f] for f in group], [[nested[i][o] for o in group] for i in group])
    return [group[i] for i in chain]
