"""The Poisson family: counts whose variance is their mean, with log-counts that add up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy

from bayes_alliance.outcome.contract import OutcomeRows
from bayes_alliance.outcome.counts import Count, sum_up_to


class Poisson(Count):
    """A count with the exponential of the linear predictor as its mean and variance."""

    name = "poisson"
    words = "a Poisson count, with log-counts that add up as follows"
    latent_scale = "latent log scale, residual variance log(1 + 1 / mean)"
    integrand = "rate"

    def log_density(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log-probability of every row given its linear predictor, of the same shape."""
        return log_mass(rows.y, linear)

    def derivatives(self, rows: OutcomeRows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of every row's log-probability in its linear predictor."""
        mean = mean_count(linear)
        return rows.y - mean, -mean

    def sharpest(self, rows: OutcomeRows) -> np.ndarray:
        """Return the curvature at the mode, and that at small counts."""
        return rows.y + 4.0

    def log_cdf(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log of the probability of a count up to that of every row."""
        return sum_up_to(rows.y, linear, lambda k: log_mass(k, linear))

    def quantile(self, rows: OutcomeRows, linear: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return the smallest count whose probability of being reached is ``p`` or more."""
        del rows
        return np.asarray(scipy.stats.poisson.ppf(p, mean_count(linear)), dtype=float)

    def draw(self, rows: OutcomeRows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the outcome of every row anew, of the shape of ``linear``."""
        del rows
        return np.asarray(rng.poisson(np.exp(linear)), dtype=float)

    def latent_variance(self, given: Mapping[str, np.ndarray], level: float) -> np.ndarray | float:
        """Return the variance of the log of a Poisson variable (Nakagawa, Johnson and Schielzeth 2017)."""
        del given
        return float(np.log1p(1 / level))

    def latex(self, outcome: str, given: Mapping[str, str]) -> str:
        """Return how the outcome is distributed, as LaTeX."""
        del given
        return rf"{outcome} &\sim \mathrm{{Poisson}}(\exp(\eta_n))"


def mean_count(linear: np.ndarray) -> np.ndarray:
    """Return the mean of counts, finite where the linear predictor is."""
    return np.asarray(np.exp(np.minimum(linear, 700.0)))


def log_mass(y: np.ndarray | float, linear: np.ndarray) -> np.ndarray:
    """Return the log-probability of Poisson counts with mean exp(linear)."""
    return np.asarray(y * linear - mean_count(linear) - scipy.special.gammaln(np.asarray(y) + 1.0))
