"""How rows follow what is estimated: means, measured or implied by an outcome's equation; modelled values; steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bayes_alliance.design.columns.values import CallColumns
from bayes_alliance.design.columns.variables import Variable


@dataclass(frozen=True, eq=False)
class FollowMeasured:
    """Rows that follow a measured mean: ``code`` points into the levels of ``factor``; ``plugged`` stands in for it."""

    measured: str
    factor: str
    code: np.ndarray
    plugged: np.ndarray


@dataclass(frozen=True, eq=False)
class FollowValue:
    """Rows that follow modelled values of an outcome: ``code`` points into them; ``plugged`` stands in for them.

    ``inside`` tells rows that follow one from those whose value counts as it was observed; ``filled`` says of the
    former whether nothing was measured, so that what is plugged in is a mean.
    """

    outcome: str
    code: np.ndarray
    plugged: np.ndarray
    inside: np.ndarray
    filled: np.ndarray


@dataclass(frozen=True, eq=False)
class FollowSteps:
    """Rows of ordered categories: ``code`` counts from the lowest; ``plugged`` is the way come in equal steps.

    ``name`` is that of the estimated steps, ``categories`` are the names of the categories.
    """

    name: str
    categories: tuple[str, ...]
    code: np.ndarray
    plugged: np.ndarray

    @property
    def steps(self) -> tuple[str, ...]:
        """Return the labels of the steps: between which two categories each lies."""
        return tuple(f"{below} to {above}" for below, above in pairwise(self.categories))


type FollowedThere = FollowMeasured | FollowValue | FollowSteps
"""What the equation may follow itself whose mean is followed."""


@dataclass(frozen=True, eq=False)
class ReadRows:
    """The rows of an equation that others read through value(), slope() or effect(), one for every row that reads.

    ``coef`` of shape (obs, coef) and ``groups``, by factor the unit (-1 where there is none) and the covariates of
    shape (obs, effect), are as they were observed; ``variables`` and ``calls`` are what they were worked out of.
    ``session`` is when the equation is read, NaN where it does not read the session.
    """

    coef: np.ndarray
    groups: Mapping[str, tuple[np.ndarray, np.ndarray]]
    variables: Mapping[str, Variable]
    calls: Mapping[str, CallColumns]
    session: np.ndarray


@dataclass(frozen=True, eq=False)
class FollowModelled:
    """Rows that follow the mean an outcome's equation implies: what is neither within() nor lag() in it.

    ``coef`` has shape (obs, coef of that equation); ``groups`` holds per factor its code, shape (obs,), and
    covariates, shape (obs, effect), at the row whose mean is followed; ``plugged`` stands in for the mean. ``inner``
    lists the columns of that equation that follow something estimated themselves: the column's place, its weights of
    shape (obs,), and what it follows at these rows. ``read`` are the rows of that equation where value(), slope() or
    effect() reads it.
    """

    outcome: str
    coef: np.ndarray
    groups: tuple[tuple[str, np.ndarray, np.ndarray], ...]
    plugged: np.ndarray
    inner: tuple[tuple[int, np.ndarray, FollowedThere], ...] = ()
    read: ReadRows | None = None


type Follow = FollowMeasured | FollowModelled | FollowValue | FollowSteps
