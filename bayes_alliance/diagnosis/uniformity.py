"""Are numbers between 0 and 1 uniform? Empirical distribution functions with simultaneous bands."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import stats

POINTS = 20
"""Places at which an empirical distribution function is looked at."""

NULL = 4000
"""Uniform samples that the null distribution is made of."""


def uniformity(values: np.ndarray) -> float:
    """Return the p-value of uniformity.

    The test looks at how many values lie below each of 20 places and takes the most extreme of the 20 binomial tail
    probabilities; its distribution under uniformity is simulated (Säilynoja, Bürkner and Vehtari 2022, section 2.2).

    Parameters
    ----------
    values : ndarray, shape (study,)
        Between 0 and 1.
    """
    least = _least_tails(values[None])[0]
    return float((np.sum(_null(len(values)) <= least * (1 + 1e-12)) + 1) / (NULL + 1))


def simultaneous_band(size: int, prob: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return places, and the band that an ECDF of so many uniform numbers leaves nowhere with a probability."""
    places = np.arange(1, POINTS) / POINTS
    gamma = float(np.quantile(_null(size), 1 - prob))
    low, high = stats.binom.ppf(gamma / 2, size, places), stats.binom.ppf(1 - gamma / 2, size, places)
    return places, low / size, high / size


def _least_tails(samples: np.ndarray) -> np.ndarray:
    """Return the smallest two-sided binomial tail over the places, per sample of shape (sample, number)."""
    places = np.arange(1, POINTS) / POINTS
    size = samples.shape[1]
    counts = (samples[:, :, None] <= places).sum(axis=1)
    below, above = stats.binom.cdf(counts, size, places), stats.binom.sf(counts - 1, size, places)
    return np.asarray(np.minimum(1.0, 2 * np.minimum(below, above)).min(axis=1))


@cache
def _null(size: int) -> np.ndarray:
    rng = np.random.default_rng(20221)
    parts = [_least_tails(rng.random((500, size))) for _ in range(NULL // 500)]
    return np.concatenate(parts)
