"""Rows of an equation with some variables set: columns, group effects, strata and residual SDs that go with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import xarray as xr
from scipy import sparse

from bayes_alliance._messages import quote
from bayes_alliance.design.columns.functions import functions_around
from bayes_alliance.design.columns.terms import Columns, code_terms
from bayes_alliance.design.columns.values import CallColumns, Hidden, LinkedTo
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.factors import find_factor
from bayes_alliance.design.equations.latent_columns import Follow
from bayes_alliance.design.equations.predictor import Predictor
from bayes_alliance.design.equations.residual_sd import place_rows
from bayes_alliance.design.groups.groups import GroupDesign
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.linear import effects_of, follow_mean, follow_rows, strata_roots
from bayes_alliance.expectation.outcomes import residual_spread
from bayes_alliance.expectation.patient_numbers import number_patients
from bayes_alliance.expectation.rowwise import RowwiseEvaluator
from bayes_alliance.expectation.set_terms import check_terms
from bayes_alliance.findings import Problem
from bayes_alliance.names import COEF, SIGMA_COEF, level_label
from bayes_alliance.spec.expressions import render_term

type Unclear = Literal["refuse", "observed"]


@dataclass(frozen=True, eq=False)
class Units:
    """The units of a factor that new rows are in.

    ``code`` of shape (obs,) points into the levels that were fitted, of which there are ``fitted``; those of new units
    follow. ``there`` says which rows have a unit, and ``names`` what it is called. ``stated`` is whether the rows have
    ids of the factor.
    """

    code: np.ndarray
    there: np.ndarray
    fitted: int
    names: np.ndarray
    stated: bool

    @property
    def known(self) -> np.ndarray:
        """Return which rows are in a unit that was fitted, shape (obs,)."""
        return np.asarray(self.there & (self.code < self.fitted))


@dataclass(frozen=True, eq=False)
class Moved:
    """A linear predictor of an equation, that of the mean or of a parameter, with some variables set.

    ``variables`` are all variables over the rows, those in ``moved`` as set; ``calls`` are the columns of calls that
    are set; ``coef`` are the coded columns, those that do not read what is set as observed; ``follows`` says per
    estimated thing where its values come from. ``units`` are those of new rows, None of the fit's own.
    """

    design: Design
    equation: EquationDesign
    predictor: Predictor
    variables: Mapping[str, Variable]
    moved: Mapping[str, Variable]
    calls: Mapping[str, CallColumns]
    coef: Columns
    follows: Mapping[Hidden, Follow]
    units: Mapping[str, Units] | None = None

    def means(self, flat: xr.Dataset, weights: sparse.csr_array) -> np.ndarray:
        """Return weighted means over rows of the linear predictor without group effects, shape (draw, set).

        ``weights`` of shape (set, obs) are the rows' in every mean, which add up to 1. No number per row and draw is
        made.
        """
        b = self._coefficients(flat)
        total = b @ (weights @ self.coef.values).T
        latent = self._weights()
        for place in range(weights.shape[0]) if latent else ():
            share = len(self.equation.y) * weights[[place]].toarray()[0]
            for i, key, weight in latent:
                total[:, place] += b[:, i] * follow_mean(self.design, self.follows[key], share * weight, flat)
        return np.asarray(total)

    def linear(self, flat: xr.Dataset, rows: np.ndarray | None = None, columns: np.ndarray | None = None) -> np.ndarray:
        """Return the linear predictor without group effects, shape (draw, obs), of some of the rows where stated.

        ``columns`` of shape (coef,) says which columns add to it; all unless stated.
        """
        chosen = np.arange(len(self.equation.y)) if rows is None else rows
        b = self._coefficients(flat)
        used = slice(None) if columns is None else columns  # others may have no value yet
        total = b[:, used] @ self.coef.values[chosen][:, used].T
        for i, key, weight in self._weights():
            if columns is not None and not columns[i]:
                continue
            total += b[:, i, None] * (weight * follow_rows(self.design, self.follows[key], flat))[:, chosen]
        return np.asarray(total)

    def groups(self, *, unclear: Unclear = "refuse") -> tuple[MovedGroup, ...]:
        """Return which units the rows belong to, and the covariates of their effects.

        Parameters
        ----------
        unclear : {"refuse", "observed"}
            What is done where it is not known whether rows would have a unit: an error, or rows keep what they have.

        Raises
        ------
        FitError
            If it is not known whether rows would belong to a unit.
        """
        return tuple(_move_group(self, group, unclear) for group in self.predictor.groups)

    def parameters(self) -> dict[str, Moved]:
        """Return the linear predictors of parameters with the same variables set, by parameter."""
        return {
            name: _move(self.design, self.equation, own, self.moved, self.calls, self.units)
            for name, own in self.equation.parameters.items()
        }

    def of_rows(self, flat: xr.Dataset, linear: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the parameters that differ between rows, shape (draw, obs), from their linear predictors."""
        links = {parameter.name: parameter for parameter in self.equation.kind.parameters}
        found = {name: links[name].inverse(values) for name, values in linear.items()}
        sigma = self.sigma(flat)
        return found if sigma is None else {**found, "sigma": sigma}

    def sigma(self, flat: xr.Dataset) -> np.ndarray | None:
        """Return the residual SD of every row, shape (draw, obs); None of families without, or where it is a formula.

        Raises
        ------
        FitError
            If no row has the level that is set, so that its residual SD was not estimated.
        """
        e = self.equation
        if not e.kind.spread or "sigma" in e.parameters:
            return None
        columns = {column for own in e.residual_sds for column, _ in own.levels}
        variables = {**e.variables, **self.moved}
        if not columns & {variables[name].label for name in self.moved}:
            return residual_spread(e, flat)
        numbers = dict.fromkeys(columns, e.session)
        place, absent = place_rows(e.residual_sds, variables.values(), numbers, len(e.y))
        if absent:
            raise FitError(f"No row of {e.outcome!r} has {quote(absent)}, so its residual SD is not known.")
        starts = [i for i, own in enumerate(e.residual_sds) if own.first]
        place = np.where(np.isin(e.sigma_code, starts), e.sigma_code, place)
        drawn = flat["sigma"].sel({SIGMA_COEF: list(e.sigma_coef)}).transpose("sample", SIGMA_COEF).values
        return np.asarray(drawn[:, place])

    def _coefficients(self, flat: xr.Dataset) -> np.ndarray:
        labels = list(self.predictor.coef_labels)
        return np.asarray(flat["b"].sel({COEF: labels}).transpose("sample", COEF).values)

    def _weights(self) -> list[tuple[int, Hidden, np.ndarray]]:
        return [(i, key, weight) for i, weights in enumerate(self.coef.latent) for key, weight in weights.items()]


@dataclass(frozen=True, eq=False)
class MovedGroup:
    """Units that rows belong to where variables are set.

    ``values`` of shape (obs, effect) are the covariates, weights of memberships included and 0 outside. Of shape (obs,)
    are ``share``, the weight with which a row has a unit (0 where it has none, whatever its covariates); ``code``, the
    level of its unit, new ones after those observed; ``inside``, which rows are in a unit; ``new``, which are in one
    that is not among the observed ones; and ``stratum``, which points into the factor's strata.
    """

    group: GroupDesign
    places: tuple[int, ...]
    values: np.ndarray
    share: np.ndarray
    code: np.ndarray
    inside: np.ndarray
    new: np.ndarray
    stratum: np.ndarray

    def roots(self, design: Design, flat: xr.Dataset) -> np.ndarray:
        """Return lower roots of the covariance of the equation's effects per stratum, (draw, stratum, effect, root)."""
        return strata_roots(design, self.group.factor, flat)[:, :, list(self.places)]

    def own_means(self, flat: xr.Dataset, weights: sparse.csr_array) -> np.ndarray:
        """Return weighted means over rows of what ``own`` returns, shape (draw, set), without a number per row."""
        drawn = effects_of(flat, self.group.factor)[:, :, list(self.places)]
        known = self.inside & ~self.new
        code = np.where(known, self.code, 0)
        total = np.zeros((len(drawn), weights.shape[0]))
        for effect in range(len(self.places)):
            values = np.where(known, self.values[:, effect], 0.0)
            member = sparse.csr_array((values, (np.arange(len(code)), code)), shape=(len(code), drawn.shape[1]))
            total += drawn[:, :, effect] @ (weights @ member).T
        return total

    def own(self, flat: xr.Dataset, rows: np.ndarray | None = None) -> np.ndarray:
        """Return what drawn effects of the units that rows are in add, shape (draw, obs); nothing of new units."""
        chosen = np.arange(len(self.new)) if rows is None else rows
        drawn = effects_of(flat, self.group.factor)[:, :, list(self.places)]
        values = np.where(self.new[:, None], 0.0, self.values)[chosen]
        return np.asarray((drawn[:, np.where(self.inside & ~self.new, self.code, 0)[chosen]] * values).sum(axis=2))


def move(
    design: Design,
    equation: EquationDesign,
    moved: Mapping[str, Variable],
    units: Mapping[str, Units] | None = None,
    *,
    calls: Mapping[str, CallColumns] | None = None,
) -> Moved:
    """Set variables in every row of an equation.

    Parameters
    ----------
    design, equation
        The rows.
    moved : mapping of str to Variable
        From ``set_variables``; none sets nothing.
    units : mapping of str to Units, optional
        By factor, of new rows.
    calls : mapping of str to CallColumns, optional
        Columns that calls which read other rows, such as ``between(x, patient)``, are set to. The column of a call that
        is set is held whatever variables are set.

    Raises
    ------
    FitError
        If a term that reads what is set reads other rows, too, or the equation reads another equation's values.
    """
    _check_linked(equation, calls or {})
    trials = moved.get(equation.spec.trials) if isinstance(equation.spec.trials, str) else None
    if trials is not None:
        if (trials.values < 1).any() or (trials.values % 1 != 0).any():
            raise FitError(f"{trials.label!r}, what successes are out of, is a whole number from 1.")
        equation = replace(equation, scale=replace(equation.scale, trials=trials.values))
    return _move(design, equation, equation.mean, moved, calls or {}, units)


def _check_linked(equation: EquationDesign, calls: Mapping[str, CallColumns]) -> None:
    """Refuse columns that follow what another equation says, unless they are set."""
    pieces = [value for text, own in equation.calls.items() if text not in calls for _, value in own.pieces]
    read = [key for value in pieces for key in value.latent if isinstance(key, LinkedTo)]
    if read:
        what = f"{read[0].kind}({read[0].variable})"
        raise FitError(
            Problem(
                f"{equation.outcome} reads {what}, what the equation of {read[0].variable} says of each patient. It "
                "changes with what is set.",
                fix="Let it follow (propagate=True of predictions and comparisons), or set that itself to a value.",
            )
        )


def _move(
    design: Design,
    equation: EquationDesign,
    own: Predictor,
    moved: Mapping[str, Variable],
    calls: Mapping[str, CallColumns],
    units: Mapping[str, Units] | None,
) -> Moved:
    variables = {**equation.variables, **moved}
    evaluator = RowwiseEvaluator(equation, variables, calls)
    formula, observed = own.spec.parsed, own.coef
    reading = check_terms(equation, formula.terms, moved, calls)
    column = equation.kind.intercept or not own.of_mean
    coded = code_terms(formula.intercept, formula.terms, evaluator, column=column)
    keep = np.array([text not in reading for text in observed.terms], dtype=bool)
    values = np.where(keep, observed.values, coded.values)
    pairs = zip(keep, observed.latent, coded.latent, strict=True)
    latent = tuple(before if kept else now for kept, before, now in pairs)
    _check_values(coded, np.where(np.isnan(observed.values), 0.0, values), ~keep)
    coef = replace(coded, values=values, latent=latent)
    follows = {**own.follows, **evaluator.stepped}
    return Moved(design, equation, own, variables, moved, calls, coef, follows, units)


def _check_values(columns: Columns, values: np.ndarray, chosen: np.ndarray) -> None:
    """Refuse columns that have no value in some rows, such as the log of 0."""
    odd = [label for label, lacks in zip(columns.labels, np.isnan(values).any(axis=0) & chosen, strict=True) if lacks]
    if odd:
        raise FitError(
            Problem(f"{quote(odd)} has no value at what is set.", fix="State values for which it can be worked out.")
        )


def _move_group(moved: Moved, group: GroupDesign, unclear: Unclear) -> MovedGroup:
    design, e = moved.design, moved.equation
    if any(group.columns.latent):
        raise FitError(
            f"Effects of {group.factor} on {moved.predictor.name} vary with something that is estimated; what they "
            f"add where variables are set is not worked out."
        )
    values, before = _covariates(moved, group)
    wanted, observed = (values != 0).any(axis=1), (before != 0).any(axis=1)
    if moved.units is not None:
        share = moved.units[group.factor].there.astype(float)
    elif group.weight is not None:
        share = np.where(group.inside, group.weight, 0.0)
    else:
        there = group.units >= 0
        member = there | ~observed
        lacking = observed & ~there
        if lacking.any():
            member = _follow_arms(moved, group, lacking, unclear)
        share = member.astype(float)
    inside = wanted & (share != 0)
    values = np.where(inside[:, None], values * share[:, None], 0.0)
    code = group.units if moved.units is None else moved.units[group.factor].code
    new = inside & ((code < 0) | (code >= len(group.levels)))
    if (code < 0).any():  # a new unit for the rows of each patient
        fresh = len(group.levels) + number_patients(design, e)
        code = np.where(code < 0, fresh, code)
    factor = find_factor(design.factors, group.factor)
    stratum = np.zeros(len(e.y), dtype=np.int64)
    if factor.by is not None:
        variable = moved.variables[str(design.spec.group(group.factor).by)]
        labels = [level_label(variable.label, level) for level in variable.levels or ()]
        stratum = np.array([factor.by.labels.index(label) for label in labels])[variable.values.astype(np.int64)]
    return MovedGroup(group, factor.places[moved.predictor.name], values, share, code, inside, new, stratum)


def _covariates(moved: Moved, group: GroupDesign) -> tuple[np.ndarray, np.ndarray]:
    """Return covariates of a factor's effects with variables set and as observed, rows outside the factor included.

    Columns that read other rows are as observed unless they are set, and 0 outside the factor.
    """
    e, stated = moved.equation, group.values
    if group.weight is not None:
        stated = np.divide(stated, group.weight[:, None], out=np.zeros_like(stated), where=group.inside[:, None])
    found: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    start = 0
    for term in moved.predictor.spec.parsed.groups:
        if term.factor != group.factor:
            continue
        reading = check_terms(e, term.terms, moved.moved, moved.calls)
        still = {render_term(one) for one in term.terms if any(functions_around(part) for part in one.parts)}
        evaluators = (RowwiseEvaluator(e, moved.variables, moved.calls), RowwiseEvaluator(e, e.variables))
        for columns, evaluator, kept in zip(found, evaluators, (still - reading, still), strict=True):
            coded = code_terms(term.intercept, term.terms, evaluator)
            own = stated[:, start : start + len(coded.labels)]
            columns.append(np.where([text in kept for text in coded.terms], own, coded.values))
        start += len(found[0][-1].T)
    return np.column_stack(found[0]), np.column_stack(found[1])


def _follow_arms(moved: Moved, group: GroupDesign, lacking: np.ndarray, unclear: Unclear) -> np.ndarray:
    """Return which rows have a unit, where rows without an id have none and what is set may give or take one.

    In an arm where every row has a unit a row has one, in an arm without units it has none; rows keep what they have
    where what is set is what they had.
    """
    e, there = moved.equation, group.units >= 0
    arms = {
        name: v
        for name, v in moved.moved.items()
        if v.levels is not None or bool(np.isin(e.variables[name].values, (0.0, 1.0)).all())
    }
    if not arms:
        return there
    here = np.all([e.variables[name].values == v.values for name, v in arms.items()], axis=0)
    share = there[here].mean() if here.any() else np.nan
    if share in (0.0, 1.0):
        return np.full(len(e.y), share == 1.0)
    everywhere = [
        there[e.variables[name].values == value].mean()
        for name in arms
        for value in np.unique(e.variables[name].values)
    ]
    if unclear == "observed" or all(0 < one < 1 for one in everywhere):
        return there  # ids are missing in every arm: whether a row has a unit is no matter of what is set
    shown = ", ".join(f"{v.label} = {_show(v)}" for v in arms.values())
    raise FitError(
        f"{int(lacking[here].sum())} of {int(here.sum())} rows with {shown} have no {group.factor}, so it is not known "
        f"whether others would have one. Complete the ids, or write (0 + in_{group.factor} | {group.factor}) with a "
        f"column that is 1 where a {group.factor} exists."
    )


def _show(variable: Variable) -> str:
    value = variable.values[0]
    return variable.levels[int(value)] if variable.levels is not None else f"{value:g}"
