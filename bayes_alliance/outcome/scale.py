"""The values an outcome can have in a study: its bounds, its trials, its categories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from bayes_alliance._messages import count_of, first_few

FLOOR, BETWEEN, CEILING = "floor", "between", "ceiling"
"""Where a bounded score lies: at its lowest value, between the bounds, or at its highest value."""


@dataclass(frozen=True, eq=False)
class OutcomeScale:
    """The values an outcome can have.

    ``bounds`` are its lowest and highest value, infinite where open. ``trials`` has shape (obs,). ``categories`` are
    named from the lowest on. ``thresholds`` are the cutpoints between them.
    """

    bounds: tuple[float, float] = (-np.inf, np.inf)
    trials: np.ndarray | None = None
    categories: tuple[str, ...] = ()
    thresholds: tuple[str, ...] = ()

    def rows(self, keep: np.ndarray) -> OutcomeScale:
        """Return the scale of some of the rows."""
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

    def side(self, y: np.ndarray) -> np.ndarray:
        """Return -1 for scores at the lowest value, 1 for those at the highest, 0 for the others."""
        low, high = self.bounds
        return np.where(y <= low, -1, np.where(y >= high, 1, 0))


OPEN: Final = OutcomeScale()
"""The scale of an outcome that can be any number."""


@dataclass(frozen=True, eq=False)
class ObservedOutcome:
    """The observed values of an outcome, and what the model or the table states about them.

    ``values`` and ``trials`` have shape (obs,). ``label`` is the study's name of the outcome, ``trials_label`` what the
    model states as its trials. ``name`` says whose a row is by its place among all rows of the unit, where that is
    known; ``place`` are these places, shape (obs,).
    """

    label: str
    values: np.ndarray
    bounds: tuple[float, float] | None = None
    trials: np.ndarray | None = None
    trials_label: str = ""
    name: Callable[[int], str] | None = None
    place: np.ndarray | None = None

    def rows(self, keep: np.ndarray) -> ObservedOutcome:
        """Return some of the rows."""
        return replace(
            self,
            values=self.values[keep],
            trials=None if self.trials is None else self.trials[keep],
            place=None if self.place is None else self.place[keep],
        )

    def show(self, odd: np.ndarray, numbers: np.ndarray | None = None) -> str:
        """Return how many rows are marked, and the first five with their values (or other numbers)."""
        numbers = self.values if numbers is None else numbers
        where = np.flatnonzero(odd)
        if self.name is None or self.place is None:
            return f"{count_of(len(where), 'row')}: {first_few([f'{value:g}' for value in np.unique(numbers[odd])])}"
        shown = [f"{self.name(int(self.place[row]))} ({numbers[row]:g})" for row in where[:5]]
        return f"{count_of(len(where), 'row')}: {first_few(shown, len(where))}"
