"""What must hold of labels and estimands: names that exist, correlations and products that mean something."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from bayes_alliance._messages import unknown
from bayes_alliance.findings import Problem
from bayes_alliance.spec.expressions import Call, Expression, Name, calls_in, render
from bayes_alliance.spec.formula import MAX_OPERATORS
from bayes_alliance.spec.labels import (
    LabelTarget,
    names_of_value,
    operators_in,
    products_in,
    rewrite,
    value_arguments,
)
from bayes_alliance.spec.model import EstimandSpec, ModelSpec, PredictorSpec

_WORD = re.compile(r"[^\W\d]\w*\Z")

MOST_ENTRIES = 500
"""Numbers of one estimand: combinations of the values in ``at``, and contrasts of them."""


def validate_estimands(spec: ModelSpec) -> list[Problem]:
    """Return every problem of labels, and of estimands where labels have none."""
    return _labels(spec) or _estimands(spec)


def _labels(spec: ModelSpec) -> list[Problem]:
    problems = []
    for name, target in spec.label_targets.items():
        if not _WORD.match(name):
            problems.append(Problem(f"[labels] {name!r} is not a word.", fix="Use letters, digits and underscores."))
        known = [part.name for part in spec.linear_predictors]
        if target.outcome not in known:
            problems.append(unknown("outcome", target.outcome, known, f"[labels] {name}"))
            continue
        terms = _terms(_equation(spec, target.outcome))
        if target.parts and target.term not in terms.values():
            term = unknown("term", ":".join(sorted(target.term)), terms, f"[labels] {name}")
            within = f"It is a term of the equation of {target.outcome!r}."
            problems.append(replace(term, fix=f"{term.fix} {within}".lstrip()))
        if not target.parts and not _equation(spec, target.outcome).parsed.intercept:
            problems.append(Problem(f"the equation of {target.outcome!r} has no intercept.", where=f"[labels] {name}"))
    return problems


def _equation(spec: ModelSpec, outcome: str) -> PredictorSpec:
    return next(part for part in spec.linear_predictors if part.name == outcome)


def _terms(equation: PredictorSpec) -> dict[str, frozenset[str]]:
    """Return the terms of an equation as text, each with its parts."""
    terms = [[render(part) for part in term.parts] for term in equation.parsed.terms]
    return {":".join(parts): frozenset(parts) for parts in terms}


def _estimands(spec: ModelSpec) -> list[Problem]:
    problems: list[Problem] = []
    for name, estimand in spec.estimands.items():
        where = f"[estimands.{name}]"
        if not _WORD.match(name):
            problems.append(Problem(f"{where} is not a word.", fix="Use letters, digits and underscores."))
        if name in spec.labels:
            problems.append(Problem(f"{where} has the name of a label.", fix="Choose another."))
        problems += [problem.under(where) for problem in _estimand(spec, name, estimand)]
    problems = problems or _written_out(spec)
    if problems:
        return problems
    return [one.under(f"[estimands.{name}]") for name in spec.estimands for one in check_products(spec, name)]


def _estimand(spec: ModelSpec, name: str, estimand: EstimandSpec) -> Iterator[Problem]:
    valid = [*spec.labels, *(other for other in spec.estimands if other != name), *estimand.at]
    for read in dict.fromkeys(names_of_value(estimand.parsed)):
        if read not in valid:
            yield unknown("label, estimand or moderator", read, valid)
    for moderator, values in estimand.at.items():
        if moderator in spec.labels or moderator in spec.estimands:
            yield Problem(
                f"the moderator {moderator!r} of 'at' has the name of a label or estimand.", fix="Choose another."
            )
        if moderator not in names_of_value(estimand.parsed):
            yield Problem(f"the moderator {moderator!r} of 'at' does not occur in {estimand.value!r}.")
        if not values or len(set(values)) < len(values):
            yield Problem(f"'at' needs different values for {moderator!r}.")
    if estimand.entries > MOST_ENTRIES:
        yield Problem(
            f"'at' states more than {MOST_ENTRIES} combinations of values and contrasts of them, which is the limit."
        )
    if estimand.contrast and not any(len(values) > 1 for values in estimand.at.values()):
        yield Problem("contrast = true needs two values or more of a moderator in 'at'.")
    if estimand.rope is not None and not estimand.rope[0] < estimand.rope[1]:
        yield Problem("the lower bound comes first.", where=f"rope = {list(estimand.rope)}")
    for call in calls_in(estimand.parsed):
        yield from _call(spec, call)


def _call(spec: ModelSpec, call: Call) -> Iterator[Problem]:
    first = call.arguments[0]
    named = first.name if isinstance(first, Name) else render(first)
    if call.function in ("sd", "cov", "cor") and named not in spec.factors:
        yield unknown(f"grouping factor in {render(call)}:", named, spec.factors)
    if call.function == "sigma":
        having = [equation.outcome for equation in spec.equation if equation.kind.spread]
        if named not in having:
            yield unknown(f"outcome in {render(call)}:", named, having)
    takes_labels = call.function in ("sd", "cov", "cor", "indirect")
    for argument in value_arguments(call) if takes_labels else ():
        if not (isinstance(argument, Name) and argument.name in spec.labels):
            yield Problem(f"{render(call)} takes labels of coefficients; {render(argument)!r} is none.")
        elif call.function in ("sd", "cov", "cor") and not varies_by(spec, argument.name, named):
            target = spec.label_targets[argument.name]
            yield Problem(
                f"{argument.name!r} ({target}) does not vary by {named}.",
                where=render(call),
                fix=f"Add its term to the group term of {named!r} in the equation of {target.outcome!r}.",
            )
    if call.function in ("cov", "cor"):
        yield from _held_at_zero(spec, call, named)


def _held_at_zero(spec: ModelSpec, call: Call, factor: str) -> Iterator[Problem]:
    one, two = call.arguments[1:]
    if isinstance(one, Name) and isinstance(two, Name) and {one.name, two.name} <= set(spec.labels):
        both_vary = varies_by(spec, one.name, factor) and varies_by(spec, two.name, factor)
        if both_vary and not correlate_by(spec, one.name, two.name, factor):
            yield Problem(
                "the model holds this correlation at 0.",
                where=render(call),
                fix=f"Write one correlated group term, or name both outcomes in [groups.{factor}] correlate.",
            )


def varies_by(spec: ModelSpec, label: str, factor: str) -> bool:
    """Return whether the coefficient of a label has group effects of a factor."""
    return _group_term(spec, spec.label_targets[label], factor) is not None


def _group_term(spec: ModelSpec, target: LabelTarget, factor: str) -> int | None:
    for number, group in enumerate(_equation(spec, target.outcome).parsed.groups):
        terms = {frozenset(render(part) for part in term.parts) for term in group.terms}
        if group.factor == factor and (target.term in terms or (not target.parts and group.intercept)):
            return number
    return None


def correlate_by(spec: ModelSpec, one: str, two: str, factor: str) -> bool:
    """Return whether the group effects of two labels share a correlation matrix."""
    a, b = spec.label_targets[one], spec.label_targets[two]
    if a.outcome != b.outcome:
        return {a.outcome, b.outcome} <= set(spec.group(factor).correlate)
    here, there = _group_term(spec, a, factor), _group_term(spec, b, factor)
    return here == there and here is not None and _equation(spec, a.outcome).parsed.groups[here].correlated


def _written_out(spec: ModelSpec) -> list[Problem]:
    """Report estimands that name each other in a circle, or are endless once those they name are written out.

    Sizes are counted, not made: twenty estimands that each double the one before are a million terms.
    """
    named = {
        name: [other for other in names_of_value(estimand.parsed) if other in spec.estimands]
        for name, estimand in spec.estimands.items()
    }
    try:
        order = tuple(TopologicalSorter(named).static_order())
    except CycleError as error:
        circle = " -> ".join(error.args[1][::-1])
        return [Problem(f"they refer to each other in a circle: {circle}.", where="[estimands]")]
    sizes: dict[str, int] = {}
    for name in order:
        sizes[name] = operators_in(spec.estimands[name].parsed) + sum(1 + sizes[other] for other in named[name])
    return [
        Problem(
            f"with the estimands it names written out it has more than {MAX_OPERATORS} operators and names, which "
            "is the limit.",
            where=f"[estimands.{name}]",
            fix="Write it shorter.",
        )
        for name in spec.estimands
        if sizes[name] > MAX_OPERATORS
    ]


def expand(spec: ModelSpec, expression: Expression) -> Expression:
    """Return an expression with every estimand it names written out."""

    def written_out(part: Expression) -> Expression | None:
        stated = spec.estimands.get(part.name) if isinstance(part, Name) else None
        return None if stated is None else expand(spec, stated.parsed)

    return rewrite(expression, written_out)


def answerable(estimands: Mapping[str, EstimandSpec], labels: Collection[str]) -> dict[str, EstimandSpec]:
    """Return the estimands that read none of these labels, nor an estimand that does."""
    left, gone = dict(estimands), set(labels)
    while True:
        lost = [name for name, own in left.items() if gone.intersection(names_of_value(own.parsed))]
        if not lost:
            return left
        gone |= set(lost)
        left = {name: own for name, own in left.items() if name not in lost}


def check_products(spec: ModelSpec, name: str) -> Iterator[Problem]:
    """Report products of paths that are no effect: through a non-linear link, or of paths that vary together."""
    expression = expand(spec, spec.estimands[name].parsed)
    stated = {
        frozenset(render(argument) for argument in call.arguments)
        for call in calls_in(expression)
        if call.function == "cov"
    }
    for (one, two), shown in products_in(expression):
        if one not in spec.labels or two not in spec.labels:
            continue
        outcomes = {spec.label_targets[label].outcome for label in (one, two)}
        curved = [e for e in spec.equation if e.outcome in outcomes and not e.kind.linear]
        if len(outcomes) < 2:
            continue
        if curved:
            yield (
                Problem(
                    f"{render(shown)} multiplies a path to {curved[0].outcome!r}, whose link is not linear "
                    f"({curved[0].family}): the product is no effect on any scale.",
                    fix="Compare predicted outcomes instead (g-formula), and report the paths one by one.",
                )
            )
        for factor in spec.factors if not isinstance(shown, Call) else ():
            together = varies_by(spec, one, factor) and varies_by(spec, two, factor)
            if together and correlate_by(spec, one, two, factor) and frozenset((factor, one, two)) not in stated:
                yield (
                    Problem(
                        f"{render(shown)} multiplies mean paths that vary together by {factor}: the mean of their "
                        f"product also has cov({factor}, {one}, {two}).",
                        fix=f"Write indirect({one}, {two}).",
                    )
                )
