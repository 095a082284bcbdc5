"""What default priors are scaled to: mean and SD of an outcome, on the scale of its linear predictor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from bayes_alliance.outcome.contract import Outcome
from bayes_alliance.outcome.scale import OutcomeScale


@dataclass(frozen=True)
class Scales:
    """What priors are scaled to: mean and SD of the outcome, on the scale of the linear predictor."""

    outcome_mean: float
    outcome_sd: float


def outcome_scales(family: Outcome, values: np.ndarray, scale: OutcomeScale) -> Scales:
    """Return mean and SD of an outcome as it is; of one behind a link, the link of the mean and 1.

    ``values`` has shape (obs,), as has what ``scale`` says successes are out of.
    """
    return Scales(*family.linear_level(values, scale))


NO_SCALE: Final = Scales(0.0, 1.0)
"""Of correlations, which have no unit."""
