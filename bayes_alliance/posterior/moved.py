"""Columns with some predictors set to stated values, modelled values and steps followed as drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import xarray as xr

from bayes_alliance._messages import quote
from bayes_alliance.design.equation import EquationDesign
from bayes_alliance.design.follow import FollowSteps, FollowValue
from bayes_alliance.design.rows import Rows
from bayes_alliance.design.surfaces import pieces_of
from bayes_alliance.design.transforms import ROWWISE, Evaluator
from bayes_alliance.design.values import CurrentOf, Hidden, Value
from bayes_alliance.design.variables import Variable
from bayes_alliance.errors import FitError
from bayes_alliance.names import COEF
from bayes_alliance.posterior.linear import drawn_values
from bayes_alliance.spec.expressions import Call, Expression, Name, render


class Moved:
    """Coded columns with some predictors set, and how they follow modelled values and steps.

    Columns in ``fixed`` stay as observed; ``codes`` are the categories of ordered predictors as set.
    """

    def __init__(
        self,
        equation: EquationDesign,
        values: np.ndarray,
        latent: Sequence[Mapping[Hidden, np.ndarray]],
        fixed: Sequence[int],
        codes: Mapping[Hidden, np.ndarray],
    ) -> None:
        read = [key.variable for key in equation.follows if isinstance(key, CurrentOf)]
        if read:
            raise FitError(
                f"{equation.outcome} reads what the equation of {read[0]} says of each patient, which is estimated "
                f"and is not set; use predict_hazard, or the coefficients."
            )
        self.equation, self.codes = equation, codes
        self.values = values.copy()
        self.values[:, fixed] = equation.coef.values[:, fixed]
        self.latent = [equation.coef.latent[i] if i in fixed else own for i, own in enumerate(latent)]
        self.fixed = fixed

    def mean_shift(self, flat: xr.Dataset) -> np.ndarray:
        """Return what modelled values and steps add to the mean of the linear predictor over rows, shape (draw,)."""
        total = np.zeros(flat.sizes["sample"])
        for b, weight, code, plugged, values in self._parts(flat):
            pooled = np.bincount(code, weight, values.shape[1]) / len(weight)
            total += b * (values @ pooled - (weight * plugged).mean())
        return total

    def row_shift(self, flat: xr.Dataset) -> np.ndarray:
        """Return the same of every row, shape (draw, obs)."""
        total = np.zeros((flat.sizes["sample"], len(self.equation.y)))
        for b, weight, code, plugged, values in self._parts(flat):
            total += b[:, None] * weight * (values[:, code] - plugged)
        return total

    def _parts(self, flat: xr.Dataset) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """Yield coefficient, weights, codes, what is plugged in and drawn values of everything that is followed."""
        b = flat["b"].sel({COEF: list(self.equation.coef_labels)}).transpose("sample", COEF).values
        for i, weights in enumerate(self.latent):
            for key, weight in weights.items():
                follow = self.equation.follows[key]
                if not isinstance(follow, FollowValue | FollowSteps):
                    continue
                code, plugged = follow.code, follow.plugged
                if i not in self.fixed and key in self.codes and isinstance(follow, FollowSteps):
                    code = self.codes[key]
                    plugged = code / len(follow.steps)
                yield b[:, i], weight, code, plugged, drawn_values(follow, flat)


class RowwiseEvaluator(Evaluator):
    """Evaluates over the rows used; calls that look at other rows are left to the observed columns.

    ``codes`` collects the categories of ordered predictors.
    """

    def __init__(self, equation: EquationDesign, variables: dict[str, Variable]) -> None:
        rows = Rows(equation.spec.unit, None, equation.patient, equation.session, equation.row)  # type: ignore[arg-type]
        super().__init__(rows, variables, lambda _: equation.patient, [])
        self.equation = equation
        self.codes: dict[Hidden, np.ndarray] = {}

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
                code = follow.code if variable is observed else category_of(variable, follow)
                self.codes[key] = code
                return Value(code / len(follow.steps), {key: np.ones(len(code))})
        return Value(variable.values)

    def value(self, expression: Expression) -> Value:
        """Return 0 for calls that look at other rows."""
        if isinstance(expression, Call) and expression.function in ("mi", "mo"):
            return self._followed(expression)
        if isinstance(expression, Call) and expression.function not in ROWWISE:
            return Value(np.zeros(len(self.rows)))
        return super().value(expression)

    def columns(self, part: Name | Call) -> list[tuple[str, Value]]:
        """Return the columns of a part, all 0 for a surface."""
        if isinstance(part, Call) and part.function == "surface":
            return [(piece, Value(np.zeros(len(self.rows)))) for piece in pieces_of(part)]
        return super().columns(part)


def category_of(variable: Variable, follow: FollowSteps) -> np.ndarray:
    """Return the category, counted from the lowest, that an ordered predictor was set to.

    Raises
    ------
    FitError
        If it is none of them.
    """
    names = [follow.steps[0].split(" to ")[0], *(step.split(" to ")[1] for step in follow.steps)]
    levels = variable.levels
    words = [levels[int(v)] if levels is not None else f"{v:g}" for v in variable.values]
    odd = sorted(set(words) - set(names))
    if odd:
        raise FitError(f"{variable.label!r} has no category {quote(odd)}; it has {quote(names)}.")
    return np.array([names.index(word) for word in words])
