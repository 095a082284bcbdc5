"""The censored normal family: a score between bounds that a normal score is cut off at (Tobin 1958)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy

from bayes_alliance._messages import count_of
from bayes_alliance.outcome.contract import SIGMA, Outcome, OutcomeRows
from bayes_alliance.outcome.scale import ObservedOutcome, OutcomeScale


class Censored(Outcome):
    """A score between its bounds: a normal score where that lies inside, and the bound where it lies beyond."""

    name = "censored"
    link = "identity"
    values = "a score between its bounds"
    unit = "points"
    words = "normally distributed around it and cut off at its bounds"
    latent_scale = "scale of the outcome without bounds"
    parameters = (SIGMA,)
    bounds = "needed"
    open_bounds = True
    measure = "density and probability"
    integrand = "censored normal"

    def notes(self, observed: ObservedOutcome) -> list[str]:
        """Say how many rows lie at the ends of the scale."""
        return [say_ends(observed)]

    def log_density(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log-density of every row given its linear predictor, of the same shape."""
        sigma, side = rows.given["sigma"], rows.scale.side(rows.y)
        z = (rows.y - linear) / sigma
        inside = -0.5 * z**2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
        return np.asarray(np.where(side == 0, inside, scipy.special.log_ndtr(-side * z)))

    def derivatives(self, rows: OutcomeRows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of every row's log-density in its linear predictor."""
        sigma, side = rows.given["sigma"], rows.scale.side(rows.y)
        z = np.where(side == 0, 0.0, -side * (rows.y - linear) / sigma)
        mills = np.exp(-0.5 * z**2 - 0.5 * np.log(2 * np.pi) - scipy.special.log_ndtr(z))
        first = np.where(side == 0, (rows.y - linear) / sigma**2, side * mills / sigma)
        return first, np.where(side == 0, -1 / sigma**2, -mills * (z + mills) / sigma**2)

    def information(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the observed information, kept above 0 where a row far beyond a bound has none."""
        return np.asarray(np.maximum(-self.derivatives(rows, linear)[1], 1e-12 / rows.given["sigma"] ** 2))

    def log_cdf(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log of the probability of an outcome up to that of every row."""
        below = scipy.special.log_ndtr((rows.y - linear) / rows.given["sigma"])
        return np.asarray(np.where(rows.scale.side(rows.y) == 1, 0.0, below))

    def quantile(self, rows: OutcomeRows, linear: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return the outcome that is not exceeded with probability ``p``."""
        return np.asarray(np.clip(linear + rows.given["sigma"] * scipy.special.ndtri(p), *rows.scale.bounds))

    def expected(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the mean of a normal score cut off at its bounds (Tobin 1958)."""
        return _mean(rows.scale, rows.given["sigma"], linear)

    def expected_over(self, rows: OutcomeRows, linear: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the mean with both variances added: the score without bounds is normal with them."""
        return _mean(rows.scale, np.sqrt(rows.given["sigma"] ** 2 + variance), linear)

    def draw(self, rows: OutcomeRows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the outcome of every row anew, of the shape of ``linear``."""
        return np.asarray(np.clip(linear + rows.given["sigma"] * rng.normal(size=linear.shape), *rows.scale.bounds))

    def latent_variance(self, given: Mapping[str, np.ndarray], level: float) -> np.ndarray | float:
        """Return the residual variance of the score without bounds."""
        del level
        return given["sigma"] ** 2

    def latex(self, outcome: str, given: Mapping[str, str]) -> str:
        """Return how the outcome is distributed, as LaTeX."""
        normal = rf"\mathrm{{N}}(\mu_n, {given['sigma']}^2)"
        return rf"{outcome} &= \min(\max(y^*_n, L), U), \quad y^*_n \sim {normal}"

    def difference_unit(self, outcome: str) -> str:
        """Return what differences of the expected outcome are in."""
        return f"points of {outcome}"


def _mean(scale: OutcomeScale, sigma: np.ndarray, linear: np.ndarray) -> np.ndarray:
    total, inside = np.zeros_like(linear), np.ones_like(linear)
    for bound, sign in zip(scale.bounds, (1.0, -1.0), strict=True):
        if np.isfinite(bound):
            z = (bound - linear) / sigma
            beyond = scipy.special.ndtr(sign * z)
            inside = inside - beyond
            total = total + bound * beyond + sign * sigma * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return np.asarray(total + linear * inside)


def say_ends(observed: ObservedOutcome) -> str:
    """Return how many rows lie at the ends of the scale."""
    y = observed.values
    counts = [(bound, int((y == bound).sum())) for bound in observed.bounds or () if np.isfinite(bound)]
    each = " and ".join(f"{count:,} at {bound:g} ({count / len(y):.0%})" for bound, count in counts)
    return f"{observed.label}: of {count_of(len(y), 'row')}, {each}."
