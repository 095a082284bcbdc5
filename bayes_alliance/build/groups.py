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
from bayes_alliance.design.equation import EquationDesign
from bayes_alliance.design.factors import FactorDesign
from bayes_alliance.design.groups import Block, GroupDesign, check_codes
from bayes_alliance.design.priors import Priors
from bayes_alliance.names import (
    block_dim,
    by_dim,
    cor_name,
    effect_dim,
    effects_name,
    factor_key,
    obs_dim,
    sd_name,
    second_dim,
    standard_name,
    total_name,
)

type Parametrization = Literal["chosen", "centred", "non-centred"]
type Coefficients = Mapping[str, Sequence[TensorVariable]]
type Totals = dict[str, dict[int, TensorVariable]]


def build_groups(
    design: Design, coefficients: Coefficients, parametrization: Parametrization
) -> dict[str, list[TensorVariable]]:
    """Build every factor's effects and return what they add to each outcome's linear predictor, of shape (obs,).

    The model gets ``sd_<factor>`` over the factor's effects, ``cor_<factor>`` where effects are correlated, and
    ``u_<factor>`` over levels and effects. A centred block has its effects as a free variable, or their total with
    the outer effects they are centred on; a non-centred one has standard normals and scales them.
    """
    chosen = parametrization == "chosen"
    built: Totals = {}
    parts: dict[str, list[TensorVariable]] = {equation.outcome: [] for equation in design.equations}
    for factor in sorted(design.factors, key=lambda f: len(f.levels)):
        built[factor.factor] = _build_factor(factor, design, coefficients, parametrization, built)
        for equation, group in having(design, factor.factor):
            check_codes(group.factor, group.code, len(group.levels))
            inner = {(a.factor, a.effect) for g in equation.groups for a in g.above} if chosen else set()
            start = factor.places[equation.outcome][0]
            left = {
                member: built[factor.factor][start + member]
                for member in range(len(group.effects))
                if (group.factor, member) not in inner
            }
            if left:
                parts[equation.outcome].append(sum_effects(group, left, equation.outcome))
    return parts


def having(design: Design, factor: str) -> list[tuple[EquationDesign, GroupDesign]]:
    """Return the equations that have a factor, each with its rows' codes and covariates."""
    return [(equation, group) for equation in design.equations for group in equation.groups if group.factor == factor]


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
    choleskys = _correlations(factor, priors, dim)
    stratum = None if factor.by is None else pm.Data(f"{level_dim}_stratum", factor.by.code, dims=level_dim)
    shifts = _shifts(factor, design, built, coefficients) if parametrization == "chosen" else {}
    totals: dict[int, TensorVariable] = {}
    for number, block in enumerate(factor.blocks):
        spread = sd if stratum is None else sd[stratum]
        cholesky = choleskys.get(number)
        if cholesky is not None and stratum is not None:
            cholesky = cholesky[stratum]
        effects = _block_effects(factor, number, block, spread, cholesky, shifts, parametrization)
        totals |= {member: effects[:, column] for column, member in enumerate(block.members)}
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

    for equation, group in having(design, factor.factor):
        start = factor.places[equation.outcome][0]
        for above in group.above:
            name = f"{key}_in_{factor_key(above.factor)}_{above.effect + 1}_{equation.outcome}"
            outer = next(f for f in design.factors if f.factor == above.factor)
            code = pm.Data(name, above.code, dims=key)
            part = built[above.factor][outer.places[equation.outcome][0] + above.effect][code]
            if not (above.weight == 1).all():
                part = part * pm.Data(f"{name}_weight", above.weight, dims=key)
            add(start + above.member, part)
        for carried in group.carried:
            part = coefficients[equation.outcome][carried.coef] + pt.zeros(len(group.levels))
            if not (carried.weight == 1).all():
                name = f"{key}_in_population_{carried.coef + 1}_{equation.outcome}"
                part = part * pm.Data(name, carried.weight, dims=key)
            add(start + carried.member, part)
    return shifts


def sum_effects(group: GroupDesign, pieces: dict[int, TensorVariable], outcome: str) -> TensorVariable:
    """Return the factor's part of an outcome's linear predictor, shape (obs,); codes and covariates are data."""
    key, rows = factor_key(group.factor), obs_dim(outcome)
    code = pm.Data(f"{key}_code_{outcome}", group.code, dims=rows)
    varying = [member for member in pieces if not (group.values[:, member] == 1).all()]
    covariates = None
    if varying:
        values = np.ascontiguousarray(group.values.T)
        covariates = pm.Data(
            f"{key}_covariates_{outcome}", values, dims=(f"{effect_dim(group.factor)}_{outcome}", rows)
        )
    total: TensorVariable = pt.zeros(())
    for member, effect in sorted(pieces.items()):
        part = effect[code]
        total = total + (part if covariates is None or member not in varying else covariates[member] * part)
    return total


def _correlations(factor: FactorDesign, priors: Priors, dim: str) -> dict[int, TensorVariable]:
    """Build the correlated blocks and register the factor's whole matrix, 0 between blocks; return Cholesky factors.

    Where strata have covariances of their own, the stratum comes first.
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
        for number, prior in zip(correlated, priors.cor[factor.factor], strict=True):
            suffix = "" if len(correlated) == 1 else f"_{number + 1}"
            members = factor.blocks[number].members
            name = f"{cor_name(factor.factor)}{suffix}{stratum}"
            matrix, cholesky = build_correlation(name, prior.distribution, len(members))
            choleskys[number].append(cholesky)
            whole = matrix if len(members) == size else pt.set_subtensor(whole[np.ix_(members, members)], matrix)
        wholes.append(whole)
    square = (dim, second_dim(dim))
    if factor.by is None:
        pm.Deterministic(cor_name(factor.factor), wholes[0], dims=square)
        return {number: parts[0] for number, parts in choleskys.items()}
    pm.Deterministic(cor_name(factor.factor), pt.stack(wholes), dims=(by_dim(factor.factor), *square))
    return {number: pt.stack(parts) for number, parts in choleskys.items()}


def _block_effects(
    factor: FactorDesign,
    number: int,
    block: Block,
    sd: TensorVariable,
    cholesky: TensorVariable | None,
    shifts: dict[int, TensorVariable],
    parametrization: Parametrization,
) -> TensorVariable:
    """Build one block; return its effects, outer ones included where it is centred on them, shape (level, member).

    ``sd`` and ``cholesky`` hold for all levels, or have the levels as their first axis.
    """
    centred = block.centred if parametrization == "chosen" else parametrization == "centred"
    level_dim, dim = factor_key(factor.factor), effect_dim(factor.factor)
    members, whole = list(block.members), len(factor.blocks) == 1
    own_sd = sd if whole else sd[..., members]
    suffix = "" if whole else f"_{number + 1}"
    shape = {"dims": (level_dim, dim if whole else block_dim(factor.factor, number))}
    if centred:
        shifted = any(member in shifts for member in members)
        name = f"{total_name(factor.factor) if shifted else effects_name(factor.factor)}{suffix}"
        nothing = pt.zeros(len(factor.levels))
        mean = pt.stack([shifts.get(member, nothing) for member in members], axis=1) if shifted else 0.0
        if cholesky is None:
            return pm.Normal(name, mean, own_sd, **shape)
        mean = mean if shifted else pt.zeros((len(factor.levels), len(members)))
        return build_gaussian_rows(name, mean, own_sd[..., :, None] * cholesky, **shape)
    z = pm.Normal(f"{standard_name(factor.factor)}{suffix}", 0.0, 1.0, **shape)
    if cholesky is None:
        return z * own_sd
    columns = []
    for i in range(len(members)):
        mixed = sum((z[:, j] * cholesky[..., i, j] for j in range(i + 1)), start=pt.zeros(()))
        columns.append(own_sd[..., i] * mixed)
    return pt.stack(columns, axis=1)
