"""Simulated tables in the form that studies have them: a row per session that took place, scores rated in sessions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bayes_alliance.design.columns.survival import SURVIVE
from bayes_alliance.simulate.layout import Layout
from bayes_alliance.spec.expressions import Call, Name, Number
from bayes_alliance.spec.model import ModelSpec

SESSIONS = (1, 2, 3, 4, 5, 6)
"""Sessions in which a variable is rated where a model reads its first and its last value."""

RATED = 4
"""Sessions at most that a window is filled with."""

SPREAD = 0.5
"""SD of ratings around a patient's mean or line, in SDs of the summary over patients."""


def end_at_dropout(rows: pd.DataFrame, spec: ModelSpec, layout: Layout) -> pd.DataFrame:
    """Return rows in which the outcome of a hazard model is a last session and a dropout, one value per patient.

    Parameters
    ----------
    rows : DataFrame
        With a column per ``survive()`` variable: 0 at risk, 1 at the session of dropout, missing after it.
    spec : ModelSpec
        Names the columns of the last session and of the dropout.
    layout : Layout
        Names patients and sessions.

    Returns
    -------
    DataFrame
        Sessions after dropout are left out; unchanged where no variable is worked out by ``survive()``.
    """
    patient, session = layout.name("patient"), layout.name("session")
    for name, call in spec.declared.items():
        if call.function != SURVIVE or name not in rows:
            continue
        last, dropout = (argument.name for argument in call.arguments[:2] if isinstance(argument, Name))
        before = rows.groupby(patient)[name].transform(lambda own: own.fillna(0.0).cumsum().shift(fill_value=0.0))
        rows = rows[before == 0].reset_index(drop=True)
        people = rows.groupby(patient)
        rows = rows.assign(**{last: people[session].transform("max"), dropout: people[name].transform("max")})
        rows = rows.drop(columns=name)
    return rows


def rate_in_sessions(
    rows: pd.DataFrame, spec: ModelSpec, layout: Layout, rng: np.random.Generator
) -> tuple[pd.DataFrame, Layout]:
    """Return rows in which summaries of sessions are ratings at sessions that have just these summaries.

    Parameters
    ----------
    rows : DataFrame
        With a column per declared variable that was drawn, one value per patient.
    spec : ModelSpec
        Says how a declared variable is worked out: ``window``, or ``first`` and the ``change`` from it to ``last``.
    layout : Layout
        Names patients and sessions.
    rng : Generator
        For ratings around the summaries.

    Returns
    -------
    rows : DataFrame
        A row per patient and session, the summaries left out; unchanged where none was drawn.
    layout : Layout
        With the sessions of these rows.
    """
    drawn = {name: call for name, call in spec.declared.items() if name in rows}
    if not drawn:
        return rows, layout
    (rated,) = {
        argument.name for call in drawn.values() for argument in call.arguments[:1] if isinstance(argument, Name)
    }
    patient, session = layout.name("patient"), layout.name("session")
    if not layout.sessions:
        layout = layout.model_copy(update={"sessions": _sessions(drawn)})
        rows = rows.merge(pd.DataFrame({session: layout.sessions}), how="cross")
        rows = rows.sort_values([patient, session], kind="stable").reset_index(drop=True)
    values = np.full(len(rows), np.nan)
    first, change = _named(drawn, "first"), _named(drawn, "change")
    if first and change:
        place = (rows[session] - min(layout.sessions)) / (max(layout.sessions) - min(layout.sessions))
        noise = rng.normal(0.0, SPREAD * rows[change].std(), len(rows)) * ((place > 0) & (place < 1))
        values = (rows[first] + place * rows[change] + noise).to_numpy(float)
    for name, call in drawn.items():
        if call.function == "window":
            inside = rows[session].between(*_ends(call)).to_numpy()
            noise = rng.normal(0.0, SPREAD * rows[name].std(), int(inside.sum()))
            around = pd.Series(noise).groupby(rows[patient].to_numpy()[inside]).transform("mean").to_numpy()
            values[inside] = rows[name].to_numpy(float)[inside] + noise - around
    return rows.assign(**{rated: values}).drop(columns=list(drawn)), layout


def _sessions(drawn: dict[str, Call]) -> Sequence[int]:
    """Return the sessions at which a variable is rated."""
    windows = [_ends(call) for call in drawn.values() if call.function == "window"]
    if not windows:
        return SESSIONS
    return sorted({round(float(number)) for low, high in windows for number in np.linspace(low, high, RATED)})


def _ends(call: Call) -> tuple[float, float]:
    low, high = (argument.value for argument in call.arguments[1:3] if isinstance(argument, Number))
    return low, high


def _named(drawn: dict[str, Call], function: str) -> str | None:
    return next((name for name, call in drawn.items() if call.function == function), None)
