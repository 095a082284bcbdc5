"""A variable or call in place of another: in expressions, labels, targets of priors, and a whole model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bayes_alliance.spec.expressions import (
    Call,
    Expression,
    Formula,
    Name,
    Operation,
    Term,
    Text,
    quote_name,
    render,
    render_term,
    write_formula,
)
from bayes_alliance.spec.formula import parse_formula
from bayes_alliance.spec.labels import parse_label, rewrite, without_brackets
from bayes_alliance.spec.model import EquationSpec, EstimandSpec, ModelSpec
from bayes_alliance.spec.priors import parse_target


@dataclass(frozen=True)
class Swap:
    """What is exchanged for what."""

    old: Name | Call
    new: Name | Call


type Swaps = Sequence[Swap]


def exchange_part(part: Name | Call, swaps: Swaps, found: set[Expression]) -> Name | Call:
    """Return a part of a term with every exchange made, and add to ``found`` what was exchanged."""
    changed = _expression(part, swaps, found)
    assert isinstance(changed, Name | Call)
    return changed


def _expression(expression: Expression, swaps: Swaps, found: set[Expression]) -> Expression:
    for swap in swaps:
        if expression == swap.old:
            found.add(swap.old)
            return swap.new
    match expression:
        case Operation(operator, left, right):
            return Operation(operator, _expression(left, swaps, found), _expression(right, swaps, found))
        case Call("effect", (outcome, factor, Text(effect)), keywords):
            return Call("effect", (outcome, factor, Text(_effect(effect, swaps))), keywords)
        case Call(function, arguments, keywords):
            named = tuple((key, _expression(value, swaps, found)) for key, value in keywords)
            return Call(function, tuple(_expression(argument, swaps, found) for argument in arguments), named)
    return expression


def _effect(text: str, swaps: Swaps) -> str:
    """Return the name of a group effect, as effect() has it in quotes, with its variable exchanged."""
    return next((render(swap.new) for swap in swaps if text == render(swap.old)), text)


def exchange_label(text: str, swaps: Swaps) -> str:
    """Return a label that follows its term; as it was written where nothing of it is exchanged."""
    target = parse_label(text)
    if not target.parts:
        return text
    (term,) = parse_formula(without_brackets(text.partition("~")[2])).terms
    moved = [exchange_part(part, swaps, set()) for part in term.parts]
    if tuple(moved) == term.parts:
        return text
    pieces = dict(target.parts)
    parts = []
    for old, new in zip(term.parts, moved, strict=True):
        piece = pieces[render(old)]
        parts.append(f"{render(new, quote_name)}[{piece}]" if piece else render(new, quote_name))
    return f"{target.outcome} ~ {':'.join(parts)}"


def exchange_target(text: str, outcome: str, swaps: Swaps) -> str:
    """Return what a prior is on, following its term where that is exchanged.

    Parameters
    ----------
    text : str
        Such as ``"alliance: b session"`` or ``"sd patient session"``.
    outcome : str
        Any outcome of the model, to read the term of a prior on all of them.
    swaps : sequence of Swap
    """
    target = parse_target(text)
    if target.kind not in ("b", "sd") or target.effect is None:
        return text
    moved = exchange_label(f"{outcome} ~ {target.effect}", swaps).partition(" ~ ")[2]
    return text if moved == target.effect else str(replace(target, effect=moved))


def exchange_everywhere(spec: ModelSpec, swaps: Swaps, slopes: Swaps | None = None) -> ModelSpec:
    """Return a model with a variable exchanged wherever it stands: formulas, labels, estimands, priors, shrinkage.

    Parameters
    ----------
    spec : ModelSpec
    swaps : sequence of Swap
    slopes : sequence of Swap, optional
        Those of group effects and their priors, where they are others.
    """
    of_groups = swaps if slopes is None else slopes
    equations = tuple(_equation(equation, swaps, of_groups) for equation in spec.equation)
    first = spec.outcomes[0]

    def target(text: str) -> str:
        return exchange_target(text, first, of_groups if parse_target(text).kind == "sd" else swaps)

    moderators = {swap.old.name: swap.new for swap in swaps if isinstance(swap.old, Name)}
    return spec.model_copy(
        update={
            "equation": equations,
            "labels": {name: exchange_label(text, swaps) for name, text in spec.labels.items()},
            "estimands": {name: _estimand(own, moderators) for name, own in spec.estimands.items()},
            "prior": tuple(own.model_copy(update={"on": target(own.on)}) for own in spec.prior),
            "shrink": {
                name: own.model_copy(update={"terms": tuple(_term(text, swaps) for text in own.terms)})
                for name, own in spec.shrink.items()
            },
        }
    )


def exchange_formula(formula: Formula, swaps: Swaps, slopes: Swaps) -> Formula:
    """Return a formula with exchanges made in its terms, and others in its group terms."""

    def term(one: Term, own: Swaps) -> Term:
        return Term(tuple(dict.fromkeys(exchange_part(part, own, set()) for part in one.parts)))

    groups = tuple(
        replace(group, terms=tuple(dict.fromkeys(term(one, slopes) for one in group.terms))) for group in formula.groups
    )
    return replace(formula, terms=tuple(dict.fromkeys(term(one, swaps) for one in formula.terms)), groups=groups)


def _equation(equation: EquationSpec, swaps: Swaps, slopes: Swaps) -> EquationSpec:
    update: dict[str, object] = {}
    formulas = {}
    for own in equation.linear_predictors:
        moved = exchange_formula(own.parsed, swaps, slopes)
        text = own.formula if moved == own.parsed else write_formula(moved)
        if own.of_mean:
            update["formula"] = text
        elif own.parameter == "sigma" and equation.sigma is not None:
            update["sigma"] = text
        else:
            formulas[own.parameter] = text
    return equation.model_copy(update={**update, "formulas": {**equation.formulas, **formulas}})


def _estimand(own: EstimandSpec, moderators: Mapping[str, Name | Call]) -> EstimandSpec:
    """Return an estimand with its moderators exchanged; one for which a call stands keeps the values it is set to."""
    if not set(moderators) & set(own.at):
        return own
    moved = rewrite(own.parsed, lambda p: moderators.get(p.name) if isinstance(p, Name) and p.name in own.at else None)
    names = {old: new.name for old, new in moderators.items() if isinstance(new, Name)}
    return own.model_copy(
        update={"value": render(moved), "at": {names.get(name, name): values for name, values in own.at.items()}}
    )


def _term(text: str, swaps: Swaps) -> str:
    parsed = parse_formula(text).terms
    moved = [Term(tuple(exchange_part(part, swaps, set()) for part in term.parts)) for term in parsed]
    return text if tuple(moved) == parsed else " + ".join(render_term(term, quote_name) for term in moved)
