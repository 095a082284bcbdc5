"""Rows that belong to several levels of a factor at once, by weights: a patient with two therapists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bayes_alliance._messages import count_of, first_few, quote
from bayes_alliance.design.groups import Block, GroupDesign, check_codes
from bayes_alliance.design.terms import Columns
from bayes_alliance.design.variables import Variable
from bayes_alliance.spec.model import GroupSpec

TOLERANCE = 1e-6
"""Distance from 1 up to which weights of a row add up to it."""


def find_weights(
    factor: str,
    group: GroupSpec,
    ids: Sequence[np.ndarray],
    weights: Sequence[Variable],
    needed: np.ndarray,
    keys: np.ndarray,
    problems: list[str],
) -> list[np.ndarray]:
    """Return the weight of every membership in every row, shape (obs,) each; alike where none are stated.

    Parameters
    ----------
    ids : sequence of ndarray of str, shape (obs,)
        Per membership, empty text where a row has none.
    weights : sequence of Variable
        As many as memberships, or none.
    needed : ndarray of bool, shape (obs,)
        Rows on which the factor has a say.
    keys : ndarray
        Names of rows for messages.
    """
    present = [own != "" for own in ids]
    if not weights:
        number = np.maximum(np.sum(present, axis=0), 1)
        return [here / number for here in present]
    table = np.column_stack([weight.values for weight in weights])
    shares = np.nan_to_num(table)
    names = quote(weight.label for weight in weights)
    total = shares.sum(axis=1)
    for bad, what in (
        (needed & (shares < 0).any(axis=1), "are below 0"),
        (needed & (np.abs(total - 1) > TOLERANCE), "do not add up to 1"),
        (
            needed & np.any([(share > 0) & ~here for share, here in zip(shares.T, present, strict=True)], axis=0),
            "are above 0 where there is no level",
        ),
    ):
        if bad.any():
            shown = [
                f"{key!s} ({', '.join(f'{v:g}' for v in row)})" for key, row in zip(keys[bad], table[bad], strict=True)
            ]
            problems.append(
                f"[groups.{factor}] weights {names} {what} in {count_of(int(bad.sum()), 'row')}: {first_few(shown)}."
            )
    return list(shares.T)


def make_memberships(
    factor: str,
    ids: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    coded: Columns,
    blocks: tuple[Block, ...],
    problems: list[str],
) -> list[GroupDesign]:
    """Make one group per membership, all of one factor: covariates times weights, codes into the levels of all.

    A row's effect is the weighted sum of the effects of its levels (Browne, Goldstein and Rasbash 2001).
    """
    levels = np.unique(
        np.concatenate([own[(own != "") & (weight > 0)] for own, weight in zip(ids, weights, strict=True)])
    )
    if len(levels) < 2:
        problems.append(f"Grouping factor {factor!r} has fewer than two levels in the rows used.")
    made = []
    for number, (own, weight) in enumerate(zip(ids, weights, strict=True)):
        inside = (own != "") & (weight > 0) & (coded.values != 0).any(axis=1)
        code = np.where(inside, np.searchsorted(levels, np.where(inside, own, levels[:1])), 0).astype(np.int64)
        check_codes(factor, code, max(len(levels), 1))
        share = np.where(inside, weight, 0.0)
        latent = tuple({key: by * share for key, by in column.items()} for column in coded.latent)
        columns = replace(coded, values=coded.values * share[:, None], latent=latent)
        made.append(
            GroupDesign(factor, tuple(map(str, levels)), code, columns, inside, blocks, slot=number, weight=share)
        )
    return made


def say_memberships(factor: str, groups: Sequence[GroupDesign]) -> str:
    """Return how many rows belong to how many levels."""
    counts = np.sum([group.inside for group in groups], axis=0)
    each = [f"{int((counts == n).sum()):,} to {count_of(n, factor)}" for n in np.unique(counts)]
    return f"{factor}: rows belong {', '.join(each)}."


def weight_variables(group: GroupSpec, variables: Mapping[str, Variable]) -> list[Variable]:
    """Return the variables that hold the weights of memberships."""
    return [variables[name] for name in group.weights]
