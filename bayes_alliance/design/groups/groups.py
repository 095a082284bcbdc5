"""Grouping factors: levels and codes, rows without a level, partial nesting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, quote
from bayes_alliance.design.columns.arms import Arms, count_by_arm
from bayes_alliance.design.columns.evaluator import Evaluator
from bayes_alliance.design.columns.terms import Columns, code_terms
from bayes_alliance.findings import Findings
from bayes_alliance.spec.expressions import GroupTerm, render_group
from bayes_alliance.spec.parts import GroupSpec


@dataclass(frozen=True)
class Block:
    """Group effects of one factor that share a covariance matrix; ``members`` index the factor's effects.

    ``centred`` lists the members that the nuts engine writes as they are, the others being scaled from standard
    normals: those of ``first`` before the centred ones, which are then given them, the rest given the centred ones.
    ``reliability`` (0 to 1, a lower bound) says why, per member.
    """

    members: tuple[int, ...]
    centred: tuple[int, ...] = ()
    reliability: tuple[float, ...] = ()
    first: tuple[int, ...] = ()

    def moved(self, start: int) -> Block:
        """Return the block with its members counted from ``start``."""
        which = (self.members, self.centred, self.first)
        members, centred, first = (tuple(start + member for member in part) for part in which)
        return Block(members, centred, self.reliability, first)


@dataclass(frozen=True, eq=False)
class Above:
    """An effect of an outer factor that every level of an inner one carries whole: ``weight`` times that effect.

    ``effect`` indexes the outer factor's effects and ``member`` the inner one's; ``code`` and ``weight`` have shape
    (inner level,).
    """

    factor: str
    effect: int
    member: int
    code: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True, eq=False)
class Carried:
    """A population column that every level of a factor carries whole: ``weight`` times its coefficient.

    ``coef`` indexes the population columns and ``member`` the factor's effects; ``weight`` has shape (level,).
    """

    coef: int
    member: int
    weight: np.ndarray


@dataclass(frozen=True, eq=False)
class GroupDesign:
    """A grouping factor over the rows of an equation.

    ``code`` has shape (obs,) and points into ``levels``; ``columns`` are the covariates of the effects. A row outside
    the factor (its indicator is 0) carries code 0 and values 0; ``inside`` tells these rows apart. ``ids`` of shape
    (obs,) points into the levels wherever a row has an id, covariates of 0 or not; it is -1 elsewhere. ``above`` lists
    outer effects, and ``carried`` population columns, that the nuts engine centres this factor's effects on. Where
    rows belong to several levels there is a group per membership, counted by ``slot``, all over the same levels;
    ``weight`` of shape (obs,) is in their covariates already.
    """

    factor: str
    levels: tuple[str, ...]
    code: np.ndarray
    columns: Columns
    inside: np.ndarray
    blocks: tuple[Block, ...]
    above: tuple[Above, ...] = ()
    carried: tuple[Carried, ...] = ()
    slot: int = 0
    weight: np.ndarray | None = None
    ids: np.ndarray | None = None

    @property
    def units(self) -> np.ndarray:
        """Return the level that every row's id is of, shape (obs,); -1 where it has none, or none that has effects."""
        return np.where(self.inside, self.code, -1) if self.ids is None else self.ids

    @property
    def effects(self) -> tuple[str, ...]:
        """Return the effects in study names."""
        return self.columns.labels

    @property
    def values(self) -> np.ndarray:
        """Return the covariates, shape (obs, effect)."""
        return self.columns.values


def code_groups(terms: Sequence[GroupTerm], evaluator: Evaluator) -> dict[str, tuple[Columns, tuple[Block, ...]]]:
    """Code the group terms, one entry per factor with its correlation blocks."""
    coded: dict[str, tuple[Columns, tuple[Block, ...]]] = {}
    for term in terms:
        columns = code_terms(term.intercept, term.terms, evaluator)
        before, blocks = coded.get(term.factor, (None, ()))
        start = len(before.labels) if before is not None else 0
        members = tuple(range(start, start + len(columns.labels)))
        new = (Block(members),) if term.correlated else tuple(Block((member,)) for member in members)
        coded[term.factor] = (columns if before is None else before.beside(columns), (*blocks, *new))
    return coded


def check_ids(
    factor: str,
    term: GroupTerm,
    ids: np.ndarray,
    values: np.ndarray,
    arms: Arms | None,
    group: GroupSpec,
    findings: Findings,
) -> np.ndarray:
    """Check that every row on which a factor has a say has a level; return the values with rows outside set to 0.

    Parameters
    ----------
    factor, term : str, GroupTerm
        The factor and a term that names it, for the message.
    ids : ndarray of str, shape (obs,)
        Empty text where the row has no level.
    values : ndarray, shape (obs, effect)
        Coded columns of the factor.
    arms : Arms, optional
        The condition, to tell a factor of one arm from forgotten ids.
    group : GroupSpec
        Says what a missing id means.
    """
    lacking = (ids == "") & (values != 0).any(axis=1)
    if not lacking.any():
        return values
    by_arm = "" if arms is None else count_by_arm(lacking, arms.levels, arms.code)
    if group.missing == "none":
        lost = int(lacking.sum())
        findings.note(
            f"{count_of(lost, 'row')} without {factor} {are(lost, 'carries', 'carry')} no {factor} effect{by_arm}."
        )
        return np.where(lacking[:, None], 0.0, values)
    gate = _empty_arm(ids, lacking, arms)
    if gate:
        inside, empty, name = gate
        how = f"columns={{'in_{factor}': '{name}[{inside[0]}]'}}"
        if len(inside) > 1:
            how = f"a column in_{factor} that is 1 in {quote(inside)} and 0 in {quote(empty)}"
        findings.problem(
            f"{factor!r} exists in {quote(inside)} only: no row of {quote(empty)} has one.",
            fix=(
                f"Write the term with a 0/1 variable that is 1 where the factor exists, such as (0 + in_{factor} "
                f"| {factor}) with {how}, in place of {render_group(term)}."
            ),
        )
    else:
        findings.problem(
            f"{count_of(int(lacking.sum()), 'row')} {are(int(lacking.sum()), 'has', 'have')} no {factor} "
            f"where {render_group(term)} needs one{by_arm}.",
            fix=f'Complete the ids, or state [groups.{factor}] missing = "none" if these rows have no {factor}.',
        )
    return values


def make_group(
    factor: str, ids: np.ndarray, coded: Columns, blocks: tuple[Block, ...], findings: Findings
) -> GroupDesign:
    """Make the codes of a factor; every code is checked to lie inside the levels.

    Compiled code reads past an array without a word, and takes -1 for the last level; so a row without a level is
    code 0 with values 0, and nothing else may point outside.
    """
    inside = (coded.values != 0).any(axis=1) & (ids != "")
    levels, code = np.unique(ids[inside].astype(str), return_inverse=True)
    full = np.zeros(len(ids), dtype=np.int64)
    full[inside] = code
    if len(levels) < 2:
        seen = f"only {str(levels[0])!r}" if len(levels) else "none"
        findings.problem(f"Grouping factor {factor!r} has {seen} in the rows used; two levels or more are needed.")
    check_codes(factor, full, max(len(levels), 1))
    units = None if inside.all() else pd.Index(levels).get_indexer(ids.astype(str))
    return GroupDesign(factor, tuple(map(str, levels)), full, coded, inside, blocks, ids=units)


def check_codes(factor: str, code: np.ndarray, size: int) -> None:
    """Raise if a code does not point at a level.

    Raises
    ------
    IndexError
        If a code is below 0 or not below ``size``; never caused by input, always a fault in the design.
    """
    if code.size and (code.min() < 0 or code.max() >= size):
        raise IndexError(f"codes of {factor!r} run from {code.min()} to {code.max()}; allowed 0 to {size - 1}.")


def nests_in(inner: GroupDesign, outer: GroupDesign) -> bool:
    """Return whether every level of ``inner`` lies in one level of ``outer`` (rows outside ``outer`` left out).

    Levels that rows belong to by weights lie in none, and nothing lies in them.
    """
    if inner.weight is not None or outer.weight is not None:
        return False
    both = inner.inside & outer.inside
    one_each = lie_in_one(inner.code[both], outer.code[both])
    return bool(both.any()) and one_each and len(outer.levels) < len(inner.levels)


def lie_in_one(inner: np.ndarray, outer: np.ndarray) -> bool:
    """Return whether every inner code comes with one outer code only; both of shape (row,)."""
    found = np.full(int(inner.max(initial=-1)) + 1, -1)
    found[inner] = outer
    return bool((found[inner] == outer).all())


def find_nesting(links: np.ndarray) -> list[list[bool]]:
    """Return which factors nest in which: every level of the first in at most one level of the second.

    Parameters
    ----------
    links : ndarray, shape (link, factor)
        Levels that meet in some row, -1 outside a factor.
    """
    return [
        [lie_in_one(inner[both], outer[both]) for outer in links.T for both in [(inner >= 0) & (outer >= 0)]]
        for inner in links.T
    ]


def _empty_arm(ids: np.ndarray, lacking: np.ndarray, arms: Arms | None) -> tuple[list[str], list[str], str] | None:
    """Return the arms with and without the factor, where an arm that needs it has none at all."""
    if arms is None:
        return None
    present = {level: (ids[arms.code == i] != "").any() for i, level in enumerate(arms.levels)}
    inside = [level for level, any_id in present.items() if any_id]
    empty = [level for i, level in enumerate(arms.levels) if not present[level] and lacking[arms.code == i].any()]
    return (inside, empty, arms.label) if inside and empty else None
