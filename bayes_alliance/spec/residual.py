"""Claims about residuals that correlate: whose they are, what the data cannot tell, what cannot hold together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

from bayes_alliance._messages import quote, unknown
from bayes_alliance.findings import Problem
from bayes_alliance.names import RESIDUAL
from bayes_alliance.spec.equation_order import find_ancestors
from bayes_alliance.spec.model import EquationSpec, ModelSpec
from bayes_alliance.spec.parts import ResidualSpec, pair_of

LEFT = 1e-6
"""Least share of a residual's variance that stated correlations leave once the residuals before it are known."""


def check_residual(spec: ModelSpec) -> list[Problem]:
    """Report residuals that cannot correlate, and correlations that cannot be told or cannot be."""
    residual, problems = spec.residual, _between_rows(spec)
    if residual is None:
        return problems
    problems += check_correlated(spec.outcomes, "[residual] correlate", residual.correlate)
    if not residual.correlate and not _of_visits(spec):
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


def _of_visits(spec: ModelSpec) -> list[str]:
    """Return the outcomes whose residuals have a covariance of their own for every pair of visits."""
    return [equation.outcome for equation in spec.equation if equation.residuals == "unstructured"]


def _between_rows(spec: ModelSpec) -> list[Problem]:
    """Report residuals that correlate between a patient's rows where they cannot, or where two say the same."""
    problems = [problem for e in spec.equation if e.residuals != "independent" for problem in _between_rows_of(e)]
    correlate = () if spec.residual is None else spec.residual.correlate
    for equation in spec.equation:
        if equation.residuals != "independent" and equation.outcome in correlate:
            problems.append(
                Problem(
                    f"{_stated_as(equation)} and [residual] correlate do not go together.",
                    where=f"Equation of {equation.outcome!r}",
                )
            )
    visits = _of_visits(spec)
    if len(visits) > 1 or (visits and correlate):
        others = visits[1:] if len(visits) > 1 else correlate
        problems.append(
            Problem(
                f"{visits[0]!r} has unstructured residuals and so have, or correlate, those of {quote(others)}; a "
                "model has one matrix of residual correlations.",
                fix="Fit the outcomes one by one.",
            )
        )
    if visits and spec.residual is not None and spec.residual.fixed is not None:
        problems.append(Problem("correlations between visits are estimated.", where="[residual] fixed"))
    return problems


def _stated_as(equation: EquationSpec) -> str:
    return f'residuals = "{equation.residuals}"'


def _between_rows_of(equation: EquationSpec) -> list[Problem]:
    where, stated = f"Equation of {equation.outcome!r}", _stated_as(equation)
    problems = []
    if equation.unit != "session":
        problems.append(Problem(f"{stated} follow session numbers, and a row is a {equation.unit}.", where=where))
    if not equation.kind.normal:
        problems.append(Problem(f"{stated} needs a gaussian outcome, not {equation.family}.", where=where))
    if equation.modelled:
        problems.append(Problem(f"{stated} and modelled values do not go together.", where=where))
    if equation.residuals != "unstructured":
        return problems
    if equation.sigma is not None:
        problems.append(
            Problem(
                f"sigma = {equation.sigma!r}: unstructured residuals have an SD for every visit already.",
                where=where,
                fix="Leave sigma out; for covariances that differ between arms state by = ... under [residual].",
            )
        )
    if any(factor.split(":")[-1] == "patient" for factor in equation.mean.factors):
        problems.append(
            Problem(
                "effects of patients and unstructured residuals both say how a patient's visits go together.",
                where=where,
                fix="Leave (... | patient) out.",
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
