"""Predictions, comparisons and slopes: what a model expects in rows, and how that changes, every draw kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance._messages import number_text, quote, unknown
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.expectation.expected import (
    Effects,
    drawn_rows,
    expected_means,
    expected_rows,
    in_parts,
    linear_rows,
    read_groups,
)
from bayes_alliance.expectation.linear import stack_draws
from bayes_alliance.expectation.new_data import Moved
from bayes_alliance.expectation.new_rows import NewRows
from bayes_alliance.expectation.questions import Question, Values, as_values, ask, check_shift
from bayes_alliance.expectation.set_variables import Setting, check_values, find_predictor
from bayes_alliance.findings import Problem
from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.fit.seeds import check_seed
from bayes_alliance.posterior.expectations import Expectations

type What = Literal["expected", "linear", "drawn"]
type Scale = Literal["difference", "ratio", "odds ratio"]
type Groups = str | Mapping[str, str]

WHAT: Final = ("expected", "linear", "drawn")
SCALES: Final = ("difference", "ratio", "odds ratio")

BETWEEN: Final[dict[Scale, str]] = {"difference": "less", "ratio": "to", "odds ratio": "to"}
"""What stands between two values that are compared."""

STEP: Final = 1e-3
"""Part of a predictor's SD that it is changed by for a slope, to both sides."""


def predictions(
    fit: Fit,
    rows: NewRows | None = None,
    *,
    at: Mapping[str, Values] | None = None,
    grid: Mapping[str, Values] | None = None,
    by: str | Sequence[str] | None = None,
    groups: Groups = "new",
    what: What = "expected",
    outcome: str | None = None,
    seed: int = 1,
) -> Expectations:
    """Return what a model predicts: for its own rows, with variables set, for a grid, or for new rows.

    Parameters
    ----------
    fit : Fit
        With its rows.
    rows : SessionTable or DataFrame, optional
        New rows, with predictors called as in the model or the study, and ids called like the grouping factors; an
        outcome is not needed. The fit's own rows unless stated. Ids that were not fitted are new units. Values that
        the model takes to be missing or measured with error are those stated.
    at : mapping of str to value or sequence, optional
        Variables and the values they are set to in every row, in all combinations; what goes with them is set, too.
    grid : mapping of str to value or sequence, optional
        A row per combination of these values; other numbers at their mean, levels at the most frequent one.
    by : str or sequence of str, optional
        Predictors, grouping factors, ``"session"`` or ``"patient"`` that rows are averaged by; ``"row"`` averages
        nothing. Unless stated the fit's own rows are averaged over, and new rows and grids stand one by one.
    groups : {"new", "own", "zero"}, or a mapping of these by grouping factor
        Whose group effects: new units', integrated out (the expected outcome of a new patient of a new therapist);
        those of a row's own units (new ones where it has none that was fitted); or 0 (a typical unit). A factor that a
        mapping does not name has new units.
    what : {"expected", "linear", "drawn"}
        The expected outcome; the linear predictor, where effects of new units are at their mean of 0; or outcomes drawn
        anew, with residuals, of which every posterior draw has one.
    outcome : str, optional
        Which outcome, where the model has several.
    seed : int
        For outcomes that are drawn.

    Returns
    -------
    Expectations
        In units of the outcome: probabilities for 0/1 outcomes, shares of the trials for successes (numbers, where they
        are drawn).

    Raises
    ------
    DesignError
        If new rows lack a predictor or have an unknown level, or the model reads other rows than a row's own.
    FitError
        If the fit has no rows, what is set or averaged by is none, own effects are wanted of rows without ids, or
        averages of drawn outcomes whose residuals follow one another.

    Examples
    --------
    >>> predictions(fit, at={"condition": ["TAU", "CBT"]}, by="session").table()  # doctest: +SKIP
    """
    check_seed(seed)
    if what not in WHAT:
        raise FitError(unknown("what", str(what), WHAT))
    question = ask(design_of(fit), outcome=outcome, rows=rows, at=at, grid=grid, by=by)
    effects = _effects(question, groups)
    if what == "drawn" and question.fitted.series is not None and question.weights is not None:
        raise FitError(
            Problem(
                "Residuals follow those of the session before, so averages of outcomes that are drawn row by row would "
                "vary too little.",
                fix='Ask for rows: by="row".',
            )
        )
    flat = _draws(fit, question, effects)
    values, lines = [], []
    for settings in question.settings:
        values.append(_results(question.moved(settings), flat, question, effects, what, seed))
        lines.append(question.lines(settings))
    e = question.fitted
    unit = {"linear": e.kind.unit, "expected": e.kind.difference_unit(e.outcome), "drawn": _drawn_unit(e)}[what]
    title = {"expected": "Expected", "linear": "Linear predictor of", "drawn": "Drawn"}[what]
    return _collect(fit, f"{title} {e.outcome}", values, lines, unit, np.nan)


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
    outcome: str | None = None,
) -> Expectations:
    """Return how the expected outcome changes when a variable is set to one value rather than another.

    Averages over rows are taken within every draw first, and compared then.

    Parameters
    ----------
    fit : Fit
        With its rows.
    variable : str
        A predictor, in the model's name or the study's.
    rows, at, grid, by, groups, outcome
        As in ``predictions``.
    values : sequence, optional
        Values of the variable; each later one is compared with the first. Unless stated, levels are compared with the
        reference, 1 with 0, and a number that is 1 larger in every row with what it is.
    scale : {"difference", "ratio", "odds ratio"}
        How the two are compared.

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
    design = design_of(fit)
    e = design.find(outcome)
    name = find_predictor(e, variable)
    question = ask(design, outcome=outcome, rows=rows, at=at, grid=grid, by=by, apart=[name])
    if scale == "odds ratio" and not (e.kind.binary or e.kind.trials):
        raise FitError(f"{e.outcome!r} is {e.family}; odds are of probabilities. Take a difference or a ratio.")
    own = e.variables[name]
    first, others = _sides(question, name, values, scale)
    effects = _effects(question, groups)
    flat = _draws(fit, question, effects)
    found, lines = [], []
    for settings in question.settings:
        before = _expected(question, flat, effects, settings, first)
        for label, other in others.items():
            after = _expected(question, flat, effects, settings, other)
            found.append(_compare(before, after, scale))
            lines.append(question.lines(settings).assign(comparison=label))
    unit = e.kind.difference_unit(e.outcome) if scale == "difference" else f"{scale} of {e.outcome}"
    return _collect(fit, f"{own.label}: {scale} of {e.outcome}", found, lines, unit, float(scale != "difference"))


def slopes(
    fit: Fit,
    variable: str,
    *,
    rows: NewRows | None = None,
    at: Mapping[str, Values] | None = None,
    grid: Mapping[str, Values] | None = None,
    by: str | Sequence[str] | None = None,
    groups: Groups = "new",
    outcome: str | None = None,
) -> Expectations:
    """Return how steep the expected outcome is in a number: its derivative, in every row, averaged.

    Parameters
    ----------
    fit : Fit
        With its rows.
    variable : str
        A predictor that is a number.
    rows, at, grid, by, groups, outcome
        As in ``predictions``; ``at`` may set the variable itself to the values where its slope is wanted.

    Returns
    -------
    Expectations
        In units of the outcome per unit of the predictor.

    Raises
    ------
    DesignError, FitError
        As ``predictions``; also if the variable is a factor, or others in the model go with it.
    """
    design = design_of(fit)
    e = design.find(outcome)
    name = find_predictor(e, variable)
    question = ask(design, outcome=outcome, rows=rows, at=at, grid=grid, by=by)
    check_shift(question, name)
    effects = _effects(question, groups)
    flat = _draws(fit, question, effects)
    step = STEP * float(np.nanstd(e.variables[name].values))
    found, lines = [], []
    for settings in question.settings:
        before, after = (_expected(question, flat, effects, settings, ({}, {name: change})) for change in (-step, step))
        found.append((after - before) / (2 * step))
        lines.append(question.lines(settings))
    unit = f"{e.kind.difference_unit(e.outcome)} per unit of {e.variables[name].label}"
    return _collect(fit, f"Slope of {e.outcome} in {e.variables[name].label}", found, lines, unit, 0.0)


type Side = tuple[dict[str, Setting], dict[str, float]]
"""What is set, and what numbers are changed by."""


def _expected(
    question: Question, flat: xr.Dataset, effects: Mapping[str, Effects], settings: dict[str, Setting], side: Side
) -> np.ndarray:
    """Return the expected outcome on one side of a comparison, shape (draw, line)."""
    setting, shift = side
    return _results(question.moved(settings | setting, shift), flat, question, effects, "expected", 1)


def _sides(
    question: Question, name: str, values: Sequence[Setting] | None, scale: Scale
) -> tuple[Side, dict[str, Side]]:
    """Return what is set or changed on the first side, and on the others by the name of their comparison with it."""
    own = question.fitted.variables[name]
    if values is None and own.levels is None:
        seen = own.values[~np.isnan(own.values)]
        if not np.isin(seen, (0.0, 1.0)).all():
            check_shift(question, name)
            return ({}, {}), {f"{own.label} + 1": ({}, {name: 1.0})}
        values = [0.0, 1.0]
    stated = as_values(values, own.label) if values is not None else list(own.levels or ())
    if len(stated) < 2:
        raise FitError(f"A comparison needs two values of {own.label!r} or more.")
    check_values(own, stated)
    first, *others = stated
    sides: dict[str, Side] = {f"{_text(one)} {BETWEEN[scale]} {_text(first)}": ({name: one}, {}) for one in others}
    return ({name: first}, {}), sides


def _text(value: Setting) -> str:
    return value if isinstance(value, str) else number_text(value) if np.isfinite(value) else str(value)


def _drawn_unit(e: EquationDesign) -> str:
    """Return what outcomes that are drawn are in."""
    if e.kind.trials:
        return f"number of {e.outcome}"
    return f"{e.outcome}, 0 or 1" if e.kind.binary else e.kind.difference_unit(e.outcome)


def _compare(before: np.ndarray, after: np.ndarray, scale: Scale) -> np.ndarray:
    match scale:
        case "difference":
            found = after - before
        case "ratio":
            found = after / before
        case "odds ratio":
            found = after / (1 - after) * (1 - before) / before
    return np.asarray(found)


def _effects(question: Question, groups: Groups) -> dict[str, Effects]:
    """Return what is done with every factor's effects; refuse own ones of new rows without ids."""
    effects = read_groups(groups, question.factors)
    lacking = [f for f, how in effects.items() if how == "own" and question.units and not question.units[f].stated]
    if lacking and not question.grid:
        raise FitError(
            Problem(
                f"The rows have no column {quote(lacking)}, so it is not known whose effects are theirs.",
                fix="Call the column of ids like that, or state groups='new'.",
            )
        )
    return effects


def _draws(fit: Fit, question: Question, effects: Mapping[str, Effects]) -> xr.Dataset:
    """Return draws, with group effects where rows read them."""
    if "own" in effects.values() or question.equation.follows:
        return stack_draws(with_effects(fit))
    return stack_draws(fit.data["posterior"].to_dataset())


def _results(
    moved: Moved, flat: xr.Dataset, question: Question, effects: Mapping[str, Effects], what: What, seed: int
) -> np.ndarray:
    """Return results at one setting, shape (draw, line)."""
    weights = question.weights
    if what == "expected" and weights is not None:
        return expected_means(moved, flat, effects, weights)
    rng, linear = np.random.default_rng(np.random.SeedSequence(seed)), moved.equation.kind.linear
    each: dict[What, Callable[[xr.Dataset], np.ndarray]] = {
        "expected": lambda part: expected_rows(moved, part, effects),
        "linear": lambda part: linear_rows(moved, part, effects) + (moved.equation.offset if linear else 0.0),
        "drawn": lambda part: drawn_rows(moved, part, effects, rng),
    }
    return in_parts(each[what], flat, len(moved.equation.y), weights)


def _collect(
    fit: Fit, title: str, values: Sequence[np.ndarray], lines: Sequence[pd.DataFrame], unit: str, null: float
) -> Expectations:
    """Return results as draws over chains, under names that say what they are of."""
    whole = pd.concat(lines, ignore_index=True)
    together = np.concatenate(values, axis=1)
    sizes = fit.data["posterior"].sizes
    names = [
        ", ".join(f"{key} = {_text(value)}" for key, value in line.items()) or title
        for line in whole.to_dict("records")
    ]
    count = len(names)
    nan = np.full(count, np.nan)
    draws = xr.Dataset(
        {"value": (("chain", "draw", "estimand"), together.reshape(sizes["chain"], sizes["draw"], count))},
        coords={
            "chain": np.arange(sizes["chain"]),
            "draw": np.arange(sizes["draw"]),
            "estimand": names,
            "unit": ("estimand", [unit] * count),
            "level": ("estimand", ["population"] * count),
            "rope_lb": ("estimand", nan),
            "rope_ub": ("estimand", nan),
            "ratio": ("estimand", np.zeros(count, dtype=int)),
            "null": ("estimand", np.full(count, null)),
        },
    )
    messages = () if fit.passed else (f"The fit is not to be relied on. {fit.verdict}",)
    return Expectations(title, whole, draws, messages)
