"""How rows follow a latent mean: by a code into measured levels, or by the static part of an outcome's equation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class FollowMeasured:
    """Rows that follow a measured mean: ``code`` points into the levels of ``factor``; ``plugged`` stands in for it."""

    measured: str
    factor: str
    code: np.ndarray
    plugged: np.ndarray


@dataclass(frozen=True, eq=False)
class FollowModelled:
    """Rows that follow the mean an outcome's equation implies: what is neither within() nor lag() in it.

    ``coef`` has shape (obs, coef of that equation); ``groups`` holds per factor its code, shape (obs,), and
    covariates, shape (obs, effect), at the row whose mean is followed; ``plugged`` stands in for the mean.
    """

    outcome: str
    coef: np.ndarray
    groups: tuple[tuple[str, np.ndarray, np.ndarray], ...]
    plugged: np.ndarray
