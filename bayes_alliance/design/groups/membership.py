"""Rows that belong to several levels of a factor at once, by weights: a patient with two therapists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bayes_alliance._messages import count_of, first_few, number_text, quote
from bayes_alliance.design.columns.arms import Arms
from bayes_alliance.design.columns.terms import Columns
from bayes_alliance.design.columns.variables import Variable, read_words
from bayes_alliance.design.groups.groups import Block, GroupDesign, check_codes, check_ids
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.spec.expressions import GroupTerm
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.parts import GroupSpec
from bayes_alliance.study import Study
from bayes_alliance.table.sessions import SessionTable

TOLERANCE = 1e-6
"""Distance from 1 up to which weights of a row add up to it."""


def check_members(spec: ModelSpec, study: Study[SessionTable]) -> list[Problem]:
    """Report ids of one factor that are text in one column and numbers in another, and would not be found again."""
    problems = []
    for factor, group in spec.groups.items():
        read = [study.column(name) for name in group.members]
        if not group.members or any(column not in study.sessions.frame.columns for column in read):
            continue
        first, *others = (study.sessions.frame[column] for column in read)
        words = [level for level in read_words(first).dropna().unique() if level]
        padded = [word for word in words if word.isdigit() and word != number_text(float(word))]
        numbers = [column for column, own in zip(read[1:], others, strict=True) if own.dtype == np.float64]
        if padded and numbers:
            problems.append(
                Problem(
                    f"[groups.{factor}] members: column {read[0]!r} holds ids such as {padded[0]!r}, and "
                    f"{quote(numbers)} numbers, so that the same {factor} would be two.",
                    fix="Store all of them as text.",
                )
            )
    return problems


def code_memberships(
    factor: str,
    term: GroupTerm,
    ids: list[np.ndarray],
    kept: Columns,
    blocks: tuple[Block, ...],
    arms: Arms | None,
    spec: ModelSpec,
    findings: Findings,
    weights: Mapping[str, Variable],
    keys: np.ndarray,
) -> list[GroupDesign]:
    """Give a factor to whose levels rows belong by weights its codes, one group per membership."""
    group = spec.group(factor)
    some = np.where(ids[0] != "", ids[0], np.select([own != "" for own in ids], ids, default=""))
    values = check_ids(factor, term, some, kept.values, arms, group, findings)
    needed = (values != 0).any(axis=1)
    shares = find_weights(factor, group, ids, [weights[name] for name in group.weights], needed, keys, findings)
    if findings.problems:
        return []
    made = make_memberships(factor, ids, shares, replace(kept, values=values), blocks, findings)
    findings.note(say_memberships(factor, made))
    return made


def find_weights(
    factor: str,
    group: GroupSpec,
    ids: Sequence[np.ndarray],
    weights: Sequence[Variable],
    needed: np.ndarray,
    keys: np.ndarray,
    findings: Findings,
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
    unstated = np.isnan(table) & np.column_stack(present)
    names = quote(weight.label for weight in weights)
    total = shares.sum(axis=1)
    for bad, what in (
        (needed & unstated.any(axis=1), "are missing where there is a level"),
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
            findings.problem(
                f"[groups.{factor}] weights {names} {what} in {count_of(int(bad.sum()), 'row')}: {first_few(shown)}."
            )
    return list(shares.T)


def make_memberships(
    factor: str,
    ids: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    coded: Columns,
    blocks: tuple[Block, ...],
    findings: Findings,
) -> list[GroupDesign]:
    """Make one group per membership, all of one factor: covariates times weights, codes into the levels of all.

    A row's effect is the weighted sum of the effects of its levels (Browne, Goldstein and Rasbash 2001).
    """
    levels = np.unique(
        np.concatenate([own[(own != "") & (weight > 0)] for own, weight in zip(ids, weights, strict=True)])
    )
    if len(levels) < 2:
        findings.problem(f"Grouping factor {factor!r} has fewer than two levels in the rows used.")
    made = []
    weights = _merge_alike(ids, weights)
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


def _merge_alike(ids: Sequence[np.ndarray], weights: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return weights with those of a level that a row names twice added up where it is named first."""
    merged = [weight.copy() for weight in weights]
    for later in range(1, len(ids)):
        for earlier in range(later):
            same = (ids[later] == ids[earlier]) & (ids[later] != "")
            merged[earlier][same] += merged[later][same]
            merged[later][same] = 0.0
    return merged


def say_memberships(factor: str, groups: Sequence[GroupDesign]) -> str:
    """Return how many rows belong to how many levels."""
    counts = np.sum([group.inside for group in groups], axis=0)
    each = [f"{int((counts == n).sum()):,} to {count_of(n, factor)}" for n in np.unique(counts)]
    return f"{factor}: rows belong {', '.join(each)}."
