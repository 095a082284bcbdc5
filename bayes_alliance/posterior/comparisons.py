"""Comparisons and slopes: how what a model expects changes with a variable, every draw kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import numpy as np

from bayes_alliance._messages import quote, unknown
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.chains import names_read
from bayes_alliance.expectation.new_row_columns import NewRows
from bayes_alliance.expectation.questions import Question, Values, as_values, ask, check_shift, known_predictors
from bayes_alliance.expectation.set_calls import Part, calls_that_read, part_shifts
from bayes_alliance.expectation.set_variables import Setting, check_values, find_predictor, predictors_of
from bayes_alliance.findings import Problem
from bayes_alliance.fit.result import Fit
from bayes_alliance.fit.seeds import check_seed
from bayes_alliance.posterior.expectations import Expectations, text_of
from bayes_alliance.posterior.hypotheses import Hypothesis, compare_results
from bayes_alliance.posterior.results import Groups, Residuals, Side, asked, collect, design_for

type Scale = Literal["difference", "ratio", "odds ratio"]

SCALES: Final = ("difference", "ratio", "odds ratio")

BETWEEN: Final[dict[Scale, str]] = {"difference": "less", "ratio": "to", "odds ratio": "to"}
"""What stands between two values that are compared."""

STEP: Final = 1e-3
"""Part of a predictor's SD that it is changed by for a slope, to both sides."""

WIDE: Final = 0.25
"""The same where outcomes are drawn: less would change few of them."""


def comparisons(
    fit: Fit,
    variable: str,
    *,
    rows: NewRows | None = None,
    values: Sequence[Setting] | None = None,
    at: Mapping[str, Values] | None = None,
    grid: Mapping[str, Values] | None = None,
    by: str | Sequence[str] | None = None,
    groups: Groups = "new",
    scale: Scale = "difference",
    part: Part | None = None,
    propagate: bool = False,
    residuals: Residuals = "new",
    outcome: str | None = None,
    hypothesis: Hypothesis | None = None,
    seed: int = 1,
) -> Expectations:
    """Return how the expected outcome changes when a variable is set to one value rather than another.

    Averages over rows are taken within every draw first, and compared then.

    Parameters
    ----------
    fit : Fit
        With its rows.
    variable : str
        A predictor, in the model's name or the study's, or a call that reads other rows, such as
        ``"within(alliance, patient)"``.
    rows, at, grid, by, groups, propagate, residuals, outcome, hypothesis, seed
        As in ``predictions``.
    values : sequence, optional
        Values of the variable; each later one is compared with the first. Unless stated, levels are compared with the
        reference, 1 with 0, and a number that is 1 larger in every row with what it is.
    scale : {"difference", "ratio", "odds ratio"}
        How the two are compared.
    part : {"within", "all sessions"}, optional
        What is 1 larger, of a number that the model reads in other sessions, too: one session's value, with the
        patient's mean and later sessions' lags as they are; or the values of all of a patient's sessions.

    Returns
    -------
    Expectations

    Raises
    ------
    DesignError, FitError
        As ``predictions``; odds need probabilities.
    """
    if scale not in SCALES:
        raise FitError(unknown("scale", str(scale), SCALES))
    check_seed(seed)
    design = design_for(fit, new=rows is not None or grid is not None)
    e = design.find(outcome)
    name, known = _find(design, e, variable, propagate=propagate)
    question = ask(design, outcome=outcome, rows=rows, at=at, grid=grid, by=by, apart=[name], propagate=propagate)
    if scale == "odds ratio" and not (e.kind.binary or e.kind.trials):
        raise FitError(f"{e.outcome!r} is {e.family}; odds are of probabilities. Take a difference or a ratio.")
    own = asked(fit, question, groups, seed=seed, residuals=residuals, propagate=propagate)
    first, others = _sides(question, known, name, values, scale, part)
    sides: list[Side] = []
    for settings in question.settings:
        sides += [({**settings, **stated}, shift) for stated, shift in (first, *others.values())]
    if name in question.known:
        count = len(others) + 1
        pairs = [(i - i % count, i) for i in range(len(sides)) if i % count]
        worked = own.values(sides, pairs=pairs)
    else:  # the outcome does not depend on it
        count = len(others) + 1
        worked = own.values([(settings, {}) for settings in question.settings for _ in range(count)])
        own.messages.append(_nothing(design, e, known[name].label))
    found, lines = [], []
    for place, settings in enumerate(question.settings):
        before, *after = worked[place * count : (place + 1) * count]
        for label, one in zip(others, after, strict=True):
            found.append(_compare(before, one, scale))
            lines.append(own.question.lines(settings).assign(comparison=label))
    unit = e.kind.difference_unit(e.outcome) if scale == "difference" else f"{scale} of {e.outcome}"
    title = f"{known[name].label}: {scale} of {e.outcome}"
    results = collect(own, title, found, lines, unit, float(scale != "difference"))
    return compare_results(results, hypothesis)


def slopes(
    fit: Fit,
    variable: str,
    *,
    rows: NewRows | None = None,
    at: Mapping[str, Values] | None = None,
    grid: Mapping[str, Values] | None = None,
    by: str | Sequence[str] | None = None,
    groups: Groups = "new",
    part: Part | None = None,
    propagate: bool = False,
    residuals: Residuals = "new",
    outcome: str | None = None,
    hypothesis: Hypothesis | None = None,
    seed: int = 1,
) -> Expectations:
    """Return how steep the expected outcome is in a number: its derivative, in every row, averaged.

    Where outcomes that follow have to be drawn, it is the difference over half an SD of the number, per unit.

    Parameters
    ----------
    fit : Fit
        With its rows.
    variable : str
        A predictor that is a number, or a call that reads other rows, such as ``"between(alliance, patient)"``.
    rows, at, grid, by, groups, propagate, residuals, outcome, hypothesis, seed
        As in ``predictions``; ``at`` may set the variable itself to the values where its slope is wanted.
    part : {"within", "all sessions"}, optional
        As in ``comparisons``.

    Returns
    -------
    Expectations
        In units of the outcome per unit of the predictor.

    Raises
    ------
    DesignError, FitError
        As ``predictions``; also if the variable is a factor, or others in the model go with it.
    """
    check_seed(seed)
    design = design_for(fit, new=rows is not None or grid is not None)
    e = design.find(outcome)
    name, known = _find(design, e, variable, propagate=propagate)
    if name not in predictors_of(e) and not propagate:
        raise FitError(_nothing(design, e, known[name].label))
    question = ask(design, outcome=outcome, rows=rows, at=at, grid=grid, by=by, propagate=propagate)
    check_shift(question, name)
    moves = _moves(question, name, part)
    own = asked(fit, question, groups, seed=seed, residuals=residuals, propagate=propagate)
    label, spread = known[name].label, float(np.nanstd(known[name].values))
    bent = bool(question.follows) and not own.is_straight()
    step = (WIDE if bent else STEP) * (spread if spread > 0 else 1.0)
    sides: list[Side] = [
        (settings, {key: sign * step * far for key, far in moves.items()})
        for settings in question.settings
        for sign in (-1, 1)
    ]
    worked = own.values(sides, pairs=[(i, i + 1) for i in range(0, len(sides), 2)])
    found = [(after - before) / (2 * step) for before, after in zip(worked[::2], worked[1::2], strict=True)]
    lines = [own.question.lines(settings) for settings in question.settings]
    where = "" if part is None else f" ({part})"
    unit = f"{e.kind.difference_unit(e.outcome)} per unit of {label}"
    return compare_results(collect(own, f"Slope of {e.outcome} in {label}{where}", found, lines, unit, 0.0), hypothesis)


def _find(design: Design, e: EquationDesign, variable: str, *, propagate: bool) -> tuple[str, dict[str, Variable]]:
    """Return a predictor's name in the model, and all that there are: of the outcome's equation, then of others."""
    if propagate:
        names = names_read(design.spec, e.spec.outcome, ())
        known = known_predictors([e, *map(design.find, names)])
    else:
        known = predictors_of(e)
    if variable in known or variable in {own.label for own in known.values()}:
        return find_predictor(known, variable), known
    known = known_predictors([e, *design.equations])
    return find_predictor(known, variable), known


def _nothing(design: Design, e: EquationDesign, label: str) -> str:
    """Return that an outcome's equation does not read a variable, and which do."""
    readers = [own.outcome for own in design.equations if label in {v.label for v in predictors_of(own).values()}]
    return (
        f"0 by construction: the equation of {e.outcome!r} does not read {label!r}; that of {quote(readers)} does. "
        f"Where {e.outcome!r} reads one of these and it is not held, propagate=True lets it follow."
    )


def _sides(
    question: Question,
    known: Mapping[str, Variable],
    name: str,
    values: Sequence[Setting] | None,
    scale: Scale,
    part: Part | None,
) -> tuple[Side, dict[str, Side]]:
    """Return what is set or changed on the first side, and on the others by the name of their comparison with it."""
    own = known[name]
    if values is None and own.levels is None:
        seen = own.values[~np.isnan(own.values)]
        if part is not None or not np.isin(seen, (0.0, 1.0)).all():
            check_shift(question, name)
            where = "" if part is None else f" ({part})"
            return ({}, {}), {f"{own.label} + 1{where}": ({}, _moves(question, name, part))}
        values = [0.0, 1.0]
    if part is not None:
        raise FitError(
            Problem(
                f"part={part!r} says what is 1 larger; values of {own.label!r} are stated.",
                fix="Leave values= out, or name a call and its values.",
            )
        )
    stated = as_values(values, own.label) if values is not None else list(own.levels or ())
    if len(stated) < 2:
        raise FitError(f"A comparison needs two values of {own.label!r} or more.")
    check_values(own, stated)
    first, *others = stated
    sides: dict[str, Side] = {f"{text_of(one)} {BETWEEN[scale]} {text_of(first)}": ({name: one}, {}) for one in others}
    return ({name: first}, {}), sides


def _moves(question: Question, name: str, part: Part | None) -> dict[str, float]:
    """Return how far a variable and calls of it move, per unit, in every equation that is asked."""
    equations = [question.fitted, *(question.design.find(one) for one in question.follows)]
    if any(name in e.calls for e in equations):
        if part is not None:
            raise FitError(Problem(f"part={part!r} is of a variable; a call is one part.", fix="Leave part= out."))
        return {name: 1.0}
    readers = {e.outcome: e for e in equations if name in e.variables}
    around = [e for e in readers.values() if calls_that_read(e, name)] or list(readers.values())[:1]
    found = {name: 1.0}
    for e in around:
        found |= part_shifts(e, name, part)
    return found


def _compare(before: np.ndarray, after: np.ndarray, scale: Scale) -> np.ndarray:
    match scale:
        case "difference":
            found = after - before
        case "ratio":
            found = after / before
        case "odds ratio":
            found = after / (1 - after) * (1 - before) / before
    return np.asarray(found)
