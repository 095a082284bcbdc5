"""Group-level effects: SDs, correlations and effects of one grouping factor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.build.priors import build_correlation, build_gaussian_rows, build_vector
from bayes_alliance.design.design import EquationDesign
from bayes_alliance.design.groups import Block, GroupDesign, check_codes
from bayes_alliance.design.priors import Priors
from bayes_alliance.names import (
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


def build_groups(
    equation: EquationDesign, coefficients: Sequence[TensorVariable], parametrization: Parametrization
) -> list[TensorVariable]:
    """Build every factor's effects and return what they add to the linear predictor, each of shape (obs,).

    The model gets ``sd_<factor>`` over the factor's effects, ``cor_<factor>`` where effects are correlated, and
    ``u_<factor>`` over levels and effects. A centred block has its effects as a free variable, or their total with
    the outer effects they are centred on; a non-centred one has standard normals and scales them.
    """
    outer: dict[str, dict[int, TensorVariable]] = {}
    parts = []
    carried = {(a.factor, a.effect) for g in equation.groups for a in g.above} if parametrization == "chosen" else set()
    for group in sorted(equation.groups, key=lambda g: len(g.levels)):
        check_codes(group.factor, group.code, len(group.levels))
        totals = _build_group(group, equation, coefficients, parametrization, outer)
        outer[group.factor] = totals
        left = {m: total for m, total in totals.items() if (group.factor, m) not in carried}
        if left:
            parts.append(sum_effects(group, left, obs_dim(equation.outcome)))
    return parts


def _build_group(
    group: GroupDesign,
    equation: EquationDesign,
    coefficients: Sequence[TensorVariable],
    parametrization: Parametrization,
    outer: dict[str, dict[int, TensorVariable]],
) -> dict[int, TensorVariable]:
    """Build one factor; return each effect's total with what it carries, shape (level,)."""
    factor, priors = group.factor, equation.priors
    dim, level_dim = effect_dim(factor), factor_key(factor)
    sd = build_vector(sd_name(factor), [prior.distribution for prior in priors.sd[factor]], dim)
    choleskys = _correlations(group, priors, dim)
    shifts = _shifts(group, outer, coefficients) if parametrization == "chosen" else {}
    totals: dict[int, TensorVariable] = {}
    for number, block in enumerate(group.blocks):
        effects = _block_effects(group, number, block, sd, choleskys.get(number), shifts, parametrization)
        totals |= {member: effects[:, column] for column, member in enumerate(block.members)}
    own = {member: total - shifts[member] if member in shifts else total for member, total in totals.items()}
    if effects_name(factor) not in pm.modelcontext(None).named_vars:
        whole = pt.stack([own[member] for member in sorted(own)], axis=1)
        pm.Deterministic(effects_name(factor), whole, dims=(level_dim, dim))
    return totals


def _shifts(
    group: GroupDesign, outer: dict[str, dict[int, TensorVariable]], coefficients: Sequence[TensorVariable]
) -> dict[int, TensorVariable]:
    """Return, per effect, the sum of the outer totals and coefficients that each level carries, shape (level,)."""
    key = factor_key(group.factor)
    shifts: dict[int, TensorVariable] = {}
    for above in group.above:
        name = f"{key}_in_{factor_key(above.factor)}_{above.effect + 1}"
        code = pm.Data(name, above.code, dims=key)
        part = outer[above.factor][above.effect][code]
        if not (above.weight == 1).all():
            part = part * pm.Data(f"{name}_weight", above.weight, dims=key)
        shifts[above.member] = shifts[above.member] + part if above.member in shifts else part
    for carried in group.carried:
        part = coefficients[carried.coef] + pt.zeros(len(group.levels))
        if not (carried.weight == 1).all():
            part = part * pm.Data(f"{key}_in_population_{carried.coef + 1}", carried.weight, dims=key)
        shifts[carried.member] = shifts[carried.member] + part if carried.member in shifts else part
    return shifts


def sum_effects(group: GroupDesign, pieces: dict[int, TensorVariable], rows: str) -> TensorVariable:
    """Return the factor's part of the linear predictor, over the dim ``rows``; codes and covariates are data."""
    key = factor_key(group.factor)
    code = pm.Data(f"{key}_code", group.code, dims=rows)
    varying = [member for member in pieces if not (group.values[:, member] == 1).all()]
    covariates = None
    if varying:
        values = np.ascontiguousarray(group.values.T)
        covariates = pm.Data(f"{key}_covariates", values, dims=(effect_dim(group.factor), rows))
    total: TensorVariable = pt.zeros(())
    for member, effect in sorted(pieces.items()):
        part = effect[code]
        total = total + (part if covariates is None or member not in varying else covariates[member] * part)
    return total


def _correlations(group: GroupDesign, priors: Priors, dim: str) -> dict[int, TensorVariable]:
    """Build the correlated blocks and register the factor's whole matrix, 0 between blocks."""
    correlated = [number for number, block in enumerate(group.blocks) if len(block.members) > 1]
    if not correlated:
        return {}
    choleskys = {}
    size = len(group.effects)
    whole: TensorVariable = pt.eye(size)
    for number, prior in zip(correlated, priors.cor[group.factor], strict=True):
        suffix = "" if len(correlated) == 1 else f"_{number + 1}"
        block = group.blocks[number]
        name, members = f"{cor_name(group.factor)}{suffix}", block.members
        matrix, cholesky = build_correlation(name, prior.distribution, len(members))
        choleskys[number] = cholesky
        whole = matrix if len(members) == size else pt.set_subtensor(whole[np.ix_(members, members)], matrix)
    pm.Deterministic(cor_name(group.factor), whole, dims=(dim, second_dim(dim)))
    return choleskys


def _block_effects(
    group: GroupDesign,
    number: int,
    block: Block,
    sd: TensorVariable,
    cholesky: TensorVariable | None,
    shifts: dict[int, TensorVariable],
    parametrization: Parametrization,
) -> TensorVariable:
    """Build one block; return its effects, outer ones included where it is centred on them, shape (level, member)."""
    centred = block.centred if parametrization == "chosen" else parametrization == "centred"
    level_dim, dim = factor_key(group.factor), effect_dim(group.factor)
    members, whole = list(block.members), len(group.blocks) == 1
    own_sd = sd if whole else sd[members]
    suffix = "" if whole else f"_{number + 1}"
    shape = {"dims": (level_dim, dim)} if whole else {"shape": (len(group.levels), len(members))}
    if centred:
        shifted = any(member in shifts for member in members)
        name = f"{total_name(group.factor) if shifted else effects_name(group.factor)}{suffix}"
        nothing = pt.zeros(len(group.levels))
        mean = pt.stack([shifts.get(member, nothing) for member in members], axis=1) if shifted else 0.0
        if cholesky is None:
            return pm.Normal(name, mean, own_sd, **shape)
        mean = mean if shifted else pt.zeros((len(group.levels), len(members)))
        return build_gaussian_rows(name, mean, own_sd[:, None] * cholesky, **shape)
    z = pm.Normal(f"{standard_name(group.factor)}{suffix}", 0.0, 1.0, **shape)
    if cholesky is None:
        return z * own_sd
    columns = []
    for i in range(len(members)):
        mixed = sum((z[:, j] * cholesky[i, j] for j in range(i + 1)), start=pt.zeros(()))
        columns.append(own_sd[i] * mixed)
    return pt.stack(columns, axis=1)
