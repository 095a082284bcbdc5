"""The calls of a formula turned into columns of numbers: log, sqrt, within, between, lag, arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from bayes_alliance._messages import count_of, first_few
from bayes_alliance.design.rows import Rows
from bayes_alliance.design.variables import Variable
from bayes_alliance.spec.expressions import Call, Expression, Name, Number, Operation, Text, render


class Evaluator:
    """Evaluates expressions over the rows of an equation, collecting problems instead of raising.

    Person means use every observed row, before any is lost to a lag: ``within(lag(x), patient)`` is therefore
    ``lag(within(x, patient))``, one variable under two spellings.
    """

    def __init__(
        self,
        rows: Rows,
        variables: Mapping[str, Variable],
        factor_ids: Callable[[str], np.ndarray],
        problems: list[str],
    ) -> None:
        self.rows = rows
        self.variables = variables
        self.factor_ids = factor_ids
        self.problems = problems

    def numbers(self, expression: Expression) -> np.ndarray:
        """Return the expression's value in every row, NaN where something it needs is missing."""
        match expression:
            case Number(value):
                return np.full(len(self.rows), value)
            case Name(name):
                return self._variable(name)
            case Operation(operator, left, right):
                return self._arithmetic(operator, self.numbers(left), self.numbers(right), expression)
            case Call(function, _, _):
                return np.asarray(getattr(self, f"_{function}")(expression))
        self._report(f"{render(expression)} is a word, where a number or a variable is needed.")
        return np.full(len(self.rows), np.nan)

    def _variable(self, name: str) -> np.ndarray:
        variable = self.variables[name]
        if variable.levels is not None:
            self._report(f"{variable.label!r} is a factor and cannot be used inside a call.")
        return variable.values

    def _arithmetic(self, operator: str, left: np.ndarray, right: np.ndarray, shown: Expression) -> np.ndarray:
        if operator == "/" and (right == 0).any():
            self._report(f"{render(shown)} divides by 0 in {self._where(right == 0)}.")
            return np.full(len(self.rows), np.nan)
        operations = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}
        return np.asarray(operations[operator](left, right))

    def _log(self, call: Call) -> np.ndarray:
        return self._restricted(call, np.log, lambda x: x <= 0, "above 0")

    def _sqrt(self, call: Call) -> np.ndarray:
        return self._restricted(call, np.sqrt, lambda x: x < 0, "0 or above")

    def _restricted(
        self,
        call: Call,
        function: Callable[[np.ndarray], np.ndarray],
        outside: Callable[[np.ndarray], np.ndarray],
        allowed: str,
    ) -> np.ndarray:
        values = self.numbers(call.arguments[0])
        bad = outside(values)
        if bad.any():
            self._report(
                f"{render(call)} is not defined in {self._where(bad, values)}. Allowed: values {allowed}; "
                f"write log(x + 1), say, where 0 occurs."
            )
        return np.asarray(function(np.where(bad, np.nan, values)))

    def _lag(self, call: Call) -> np.ndarray:
        """Return the same patient's value ``steps`` session numbers earlier; a gap is NaN."""
        stated = call.arguments[1] if len(call.arguments) > 1 else Number(1.0)
        steps = stated.value if isinstance(stated, Number) else 0.0
        if np.isnan(self.rows.session).all() or steps < 1 or steps % 1:
            self._report(f"{render(call)} needs rows that are sessions, and a whole number of sessions from 1.")
            return np.full(len(self.rows), np.nan)
        here = pd.DataFrame({"patient": self.rows.patient, "session": self.rows.session})
        earlier = here.assign(value=self.numbers(call.arguments[0]), session=here.session + steps)
        return here.merge(earlier, on=["patient", "session"], how="left", validate="one_to_one").value.to_numpy(float)

    def _within(self, call: Call) -> np.ndarray:
        inner, factor = self._centring(call)
        if isinstance(inner, Call) and inner.function == "lag":
            return self._lag(Call("lag", (Call("within", (inner.arguments[0], factor)), *inner.arguments[1:])))
        return np.asarray(self.numbers(inner) - self._means(inner, factor))

    def _between(self, call: Call) -> np.ndarray:
        inner, factor = self._centring(call)
        if isinstance(inner, Call) and inner.function == "lag":
            inner = inner.arguments[0]
        return self._means(inner, factor)

    def _centring(self, call: Call) -> tuple[Expression, Expression]:
        means = dict(call.keywords).get("means", Text("observed"))
        if means != Text("observed"):
            self._report(f'{render(call)}: means is "observed"; no other kind is known.')
        if not isinstance(call.arguments[1], Name):
            self._report(f"{render(call)}: the second argument names a grouping factor, such as patient.")
        return call.arguments[0], call.arguments[1]

    def _means(self, inner: Expression, factor: Expression) -> np.ndarray:
        """Return each row's unit mean over that unit's observed rows; NaN where the row has no unit."""
        if not isinstance(factor, Name):
            return np.full(len(self.rows), np.nan)
        ids = pd.Series(self.factor_ids(factor.name))
        means = pd.Series(self.numbers(inner)).groupby(ids).transform("mean")
        return means.mask(ids == "").to_numpy(float)

    def _where(self, bad: np.ndarray, values: np.ndarray | None = None) -> str:
        places = []
        for i in np.flatnonzero(bad):
            session = self.rows.session[i]
            at = "" if np.isnan(session) else f" session {session:g}"
            places.append(f"patient {self.rows.patient[i]!r}{at}" + ("" if values is None else f" ({values[i]:g})"))
        return f"{count_of(len(places), 'row')}: {first_few(places)}"

    def _report(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)
