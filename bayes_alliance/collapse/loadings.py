"""Linear predictors as polynomials in loadings: what is known, and what multiplies effects, by product of loadings.

A coefficient that multiplies something estimated (a latent mean, a modelled value, what another equation says) is a
loading. Given the loadings a linear predictor is linear in coefficients and effects that are normal, with weights that
are sums of products of loadings. Intercepts are counted where predictors with loadings are 0 and the others at their
centring constants: else what an equation with loadings says to others would be a product of loadings throughout.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from bayes_alliance.design.columns.values import Hidden
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.latent_columns import (
    Follow,
    FollowMeasured,
    FollowModelled,
    FollowSteps,
    FollowValue,
)
from bayes_alliance.design.equations.measured_means import Measured
from bayes_alliance.names import INTERCEPT

type Effects = Mapping[int, tuple[np.ndarray, np.ndarray]]
"""By factor: levels of shape (obs,), -1 for none, and covariates of shape (obs, effect)."""


class NotLinearError(Exception):
    """Something keeps rows from being linear in effects of one level per factor; the text says what, and where.

    ``values`` is the outcome of whose modelled values a row reads two, if it is that.
    """

    def __init__(self, text: str, values: str | None = None) -> None:
        super().__init__(text)
        self.values = values


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear predictor over rows: what is known, shape (obs,), coefficients' columns, (obs, coef), and effects."""

    known: np.ndarray
    coef: np.ndarray
    effects: Effects = field(default_factory=dict)

    def plus(self, other: Linear) -> Linear:
        """Return the sum."""
        effects = dict(self.effects)
        for factor, (code, values) in other.effects.items():
            effects[factor] = _join(factor, effects[factor], (code, values)) if factor in effects else (code, values)
        return Linear(self.known + other.known, self.coef + other.coef, effects)

    def times(self, weight: np.ndarray) -> Linear:
        """Return the product with numbers of shape (obs,)."""
        column = weight[:, None]
        effects = {factor: (code, values * column) for factor, (code, values) in self.effects.items()}
        return Linear(self.known * weight, self.coef * column, effects)

    def rows(self, place: np.ndarray) -> Linear:
        """Return some of the rows."""
        effects = {factor: (code[place], values[place]) for factor, (code, values) in self.effects.items()}
        return Linear(self.known[place], self.coef[place], effects)


type Form = dict[tuple[int, ...], Linear]
"""A linear predictor by the loadings that multiply it, in order; of none, what multiplies 1."""


class _TwoLevelsError(Exception):
    """Rows have effects of two levels of a factor; the argument is the factor's place."""


def _join(
    factor: int, one: tuple[np.ndarray, np.ndarray], two: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of effects of one factor, whose rows must be of one level each."""
    (code, values), (other, more) = one, two
    has, adds = (values != 0).any(axis=1), (more != 0).any(axis=1)
    if (has & adds & (code != other)).any():
        raise _TwoLevelsError(factor)
    return np.where(has, code, other), values + more


def add(form: Form, other: Form, weight: np.ndarray | None = None, loading: int | None = None) -> None:
    """Add a linear predictor to a form, each row times a weight, all of it times a loading."""
    for product, linear in other.items():
        key = product if loading is None else tuple(sorted((*product, loading)))
        own = linear if weight is None else linear.times(weight)
        form[key] = form[key].plus(own) if key in form else own


@dataclass(frozen=True, eq=False)
class Index:
    """Where everything stands that is estimated.

    ``coef`` and ``loading``, shape (coef of the design,), are each coefficient's place among those integrated out and
    among the loadings, -1 where it is the other. ``mean`` is the place of a measured variable's overall mean behind the
    former. ``factor`` is the place of each grouping factor, by name; ``unit`` of a measured variable's units, by
    variable and factor; ``value`` of an outcome's modelled values; ``rest`` of the members of a variable's finite units
    that were not measured. ``held`` is of outcomes of whose modelled values a row may read several: they are effects of
    patients, and it says of each its patient and which of the patient's it is, shape (value, 2).
    """

    coef: np.ndarray
    loading: np.ndarray
    mean: Mapping[str, int]
    factor: Mapping[str, int]
    unit: Mapping[tuple[str, str], int]
    value: Mapping[str, int]
    rest: Mapping[str, int]
    held: Mapping[str, np.ndarray]

    def name_factor(self, place: int) -> str:
        """Return what a factor is called in messages."""
        units = {at: f"{factor} (means of {name})" for (name, factor), at in self.unit.items()}
        values = {at: f"the modelled values of {outcome}" for outcome, at in self.value.items()}
        rests = {at: f"members not measured (of {name})" for name, at in self.rest.items()}
        return ({at: name for name, at in self.factor.items()} | units | values | rests)[place]

    def two_levels(self, what: str, place: int) -> NotLinearError:
        """Return the error that rows read two levels of a factor."""
        values = next((outcome for outcome, at in self.value.items() if at == place), None)
        return NotLinearError(f"rows of {what} read two levels of {self.name_factor(place)}", values)

    @property
    def coefs(self) -> int:
        """Return how many coefficients are integrated out, means among them."""
        return int((self.coef >= 0).sum()) + len(self.mean)


def is_split(design: Design) -> bool:
    """Return whether something is estimated beside the coefficients and effects that the equations have."""
    return bool(design.measured) or any(e.modelled is not None or _loads(design, e).any() for e in design.equations)


def make_index(design: Design, together: Collection[str] = ()) -> Index:
    """Give everything estimated its place.

    Parameters
    ----------
    design : Design
        In which something is estimated beside coefficients and effects.
    together : collection of str
        Outcomes whose modelled values are effects of patients.
    """
    loads = np.concatenate([np.zeros(0, dtype=bool), *(_loads(design, e) for e in design.equations)])
    coef = np.where(loads, -1, np.cumsum(~loads) - 1)
    loading = np.where(loads, np.cumsum(loads) - 1, -1)
    first = int((~loads).sum())
    factor = {own.factor: place for place, own in enumerate(design.factors)}
    units = [(m.name, name) for m in design.measured for name in m.factors]
    values = [e.outcome for e in design.equations if e.modelled is not None]
    before = len(factor) + len(units) + len(values)
    return Index(
        coef=coef,
        loading=loading,
        mean={m.name: first + i for i, m in enumerate(design.measured)},
        factor=factor,
        unit={key: len(factor) + i for i, key in enumerate(units)},
        value={outcome: len(factor) + len(units) + i for i, outcome in enumerate(values)},
        rest={m.name: before + i for i, m in enumerate(own for own in design.measured if own.finite)},
        held={outcome: _held(design.find(outcome)) for outcome in together},
    )


def _held(e: EquationDesign) -> np.ndarray:
    """Return of each modelled value its patient, of those who have one, and its number among the patient's."""
    assert e.modelled is not None
    patient = np.unique(e.patient[e.modelled.rows], return_inverse=True)[1]
    return np.column_stack([patient, pd.Series(patient).groupby(patient).cumcount()])


def _loads(design: Design, e: EquationDesign) -> np.ndarray:
    """Return which coefficients of an equation multiply something estimated, shape (coef,)."""
    return np.array([bool(_followed(design, e, column)) for column in range(len(e.coef.labels))], dtype=bool)


def _followed(design: Design, e: EquationDesign, column: int) -> list[tuple[Follow, np.ndarray]]:
    """Return what a column follows that is not as it was observed, with its weights."""
    latent: Mapping[Hidden, np.ndarray] = e.coef.latent[column] if e.coef.latent else {}
    own = [(e.follows[key], weight) for key, weight in latent.items()]
    return [(f, w) for f, w in own if not (isinstance(f, FollowValue) and design.find(f.outcome).modelled is None)]


class Forms:
    """The linear predictors of a design's equations, each worked out once.

    Parameters
    ----------
    design : Design
        Of Gaussian outcomes.
    index : Index
        Of the same design.
    """

    def __init__(self, design: Design, index: Index) -> None:
        self.design, self.index = design, index
        sizes = [len(e.coef.labels) for e in design.equations]
        starts = np.cumsum([0, *sizes])
        self._start = {e.outcome: int(start) for e, start in zip(design.equations, starts, strict=False)}
        own = {
            e.outcome: index.loading[start : start + size]
            for e, start, size in zip(design.equations, starts, sizes, strict=False)
        }
        self._centre = {e.outcome: np.where(own[e.outcome] >= 0, 0.0, e.centre) for e in design.equations}
        self._done: dict[str, Form] = {}
        self._begun: set[str] = set()

    def of(self, e: EquationDesign) -> Form:
        """Return the linear predictor of an equation's rows."""
        if e.outcome not in self._done:
            if e.outcome in self._begun:
                raise NotLinearError(f"{e.outcome} follows modelled values of its own")
            self._begun.add(e.outcome)
            try:
                self._done[e.outcome] = self._make(e)
            except _TwoLevelsError as error:
                raise self.index.two_levels(e.outcome, int(error.args[0])) from None
        return self._done[e.outcome]

    def _make(self, e: EquationDesign) -> Form:
        rows, start = len(e.y), self._start[e.outcome]
        plain = np.zeros((rows, self.index.coefs))
        for column, values in enumerate(e.coef.values.T):
            place = self.index.coef[start + column]
            if place >= 0:
                plain[:, place] = values - self._centre[e.outcome][column]
        form: Form = {(): Linear(np.zeros(rows), plain)}
        for group in e.groups:
            code = np.where(group.inside, group.code, -1)
            add(form, {(): self._effects(group.factor, e.outcome, code, np.where(code[:, None] >= 0, group.values, 0))})
        for column in range(len(e.coef.labels)):
            loading = int(self.index.loading[start + column])
            if loading < 0:
                continue
            followed = _followed(self.design, e, column)
            known = e.coef.values[:, column] - sum(weight * follow.plugged for follow, weight in followed)
            add(form, {(): Linear(known, np.zeros_like(plain))}, loading=loading)
            for follow, weight in followed:
                add(form, self._estimated(follow, rows), weight, loading)
        return form

    def _effects(self, factor: str, outcome: str, code: np.ndarray, values: np.ndarray) -> Linear:
        """Return an equation's effects of a factor, with 0 for those of other equations."""
        place = self.index.factor[factor]
        own = self.design.factors[place]
        whole = np.zeros((len(code), len(own.effects)))
        whole[:, list(own.places[outcome])] = values
        return Linear(np.zeros(len(code)), np.zeros((len(code), self.index.coefs)), {place: (code, whole)})

    def _estimated(self, follow: Follow, rows: int) -> Form:
        """Return what is estimated, in every row that follows it."""
        match follow:
            case FollowMeasured():
                return {(): self._mean(follow, rows)}
            case FollowModelled():
                return self._said(follow, rows)
            case FollowValue():
                return self._value(follow)
            case FollowSteps():
                raise NotLinearError(f"steps {follow.name} are estimated")

    def _mean(self, follow: FollowMeasured, rows: int) -> Linear:
        """Return the measured mean that rows follow."""
        measured = next(m for m in self.design.measured if m.name == follow.measured)
        return self.unit_mean(measured, follow.factor, follow.code, rows)

    def unit_mean(self, measured: Measured, factor: str, code: np.ndarray, rows: int) -> Linear:
        """Return the mean of a unit over rows whose units are given: of all its members, where these are so many.

        Of N members n were measured, whose mean is known; that of the others is normal around the mean of the
        population that they stand for, with the SD of members over the root of N - n.
        """
        latent = self.latent_mean(measured, factor, code, rows)
        if not measured.finite:
            return latent
        size, count = measured.size[code], measured.count[code]
        known = Linear(measured.mean[code] * count / size, np.zeros_like(latent.coef))
        rest = Linear(
            np.zeros(rows),
            np.zeros_like(latent.coef),
            {self.index.rest[measured.name]: (code, (np.sqrt(size - count) / size)[:, None])},
        )
        return latent.times(1 - count / size).plus(known).plus(rest)

    def latent_mean(self, measured: Measured, factor: str, code: np.ndarray, rows: int) -> Linear:
        """Return the mean of the population of a unit: the overall one and deviations, those of wider units first."""
        coef = np.zeros((rows, self.index.coefs))
        coef[:, self.index.mean[measured.name]] = 1.0
        effects, at = {}, measured.factors.index(factor)
        for level in range(at, -1, -1):
            effects[self.index.unit[measured.name, measured.factors[level]]] = (code, np.ones((rows, 1)))
            code = measured.parents[level][code] if level else code
        return Linear(np.zeros(rows), coef, effects)

    def _said(self, follow: FollowModelled, rows: int) -> Form:
        """Return what another equation says."""
        target = self.design.find(follow.outcome)
        start, own = self._start[follow.outcome], follow.coef
        if target.coef.labels and target.coef.labels[0] == INTERCEPT:
            own = own - own[:, :1] * self._centre[follow.outcome]
        coef = np.zeros((rows, self.index.coefs))
        form: Form = {}
        for column in range(own.shape[1]):
            place, loading = int(self.index.coef[start + column]), int(self.index.loading[start + column])
            if place >= 0:
                coef[:, place] += own[:, column]
            elif own[:, column].any():
                add(form, {(): Linear(own[:, column], np.zeros_like(coef))}, loading=loading)
        add(form, {(): Linear(np.zeros(rows), coef)})
        for factor, code, values in follow.groups:
            if values.any():
                held = np.where((values != 0).any(axis=1), code, -1)
                add(form, {(): self._effects(factor, follow.outcome, held, values)})
        for column, weight, inner in follow.inner:
            loading = int(self.index.loading[start + column])
            if loading < 0:  # of values that count as they were observed
                continue
            add(form, {(): Linear(-weight * inner.plugged, np.zeros_like(coef))}, loading=loading)
            add(form, self._estimated(inner, rows), weight, loading)
        return form

    def _value(self, follow: FollowValue) -> Form:
        """Return modelled values: their predictor, and how far each lies from it."""
        target = self.design.find(follow.outcome)
        assert target.modelled is not None
        form = {product: own.rows(target.modelled.rows[follow.code]) for product, own in self.of(target).items()}
        add(form, {(): self.deviation(target, follow.code)})
        return form

    def deviation(self, e: EquationDesign, code: np.ndarray) -> Linear:
        """Return how far modelled values lie from their predictor, over rows that say which value is theirs."""
        rows = len(code)
        place = self.index.value[e.outcome]
        held, own = self.index.held.get(e.outcome), np.ones((rows, 1))
        if held is not None:
            own = np.eye(1 + held[:, 1].max())[held[code, 1]]
            code = held[code, 0]
        return Linear(np.zeros(rows), np.zeros((rows, self.index.coefs)), {place: (code, own)})
