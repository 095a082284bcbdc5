"""The zero-inflated negative binomial family: negative binomial counts and extra zeros."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bayes_alliance.outcome import negative_binomial, zeros
from bayes_alliance.outcome.contract import OutcomeRows
from bayes_alliance.outcome.counts import sum_up_to


class ZeroInflatedNegativeBinomial(zeros.InflatedCount):
    """A count that is 0 with probability ``zi``, and else a negative binomial count."""

    name = "zero_inflated_negative_binomial"
    words = "a count with extra zeros that varies more than a Poisson count, with log-counts that add up as follows"
    latent_scale = "latent log scale, residual variance log(1 + variance / mean^2)"
    parameters = (negative_binomial.SHAPE, zeros.ZI)

    def log_density(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log-probability of every row given its linear predictor, of the same shape."""
        return zeros.log_mass_inflated(rows.y, rows.given["zi"], _counted(rows, linear))

    def derivatives(self, rows: OutcomeRows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of every row's log-probability in its linear predictor."""
        own = negative_binomial.derivatives_of_mass(rows.y, rows.given["shape"], linear)
        return zeros.derivatives_inflated(rows.y, rows.given["zi"], _counted(rows, linear), *own)

    def information(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the information of the counts themselves, by the probability that a row is one."""
        _, second = negative_binomial.derivatives_of_mass(rows.y, rows.given["shape"], linear)
        share = zeros.own_share(rows.y, rows.given["zi"], _counted(rows, linear))
        return np.asarray(np.maximum(-share * second, np.finfo(float).tiny))

    def log_cdf(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log of the probability of a count up to that of every row."""
        size = rows.given["shape"]
        counted = sum_up_to(rows.y, linear, lambda k: negative_binomial.log_mass(k, size, linear))
        return zeros.log_cdf_inflated(rows.given["zi"], counted)

    def quantile(self, rows: OutcomeRows, linear: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return the smallest count whose probability of being reached is ``p`` or more."""
        left = zeros.left_probability(rows.given["zi"], p)
        return np.asarray(np.maximum(negative_binomial.quantile(rows.given["shape"], linear, left), 0.0))

    def draw(self, rows: OutcomeRows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the outcome of every row anew, of the shape of ``linear``."""
        counted = negative_binomial.draw(rows.given["shape"], linear, rng)
        return np.asarray(np.where(rng.random(linear.shape) < rows.given["zi"], 0.0, counted))

    def latent_variance(self, given: Mapping[str, np.ndarray], level: float) -> np.ndarray | float:
        """Return log(1 + variance / mean^2), which is the variance of the log where that is normal."""
        return np.asarray(np.log1p(zeros.relative_variance(given["zi"], level, 1 / given["shape"])))

    def latex(self, outcome: str, given: Mapping[str, str]) -> str:
        """Return how the outcome is distributed, as LaTeX."""
        zero, counted = given["zi"], rf"\mathrm{{NegBin}}(\exp(\eta_n), {given['shape']})"
        return rf"{outcome} &\sim {zero}\,\delta_0 + (1 - {zero})\,{counted}"


def _counted(rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
    return negative_binomial.log_mass(rows.y, rows.given["shape"], linear)
