"""What must hold of a whole model: names that exist, no circles, families with what they need."""

from __future__ import annotations

import math
from dataclasses import replace

from bayes_alliance._messages import quote, unknown
from bayes_alliance.findings import Problem
from bayes_alliance.names import ROLES, SESSIONS, VISITS
from bayes_alliance.outcome.contract import Parameter
from bayes_alliance.outcome.families import FAMILY, PROBIT
from bayes_alliance.spec.equation_order import find_cycle
from bayes_alliance.spec.estimand_validation import validate_estimands
from bayes_alliance.spec.expressions import Name, Text, calls_in, render
from bayes_alliance.spec.model import EquationSpec, ModelSpec, PredictorSpec
from bayes_alliance.spec.modelled_values import check_modelled
from bayes_alliance.spec.parts import GroupSpec
from bayes_alliance.spec.residual import check_correlated, check_residual
from bayes_alliance.spec.shrinkage import check_shrinkage
from bayes_alliance.spec.variables_read import current_values_in


def validate_model(spec: ModelSpec) -> list[Problem]:
    """Return every problem of a model whose texts all parse."""
    problems = [] if spec.equation else [Problem("a model needs at least one [[equation]].", where="equation")]
    problems += _variables(spec) + _equations(spec) + _groups(spec) + _optional(spec)
    cycle = find_cycle(spec)
    if cycle:
        problems.append(
            Problem(
                f"Outcomes predict each other in a circle: {' -> '.join(cycle)}. An outcome may predict later "
                "ones only; lag() reads an earlier session and makes no circle."
            )
        )
        return problems
    problems += check_modelled(spec) + check_shrinkage(spec) + check_residual(spec)
    return problems + validate_estimands(spec)


def _variables(spec: ModelSpec) -> list[Problem]:
    used = {name for equation in spec.equation for name in equation.variables}
    used |= {group.by for group in spec.groups.values() if group.by}
    problems = []
    for name in spec.variables:
        if name in ROLES:
            problems.append(Problem(f"[variables] {name!r} is the name of a role.", fix="Choose another."))
        if name not in used:
            problems.append(Problem(f"[variables] {name!r} is declared and used in no equation."))
    return problems + _survival(spec)


def _optional(spec: ModelSpec) -> list[Problem]:
    """Report what a study may lack that the model cannot do without, or does not read."""
    predictors = {name for equation in spec.equation for name in equation.variables} - set(spec.outcomes)
    held = {name for e in spec.equation for name in (e.centre, e.trials, e.error, *e.raters) if isinstance(name, str)}
    problems = [
        Problem(
            f"optional = {name!r} is no predictor of the model.",
            allowed=f"Its predictors: {quote(sorted(predictors - held))}.",
        )
        for name in spec.optional
        if name not in predictors - held
    ]
    units = {equation.unit for equation in spec.equation}
    read = {*predictors, *spec.outcomes, *spec.factors, *units, SESSIONS, VISITS}
    problems += [
        Problem(f"otherwise names {name!r}, which the model does not read.")
        for name in spec.otherwise
        if name not in read
    ]
    return problems


def _survival(spec: ModelSpec) -> list[Problem]:
    """Report survive() where it is no 0/1 outcome of sessions."""
    problems = []
    for name, call in spec.declared.items():
        if call.function != "survive":
            continue
        where = f"[variables] {name} = {spec.variables[name]}"
        stated = dict(call.keywords)
        entry = stated.get("entry")
        if "start" in stated and entry is not None:
            problems.append(
                Problem("start= is of all patients and entry= of each.", where=where, fix="State one of the two.")
            )
        if entry is not None and not isinstance(entry, Name) and entry != Text("first row"):
            problems.append(
                Problem(
                    f"entry={render(entry)} is none.", where=where, allowed='A variable of patients, or "first row".'
                )
            )
        if any(name in equation.predictors for equation in spec.equation):
            problems.append(Problem(f"{where} is an outcome; it predicts nothing."))
        for equation in spec.equation:
            if equation.outcome == name and (equation.unit != "session" or not equation.kind.binary):
                problems.append(
                    Problem(
                        f"{where} is 0 or 1 in every session.",
                        fix=(
                            'State unit = "session" and family = "hazard" (or "bernoulli"), not '
                            f"{equation.unit!r} and {equation.family!r}."
                        ),
                    )
                )
    return problems


def _equations(spec: ModelSpec) -> list[Problem]:
    problems = []
    for outcome in dict.fromkeys(spec.outcomes):
        if spec.outcomes.count(outcome) > 1:
            problems.append(
                Problem(f"Outcome {outcome!r} has {spec.outcomes.count(outcome)} equations.", fix="State one.")
            )
    for equation in spec.equation:
        read = [name for t in equation.parsed.terms for part in t.parts for name in current_values_in(part)]
        if equation.outcome in read:
            problems.append(Problem(f"Outcome {equation.outcome!r} predicts itself in {equation.formula!r}."))
        if equation.sigma and not equation.kind.spread:
            problems.append(
                Problem(f"a {equation.family} outcome has no residual SD.", where=f"sigma = {equation.sigma!r}")
            )
        problems += _link(equation) + _scale(equation) + _formulas(spec, equation)
        if equation.centre and not equation.kind.linear:
            problems.append(
                Problem(
                    f"a {equation.family} outcome is {equation.kind.values} and cannot be centred.",
                    where=f"centre = {equation.centre!r}",
                )
            )
    return problems


def _link(equation: EquationSpec) -> list[Problem]:
    """Report a link that the family does not take."""
    if equation.link is None or equation.family in PROBIT:
        return []
    return [
        Problem(
            f"family {equation.family} has one link, {equation.kind.link}, and takes no other.",
            where=f"link = {equation.link!r} of {equation.outcome!r}",
            allowed=f'Families that take link = "logit" or "probit": {quote(PROBIT)}.',
            fix="Leave out link, or take one of these families.",
        )
    ]


def _formulas(spec: ModelSpec, equation: EquationSpec) -> list[Problem]:
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
                Problem(
                    f"a {equation.family} outcome has no {name}.",
                    where=where,
                    allowed=f"Its parameters: {quote(own) or 'none'}. Families with {name}: {quote(having)}.",
                )
            )
            continue
        problems += _formula(spec, part, own[name], where)
    return problems


def _formula(spec: ModelSpec, part: PredictorSpec, parameter: Parameter, where: str) -> list[Problem]:
    problems = [
        Problem(f"{where} reads the outcome {name!r}.", fix="Read predictors.")
        for name in spec.outcomes
        if name in part.predictors
    ]
    calls = {call.function for term in part.parsed.every_term for piece in term.parts for call in calls_in(piece)}
    if not part.parsed.intercept:
        at_zero = 1 if parameter.link == "log" else 0.5
        problems.append(
            Problem(
                f"{where} has no intercept: the {parameter.short} at predictors of 0 would be {at_zero:g}.",
                fix="Leave out '0 +'.",
            )
        )
    if "latent" in part.formula:
        problems.append(Problem(f"{where} reads latent means.", fix="Take observed ones."))
    if calls & {"mi", "me", "mo"}:
        problems.append(Problem(f"{where} reads mi(), me() or mo().", fix="Read observed predictors."))
    shared = [factor for factor in part.factors if spec.group(factor).members]
    if shared:
        problems.append(
            Problem(
                f"rows belong to several levels of {quote(shared)}.", where=where, fix="Let means alone vary by it."
            )
        )
    if "surface" in calls:
        problems.append(Problem("surface() belongs into the formula of the mean.", where=where))
    return problems


def _scale(equation: EquationSpec) -> list[Problem]:
    """Report bounds and trials that are lacking, of no use to the family, or none."""
    kind, bounds, trials = equation.kind, equation.bounds, equation.trials
    where = f"Equation of {equation.outcome!r}"
    problems = []
    if kind.bounds == "none" and bounds is not None:
        having = [name for name, other in FAMILY.items() if other.bounds != "none"]
        problems.append(Problem(f"family {kind.name} has no bounds.", where, f"Families that do: {quote(having)}."))
    if kind.trials and trials is None:
        problems.append(
            Problem(f"family {kind.name} needs trials, a number or the variable that holds it.", where=where)
        )
    if not kind.trials and trials is not None:
        problems.append(Problem(f"family {kind.name} has no trials; family binomial does.", where=where))
    problems += bounds_problems(equation)
    if not kind.intercept and not equation.parsed.intercept:
        problems.append(
            Problem(f"thresholds stand for the intercept of family {kind.name}.", where=where, fix="Leave out '0 +'.")
        )
    return problems


def bounds_problems(equation: EquationSpec) -> list[Problem]:
    """Report bounds that are none, or that the family of an equation cannot have."""
    kind, bounds, where = equation.kind, equation.bounds, f"Equation of {equation.outcome!r}"
    problems = []
    if bounds is not None and not bounds[0] < bounds[1]:
        problems.append(Problem(f"bounds = [{bounds[0]:g}, {bounds[1]:g}]; the lower one comes first.", where=where))
    elif bounds is not None and kind.bounds != "none":
        open_ends = [value for value in bounds if math.isinf(value)]
        if len(open_ends) == 2 or (open_ends and not kind.open_bounds):
            problems.append(
                Problem(f"bounds = [{bounds[0]:g}, {bounds[1]:g}]; family {kind.name} needs an end there.", where=where)
            )
        if kind.whole and not open_ends and not all(float(value).is_integer() for value in bounds):
            problems.append(
                Problem(f"bounds = [{bounds[0]:g}, {bounds[1]:g}]; categories are whole numbers.", where=where)
            )
    return problems


def _groups(spec: ModelSpec) -> list[Problem]:
    problems = []
    for factor, group in spec.groups.items():
        if factor not in spec.factors:
            nearest = unknown("grouping factor", factor, spec.factors)
            problems.append(replace(nearest, what=f"[groups.{factor}] belongs to no group term. {nearest.what}"))
            continue
        known = [part.name for part in spec.linear_predictors]
        problems += check_correlated(known, f"[groups.{factor}] correlate", group.correlate) + _members(factor, group)
        for part in spec.linear_predictors:
            terms = [term for term in part.parsed.groups if term.factor == factor]
            effects = sum(term.intercept + len(term.terms) for term in terms)
            if part.name in group.correlate and not terms:
                problems.append(
                    Problem(
                        f"[groups.{factor}] correlate: {part.name!r} has no effects by {factor}. Effects of "
                        "different factors do not correlate.",
                        fix=f"Add (1 | {factor}) to its formula, or leave it out.",
                    )
                )
            if part.name in group.correlate and (len(terms) > 1 or (effects > 1 and not terms[0].correlated)):
                problems.append(
                    Problem(
                        f"[groups.{factor}] correlate: the effects of {part.name!r} do not correlate among themselves.",
                        fix=f"Write them as one term with a single bar, such as (1 + session | {factor}).",
                    )
                )
    return problems


def _members(factor: str, group: GroupSpec) -> list[Problem]:
    where, problems = f"[groups.{factor}]", []
    if group.members and (group.members[0] != factor or len(set(group.members)) < 2):
        problems.append(
            Problem(
                "its members are not two or more columns of one kind of ids.",
                where=f"{where} members = {list(group.members)}",
                allowed=f"{factor!r} first, then other columns of its ids.",
            )
        )
    if group.weights and len(group.weights) != len(group.members):
        problems.append(
            Problem(
                f"{len(group.weights)} for {len(group.members)} members.",
                where=f"{where} weights",
                fix="Name one for each.",
            )
        )
    if group.members and (group.by or ":" in factor):
        problems.append(
            Problem(
                "rows of several levels have no single stratum.", where=f"{where} members", fix="Leave by and ':' out."
            )
        )
    return problems
