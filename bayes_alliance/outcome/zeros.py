"""What families with extra zeros share: their probability, and how it changes densities, quantiles and draws."""

from __future__ import annotations

from typing import Final

import numpy as np

from bayes_alliance.outcome.contract import Parameter

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
    return share * first, share * second + share * (1 - share) * first**2


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
