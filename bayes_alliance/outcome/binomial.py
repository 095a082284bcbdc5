"""The binomial family: successes out of a known number of trials, with log-odds or probits that add up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import scipy

from bayes_alliance.outcome.contract import OutcomeRows
from bayes_alliance.outcome.counts import sum_up_to
from bayes_alliance.outcome.curves import LOGISTIC, NORMAL
from bayes_alliance.outcome.integrand import Integrand
from bayes_alliance.outcome.successes import Successes, log_ways, trials_of


class Binomial(Successes):
    """A number of successes, with the linear predictor as the log-odds of each of the trials."""

    name = "binomial"
    words = "a number of successes out of its trials, with log-odds that add up as follows"
    latent_scale = LOGISTIC.latent_scale
    integrand: ClassVar[Integrand] = "log-odds"

    def log_density(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log-probability of every row given its linear predictor, of the same shape."""
        return self._log_mass(rows.y, trials_of(rows), linear)

    def derivatives(self, rows: OutcomeRows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of every row's log-probability in its linear predictor."""
        y, trials = rows.y, trials_of(rows)
        (up, bend_up), (down, bend_down) = self.curve.log_derivatives(linear), self.curve.log_derivatives(-linear)
        return y * up - (trials - y) * down, y * bend_up + (trials - y) * bend_down

    def log_cdf(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log of the probability of at most so many successes."""
        trials = trials_of(rows)
        return sum_up_to(rows.y, linear, lambda k: self._log_mass(np.minimum(k, trials), trials, linear))

    def quantile(self, rows: OutcomeRows, linear: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return the smallest number of successes whose probability of being reached is ``p`` or more."""
        return np.asarray(scipy.stats.binom.ppf(p, trials_of(rows), self.curve.cdf(linear)), dtype=float)

    def draw(self, rows: OutcomeRows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the outcome of every row anew, of the shape of ``linear``."""
        trials = np.broadcast_to(trials_of(rows), linear.shape).astype(np.int64)
        return np.asarray(rng.binomial(trials, self.curve.cdf(linear)), dtype=float)

    def latent_variance(self, given: Mapping[str, np.ndarray], level: float) -> np.ndarray | float:
        """Return the variance of the latent variable behind the link."""
        del given, level
        return self.curve.variance

    def latex(self, outcome: str, given: Mapping[str, str]) -> str:
        """Return how the outcome is distributed, as LaTeX."""
        del given
        return rf"{outcome} &\sim \mathrm{{Binomial}}(m_n, {self.curve.latex}(\eta_n))"

    def _log_mass(self, y: np.ndarray, trials: np.ndarray, linear: np.ndarray) -> np.ndarray:
        """Return the log-probability of so many successes out of the trials."""
        each, none = self.curve.log_cdf(linear), self.curve.log_cdf(-linear)
        return np.asarray(log_ways(y, trials) + y * each + (trials - y) * none)


class ProbitBinomial(Binomial):
    """A number of successes, with the linear predictor as the normal quantile of the chance of each trial."""

    link = "probit"
    curve = NORMAL
    unit = NORMAL.unit
    words = "a number of successes out of its trials, with probits that add up as follows"
    latent_scale = NORMAL.latent_scale
    integrand = "probit"
