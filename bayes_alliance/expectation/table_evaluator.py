"""Columns of new rows: calls that read other rows read the other new rows of the same patient, therapist or group."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from bayes_alliance.design.columns.evaluator import Evaluator
from bayes_alliance.design.columns.values import CallColumns, Value
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.expectation.rowwise import RowwiseEvaluator
from bayes_alliance.names import SESSION
from bayes_alliance.spec.expressions import Call, Expression, Text, calls_in, render
from bayes_alliance.spec.functions import CURRENT
from bayes_alliance.spec.variables_read import factors_in, values_in

FROM_TABLE = ("lag", "between", "within", "others")
"""Calls that are worked out over the new rows."""


class TableEvaluator(RowwiseEvaluator):
    """Evaluates over new rows: lags, means and deviations are of the new rows alone, unless a column states them.

    ``ids`` returns the unit of every row by grouping factor, empty text where it has none.
    """

    def __init__(
        self,
        equation: EquationDesign,
        variables: Mapping[str, Variable],
        stated: Mapping[str, CallColumns],
        ids: Callable[[str], np.ndarray],
    ) -> None:
        super().__init__(equation, variables)
        self.around = dict(stated)
        self.factor_ids = ids

    @property
    def whole(self) -> Evaluator:
        """Return the evaluator itself: what other rows read is there or not, and no row is left out."""
        return self

    def value(self, expression: Expression) -> Value:
        """Return the expression's value in every row, NaN where the rows lack what it is worked out of."""
        if isinstance(expression, Call) and expression.function in FROM_TABLE:
            return Evaluator.value(self, expression)
        return super().value(expression)


def lacks_in_table(
    equation: EquationDesign, part: Expression, columns: Collection[str], drawn: Collection[str] = ()
) -> str:
    """Return what is needed to work a call out over new rows and is not there, empty where all is.

    ``columns`` are the ids, and the session, that the rows have, by role; ``drawn`` are outcomes whose equations are
    worked out, too.
    """
    linked = [call for call in calls_in(part) if call.function in CURRENT]
    if linked and set(drawn) & set(values_in(part)):
        return ""
    if linked:
        return f"what the equation of {render(linked[0].arguments[0])} says"
    if any(name not in equation.variables for name in values_in(part)):
        return "values of every session, and a row is wider"
    for call in calls_in(part):
        keywords = dict(call.keywords)
        if keywords.get("means", Text("observed")) != Text("observed"):
            return "means that are estimated, of the units that were fitted"
        needed = {"lag": ["patient", SESSION], "others": [SESSION]}.get(call.function, [])
        lacking = [name for name in (*factors_in(call), *needed) if name not in columns]
        if lacking:
            return f"a column {lacking[0]!r}, which the rows do not have"
    return ""
