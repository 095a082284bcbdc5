"""Survival: who is still there after every session, of all who were there at the first one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance._messages import are, first_few, quote
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.latent_columns import Follow, FollowModelled
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.expected import Effects, linear_rows, variance_of_effects
from bayes_alliance.expectation.new_data import Moved
from bayes_alliance.findings import Problem
from bayes_alliance.outcome.contract import OutcomeRows
from bayes_alliance.outcome.normal_effects import normal_rule

FEW = 0.5
"""Share of the patients who have the first session, below which survival is not that of the study."""

AT_ONCE = 4_000_000
"""Numbers (draws times patients times sessions) that are worked out together."""


def survival(moved: Sequence[Moved], rows: np.ndarray, flat: xr.Dataset, groups: Mapping[str, Effects]) -> np.ndarray:
    """Return the mean chance to be there after every session, shape (draw, session).

    Every patient's chances to stay are multiplied over the sessions, with effects of new units the same in all of
    them, and averaged then.

    Parameters
    ----------
    moved : sequence of Moved
        An equation of leaving with the session set, one after the other.
    rows : ndarray of int
        A row of every patient who was there at first.
    flat : Dataset over (sample, …)
        From ``stack_draws``.
    groups : mapping of str to {"own", "new", "zero"}
        By factor, as in ``expected_rows``.

    Raises
    ------
    FitError
        If predictors change over a patient's sessions in another way than by the session's number.
    """
    check_constant(moved, groups)
    size = max(1, AT_ONCE // (len(rows) * len(moved)))
    parts = []
    outcome = OutcomeRows(moved[0].equation.kind, np.zeros(0), {})  # chances need nothing but the linear predictor
    for start in range(0, flat.sizes["sample"], size):
        part = flat.isel(sample=slice(start, start + size))
        linear = np.stack([linear_rows(one, part, groups, rows) for one in moved])
        sd = np.sqrt(variance_of_effects(moved[0], part, groups)[:, rows])
        staying = np.zeros(linear.shape)
        for node, weight in normal_rule(float(sd.max(initial=0.0))):
            staying += weight * np.cumprod(1 - outcome.expected(linear + node * sd), axis=0)
        parts.append(staying.mean(axis=2).T)
    return np.concatenate(parts)


def hazards_of(survival: np.ndarray) -> np.ndarray:
    """Return the chance to leave at every session of those who are there, shape (draw, session)."""
    before = np.concatenate([np.ones((len(survival), 1)), survival[:, :-1]], axis=1)
    with np.errstate(invalid="ignore"):
        return np.where(before > 0, 1 - survival / before, np.nan)


def first_rows(equation: EquationDesign, session: float) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the rows of the first session, and what a reader should know where some patients have none.

    Raises
    ------
    FitError
        If few patients have one.
    """
    first = np.flatnonzero(equation.session == session)
    there, count = len(np.unique(equation.patient[first])), len(np.unique(equation.patient))
    if there < FEW * count:
        raise FitError(
            Problem(
                f"Session {session:g}, the first, is in the rows of {there} of {count} patients: survival from there "
                f"would be that of {there}.",
                fix="Leave rows before the session at which most begin out, or take "
                'predict_hazard(at_risk="observed").',
            )
        )
    if there == count:
        return first, ()
    return first, (
        f"Survival is that of the {there} of {count} patients whose rows begin at session {session:g}; those who "
        "entered later are not in it.",
    )


def check_constant(
    moved: Sequence[Moved],
    groups: Mapping[str, Effects],
    followed: Collection[str] = frozenset(),
    *,
    drawn: bool = False,
) -> None:
    """Refuse predictors that change over a patient's sessions in another way than by the session's number.

    ``followed`` are the terms that are worked out in every session, whatever their columns hold. ``drawn`` says that
    effects of new units are drawn, so that what they add may change with the session.
    """
    changing: dict[str, None] = {}
    one = moved[0]
    patient = pd.factorize(one.equation.patient)[0]

    def varies(values: np.ndarray) -> np.ndarray:
        grouped = pd.DataFrame(values.reshape(len(patient), -1)).groupby(patient)
        spread = (grouped.max() - grouped.min()).to_numpy()
        return np.asarray((spread > 1e-9 * max(1.0, float(np.abs(values).max(initial=0.0)))).any(axis=0))

    labels, apart = np.array(one.coef.labels), np.array([term not in followed for term in one.coef.terms], dtype=bool)
    changing |= dict.fromkeys(map(str, labels[apart & varies(one.coef.values)]))
    for label, counts, weights in zip(labels, apart, one.coef.latent, strict=True):
        followed_rows = [(weight, one.follows[key]) for key, weight in weights.items()] if counts else []
        if any(varies(weight).any() or varies(_where(follow)).any() for weight, follow in followed_rows):
            changing[str(label)] = None
    for own in one.groups():
        unit = [own.group.code, own.inside] if groups[own.group.factor] == "own" else []
        if groups[own.group.factor] != "zero" and varies(np.column_stack([own.values, *unit])).any():
            changing[f"what {own.group.factor} adds"] = None
    for first, later in () if drawn else pairwise(moved):
        for before, after in zip(first.groups(), later.groups(), strict=True):
            how = groups[before.group.factor]
            fresh = before.new if how == "own" else np.full(len(patient), how == "new")
            if not np.array_equal(before.values[fresh], after.values[fresh]):
                raise FitError(
                    f"The effects of {before.group.factor} change with session, and patients would belong to new ones "
                    f'of them: survival is not worked out. Take predict_hazard(at_risk="observed").'
                )
    if changing:
        what = f"{quote(changing)} {are(len(changing), 'changes', 'change')} over a patient's sessions"
        raise FitError(
            Problem(
                f"{what}, and values after dropout are not known: survival cannot be worked out.",
                fix='Set them to values, or take predict_hazard(at_risk="observed") for hazards of those observed to '
                "be at risk.",
            )
        )


def _where(follow: Follow) -> np.ndarray:
    """Return what says which estimated value a row follows, shape (obs, …)."""
    if isinstance(follow, FollowModelled):
        groups = [np.column_stack([code, values]) for _, code, values in follow.groups]
        inner = [np.column_stack([weight, own.code]) for _, weight, own in follow.inner]
        return np.column_stack([follow.coef, *groups, *inner])
    return follow.code.astype(float)


def survival_of_rows(moved: Moved, flat: xr.Dataset, groups: Mapping[str, Effects]) -> np.ndarray:
    """Return the chance to be there after every row of patients whose rows are given, shape (draw, obs).

    Rows are a patient's sessions in order, with predictors as they are in them.

    Raises
    ------
    FitError
        If a patient would have other new effects in one session than in another.
    """
    e = moved.equation
    patient = pd.factorize(e.patient)[0]
    for own in moved.groups():
        fresh = (
            own.new if groups[own.group.factor] == "own" else np.full(len(patient), groups[own.group.factor] == "new")
        )
        values = pd.DataFrame(own.values[fresh]).groupby(patient[fresh]).nunique()
        units = pd.Series(own.code[fresh]).groupby(patient[fresh]).nunique()
        if (values > 1).any(axis=None) or (units > 1).any():
            raise FitError(
                f"The effects of new units of {own.group.factor} change with session: survival is not worked out."
            )
    outcome = OutcomeRows(e.kind, np.zeros(0), {})
    linear = linear_rows(moved, flat, groups)
    sd = np.sqrt(variance_of_effects(moved, flat, groups))
    total = np.zeros_like(linear)
    for node, weight in normal_rule(float(sd.max(initial=0.0))):
        total += weight * staying_of_rows(e, outcome.expected(linear + node * sd))
    return total


def staying_of_rows(e: EquationDesign, hazards: np.ndarray) -> np.ndarray:
    """Return the chance to be there after every row from the chances to leave in them, both of shape (draw, obs).

    Raises
    ------
    FitError
        If rows of a patient skip a session, or have one twice.
    """
    patient = pd.factorize(e.patient)[0]
    order = np.lexsort([e.session, patient])
    _check_sessions(e, order, patient)
    place = pd.Series(patient[order]).groupby(patient[order]).cumcount().to_numpy()
    staying = 1 - hazards[:, order]
    for later in range(1, int(place.max()) + 1):
        rows = np.flatnonzero(place == later)
        staying[:, rows] *= staying[:, rows - 1]
    found = np.empty_like(staying)
    found[:, order] = staying
    return found


def _check_sessions(e: EquationDesign, order: np.ndarray, patient: np.ndarray) -> None:
    """Refuse rows of a patient that skip a session, whose hazard is not known, or have one twice."""
    same = np.diff(patient[order]) == 0
    step = np.diff(e.session[order])
    for odd, what in ((same & (step > 1), "skip a session"), (same & (step == 0), "have a session twice")):
        if odd.any():
            shown = [
                f"{e.patient[order[place]]!r} session {e.session[order[place]]:g}" for place in np.flatnonzero(odd)
            ]
            raise FitError(
                Problem(
                    f"Rows of patients {what}: after {first_few(shown[:5], len(shown))}.",
                    fix="Give a row for every session, one each.",
                )
            )
