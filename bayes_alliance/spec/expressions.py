"""What a formula is made of: frozen records, and how they are written as text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_WORD = re.compile(r"[^\W\d][\w.]*")


@dataclass(frozen=True)
class Name:
    """A variable of the model."""

    name: str


@dataclass(frozen=True)
class Number:
    """A number inside a call."""

    value: float


@dataclass(frozen=True)
class Text:
    """A quoted word inside a call, such as ``means="observed"``."""

    value: str


@dataclass(frozen=True)
class Operation:
    """Arithmetic inside a call."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Call:
    """A function of the allow-list applied to arguments."""

    function: str
    arguments: tuple[Expression, ...]
    keywords: tuple[tuple[str, Expression], ...] = ()


type Expression = Name | Number | Text | Operation | Call


@dataclass(frozen=True)
class Term:
    """A product of variables or calls; the order of the parts is that of the formula."""

    parts: tuple[Name | Call, ...]

    def key(self) -> frozenset[Name | Call]:
        """Return what makes two terms the same: ``a:b`` is ``b:a``."""
        return frozenset(self.parts)


@dataclass(frozen=True)
class GroupTerm:
    """Group-level effects ``(1 + session | patient)``: one correlation block."""

    factor: str
    intercept: bool
    terms: tuple[Term, ...]
    correlated: bool


@dataclass(frozen=True)
class Formula:
    """The right-hand side of an equation."""

    intercept: bool
    terms: tuple[Term, ...]
    groups: tuple[GroupTerm, ...]

    @property
    def every_term(self) -> tuple[Term, ...]:
        """Return the terms, and then those inside group terms."""
        return (*self.terms, *(term for group in self.groups for term in group.terms))


def names_in(expression: Expression) -> Iterator[str]:
    """Yield the variable names inside an expression, left to right, repeats included."""
    match expression:
        case Name(name):
            yield name
        case Operation(_, left, right):
            yield from names_in(left)
            yield from names_in(right)
        case Call(_, arguments, keywords):
            for argument in (*arguments, *(value for _, value in keywords)):
                yield from names_in(argument)


def calls_in(expression: Expression) -> Iterator[Call]:
    """Yield every call inside an expression, outermost first."""
    match expression:
        case Operation(_, left, right):
            yield from calls_in(left)
            yield from calls_in(right)
        case Call(_, arguments, _):
            yield expression
            for argument in arguments:
                yield from calls_in(argument)


def quote_name(name: str) -> str:
    """Return a name as a formula writes it: in backticks where it is not a word."""
    return name if _WORD.fullmatch(name) else f"`{name}`"


def render(expression: Expression, rename: Callable[[str], str] = str) -> str:
    """Write an expression as formula text, with variables renamed (to a study's columns, say)."""
    match expression:
        case Name(name):
            return rename(name)
        case Number(value):
            return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
        case Text(value):
            return f'"{value}"'
        case Operation(operator, left, right):
            return f"{_bracketed(left, operator, rename)} {operator} {_bracketed(right, operator, rename, True)}"
        case Call(function, arguments, keywords):
            inside = [render(argument, rename) for argument in arguments]
            inside += [f"{key}={render(value, rename)}" for key, value in keywords]
            return f"{function}({', '.join(inside)})"


def render_term(term: Term, rename: Callable[[str], str] = str) -> str:
    """Write a term as formula text."""
    return ":".join(render(part, rename) for part in term.parts)


def render_group(group: GroupTerm, rename: Callable[[str], str] = str) -> str:
    """Write a group term as formula text."""
    inside = ["1" if group.intercept else "0", *(render_term(term, rename) for term in group.terms)]
    bar = "|" if group.correlated or not group.terms else "||"
    return f"({' + '.join(inside)} {bar} {':'.join(map(rename, group.factor.split(':')))})"


def write_formula(formula: Formula) -> str:
    """Write a formula as text that parses to the same records."""
    parts = ["1" if formula.intercept else "0", *(render_term(term, quote_name) for term in formula.terms)]
    return " + ".join([*parts, *(render_group(group, quote_name) for group in formula.groups)])


def _bracketed(expression: Expression, around: str, rename: Callable[[str], str], right: bool = False) -> str:
    text = render(expression, rename)
    if not isinstance(expression, Operation):
        return text
    weak, outer_weak = expression.operator in "+-", around in "+-"
    needed = (weak and not outer_weak) or (right and around in "-/" and weak == outer_weak)
    return f"({text})" if needed else text
