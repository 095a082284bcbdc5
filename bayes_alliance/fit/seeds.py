"""One seed spread over the stages of a fit."""

from __future__ import annotations

import numpy as np

from bayes_alliance._messages import shorten
from bayes_alliance.errors import FitError


def check_seed(seed: object) -> None:
    """Raise unless a seed is a whole number of 0 or more.

    Raises
    ------
    FitError
        If it is not.
    """
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise FitError(f"seed must be a whole number of 0 or more; it is {shorten(seed)}.")


def spread_seed(seed: int, stages: int) -> tuple[int, ...]:
    """Return one independent integer seed per stage, from one seed."""
    return tuple(int(child.generate_state(1)[0]) for child in np.random.SeedSequence(seed).spawn(stages))
