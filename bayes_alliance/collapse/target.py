"""What the sampler of a few parameters asks of a log-density, whichever engine it is of."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Target(Protocol):
    """A log-density of sampled parameters, SDs of effects first, each a logarithm or, of either sign, as it is.

    Attributes
    ----------
    size : int
        How many parameters there are.
    sds : int
        How many of them, the first, are SDs of group effects.
    above_zero : ndarray of bool, shape (sd,)
        SDs that must be logarithms: their prior has no density at 0.
    numbers : int
        What an evaluation reads, in numbers: how long it takes.
    exact_slopes : bool
        Whether ``gradient`` may be asked for; else slopes are differences of values.
    """

    @property
    def size(self) -> int:
        """Return how many parameters there are."""

    @property
    def sds(self) -> int:
        """Return how many of them, the first, are SDs of group effects."""

    @property
    def above_zero(self) -> np.ndarray:
        """Return which SDs must be logarithms, shape (sd,)."""

    @property
    def numbers(self) -> int:
        """Return what an evaluation reads, in numbers."""

    @property
    def exact_slopes(self) -> bool:
        """Return whether ``gradient`` may be asked for."""

    def values(self, points: np.ndarray, logs: np.ndarray, cores: int) -> np.ndarray:
        """Return the log-density at points of shape (point, parameter), SDs as ``logs`` says."""

    def gradient(self, x: np.ndarray, logs: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the log-density at a point and its gradient."""

    def turns(self, logs: np.ndarray) -> np.ndarray:
        """Return every way to turn signs that leaves the log-density as it is, shape (turn, parameter), -1 and 1."""
