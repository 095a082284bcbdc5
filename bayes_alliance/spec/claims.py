"""Claims that do not fit together: names nothing answers to, circles, correlations and estimands that mean nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from bayes_alliance._messages import quote, unknown
from bayes_alliance.names import ROLES
from bayes_alliance.outcome.contract import Parameter
from bayes_alliance.outcome.families import FAMILY
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
from bayes_alliance.spec.model import EquationSpec, EstimandSpec, GroupSpec, ModelSpec, PredictorSpec
from bayes_alliance.spec.modelled import check_modelled
from bayes_alliance.spec.order import find_cycle
from bayes_alliance.spec.reading import current_values_in
from bayes_alliance.spec.residual import check_correlated, check_residual
from bayes_alliance.spec.shrink import check_shrinkage

_WORD = re.compile(r"[^\W\d]\w*\Z")


MOST_ENTRIES = 500
"""Numbers of one estimand: combinations of the values in ``at``, and contrasts of them."""


def check_claims(spec: ModelSpec) -> list[str]:
    """Return every problem of a model whose texts all parse."""
    problems = [] if spec.equation else ["equation: a model needs at least one [[equation]]."]
    problems += _variables(spec) + _equations(spec) + _groups(spec)
    cycle = find_cycle(spec)
    if cycle:
        problems.append(
            f"Outcomes predict each other in a circle: {' -> '.join(cycle)}. An outcome may predict later ones only; "
            f"lag() reads an earlier session and makes no circle."
        )
        return problems
    problems += check_modelled(spec) + check_shrinkage(spec) + check_residual(spec)
    labels = _labels(spec)
    return problems + (labels or _estimands(spec))


def _variables(spec: ModelSpec) -> list[str]:
    used = {name for equation in spec.equation for name in equation.variables}
    used |= {group.by for group in spec.groups.values() if group.by}
    problems = []
    for name in spec.variables:
        if name in ROLES:
            problems.append(f"[variables] {name!r} is the name of a role; choose another.")
        if name not in used:
            problems.append(f"[variables] {name!r} is declared and used in no equation.")
    return problems + _survival(spec)


def _survival(spec: ModelSpec) -> list[str]:
    """Report survive() where it is no 0/1 outcome of sessions."""
    problems = []
    for name, call in spec.declared.items():
        if call.function != "survive":
            continue
        where = f"[variables] {name} = {spec.variables[name]}"
        if any(name in equation.predictors for equation in spec.equation):
            problems.append(f"{where} is an outcome; it predicts nothing.")
        for equation in spec.equation:
            if equation.outcome == name and (equation.unit != "session" or not equation.kind.binary):
                problems.append(
                    f'{where} is 0 or 1 in every session; state unit = "session" and family = "hazard" (or '
                    f'"bernoulli"), not {equation.unit!r} and {equation.family!r}.'
                )
    return problems


def _equations(spec: ModelSpec) -> list[str]:
    problems = []
    for outcome in dict.fromkeys(spec.outcomes):
        if spec.outcomes.count(outcome) > 1:
            problems.append(f"Outcome {outcome!r} has {spec.outcomes.count(outcome)} equations; state one.")
    for equation in spec.equation:
        read = [name for t in equation.parsed.terms for part in t.parts for name in current_values_in(part)]
        if equation.outcome in read:
            problems.append(f"Outcome {equation.outcome!r} predicts itself in {equation.formula!r}.")
        if equation.sigma and not equation.kind.spread:
            problems.append(f"sigma = {equation.sigma!r}: a {equation.family} outcome has no residual SD.")
        problems += _scale(equation) + _formulas(spec, equation)
        if equation.centre and not equation.kind.linear:
            problems.append(
                f"centre = {equation.centre!r}: a {equation.family} outcome is {equation.kind.values} and cannot be "
                f"centred."
            )
    return problems


def _formulas(spec: ModelSpec, equation: EquationSpec) -> list[str]:
    """Report formulas of parameters that the family has not, and those that read what they cannot."""
    own = {parameter.name: parameter for parameter in equation.kind.parameters}
    problems = []
    for name, part in equation.parameters.items():
        where = f"{name} = {part.formula!r}"
        if name == "sigma" and not equation.kind.spread:
            continue  # which is said of any sigma
        if name not in own:
            having = [other.name for other in FAMILY.values() if name in other.shapes]
            problems.append(
                f"{where}: a {equation.family} outcome has no {name}. Its parameters: {quote(own) or 'none'}. "
                f"Families with {name}: {quote(having)}."
            )
            continue
        problems += _formula(spec, part, own[name], where)
    return problems


def _formula(spec: ModelSpec, part: PredictorSpec, parameter: Parameter, where: str) -> list[str]:
    problems = [
        f"{where} reads the outcome {name!r}; read predictors." for name in spec.outcomes if name in part.predictors
    ]
    calls = {call.function for term in part.parsed.every_term for piece in term.parts for call in calls_in(piece)}
    if not part.parsed.intercept:
        at_zero = 1 if parameter.link == "log" else 0.5
        problems.append(
            f"{where} has no intercept: the {parameter.short} at predictors of 0 would be {at_zero:g}. Leave out '0 +'."
        )
    if "latent" in part.formula:
        problems.append(f"{where} reads latent means; take observed ones.")
    if calls & {"mi", "me", "mo"}:
        problems.append(f"{where} reads mi(), me() or mo(); read observed predictors.")
    shared = [factor for factor in part.factors if spec.group(factor).members]
    if shared:
        problems.append(f"{where}: rows belong to several levels of {quote(shared)}; let means alone vary by it.")
    if "surface" in calls:
        problems.append(f"{where}: surface() belongs into the formula of the mean.")
    return problems


def _scale(equation: EquationSpec) -> list[str]:
    """Report bounds and trials that are lacking, of no use to the family, or none."""
    kind, bounds, trials = equation.kind, equation.bounds, equation.trials
    where = f"Equation of {equation.outcome!r}"
    problems = []
    if kind.bounds == "none" and bounds is not None:
        having = [name for name, other in FAMILY.items() if other.bounds != "none"]
        problems.append(f"{where}: family {kind.name} has no bounds; families that do: {quote(having)}.")
    if kind.trials and trials is None:
        problems.append(f"{where}: family {kind.name} needs trials, a number or the variable that holds it.")
    if not kind.trials and trials is not None:
        problems.append(f"{where}: family {kind.name} has no trials; family binomial does.")
    problems += bounds_problems(equation)
    if not kind.intercept and not equation.parsed.intercept:
        problems.append(f"{where}: thresholds stand for the intercept of family {kind.name}; leave out '0 +'.")
    return problems


def bounds_problems(equation: EquationSpec) -> list[str]:
    """Report bounds that are none, or that the family of an equation cannot have."""
    kind, bounds, where = equation.kind, equation.bounds, f"Equation of {equation.outcome!r}"
    problems = []
    if bounds is not None and not bounds[0] < bounds[1]:
        problems.append(f"{where}: bounds = [{bounds[0]:g}, {bounds[1]:g}]; the lower one comes first.")
    elif bounds is not None and kind.bounds != "none":
        open_ends = [value for value in bounds if math.isinf(value)]
        if len(open_ends) == 2 or (open_ends and not kind.open_bounds):
            problems.append(f"{where}: bounds = [{bounds[0]:g}, {bounds[1]:g}]; family {kind.name} needs an end there.")
        if kind.whole and not open_ends and not all(float(value).is_integer() for value in bounds):
            problems.append(f"{where}: bounds = [{bounds[0]:g}, {bounds[1]:g}]; categories are whole numbers.")
    return problems


def _groups(spec: ModelSpec) -> list[str]:
    problems = []
    for factor, group in spec.groups.items():
        if factor not in spec.factors:
            problems.append(
                f"[groups.{factor}] belongs to no group term. {unknown('grouping factor', factor, spec.factors)}"
            )
            continue
        known = [part.name for part in spec.linear_predictors]
        problems += check_correlated(known, f"[groups.{factor}] correlate", group.correlate) + _members(factor, group)
        for part in spec.linear_predictors:
            terms = [term for term in part.parsed.groups if term.factor == factor]
            effects = sum(term.intercept + len(term.terms) for term in terms)
            if part.name in group.correlate and not terms:
                problems.append(
                    f"[groups.{factor}] correlate: {part.name!r} has no effects by {factor}. Effects of different "
                    f"factors do not correlate; add (1 | {factor}) to its formula, or leave it out."
                )
            if part.name in group.correlate and (len(terms) > 1 or (effects > 1 and not terms[0].correlated)):
                problems.append(
                    f"[groups.{factor}] correlate: the effects of {part.name!r} do not correlate among "
                    f"themselves. Write them as one term with a single bar, such as (1 + session | {factor})."
                )
    return problems


def _members(factor: str, group: GroupSpec) -> list[str]:
    where, problems = f"[groups.{factor}]", []
    if group.members and (group.members[0] != factor or len(set(group.members)) < 2):
        problems.append(f"{where} members = {list(group.members)}: {factor!r} first, then other columns of its ids.")
    if group.weights and len(group.weights) != len(group.members):
        problems.append(f"{where} weights: {len(group.weights)} for {len(group.members)} members; name one for each.")
    if group.members and (group.by or ":" in factor):
        problems.append(f"{where} members: rows of several levels have no single stratum; leave by and ':' out.")
    return problems


def _labels(spec: ModelSpec) -> list[str]:
    problems = []
    for name, target in spec.label_targets.items():
        if not _WORD.match(name):
            problems.append(f"[labels] {name!r} is not a word; use letters, digits and underscores.")
        known = [part.name for part in spec.linear_predictors]
        if target.outcome not in known:
            problems.append(f"[labels] {name}: {unknown('outcome', target.outcome, known)}")
            continue
        terms = _terms(_equation(spec, target.outcome))
        if target.parts and target.term not in terms.values():
            problems.append(
                f"[labels] {name}: {unknown('term', ':'.join(sorted(target.term)), terms)} It is a term of the "
                f"equation of {target.outcome!r}."
            )
        if not target.parts and not _equation(spec, target.outcome).parsed.intercept:
            problems.append(f"[labels] {name}: the equation of {target.outcome!r} has no intercept.")
    return problems


def _equation(spec: ModelSpec, outcome: str) -> PredictorSpec:
    return next(part for part in spec.linear_predictors if part.name == outcome)


def _terms(equation: PredictorSpec) -> dict[str, frozenset[str]]:
    """Return the terms of an equation as text, each with its parts."""
    terms = [[render(part) for part in term.parts] for term in equation.parsed.terms]
    return {":".join(parts): frozenset(parts) for parts in terms}


def _estimands(spec: ModelSpec) -> list[str]:
    problems: list[str] = []
    for name, estimand in spec.estimands.items():
        where = f"[estimands.{name}]"
        if not _WORD.match(name):
            problems.append(f"{where} is not a word; use letters, digits and underscores.")
        if name in spec.labels:
            problems.append(f"{where} has the name of a label; choose another.")
        problems += [f"{where}: {problem}" for problem in _estimand(spec, name, estimand)]
    problems = problems or _written_out(spec)
    if problems:
        return problems
    return [f"[estimands.{name}]: {problem}" for name in spec.estimands for problem in check_products(spec, name)]


def _estimand(spec: ModelSpec, name: str, estimand: EstimandSpec) -> Iterator[str]:
    valid = [*spec.labels, *(other for other in spec.estimands if other != name), *estimand.at]
    for read in dict.fromkeys(names_of_value(estimand.parsed)):
        if read not in valid:
            yield unknown("label, estimand or moderator", read, valid)
    for moderator, values in estimand.at.items():
        if moderator in spec.labels or moderator in spec.estimands:
            yield f"the moderator {moderator!r} of 'at' has the name of a label or estimand; choose another."
        if moderator not in names_of_value(estimand.parsed):
            yield f"the moderator {moderator!r} of 'at' does not occur in {estimand.value!r}."
        if not values or len(set(values)) < len(values):
            yield f"'at' needs different values for {moderator!r}."
    if estimand.entries > MOST_ENTRIES:
        yield f"'at' states more than {MOST_ENTRIES} combinations of values and contrasts of them, which is the limit."
    if estimand.contrast and not any(len(values) > 1 for values in estimand.at.values()):
        yield "contrast = true needs two values or more of a moderator in 'at'."
    if estimand.rope is not None and not estimand.rope[0] < estimand.rope[1]:
        yield f"rope = {list(estimand.rope)}: the lower bound comes first."
    for call in calls_in(estimand.parsed):
        yield from _call(spec, call)


def _call(spec: ModelSpec, call: Call) -> Iterator[str]:
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
            yield f"{render(call)} takes labels of coefficients; {render(argument)!r} is none."
        elif call.function in ("sd", "cov", "cor") and not varies_by(spec, argument.name, named):
            target = spec.label_targets[argument.name]
            yield (
                f"{render(call)}: {argument.name!r} ({target}) does not vary by {named}. Add its term to the group "
                f"term of {named!r} in the equation of {target.outcome!r}."
            )
    if call.function in ("cov", "cor"):
        yield from _held_at_zero(spec, call, named)


def _held_at_zero(spec: ModelSpec, call: Call, factor: str) -> Iterator[str]:
    one, two = call.arguments[1:]
    if isinstance(one, Name) and isinstance(two, Name) and {one.name, two.name} <= set(spec.labels):
        both_vary = varies_by(spec, one.name, factor) and varies_by(spec, two.name, factor)
        if both_vary and not correlate_by(spec, one.name, two.name, factor):
            yield (
                f"{render(call)}: the model holds this correlation at 0. Write one correlated group term, or name "
                f"both outcomes in [groups.{factor}] correlate."
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


def _written_out(spec: ModelSpec) -> list[str]:
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
        return [f"[estimands] refer to each other in a circle: {' -> '.join(error.args[1][::-1])}."]
    sizes: dict[str, int] = {}
    for name in order:
        sizes[name] = operators_in(spec.estimands[name].parsed) + sum(1 + sizes[other] for other in named[name])
    return [
        f"[estimands.{name}]: with the estimands it names written out it has more than {MAX_OPERATORS} operators and "
        f"names, which is the limit. Write it shorter."
        for name in spec.estimands
        if sizes[name] > MAX_OPERATORS
    ]


def expand(spec: ModelSpec, expression: Expression) -> Expression:
    """Return an expression with every estimand it names written out."""

    def written_out(part: Expression) -> Expression | None:
        stated = spec.estimands.get(part.name) if isinstance(part, Name) else None
        return None if stated is None else expand(spec, stated.parsed)

    return rewrite(expression, written_out)


def check_products(spec: ModelSpec, name: str) -> Iterator[str]:
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
                f"{render(shown)} multiplies a path to {curved[0].outcome!r}, whose link is not linear "
                f"({curved[0].family}): the product is no effect on any scale. Compare predicted outcomes instead "
                f"(g-formula), and report the paths one by one."
            )
        for factor in spec.factors if not isinstance(shown, Call) else ():
            together = varies_by(spec, one, factor) and varies_by(spec, two, factor)
            if together and correlate_by(spec, one, two, factor) and frozenset((factor, one, two)) not in stated:
                yield (
                    f"{render(shown)} multiplies mean paths that vary together by {factor}: the mean of their product "
                    f"also has cov({factor}, {one}, {two}). Write indirect({one}, {two})."
                )
