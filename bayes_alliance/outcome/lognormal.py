"""The lognormal family: positive numbers whose log is the linear predictor and a normal residual."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy

from bayes_alliance.outcome.contract import SIGMA, OutcomeRows
from bayes_alliance.outcome.positive import Positive
from bayes_alliance.outcome.scale import OutcomeScale


class Lognormal(Positive):
    """A number above 0, with the linear predictor as the mean of its log and ``sigma`` as the SD of its log."""

    name = "lognormal"
    words = "a number above 0 whose log is normally distributed around it"
    latent_scale = "log scale of the outcome"
    parameters = (SIGMA,)

    def linear_level(self, y: np.ndarray, scale: OutcomeScale) -> tuple[float, float]:
        """Return mean and SD of the log, which priors are scaled to."""
        del scale
        return float(np.log(y).mean()), float(np.log(y).std(ddof=1))

    def log_density(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log-density of every row given its linear predictor, of the same shape."""
        sigma, log_y = rows.given["sigma"], np.log(rows.y)
        return np.asarray(-0.5 * ((log_y - linear) / sigma) ** 2 - np.log(sigma) - log_y - 0.5 * np.log(2 * np.pi))

    def derivatives(self, rows: OutcomeRows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of every row's log-density in its linear predictor."""
        variance = rows.given["sigma"] ** 2
        return (np.log(rows.y) - linear) / variance, np.broadcast_to(-1 / variance, linear.shape)

    def log_cdf(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log of the probability of an outcome up to that of every row."""
        with np.errstate(divide="ignore"):
            log_y = np.log(np.maximum(rows.y, 0.0))
        return np.asarray(scipy.special.log_ndtr((log_y - linear) / rows.given["sigma"]))

    def quantile(self, rows: OutcomeRows, linear: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return the outcome that is not exceeded with probability ``p``."""
        return np.asarray(np.exp(linear + rows.given["sigma"] * scipy.special.ndtri(p)))

    def expected(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the mean, which lies above the median exp(linear)."""
        return np.asarray(np.exp(linear + rows.given["sigma"] ** 2 / 2))

    def expected_over(self, rows: OutcomeRows, linear: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the mean with both variances of the log added."""
        return np.asarray(np.exp(linear + (rows.given["sigma"] ** 2 + variance) / 2))

    def draw(self, rows: OutcomeRows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the outcome of every row anew, of the shape of ``linear``."""
        return np.asarray(np.exp(linear + rows.given["sigma"] * rng.normal(size=linear.shape)))

    def latent_variance(self, given: Mapping[str, np.ndarray], level: float) -> np.ndarray | float:
        """Return the residual variance of the log."""
        del level
        return given["sigma"] ** 2

    def latex(self, outcome: str, given: Mapping[str, str]) -> str:
        """Return how the outcome is distributed, as LaTeX."""
        return rf"\log {outcome} &\sim \mathrm{{N}}(\eta_n, {given['sigma']}^2)"
