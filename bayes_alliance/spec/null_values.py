"""Which value of an estimand means no difference: what it is where every coefficient is 0."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from bayes_alliance.spec.expressions import Call, Expression, Name, Number, Operation
from bayes_alliance.spec.model import EstimandSpec, ModelSpec

_NEVER = ("sd", "sigma", "sqrt")
"""Functions of spreads: they have no value that means no difference."""

_LARGEST = 700
"""Powers of e above it are no numbers."""


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

    It is the estimand's value where every coefficient is 0, such as ``exp(b) - 1``: 0. SDs and variances have none, but
    two of them are compared. Contrasts are differences, and so are automatic estimands (contextual effects, parameters
    of surfaces).
    """
    estimand = stated_estimand(spec, name)
    if estimand is None or " less " in name:
        return 0.0
    known: dict[str, Expression] = {key: one.parsed for key, one in spec.estimands.items()}
    for moderator in estimand.at:
        # a moderator's name may hold blanks: it is what stands between the bracket or a comma and its value
        if stated := re.search(rf"(?:\[|, ){re.escape(moderator)} = (-?[\d.e+-]+)[,\]]", name):
            known[moderator] = Number(float(stated[1]))
    value = value_at_zero(estimand.parsed, known)
    return value if math.isfinite(value) else None


def value_at_zero(expression: Expression, known: Mapping[str, Expression]) -> float:
    """Return what an expression is where every coefficient is 0; NaN of SDs. ``known`` are names it may hold."""
    match expression:
        case Number(value):
            return value
        case Name(name):
            return value_at_zero(known[name], known) if name in known else 0.0
        case Call("exp", (argument,), _):
            power = value_at_zero(argument, known)
            return math.exp(power) if power < _LARGEST else math.nan
        case Call("cov", (_, one, two), _) if one == two:
            return math.nan
        case Call(function, _, _) if function in _NEVER:
            return math.nan
        case Call("log", (argument,), _):
            inner = value_at_zero(argument, known)
            return math.log(inner) if inner > 0 else math.nan
        case Operation(operator, left, right):
            return _combine(operator, value_at_zero(left, known), value_at_zero(right, known))
    return 0.0  # covariances, correlations, indirect effects


def _combine(operator: str, left: float, right: float) -> float:
    if (left == 0 and operator in ("*", "/")) or (right == 0 and operator == "*"):
        return 0.0  # a standardised effect of none is none, whatever the SD
    if math.isnan(left) and math.isnan(right) and operator in ("-", "/"):
        return 0.0 if operator == "-" else 1.0
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
