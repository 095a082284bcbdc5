"""Columns of rows in which some outcomes are drawn: what a formula reads of them, now, earlier, or as means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr
from scipy import sparse

from bayes_alliance.design.columns.values import CallColumns, Value
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.latent_columns import FollowSteps, FollowValue
from bayes_alliance.expectation.linear import drawn_values, follow_rows
from bayes_alliance.expectation.linked import Linked
from bayes_alliance.expectation.new_data import Moved, Units
from bayes_alliance.expectation.rowwise import RowwiseEvaluator, category_of
from bayes_alliance.names import SESSION
from bayes_alliance.spec.expressions import Call, Expression, Name, Number, Text, render
from bayes_alliance.spec.functions import CURRENT


@dataclass(frozen=True, eq=False)
class Places:
    """Where rows of several equations meet: a number per patient and session, and per unit where rows are wider.

    ``of_rows`` has every row's place, by outcome, and ``rows`` the row at every place, -1 where there is none.
    ``patient`` and ``session`` have shape (place,); ``units`` say by factor which level a place is in, -1 where none.
    """

    of_rows: Mapping[str, np.ndarray]
    rows: Mapping[str, np.ndarray]
    patient: np.ndarray
    session: np.ndarray
    units: Mapping[str, np.ndarray]

    def earlier(self, places: np.ndarray, steps: int, longest: int) -> np.ndarray:
        """Return the latest place of the same patient that lies as many sessions back, -1 where there is none.

        Sessions without a number have none before them.
        """
        numbered = np.flatnonzero(self.session >= 0)
        known = pd.MultiIndex.from_arrays([self.patient[numbered], self.session[numbered]])
        found = np.full(len(places), -1, dtype=np.int64)
        if not known.is_unique:
            return found
        there = (places >= 0) & (self.session[places] >= 0)
        for gap in range(longest, steps - 1, -1):
            wanted = pd.MultiIndex.from_arrays([self.patient[places], self.session[places] - gap])
            at = known.get_indexer(wanted)
            found[there & (at >= 0)] = numbered[at[there & (at >= 0)]]
        return found


def find_places(
    equations: Mapping[str, EquationDesign], new: Mapping[str, Mapping[str, Units] | None] | None = None
) -> Places:
    """Return where the rows of equations meet; ``new`` are the units of new rows, by equation.

    Rows of one unit meet by patient and session. An outcome of a wider unit, such as a therapist's, is in all rows of
    that unit. New rows meet one by one, whatever their unit.
    """
    keys = {}
    for name, e in equations.items():
        without = np.isnan(e.session)  # sessions without a number meet in their row of the table
        session, row = np.where(without, -1.0, e.session), np.where(without, e.row, -1)
        unit = [e.spec.unit if new is None or new.get(name) is None else ""] * len(row)
        keys[name] = pd.MultiIndex.from_arrays([e.patient.astype(str), session, row, unit])
    whole = next(iter(keys.values()))
    for own in keys.values():
        whole = whole.union(own)
    of_rows = {name: whole.get_indexer(own) for name, own in keys.items()}
    rows = {}
    for name, places in of_rows.items():
        rows[name] = np.full(len(whole), -1, dtype=np.int64)
        rows[name][places] = np.arange(len(places))
    patient = pd.factorize(whole.get_level_values(0))[0]
    units = {"patient": patient}
    for name, e in equations.items():
        for group in e.groups:
            if group.slot == 0 and group.factor != "patient":
                code = units.setdefault(group.factor, np.full(len(whole), -1))
                here = group.units if new is None or new.get(name) is None else _codes(new[name], group.factor)
                code[of_rows[name]] = np.where(here >= 0, here, code[of_rows[name]])
    for name, wider in equations.items() if new is None or not any(new.values()) else ():
        for other, e in equations.items():
            ids = unit_of(e, wider.spec.unit) if e.spec.unit != wider.spec.unit else None
            if ids is not None:
                rows[name][of_rows[other]] = pd.Index(wider.patient.astype(str)).get_indexer(ids)
    return Places(of_rows, rows, patient, whole.get_level_values(1).to_numpy(float), units)


def unit_of(e: EquationDesign, unit: str) -> np.ndarray | None:
    """Return which unit of a wider kind every row is in, empty where in none; None where an equation does not say."""
    if unit == "patient" and e.spec.unit == SESSION:
        return np.asarray(e.patient.astype(str))
    for group in e.groups:
        if group.factor == unit and group.slot == 0:
            return np.asarray(np.array([*group.levels, ""], dtype=object)[group.units])
    return None


def _codes(units: Mapping[str, Units] | None, factor: str) -> np.ndarray:
    assert units is not None
    return np.where(units[factor].there, units[factor].code, -1)


@dataclass(eq=False)
class Course:
    """Outcomes as they follow from what is set, filled while they are drawn.

    ``moved`` holds every equation with variables set, by the model's name of its outcome. ``values`` and ``means`` have
    shape (draw, obs) per outcome: what was drawn, and the latent mean, what its equation says without earlier sessions
    and deviations; missing until they are drawn. ``constant`` are the values that variables are set to in all sessions.
    ``opened`` are the calls whose columns have to be worked out, by outcome; ``known`` keeps those of others.
    ``linked`` is what rows read of other equations' linear predictors, by outcome and call, and ``read`` its values,
    (draw, obs).
    """

    design: Design
    flat: xr.Dataset
    moved: Mapping[str, Moved]
    places: Places
    constant: Mapping[str, Mapping[str, float]]
    opened: Mapping[str, frozenset[str]]
    linked: Mapping[tuple[str, str], Linked] = field(default_factory=dict)
    values: dict[str, np.ndarray] = field(default_factory=dict)
    means: dict[str, np.ndarray] = field(default_factory=dict)
    known: dict[tuple[str, str], list[tuple[str, np.ndarray]]] = field(default_factory=dict)
    observed: dict[str, set[int]] = field(default_factory=dict)
    unit_means: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    read: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)

    @property
    def draws(self) -> int:
        """Return the number of posterior draws."""
        return int(self.flat.sizes["sample"])

    def means_of(self, name: str, factor: str) -> np.ndarray:
        """Return the means of a factor's levels of an outcome, drawn where it is and else observed, (draw, level).

        They are kept: an outcome is whole before means of it are read.
        """
        if (name, factor) not in self.unit_means:
            self.unit_means[name, factor] = self._means_of(name, factor)
        return self.unit_means[name, factor]

    def _means_of(self, name: str, factor: str) -> np.ndarray:
        rows = self.places.rows[name]
        whole = np.where(rows >= 0, self.values[name][:, rows], np.nan)
        for moved in self.moved.values():  # what is known of it where it is not drawn
            variable = moved.equation.variables.get(name)
            if variable is not None and moved.equation.spec.outcome != name:
                places = self.places.of_rows[moved.equation.spec.outcome]
                whole[:, places] = np.where(np.isnan(whole[:, places]), variable.values, whole[:, places])
        code = self.places.units[factor]
        seen = (code >= 0) & ~np.isnan(whole).any(axis=0)
        size = int(code.max(initial=0)) + 1
        member = sparse.csr_array(
            (seen.astype(float), (np.arange(len(code)), np.maximum(code, 0))), shape=(len(code), size)
        )
        count = np.bincount(np.maximum(code, 0), seen, size)
        return np.where(count > 0, (np.nan_to_num(whole) @ member) / np.maximum(count, 1), np.nan)


class DrawnEvaluator(RowwiseEvaluator):
    """Evaluates an equation's formulas at some places, once per draw; a place of -1 has no value."""

    def __init__(self, course: Course, name: str, places: np.ndarray, *, earlier: bool = False) -> None:
        self.course, self.name, self.at_places, self.earlier = course, name, places, earlier
        moved = course.moved[name]
        self.constant = course.constant.get(name, {})
        super().__init__(moved.equation, {})
        self.around = {}
        self.here = course.places.rows[name][places]
        self.here[places < 0] = -1
        size = course.draws * len(places)
        # nothing but the number of rows is read of these
        self.rows = type(self.rows)(moved.equation.spec.unit, None, *(np.zeros(size, dtype=np.int8),) * 3)  # type: ignore[arg-type]
        self.variables = {own: self._drawn(own, variable) for own, variable in moved.variables.items()}

    def _drawn(self, name: str, variable: Variable) -> Variable:
        """Return a variable at the places, once per draw."""
        course, count = self.course, len(self.at_places)
        if name in self.constant:
            return Variable(name, variable.label, np.full(course.draws * count, self.constant[name]), variable.levels)
        own = np.where(self.here >= 0, variable.values[self.here], np.nan)
        if name not in course.values:
            return Variable(name, variable.label, np.tile(own, course.draws), variable.levels)
        return Variable(name, variable.label, self._of(course.values[name], name, own).ravel())

    def _of(self, values: np.ndarray, name: str, otherwise: np.ndarray | float = np.nan) -> np.ndarray:
        """Return an outcome's values (draw, obs) at the places, (draw, place)."""
        rows = self.course.places.rows[name][self.at_places]
        return np.where((rows >= 0) & (self.at_places >= 0), values[:, rows], otherwise)

    def columns(self, part: Name | Call) -> list[tuple[str, Value]]:
        """Return the columns of a part; of calls that read no drawn outcome those that they have."""
        if not isinstance(part, Call):
            return super().columns(part)
        text = render(part)
        known = self.course.moved[self.name].calls.get(text, self.equation.calls.get(text))
        if known is None:
            return super().columns(part)
        if text not in self.course.opened[self.name]:
            return [(piece, self._at(own)) for piece, own in self._known(text, known)]
        found = super().columns(part)
        if not any(np.isnan(value.numbers).any() for _, value in found):
            return found
        # where nothing is drawn at an earlier session, what was observed there is read
        empty = [np.isnan(value.numbers).reshape(self.course.draws, -1).any(axis=0) for _, value in found]
        self._note(np.any(empty, axis=0) & (self.here >= 0))
        before = [self._at(own).numbers for _, own in self._known(text, known)]
        return [
            (piece, Value(np.where(np.isnan(value.numbers), own, value.numbers)))
            for (piece, value), own in zip(found, before, strict=True)
        ]

    def _known(self, text: str, columns: CallColumns) -> list[tuple[str, np.ndarray]]:
        """Return the columns that a call has in the rows, what is estimated of them as drawn, shape (draw, obs)."""
        known = self.course.known.get((self.name, text))
        if known is None:
            follows, known = self.course.moved[self.name].follows, []
            for piece, value in columns.pieces:
                total = np.broadcast_to(value.numbers, (self.course.draws, len(value.numbers)))
                for key, weight in value.latent.items():
                    if weight.any():
                        total = total + weight * follow_rows(self.course.design, follows[key], self.course.flat)
                known.append((piece, total))
            self.course.known[self.name, text] = known
        return known

    def value(self, expression: Expression) -> Value:
        """Return an expression's value at every place and draw."""
        match expression:
            case Call("lag", (inner, *rest), keywords):
                steps = int(rest[0].value) if rest and isinstance(rest[0], Number) else 1
                longest = dict(keywords).get("max_gap", Number(steps))
                assert isinstance(longest, Number)
                before = self.course.places.earlier(self.at_places, steps, int(longest.value))
                return DrawnEvaluator(self.course, self.name, before, earlier=True).value(inner)
            case Call("within", (Call("lag", (inner, *rest), lagged), factor), keywords):
                return self.value(Call("lag", (Call("within", (inner, factor), keywords), *rest), lagged))
            case Call("within", (inner, Name(factor)), keywords):
                return self._apart(self.value(inner), self._mean(inner, factor, dict(keywords)))
            case Call("between", (inner, Name(factor)), keywords):
                bare = inner.arguments[0] if isinstance(inner, Call) and inner.function == "lag" else inner
                mean, wider = self._mean(bare, factor, dict(keywords)), dict(keywords).get("within")
                if isinstance(wider, Name):
                    return self._apart(mean, self._mean(bare, wider.name, dict(keywords)))
                return mean
            case Call(function) if function in CURRENT:
                return self._at(self.course.read[self.name, render(expression)])
            case _:
                return super().value(expression)

    def _apart(self, one: Value, other: Value) -> Value:
        return Value(one.numbers - other.numbers)

    def _mean(self, inner: Expression, factor: str, keywords: Mapping[str, Expression]) -> Value:
        """Return the mean of a unit: the latent one of a drawn outcome, or that of what was drawn in its rows."""
        bare = inner.arguments[0] if isinstance(inner, Call) and inner.function == "mi" else inner
        assert isinstance(bare, Name)
        name = bare.name
        if name in self.constant:
            return Value(np.full(len(self.rows), self.constant[name]))
        if keywords.get("means", Text("observed")) != Text("observed"):
            return Value(self._of(self.course.means[name], name).ravel())
        code = self.course.places.units[factor][self.at_places]
        means = self.course.means_of(name, factor)
        inside = (code >= 0) & (self.at_places >= 0)
        return Value(np.where(inside, means[:, np.maximum(code, 0)], np.nan).ravel())

    def _note(self, rows: np.ndarray) -> None:
        """Keep which rows read what was observed."""
        if rows.any():
            self.course.observed.setdefault(self.name, set()).update(self.here[rows].tolist())

    def _followed(self, call: Call) -> Value:
        """Return a modelled value or a step as drawn, unless it is set or drawn anew."""
        course, name = self.course, render(call.arguments[0])
        anew = name in course.values or name in self.constant or name in course.moved[self.name].moved
        for key, follow in self.equation.follows.items():
            if getattr(key, "variable", None) != name or key.lag is not None:
                continue
            if isinstance(follow, FollowSteps):
                way = drawn_values(follow, course.flat)
                if not anew:
                    return self._at(way[:, follow.code])
                code = category_of(self.variables[name], follow).reshape(len(way), -1)
                return Value(np.take_along_axis(way, code, axis=1).ravel())
            if isinstance(follow, FollowValue) and not anew:
                values = drawn_values(follow, course.flat)[:, follow.code]
                return self._at(np.where(follow.inside, values, follow.plugged))
        return Value(self.variables[name].values)

    def _at(self, values: np.ndarray) -> Value:
        return Value(np.where(self.here >= 0, values[:, self.here], np.nan).ravel())
