"""The values an outcome can have in a study: its bounds, what successes are out of, its categories; and the checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np

from bayes_alliance._messages import count_of, first_few, quote
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.spec.claims import bounds_problems
from bayes_alliance.spec.families import BETWEEN, BINARY, CEILING, FAMILY, FLOOR
from bayes_alliance.spec.model import EquationSpec, ModelSpec
from bayes_alliance.spec.reading import values_in
from bayes_alliance.table.sessions import SessionTable

MANY_CATEGORIES: Final = 30
"""Categories above which thresholds are too many to be told apart."""


@dataclass(frozen=True, eq=False)
class OutcomeScale:
    """What values an outcome can have.

    ``bounds`` are its lowest and highest value, infinite where open; ``trials`` has shape (obs,); ``categories`` are
    named from the lowest on, and ``thresholds`` are the cutpoints between them.
    """

    bounds: tuple[float, float] = (-np.inf, np.inf)
    trials: np.ndarray | None = None
    categories: tuple[str, ...] = ()
    thresholds: tuple[str, ...] = ()

    def rows(self, keep: np.ndarray) -> OutcomeScale:
        """Return the same of some of the rows."""
        return self if self.trials is None else replace(self, trials=self.trials[keep])

    @property
    def width(self) -> float:
        """Return the distance between the bounds."""
        return self.bounds[1] - self.bounds[0]

    def share(self, y: np.ndarray) -> np.ndarray:
        """Return scores as shares of the way from the lowest to the highest value."""
        return (y - self.bounds[0]) / self.width

    def category(self, y: np.ndarray) -> np.ndarray:
        """Return the category of every outcome, counted from 0 for the lowest."""
        if self.thresholds == (FLOOR, CEILING):
            return np.where(y <= self.bounds[0], 0, np.where(y >= self.bounds[1], 2, 1))
        return np.rint(y - self.bounds[0]).astype(np.int64)


def state_bounds(spec: ModelSpec, sessions: SessionTable, columns: Mapping[str, str], problems: list[str]) -> ModelSpec:
    """Return the model with the bounds the study states for its outcomes, where the model leaves them open.

    A declared first(x), last(x), at(x, …) or window(x, …) has the bounds of x.
    """
    equations = []
    for equation in spec.equation:
        name, call = equation.outcome, spec.declared.get(equation.outcome)
        if call is not None and call.function in ("first", "last", "at", "window"):
            name = next(values_in(call.arguments[0]), name)
        column = sessions.roles.get(name, columns.get(name, name))
        bounds = sessions.bounds.get(column)
        if equation.kind.bounds == "none":
            equations.append(equation)
            continue
        if equation.bounds is None and bounds is None and equation.kind.bounds == "needed":
            problems.append(
                f"Outcome {equation.outcome!r} (column {column!r}) is {equation.family} and its bounds are not known. "
                f"State the ends of its scale when the table is read: bounds={{{column!r}: (low, high)}}."
            )
        if equation.bounds is not None and bounds is not None and equation.bounds != bounds:
            problems.append(
                f"Outcome {equation.outcome!r}: the model states bounds {list(equation.bounds)}, and the table "
                f"{list(bounds)} for column {column!r}. State them once."
            )
        equations.append(equation.model_copy(update={"bounds": equation.bounds or bounds}))
    problems += [problem for equation in equations for problem in bounds_problems(equation)]
    return spec.model_copy(update={"equation": tuple(equations)})


def check_outcome(
    label: str, values: np.ndarray, equation: EquationSpec, trials: np.ndarray | None, ledger: Mapping[str, int]
) -> list[str]:
    """Report an outcome with no rows, without spread, or with values its family does not have."""
    family = equation.family
    if len(values) == 0:
        why = "; ".join(f"{count_of(count, 'row')}: {reason}" for reason, count in ledger.items())
        return [f"No row has outcome {label!r} and every predictor; nothing can be fitted. Left out: {why}."]
    problems = _impossible(label, values, equation, trials)
    if problems:
        return problems
    if np.ptp(values) == 0 and (trials is None or np.ptp(trials) == 0):
        return [f"Outcome {label!r} is constant ({values[0]:g}) in the {count_of(len(values), 'row')} used."]
    if FAMILY[family].link == "identity" and set(np.unique(values)) == {0.0, 1.0}:
        return [f'Outcome {label!r} has only 0 and 1 and the equation is {family}. State family = "bernoulli".']
    return []


def _impossible(label: str, values: np.ndarray, equation: EquationSpec, trials: np.ndarray | None) -> list[str]:
    """Report values that an outcome of the family cannot have."""
    family, whole = equation.family, values == np.floor(values)
    where = f"Outcome {label!r} of a {family} equation has values"
    if family in BINARY and not np.isin(values, (0.0, 1.0)).all():
        return [f"{where} other than 0 and 1: {_shown(values, ~np.isin(values, (0.0, 1.0)))}. Recode it."]
    if family == "negative_binomial" and not (whole & (values >= 0)).all():
        odd = _shown(values, ~whole | (values < 0))
        return [f"{where} that are no counts: {odd}. Counts are 0, 1, 2, …; take another family for scores."]
    if family == "binomial" and trials is not None:
        if not ((trials >= 1) & (trials == np.floor(trials))).all():
            odd = _shown(trials, (trials < 1) | (trials != np.floor(trials)))
            return [
                f"trials = {equation.trials!r} of outcome {label!r} are no numbers of trials: {odd}. They are 1, 2, …"
            ]
        bad = ~whole | (values < 0) | (values > trials)
        if bad.any():
            return [f"{where} that are no number of successes from 0 to its trials: {_shown(values, bad)}."]
    if family == "cumulative" and not whole.all():
        return [
            f"{where} that are no categories: {_shown(values, ~whole)}. Categories are whole numbers in order; take "
            f"ordered_beta or censored for scores."
        ]
    if equation.bounds is not None:
        low, high = equation.bounds
        outside = (values < low) | (values > high)
        if outside.any():
            return [
                f"{where} outside its bounds [{low:g}, {high:g}] in {count_of(int(outside.sum()), 'row')}: "
                f"{_shown(values, outside)}. Mend the values, or state the bounds of the scale as it was scored."
            ]
    ends = (values.min(), values.max()) if equation.bounds is None else equation.bounds
    if family == "cumulative" and ends[1] - ends[0] >= MANY_CATEGORIES:
        return [
            f"Outcome {label!r} runs from {ends[0]:g} to {ends[1]:g}: too many categories for thresholds "
            f"(at most {MANY_CATEGORIES}). Take ordered_beta or censored."
        ]
    return []


def _shown(values: np.ndarray, odd: np.ndarray) -> str:
    return first_few([f"{value:g}" for value in np.unique(values[odd])])


def find_trials(equation: EquationSpec, variables: Mapping[str, Variable], size: int) -> np.ndarray | None:
    """Return what the successes of every row are out of, or None where the family has no trials."""
    if equation.trials is None:
        return None
    if isinstance(equation.trials, str):
        return variables[equation.trials].values
    return np.full(size, float(equation.trials))


def make_scale(
    label: str, y: np.ndarray, equation: EquationSpec, trials: np.ndarray | None, messages: list[str]
) -> OutcomeScale:
    """Make the scale of an outcome whose values have been checked, and say what the data do not show of it."""
    family, bounds = equation.family, equation.bounds or (-np.inf, np.inf)
    if family == "ordered_beta":
        messages += _ends(label, y, bounds)
        return OutcomeScale(bounds, None, (FLOOR, BETWEEN, CEILING), (FLOOR, CEILING))
    if family == "cumulative":
        low, high = equation.bounds or (float(y.min()), float(y.max()))
        names = tuple(f"{value:g}" for value in np.arange(low, high + 1))
        unused = [name for name in names if not (y == float(name)).any()]
        if unused:
            messages.append(
                f"{label}: no row is in category {quote(unused)} of {names[0]} to {names[-1]}; thresholds around it "
                f"rest on their prior."
            )
        return OutcomeScale((low, high), None, names, tuple(f"{a}|{b}" for a, b in pairwise(names)))
    if family == "censored":
        messages += _ends(label, y, bounds)
    return OutcomeScale(bounds, trials)


def _ends(label: str, y: np.ndarray, bounds: tuple[float, float]) -> list[str]:
    """Say how many rows lie at the ends of the scale."""
    counts = [(bound, int((y == bound).sum())) for bound in bounds if np.isfinite(bound)]
    each = " and ".join(f"{count:,} at {bound:g} ({count / len(y):.0%})" for bound, count in counts)
    return [f"{label}: of {count_of(len(y), 'row')}, {each}."]
