"""The calls of a formula turned into columns of numbers: arithmetic, log, sqrt, pieces of time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from bayes_alliance._messages import count_of, first_few
from bayes_alliance.design import lags, means
from bayes_alliance.design.arms import count_by_arm
from bayes_alliance.design.current import current
from bayes_alliance.design.modelled import Modelled, modelled_value
from bayes_alliance.design.others import others
from bayes_alliance.design.rows import Rows
from bayes_alliance.design.steps import monotone
from bayes_alliance.design.surfaces import surface
from bayes_alliance.design.values import Hidden, Plugged, Value
from bayes_alliance.design.variables import Variable
from bayes_alliance.spec.expressions import Call, Expression, Name, Number, Operation, render
from bayes_alliance.spec.functions import CURRENT

SEVERAL: dict[str, Callable[[Evaluator, Call], list[tuple[str, Value]]]]
"""Calls that give several columns, each with what stands in the bracket of its label."""


@dataclass(eq=False)
class Evaluator:
    """Evaluates expressions over the rows of an equation, collecting problems instead of raising.

    Person means use every observed row, before any is lost to a lag: ``within(lag(x), patient)`` is therefore
    ``lag(within(x, patient))``, one variable under two spellings. ``finer`` evaluates over sessions what an equation
    of patients averages; ``messages`` collects what a reader should know of the columns; ``arm`` is the condition;
    ``means`` collects the latent means and modelled values that were asked for, with what stands in for them;
    ``modelled`` says of outcomes which of their values are modelled; ``until`` is the last session that means are over,
    where they are not over all rows.

    Values that a function does not have matter only in rows that are used: ``needed`` says which these are, shape
    (row,), where that is known already. Where it is not, what is found is put off to ``deferred``, rows and problem,
    and ``whole`` is for what reads other rows than its own, such as means and lags.
    """

    rows: Rows
    variables: Mapping[str, Variable]
    factor_ids: Callable[[str], np.ndarray]
    problems: list[str]
    messages: list[str] = field(default_factory=list)
    modelled: Mapping[str, Modelled] = field(default_factory=dict)
    finer: Evaluator | None = None
    arm: Variable | None = None
    means: dict[Hidden, Plugged] = field(default_factory=dict)
    until: float | None = None
    needed: np.ndarray | None = None
    deferred: list[tuple[np.ndarray, Callable[[np.ndarray], str]]] | None = None

    def counted(self, numbers: np.ndarray) -> np.ndarray:
        """Return the numbers that means are over, the others missing."""
        return numbers if self.until is None else np.where(self.rows.session <= self.until, numbers, np.nan)

    @property
    def whole(self) -> Evaluator:
        """Return the evaluator for values that other rows read: they must exist in every row."""
        return replace(self, needed=None, deferred=None)

    def refuse(self, bad: np.ndarray, say: Callable[[np.ndarray], str]) -> float:
        """Report rows without a value, now or when it is known which are used; return what stands there meanwhile.

        Parameters
        ----------
        bad : ndarray of bool, shape (row,)
            Rows in which an expression has no value though nothing is missing.
        say : callable
            Takes the rows to report, shape (row,), and returns the problem.
        """
        if self.deferred is not None:
            if bad.any():
                self.deferred.append((bad, say))
            return 0.0  # a missing value would take the row out unsaid
        found = bad if self.needed is None else bad & self.needed
        if found.any():
            self.report(say(found))
        return np.nan

    def value(self, expression: Expression) -> Value:
        """Return the expression's value in every row, NaN where something it needs is missing."""
        match expression:
            case Number(number):
                return Value(np.full(len(self.rows), number))
            case Name(name):
                return Value(self._variable(name))
            case Operation(operator, left, right):
                return self._arithmetic(operator, self.value(left), self.value(right), expression)
            case Call(function) if function in SEVERAL:
                self.report(f"{render(expression)} gives several columns and must stand alone, not inside a call.")
                return self.nothing()
            case Call(function):
                return _ONE[function](self, expression)
        self.report(f"{render(expression)} is a word, where a number or a variable is needed.")
        return self.nothing()

    def numbers(self, expression: Expression) -> np.ndarray:
        """Return the numbers of an expression, with observed means in place of latent ones."""
        return self.value(expression).numbers

    def columns(self, part: Name | Call) -> list[tuple[str, Value]]:
        """Return the columns of a numeric part of a term, with what stands in the bracket of each label."""
        if isinstance(part, Call) and part.function in SEVERAL:
            return SEVERAL[part.function](self, part)
        return [("", self.value(part))]

    def nothing(self) -> Value:
        """Return a value that is missing in every row, for what was reported."""
        return Value(np.full(len(self.rows), np.nan))

    def report(self, problem: str) -> None:
        """Collect a problem once."""
        if problem not in self.problems:
            self.problems.append(problem)

    def note(self, message: str) -> None:
        """Collect a message once."""
        if message not in self.messages:
            self.messages.append(message)

    def by_arm(self, rows: np.ndarray) -> str:
        """Return the counts of chosen rows per condition, in brackets; nothing without a condition."""
        if self.arm is None or self.arm.levels is None:
            return ""
        return count_by_arm(rows, self.arm.levels, self.arm.values)

    def places(self, bad: np.ndarray, values: np.ndarray | None = None) -> str:
        """Return where rows are: how many, and patient and session of the first five."""
        shown = []
        for i in np.flatnonzero(bad):
            session = self.rows.session[i]
            at = "" if np.isnan(session) else f" session {session:g}"
            shown.append(f"{self.rows.role} {self.rows.key[i]!r}{at}" + ("" if values is None else f" ({values[i]:g})"))
        return f"{count_of(len(shown), 'row')}: {first_few(shown)}"

    def _variable(self, name: str) -> np.ndarray:
        variable = self.variables[name]
        if variable.levels is not None:
            self.report(f"{variable.label!r} is a factor and cannot be used inside a call.")
        return variable.values

    def _arithmetic(self, operator: str, left: Value, right: Value, shown: Expression) -> Value:
        if operator == "/" and (right.numbers == 0).any():
            zero = right.numbers == 0
            filled = self.refuse(zero, lambda rows: f"{render(shown)} divides by 0 in {self.places(rows)}.")
            left = Value(np.where(zero, filled, left.numbers), left.latent)
            right = Value(np.where(zero, 1.0, right.numbers), right.latent)
        if (operator == "/" and right.latent) or (operator == "*" and left.latent and right.latent):
            self.report(
                f"{render(shown)}: latent means and modelled values can be added and scaled, not multiplied or divided "
                f"by."
            )
            return self.nothing()
        match operator:
            case "+":
                return left.plus(right)
            case "-":
                return left.plus(right.times(np.full(len(self.rows), -1.0)))
            case "*":
                return right.times(left.numbers) if right.latent else left.times(right.numbers)
        return left.times(1 / right.numbers)


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
        lambda rows: (
            f"{render(call)} is not defined in {evaluator.places(rows, values)}. Allowed: values {allowed}; "
            f"write log(x + 1), say, where 0 occurs."
        ),
    )
    return Value(np.where(bad, filled, function(np.where(bad, 1.0, values))))


def _plain(evaluator: Evaluator, inner: Expression, call: Call) -> np.ndarray:
    """Return numbers for a function that latent means cannot go through."""
    value = evaluator.value(inner)
    if value.latent:
        evaluator.report(
            f"{render(call)}: latent means and modelled values can be added and scaled only; take observed ones here."
        )
    return value.numbers


def _quadratic(evaluator: Evaluator, call: Call) -> list[tuple[str, Value]]:
    values = _plain(evaluator, call.arguments[0], call)
    return [("linear", Value(values)), ("square", Value(values**2))]


def _piecewise(evaluator: Evaluator, call: Call) -> list[tuple[str, Value]]:
    """Return one column per stretch: how far the value has come in it."""
    values = _plain(evaluator, call.arguments[0], call)
    knots = [knot.value for knot in call.arguments[1:] if isinstance(knot, Number)]
    if len(knots) < len(call.arguments) - 1 or sorted(set(knots)) != knots:
        evaluator.report(f"{render(call)}: knots are numbers in rising order, such as piecewise(session, 5, 9).")
        return [("", evaluator.nothing())]
    if np.isnan(values).all():
        return [("", evaluator.nothing())]
    outside = [f"{knot:g}" for knot in knots if not np.nanmin(values) < knot < np.nanmax(values)]
    if outside:
        evaluator.report(
            f"{render(call)}: knot {', '.join(outside)} does not lie inside the values, which run from "
            f"{np.nanmin(values):g} to {np.nanmax(values):g}."
        )
    columns = []
    for i, (low, high) in enumerate(zip([None, *knots], [*knots, None], strict=True)):
        name = f"to {high:g}" if low is None else f"from {low:g}" if high is None else f"{low:g} to {high:g}"
        column = np.minimum(values, np.inf if high is None else high) - (low if i and low is not None else 0.0)
        columns.append((name, Value(np.maximum(column, 0.0) if i else column)))
    return columns


_ONE: Mapping[str, Callable[[Evaluator, Call], Value]] = {
    "log": _log,
    "sqrt": _sqrt,
    "lag": lags.lag,
    "others": others,
    "within": means.within,
    "between": means.between,
    "centred": means.centred,
    "mi": modelled_value,
    "mo": monotone,
    **dict.fromkeys(CURRENT, current),
}
SEVERAL = {"surface": surface, "quadratic": _quadratic, "piecewise": _piecewise}
ROWWISE = ("log", "sqrt", "quadratic", "piecewise", "mi", "mo")
"""Calls whose value in a row depends on that row alone."""
