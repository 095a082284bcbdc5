"""The negative binomial family: counts that vary more than Poisson counts do, with log-counts that add up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy

from bayes_alliance.outcome.contract import OutcomeRows, Parameter
from bayes_alliance.outcome.counts import Count, sum_up_to

SHAPE = Parameter(
    "shape",
    r"\phi",
    "log",
    "shape",
    "how even counts are: their variance is mean + mean^2 / shape",
    "lognormal(2, 1)",
    "Counts vary from seven times as much as their mean of 2 (shape 0.3) to little more than it (14).",
    "normal(0.7, 1)",
    "At average predictors counts vary from seven times as much as their mean of 2 to little more than it.",
)
"""Evenness of counts."""


class NegativeBinomial(Count):
    """A count with the exponential of the linear predictor as its mean, and ``shape`` as its evenness."""

    name = "negative_binomial"
    words = "a count that varies more than a Poisson count, with log-counts that add up as follows"
    latent_scale = "latent log scale, residual variance log(1 + 1 / mean + 1 / shape)"
    parameters = (SHAPE,)
    integrand = "log-odds of counts"

    def log_density(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log-probability of every row given its linear predictor, of the same shape."""
        return log_mass(rows.y, rows.given["shape"], linear)

    def derivatives(self, rows: OutcomeRows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of every row's log-probability in its linear predictor."""
        return derivatives_of_mass(rows.y, rows.given["shape"], linear)

    def log_cdf(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log of the probability of a count up to that of every row."""
        return sum_up_to(rows.y, linear, lambda k: log_mass(k, rows.given["shape"], linear))

    def quantile(self, rows: OutcomeRows, linear: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return the smallest count whose probability of being reached is ``p`` or more."""
        return quantile(rows.given["shape"], linear, p)

    def draw(self, rows: OutcomeRows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the outcome of every row anew, of the shape of ``linear``."""
        return draw(rows.given["shape"], linear, rng)

    def latent_variance(self, given: Mapping[str, np.ndarray], level: float) -> np.ndarray | float:
        """Return the variance of the log of a gamma-Poisson variable (Nakagawa, Johnson and Schielzeth 2017)."""
        return np.asarray(np.log1p(1 / level + 1 / given["shape"]))

    def latex(self, outcome: str, given: Mapping[str, str]) -> str:
        """Return how the outcome is distributed, as LaTeX."""
        return rf"{outcome} &\sim \mathrm{{NegBin}}(\exp(\eta_n), {given['shape']})"


def log_mass(y: np.ndarray | float, size: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """Return the log-probability of counts with mean exp(linear) and variance mean + mean^2 / size."""
    apart = linear - np.log(size)
    # log of gamma(y + size) / gamma(size) / y!, without the difference of two large numbers
    counted = -scipy.special.betaln(size, y + 1) - np.log(size + y)
    return np.asarray(counted - size * np.logaddexp(0.0, apart) + y * scipy.special.log_expit(apart))


def derivatives_of_mass(y: np.ndarray, size: np.ndarray, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return first and second derivative of the log-probability of counts in their linear predictor."""
    apart = linear - np.log(size)
    rest, grown = scipy.special.expit(-apart), scipy.special.expit(apart)  # size / (size + mean), mean / (size + mean)
    return y * rest - size * grown, -(y + size) * rest * grown


def quantile(size: np.ndarray, linear: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the smallest count whose probability of being reached is ``p`` or more."""
    return np.asarray(scipy.stats.nbinom.ppf(p, size, scipy.special.expit(np.log(size) - linear)), dtype=float)


def draw(size: np.ndarray, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw counts: Poisson counts whose means are gamma distributed."""
    wide = np.broadcast_to(size, linear.shape)
    return np.asarray(rng.poisson(rng.gamma(wide) * np.exp(linear) / wide), dtype=float)
