"""What default priors are scaled to: mean and SD of an outcome, on the scale of its linear predictor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayes_alliance.design.equations.outcome_scale import OutcomeScale
from bayes_alliance.spec.families import FAMILY, FamilyName


@dataclass(frozen=True)
class Scales:
    """What priors are scaled to: mean and SD of the outcome, on the scale of the linear predictor."""

    outcome_mean: float
    outcome_sd: float


def outcome_scales(values: np.ndarray, family: FamilyName, scale: OutcomeScale | None = None) -> Scales:
    """Return mean and SD of an outcome as it is; of others the link of the mean, and 1.

    ``values`` has shape (obs,), as has what ``scale`` says successes are out of.
    """
    link = FAMILY[family].link
    if link == "identity":
        return Scales(float(values.mean()), float(values.std(ddof=1)))
    if link == "log":
        return Scales(float(np.log(max(values.mean(), 0.5 / len(values)))), 1.0)
    if scale is not None and scale.trials is not None:
        share = values.sum() / scale.trials.sum()
    elif scale is not None and np.isfinite(scale.width):
        share = scale.share(values).mean()
    else:
        share = values.mean()
    share = float(np.clip(share, 0.5 / len(values), 1 - 0.5 / len(values)))
    if link == "cloglog":
        return Scales(float(np.log(-np.log1p(-share))), 1.0)
    return Scales(float(np.log(share / (1 - share))), 1.0)


NO_SCALE = Scales(0.0, 1.0)
"""Of correlations, which have no unit."""
