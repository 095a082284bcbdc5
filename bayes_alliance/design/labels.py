"""Labels of a model to coefficients: one, or one for each level of a factor that the label leaves open."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product

import numpy as np

from bayes_alliance._messages import quote
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.findings import Findings
from bayes_alliance.spec.expressions import Call, Expression, Name, Number, Operation, names_in
from bayes_alliance.spec.labels import LabelTarget, rewrite
from bayes_alliance.spec.model import ModelSpec

type Levels = tuple[str, ...]
"""A level of each of some factors."""


@dataclass(frozen=True)
class Labels:
    """What coefficients labels are: ``one`` by label, or by label and ``levels`` of the ``factors`` left open."""

    one: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[str, Mapping[Levels, str]] = field(default_factory=dict)
    factors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def coefficient(self, label: str, at: Mapping[str, str]) -> str | None:
        """Return the coefficient of an open label at levels of factors, None where it has none."""
        return self.levels[label].get(tuple(at[factor] for factor in self.factors[label]))


@dataclass(frozen=True)
class Version:
    """An estimand in the levels that its labels leave open: ``where`` names them, empty where none does."""

    where: str
    value: Expression
    labels: Mapping[str, str]


def resolve_labels(spec: ModelSpec, equations: Sequence[EquationDesign], findings: Findings) -> Labels:
    """Return the coefficients that labels name, reporting labels of none, and of several that differ otherwise."""
    one: dict[str, str] = {}
    levels: dict[str, dict[Levels, str]] = {}
    factors: dict[str, tuple[str, ...]] = {}
    for name, target in spec.label_targets.items():
        equation, own = next(
            (e, own) for e in equations for own in e.linear_predictors if own.spec.name == target.outcome
        )
        matching = [i for i, parts in enumerate(own.coef.parts) if _matches(target, parts)]
        if len(matching) == 1:
            one[name] = own.coef_labels[matching[0]]
            continue
        open_to = _left_open(target, [own.coef.parts[i] for i in matching], equation)
        if open_to:
            factors[name] = tuple(equation.names.get(part, part) for part in open_to)
            parts = {i: dict(own.coef.parts[i]) for i in matching}
            levels[name] = {tuple(parts[i][part] for part in open_to): own.coef_labels[i] for i in matching}
            continue
        same_term = [i for i, p in enumerate(own.coef.parts) if {part for part, _ in p} == target.term]
        options = [_written(target.outcome, own.coef.parts[i]) for i in same_term]
        findings.problem(
            f"[labels] {name} = {spec.labels[name]!r} names {len(matching)} coefficients; one is needed.",
            fix=f"Choose among {quote(options)}.",
        )
    return Labels(one, levels, factors)


def versions(value: Expression, labels: Labels) -> Iterator[Version]:
    """Yield an estimand once for each combination of levels that its labels leave open, and for pairs of these.

    A coefficient of a factor compares a level with the reference; of one level less that of another it compares these
    two. So pairs, which differ in the level of one factor, are worked out where the estimand is a comparison: one that
    is a constant (0, or 1 of a ratio) where the coefficients of that factor are 0, whatever the others are. A slope in
    one arm is none.
    """
    read = set(names_in(value))
    several = [label for label in labels.levels if label in read]
    if not several:
        yield Version("", value, labels.one)
        return
    factors = tuple(dict.fromkeys(factor for label in several for factor in labels.factors[label]))
    there = [at for at in _combinations(factors, several, labels) if all(labels.coefficient(o, at) for o in several)]
    for at in there:
        chosen = {label: str(labels.coefficient(label, at)) for label in several}
        yield Version(_where(at), value, {**labels.one, **chosen})
    for factor in factors:
        moving = [label for label in several if factor in labels.factors[label]]
        if not _compares(value, moving):
            continue
        for before, later in combinations(there, 2):
            if any(before[other] != later[other] for other in factors if other != factor):
                continue
            held = {label: str(labels.coefficient(label, later)) for label in several if label not in moving}
            apart = {f"{o}_1": str(labels.coefficient(o, later)) for o in moving}
            apart |= {f"{o}_2": str(labels.coefficient(o, before)) for o in moving}
            moved = rewrite(value, lambda part, moving=moving: _less(part, moving))  # type: ignore[misc]
            step = _where({**later, factor: f"{later[factor]} less {before[factor]}"})
            yield Version(step, moved, {**labels.one, **held, **apart})


def _combinations(factors: Sequence[str], several: Sequence[str], labels: Labels) -> Iterator[dict[str, str]]:
    """Yield the levels of factors, in the order of the coefficients, the first factor slowest."""
    known: dict[str, dict[str, None]] = {factor: {} for factor in factors}
    for label in several:
        for levels in labels.levels[label]:
            for factor, level in zip(labels.factors[label], levels, strict=True):
                known[factor][level] = None
    for levels in product(*known.values()):
        yield dict(zip(factors, levels, strict=True))


def _where(at: Mapping[str, str]) -> str:
    return ", ".join(f"{factor} = {level}" for factor, level in at.items())


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
) -> tuple[str, ...]:
    """Return the factors by whose levels the columns differ that a label fits; none where it is not by these alone."""
    unwritten = [part for part, piece in sorted(target.parts) if not piece]
    differing = [part for part in unwritten if len({dict(parts)[part] for parts in matching}) > 1]
    known = [equation.variables.get(part) for part in differing]
    return tuple(differing) if all(v is not None and v.levels is not None for v in known) else ()


def _matches(target: LabelTarget, parts: frozenset[tuple[str, str]]) -> bool:
    """Return whether a column is what a label names; a bracket that is not written fits any."""
    if {part for part, _ in parts} != target.term:
        return False
    inside = dict(parts)
    return all(piece in ("", inside[part]) for part, piece in target.parts)


def _written(outcome: str, parts: frozenset[tuple[str, str]]) -> str:
    return f"{outcome} ~ {':'.join(f'{p}[{piece}]' if piece else p for p, piece in sorted(parts))}"
