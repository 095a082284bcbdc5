"""A column that may hold latent means: numbers with observed means, and how far latent ones move them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from bayes_alliance.spec.model import Unit


@dataclass(frozen=True)
class MeanOf:
    """The mean of a variable over the rows of a unit that is estimated: ``factor`` names the unit.

    ``lag`` holds the least and greatest number of sessions between a row and the earlier one whose mean is meant; it
    matters where the mean has a trend. ``size`` names the column of the units' sizes where means are corrected for
    finite units.
    """

    variable: str
    factor: str
    lag: tuple[int, int] | None = None
    size: str | None = None


@dataclass(frozen=True)
class ValueOf:
    """The modelled value of an outcome of the model, where it is missing or measured with error; ``lag`` as above."""

    variable: str
    lag: tuple[int, int] | None = None


@dataclass(frozen=True)
class StepsOf:
    """How far categories lie on the way from the lowest to the highest one, as the steps between them are estimated.

    ``categories`` are their names, the lowest first.
    """

    variable: str
    categories: tuple[str, ...]
    lag: tuple[int, int] | None = None


@dataclass(frozen=True)
class LinkedTo:
    """What an outcome's own equation says: ``kind`` is ``value``, ``slope`` or ``effect``.

    ``session`` is the one stated, in place of the row's; ``factor`` and ``effect`` name a group effect.
    """

    variable: str
    kind: str
    session: float | None = None
    factor: str = ""
    effect: str = ""
    lag: tuple[int, int] | None = None


type Hidden = MeanOf | ValueOf | StepsOf | LinkedTo
"""What a column may follow that is estimated, not observed."""


@dataclass(frozen=True, eq=False)
class Plugged:
    """What stands in for something estimated, per row.

    ``source`` is each row's earlier row where there is a lag; ``code`` says, for modelled values and steps, which of
    them a row follows.
    """

    numbers: np.ndarray
    source: np.ndarray | None = None
    code: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Value:
    """Numbers of shape (row,), NaN where missing, with something observed in place of what is estimated.

    ``latent`` gives per estimated thing (a latent mean, a modelled value) the weight, shape (row,), by which the true
    value moves when it does: the true value is ``numbers + sum of weight * (estimated - plugged in)``.
    """

    numbers: np.ndarray
    latent: Mapping[Hidden, np.ndarray] = field(default_factory=dict)

    def plus(self, other: Value) -> Value:
        """Return the sum."""
        latent = dict(self.latent)
        for mean, weight in other.latent.items():
            latent[mean] = latent[mean] + weight if mean in latent else weight
        return Value(self.numbers + other.numbers, latent)

    def times(self, factor: np.ndarray) -> Value:
        """Return the product with numbers of shape (row,)."""
        return Value(self.numbers * factor, {mean: weight * factor for mean, weight in self.latent.items()})

    def rows(self, keep: np.ndarray) -> Value:
        """Return the value in some of its rows."""
        return Value(self.numbers[keep], {mean: weight[keep] for mean, weight in self.latent.items()})


@dataclass(frozen=True, eq=False)
class CallColumns:
    """The columns of a call that reads other rows than its own, over the rows used.

    ``label`` is what the study calls it; ``pieces`` are the columns, each with what stands in the bracket of its label.
    """

    label: str
    pieces: tuple[tuple[str, Value], ...]

    def rows(self, keep: np.ndarray) -> CallColumns:
        """Return the columns in some of their rows."""
        return CallColumns(self.label, tuple((piece, value.rows(keep)) for piece, value in self.pieces))


@dataclass(frozen=True, eq=False)
class Modelled:
    """An outcome as others read it.

    ``place`` says by key of its unit which of its modelled values is meant, -1 where the value counts as it was seen;
    ``middle`` stands in a column where a value is missing. ``measured`` says that no value counts as it was seen.
    """

    unit: Unit
    place: Mapping[str, int]
    middle: float
    measured: bool
