"""Which value of an estimand means no difference: what it is where every coefficient is 0."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from bayes_alliance.spec.expressions import Call, Expression, Name, Number, Operation
from bayes_alliance.spec.model import EstimandSpec, ModelSpec

_NEVER = ("sd", "sigma", "sqrt")
"""Functions of spreads: they have no value that means no difference."""


def stated_estimand(spec: ModelSpec, name: str) -> EstimandSpec | None:
    """Return the estimand a model states under a name, ``key`` or ``key[variable = value]``; None of automatic ones."""
    if name in spec.estimands:
        return spec.estimands[name]
    for key, estimand in spec.estimands.items():
        if re.fullmatch(rf"{re.escape(key)}\[[^\[\]]* = .*\]", name):
            return estimand
    return None


def null_value(spec: ModelSpec, name: str) -> float | None:
    """Return the value of an estimand that means no difference: 0 of differences and products, 1 of factors.

    It is the estimand's value where every coefficient is 0, such as ``exp(b) - 1``: 0. SDs have none. Automatic
    estimands (contextual effects, parameters of surfaces) are differences.
    """
    estimand = stated_estimand(spec, name)
    if estimand is None:
        return 0.0
    value = value_at_zero(estimand.parsed, {key: one.parsed for key, one in spec.estimands.items()})
    return value if math.isfinite(value) else None


def value_at_zero(expression: Expression, estimands: Mapping[str, Expression] | None = None) -> float:
    """Return what an expression is where every coefficient is 0; NaN of SDs. ``estimands`` are those it may name."""
    known = estimands or {}
    match expression:
        case Number(value):
            return value
        case Name(name):
            return value_at_zero(known[name], known) if name in known else 0.0
        case Call("exp", (argument,), _):
            return math.exp(value_at_zero(argument, known))
        case Call(function, _, _) if function in _NEVER:
            return math.nan
        case Call("log", (argument,), _):
            inner = value_at_zero(argument, known)
            return math.log(inner) if inner > 0 else math.nan
        case Operation(operator, left, right):
            return _combine(operator, value_at_zero(left, known), value_at_zero(right, known))
    return 0.0  # covariances, correlations, indirect effects


def _combine(operator: str, left: float, right: float) -> float:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return left / right if right else left  # a share of an effect: none of none
    return left**right if operator in ("^", "**") and (left or right > 0) else math.nan
