"""What families with extra zeros share: their probability, and how it changes densities, quantiles and draws."""

from __future__ import annotations

from typing import Final

import numpy as np

from bayes_alliance.outcome.contract import OutcomeRows, Parameter
from bayes_alliance.outcome.counts import Count

ZI: Final = Parameter(
    "zi",
    r"\pi",
    "logit",
    "zero inflation",
    "probability of a zero beside those that the counts have themselves",
    "beta(1, 2)",
    "Few extra zeros are likelier than many; a third of the rows on average.",
    "normal(-1, 1.5)",
    "At average predictors between 2 and 87 per cent of rows are extra zeros, most likely about a quarter.",
)
"""Probability of an extra zero."""


class InflatedCount(Count):
    """A count that is 0 with probability ``zi``, and else one of the counts themselves."""

    several_modes = True

    def sharpest(self, rows: OutcomeRows) -> np.ndarray:
        """Return the curvature that a Poisson count has at its mode, and that at small counts."""
        return rows.y + 4.0

    def expected(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the mean count, extra zeros included."""
        return np.asarray((1 - rows.given["zi"]) * super().expected(rows, linear))


def log_mass_inflated(y: np.ndarray | float, zi: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return the log-probability of counts with extra zeros; ``counted`` is that of the counts themselves."""
    with np.errstate(divide="ignore"):
        own = np.log1p(-zi) + counted
        return np.asarray(np.where(np.asarray(y) == 0, np.logaddexp(np.log(zi), own), own))


def derivatives_inflated(
    y: np.ndarray, zi: np.ndarray, counted: np.ndarray, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return derivatives of ``log_mass_inflated`` from those of the counts themselves.

    In a row of 0 the counts' own derivatives count by the probability that the zero is one of theirs.
    """
    share = own_share(y, zi, counted)
    # far out the share is 0, and the first derivative may be too large to be squared
    bend = np.where(share > 0, share * (1 - share) * np.minimum(np.abs(first), 1e150) ** 2, 0.0)
    return share * first, share * second + bend


def own_share(y: np.ndarray, zi: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return the probability that a row is a count, not an extra zero."""
    with np.errstate(divide="ignore"):
        odds = np.log1p(-zi) + counted - np.log(zi)
    return np.asarray(np.where(y == 0, 1 / (1 + np.exp(-np.clip(odds, -700.0, 700.0))), 1.0))


def log_cdf_inflated(zi: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return the log of the distribution function; ``counted`` is that of the counts themselves."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.logaddexp(np.log(zi), np.log1p(-zi) + counted))


def left_probability(zi: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the probability, among the counts themselves, at which a quantile lies."""
    return np.asarray(np.clip((p - zi) / (1 - zi), 0.0, 1.0))


def relative_variance(zi: np.ndarray, level: float, own: np.ndarray | float) -> np.ndarray:
    """Return variance over squared mean of counts with extra zeros.

    ``level`` is the mean of all counts; ``own`` is the part of the relative variance of the counts themselves that
    comes beside 1 over their mean.
    """
    return np.asarray(1 / level + (zi + own) / (1 - zi))
