"""The gamma family: positive numbers whose SD is proportional to their mean, with log-means that add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import scipy

from bayes_alliance.outcome.contract import OutcomeRows
from bayes_alliance.outcome.negative_binomial import SHAPE
from bayes_alliance.outcome.positive import Positive

EVENNESS = replace(
    SHAPE,
    words="how even values are: their variance is mean^2 / shape",
    reason="The SD is .7 of the mean (shape 2), from a quarter of it (14) to nearly twice as much (0.3).",
    intercept_reason="At average predictors the SD is .7 of the mean, from a quarter of it to nearly twice as much.",
)
"""Evenness of values."""


class Gamma(Positive):
    """A number above 0 with the exponential of the linear predictor as its mean and ``shape`` as its evenness."""

    name = "gamma"
    words = "a number above 0 whose SD is proportional to its mean, with log-means that add up as follows"
    latent_scale = "log scale of the outcome, residual variance trigamma(shape)"
    parameters = (EVENNESS,)

    def log_density(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log-density of every row given its linear predictor, of the same shape."""
        shape, log_y = rows.given["shape"], np.log(rows.y)
        ratio = np.exp(np.minimum(log_y - linear, 700.0))
        constant = shape * np.log(shape) - scipy.special.gammaln(shape)
        return np.asarray(constant + shape * (log_y - linear) - log_y - shape * ratio)

    def derivatives(self, rows: OutcomeRows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of every row's log-density in its linear predictor."""
        shape, ratio = rows.given["shape"], np.exp(np.minimum(np.log(rows.y) - linear, 700.0))
        return shape * (ratio - 1), -shape * ratio

    def sharpest(self, rows: OutcomeRows) -> np.ndarray:
        """Return the curvature at the mode, with room to either side."""
        return np.broadcast_to(rows.given["shape"] * 4, (len(rows.given["shape"]), len(rows.y)))

    def log_cdf(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log of the probability of an outcome up to that of every row."""
        shape = rows.given["shape"]
        x = shape * np.maximum(rows.y, 0.0) * np.exp(-np.clip(linear, -700.0, 700.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            direct = np.log(scipy.special.gammainc(shape, x))
            # the series of the incomplete gamma function, where that is too small for a double
            first = shape * np.log(x) - x - scipy.special.gammaln(shape + 1) + np.log1p(x / (shape + 1))
        return np.asarray(np.where(x < 1e-12, first, direct))

    def quantile(self, rows: OutcomeRows, linear: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return the outcome that is not exceeded with probability ``p``."""
        shape = rows.given["shape"]
        return np.asarray(scipy.special.gammaincinv(shape, p) / shape * np.exp(linear))

    def expected(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the mean."""
        del rows
        return np.asarray(np.exp(linear))

    def expected_over(self, rows: OutcomeRows, linear: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the mean with a normal effect on its log: that of a lognormal variable."""
        del rows
        return np.asarray(np.exp(linear + variance / 2))

    def draw(self, rows: OutcomeRows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the outcome of every row anew, of the shape of ``linear``."""
        shape = np.broadcast_to(rows.given["shape"], linear.shape)
        least = np.finfo(float).tiny
        return np.asarray(np.maximum(rng.gamma(shape) / shape * np.exp(linear), least))

    def latent_variance(self, given: Mapping[str, np.ndarray], level: float) -> np.ndarray | float:
        """Return the variance of the log of a gamma variable (Nakagawa, Johnson and Schielzeth 2017)."""
        del level
        return np.asarray(scipy.special.polygamma(1, given["shape"]))

    def latex(self, outcome: str, given: Mapping[str, str]) -> str:
        """Return how the outcome is distributed, as LaTeX."""
        return rf"{outcome} &\sim \mathrm{{Gamma}}(\exp(\eta_n), {given['shape']})"
