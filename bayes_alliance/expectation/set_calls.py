"""Calls that read other rows, such as ``between(x, patient)``, set to values, or moved together with their variable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import numpy as np

from bayes_alliance._messages import quote
from bayes_alliance.design.columns.functions import functions_around
from bayes_alliance.design.columns.values import CallColumns, Value
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.errors import FitError
from bayes_alliance.findings import Problem
from bayes_alliance.names import SESSION
from bayes_alliance.spec.expressions import Call, Expression, Name, render
from bayes_alliance.spec.variables_read import values_in

type Part = Literal["within", "all sessions"]

PARTS: Final = ("within", "all sessions")


def call_variable(call: str, columns: CallColumns) -> Variable | None:
    """Return a call as a variable, None where it has several columns, which no single number says."""
    if len(columns.pieces) > 1:
        return None
    return Variable(call, columns.label, columns.pieces[0][1].numbers)


def set_call(columns: CallColumns, value: float, size: int) -> CallColumns:
    """Return a call's column with a value in every row, whatever it was estimated to be."""
    ((piece, _),) = columns.pieces
    return CallColumns(columns.label, ((piece, Value(np.full(size, value))),))


def shift_call(columns: CallColumns, amount: float) -> CallColumns:
    """Return a call's column changed by an amount in every row; what is estimated of it stays."""
    ((piece, value),) = columns.pieces
    return CallColumns(columns.label, ((piece, value.plus(Value(np.full(len(value.numbers), amount)))),))


def calls_that_read(equation: EquationDesign, name: str) -> dict[str, Call]:
    """Return the calls of an equation that read a variable in other rows, too, by their text."""
    return {text: part for text, part in calls_around(equation).items() if name in values_in(part)}


def part_shifts(equation: EquationDesign, name: str, part: Part | None) -> dict[str, float]:
    """Return how far the variable, and calls of it, move when it is 1 larger in one session or in all of a patient.

    Raises
    ------
    FitError
        If calls read the variable in other rows and which part is meant is not stated, there are none, or what a
        call becomes is not known.
    """
    calls = calls_that_read(equation, name)
    label = equation.variables[name].label
    if part is None and calls:
        raise FitError(
            Problem(
                f"The model reads {label!r} in other rows, too: {quote(equation.calls[text].label for text in calls)}.",
                fix=f'Say what changes: part="within" for one session, part="all sessions" for all of a patient, or '
                f"name one of these instead of {label!r}.",
            )
        )
    if part is None:
        return {name: 1.0}
    if part not in PARTS:
        raise FitError(Problem(f"part={part!r} is none.", allowed=f"One of {quote(PARTS)}."))
    if not calls or equation.spec.unit != SESSION:
        raise FitError(Problem(f"The model reads {label!r} in a row's own session alone.", fix="Leave part= out."))
    found = {name: 1.0}
    for text, call in calls.items():
        moved = _moves(call, name, part)
        if moved is None:
            raise FitError(
                Problem(
                    f"What {equation.calls[text].label} becomes when {label!r} is larger is not worked out.",
                    fix="Name the calls that are meant, one at a time.",
                )
            )
        found[text] = moved
    return found


def _moves(expression: Expression, name: str, part: Part) -> float | None:
    """Return how far an expression moves in a row, None where that depends on values."""
    match expression:
        case Name(own):
            return 1.0 if own == name else 0.0
        case Call("mi" | "centred", (inner, *_)):
            return _moves(inner, name, part)
        case Call("lag", (inner, *_)):
            return 0.0 if part == "within" else _moves(inner, name, part)
        case Call("between" | "within" as function, (inner, Name(factor)), keywords):
            of_patient = factor == "patient"
            if dict(keywords).keys() & {"detrend", "size"}:
                return None
            moved = _moves(inner, name, part)
            if function == "between":
                return moved if of_patient and part == "all sessions" else 0.0
            return moved if part == "within" or not of_patient else 0.0
        case _:
            return None if name in values_in(expression) else 0.0


def calls_around(equation: EquationDesign) -> dict[str, Call]:
    """Return the calls of an equation that read other rows, by their text."""
    return {render(part): part for part in parts_of(equation) if isinstance(part, Call) and functions_around(part)}


def parts_of(equation: EquationDesign) -> list[Name | Call]:
    """Return the parts of the terms of an equation's formulas."""
    return [part for own in equation.linear_predictors for term in own.spec.parsed.every_term for part in term.parts]


def split_calls[T](equation: EquationDesign, settings: Mapping[str, T]) -> tuple[dict[str, T], dict[str, T]]:
    """Return settings of variables, and settings of calls."""
    variables = {name: value for name, value in settings.items() if name not in equation.calls}
    return variables, {name: value for name, value in settings.items() if name in equation.calls}
