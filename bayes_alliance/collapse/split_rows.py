"""Rows of a design in which something estimated is multiplied by coefficients: split into pieces, by loadings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bayes_alliance.collapse.classes import sigma_starts
from bayes_alliance.collapse.loadings import Form, Forms, Index, Linear
from bayes_alliance.collapse.rows import ClassRows
from bayes_alliance.collapse.shape import KNOWN, Factor, Piece, Residuals
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.measured_means import Measured
from bayes_alliance.names import ERROR, INTERCEPT, mean_name, unit_means_name, value_name
from bayes_alliance.spec.priors import Distribution


@dataclass(frozen=True, eq=False)
class Block:
    """Rows that a class can name: what is left of an outcome, or what multiplies a product of loadings.

    ``owner``, ``place`` and ``log_scale`` are as in ``EquationRows``.
    """

    owner: int
    linear: Linear
    y: np.ndarray
    place: np.ndarray | None
    log_scale: np.ndarray


@dataclass(frozen=True, eq=False)
class Sigmas:
    """Residual SDs: of the design, of raters' errors, of measured variables; and SDs of effects that may not be 0."""

    priors: tuple[Distribution, ...]
    error: dict[str, int]
    within: dict[str, int]
    unit: dict[tuple[str, str], int]


def list_sigmas(design: Design) -> Sigmas:
    """Give every SD its place that is sampled by its logarithm."""
    priors = [prior.distribution for prior in design.priors.sigma]
    error, within, unit = {}, {}, {}
    rated = [e.outcome for e in design.equations if ERROR in e.shapes]
    for outcome, prior in zip(rated, design.priors.shapes.get(ERROR, ()), strict=True):
        error[outcome] = len(priors)
        priors.append(prior.distribution)
    for measured in design.measured:
        _, *spreads = (prior.distribution for prior in design.priors.measured[measured.name])
        for factor, own in zip(measured.factors, spreads, strict=False):
            if own.family == "lognormal":
                unit[measured.name, factor] = len(priors)
                priors.append(own)
        within[measured.name] = len(priors)
        priors.append(spreads[-1])
    return Sigmas(tuple(priors), error, within, unit)


def private_factors(design: Design, sigmas: Sigmas, index: Index) -> tuple[Factor, ...]:
    """Return the factors of means, of modelled values and of members not measured, as ``Index`` counts them."""
    found = []
    for measured in design.measured:
        _, *spreads = (prior.distribution for prior in design.priors.measured[measured.name])
        for level, name in enumerate(measured.factors):
            levels, shared = len(measured.levels[level]), sigmas.unit.get((measured.name, name))
            found.append(_private(unit_means_name(measured.label, name), levels, spreads[level], shared))
    for e, start in zip(design.equations, sigma_starts(design), strict=False):
        if e.modelled is not None:
            own = _private(value_name(e.outcome), len(e.modelled.rows), None, int(start))
            if e.outcome in index.held:
                found.append(_of_patients(own, index.held[e.outcome]))
                continue
            stratum = e.sigma_code[e.modelled.rows]
            found.append(replace(own, strata=len(e.sigma_coef), stratum=np.asarray(stratum, dtype=np.int64)))
    for measured in (own for own in design.measured if own.finite):
        name = f"{unit_means_name(measured.label, measured.factors[-1])}, others"
        found.append(_private(name, len(measured.mean), None, sigmas.within[measured.name]))
    return tuple(found)


def _of_patients(own: Factor, held: np.ndarray) -> Factor:
    """Return a factor of modelled values whose levels are patients, with an effect for each of theirs."""
    levels, effects = (int(size) for size in 1 + held.max(axis=0))
    return replace(
        own,
        levels=levels,
        equation=np.zeros(effects, dtype=np.int64),
        basis=np.eye(effects),
        stratum=np.zeros(levels, dtype=np.int64),
        common=True,
    )


def _private(name: str, levels: int, prior: Distribution | None, shared: int | None) -> Factor:
    return Factor(
        name=name,
        levels=levels,
        equation=np.zeros(1, dtype=np.int64),
        blocks=(),
        basis=np.eye(1),
        places=(),
        strata=1,
        stratum=np.zeros(levels, dtype=np.int64),
        sd=() if prior is None or shared is not None else (prior,),
        cor=(),
        shared=shared,
        private=True,
    )


def shifts(design: Design, index: Index) -> list[tuple[int, int, float]]:
    """Return by how much a loading moves an intercept's prior: places of intercept and loading, and the constant.

    Priors are those of intercepts at the centring constants of all predictors.
    """
    found, start = [], 0
    for e in design.equations:
        for column in range(1, len(e.coef.labels)):
            loading = int(index.loading[start + column])
            if e.coef.labels[0] == INTERCEPT and loading >= 0 and e.centre[column] != 0:
                found.append((int(index.coef[start]), loading, float(e.centre[column])))
        start += len(e.coef.labels)
    return found


def split(design: Design, plain: Sequence[ClassRows], index: Index) -> tuple[list[Block], list[ClassRows]]:
    """Split a design's rows by loadings.

    Parameters
    ----------
    design : Design
        In which something estimated is followed or modelled.
    plain : sequence of ClassRows
        Its classes of residuals, rows by equation, as if nothing were.
    index : Index
        Where everything stands that is estimated.

    Raises
    ------
    NotLinearError
        If a row reads two levels of a factor.
    """
    forms, sigmas = Forms(design, index), list_sigmas(design)
    blocks: list[Block] = []
    placed: list[dict[tuple[int, ...], int]] = []
    for number, e in enumerate(design.equations):
        placed.append(_place(number, forms.of(e), e.y, np.ones(len(e.y)), None, blocks))
    classes = []
    for part in plain:
        own = [design.equations[number] for number in part.residuals.equations]
        rows = part.rows
        if own[0].modelled is not None:
            left = np.ones(len(own[0].y), dtype=bool)
            left[own[0].modelled.rows] = False
            rows = (rows[0][left[rows[0]]],)
        classes.append(_class(part.residuals, [placed[n] for n in part.residuals.equations], rows))
    for number, e in enumerate(design.equations):
        classes += _scores(number, e, forms, sigmas, blocks)
    for number, measured in enumerate(design.measured):
        classes.append(_means(len(design.equations) + number, measured, forms, sigmas, blocks))
    return blocks, [part for part in classes if len(part.rows[0])]


def _place(
    owner: int, form: Form, y: np.ndarray, scale: np.ndarray, place: np.ndarray | None, blocks: list[Block]
) -> dict[tuple[int, ...], int]:
    """Add the rows of what is left of an outcome, by product of loadings; return where they stand."""
    placed = {}
    for product, linear in form.items():
        own = linear.times(scale)
        left = (y * scale if not product else np.zeros(len(y))) - own.known
        if product and not left.any() and not own.coef.any() and not any(v.any() for _, v in own.effects.values()):
            continue
        placed[product] = len(blocks)
        blocks.append(Block(owner, own, left, place, np.log(scale)))
    return placed


def _class(
    residuals: Residuals, placed: Sequence[dict[tuple[int, ...], int]], rows: Sequence[np.ndarray], **squares: float
) -> ClassRows:
    pieces, own = [], []
    for place, blocks in enumerate(placed):
        for product, number in blocks.items():
            pieces.append(Piece(place, number, product))
            own.append(rows[place])
    return ClassRows(replace(residuals, pieces=tuple(pieces)), tuple(own), **squares)  # type: ignore[arg-type]


def _scores(number: int, e: EquationDesign, forms: Forms, sigmas: Sigmas, blocks: list[Block]) -> list[ClassRows]:
    """Return the measured values of an outcome: around true ones, which vary around their predictor."""
    own = e.modelled
    if own is None or not own.measured.any():
        return []
    code = np.flatnonzero(own.measured)
    form = {product: linear.rows(own.rows[code]) for product, linear in forms.of(e).items()}
    form[()] = form[()].plus(forms.deviation(e, code))
    # every row is divided by its error, which leaves an SD of 1, or that of one rating
    place = own.rows[code]
    placed = _place(number, form, e.y[place], 1 / own.error[code], place, blocks)
    part = Residuals((number,), (KNOWN if own.ratings is None else sigmas.error[e.outcome],))
    squares = {} if own.ratings is None else {"squares": own.ratings.squares, "degrees": own.ratings.degrees}
    return [_class(part, [placed], [np.arange(len(code))], **squares)]


def _means(number: int, measured: Measured, forms: Forms, sigmas: Sigmas, blocks: list[Block]) -> ClassRows:
    """Return the observed means of a variable's units, which have an SD of their root number less than rows'."""
    code = np.arange(len(measured.mean))
    linear = forms.latent_mean(measured, measured.factors[-1], code, len(code))
    placed = _place(number, {(): linear}, measured.mean, np.sqrt(measured.count), None, blocks)
    part = Residuals((number,), (sigmas.within[measured.name],))
    return _class(part, [placed], [code], squares=measured.squares, degrees=measured.degrees)


def outcome_names(design: Design) -> tuple[str, ...]:
    """Return what rows may be of: outcomes, then measured variables whose means are latent."""
    return (*(e.outcome for e in design.equations), *(mean_name(m.label) for m in design.measured))
