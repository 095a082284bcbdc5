"""The formula language: text to records, without looking at data and without running anything.

Grammar (lme4 and brms syntax; the outcome is stated beside the formula, not in it)::

    formula  := ["+" | "-"] item { ("+" | "-") item }
    item     := crossed                         "-" may only precede 1 or 0
    crossed  := product { "*" product }         a*b is a + b + a:b
    product  := atom { ":" atom }
    atom     := "0" | "1" | name | call | "(" formula ")" | "(" formula bar factors ")"
    bar      := "|" | "||"                      "||": group effects without correlations
    factors  := name { ("/" | ":") name }       a/b is a + a:b
    call     := name "(" argument { "," argument } ")"
    argument := [name "="] arithmetic           + - * / only here, inside a call

Every token must be consumed. Names may hold dots (``hamd.b``); any other column name goes in backticks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from bayes_alliance._messages import shorten, unknown
from bayes_alliance.errors import SpecError
from bayes_alliance.findings import Problem
from bayes_alliance.spec.expressions import (
    Call,
    Expression,
    Formula,
    GroupTerm,
    Name,
    Number,
    Operation,
    Term,
    Text,
    render,
)
from bayes_alliance.spec.functions import FORMULA_FUNCTIONS, Function

MAX_LENGTH = 4000
"""Characters of a formula."""

MAX_DEPTH = 32
"""Brackets inside brackets."""

MAX_TERMS = 500
"""Terms that a formula may have, counted before products are written out: a * b * c doubles them with each factor."""

MAX_OPERATORS = 200
"""Operators of the arithmetic inside one call; what reads an expression goes down one level per operator."""

MAX_NESTED = 8
"""Factors of one group term that are nested in each other."""


def parse_formula(text: str) -> Formula:
    """Parse the right-hand side of an equation.

    Parameters
    ----------
    text : str
        Such as ``"session * condition + (1 + session | patient)"``.

    Returns
    -------
    Formula
        Terms in the order written, products expanded, repeated terms kept once.

    Raises
    ------
    SpecError
        If a token is left over, a function is not on the allow-list, or the grammar is not met; the message
        gives the place. If it has more than 4,000 characters, 500 terms (products written out and group terms
        counted), 32 brackets inside brackets, or 200 operators inside one call: before anything is written out.
    """
    parser = _Parser(text, FORMULA_FUNCTIONS)
    summed = parser.sum()
    parser.expect_end()
    if not (summed.terms or summed.groups or summed.intercept is not False):
        raise SpecError(f"Formula {shorten(text)} has neither an intercept nor a term.")
    intercept = True if summed.intercept is None else summed.intercept
    return Formula(intercept, tuple(summed.terms), _check_groups(summed.groups, text))


def parse_call(text: str, functions: Mapping[str, Function]) -> Call:
    """Parse one call, such as the ``window(alliance, 1, 4)`` of a declared variable.

    Raises
    ------
    SpecError
        If the text is anything but one call of a listed function.
    """
    parser = _Parser(text, functions)
    expression = parser.arithmetic()
    parser.expect_end()
    if not isinstance(expression, Call):
        raise SpecError(f"{shorten(text)} is not a call. Allowed: {', '.join(f.usage for f in functions.values())}.")
    return expression


def parse_arithmetic(text: str, functions: Mapping[str, Function]) -> Expression:
    """Parse arithmetic over names, numbers and calls, such as the ``a * b + cov(patient, a, b)`` of an estimand.

    Raises
    ------
    SpecError
        If a token is left over or a function is not among those listed.
    """
    parser = _Parser(text, functions)
    expression = parser.arithmetic()
    parser.expect_end()
    return expression


@dataclass
class _Sum:
    """Terms gathered so far; ``intercept`` is None until a 0 or 1 is written; a term is kept once, where it stood."""

    intercept: bool | None = None
    by_key: dict[frozenset[Name | Call], Term] = field(default_factory=dict)
    groups: list[GroupTerm] = field(default_factory=list)

    @property
    def terms(self) -> list[Term]:
        return list(self.by_key.values())

    def add(self, terms: Iterable[Term]) -> _Sum:
        for term in terms:
            self.by_key.setdefault(term.key(), term)
        return self


_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<name>[^\W\d][\w.]*)|`(?P<quoted>[^`]+)`"
    r"|\"(?P<text>[^\"]*)\"|(?P<symbol>\|\||[-+*/:|(),=~^]))"
)


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str, functions: Mapping[str, Function]) -> None:
        if len(text) > MAX_LENGTH:
            raise SpecError(f"A formula may have {MAX_LENGTH} characters; this one has {len(text)}.")
        self.text = text
        self.functions = functions
        self.tokens = list(self._scan(text))
        self.at = 0
        self.depth = 0
        self.operators = 0
        self.written = 0

    def _scan(self, text: str) -> Iterator[tuple[str, str, int]]:
        position = 0
        while position < len(text.rstrip()):
            match = _TOKEN.match(text, position)
            if match is None:
                place = position + len(text[position:]) - len(text[position:].lstrip())
                raise self.error(f"unexpected character {text[place]!r}", place)
            kind = str(match.lastgroup)
            yield ("name" if kind == "quoted" else kind, match.group(kind), match.start(kind))
            position = match.end()

    def error(self, what: str | Problem, place: int | None = None) -> SpecError:
        if place is None:
            place = self.tokens[self.at][2] if self.at < len(self.tokens) else len(self.text)
        where = f"Formula {shorten(self.text)}"
        if isinstance(what, Problem):
            return SpecError(replace(what, what=f"{what.what[:-1]}, at character {place + 1}.").under(where))
        return SpecError(Problem(f"{what}, at character {place + 1}.", where=where))

    def peek(self) -> str:
        """Return the next symbol, or its kind in angle brackets."""
        if self.at >= len(self.tokens):
            return "<end>"
        kind, value, _ = self.tokens[self.at]
        return value if kind == "symbol" else f"<{kind}>"

    def take(self, *wanted: str) -> str:
        if self.peek() not in wanted:
            seen = self.tokens[self.at][1] if self.at < len(self.tokens) else "the end"
            raise self.error(f"expected {' or '.join(wanted)} and found {seen!r}")
        self.at += 1
        return self.tokens[self.at - 1][1]

    def expect_end(self) -> None:
        if self.peek() == "~":
            raise self.error("the outcome is stated by the key 'outcome', so '~' has no place here")
        if self.at < len(self.tokens):
            left = self.tokens[self.at][1]
            raise self.error(f"{left!r} is left over: put '+', ':' or '*' between terms")

    def _deepen(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"brackets are nested more than {MAX_DEPTH} deep")

    def _write_out(self, count: int) -> None:
        """Count terms before they are made, so that a short text cannot ask for millions."""
        self.written += count
        if self.written > MAX_TERMS:
            raise self.error(
                f"with its products written out it has more than {MAX_TERMS} terms, which is the limit; each further "
                f"factor of a * b * c doubles them. Write the terms that are meant, with ':' between their variables"
            )

    def sum(self) -> _Sum:
        self._deepen()
        total = _Sum()
        sign = self.take("+", "-") if self.peek() in "+-" else "+"
        while True:
            self._item(total, sign)
            if self.peek() not in ("+", "-"):
                break
            sign = self.take("+", "-")
        self.depth -= 1
        return total

    def _item(self, total: _Sum, sign: str) -> None:
        if self.peek() == "<number>":
            value = self.take("<number>")
            if value not in ("0", "1"):
                raise self.error(f"{value} is not a term; 0 and 1 state the intercept", self.tokens[self.at - 1][2])
            total.intercept = (value == "1") == (sign == "+")
            return
        if sign == "-":
            raise self.error("terms cannot be taken away; only '- 1' is allowed")
        part = self._crossed()
        if part.intercept is not None:
            total.intercept = part.intercept
        total.add(part.terms)
        total.groups += part.groups

    def _crossed(self) -> _Sum:
        left = self._product()
        while self.peek() == "*":
            self.take("*")
            right = self._product()
            self._need_plain(left, right)
            self._write_out(len(left.by_key) * len(right.by_key))
            products = [_multiply(a, b) for a in left.terms for b in right.terms]
            left.add([*right.terms, *products])
        return left

    def _product(self) -> _Sum:
        left = self._atom()
        while self.peek() == ":":
            self.take(":")
            right = self._atom()
            self._need_plain(left, right)
            self._write_out(len(left.by_key) * len(right.by_key) - 1)
            left = _Sum().add(_multiply(a, b) for a in left.terms for b in right.terms)
        return left

    def _need_plain(self, *sums: _Sum) -> None:
        if any(s.groups or s.intercept is not None or not s.by_key for s in sums):
            raise self.error("a product needs variables on both sides")

    def _atom(self) -> _Sum:
        if self.peek() == "(":
            self.take("(")
            inner = self.sum()
            if self.peek() in ("|", "||"):
                inner = self._group(inner)
            self.take(")")
            return inner
        expression = self._name_or_call()
        self._write_out(1)
        return _Sum().add([Term((expression,))])

    def _group(self, inner: _Sum) -> _Sum:
        bar = self.take("|", "||")
        if inner.groups:
            raise self.error("a group term may not hold another one")
        names = [self.take("<name>")]
        factors = []
        while self.peek() in ("/", ":"):
            if self.take("/", ":") == "/":
                factors.append(":".join(names))
            names.append(self.take("<name>"))
        factors.append(":".join(names))
        if len(names) > MAX_NESTED:
            raise self.error(f"{len(names)} factors are nested in each other; a group term may have {MAX_NESTED}")
        self._write_out(len(factors) + (len(factors) - 1) * len(inner.by_key))
        intercept = inner.intercept is not False
        if not intercept and not inner.by_key:
            raise self.error("a group term needs an intercept or a variable")
        return _Sum(
            intercept=None,
            groups=[GroupTerm(factor, intercept, tuple(inner.terms), bar == "|") for factor in factors],
        )

    def _name_or_call(self) -> Name | Call:
        place = self.tokens[self.at][2] if self.at < len(self.tokens) else len(self.text)
        name = self.take("<name>", "(") if self.peek() == "<name>" else self.take("a variable", "a call", "'('")
        if self.peek() != "(":
            return Name(name)
        if name not in self.functions:
            raise self.error(unknown("function", name, self.functions), place)
        return self._call(self.functions[name])

    def _call(self, function: Function) -> Call:
        self.take("(")
        arguments: list[Expression] = []
        keywords: list[tuple[str, Expression]] = []
        while self.peek() != ")":
            if arguments or keywords:
                self.take(",")
            value = self.arithmetic()
            if self.peek() != "=":
                if keywords:
                    raise self.error("an argument without a name follows one with a name")
                arguments.append(value)
                continue
            self.take("=")
            if not isinstance(value, Name) or value.name not in function.keywords:
                shown = render(value)
                raise self.error(unknown(f"argument of {function.name}()", shown, function.keywords))
            keywords.append((value.name, self.arithmetic()))
        self.take(")")
        least, most = function.positional
        if not least <= len(arguments) <= most:
            raise self.error(f"{function.name}() is written {function.usage}; {len(arguments)} arguments were given")
        return Call(function.name, tuple(arguments), tuple(keywords))

    def arithmetic(self) -> Expression:
        """Parse sums and products of numbers, names and calls: allowed inside a call only."""
        self._deepen()
        left = self._scaled()
        while self.peek() in ("+", "-"):
            left = Operation(self._operator("+", "-"), left, self._scaled())
        self.depth -= 1
        return left

    def _scaled(self) -> Expression:
        left = self._value()
        while self.peek() in ("*", "/"):
            left = Operation(self._operator("*", "/"), left, self._value())
        return left

    def _operator(self, *wanted: str) -> str:
        self.operators += 1
        if self.operators > MAX_OPERATORS:
            raise self.error(f"arithmetic has more than {MAX_OPERATORS} operators, which is the limit")
        return self.take(*wanted)

    def _value(self) -> Expression:
        match self.peek():
            case "<number>":
                return self._number()
            case "<text>":
                return Text(self.take("<text>"))
            case "-":
                self.take("-")
                self._deepen()
                value = Operation("-", Number(0.0), self._value())
                self.depth -= 1
                return value
            case "(":
                self.take("(")
                inner = self.arithmetic()
                self.take(")")
                return inner
            case _:
                return self._name_or_call()

    def _number(self) -> Number:
        value = float(self.take("<number>"))
        if not math.isfinite(value):
            raise self.error("the number is too large", self.tokens[self.at - 1][2])
        return Number(value)


def _multiply(left: Term, right: Term) -> Term:
    return Term((*left.parts, *(part for part in right.parts if part not in left.parts)))


def _check_groups(groups: Iterable[GroupTerm], text: str) -> tuple[GroupTerm, ...]:
    """Refuse an effect that is stated twice for one factor."""
    seen: set[tuple[str, frozenset[Name | Call]]] = set()
    checked = tuple(groups)
    for group in checked:
        effects = [frozenset[Name | Call]()] if group.intercept else []
        for key in (*effects, *(term.key() for term in group.terms)):
            if (group.factor, key) in seen:
                label = "intercept" if not key else ":".join(render(part) for part in key)
                raise SpecError(f"Formula {shorten(text)}: the {label} of {group.factor!r} is stated twice.")
            seen.add((group.factor, key))
    return checked
