"""What an expression reads: variables by their values, grouping factors by their levels."""

from __future__ import annotations

from collections.abc import Iterator

from bayes_alliance.spec.expressions import Call, Expression, Name, Operation, Term, Text, calls_in
from bayes_alliance.spec.functions import CURRENT, FORMULA_FUNCTIONS

_OF_UNITS = ("between", *CURRENT)


def values_in(expression: Expression) -> Iterator[str]:
    """Yield the variables whose values an expression reads; the factor in ``within(x, patient)`` is not one."""
    match expression:
        case Name(name):
            yield name
        case Operation(_, left, right):
            yield from values_in(left)
            yield from values_in(right)
        case Call():
            for place, argument in _arguments(expression):
                if place not in _factor_places(expression):
                    yield from values_in(argument)


def factors_in(expression: Expression) -> Iterator[str]:
    """Yield the grouping factors that the calls of an expression take means over."""
    for call in calls_in(expression):
        for place, argument in _arguments(call):
            if place in _factor_places(call) and isinstance(argument, Name):
                yield argument.name


def current_values_in(expression: Expression) -> Iterator[str]:
    """Yield the variables an expression reads of the row's own patient and session; lags and others are left out."""
    match expression:
        case Call() if any(call.function in ("lag", "others") for call in calls_in(expression)):
            return
        case Operation(_, left, right):
            yield from current_values_in(left)
            yield from current_values_in(right)
        case _:
            yield from values_in(expression)


def averaged_in(expression: Expression) -> Iterator[str]:
    """Yield the variables that an expression reads as means of units, or as another equation has them, only."""
    inside = {n for call in calls_in(expression) if call.function in _OF_UNITS for n in values_in(call.arguments[0])}
    elsewhere = list(_outside_between(expression))
    yield from (name for name in inside if name not in elsewhere)


def _outside_between(expression: Expression) -> Iterator[str]:
    match expression:
        case Call(function) if function in _OF_UNITS:
            return
        case Operation(_, left, right):
            yield from _outside_between(left)
            yield from _outside_between(right)
        case Call():
            for place, argument in _arguments(expression):
                if place not in _factor_places(expression) and place != "on":
                    yield from _outside_between(argument)
        case _:
            yield from values_in(expression)


def modelled_in(expression: Expression) -> Iterator[str]:
    """Yield the outcomes that an expression reads as they are modelled: mi(x), at the row's session or earlier."""
    for call in calls_in(expression):
        if call.function == "mi":
            yield from values_in(call.arguments[0])


def as_observed_in(expression: Expression) -> Iterator[str]:
    """Yield the variables whose observed values an expression reads: not those in mi(), nor those of latent means.

    The deviation from a latent mean is a value less a mean, and reads the value.
    """
    match expression:
        case Name(name):
            yield name
        case Operation(_, left, right):
            yield from as_observed_in(left)
            yield from as_observed_in(right)
        case Call(function, _, keywords):
            if function in ("mi", *CURRENT) or (
                function == "between" and dict(keywords).get("means") == Text("latent")
            ):
                return
            for place, argument in _arguments(expression):
                if place not in _factor_places(expression):
                    yield from as_observed_in(argument)


def is_dynamic(term: Term) -> bool:
    """Return whether a term is about deviations from a unit's mean, or about earlier sessions."""
    return any(call.function in ("within", "lag") for part in term.parts for call in calls_in(part))


def _arguments(call: Call) -> Iterator[tuple[int | str, Expression]]:
    yield from enumerate(call.arguments)
    yield from call.keywords


def _factor_places(call: Call) -> tuple[int | str, ...]:
    return FORMULA_FUNCTIONS[call.function].factors if call.function in FORMULA_FUNCTIONS else ()
