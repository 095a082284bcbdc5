"""Labels of a model to coefficients: one, or one for each level of a factor that the label leaves open."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from bayes_alliance._messages import quote
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.findings import Findings
from bayes_alliance.spec.expressions import Call, Expression, Name, Number, Operation, names_in
from bayes_alliance.spec.labels import LabelTarget, rewrite
from bayes_alliance.spec.model import ModelSpec


@dataclass(frozen=True)
class Labels:
    """What coefficients labels are: ``one`` by label, or ``levels`` by label and level of the ``factor`` left open."""

    one: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    factor: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Version:
    """An estimand in the levels that its labels leave open: ``where`` names them, empty where none does."""

    where: str
    value: Expression
    labels: Mapping[str, str]


def resolve_labels(spec: ModelSpec, equations: Sequence[EquationDesign], findings: Findings) -> Labels:
    """Return the coefficients that labels name, reporting labels that name none, or several of no one factor."""
    one: dict[str, str] = {}
    levels: dict[str, dict[str, str]] = {}
    factors: dict[str, str] = {}
    for name, target in spec.label_targets.items():
        equation, own = next(
            (e, own) for e in equations for own in e.linear_predictors if own.spec.name == target.outcome
        )
        matching = [i for i, parts in enumerate(own.coef.parts) if _matches(target, parts)]
        if len(matching) == 1:
            one[name] = own.coef_labels[matching[0]]
            continue
        open_to = _left_open(target, [own.coef.parts[i] for i in matching], equation)
        if open_to is not None:
            factors[name] = equation.names.get(open_to, open_to)
            levels[name] = {dict(own.coef.parts[i])[open_to]: own.coef_labels[i] for i in matching}
            continue
        same_term = [i for i, p in enumerate(own.coef.parts) if {part for part, _ in p} == target.term]
        options = [_written(target.outcome, own.coef.parts[i]) for i in same_term]
        findings.problem(
            f"[labels] {name} = {spec.labels[name]!r} names {len(matching)} coefficients; one is needed.",
            fix=f"Choose among {quote(options)}.",
        )
    return Labels(one, levels, factors)


def versions(value: Expression, labels: Labels, name: str, findings: Findings) -> Iterator[Version]:
    """Yield an estimand once for each level that its labels leave open, and for the pairs of these.

    A coefficient of a factor compares a level with the reference; of one level less that of another it compares these
    two. So pairs are worked out where the estimand is a comparison: one that is a constant (0, or 1 of a ratio) where
    these coefficients are 0, whatever the others are. A slope in one arm is none.
    """
    read = set(names_in(value))
    several = [label for label in labels.levels if label in read]
    if not several:
        yield Version("", value, labels.one)
        return
    factors = dict.fromkeys(labels.factor[label] for label in several)
    if len(factors) > 1:
        findings.problem(
            f"[estimands.{name}] reads labels of several factors, {quote(factors)}, each with more than two levels.",
            fix="Write the level that each label is of: y ~ condition[CBT].",
        )
        return
    factor = next(iter(factors))
    shared = [level for level in labels.levels[several[0]] if all(level in labels.levels[one] for one in several)]
    for level in shared:
        chosen = {label: labels.levels[label][level] for label in several}
        yield Version(f"{factor} = {level}", value, {**labels.one, **chosen})
    if not _compares(value, several):
        return
    for before, level in combinations(shared, 2):
        apart = {
            f"{label}_{side}": labels.levels[label][one] for label in several for side, one in ((1, level), (2, before))
        }
        moved = rewrite(value, lambda part: _less(part, several))
        yield Version(f"{factor} = {level} less {before}", moved, {**labels.one, **apart})


def _compares(value: Expression, several: Collection[str]) -> bool:
    """Return whether an estimand is a constant where some labels are 0, by its value at two sets of the others."""
    one, two = (_worked_out(value, several, dict[str, float](), np.random.default_rng(seed)) for seed in (1, 2))
    return bool(np.isfinite([one, two]).all() and np.isclose(one, two))


def _worked_out(value: Expression, zero: Collection[str], known: dict[str, float], rng: np.random.Generator) -> float:
    """Return the value of arithmetic with some names 0 and the others at random; NaN of what is no arithmetic."""
    match value:
        case Number(number):
            return number
        case Name(name):
            return 0.0 if name in zero else known.setdefault(name, float(rng.uniform(1, 2)))
        case Operation(operator, left, right):
            one, two = (_worked_out(part, zero, known, rng) for part in (left, right))
            if operator == "/" and two == 0:
                return float("nan")
            return {"+": one + two, "-": one - two, "*": one * two}[operator] if operator != "/" else one / two
        case Call("exp", (inner,)):
            return float(np.exp(_worked_out(inner, zero, known, rng)))
    return float("nan")


def _less(part: Expression, several: Collection[str]) -> Expression | None:
    if isinstance(part, Name) and part.name in several:
        return Operation("-", Name(f"{part.name}_1"), Name(f"{part.name}_2"))
    return None


def _left_open(
    target: LabelTarget, matching: Sequence[frozenset[tuple[str, str]]], equation: EquationDesign
) -> str | None:
    """Return the one factor by whose levels the columns differ that a label fits."""
    unwritten = {part for part, piece in target.parts if not piece}
    differing = {part for part in unwritten if len({dict(parts)[part] for parts in matching}) > 1}
    if len(differing) != 1:
        return None
    part = differing.pop()
    variable = equation.variables.get(part)
    return part if variable is not None and variable.levels is not None else None


def _matches(target: LabelTarget, parts: frozenset[tuple[str, str]]) -> bool:
    """Return whether a column is what a label names; a bracket that is not written fits any."""
    if {part for part, _ in parts} != target.term:
        return False
    inside = dict(parts)
    return all(piece in ("", inside[part]) for part, piece in target.parts)


def _written(outcome: str, parts: frozenset[tuple[str, str]]) -> str:
    return f"{outcome} ~ {':'.join(f'{p}[{piece}]' if piece else p for p, piece in sorted(parts))}"
