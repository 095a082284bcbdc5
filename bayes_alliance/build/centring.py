"""What centred group effects vary around: the effects of outer factors, and the population.

With deviations as free variables, a population coefficient or a therapist's effect and those of all its patients can
only move together; with totals free they move apart, and a sampler mixes several times faster (Gelfand, Sahu and Carlin
1995). The model is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bayes_alliance.design.columns.terms import Columns
from bayes_alliance.design.groups.groups import Above, Carried, GroupDesign, nests_in


def centre_on_population(groups: Sequence[GroupDesign], coef: Columns) -> tuple[GroupDesign, ...]:
    """Let the factor with the most levels vary around what the population columns say of each of its levels.

    A column is carried where every level has it as a fixed multiple of a centred effect's covariate: the intercept
    and what is measured once per patient by patients' intercepts, session and its product with the condition by
    their slopes.
    """
    whole = [group for group in groups if group.inside.all() and group.weight is None]
    if not whole:
        return tuple(groups)
    finest = max(whole, key=lambda group: len(group.levels))
    carried = []
    for number in range(len(coef.labels)):
        found = _weights(finest, coef.values[:, number])
        if found is not None:
            carried.append(Carried(number, *found))
    return tuple(replace(g, carried=tuple(carried)) if g is finest else g for g in groups)


def centre_on_outer(groups: Sequence[GroupDesign]) -> tuple[GroupDesign, ...]:
    """Let centred effects of a nested factor vary around the effects of the factor it is nested in.

    With patients' deviations as the free variable, a therapist's effect and those of all its patients can only move
    together; with patients' totals free they move apart, and the therapist SD mixes several times faster.
    """
    above: dict[str, list[Above]] = {group.factor: [] for group in groups}
    for outer in groups:
        inner = sorted((g for g in groups if g is not outer and nests_in(g, outer)), key=lambda g: len(g.levels))
        for effect in range(len(outer.effects)):
            found = next((a for g in inner for a in [_carried_by(g, outer, effect)] if a is not None), None)
            if found is not None:
                above[found[0]].append(found[1])
    return tuple(replace(group, above=tuple(above[group.factor])) for group in groups)


def _carried_by(inner: GroupDesign, outer: GroupDesign, effect: int) -> tuple[str, Above] | None:
    """Return how a level of the inner factor carries an outer effect, if it does so alike in all of its rows."""
    theirs = outer.values[:, effect]
    if theirs[~inner.inside].any():
        return None
    found = _weights(inner, theirs)
    if found is None:
        return None
    member, weight = found
    code = np.zeros(len(inner.levels), dtype=np.int64)
    code[inner.code[outer.inside]] = outer.code[outer.inside]
    return inner.factor, Above(outer.factor, effect, member, code, weight)


def _weights(group: GroupDesign, column: np.ndarray) -> tuple[int, np.ndarray] | None:
    """Return the centred effect, and its weight per level, by which a factor carries a column in all of its rows."""
    for block in group.blocks:
        for member in block.centred:
            own = group.values[:, member]
            weight = np.zeros(len(group.levels))
            usable = group.inside & (own != 0)
            weight[group.code[usable]] = column[usable] / own[usable]
            if np.array_equal(column, np.where(group.inside, weight[group.code] * own, 0.0)):
                return member, weight
    return None
