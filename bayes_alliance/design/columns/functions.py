"""The functions of a formula: log, sqrt, quadratic and piecewise time here, the others in files of their own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bayes_alliance.design.columns import lags, means
from bayes_alliance.design.columns.evaluator import Evaluator, Functions
from bayes_alliance.design.columns.group_means import others
from bayes_alliance.design.columns.linked_predictors import linked_predictor
from bayes_alliance.design.columns.modelled_values import modelled_value
from bayes_alliance.design.columns.monotonic import monotone
from bayes_alliance.design.columns.splines import spline
from bayes_alliance.design.columns.surfaces import surface
from bayes_alliance.design.columns.values import Value
from bayes_alliance.findings import Problem
from bayes_alliance.spec.expressions import Call, Expression, Name, Number, Text, calls_in, render
from bayes_alliance.spec.functions import CURRENT


def _log(evaluator: Evaluator, call: Call) -> Value:
    return _restricted(evaluator, call, np.log, lambda x: x <= 0, "above 0")


def _sqrt(evaluator: Evaluator, call: Call) -> Value:
    return _restricted(evaluator, call, np.sqrt, lambda x: x < 0, "0 or above")


def _restricted(
    evaluator: Evaluator,
    call: Call,
    function: Callable[[np.ndarray], np.ndarray],
    outside: Callable[[np.ndarray], np.ndarray],
    allowed: str,
) -> Value:
    values = _plain(evaluator, call.arguments[0], call)
    bad = outside(values)
    filled = evaluator.refuse(
        bad,
        lambda rows: Problem(
            f"{render(call)} is not defined in {evaluator.places(rows, values)}.",
            allowed=f"Allowed: values {allowed}.",
            fix="Write log(x + 1), say, where 0 occurs.",
        ),
    )
    return Value(np.where(bad, filled, function(np.where(bad, 1.0, values))))


def _plain(evaluator: Evaluator, inner: Expression, call: Call) -> np.ndarray:
    """Return numbers for a function that latent means cannot go through."""
    value = evaluator.value(inner)
    if value.latent:
        evaluator.findings.problem(
            "latent means and modelled values can be added and scaled only.",
            where=render(call),
            fix="Take observed ones here.",
        )
    return value.numbers


def _quadratic(evaluator: Evaluator, call: Call) -> list[tuple[str, Value]]:
    values = _plain(evaluator, call.arguments[0], call)
    return [("linear", Value(values)), ("square", Value(values**2))]


def _piecewise(evaluator: Evaluator, call: Call) -> list[tuple[str, Value]]:
    """Return one column per stretch: how far the value has come in it, or, with form="constant", whether it lies there.

    A value at a knot lies in the stretch before it, which ends there: session 2 is the second of the stretch to 2.
    """
    form = dict(call.keywords).get("form", Text("line"))
    constant = form == Text("constant")
    if form not in (Text("line"), Text("constant")):
        evaluator.findings.problem('form is "line" or "constant".', where=render(call))
        return [("", evaluator.nothing())]
    values = _plain(evaluator, call.arguments[0], call)
    knots = [knot.value for knot in call.arguments[1:] if isinstance(knot, Number)]
    if len(knots) < len(call.arguments) - 1 or sorted(set(knots)) != knots:
        evaluator.findings.problem(
            "knots are numbers in rising order, such as piecewise(session, 5, 9).", where=render(call)
        )
        return [("", evaluator.nothing())]
    if np.isnan(values).all():
        return [("", evaluator.nothing())]
    knots = knots or [_middle(evaluator, call, values)]
    lowest, highest = np.nanmin(values), np.nanmax(values)
    outside = [f"{k:g}" for k in knots if not (lowest < k < highest or (constant and k == lowest))]
    if outside:
        evaluator.findings.problem(
            f"knot {', '.join(outside)} does not lie inside the values, which run from {lowest:g} to {highest:g}.",
            where=render(call),
        )
    columns = []
    for i, (low, high) in enumerate(zip([None, *knots], [*knots, None], strict=True)):
        name = f"to {high:g}" if low is None else f"from {low:g}" if high is None else f"{low:g} to {high:g}"
        if constant:
            there = (values > (-np.inf if low is None else low)) & (values <= (np.inf if high is None else high))
            columns += [] if low is None else [(name, Value(np.where(np.isnan(values), np.nan, there)))]
            continue
        column = np.minimum(values, np.inf if high is None else high) - (low if i and low is not None else 0.0)
        columns.append((name, Value(np.maximum(column, 0.0) if i else column)))
    return columns


def _middle(evaluator: Evaluator, call: Call, values: np.ndarray) -> float:
    """Return where a line without stated knots bends: the middle one of its different values, kept with the equation.

    The lower of the two middle ones, as a value at a knot lies in the stretch before it.
    """
    if render(call) not in evaluator.knots:
        counted = evaluator.counted(values)
        distinct = np.unique(counted[~np.isnan(counted)])
        evaluator.knots[render(call)] = (float(distinct[(len(distinct) - 1) // 2]),)
    (knot,) = evaluator.knots[render(call)]
    evaluator.findings.note(f"{render(call)}: the line bends at {knot:g}, the middle of its values.")
    return knot


FUNCTIONS = Functions(
    {
        "log": _log,
        "sqrt": _sqrt,
        "lag": lags.lag,
        "others": others,
        "within": means.within,
        "between": means.between,
        "centred": means.centred,
        "mi": modelled_value,
        "mo": monotone,
        **dict.fromkeys(CURRENT, linked_predictor),
    },
    {"surface": surface, "quadratic": _quadratic, "piecewise": _piecewise, "spline": spline},
)
"""All of them."""

ROWWISE = ("log", "sqrt", "quadratic", "piecewise", "spline", "mi", "mo")
"""Calls whose value in a row depends on that row alone, given what the equation keeps of all (the knots of splines)."""


def functions_around(expression: Expression) -> tuple[str, ...]:
    """Return the functions in an expression that read other rows than a row's own, beside constants of all rows."""
    return tuple(call.function for call in calls_in(expression) if not _of_one_row(call))


def _of_one_row(call: Call) -> bool:
    match call.function:
        case "centred":
            return True
        case "surface":
            return not isinstance(dict(call.keywords).get("centre"), Name)
        case function:
            return function in ROWWISE
