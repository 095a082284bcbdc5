"""What slopes are multiplied by: moderators at stated values, or at their means over the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from bayes_alliance._messages import quote
from bayes_alliance.design.columns.functions import FUNCTIONS, ROWWISE
from bayes_alliance.design.columns.values import Value
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.latent_columns import FollowSteps
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.linear import drawn_values, follow_mean, stack_draws
from bayes_alliance.expectation.rowwise import RowwiseEvaluator
from bayes_alliance.expectation.set_variables import Setting, position_of
from bayes_alliance.findings import Problem
from bayes_alliance.spec.expressions import Call, Name, Number, calls_in, render
from bayes_alliance.spec.variables_read import values_in

type Weight = float | xr.DataArray
"""A number, or one per draw where it depends on something that is estimated."""

type Parts = frozenset[tuple[str, str]]


@dataclass(frozen=True, eq=False)
class Moderators:
    """Values of moderators.

    ``at`` holds those that are stated, by the variable or by the part of a term it stands in, in the model's names.
    ``order`` are the equations that means over rows are taken from, the first that has a moderator; so one moderator
    has one mean, whatever equation its products are in. ``draws`` are the posterior with group effects.
    """

    design: Design
    at: Mapping[str, Setting]
    order: Sequence[EquationDesign]
    draws: xr.Dataset

    def weight(self, e: EquationDesign, parts: Parts) -> Weight:
        """Return the product of what a column's coefficient is multiplied by in a slope."""
        total: Weight = 1.0
        for part, piece in parts:
            total = total * self.value(e, part, piece)
        return total

    def value(self, e: EquationDesign, part: str, piece: str) -> Weight:
        """Return one column of a moderator: at its stated value, else its mean over the rows.

        Raises
        ------
        FitError
            If a moderator that must be stated is not, has no such value, or is stated twice.
        """
        stated = self._stated(e, part)
        return self._mean(e, part, piece) if not stated else self._at(e, part, piece, *stated[0])

    def _stated(self, e: EquationDesign, part: str) -> list[tuple[str, Setting]]:
        """Return the settings that say where a part is taken: of itself, or of the variable it is a function of."""
        names = {part} | (variables_of(e, part) if is_rowwise(e, part) else set())
        found = [(name, self.at[name]) for name in names if name in self.at]
        if len(found) > 1:
            raise FitError(f"at: {quote(name for name, _ in found)} are one moderator. State one of them.")
        return found

    def _at(self, e: EquationDesign, part: str, piece: str, name: str, value: Setting) -> Weight:
        variable = e.variables.get(name)
        expression = expression_of(e, part)
        if name == part and variable is None and (expression is None or not _of_inner(expression)):
            if piece:
                raise FitError(f"{part} has several columns, which no single value is of; it cannot be stated.")
            return _number(part, value)
        if isinstance(expression, Name) and variable is not None:
            place = position_of(variable, value)
            return float(variable.levels[int(place)] == piece) if variable.levels is not None else place
        assert isinstance(expression, Call)
        return self._evaluated(e, expression, piece, name, value)

    def _evaluated(self, e: EquationDesign, call: Call, piece: str, name: str, value: Setting) -> Weight:
        """Return one column of a call of a variable that is set."""
        inner = call.arguments[0]
        if name not in e.variables and isinstance(inner, Name):
            name = inner.name
        if name in e.variables:
            own = e.variables[name]
            moved = replace(own, values=np.full(len(e.y), position_of(own, value)))
            evaluator = RowwiseEvaluator(e, {**e.variables, name: moved})
        else:
            evaluator = RowwiseEvaluator(e, e.variables)
            call = Call(call.function, (Number(_number(render(call), value)), *call.arguments[1:]), call.keywords)
        column = dict(evaluator.columns(call))[piece]
        if not np.isfinite(column.numbers).all():
            raise FitError(f"{render(call)} is not defined at {name} = {value}.")
        return self._drawn(e, column, evaluator, f"{render(call)} at {name} = {value}")

    def _drawn(self, e: EquationDesign, column: Value, evaluator: RowwiseEvaluator, where: str) -> Weight:
        """Return the one number of a column, per draw where it lies on estimated steps."""
        if np.ptp(column.numbers) > 0:
            raise FitError(f"{where} differs between rows; state the variables it is made of, too.")
        number = float(column.numbers[0])
        if not column.latent:
            return number
        (key,) = column.latent
        follow = evaluator.stepped.get(key, e.follows[key])
        assert isinstance(follow, FollowSteps)
        flat = stack_draws(self.draws)
        return self._per_draw(drawn_values(follow, flat)[:, follow.code[0]])

    def _mean(self, e: EquationDesign, part: str, piece: str) -> Weight:
        source = next((one for one in self.order if _has(one, part, piece)), e)
        variable = source.variables.get(part)
        if variable is not None and variable.levels is not None:
            return float(np.mean(variable.values == variable.levels.index(piece)))
        if variable is not None:
            return float(np.mean(variable.values))
        alone = [i for i, parts in enumerate(source.coef.parts) if parts == frozenset({(part, piece)})]
        if not alone:
            raise FitError(
                f"{part} moderates an effect on {e.outcome!r} and has no column of its own; state its value: "
                f"at={{{part!r}: ...}}."
            )
        mean: Weight = float(source.coef.values[:, alone[0]].mean())
        for key, weight in source.coef.latent[alone[0]].items():
            # what is estimated has another mean than what stands in for it in the columns
            apart = follow_mean(self.design, source.follows[key], weight, stack_draws(self.draws))
            mean = mean + self._per_draw(apart)
        return mean

    def _per_draw(self, values: np.ndarray) -> xr.DataArray:
        sizes = self.draws.sizes
        coords = {"chain": self.draws["chain"], "draw": self.draws["draw"]}
        return xr.DataArray(values.reshape(sizes["chain"], sizes["draw"]), dims=("chain", "draw"), coords=coords)


def expression_of(e: EquationDesign, part: str) -> Name | Call | None:
    """Return a part of the equation's terms by its text."""
    return next((p for t in e.spec.parsed.every_term for p in t.parts if render(p) == part), None)


def variables_of(e: EquationDesign, part: str) -> set[str]:
    """Return the variables that a part of a term reads."""
    expression = expression_of(e, part)
    return {part} if expression is None else set(values_in(expression))


def is_rowwise(e: EquationDesign, part: str) -> bool:
    """Return whether a part of a term is a function of the row's own values."""
    expression = expression_of(e, part)
    return expression is not None and all(call.function in ROWWISE for call in calls_in(expression))


def _of_inner(expression: Name | Call) -> bool:
    """Return whether the value stated of a part is that of what stands in it, as the part has no one value."""
    return isinstance(expression, Call) and (
        expression.function == "mo" or (expression.function in FUNCTIONS.several and expression.function != "surface")
    )


def _has(e: EquationDesign, part: str, piece: str) -> bool:
    """Return whether an equation's rows have a moderator's column."""
    variable = e.variables.get(part)
    if variable is not None:
        return variable.levels is None or piece in variable.levels
    return any(parts == frozenset({(part, piece)}) for parts in e.coef.parts)


def _number(name: str, value: Setting) -> float:
    if isinstance(value, str) or not np.isfinite(value):
        raise FitError(f"{name!r} is a number; {value!r} cannot be set.")
    return float(value)


def check_held(parts: Sequence[tuple[EquationDesign, Parts]], at: Mapping[str, Setting], nothing: str) -> None:
    """Refuse stated values of what multiplies none of these columns; ``nothing`` starts the sentence.

    Raises
    ------
    FitError
        With what can be stated, and how what stands in a call is.
    """
    held: dict[str, None] = {}
    inside: dict[str, list[str]] = {}
    for e, own in parts:
        for part, _ in own:
            held[part] = None
            for name in variables_of(e, part):
                if is_rowwise(e, part):
                    held[name] = None
                elif name != part:
                    inside.setdefault(name, []).append(part)
    problems = []
    for name in at:
        if name in held:
            continue
        written = inside.get(name, [])
        what = f"{nothing} depends on {name!r}."
        if written:
            problems.append(
                Problem(what, fix=f"State the value of {quote(dict.fromkeys(written))}, in which it stands.")
            )
        else:
            problems.append(Problem(what, allowed=f"What can be stated: {quote(held) or 'nothing'}."))
    if problems:
        raise FitError(problems)
