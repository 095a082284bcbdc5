"""The zero-inflated Poisson family: Poisson counts and extra zeros (Lambert 1992)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy

from bayes_alliance.outcome import poisson, zeros
from bayes_alliance.outcome.contract import OutcomeRows
from bayes_alliance.outcome.counts import sum_up_to


class ZeroInflatedPoisson(zeros.InflatedCount):
    """A count that is 0 with probability ``zi``, and else a Poisson count with mean exp(linear predictor)."""

    name = "zero_inflated_poisson"
    words = "a Poisson count with extra zeros, with log-counts that add up as follows"
    latent_scale = "latent log scale, residual variance log(1 + variance / mean^2)"
    parameters = (zeros.ZI,)

    def log_density(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log-probability of every row given its linear predictor, of the same shape."""
        return zeros.log_mass_inflated(rows.y, rows.given["zi"], poisson.log_mass(rows.y, linear))

    def derivatives(self, rows: OutcomeRows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of every row's log-probability in its linear predictor."""
        mean, counted = poisson.mean_count(linear), poisson.log_mass(rows.y, linear)
        return zeros.derivatives_inflated(rows.y, rows.given["zi"], counted, rows.y - mean, -mean)

    def information(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the information of the counts themselves, by the probability that a row is one."""
        counted = poisson.log_mass(rows.y, linear)
        share = zeros.own_share(rows.y, rows.given["zi"], counted)
        return np.asarray(np.maximum(share * poisson.mean_count(linear), np.finfo(float).tiny))

    def log_cdf(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log of the probability of a count up to that of every row."""
        counted = sum_up_to(rows.y, linear, lambda k: poisson.log_mass(k, linear))
        return zeros.log_cdf_inflated(rows.given["zi"], counted)

    def quantile(self, rows: OutcomeRows, linear: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return the smallest count whose probability of being reached is ``p`` or more."""
        left = zeros.left_probability(rows.given["zi"], p)
        return np.asarray(np.maximum(scipy.stats.poisson.ppf(left, poisson.mean_count(linear)), 0.0))

    def draw(self, rows: OutcomeRows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the outcome of every row anew, of the shape of ``linear``."""
        counted = rng.poisson(np.exp(linear))
        return np.asarray(np.where(rng.random(linear.shape) < rows.given["zi"], 0.0, counted))

    def latent_variance(self, given: Mapping[str, np.ndarray], level: float) -> np.ndarray | float:
        """Return log(1 + variance / mean^2), which is the variance of the log where that is normal."""
        return np.asarray(np.log1p(zeros.relative_variance(given["zi"], level, 0.0)))

    def latex(self, outcome: str, given: Mapping[str, str]) -> str:
        """Return how the outcome is distributed, as LaTeX."""
        zero = given["zi"]
        return rf"{outcome} &\sim {zero}\,\delta_0 + (1 - {zero})\,\mathrm{{Poisson}}(\exp(\eta_n))"
