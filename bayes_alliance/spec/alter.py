"""Variants of a model: terms added, taken away or exchanged, and the labels that name them with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bayes_alliance._messages import quote, unknown
from bayes_alliance.errors import SpecError
from bayes_alliance.spec.expressions import (
    Call,
    Expression,
    Formula,
    GroupTerm,
    Name,
    Operation,
    Term,
    render,
    render_group,
    render_term,
    write_formula,
)
from bayes_alliance.spec.formula import parse_formula
from bayes_alliance.spec.labels import LabelTarget
from bayes_alliance.spec.make import make_model
from bayes_alliance.spec.model import ModelSpec

type Terms = str | Mapping[str, str]
"""Formula text, of a model's only equation or by outcome."""


@dataclass(frozen=True)
class _Swap:
    """What is exchanged for what, and whether it was found anywhere."""

    old: Name | Call
    new: Name | Call


def alter_model(
    spec: ModelSpec,
    *,
    add: Terms | None = None,
    drop: Terms | None = None,
    swap: Mapping[str, str] | None = None,
    formula: Terms | None = None,
    variables: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> ModelSpec:
    """Return a variant of a model.

    Parameters
    ----------
    spec : ModelSpec
        Not changed.
    add, drop : str or mapping of str to str, optional
        Terms and group terms, ``"age + (1 | site)"``, of the only equation or by outcome.
    swap : mapping of str to str, optional
        A variable or call for another wherever it stands in formulas and labels: ``{"alliance": "lag(alliance)"}``.
        All exchanges are made at once; what is put in is not looked into again.
    formula : str or mapping of str to str, optional
        In place of an equation's whole formula, before anything is added or taken away.
    variables, labels : mapping of str to str, optional
        Declared variables and labels, new or in place of those of the same name.

    Returns
    -------
    ModelSpec
        Checked like a model file.

    Raises
    ------
    SpecError
        If an outcome, a term to drop or something to exchange does not occur, or the variant is no valid model.
    """
    problems: list[str] = []
    formulas = {equation.outcome: equation.parsed for equation in spec.equation}
    for outcome, text in _by_outcome(spec, "formula", formula, problems).items():
        formulas[outcome] = parse_formula(text)
    swaps = _swaps(swap or {}, problems)
    found: set[Expression] = set()
    formulas = {outcome: _exchange(stated, swaps, found) for outcome, stated in formulas.items()}
    targets = {name: _relabel(target, swaps) for name, target in spec.label_targets.items()}
    for lacking in [one.old for one in swaps if one.old not in found]:
        every = dict.fromkeys(render(part) for stated in formulas.values() for part in _parts(stated))
        problems.append(f"swap: {unknown('variable or call', render(lacking), every)}")
    for outcome, text in _by_outcome(spec, "drop", drop, problems).items():
        formulas[outcome] = _without(formulas[outcome], parse_formula(text), outcome, problems)
    for outcome, text in _by_outcome(spec, "add", add, problems).items():
        more = parse_formula(text)
        known = {term.key() for term in formulas[outcome].terms}
        terms = (*formulas[outcome].terms, *(term for term in more.terms if term.key() not in known))
        formulas[outcome] = replace(formulas[outcome], terms=terms, groups=(*formulas[outcome].groups, *more.groups))
    if problems:
        raise SpecError(problems, f"a variant of {spec.title!r}")
    content = spec.model_dump(mode="json", exclude_defaults=True)
    for equation in content["equation"]:
        if formulas[equation["outcome"]] != spec.equation[spec.outcomes.index(equation["outcome"])].parsed:
            equation["formula"] = write_formula(formulas[equation["outcome"]])
    content["variables"] = {**spec.variables, **(variables or {})}
    content["labels"] = {**{name: str(target) for name, target in targets.items()}, **(labels or {})}
    return make_model(content, f"a variant of {spec.title!r}")


def _by_outcome(spec: ModelSpec, what: str, given: Terms | None, problems: list[str]) -> dict[str, str]:
    """Return formula texts by outcome, those of outcomes that the model has."""
    if given is None:
        return {}
    if isinstance(given, str):
        if len(spec.equation) > 1:
            problems.append(f"{what} = {given!r}: the model has {quote(spec.outcomes)}; state it by outcome.")
            return {}
        return {spec.outcomes[0]: given}
    problems += [
        f"{what}: {unknown('outcome', outcome, spec.outcomes)}" for outcome in given if outcome not in spec.outcomes
    ]
    return {outcome: text for outcome, text in given.items() if outcome in spec.outcomes}


def _swaps(given: Mapping[str, str], problems: list[str]) -> tuple[_Swap, ...]:
    made = []
    for old, new in given.items():
        sides = [parse_formula(text).terms for text in (old, new)]
        if any(len(terms) != 1 or len(terms[0].parts) != 1 for terms in sides):
            problems.append(f"swap {old!r} for {new!r}: each side is one variable or one call.")
            continue
        made.append(_Swap(sides[0][0].parts[0], sides[1][0].parts[0]))
    return tuple(made)


def _exchange(formula: Formula, swaps: tuple[_Swap, ...], found: set[Expression]) -> Formula:
    def term(one: Term) -> Term:
        return Term(tuple(dict.fromkeys(_part(part, swaps, found) for part in one.parts)))

    groups = tuple(replace(group, terms=tuple(map(term, group.terms))) for group in formula.groups)
    return replace(formula, terms=tuple(dict.fromkeys(map(term, formula.terms))), groups=groups)


def _part(part: Name | Call, swaps: tuple[_Swap, ...], found: set[Expression]) -> Name | Call:
    changed = _expression(part, swaps, found)
    assert isinstance(changed, Name | Call)
    return changed


def _expression(expression: Expression, swaps: tuple[_Swap, ...], found: set[Expression]) -> Expression:
    for swap in swaps:
        if expression == swap.old:
            found.add(swap.old)
            return swap.new
    match expression:
        case Operation(operator, left, right):
            return Operation(operator, _expression(left, swaps, found), _expression(right, swaps, found))
        case Call(function, arguments, keywords):
            return Call(function, tuple(_expression(argument, swaps, found) for argument in arguments), keywords)
    return expression


def _relabel(target: LabelTarget, swaps: tuple[_Swap, ...]) -> LabelTarget:
    """Return a label that follows its term."""
    parts = set()
    for text, piece in target.parts:
        (one,) = parse_formula(text).terms
        parts.add((render(_part(one.parts[0], swaps, set())), piece))
    return replace(target, parts=frozenset(parts))


def _without(formula: Formula, gone: Formula, outcome: str, problems: list[str]) -> Formula:
    """Return a formula without some terms and group terms, each of which it must have."""
    terms, groups = {term.key(): term for term in formula.terms}, {_key(group): group for group in formula.groups}
    for term in gone.terms:
        if terms.pop(term.key(), None) is None:
            stated = [render_term(one) for one in formula.terms]
            problems.append(f"drop from {outcome}: {unknown('term', render_term(term), stated)}")
    for group in gone.groups:
        if groups.pop(_key(group), None) is None:
            stated = [render_group(one) for one in formula.groups]
            problems.append(f"drop from {outcome}: {unknown('group term', render_group(group), stated)}")
    return replace(formula, terms=tuple(terms.values()), groups=tuple(groups.values()))


def _key(group: GroupTerm) -> tuple[str, bool, frozenset[frozenset[Name | Call]], bool]:
    return group.factor, group.intercept, frozenset(term.key() for term in group.terms), group.correlated


def _parts(formula: Formula) -> list[Name | Call]:
    terms = [*formula.terms, *(term for group in formula.groups for term in group.terms)]
    return [part for term in terms for part in term.parts]
