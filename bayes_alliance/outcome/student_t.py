"""Student's t family: any number, with heavier tails than the normal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy

from bayes_alliance.outcome.contract import SIGMA, Outcome, OutcomeRows, Parameter

NU = Parameter(
    "nu",
    r"\nu",
    "log",
    "degrees of freedom",
    "degrees of freedom of residuals: near 3 tails are heavy, above 30 hardly told from normal ones",
    "lognormal(10, 0.8)",
    "Tails from heavy (2 degrees of freedom, below which there is no variance) to normal (50).",
    "normal(2.3, 0.8)",
    "At average predictors tails are from heavy (2 degrees of freedom) to normal (50).",
)
"""Degrees of freedom."""


class StudentT(Outcome):
    """Any number: the linear predictor and a residual of Student's t with scale ``sigma`` and ``nu`` degrees."""

    name = "student_t"
    link = "identity"
    values = "any number"
    unit = "points"
    words = "distributed around it with heavier tails than the normal"
    latent_scale = "scale of the outcome"
    parameters = (SIGMA, NU)
    linear = True
    several_modes = True
    measure = "density"

    def log_density(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log-density of every row given its linear predictor, of the same shape."""
        nu, sigma = rows.given["nu"], rows.given["sigma"]
        z = (rows.y - linear) / sigma
        constant = scipy.special.gammaln((nu + 1) / 2) - scipy.special.gammaln(nu / 2) - 0.5 * np.log(nu * np.pi)
        return np.asarray(constant - np.log(sigma) - (nu + 1) / 2 * np.log1p(z**2 / nu))

    def derivatives(self, rows: OutcomeRows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of every row's log-density in its linear predictor."""
        nu, variance = rows.given["nu"], rows.given["sigma"] ** 2
        left = rows.y - linear
        whole = nu * variance + left**2
        return (nu + 1) * left / whole, -(nu + 1) * (nu * variance - left**2) / whole**2

    def information(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the expected information; the observed one is negative in the tails."""
        nu, variance = rows.given["nu"], rows.given["sigma"] ** 2
        return np.broadcast_to((nu + 1) / (nu + 3) / variance, linear.shape)

    def sharpest(self, rows: OutcomeRows) -> np.ndarray:
        """Return the curvature at the middle of the distribution."""
        nu, sigma = rows.given["nu"], rows.given["sigma"]
        return np.asarray((nu + 1) / nu / sigma**2)

    def log_cdf(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log of the probability of an outcome up to that of every row."""
        return np.asarray(np.log(scipy.special.stdtr(rows.given["nu"], (rows.y - linear) / rows.given["sigma"])))

    def quantile(self, rows: OutcomeRows, linear: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return the outcome that is not exceeded with probability ``p``."""
        return np.asarray(linear + rows.given["sigma"] * scipy.stats.t.ppf(p, rows.given["nu"]))

    def expected(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the linear predictor."""
        del rows
        return linear

    def draw(self, rows: OutcomeRows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the outcome of every row anew, of the shape of ``linear``."""
        nu = np.broadcast_to(rows.given["nu"], linear.shape)
        return np.asarray(linear + rows.given["sigma"] * rng.standard_t(nu))

    def latent_variance(self, given: Mapping[str, np.ndarray], level: float) -> np.ndarray | float:
        """Return the residual variance, infinite with two degrees of freedom or fewer."""
        del level
        nu = given["nu"]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(nu > 2, given["sigma"] ** 2 * nu / (nu - 2), np.inf))

    def latex(self, outcome: str, given: Mapping[str, str]) -> str:
        """Return how the outcome is distributed, as LaTeX."""
        return rf"{outcome} &\sim \mathrm{{t}}_{{{given['nu']}}}(\mu_n, {given['sigma']}^2)"

    def difference_unit(self, outcome: str) -> str:
        """Return what differences of the expected outcome are in."""
        return f"points of {outcome}"
