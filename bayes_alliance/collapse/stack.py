"""A design's rows put together for the exact engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import block_diag

from bayes_alliance.collapse.classes import list_classes
from bayes_alliance.collapse.loadings import Index, NotLinearError, is_split, make_index
from bayes_alliance.collapse.rows import (
    ClassRows,
    EquationRows,
    Stacked,
    codes_of,
    equation_rows,
    find_links,
    list_factors,
    make_shape,
    order_factors,
    values_of,
)
from bayes_alliance.collapse.shape import Factor, Shape
from bayes_alliance.collapse.shrinkage import list_shrinkage, prior_moments
from bayes_alliance.collapse.split_rows import Block, list_sigmas, outcome_names, private_factors, shifts, split
from bayes_alliance.design.design import Design

MOST_TOGETHER = 12
"""Modelled values of a patient that are eliminated at once: their number's third power is what they cost."""

type Codes = Sequence[Sequence[np.ndarray]]


def stack_rows(design: Design) -> Stacked:
    """Stack a design's equations.

    Parameters
    ----------
    design : Design
        Of an eligible model: Gaussian outcomes, normal priors on coefficients.
    """
    layout = lay_out(design)
    shape = make_shape(design, layout.chain, layout.crossed)
    if layout.index is not None:
        shape = _split_shape(design, shape, layout.factors, layout.index)
        rows = tuple(_block_rows(shape, block, codes) for block, codes in zip(layout.blocks, layout.codes, strict=True))
        return Stacked(shape, rows, layout.classes, layout.links)
    rows = tuple(
        equation_rows(shape, i, e.coef.values, e.y, layout.codes[i], values_of(e, design.factors))
        for i, e in enumerate(design.equations)
    )
    return Stacked(shape, rows, layout.classes, layout.links)


@dataclass(frozen=True, eq=False)
class Layout:
    """How factors lie to each other: ``codes`` by rows and factor, shape (obs,); ``chain`` and ``crossed``.

    ``sizes`` are the effects of each factor over its levels. ``factors`` are those of means and values, too, where rows
    are split into ``blocks``; ``index`` is None where not.
    """

    codes: Codes
    classes: tuple[ClassRows, ...]
    links: np.ndarray
    sizes: tuple[int, ...]
    chain: tuple[int, ...]
    crossed: tuple[int, ...]
    factors: tuple[Factor, ...] = ()
    index: Index | None = None
    blocks: tuple[Block, ...] = ()


def lay_out(design: Design) -> Layout:
    """Find out which factors of a design nest and which cross.

    Raises
    ------
    NotLinearError
        If a row reads two levels of one factor.
    """
    classes = list_classes(design)
    if is_split(design):
        return _lay_out_split(design, classes)
    codes = tuple(tuple(codes_of(e, factor) for factor in design.factors) for e in design.equations)
    links = find_links(codes, classes)
    sizes = tuple(len(factor.levels) * len(factor.effects) for factor in design.factors)
    order = order_factors([len(factor.levels) for factor in design.factors], links)
    return Layout(codes, classes, links, sizes, *order)


def _lay_out_split(design: Design, plain: tuple[ClassRows, ...]) -> Layout:
    """Lay rows out that are split; modelled values of which a row reads several become effects of patients."""
    together: tuple[str, ...] = ()
    while True:
        try:
            return _lay_out_index(design, plain, make_index(design, together))
        except NotLinearError as error:
            if error.values is None or error.values in together or not _may_be_together(design, error.values):
                raise
            together = (*together, error.values)


def _may_be_together(design: Design, outcome: str) -> bool:
    """Return whether modelled values of an outcome may be effects of patients: of sessions, with one SD, not many."""
    e = design.find(outcome)
    if e.modelled is None or e.spec.unit != "session" or len(e.sigma_coef) > 1:
        return False
    return int(np.unique(e.patient[e.modelled.rows], return_counts=True)[1].max()) <= MOST_TOGETHER


def _lay_out_index(design: Design, plain: tuple[ClassRows, ...], index: Index) -> Layout:
    blocks, classes = split(design, plain, index)
    factors = (*list_factors(design), *private_factors(design, list_sigmas(design), index))
    codes = [_block_codes(block, len(factors)) for block in blocks]
    names = outcome_names(design)
    for part in classes:
        together = " and ".join(dict.fromkeys(names[number] for number in part.residuals.equations))
        place = _two_levels(part, codes)
        if place is not None:
            raise index.two_levels(together, place)
    links = find_links(codes, classes)
    order = order_factors([factor.levels for factor in factors], links)
    sizes = tuple(factor.levels * factor.effects for factor in factors)
    return Layout(codes, tuple(classes), links, sizes, *order, factors, index, tuple(blocks))


def _block_codes(block: Block, factors: int) -> list[np.ndarray]:
    """Return the levels whose effects a block's rows have, by factor; -1 where they have none."""
    nothing = np.full(len(block.y), -1)
    own = block.linear.effects
    return [np.where((own[f][1] != 0).any(axis=1), own[f][0], -1) if f in own else nothing for f in range(factors)]


def _two_levels(part: ClassRows, codes: Codes) -> int | None:
    """Return the place of a factor of which rows that count together have effects of two levels, None where none is."""
    for f in range(len(codes[0])):
        pieces = zip(part.residuals.parts, part.rows, strict=True)
        met = np.array([codes[piece.rows][f][rows] for piece, rows in pieces])
        inside = met >= 0
        high, low = met.max(axis=0), np.where(inside, met, np.iinfo(np.int64).max).min(axis=0)
        if (inside.any(axis=0) & (high != low)).any():
            return f
    return None


def _split_shape(design: Design, shape: Shape, factors: tuple[Factor, ...], index: Index) -> Shape:
    """Return the shape with loadings taken from among the coefficients, and with means and SDs of what is measured."""
    mean, scale = prior_moments(design)
    means = [design.priors.measured[m.name][0].distribution for m in design.measured]
    kept, loads = np.flatnonzero(index.coef >= 0), np.flatnonzero(index.loading >= 0)
    shrunk, mix = list_shrinkage(design, index.coef, scale)
    size = len(kept) + len(means)
    return replace(
        shape,
        outcomes=outcome_names(design),
        equation=np.zeros(size, dtype=np.int64),
        centre=np.zeros(size),
        mean=np.append(mean[kept], [prior.value("mu") for prior in means]),
        scale=np.append(scale[kept], [prior.value("sigma") for prior in means]),
        factors=factors,
        sigma=list_sigmas(design).priors,
        coef=kept,
        loading=loads,
        loading_mean=mean[loads],
        loading_scale=scale[loads],
        mix=block_diag(mix, np.eye(len(means))),
        shifts=tuple(shifts(design, index)),
        shrunk=shrunk,
        split=True,
        together=tuple(index.held),
    )


def _block_rows(shape: Shape, block: Block, codes: Sequence[np.ndarray]) -> EquationRows:
    """Scale a block's rows as those of an equation are; columns that are 0 throughout are left out."""
    linear = block.linear
    coef = np.flatnonzero(linear.coef.any(axis=0))
    x, z, effects = linear.coef[:, coef], [], []
    for f, factor in enumerate(shape.factors):
        values = linear.effects[f][1] if f in linear.effects else np.zeros((len(block.y), factor.effects))
        values = values @ np.linalg.inv(factor.basis)
        own = np.flatnonzero(values.any(axis=0))
        effects.append(own)
        z.append(np.ascontiguousarray(values[:, own]))
    return EquationRows(
        np.ascontiguousarray(x * shape.scale[coef]),
        np.ascontiguousarray(block.y - x @ shape.mean[coef]),
        tuple(np.ascontiguousarray(code, dtype=np.int64) for code in codes),
        tuple(z),
        coef,
        tuple(effects),
        0,
        block.owner,
        block.place,
        block.log_scale if block.log_scale.any() else None,
    )
