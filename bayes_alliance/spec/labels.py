"""Labels and estimands as claims: names for coefficients, and arithmetic over them. Numbers come after the fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, product

from bayes_alliance._messages import shorten
from bayes_alliance.errors import SpecError
from bayes_alliance.names import INTERCEPT
from bayes_alliance.spec.expressions import Call, Expression, Name, Operation, Term, render
from bayes_alliance.spec.formula import parse_arithmetic, parse_formula
from bayes_alliance.spec.functions import ESTIMAND_FUNCTIONS


@dataclass(frozen=True)
class LabelTarget:
    """The coefficient a label names: an outcome and the parts of a term.

    Each part is formula text and, in a bracket, the level of a factor or the piece of a call with several columns;
    the bracket is empty where none was written. No part at all is the intercept.
    """

    outcome: str
    parts: frozenset[tuple[str, str]]

    @property
    def term(self) -> frozenset[str]:
        """Return the parts without their brackets: what the term is called in the formula."""
        return frozenset(part for part, _ in self.parts)

    def __str__(self) -> str:
        parts = [f"{part}[{piece}]" if piece else part for part, piece in sorted(self.parts)]
        return f"{self.outcome} ~ {':'.join(parts) or '1'}"


_BRACKET = re.compile(r"\[([^\[\]]*)\]")


def without_brackets(text: str) -> str:
    """Return a term without the levels and pieces in its brackets."""
    return _BRACKET.sub("", text)


def parse_label(text: str) -> LabelTarget:
    """Parse ``outcome ~ term``, such as ``inhibition ~ session:condition[MBCT]``; ``outcome ~ 1`` is the intercept.

    Raises
    ------
    SpecError
        If the text is not an outcome, a tilde and one term.
    """
    outcome, tilde, right = (piece.strip() for piece in text.partition("~"))
    if not tilde or not outcome or not right:
        raise SpecError(f"Label {shorten(text)} is not written outcome ~ term, such as 'depression ~ alliance'.")
    if right in ("1", INTERCEPT):
        return LabelTarget(outcome, frozenset())
    terms = parse_formula(without_brackets(right)).terms
    if len(terms) != 1 or len(terms[0].parts) != len(_split_product(right)):
        raise SpecError(
            f"Label {shorten(text)} names no single term. Write one, such as 'depression ~ session:alliance'."
        )
    return LabelTarget(outcome, frozenset(_with_pieces(right, terms[0])))


def _with_pieces(text: str, term: Term) -> Iterator[tuple[str, str]]:
    """Yield each part of a term with the bracket that follows it in the text."""
    chunks = _split_product(text)
    for part, chunk in zip(term.parts, chunks, strict=True):
        found = _BRACKET.search(chunk)
        yield render(part), found.group(1).strip() if found else ""


def _split_product(text: str) -> list[str]:
    """Split at the colons that stand outside brackets."""
    depth, chunks = 0, [""]
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character == ":" and depth == 0:
            chunks.append("")
        else:
            chunks[-1] += character
    return chunks


def parse_estimand(text: str) -> Expression:
    """Parse the value of an estimand, such as ``a * b + cov(patient, a, b)``.

    Raises
    ------
    SpecError
        If it is not arithmetic over names, numbers and the functions of ``ESTIMAND_FUNCTIONS``.
    """
    return parse_arithmetic(text, ESTIMAND_FUNCTIONS)


def value_arguments(call: Call) -> tuple[Expression, ...]:
    """Return the arguments of an estimand's call that are values: those naming a factor or an outcome come before."""
    return call.arguments[len(ESTIMAND_FUNCTIONS[call.function].factors) :]


def names_of_value(expression: Expression) -> Iterator[str]:
    """Yield the labels, estimands and moderators an expression reads; factors and outcomes of calls are left out."""
    match expression:
        case Name(name):
            yield name
        case Operation(_, left, right):
            yield from names_of_value(left)
            yield from names_of_value(right)
        case Call():
            for argument in value_arguments(expression):
                yield from names_of_value(argument)


def operators_in(expression: Expression) -> int:
    """Return how many operators and calls an expression has: an upper end of how deeply it is nested."""
    match expression:
        case Operation(_, left, right):
            return 1 + operators_in(left) + operators_in(right)
        case Call(_, arguments, _):
            return 1 + sum(map(operators_in, arguments))
    return 0


def rewrite(expression: Expression, change: Callable[[Expression], Expression | None]) -> Expression:
    """Return an estimand's value with what ``change`` gives in place of its parts, the outermost first.

    Where it gives None the part stays and its own parts are looked at; factors and outcomes of calls are not.
    """
    changed = change(expression)
    if changed is not None:
        return changed
    match expression:
        case Operation(operator, left, right):
            return Operation(operator, rewrite(left, change), rewrite(right, change))
        case Call(function, arguments, keywords):
            values = value_arguments(expression)
            kept = arguments[: len(arguments) - len(values)]
            return Call(function, (*kept, *(rewrite(value, change) for value in values)), keywords)
    return expression


def products_in(expression: Expression) -> Iterator[tuple[tuple[str, str], Expression]]:
    """Yield every pair of names that a product multiplies, with the product."""
    match expression:
        case Operation(operator, left, right):
            if operator == "*":
                pairs = product(dict.fromkeys(names_of_value(left)), dict.fromkeys(names_of_value(right)))
                yield from ((pair, expression) for pair in pairs)
            yield from products_in(left)
            yield from products_in(right)
        case Call(function, arguments, _):
            if function == "indirect":
                yield from ((pair, expression) for pair in combinations(names_of_value(expression), 2))
            for argument in arguments:
                yield from products_in(argument)
