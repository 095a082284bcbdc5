"""How NUTS has group effects: centred or scaled from standard normals, and what centred ones vary around.

Nothing else reads it: the exact engine integrates effects out, and a design is the same without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.stats import f as f_distribution

from bayes_alliance.build.centring import centre_on_outer, centre_on_population
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.factors import place_effects
from bayes_alliance.design.groups.groups import Block, GroupDesign, nests_in

RELIABLE = 0.4
"""Lower bound of the reliability above which effects are centred."""

ALONG = 0.3
"""Cosine of two covariates above which their effects are hard to estimate separately."""

LOOKED_AT = 2000
"""Levels that the choice of parametrization is made from; of more, every second, third … is looked at."""


def parametrize(design: Design) -> Design:
    """Return a design whose blocks of effects say how NUTS has them, chosen from the data.

    Effects on parameters of a family are scaled from standard normals, unless they correlate with centred ones.
    """
    chosen = tuple(e.with_mean(groups=choose_parametrization(e.groups, *_residual(e))) for e in design.equations)
    factors = []
    for factor in design.factors:
        having = [
            own for e in chosen for own in e.linear_predictors if any(g.factor == factor.factor for g in own.groups)
        ]
        factors.append(replace(place_effects(design.spec, factor.factor, having, factor.levels), by=factor.by))
    centred = (e.with_mean(groups=centre_on_population(centre_on_outer(e.groups), e.coef)) for e in chosen)
    return replace(design, equations=tuple(centred), factors=tuple(factors))


def choose_parametrization(
    groups: Sequence[GroupDesign], residual: np.ndarray, residual_variance: float
) -> tuple[GroupDesign, ...]:
    """Choose, effect by effect, centred ones where the data say much about each level, scaled ones where little.

    Each level's effects are estimated by least squares; the reliability of an effect is the share of the variance of
    its estimates that is not noise. An effect is centred where half of the levels have an estimate and the lower bound
    of the reliability's 98 % interval is above .4: with few levels, or little said about each, an SD near zero stays
    possible, and centred effects would make a funnel of it. Where a finer factor is nested in this one its levels are
    what is estimated, and noise is what they differ by within a level.

    Parameters
    ----------
    groups : sequence of GroupDesign
        Of one equation.
    residual : ndarray, shape (obs,)
        What least squares on the population terms leaves; outcome units, or working residuals behind a link.
    residual_variance : float
        Variance of one residual, for factors whose levels have no more rows than effects.
    """
    chosen = []
    for group in groups:
        if group.weight is not None:
            chosen.append(group)
            continue
        finer = _finest_nested(group, groups)
        found = _reliabilities(group, finer, residual, residual_variance)
        blocks = []
        for block in group.blocks:
            reliability = tuple(float(found[member]) for member in block.members)
            centred = tuple(m for m, r in zip(block.members, reliability, strict=True) if r > RELIABLE)
            blocks.append(Block(block.members, centred, reliability, _first(group, block.members, centred)))
        chosen.append(replace(group, blocks=tuple(blocks)))
    return tuple(chosen)


def _first(group: GroupDesign, members: Sequence[int], centred: Sequence[int]) -> tuple[int, ...]:
    """Return the scaled members whose covariates go along with a centred one's, as intercept and slope of time do.

    What is estimated of such a pair is a sum: given the centred one, the other would have to make up for every step of
    it, and sampling comes to a halt.
    """
    size = np.sqrt((group.values[group.inside] ** 2).sum(axis=0))
    size[size == 0] = 1.0
    scaled = group.values[group.inside] / size
    along = np.abs(scaled.T @ scaled)
    return tuple(m for m in members if m not in centred and any(along[m, c] > ALONG for c in centred))


def _residual(equation: EquationDesign) -> tuple[np.ndarray, float]:
    """Return least-squares residuals, over the slope of a link that is none, and their variance."""
    x, y = equation.coef.values, equation.y
    if not equation.kind.intercept:
        x = np.column_stack([np.ones(len(y)), x])
    fitted = x @ np.linalg.lstsq(x, y, rcond=None)[0] if x.shape[1] else np.zeros_like(y)
    residual = (y - fitted) / equation.kind.steepness(y, equation.scale)
    return residual, float(residual.var()) or 1.0


def _finest_nested(group: GroupDesign, groups: Sequence[GroupDesign]) -> GroupDesign | None:
    inside = [other for other in groups if other is not group and nests_in(other, group)]
    return max(inside, key=lambda other: len(other.levels), default=None)


def _reliabilities(
    group: GroupDesign, finer: GroupDesign | None, residual: np.ndarray, residual_variance: float
) -> np.ndarray:
    """Return a lower bound of every effect's reliability, shape (effect,)."""
    unit = group.code if finer is None else finer.code
    inside = np.flatnonzero(group.inside if finer is None else group.inside & finer.inside)
    inside = inside[np.argsort(unit[inside], kind="stable")]
    starts = np.flatnonzero(np.diff(unit[inside], prepend=-1))
    effects = len(group.effects)
    estimates, variances, levels, squares, degrees = [], [], [], 0.0, 0
    pieces = np.split(inside, starts[1:])
    for rows in pieces[:: len(pieces) // LOOKED_AT + 1]:
        z, r = group.values[rows], residual[rows]
        if len(rows) < effects or np.linalg.matrix_rank(z) < effects:
            continue
        inverse = np.linalg.inv(z.T @ z)
        estimate = inverse @ z.T @ r
        squares += float(((r - z @ estimate) ** 2).sum())
        degrees += len(rows) - effects
        estimates.append(estimate)
        variances.append(np.diag(inverse))
        levels.append(group.code[rows[0]])
    seen = {int(group.code[rows[0]]) for rows in pieces[:: len(pieces) // LOOKED_AT + 1]}
    if len(estimates) < 2 or len(set(levels)) < len(seen) / 2:
        return np.zeros(effects)
    noise = squares / degrees if degrees else residual_variance
    estimate, variance, level = np.array(estimates), noise * np.array(variances), np.array(levels)
    if finer is None:
        return np.array([_between_levels(estimate[:, k], variance[:, k], degrees) for k in range(effects)])
    return np.array([_between_units(estimate[:, k], level) for k in range(effects)])


def _between_levels(estimate: np.ndarray, variance: np.ndarray, degrees: int) -> float:
    """Return the reliability of estimates with known noise: one less the share of noise in their spread."""
    if not (variance > 0).all():
        return 0.0
    weight = 1 / variance
    mean = (weight * estimate).sum() / weight.sum()
    ratio = (weight * (estimate - mean) ** 2).sum() / (len(estimate) - 1)
    return _lower_bound(float(ratio), len(estimate) - 1, degrees)


def _between_units(estimate: np.ndarray, level: np.ndarray) -> float:
    """Return the reliability of level means of units' estimates, by one-way analysis of variance."""
    stats = pd.DataFrame({"level": level, "y": estimate}).groupby("level").y.agg(["mean", "size", "var"])
    degrees = int((stats["size"] - 1).sum())
    if not degrees or len(stats) < 2:
        return 0.0
    noise = float((stats["var"].fillna(0) * (stats["size"] - 1)).sum() / degrees)
    per_level = noise / stats["size"].mean()
    return _lower_bound(float(stats["mean"].var()) / per_level, len(stats) - 1, degrees) if per_level > 0 else 0.0


def _lower_bound(ratio: float, between: int, within: int) -> float:
    """Return the lower bound of a reliability from a ratio of variances that is F where all levels are alike."""
    return max(0.0, 1 - float(f_distribution.ppf(0.99, between, max(within, 1))) / ratio) if ratio > 0 else 0.0
