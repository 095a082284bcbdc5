"""Group-level effects: SDs, correlations and effects of every grouping factor, over all equations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.build.priors import build_correlation, build_gaussian_rows, build_vector
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.factors import FactorDesign, find_factor
from bayes_alliance.design.equations.predictor import Predictor
from bayes_alliance.design.groups.groups import Block, GroupDesign, check_codes
from bayes_alliance.design.priors.priors import Priors
from bayes_alliance.names import (
    MixedPart,
    block_dim,
    by_dim,
    cor_name,
    effect_dim,
    effects_name,
    factor_key,
    mixed_dim,
    obs_dim,
    sd_name,
    second_dim,
    standard_name,
    total_name,
)

type Parametrization = Literal["chosen", "centred", "non-centred"]
type Coefficients = Mapping[str, Sequence[TensorVariable]]
type Totals = dict[str, dict[int, TensorVariable]]
type Choleskys = dict[int, TensorVariable]

TELLING = 0.2
"""Reliability above which an effect counts as one the data say something about."""


def build_groups(
    design: Design, coefficients: Coefficients, parametrization: Parametrization
) -> dict[str, list[TensorVariable]]:
    """Build every factor's effects and return what they add to each outcome's linear predictor, of shape (obs,).

    The model gets ``sd_<factor>`` over the factor's effects, ``cor_<factor>`` where effects are correlated, and
    ``u_<factor>`` over levels and effects. Centred effects are free variables, or their totals with what they are
    centred on; the others are scaled from standard normals, given the centred ones of their block.
    """
    chosen = parametrization == "chosen"
    built: Totals = {}
    parts: dict[str, list[TensorVariable]] = {own.name: [] for own in design.linear_predictors}
    for factor in sorted(design.factors, key=lambda f: len(f.levels)):
        built[factor.factor] = _build_factor(factor, design, coefficients, parametrization, built)
        for own, group in having(design, factor.factor):
            check_codes(group.factor, group.code, len(group.levels))
            inner = {(a.factor, a.effect) for g in own.groups for a in g.above} if chosen else set()
            start = factor.places[own.name][0]
            left = {
                member: built[factor.factor][start + member]
                for member in range(len(group.effects))
                if (group.factor, member) not in inner
            }
            if left:
                parts[own.name].append(sum_effects(group, left, own.name))
    return parts


def having(design: Design, factor: str) -> list[tuple[Predictor, GroupDesign]]:
    """Return the linear predictors that have a factor, each with its rows' codes and covariates."""
    return [(own, group) for own in design.linear_predictors for group in own.groups if group.factor == factor]


def _build_factor(
    factor: FactorDesign,
    design: Design,
    coefficients: Coefficients,
    parametrization: Parametrization,
    built: Totals,
) -> dict[int, TensorVariable]:
    """Build one factor; return each effect's total with what it carries, shape (level,)."""
    name, priors = factor.factor, design.priors
    dim, level_dim = effect_dim(name), factor_key(name)
    strata = None if factor.by is None else (by_dim(name), len(factor.by.labels))
    sd = build_vector(sd_name(name), [prior.distribution for prior in priors.sd[name]], dim, strata=strata)
    choleskys = _correlations(factor, priors, dim, parametrization)
    stratum = None if factor.by is None else pm.Data(f"{level_dim}_stratum", factor.by.code, dims=level_dim)
    shifts = _shifts(factor, design, built, coefficients) if parametrization == "chosen" else {}
    totals: dict[int, TensorVariable] = {}
    for number in range(len(factor.blocks)):
        spread = sd if stratum is None else sd[stratum]
        cholesky = choleskys.get(number)
        if cholesky is not None and stratum is not None:
            cholesky = cholesky[stratum]
        totals |= _block_effects(factor, number, spread, cholesky, shifts, parametrization)
    own = {member: total - shifts[member] if member in shifts else total for member, total in totals.items()}
    if effects_name(name) not in pm.modelcontext(None).named_vars:
        whole = pt.stack([own[member] for member in sorted(own)], axis=1)
        pm.Deterministic(effects_name(name), whole, dims=(level_dim, dim))
    return totals


def _shifts(
    factor: FactorDesign, design: Design, built: Totals, coefficients: Coefficients
) -> dict[int, TensorVariable]:
    """Return, per effect, the sum of the outer totals and coefficients that each level carries, shape (level,)."""
    key = factor_key(factor.factor)
    shifts: dict[int, TensorVariable] = {}

    def add(member: int, part: TensorVariable) -> None:
        shifts[member] = shifts[member] + part if member in shifts else part

    for own, group in having(design, factor.factor):
        start = factor.places[own.name][0]
        for above in group.above:
            name = f"{key}_in_{factor_key(above.factor)}_{above.effect + 1}_{own.name}"
            outer = find_factor(design.factors, above.factor)
            code = pm.Data(name, above.code, dims=key)
            part = built[above.factor][outer.places[own.name][0] + above.effect][code]
            if not (above.weight == 1).all():
                part = part * pm.Data(f"{name}_weight", above.weight, dims=key)
            add(start + above.member, part)
        for carried in group.carried:
            part = coefficients[own.name][carried.coef] + pt.zeros(len(group.levels))
            if not (carried.weight == 1).all():
                name = f"{key}_in_population_{carried.coef + 1}_{own.name}"
                part = part * pm.Data(name, carried.weight, dims=key)
            add(start + carried.member, part)
    return shifts


def sum_effects(group: GroupDesign, pieces: dict[int, TensorVariable], outcome: str) -> TensorVariable:
    """Return the factor's part of an outcome's linear predictor, shape (obs,); codes and covariates are data."""
    key, rows = factor_key(group.factor), obs_dim(outcome)
    membership = f"_{group.slot + 1}" if group.slot else ""
    code = pm.Data(f"{key}_code_{outcome}{membership}", group.code, dims=rows)
    varying = [member for member in pieces if not (group.values[:, member] == 1).all()]
    covariates = None
    if varying:
        values = np.ascontiguousarray(group.values.T)
        covariates = pm.Data(
            f"{key}_covariates_{outcome}{membership}", values, dims=(f"{effect_dim(group.factor)}_{outcome}", rows)
        )
    total: TensorVariable = pt.zeros(())
    for member, effect in sorted(pieces.items()):
        part = effect[code]
        total = total + (part if covariates is None or member not in varying else covariates[member] * part)
    return total


def _correlations(factor: FactorDesign, priors: Priors, dim: str, parametrization: Parametrization) -> Choleskys:
    """Build the correlated blocks and register the factor's whole matrix, 0 between blocks; return Cholesky factors.

    Factors are in the order of ``_ordered``. Where strata have covariances of their own, the stratum comes first.
    """
    correlated = [number for number, block in enumerate(factor.blocks) if len(block.members) > 1]
    if not correlated:
        return {}
    strata = [""] if factor.by is None else [f"_{i + 1}" for i in range(len(factor.by.labels))]
    choleskys: dict[int, list[TensorVariable]] = {number: [] for number in correlated}
    wholes = []
    size = len(factor.effects)
    for stratum in strata:
        whole: TensorVariable = pt.eye(size)
        for place, (number, prior) in enumerate(zip(correlated, priors.cor[factor.factor], strict=True), start=1):
            suffix = "" if len(correlated) == 1 else f"_{place}"
            members = [m for part in _ordered(factor.blocks[number], parametrization) for m in part]
            name = f"{cor_name(factor.factor)}{suffix}{stratum}"
            matrix, cholesky = build_correlation(name, prior.distribution, len(members))
            choleskys[number].append(cholesky)
            whole = (
                matrix if members == list(range(size)) else pt.set_subtensor(whole[np.ix_(members, members)], matrix)
            )
        wholes.append(whole)
    square = (dim, second_dim(dim))
    if factor.by is None:
        pm.Deterministic(cor_name(factor.factor), wholes[0], dims=square)
        return {number: parts[0] for number, parts in choleskys.items()}
    pm.Deterministic(cor_name(factor.factor), pt.stack(wholes), dims=(by_dim(factor.factor), *square))
    return {number: pt.stack(parts) for number, parts in choleskys.items()}


def _centred(block: Block, parametrization: Parametrization) -> list[int]:
    """Return the members that are free as they are."""
    if parametrization == "chosen":
        return list(block.centred)
    return list(block.members) if parametrization == "centred" else []


def _ordered(block: Block, parametrization: Parametrization) -> tuple[list[int], list[int], list[int]]:
    """Return a block's members in three parts, each member being written given those before it.

    Scaled effects that go along with centred ones come first, then the centred ones, then the other scaled ones. An
    effect the data say nothing about comes last, where its standard normals move nothing but itself; before others, it
    and theirs could turn into each other.
    """
    centred = _centred(block, parametrization)
    scaled = [member for member in block.members if member not in centred]
    if parametrization != "chosen":
        return [], centred, scaled
    found = dict(zip(block.members, block.reliability or (0.0,) * len(block.members), strict=True))
    rest = [member for member in scaled if member not in block.first]
    return list(block.first), centred, sorted(rest, key=lambda member: found[member] < TELLING)


def _block_effects(
    factor: FactorDesign,
    number: int,
    sd: TensorVariable,
    cholesky: TensorVariable | None,
    shifts: dict[int, TensorVariable],
    parametrization: Parametrization,
) -> dict[int, TensorVariable]:
    """Build one block; return its effects, outer ones included where it is centred on them, each of shape (level,).

    Each member is its regression on those before it plus what is left: centred ones are free variables, normal around
    that and what they carry; scaled ones are standard normals times what is left. ``sd`` and ``cholesky`` hold for all
    levels, or have the levels as their first axis.
    """
    first, centred, last = _ordered(factor.blocks[number], parametrization)
    order = [*first, *centred, *last]
    mixed = bool(centred) and len(centred) < len(order)
    suffix = "" if len(factor.blocks) == 1 else f"_{number + 1}"
    own_sd = [sd[..., member] for member in order]
    standard: list[TensorVariable] = []

    def regression(place: int, count: int) -> TensorVariable:
        """Return what the first ``count`` of the order say of a member, in its SDs."""
        if cholesky is None:
            return pt.zeros(())
        return sum((cholesky[..., place, j] * standard[j] for j in range(count)), start=pt.zeros(()))

    def scaled(place: int, normals: TensorVariable) -> TensorVariable:
        standard.append(normals)
        return own_sd[place] * (normals if cholesky is None else regression(place, place + 1))

    effects: dict[int, TensorVariable] = {}
    if first or last:
        z = pm.Normal(f"{standard_name(factor.factor)}{suffix}", 0.0, 1.0, dims=_dims(factor, number, mixed, "scaled"))
        effects |= {member: scaled(i, z[:, i]) for i, member in enumerate(first)}
    if centred:
        shifted = any(member in shifts for member in centred)
        name = total_name(factor.factor) if shifted or mixed else effects_name(factor.factor)
        dims = _dims(factor, number, mixed, "centred")
        begin, end = len(first), len(first) + len(centred)
        nothing = pt.zeros(len(factor.levels))
        carried = [shifts.get(member, nothing) for member in centred]
        around = [one + own_sd[begin + i] * regression(begin + i, begin) for i, one in enumerate(carried)]
        mean = pt.stack(around, axis=1)
        if cholesky is None:
            free = pm.Normal(f"{name}{suffix}", mean if shifted else 0.0, pt.stack(own_sd, axis=-1), dims=dims)
        else:
            part = pt.stack(own_sd[begin:end], axis=-1)[..., None] * cholesky[..., begin:end, begin:end]
            free = build_gaussian_rows(f"{name}{suffix}", mean, part, dims=dims)
        effects |= {member: free[:, i] for i, member in enumerate(centred)}
        if last and cholesky is not None:
            for i, place in enumerate(range(begin, end)):
                rest = (free[:, i] - carried[i]) / own_sd[place] - regression(place, place)
                standard.append(rest / cholesky[..., place, place])
    return effects | {member: scaled(len(standard), z[:, len(first) + i]) for i, member in enumerate(last)}


def _dims(factor: FactorDesign, number: int, mixed: bool, part: MixedPart) -> tuple[str, str]:
    """Return levels and effects of a free variable: the factor's own dim where it holds all effects."""
    if mixed:
        return factor_key(factor.factor), mixed_dim(factor.factor, number, part)
    if len(factor.blocks) > 1:
        return factor_key(factor.factor), block_dim(factor.factor, number)
    return factor_key(factor.factor), effect_dim(factor.factor)


def group_coords(factor: FactorDesign) -> dict[str, list[str]]:
    """Return the coords of a factor's levels and effects, and of the parts its effects are put together from."""
    dim, labels = effect_dim(factor.factor), list(factor.effects)
    coords = {factor_key(factor.factor): list(factor.levels), dim: labels, second_dim(dim): labels}
    for number, block in enumerate(factor.blocks):
        if len(factor.blocks) > 1:
            coords[block_dim(factor.factor, number)] = [labels[member] for member in block.members]
        if 0 < len(block.centred) < len(block.members):
            first, centred, last = _ordered(block, "chosen")
            coords[mixed_dim(factor.factor, number, "centred")] = [labels[member] for member in centred]
            coords[mixed_dim(factor.factor, number, "scaled")] = [labels[member] for member in (*first, *last)]
    if factor.by is not None:
        coords[by_dim(factor.factor)] = list(factor.by.labels)
    return coords
