"""Coordinates of sampled parameters in which their posterior is near a standard normal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Frame:
    """Coordinates: parameters are ``centre + scale z``; ``logs`` says which SDs are logarithms, the rest have signs."""

    logs: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
