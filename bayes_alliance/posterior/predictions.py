"""Predictions: what a model expects in its own rows, in rows that are made, or in new ones, every draw kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, assert_never

import numpy as np
import pandas as pd

from bayes_alliance._messages import unknown
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.categories import categories_of
from bayes_alliance.expectation.new_row_columns import NewRows
from bayes_alliance.expectation.questions import Values, ask
from bayes_alliance.findings import Problem
from bayes_alliance.fit.result import Fit
from bayes_alliance.fit.seeds import check_seed
from bayes_alliance.posterior.expectations import Expectations
from bayes_alliance.posterior.hypotheses import Hypothesis, compare_results
from bayes_alliance.posterior.results import Groups, Residuals, What, asked, collect, design_for
from bayes_alliance.posterior.survival_lines import survival_lines

WHAT: Final = ("expected", "linear", "drawn", "probability", "survival")

TITLES: Final[dict[What, str]] = {
    "expected": "Expected",
    "linear": "Linear predictor of",
    "drawn": "Drawn",
    "probability": "Probability of each value of",
    "survival": "Probability to be there, by",
}


def predictions(
    fit: Fit,
    rows: NewRows | None = None,
    *,
    at: Mapping[str, Values] | None = None,
    grid: Mapping[str, Values] | None = None,
    by: str | Sequence[str] | None = None,
    groups: Groups = "new",
    what: What = "expected",
    propagate: bool = False,
    residuals: Residuals = "new",
    outcome: str | None = None,
    hypothesis: Hypothesis | None = None,
    seed: int = 1,
) -> Expectations:
    """Return what a model predicts: for its own rows, with variables set, for a grid, or for new rows.

    Parameters
    ----------
    fit : Fit
        With its rows; a loaded fit without them answers for new rows and grids.
    rows : SessionTable or DataFrame, optional
        New rows, with predictors called as in the model or the study, and ids called like the grouping factors; an
        outcome is not needed. The fit's own rows unless stated. Ids that were not fitted are new units. Values that
        the model takes to be missing or measured with error are those stated. What the model reads of other rows, such
        as ``lag(y)`` or ``within(x, patient)``, is a column of that name, or worked out over these rows.
    at : mapping of str to value or sequence, optional
        Variables and the values they are set to in every row, in all combinations; what goes with them is set, too.
        Calls that read other rows are set by their name: ``at={"within(alliance, patient)": [-1, 1]}``.
    grid : mapping of str to value or sequence, optional
        A row per combination of these values; other numbers at their mean, levels at the most frequent one.
    by : str or sequence of str, optional
        Predictors, grouping factors, ``"session"`` or ``"patient"`` that rows are averaged by; ``"row"`` averages
        nothing. Unless stated the fit's own rows are averaged over, and new rows and grids stand one by one.
    groups : {"new", "own", "zero"}, or a mapping of these by grouping factor
        Whose group effects: new units', integrated out (the expected outcome of a new patient of a new therapist);
        those of a row's own units (new ones where it has none that was fitted); or 0 (a typical unit). A factor that a
        mapping does not name has new units.
    what : {"expected", "linear", "drawn", "probability", "survival"}
        The expected outcome; the linear predictor, where effects of new units are at their mean of 0; outcomes drawn
        anew, with residuals, of which every posterior draw has one; the probability of every category of an ordered
        outcome, of 0 and 1, or of the ends of a scale; or, of leaving, the chance to be there after every session. That
        is of all who were there at the first one, or of every row of new patients.
    propagate : bool
        Whether outcomes that this one reads, in the same session or earlier ones, follow from what is set: they are
        drawn by their own equations, in order, with new residuals, and the outcome is expected given them. Where all
        are straight lines their means follow from means, and nothing is drawn. Unless stated they stay as observed.
    residuals : {"new", "own"}
        Residuals of outcomes that follow: drawn anew, or those that the fit's own rows have, so that what follows is
        what these sessions would have been. The latter needs ``groups="own"``, and outcomes that have residuals.
    outcome : str, optional
        Which outcome, where the model has several.
    hypothesis : str or sequence of str, optional
        How results are compared with one another: ``"reference"`` (each less the first), ``"sequential"`` (less the one
        before), ``"pairwise"``, or arithmetic over lines, such as ``"b2 - b1"``.
    seed : int
        For what is drawn.

    Returns
    -------
    Expectations
        In units of the outcome: probabilities for 0/1 outcomes, shares of the trials for successes (numbers, where they
        are drawn).

    Raises
    ------
    DesignError
        If new rows lack a predictor or have an unknown level, or do not tell what the model reads of other rows.
    FitError
        If the fit has no rows, what is set or averaged by is none, own effects are wanted of rows without ids, or
        averages of drawn outcomes whose residuals correlate over a patient's sessions.

    Examples
    --------
    >>> predictions(fit, at={"condition": ["TAU", "CBT"]}, by="session").table()  # doctest: +SKIP
    """
    check_seed(seed)
    if what not in WHAT:
        raise FitError(unknown("what", str(what), WHAT))
    design = design_for(fit, new=rows is not None or grid is not None)
    question = ask(design, outcome=outcome, rows=rows, at=at, grid=grid, by=by, propagate=propagate)
    own = asked(fit, question, groups, seed=seed, residuals=residuals, propagate=propagate)
    e = question.fitted
    if what == "drawn" and e.serial and question.weights is not None:
        raise FitError(
            Problem(
                "Residuals of a patient's sessions correlate, so averages of outcomes that are drawn row by row would "
                "vary too little.",
                fix='Ask for rows: by="row".',
            )
        )
    title, unit = f"{TITLES[what]} {e.outcome}", _unit(e, what)
    if what == "survival":
        values, lines = survival_lines(own, by=by, propagate=propagate)
    else:
        values = own.values([(settings, {}) for settings in question.settings], what=what)
        lines = [own.question.lines(settings) for settings in question.settings]
        if what == "probability":
            lines = [_by_category(one, e) for one in lines]
    return compare_results(collect(own, title, values, lines, unit, np.nan), hypothesis)


def _by_category(lines: pd.DataFrame, e: EquationDesign) -> pd.DataFrame:
    """Return the lines once per category."""
    return pd.concat([lines.assign(category=own.name) for own in categories_of(e)], ignore_index=True)


def _unit(e: EquationDesign, what: What) -> str:
    """Return what results are in."""
    match what:
        case "linear":
            return e.kind.unit
        case "expected":
            return e.kind.difference_unit(e.outcome)
        case "drawn" if e.kind.trials:
            return f"number of {e.outcome}"
        case "drawn":
            return f"{e.outcome}, 0 or 1" if e.kind.binary else e.kind.difference_unit(e.outcome)
        case "probability" | "survival":
            return "probability"
        case _:
            assert_never(what)
