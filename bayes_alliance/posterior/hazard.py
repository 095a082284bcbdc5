"""Dropout, session by session, where a predictor has stated values: hazards and who is still in treatment."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance._messages import quote, unknown
from bayes_alliance.design.columns.functions import FUNCTIONS, ROWWISE
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.latent_columns import Follow, FollowModelled
from bayes_alliance.errors import AllianceWarning, FitError
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.expectation.expected import Effects, variance_of_effects
from bayes_alliance.expectation.linear import stack_draws
from bayes_alliance.expectation.new_data import Moved, move
from bayes_alliance.expectation.set_variables import (
    Setting,
    check_values,
    find_predictor,
    follow_session,
    set_variables,
)
from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.names import COEF, INTERCEPT, SESSION, level_label
from bayes_alliance.outcome.contract import OutcomeRows
from bayes_alliance.outcome.normal_effects import normal_rule
from bayes_alliance.spec.expressions import Call, Name, calls_in, render

type AtRisk = Literal["expected", "observed"]

VALUE = "value"

FEW = 0.5
"""Share of the patients who have the first session, below which survival is not that of the study."""

AT_ONCE = 4_000_000
"""Numbers (draws times patients times sessions) that are worked out together."""


def predict_hazard(
    fit: Fit,
    predictor: str,
    *,
    values: Sequence[Setting],
    outcome: str | None = None,
    draws: int | None = 1000,
    at_risk: AtRisk = "expected",
) -> xr.Dataset:
    """Return the chance to drop out at each session, and to be there after it, at values of a predictor.

    The predictor is set in all sessions of the patients who were there at the first one; each keeps what else is known
    of them, therapists included, and units of a factor that only one arm has go with the arm. A patient's chances to
    stay are multiplied over the sessions and then averaged over patients (g-computation), so that the curve is that of
    these patients at the stated value, and not of those who were observed to be still there.

    Parameters
    ----------
    fit : Fit
        Of a model of dropout (family hazard, or bernoulli with a row per session), with its rows.
    predictor : str
        A variable, a level of a factor such as ``"arm[CBT]"`` (1 is that level, 0 the reference), or a term by its
        label, such as ``"lag(alliance)"``, which then has the value in every session.
    values : sequence of float or str
        Values in the predictor's unit, or levels of a factor.
    outcome : str, optional
        Which outcome, where several are of this kind.
    draws : int, optional
        At most so many draws are used; None uses all.
    at_risk : {"expected", "observed"}
        Whose hazards are averaged at a session: those expected to be still there at the stated value; or those observed
        to be there, with all of their predictors as they were then. The latter give no chance to be there.

    Returns
    -------
    Dataset over (draw, value, session)
        ``hazard`` (chance to drop out, of those who are there), ``staying`` (chance to be there after the session, of
        all who were there at the first one; hazard = 1 - staying / staying of the session before), and ``rows``
        (session,) observed at risk.

    Raises
    ------
    FitError
        If the model has no such outcome or predictor, the predictor cannot be set alone, or another predictor changes
        over a patient's sessions, so that its values after dropout are not known.
    """
    design = design_of(fit)
    if at_risk not in ("expected", "observed"):
        raise FitError(unknown("at_risk", str(at_risk), ("expected", "observed")))
    equation = _of_dropout(design, outcome)
    target = _find_target(equation, predictor, values)
    flat = stack_draws(with_effects(fit), draws)
    sessions = np.unique(equation.session)
    work_out = _expected_hazards if at_risk == "expected" else _observed_hazards
    found = [work_out(design, equation, target, i, flat, sessions) for i in range(len(values))]
    dims = ("draw", VALUE, SESSION)
    coords = {VALUE: list(values), SESSION: sessions}
    count = [int((equation.session == session).sum()) for session in sessions]
    data = {"rows": xr.DataArray(count, dims=(SESSION,))}
    for i, name in enumerate(("hazard", "staying")[: len(found[0])]):
        data[name] = xr.DataArray(np.stack([own[i] for own in found], axis=1), dims=dims, coords=coords)
    attrs = {"predictor": predictor, "outcome": equation.outcome, "session": _session_label(equation)}
    return xr.Dataset(data, attrs=attrs)


@dataclass(frozen=True, eq=False)
class Target:
    """What is set: variables by the model's names, one mapping per value, or one column (-1 is none)."""

    settings: Sequence[Mapping[str, Setting]]
    place: int = -1
    numbers: Sequence[float] = ()


def _find_target(equation: EquationDesign, predictor: str, values: Sequence[Setting]) -> Target:
    """Return how a predictor is set: as a variable, or as the column of a call."""
    variables = {name: v for name, v in equation.variables.items() if name != equation.spec.outcome}
    for name, variable in variables.items():
        labels = [level_label(variable.label, level) for level in variable.levels or ()]
        if predictor in labels and predictor not in {v.label for v in variables.values()}:
            return _of_level(name, variable.levels or (), labels.index(predictor), predictor, values)
    if predictor in variables or predictor in {variable.label for variable in variables.values()}:
        name = find_predictor(equation, predictor)
        check_values(variables[name], values)
        return Target([{name: value} for value in values])
    place = _column(equation, predictor)
    words = [repr(value) for value in values if isinstance(value, str) or not np.isfinite(value)]
    if words:
        raise FitError(f"{predictor!r} is a number; {', '.join(words)} cannot be set.")
    return Target([{} for _ in values], place, [float(value) for value in values])


def _of_level(name: str, levels: Sequence[str], level: int, predictor: str, values: Sequence[Setting]) -> Target:
    odd = [repr(value) for value in values if value not in (0, 1)]
    if odd:
        raise FitError(f"{predictor!r} is 1 for that level and 0 for {levels[0]!r}; {', '.join(odd)} cannot be set.")
    return Target([{name: levels[level if value == 1 else 0]} for value in values])


def _column(equation: EquationDesign, predictor: str) -> int:
    """Return the place of a call's column, refusing one that cannot be set without others."""
    labels = list(equation.coef.labels)
    if predictor not in labels or predictor == INTERCEPT:
        known = [v.label for name, v in equation.variables.items() if name != equation.spec.outcome]
        options = dict.fromkeys([*(label for label in labels if label != INTERCEPT), *known])
        raise FitError(unknown("term", predictor, options))
    place = labels.index(predictor)
    own = equation.coef.parts[place]
    if len(own) > 1:
        raise FitError(f"{predictor!r} is a product; set one of the variables it is made of.")
    ((part, piece),) = own
    term = next(t for t in equation.spec.parsed.terms if [render(p) for p in t.parts] == [part])
    call = term.parts[0]
    if isinstance(call, Call) and (call.function in FUNCTIONS.several or call.function in ROWWISE) and _plain(call):
        raise FitError(f"{predictor!r} is a function of {quote(_plain(call))}; set that variable.")
    if piece:
        raise FitError(f"{predictor!r} is one of several columns of {part}, which would have to be set, too.")
    products = [
        label
        for label, parts in zip(labels, equation.coef.parts, strict=True)
        if (part, piece) in parts and label != predictor
    ]
    if products:
        raise FitError(f"{predictor!r} is in the product {products[0]!r}, which would have to be set, too.")
    inside = [
        render(other)
        for t in equation.spec.parsed.every_term
        for other in t.parts
        if other != call and isinstance(call, Call) and call in list(calls_in(other))
    ]
    if inside:
        raise FitError(f"{predictor!r} stands in {inside[0]}, too, which would have to be set with it.")
    varying = [group.factor for group in equation.groups if any((part, piece) in p for p in group.columns.parts)]
    if varying:
        raise FitError(f"The slope of {predictor!r} varies by {varying[0]}; its effects would have to be set, too.")
    return place


def _plain(call: Call) -> list[str]:
    """Return the variables that a call is a function of, empty where it reads other rows."""
    if any(inner.function not in ROWWISE for inner in calls_in(call)):
        return []
    return [argument.name for argument in call.arguments if isinstance(argument, Name)]


def _without(equation: EquationDesign, place: int) -> EquationDesign:
    """Return an equation without one of its columns, and without what only that column follows."""
    if place < 0:
        return equation
    values = equation.coef.values.copy()
    values[:, place] = 0.0
    latent = tuple({} if number == place else weights for number, weights in enumerate(equation.coef.latent))
    read = {key for weights in latent for key in weights}
    read |= {key for group in equation.groups for weights in group.columns.latent for key in weights}
    follows = {key: follow for key, follow in equation.follows.items() if key in read}
    return equation.with_mean(coef=replace(equation.coef, values=values, latent=latent), follows=follows)


def _set(
    design: Design, equation: EquationDesign, target: Target, number: int, session: float | None
) -> tuple[Moved, float]:
    """Return the rows with the predictor, and a session, set, and what the column of a call is set to."""
    settings = dict(target.settings[number])
    if session is not None and SESSION in equation.variables:
        settings.setdefault(SESSION, session)
    elif session is not None:
        settings = follow_session(equation, session) | settings
    moved = move(design, _without(equation, target.place), set_variables(equation, settings))
    return moved, target.numbers[number] if target.place >= 0 else 0.0


def _slope(equation: EquationDesign, target: Target, flat: xr.Dataset) -> np.ndarray:
    """Return the coefficient of the column that is set, shape (draw,); 0 where it is none."""
    if target.place < 0:
        return np.zeros(flat.sizes["sample"])
    return np.asarray(flat["b"].sel({COEF: equation.coef_labels[target.place]}).values)


def _observed_hazards(
    design: Design, equation: EquationDesign, target: Target, number: int, flat: xr.Dataset, sessions: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Return the mean hazard of the rows observed at risk, shape (draw, session)."""
    moved, value = _set(design, equation, target, number, None)
    groups = moved.groups()
    linear = moved.linear(flat) + value * _slope(equation, target, flat)[:, None]
    linear += sum((group.own(flat) for group in groups), start=np.zeros_like(linear))
    chance = _rows(equation).expected_over(linear, _new_variance(moved, flat))
    return (np.stack([chance[:, equation.session == s].mean(axis=1) for s in sessions], axis=1),)


def _expected_hazards(
    design: Design, equation: EquationDesign, target: Target, number: int, flat: xr.Dataset, sessions: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Return hazards and chances to be there of all who were there at first, each of shape (draw, session)."""
    first = _first_rows(equation, sessions[0])
    size = max(1, AT_ONCE // (len(first) * len(sessions)))
    moved = [_set(design, equation, target, number, float(session)) for session in sessions]
    _check_constant(equation, [one for one, _ in moved])
    parts = []
    for start in range(0, flat.sizes["sample"], size):
        part = flat.isel(sample=slice(start, start + size))
        slope = _slope(equation, target, part)[:, None]
        linear = np.stack([one.linear(part, first) + value * slope for one, value in moved])
        for i, (one, _) in enumerate(moved):
            linear[i] += sum((g.own(part, first) for g in one.groups()), start=np.zeros_like(linear[i]))
        sd = np.sqrt(_new_variance(moved[0][0], part)[:, first])
        staying = np.zeros(linear.shape)
        for node, weight in normal_rule(float(sd.max(initial=0.0))):
            chance = _rows(equation).expected(linear + node * sd)
            staying += weight * np.cumprod(1 - chance, axis=0)
        parts.append(staying.mean(axis=2).T)
    whole = np.concatenate(parts)
    before = np.concatenate([np.ones((len(whole), 1)), whole[:, :-1]], axis=1)
    with np.errstate(invalid="ignore"):
        return np.where(before > 0, 1 - whole / before, np.nan), whole


def _first_rows(equation: EquationDesign, session: float) -> np.ndarray:
    """Return the rows of the first session, refusing it where few patients have one and naming a lack of some."""
    first = np.flatnonzero(equation.session == session)
    there, count = len(np.unique(equation.patient[first])), len(np.unique(equation.patient))
    if there < FEW * count:
        raise FitError(
            f"Session {session:g}, the first, is in the rows of {there} of {count} patients: survival from there would "
            f'be that of {there}. Leave rows before the session at which most begin out, or state at_risk="observed".'
        )
    if there < count:
        warnings.warn(
            f"Survival is that of the {there} of {count} patients whose rows begin at session {session:g}; those who "
            f"entered later are not in it.",
            AllianceWarning,
            stacklevel=2,
        )
    return first


def _rows(equation: EquationDesign) -> OutcomeRows:
    """Return what the family of a 0/1 outcome needs for chances: nothing beside the linear predictor."""
    return OutcomeRows(equation.kind, np.zeros(0), {})


def _new_variance(moved: Moved, flat: xr.Dataset) -> np.ndarray:
    """Return the variance of the effects of units that rows belong to where they had none, shape (draw, obs)."""
    own: dict[str, Effects] = dict.fromkeys((group.factor for group in moved.predictor.groups), "own")
    return variance_of_effects(moved, flat, own)


def _check_constant(equation: EquationDesign, moved: Sequence[Moved]) -> None:
    """Refuse predictors that change over a patient's sessions in another way than by the session's number."""
    changing: dict[str, None] = {}
    patient = pd.factorize(equation.patient)[0]

    def varies(values: np.ndarray) -> np.ndarray:
        grouped = pd.DataFrame(values.reshape(len(patient), -1)).groupby(patient)
        spread = (grouped.max() - grouped.min()).to_numpy()
        return np.asarray((spread > 1e-9 * max(1.0, float(np.abs(values).max(initial=0.0)))).any(axis=0))

    for one in moved[:1]:
        labels = np.array(one.coef.labels)
        changing |= dict.fromkeys(map(str, labels[varies(one.coef.values)]))
        for label, weights in zip(labels, one.coef.latent, strict=True):
            if any(varies(weight).any() or varies(_where(one.follows[key])).any() for key, weight in weights.items()):
                changing[str(label)] = None
        for own in one.groups():
            if varies(np.column_stack([own.values, own.group.code, own.inside])).any():
                changing[f"what {own.group.factor} adds"] = None
    for first, later in pairwise(moved):
        for before, after in zip(first.groups(), later.groups(), strict=True):
            if before.new.any() and not np.array_equal(before.values[before.new], after.values[before.new]):
                raise FitError(
                    f"The effects of {before.group.factor} change with session, and patients would belong to new ones "
                    f'in another arm: survival is not worked out. State at_risk="observed".'
                )
    if changing:
        raise FitError(
            f"{quote(changing)} change over a patient's sessions, and their values after dropout are not known: "
            f'survival cannot be worked out. State at_risk="observed" for hazards of those observed to be at risk.'
        )


def _where(follow: Follow) -> np.ndarray:
    """Return what says which estimated value a row follows, shape (obs, …)."""
    if isinstance(follow, FollowModelled):
        groups = [np.column_stack([code, values]) for _, code, values in follow.groups]
        inner = [np.column_stack([weight, own.code]) for _, weight, own in follow.inner]
        return np.column_stack([follow.coef, *groups, *inner])
    return follow.code.astype(float)


def _session_label(equation: EquationDesign) -> str:
    variable = equation.variables.get(SESSION)
    return SESSION if variable is None else variable.label


def _of_dropout(design: Design, outcome: str | None) -> EquationDesign:
    of_sessions = [e for e in design.equations if e.kind.binary and e.spec.unit == SESSION]
    names = [e.outcome for e in of_sessions]
    if outcome is not None and outcome not in names:
        raise FitError(unknown("outcome of leaving", outcome, names))
    if not of_sessions:
        raise FitError(
            "The model has no outcome of leaving by session (family hazard or bernoulli, unit session); chances of a "
            "0/1 outcome per patient are given by marginal_effects."
        )
    if outcome is None and len(names) > 1:
        raise FitError(f"The model has several outcomes of dropout: {quote(names)}. State outcome=.")
    return of_sessions[0 if outcome is None else names.index(outcome)]
