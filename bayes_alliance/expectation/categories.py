"""Probabilities of an outcome's categories."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.errors import FitError
from bayes_alliance.findings import Problem
from bayes_alliance.outcome.contract import OutcomeRows
from bayes_alliance.outcome.scale import BETWEEN, CEILING, FLOOR


@dataclass(frozen=True)
class Category:
    """A category of an outcome: its name, and the outcome's value in it, None of what lies between two others."""

    name: str
    value: float | None


def categories_of(e: EquationDesign) -> tuple[Category, ...]:
    """Return the categories that an outcome's values are: those of an ordered one, 0 and 1, or the ends of a scale.

    Raises
    ------
    FitError
        If it has none.
    """
    low, high = e.scale.bounds
    if e.scale.thresholds == (FLOOR, CEILING):
        return (Category(FLOOR, low), Category(BETWEEN, None), Category(CEILING, high))
    if e.scale.thresholds:
        return tuple(Category(f"{value:g}", float(value)) for value in np.arange(low, high + 1))
    if e.kind.binary:
        return (Category("0", 0.0), Category("1", 1.0))
    raise FitError(
        Problem(
            f"{e.outcome!r} is {e.family} and has no categories.",
            allowed="Ordered outcomes, 0/1 outcomes and ordered_beta have.",
            fix="Ask for what is expected or drawn.",
        )
    )


def probability(category: Category, rows: OutcomeRows, linear: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return the probability of a category with normal effects added to the linear predictor, shape (draw, obs)."""
    if category.value is None:
        ends = [Category("", bound) for bound in rows.scale.bounds]
        return np.asarray(1.0 - sum(probability(end, rows, linear, variance) for end in ends))
    return replace(rows, y=np.full(len(rows.y), category.value)).category_over(linear, variance)
