"""One seed spread over the stages of a fit."""

from __future__ import annotations

import numpy as np


def spread_seed(seed: int, stages: int) -> tuple[int, ...]:
    """Return one independent integer seed per stage, from one seed."""
    return tuple(int(child.generate_state(1)[0]) for child in np.random.SeedSequence(seed).spawn(stages))
