"""Grouping factors over all equations: one set of levels, and the effects that share a covariance matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bayes_alliance._messages import are, count_of, first_few
from bayes_alliance.design.columns.variables import not_a_factor
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.predictor import Predictor
from bayes_alliance.design.groups.groups import Block, GroupDesign
from bayes_alliance.findings import Findings
from bayes_alliance.names import level_label
from bayes_alliance.spec.model import ModelSpec


@dataclass(frozen=True, eq=False)
class Strata:
    """Levels of a variable that have covariances of their own: ``code`` points into ``levels``."""

    variable: str
    levels: tuple[str, ...]
    code: np.ndarray

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the strata as coords of draws have them, such as ``arm[TAU]``."""
        return tuple(level_label(self.variable, level) for level in self.levels)


@dataclass(frozen=True, eq=False)
class FactorDesign:
    """A grouping factor over all linear predictors that have it.

    ``effects`` are labelled by linear predictor and effect; ``places`` says which of them belong to each, by its name.
    ``blocks`` index ``effects``. ``by`` holds the stratum of every level where strata have covariances of their own.
    """

    factor: str
    levels: tuple[str, ...]
    effects: tuple[str, ...]
    places: Mapping[str, tuple[int, ...]]
    blocks: tuple[Block, ...]
    by: Strata | None = None


def find_factor(factors: Sequence[FactorDesign], name: str) -> FactorDesign:
    """Return a factor by its name."""
    return next(factor for factor in factors if factor.factor == name)


def join_factors(
    spec: ModelSpec, equations: Sequence[EquationDesign], findings: Findings
) -> tuple[tuple[EquationDesign, ...], tuple[FactorDesign, ...]]:
    """Give every factor one set of levels over the equations, and join what correlates.

    Returns
    -------
    equations : tuple of EquationDesign
        Codes point into the joint levels.
    factors : tuple of FactorDesign
        In the order in which formulas name them.
    """
    factors = []
    for factor in spec.factors:
        having = [
            (equation, own)
            for equation in equations
            for own in equation.linear_predictors
            if any(g.factor == factor for g in own.groups)
        ]
        levels = tuple(
            sorted({level for _, own in having for g in own.groups if g.factor == factor for level in g.levels})
        )
        joined = place_effects(spec, factor, [own for _, own in having], levels)
        factors.append(replace(joined, by=_strata(spec, factor, having, levels, findings)))
    joint = {factor.factor: factor for factor in factors}
    recoded = {own.name: _recode(own, joint) for equation in equations for own in equation.linear_predictors}
    return tuple(equation.with_predictors(recoded) for equation in equations), tuple(factors)


def place_effects(spec: ModelSpec, factor: str, having: Sequence[Predictor], levels: tuple[str, ...]) -> FactorDesign:
    """Return a factor over the linear predictors that have it, with one covariance for all its levels."""
    groups = {own.name: _group_of(own, factor) for own in having}
    labels: list[str] = []
    places = {}
    for own in having:
        new = own.effect_labels(groups[own.name])
        places[own.name] = tuple(range(len(labels), len(labels) + len(new)))
        labels += new
    return FactorDesign(factor, levels, tuple(labels), places, _blocks(spec, factor, having, groups, places))


def _group_of(predictor: Predictor, factor: str) -> GroupDesign:
    return next(group for group in predictor.groups if group.factor == factor)


def _blocks(
    spec: ModelSpec,
    factor: str,
    having: Sequence[Predictor],
    groups: Mapping[str, GroupDesign],
    places: Mapping[str, tuple[int, ...]],
) -> tuple[Block, ...]:
    """Return the blocks over all effects; those of the linear predictors that correlate are one."""
    joined: list[Block] = []
    separate: list[Block] = []
    for own in having:
        start = places[own.name][0]
        for block in groups[own.name].blocks:
            correlates = own.spec.name in spec.group(factor).correlate
            (joined if correlates else separate).append(block.moved(start))
    if joined:
        members = tuple(member for block in joined for member in block.members)
        centred = tuple(member for block in joined for member in block.centred)
        first = tuple(member for block in joined for member in block.first)
        reliability = tuple(value for block in joined for value in block.reliability or (0.0,) * len(block.members))
        separate.append(Block(members, centred, reliability, first))
    return tuple(sorted(separate, key=lambda block: block.members))


def _recode(predictor: Predictor, joint: Mapping[str, FactorDesign]) -> Predictor:
    """Point a linear predictor's codes into the joint levels."""
    groups = []
    for group in predictor.groups:
        factor = joint[group.factor]
        place = {level: i for i, level in enumerate(factor.levels)}
        moved = np.array([place[level] for level in group.levels], dtype=np.int64)
        code = np.where(group.inside, moved[group.code], 0)
        ids = None if group.ids is None else np.where(group.ids >= 0, moved[group.ids], -1)
        groups.append(replace(group, levels=factor.levels, code=code, ids=ids))
    return replace(predictor, groups=tuple(groups))


def _strata(
    spec: ModelSpec,
    factor: str,
    having: Sequence[tuple[EquationDesign, Predictor]],
    levels: tuple[str, ...],
    findings: Findings,
) -> Strata | None:
    """Return the stratum of every level, reporting levels that lie in several."""
    name = spec.group(factor).by
    if name is None:
        return None
    found: dict[str, set[str]] = {level: set() for level in levels}
    names: tuple[str, ...] = ()
    label = name
    for equation, own in having:
        variable, group = equation.variables[name], _group_of(own, factor)
        if variable.levels is None:
            findings.add([not_a_factor(f"[groups.{factor}] by", variable, "covariances")])
            return None
        names, label = (*names, *(level for level in variable.levels if level not in names)), variable.label
        for code, value in zip(group.code[group.inside], variable.values[group.inside], strict=True):
            found[group.levels[code]].add(variable.levels[int(value)])
    several = [repr(level) for level, strata in found.items() if len(strata) > 1]
    if several:
        findings.problem(
            f"[groups.{factor}] by = {name!r}: {count_of(len(several), factor)} {are(len(several), 'has', 'have')} "
            f"rows in more than one level of {label!r}: {first_few(several)}. Each needs one covariance matrix."
        )
        return None
    code = np.array([names.index(next(iter(found[level]))) for level in levels], dtype=np.int64)
    return Strata(label, names, code)
