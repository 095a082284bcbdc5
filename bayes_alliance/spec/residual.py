"""Claims about residuals that correlate: whose they are, what the data cannot tell, what cannot hold together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

from bayes_alliance._messages import quote, unknown
from bayes_alliance.findings import Problem
from bayes_alliance.names import RESIDUAL
from bayes_alliance.spec.equation_order import find_ancestors
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.parts import ResidualSpec, pair_of

LEFT = 1e-6
"""Least share of a residual's variance that stated correlations leave once the residuals before it are known."""


def check_residual(spec: ModelSpec) -> list[Problem]:
    """Report residuals that cannot correlate, and correlations that cannot be told or cannot be."""
    residual = spec.residual
    if residual is None:
        return []
    problems = check_correlated(spec.outcomes, "[residual] correlate", residual.correlate)
    if not residual.correlate:
        problems.append(
            Problem(
                "it names no outcome.", where="[residual] correlate", fix="Name the outcomes whose residuals correlate."
            )
        )
    chosen = [equation for equation in spec.equation if equation.outcome in residual.correlate]
    problems += [
        Problem(f"{e.outcome!r} is {e.family} and has no normal residual.", where="[residual] correlate")
        for e in chosen
        if not e.kind.normal
    ]
    if len({equation.unit for equation in chosen}) > 1:
        units = ", ".join(f"{e.outcome!r} by {e.unit}" for e in chosen)
        problems.append(Problem(f"the outcomes have rows of different units ({units}).", where="[residual] correlate"))
    problems += _stated(residual)
    on_purpose = residual.fixed is not None or any(
        prior.target.kind == "cor" and prior.target.factor == RESIDUAL for prior in spec.prior
    )
    ancestors = find_ancestors(spec)
    for one, two in combinations(chosen, 2):
        for parent, child in ((one.outcome, two.outcome), (two.outcome, one.outcome)):
            if parent in ancestors[child] and not on_purpose:
                problems.append(
                    Problem(
                        f"{parent!r} predicts {child!r}, and the data cannot tell that path from a "
                        "correlation of their residuals.",
                        where="[residual] correlate",
                        fix=(
                            f'State the correlation (fixed = 0.2), or a prior for it (on = "cor {RESIDUAL}") with '
                            "a reason, as a sensitivity analysis; or leave it out."
                        ),
                    )
                )
    return problems


def _stated(residual: ResidualSpec) -> list[Problem]:
    """Report stated correlations that name no two of the outcomes, or that cannot all hold."""
    names = residual.correlate
    if residual.fixed is None or len(set(names)) < 2:
        return []
    if not isinstance(residual.fixed, dict):
        if len(set(names)) == 2:
            return []
        return [
            Problem(
                f"[residual] fixed states one correlation and {len(names)} outcomes have more.",
                fix=(
                    f'State one per pair: fixed = {{"{names[0]} | {names[1]}" = {residual.fixed:g}}}. A pair that '
                    "is not named has 0."
                ),
            )
        ]
    problems, seen = [], set()
    for pair in residual.fixed:
        parts = pair_of(pair)
        if len(set(parts)) != 2 or len(parts) != 2 or not set(parts) <= set(names):
            problems.append(
                Problem(
                    f"{pair!r} is no pair of the outcomes.",
                    where="[residual] fixed",
                    fix=f'Write "{names[0]} | {names[1]}", of {quote(names)}.',
                )
            )
        elif frozenset(parts) in seen:
            problems.append(Problem(f"{pair!r} is stated twice.", where="[residual] fixed"))
        seen.add(frozenset(parts))
    if problems:
        return problems
    if not can_hold(names, residual.pairs):
        problems.append(
            Problem(
                "the correlations cannot all hold, their matrix is not positive definite.",
                where="[residual] fixed",
                fix="Move them towards 0.",
            )
        )
    return problems


def check_correlated(known: Sequence[str], where: str, outcomes: tuple[str, ...]) -> list[Problem]:
    """Report names that are no outcomes, and fewer than two."""
    problems = [unknown("outcome", name, known, where) for name in outcomes if name not in known]
    if outcomes and len(set(outcomes)) < 2:
        problems.append(Problem(f"two different outcomes or more are needed; it names {quote(outcomes)}.", where=where))
    return problems


def can_hold(names: Sequence[str], pairs: Mapping[tuple[str, ...], float]) -> bool:
    """Return whether correlations of pairs, 0 where not named, are a positive-definite matrix: by its Cholesky root."""
    stated = {frozenset(pair): value for pair, value in pairs.items()}
    root: list[list[float]] = []
    for i, name in enumerate(names):
        row: list[float] = []
        for j in range(i):
            known = sum(row[k] * root[j][k] for k in range(j))
            row.append((stated.get(frozenset((name, names[j])), 0.0) - known) / root[j][j])
        left = 1.0 - sum(value * value for value in row)
        if left < LEFT:
            return False
        root.append([*row, math.sqrt(left)])
    return True
