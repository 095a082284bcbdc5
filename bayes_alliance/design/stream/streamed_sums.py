"""What is kept of columns and levels while rows go by: moments, extremes, dependence, codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from bayes_alliance.design.columns.terms import Columns


class RunningColumns:
    """Number, mean, sum of squares around it, extremes and linear dependence of columns.

    Blocks are joined by the update of Chan, Golub and LeVeque (1983), which loses no digits to large offsets.
    """

    def __init__(self, width: int) -> None:
        self.count = 0
        self.mean, self.squares = np.zeros(width), np.zeros(width)
        self.low, self.high = np.full(width, np.inf), np.full(width, -np.inf)
        self.steps = np.ones(width, dtype=bool)
        self._triangle = np.zeros((0, width))

    def add(self, values: np.ndarray) -> None:
        """Add rows, shape (row, column)."""
        number = len(values)
        if not number:
            return
        mean = values.mean(axis=0)
        apart, total = mean - self.mean, self.count + number
        self.squares += ((values - mean) ** 2).sum(axis=0) + apart**2 * self.count * number / total
        self.mean += apart * number / total
        self.count = total
        self.low, self.high = np.minimum(self.low, values.min(axis=0)), np.maximum(self.high, values.max(axis=0))
        self.steps &= np.isin(values, (0.0, 1.0)).all(axis=0)
        self._triangle = np.linalg.qr(np.concatenate([self._triangle, values]), mode="r")

    @property
    def constant(self) -> np.ndarray:
        """Return which columns never vary."""
        return np.asarray(self.low == self.high)

    @property
    def dependence(self) -> np.ndarray:
        """Return rows whose columns depend on each other as those of all rows do: the R of their QR decomposition."""
        return self._triangle

    def three_rows(self) -> np.ndarray:
        """Return three rows with the mean and SD of all."""
        spread = np.sqrt(self.squares / max(self.count - 1, 1))
        return np.array([self.mean - spread, self.mean, self.mean + spread])

    def three_steps(self) -> np.ndarray:
        """Return ``three_rows``, but where all are 0 or 1 the three are too, with another mean and SD."""
        rows = self.three_rows()
        rows[:, self.steps] = np.where(self.constant, self.low, [[0.0], [1.0], [1.0]])[:, self.steps]
        return rows


def with_values(columns: Columns, values: np.ndarray) -> Columns:
    """Return columns under the same labels with other values."""
    return replace(columns, values=values)


class RunningLevels:
    """Levels of a grouping factor in order of appearance; per equation rows and extremes of covariates per level."""

    def __init__(self) -> None:
        self._place: dict[str, int] = {}
        self.count: dict[str, np.ndarray] = {}
        self._extremes: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    @property
    def levels(self) -> list[str]:
        """Return the levels."""
        return list(self._place)

    def add(self, ids: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """Add levels; return the rows' codes, -1 for those that are not inside."""
        code = np.full(len(ids), -1, dtype=np.int64)
        own, different = pd.factorize(ids[inside])
        place = np.array([self._place.setdefault(str(level), len(self._place)) for level in different], dtype=np.int64)
        code[inside] = place[own]
        return code

    def look(self, equation: str, code: np.ndarray, values: np.ndarray) -> None:
        """Count rows and extremes per level for an equation."""
        inside, width, size = code >= 0, values.shape[1], len(self._place)
        count = self.count.get(equation, np.zeros(0, dtype=np.int64))
        low, high = self._extremes.get(equation, (np.zeros((0, width)), np.zeros((0, width))))
        new = size - len(count)
        count = np.concatenate([count, np.zeros(new, dtype=np.int64)])
        low = np.concatenate([low, np.full((new, width), np.inf)])
        high = np.concatenate([high, np.full((new, width), -np.inf)])
        np.add.at(count, code[inside], 1)
        np.minimum.at(low, code[inside], values[inside])
        np.maximum.at(high, code[inside], values[inside])
        self.count[equation], self._extremes[equation] = count, (low, high)

    def varies(self, equation: str) -> np.ndarray:
        """Return which covariates of an equation vary within some level."""
        low, high = self._extremes[equation]
        return np.asarray((high > low).any(axis=0))

    def sorted(self) -> tuple[tuple[str, ...], np.ndarray]:
        """Return the levels in alphabetical order, and the new place of each old one."""
        names = self.levels
        order = sorted(range(len(names)), key=names.__getitem__)
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        return tuple(names[i] for i in order), place


def join_links(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return the different rows of matrices of codes."""
    return np.asarray(np.unique(np.concatenate(parts), axis=0))
