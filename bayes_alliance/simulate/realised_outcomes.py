"""Outcomes from effects and noise, whichever of them, and whichever earlier values of their own, they follow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance.design.columns.values import LinkedTo
from bayes_alliance.design.design import Design, with_outcomes
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.subset import keep_rows
from bayes_alliance.errors import SpecError
from bayes_alliance.simulate.observation import observe, true_values
from bayes_alliance.simulate.outcome import predict, predict_latent, realise
from bayes_alliance.simulate.plan import Plan, design_of, table_of
from bayes_alliance.spec.equation_order import find_cycle

SAME = 1e-9
"""Change of outcomes, in their SDs, up to which two passes agree: what rounding leaves where means are subtracted."""


def realise_outcomes(
    plan: Plan,
    truth_of: Callable[[Design], Mapping[str, float]],
    effects: xr.Dataset,
    noise: Mapping[str, np.ndarray],
) -> tuple[pd.DataFrame, Design]:
    """Return the rows with outcomes drawn from what predicts them, and the design of these rows.

    Outcomes are worked out from a design of the rows as they are, again and again: an outcome is right as soon as those
    that predict it are, at the same session or at earlier ones, so that a few passes settle all of them, in any order.

    Parameters
    ----------
    plan : Plan
        Rows with numbers in place of outcomes.
    truth_of : callable
        From a design to the parameters its outcomes are worked out with.
    effects : Dataset
        Of every level of every factor.
    noise : dict of str to ndarray, shape (obs,)
        Per outcome, over the rows of the plan.

    Raises
    ------
    SpecError
        If an outcome depends on its own later values, as where its observed mean is subtracted from an earlier value,
        or starts from values that no equation draws.
    """
    _check_starts(plan)
    frame, layout = plan.frame, plan.layout
    sessions = len(set(frame[layout.name("session")])) if layout.sessions else 1
    serial, settled = bool(_serial(plan.design)), True
    truth: Mapping[str, float] = {}
    for _ in range((sessions + 2) * (len(plan.design.equations) + 2)):
        seen = _observed(plan, frame, truth)
        lent = _constant(plan, seen)
        made = _design(plan, seen, lent)
        fresh = settled or not serial
        if fresh:
            # a truth may refer to means of outcomes: those of a series are known when all of it is
            truth = truth_of(made)
        drawn = _pass(plan, made, frame, truth, effects, noise)
        settled = _agree(plan, frame, drawn)
        frame = drawn
        if settled and fresh:
            if lent:
                made = _design(plan, seen)  # which refuses what came out constant
            _check_order(plan, made, frame, truth, effects)
            return (seen, made) if not plan.leaving else _leave(plan, frame, made)
    raise SpecError(_circular(plan))


def _observed(plan: Plan, frame: pd.DataFrame, truth: Mapping[str, float]) -> pd.DataFrame:
    """Return the rows as they are observed; before a truth is known, as they are."""
    if plan.chance is None:
        return frame
    return observe(frame, plan.design, plan.all_names, plan.chance, truth or defaultdict(lambda: 1.0))


def _leave(plan: Plan, frame: pd.DataFrame, made: Design) -> tuple[pd.DataFrame, Design]:
    """Return the rows without the outcomes of patients after they left, and the design without these rows.

    What leaving hangs on is not seen after it either.

    It is a part of the design that outcomes were drawn with, whose constants truths and priors refer to.
    """
    patient = plan.layout.name("patient")
    keep = {e.outcome: np.ones(len(e.y), dtype=bool) for e in made.equations}
    for outcome in plan.leaving:
        name = plan.names[outcome]
        before = frame.groupby(patient)[name].transform(lambda own: own.fillna(0.0).cumsum().shift(fill_value=0.0))
        frame = frame.assign(**{name: frame[name].where(before == 0)})
        equation = made.find(outcome)
        keep[equation.outcome] = frame[name].notna().to_numpy()[equation.row]
        for read in {key.variable for key in equation.follows if isinstance(key, LinkedTo)}:
            if made.find(read).spec.unit == "session":
                frame = frame.assign(**{plan.names[read]: frame[plan.names[read]].where(before == 0)})
                keep[made.find(read).outcome] = (before == 0).to_numpy()[made.find(read).row]
    values = {e.outcome: frame[plan.names[e.spec.outcome]].to_numpy()[e.row] - e.offset for e in made.equations}
    left = keep_rows(replace(made, equations=tuple(replace(e, y=values[e.outcome]) for e in made.equations)), keep)
    return frame, with_outcomes(left, {e.outcome: e.y for e in left.equations})


def _serial(design: Design) -> set[str]:
    """Return the outcomes that follow earlier values of their own, at first or second hand."""
    own = {e.outcome for e in design.spec.equation if e.outcome in e.predictors}
    return own | set(find_cycle(design.spec, lags=True))


def _check_starts(plan: Plan) -> None:
    """Refuse outcomes that follow earlier values of their own where the first of a series has no equation."""
    serial = _serial(plan.design)
    for equation in plan.design.equations:
        if equation.spec.outcome in serial and len(equation.y) < equation.rows_read:
            raise SpecError(
                f"Outcome {equation.outcome!r} follows earlier values of its own, and sessions without one have no "
                f"equation to be drawn from. Follow deviations, as in lag(within({equation.spec.outcome}, patient, "
                f'means="latent")), whose series have starts, or draw the table yourself.'
            )


def _constant(plan: Plan, frame: pd.DataFrame) -> tuple[str, ...]:
    """Return the outcomes that are the same in every row, as they may be before those that predict them are drawn."""
    names = (name for name in plan.names if name not in plan.leaving)
    return tuple(name for name in names if frame[plan.names[name]].nunique() <= 1)


def _design(plan: Plan, frame: pd.DataFrame, lent: Sequence[str] = ()) -> Design:
    """Return the design of rows; of outcomes that nothing follows, such as leaving, with the stand-ins they had.

    A design refuses an outcome that is the same in every row, which those drawn from a prior may well be. ``lent`` are
    further outcomes that have their stand-ins for this pass.
    """
    layout = plan.layout
    frame = frame.assign(**{plan.names[name]: plan.frame[plan.names[name]] for name in (*plan.leaving, *lent)})
    return design_of(plan.design.spec, table_of(frame, layout), layout, plan.columns, plan.reference)


def _pass(
    plan: Plan,
    made: Design,
    frame: pd.DataFrame,
    truth: Mapping[str, float],
    effects: xr.Dataset,
    noise: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    """Return the rows with every outcome worked out from the rows as they were."""
    columns = {}
    for equation in made.equations:
        place = np.searchsorted(plan.design.find(equation.outcome).row, equation.row)
        linear = _predict(plan, made, frame, equation, truth, effects)
        values = np.full(len(frame), np.nan)
        own = realise(equation, linear, truth, effects, noise[equation.outcome][place])
        values[equation.row] = own + equation.offset
        columns[plan.names[equation.spec.outcome]] = values
    drawn = frame.assign(**columns)
    for equation in made.equations:
        if equation.spec.unit != "session":
            name, unit = plan.names[equation.spec.outcome], plan.layout.name(equation.spec.unit)
            drawn[name] = drawn.groupby(unit)[name].transform("first")
    return drawn


def _predict(
    plan: Plan,
    design: Design,
    frame: pd.DataFrame,
    equation: EquationDesign,
    truth: Mapping[str, float],
    effects: xr.Dataset,
) -> np.ndarray:
    values = true_values(design, frame, plan.names)
    return np.asarray(predict(equation.mean, truth, effects) + predict_latent(design, equation, truth, effects, values))


def _agree(plan: Plan, one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Return whether no outcome changed from one pass to the next."""
    for name in plan.names.values():
        spread = float(np.nanstd(other[name].to_numpy())) or 1.0
        if not np.allclose(one[name], other[name], rtol=0.0, atol=SAME * spread, equal_nan=True):
            return False
    return True


def _check_order(
    plan: Plan,
    made: Design,
    frame: pd.DataFrame,
    truth: Mapping[str, float],
    effects: xr.Dataset,
) -> None:
    """Move every outcome of sessions at each patient's last one: nothing may follow it but what is of the patient."""
    if not _serial(made):
        return
    patient, session = plan.layout.name("patient"), plan.layout.name("session")
    last = frame[session].eq(frame.groupby(patient)[session].transform("max"))
    moved = frame.copy()
    serial = [e for e in made.equations if e.spec.unit == "session" and e.kind.link == "identity"]
    for equation in serial:
        name = plan.names[equation.spec.outcome]
        moved[name] = frame[name] + last * float(np.nanstd(frame[name].to_numpy()))
    again = _design(plan, moved)
    for equation in serial:
        other = again.find(equation.outcome)
        earlier = ~last.to_numpy()[equation.row]
        before = _predict(plan, made, frame, equation, truth, effects)[earlier]
        after = _predict(plan, again, moved, other, truth, effects)[earlier]
        if not np.allclose(before, after, rtol=0.0, atol=1e-6 * (float(np.std(equation.y)) or 1.0)):
            raise SpecError(_circular(plan))


def _circular(plan: Plan) -> str:
    names = " and ".join(repr(name) for name in plan.names.values())
    return (
        f"Outcomes depend on later values of themselves ({names}): no table can be drawn session by session. An "
        f'outcome taken less its own observed mean is one reason; write means="latent", or draw the table yourself.'
    )
