"""Columns of rows in which variables were set, as far as a row's own values tell them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bayes_alliance._messages import quote
from bayes_alliance.design.columns.evaluator import Evaluator
from bayes_alliance.design.columns.functions import FUNCTIONS, ROWWISE
from bayes_alliance.design.columns.rows import Rows
from bayes_alliance.design.columns.surfaces import form_of, surface_columns
from bayes_alliance.design.columns.values import CallColumns, Hidden, Value
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.latent_columns import Follow, FollowSteps, FollowValue
from bayes_alliance.errors import FitError
from bayes_alliance.findings import Findings
from bayes_alliance.spec.expressions import Call, Expression, Name, render


class RowwiseEvaluator(Evaluator):
    """Evaluates over the rows used; calls that read other rows have the columns they were observed to have.

    ``calls`` are columns that calls are set to. ``stepped`` collects the ordered predictors that are set, with their
    categories.
    """

    def __init__(
        self,
        equation: EquationDesign,
        variables: Mapping[str, Variable],
        calls: Mapping[str, CallColumns] | None = None,
    ) -> None:
        rows = Rows(equation.spec.unit, None, equation.patient, equation.session, equation.row)  # type: ignore[arg-type]
        super().__init__(FUNCTIONS, rows, variables, lambda _: equation.patient, Findings(), knots=dict(equation.knots))
        self.equation = equation
        self.around = {**equation.calls, **(calls or {})}
        self.stepped: dict[Hidden, Follow] = {}

    def _followed(self, call: Call) -> Value:
        """Return a modelled value or a step: following what is estimated, unless it is set."""
        name = render(call.arguments[0])
        variable, observed = self.variables[name], self.equation.variables[name]
        for key, follow in self.equation.follows.items():
            if getattr(key, "variable", None) != name or key.lag is not None:
                continue
            if isinstance(follow, FollowValue):
                if variable is not observed:
                    return Value(variable.values)
                return Value(follow.plugged, {key: follow.inside.astype(float)})
            if isinstance(follow, FollowSteps):
                if variable is not observed:
                    code = category_of(variable, follow)
                    share = code / (len(follow.categories) - 1)
                    follow = FollowSteps(follow.name, follow.categories, code, share)
                    self.stepped[key] = follow
                return Value(follow.plugged, {key: np.ones(len(follow.code))})
        return Value(variable.values)

    def value(self, expression: Expression) -> Value:
        """Return 0 for calls that read other rows inside others; columns of these are left as observed."""
        if isinstance(expression, Call) and expression.function in ("mi", "mo"):
            return self._followed(expression)
        if isinstance(expression, Call) and expression.function == "centred":
            constant = self.equation.constants[render(expression)]
            return self.value(expression.arguments[0]).plus(Value(np.full(len(self.rows), -constant)))
        if isinstance(expression, Call) and expression.function not in ROWWISE:
            return Value(np.zeros(len(self.rows)))
        return super().value(expression)

    def columns(self, part: Name | Call) -> list[tuple[str, Value]]:
        """Return the columns of a part: of a call that reads other rows those it is set to, or observed."""
        if isinstance(part, Call) and render(part) in self.around:
            return list(self.around[render(part)].pieces)
        if isinstance(part, Call) and part.function == "surface" and render(part) in self.equation.constants:
            constant = self.equation.constants[render(part)]
            x, y = (self.value(argument).numbers - constant for argument in part.arguments)
            return surface_columns(form_of(part), x, y)
        return super().columns(part)


def category_of(variable: Variable, follow: FollowSteps) -> np.ndarray:
    """Return the category, counted from the lowest, that an ordered predictor was set to.

    Raises
    ------
    FitError
        If it is none of them.
    """
    names, levels = list(follow.categories), variable.levels
    words = [levels[int(v)] if levels is not None else f"{v:g}" for v in variable.values]
    odd = sorted(set(words) - set(names))
    if odd:
        raise FitError(f"{variable.label!r} has no category {quote(odd)}; it has {quote(names)}.")
    return np.array([names.index(word) for word in words])
