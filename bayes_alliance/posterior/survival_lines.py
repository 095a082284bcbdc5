"""Survival as lines of results: the chance to be there after every session, of the fit's patients or of new ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance._messages import quote
from bayes_alliance.design.columns.terms import Columns
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.chains import Chain
from bayes_alliance.expectation.expected import in_parts
from bayes_alliance.expectation.linked import linked_calls
from bayes_alliance.expectation.propagation import draw_noise, follow, set_in_chain
from bayes_alliance.expectation.questions import Question, over_sessions, session_settings
from bayes_alliance.expectation.set_variables import Setting
from bayes_alliance.expectation.survival import (
    check_constant,
    first_rows,
    staying_of_rows,
    survival,
    survival_of_rows,
)
from bayes_alliance.findings import Problem
from bayes_alliance.names import SESSION
from bayes_alliance.posterior.results import Asked
from bayes_alliance.spec.expressions import Call, render, render_term
from bayes_alliance.spec.functions import CURRENT
from bayes_alliance.spec.variables_read import values_in


def survival_lines(
    own: Asked, *, by: str | Sequence[str] | None, propagate: bool
) -> tuple[list[np.ndarray], list[pd.DataFrame]]:
    """Return chances to be there after every session, of the fit's patients or after every row of new ones."""
    question = own.question
    e = question.fitted
    _check_survival(question, by=by)
    if propagate and len(question.follows) > 1:
        return _following(own)
    flat = own.draws()
    values, lines = [], []
    for settings in question.settings:
        if question.units is not None:
            moved = question.moved(settings)
            work = partial(survival_of_rows, moved, groups=own.groups)
            values.append(in_parts(work, flat, len(moved.equation.y), None))
            lines.append(question.lines(settings))
            continue
        sessions = np.unique(e.session)
        first, told = first_rows(e, sessions[0])
        own.messages += [message for message in told if message not in own.messages]
        values.append(survival(over_sessions(question, settings), first, flat, own.groups))
        lines.append(_by_session(question, settings, sessions))
    return values, lines


def _by_session(question: Question, settings: Mapping[str, Setting], sessions: np.ndarray) -> pd.DataFrame:
    line = question.lines(settings)
    return line.loc[line.index.repeat(len(sessions))].reset_index(drop=True).assign(session=sessions)


def _following(own: Asked) -> tuple[list[np.ndarray], list[pd.DataFrame]]:
    """Return chances to be there where hazards read what other equations say of a patient in every session.

    Effects of new units are drawn, the same in all sessions of a patient, and chances averaged over them.
    """
    question, chain = own.question, own.chain(bent=True)
    e = question.fitted
    terms = _check_followed(chain)
    new, sessions = question.units is not None, np.unique(e.session)
    stages: list[dict[str, Setting]] = [{}]
    if not new:  # equations that are read may have the session where that of leaving has not
        every = list(chain.fitted.values())
        stages = [
            {**{name: v for own in every for name, v in session_settings(own, one).items()}, SESSION: float(one)}
            for one in sessions
        ]
    by_setting = [
        [set_in_chain(chain, {**stage, **settings}, {}) for stage in stages] for settings in question.settings
    ]
    first, told = (None, ()) if new else first_rows(e, sessions[0])
    own.messages += told
    for courses in by_setting if not new else ():
        check_constant([course.moved[chain.outcome] for course in courses], own.groups, terms, drawn=True)
        for key in courses[0].linked:
            sides = [course.linked[key].sides[0] for course in courses]
            check_constant(sides, own.groups, _deviating_terms(sides[0].coef), drawn=True)

    def work(flat: xr.Dataset, rng: np.random.Generator) -> list[np.ndarray]:
        noise = draw_noise(chain, flat, [course for courses in by_setting for course in courses], rng)
        found = []
        for courses in by_setting:
            followed = [follow(chain, course, flat, noise) for course in courses]
            hazards = [one.rows.expected(one.linear) for one in followed]
            if first is None:
                found.append(staying_of_rows(question.equation, hazards[0]))
                continue
            staying = np.cumprod([1 - hazard[:, first] for hazard in hazards], axis=0)
            found.append(staying.mean(axis=2).T)
        return found

    values = own.repeated(chain, work)
    lines = [
        question.lines(settings) if new else _by_session(question, settings, sessions) for settings in question.settings
    ]
    return values, lines


def _deviating_terms(columns: Columns) -> set[str]:
    """Return the terms that do not count where another equation reads a linear predictor."""
    return {term for term, dynamic in zip(columns.terms, columns.dynamic, strict=True) if dynamic}


def _check_followed(chain: Chain) -> set[str]:
    """Return the terms of leaving that other equations are read in; refuse values that are drawn session by session.

    Raises
    ------
    FitError
        If leaving reads an outcome itself: what it would be after a patient left is not worked out.
    """
    e = chain.fitted[chain.outcome]
    terms = [*e.mean.spec.parsed.terms, *(term for group in e.mean.spec.parsed.groups for term in group.terms)]
    reading = [(term, part) for term in terms for part in term.parts if set(chain.equations) & set(values_in(part))]
    odd = [render(part) for _, part in reading if not (isinstance(part, Call) and part.function in CURRENT)]
    if odd or len(chain.equations) > 1 + len({key.variable for key in linked_calls(e).values()}):
        raise FitError(
            Problem(
                f"{e.outcome!r} reads {quote(odd or list(chain.equations)[:-1])}, which is drawn session by session: "
                "survival is worked out where it reads what an equation says of a patient, by value() or slope().",
                fix="Set it to values, or leave propagate= out.",
            )
        )
    return {render_term(term) for term, _ in reading}


def _check_survival(question: Question, *, by: str | Sequence[str] | None) -> None:
    e, problems = question.fitted, []
    if not e.kind.binary or e.spec.unit != SESSION:
        problems.append(
            Problem(
                f"{e.outcome!r} is {e.family}, by {e.spec.unit}.",
                allowed="Survival is of an outcome of leaving by session (hazard, or bernoulli).",
            )
        )
    if by is not None:
        problems.append(
            Problem("Survival is by session, of all.", fix="Leave by= out, or set what it is to differ by.")
        )
    if question.grid:
        problems.append(
            Problem(
                "Survival is over the sessions of patients, which a grid has not.",
                fix="Use the fit's rows (at=), or give rows with patient and session.",
            )
        )
    if SESSION in question.settings[0]:
        problems.append(Problem("Survival is over all sessions; at= sets one.", fix="Leave the session out of at=."))
    new = question.units is not None and not question.grid
    if new and (np.isnan(question.equation.session).any() or not isinstance(question.equation.patient[0], str)):
        problems.append(Problem("The rows do not say of which patient and session they are.", fix="Add both columns."))
    if problems:
        raise FitError(problems)
