"""The normal family: any number, the linear predictor and a normal residual."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy

from bayes_alliance.outcome.contract import SIGMA, Outcome, OutcomeRows


class Gaussian(Outcome):
    """Any number: the linear predictor and a normal residual with SD ``sigma``."""

    name = "gaussian"
    link = "identity"
    values = "any number"
    unit = "points"
    words = "normally distributed around it"
    latent_scale = "scale of the outcome"
    parameters = (SIGMA,)
    linear = True
    normal = True
    measure = "density"

    def log_density(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log-density of every row given its linear predictor, of the same shape."""
        sigma = rows.given["sigma"]
        z = (rows.y - linear) / sigma
        return np.asarray(-0.5 * z**2 - np.log(sigma) - 0.5 * np.log(2 * np.pi))

    def derivatives(self, rows: OutcomeRows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of every row's log-density in its linear predictor."""
        variance = rows.given["sigma"] ** 2
        return (rows.y - linear) / variance, np.broadcast_to(-1 / variance, linear.shape)

    def log_cdf(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log of the probability of an outcome up to that of every row."""
        return np.asarray(scipy.special.log_ndtr((rows.y - linear) / rows.given["sigma"]))

    def quantile(self, rows: OutcomeRows, linear: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return the outcome that is not exceeded with probability ``p``."""
        return np.asarray(linear + rows.given["sigma"] * scipy.special.ndtri(p))

    def expected(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the linear predictor."""
        del rows
        return linear

    def draw(self, rows: OutcomeRows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the outcome of every row anew, of the shape of ``linear``."""
        return np.asarray(linear + rows.given["sigma"] * rng.normal(size=linear.shape))

    def latent_variance(self, given: Mapping[str, np.ndarray], level: float) -> np.ndarray | float:
        """Return the residual variance."""
        del level
        return given["sigma"] ** 2

    def latex(self, outcome: str, given: Mapping[str, str]) -> str:
        """Return how the outcome is distributed, as LaTeX."""
        return rf"{outcome} &\sim \mathrm{{N}}(\mu_n, {given['sigma']}^2)"

    def difference_unit(self, outcome: str) -> str:
        """Return what differences of the expected outcome are in."""
        return f"points of {outcome}"
