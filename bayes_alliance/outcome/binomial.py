"""The binomial family: successes out of a known number of trials, with log-odds that add up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy

from bayes_alliance.outcome.contract import OutcomeRows
from bayes_alliance.outcome.counts import sum_up_to
from bayes_alliance.outcome.successes import Successes, log_ways, trials_of
from bayes_alliance.outcome.thresholds import LOGISTIC_VARIANCE


class Binomial(Successes):
    """A number of successes, with the linear predictor as the log-odds of each of the trials."""

    name = "binomial"
    words = "a number of successes out of its trials, with log-odds that add up as follows"
    latent_scale = "latent logit scale, residual variance pi^2 / 3"

    def log_density(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log-probability of every row given its linear predictor, of the same shape."""
        return log_mass(rows.y, trials_of(rows), linear)

    def derivatives(self, rows: OutcomeRows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of every row's log-probability in its linear predictor."""
        y, trials = rows.y, trials_of(rows)
        one, zero = scipy.special.expit(linear), scipy.special.expit(-linear)
        return y * zero - (trials - y) * one, -trials * one * zero

    def log_cdf(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log of the probability of at most so many successes."""
        trials = trials_of(rows)
        return sum_up_to(rows.y, linear, lambda k: log_mass(np.minimum(k, trials), trials, linear))

    def quantile(self, rows: OutcomeRows, linear: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return the smallest number of successes whose probability of being reached is ``p`` or more."""
        return np.asarray(scipy.stats.binom.ppf(p, trials_of(rows), scipy.special.expit(linear)), dtype=float)

    def draw(self, rows: OutcomeRows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the outcome of every row anew, of the shape of ``linear``."""
        trials = np.broadcast_to(trials_of(rows), linear.shape).astype(np.int64)
        return np.asarray(rng.binomial(trials, scipy.special.expit(linear)), dtype=float)

    def latent_variance(self, given: Mapping[str, np.ndarray], level: float) -> np.ndarray | float:
        """Return the variance of a standard logistic variable."""
        del given, level
        return LOGISTIC_VARIANCE

    def latex(self, outcome: str, given: Mapping[str, str]) -> str:
        """Return how the outcome is distributed, as LaTeX."""
        del given
        return rf"{outcome} &\sim \mathrm{{Binomial}}(m_n, \mathrm{{logit}}^{{-1}}(\eta_n))"


def log_mass(y: np.ndarray, trials: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """Return the log-probability of so many successes out of the trials, each with log-odds ``linear``."""
    ways = log_ways(y, trials)
    return np.asarray(ways + y * scipy.special.log_expit(linear) + (trials - y) * scipy.special.log_expit(-linear))
