"""Means of what is drawn anew, drawn so often that this adds little to the spread of the posterior."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

import numpy as np

NOISE: Final = 0.01
"""Share of the variance of a result's draws that what is drawn anew may make up."""

MOST_REPEATS: Final = 64
"""How often it is drawn at most to get below ``NOISE``."""

ROUNDING: Final = 1e-18
"""Squares relative to those of the values, below which a difference is one of rounding."""


def average_draws[K](
    repeat: Callable[[], Mapping[K, np.ndarray]], judged: Collection[K] | None = None
) -> tuple[dict[K, np.ndarray], float]:
    """Draw anew until what is drawn makes up little of the spread of results; return means and the share it has.

    Parameters
    ----------
    repeat : callable
        Returns results by name, the posterior draws along the first axis, with other random numbers each time.
    judged : collection, optional
        The results whose spread matters; all unless stated.
    """
    sums, count = dict(repeat()), 1
    squares = {name: value**2 for name, value in sums.items()}
    while True:
        for _ in range(count):  # twice as many as before
            for name, value in repeat().items():
                sums[name] = sums[name] + value
                squares[name] = squares[name] + value**2
            count += 1
        noise = max(
            (
                _share_of_noise(total, squares[name], count)
                for name, total in sums.items()
                if judged is None or name in judged
            ),
            default=0.0,
        )
        if noise <= NOISE or 2 * count > MOST_REPEATS:
            return {name: total / count for name, total in sums.items()}, noise


def _share_of_noise(total: np.ndarray, squares: np.ndarray, count: int) -> float:
    """Return the largest share over the columns of a result; columns that do not vary by chance have none."""
    mean = total / count
    own = np.maximum(squares - total**2 / count, 0.0).mean(axis=0) / (count - 1) / count
    spread = mean.var(axis=0)
    least = ROUNDING * np.maximum(mean**2, 1e-282).max(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(own > least, np.where(spread > 0, own / spread, 1.0), 0.0)
    return float(np.max(share, initial=0.0))
