"""Evaluate the expressions of a formula over rows: names, arithmetic, and the functions it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from bayes_alliance._messages import count_of, first_few
from bayes_alliance.design.columns.arms import count_by_arm
from bayes_alliance.design.columns.rows import Rows
from bayes_alliance.design.columns.values import Hidden, Modelled, Plugged, Value
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.spec.expressions import Call, Expression, Name, Number, Operation, render


@dataclass(frozen=True)
class Functions:
    """The functions that a formula may call.

    Those of ``one`` give one column; those of ``several`` give more, each with the text in the bracket of its label.
    """

    one: Mapping[str, Callable[[Evaluator, Call], Value]]
    several: Mapping[str, Callable[[Evaluator, Call], list[tuple[str, Value]]]]


@dataclass(eq=False)
class Evaluator:
    """Evaluates expressions over the rows of an equation with ``functions``, collecting problems instead of raising.

    Person means use every observed row, before any is lost to a lag: ``within(lag(x), patient)`` is therefore
    ``lag(within(x, patient))``, one variable under two spellings. ``finer`` evaluates over sessions what an equation
    of patients averages; ``findings`` collects problems, and what a reader should know of the columns; ``arm`` is the
    condition;
    ``means`` collects the latent means and modelled values that were asked for, with what stands in for them;
    ``constants`` what centred() took away, by the call; ``knots`` those of splines, by the call, which an equation has
    once; ``calls`` the columns of calls that are parts of terms;
    ``modelled`` says of outcomes which of their values are modelled; ``until`` is the last session that means are over,
    where they are not over all rows; ``times`` are what a column of the study says of time, where one plays it.

    Values that a function does not have matter only in rows that are used: ``needed`` says which these are, shape
    (row,), where that is known already. Where it is not, what is found is put off to ``deferred``, rows and problem,
    and ``whole`` is for what reads other rows than its own, such as means and lags.
    """

    functions: Functions
    rows: Rows
    variables: Mapping[str, Variable]
    factor_ids: Callable[[str], np.ndarray]
    findings: Findings
    modelled: Mapping[str, Modelled] = field(default_factory=dict)
    finer: Evaluator | None = None
    arm: Variable | None = None
    means: dict[Hidden, Plugged] = field(default_factory=dict)
    constants: dict[str, float] = field(default_factory=dict)
    calls: dict[str, tuple[tuple[str, Value], ...]] = field(default_factory=dict)
    until: float | None = None
    knots: dict[str, tuple[float, ...]] = field(default_factory=dict)
    needed: np.ndarray | None = None
    deferred: list[tuple[np.ndarray, Callable[[np.ndarray], Problem]]] | None = None
    times: np.ndarray | None = None

    def counted(self, numbers: np.ndarray) -> np.ndarray:
        """Return the numbers that means are over, the others missing."""
        return numbers if self.until is None else np.where(self.rows.session <= self.until, numbers, np.nan)

    @property
    def clock(self) -> np.ndarray:
        """Return the time of every row: the number of its session where no column plays time."""
        return self.rows.session if self.times is None else self.times

    @property
    def whole(self) -> Evaluator:
        """Return the evaluator for values that other rows read: they must exist in every row."""
        return replace(self, needed=None, deferred=None)

    def refuse(self, bad: np.ndarray, say: Callable[[np.ndarray], Problem]) -> float:
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
            self.findings.add([say(found)])
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
            case Call(function) if function in self.functions.several:
                self.findings.problem(
                    f"{render(expression)} gives several columns and must stand alone, not inside a call."
                )
                return self.nothing()
            case Call(function):
                return self.functions.one[function](self, expression)
        self.findings.problem(f"{render(expression)} is a word, where a number or a variable is needed.")
        return self.nothing()

    def numbers(self, expression: Expression) -> np.ndarray:
        """Return the numbers of an expression, with observed means in place of latent ones."""
        return self.value(expression).numbers

    def columns(self, part: Name | Call) -> list[tuple[str, Value]]:
        """Return the columns of a numeric part of a term, with what stands in the bracket of each label."""
        if isinstance(part, Call) and part.function in self.functions.several:
            return self.functions.several[part.function](self, part)
        return [("", self.value(part))]

    def nothing(self) -> Value:
        """Return a value that is missing in every row, for what was reported."""
        return Value(np.full(len(self.rows), np.nan))

    def by_arm(self, rows: np.ndarray) -> str:
        """Return the counts of chosen rows per condition, in brackets; nothing without a condition."""
        if self.arm is None or self.arm.levels is None:
            return ""
        return count_by_arm(rows, self.arm.levels, self.arm.values)

    def places(self, bad: np.ndarray, values: np.ndarray | None = None) -> str:
        """Return where rows are: how many, and patient and session of the first five."""
        where = np.flatnonzero(bad)
        shown = [self.rows.name_of(i) + ("" if values is None else f" ({values[i]:g})") for i in where[:5]]
        return f"{count_of(len(where), 'row')}: {first_few(shown, len(where))}"

    def _variable(self, name: str) -> np.ndarray:
        variable = self.variables[name]
        if variable.levels is not None:
            self.findings.problem(f"{variable.label!r} is a factor and cannot be used inside a call.")
        return variable.values

    def _arithmetic(self, operator: str, left: Value, right: Value, shown: Expression) -> Value:
        if operator == "/" and (right.numbers == 0).any():
            zero = right.numbers == 0
            filled = self.refuse(zero, lambda rows: Problem(f"{render(shown)} divides by 0 in {self.places(rows)}."))
            left = Value(np.where(zero, filled, left.numbers), left.latent)
            right = Value(np.where(zero, 1.0, right.numbers), right.latent)
        if (operator == "/" and right.latent) or (operator == "*" and left.latent and right.latent):
            self.findings.problem(
                "latent means and modelled values can be added and scaled, not multiplied or divided by.",
                where=render(shown),
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
