"""The beta-binomial family: successes out of trials that vary more than binomial ones do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import scipy

from bayes_alliance.outcome.contract import OutcomeRows
from bayes_alliance.outcome.counts import sum_up_to
from bayes_alliance.outcome.ordered_beta import PHI
from bayes_alliance.outcome.successes import Successes, log_ways, trials_of

PRECISION = replace(
    PHI,
    words="how alike the chances of success are: trials of one row correlate by 1 / (1 + phi)",
    reason="Trials of one row correlate by .17 (phi 5), from .03 (phi 35) to .6 (phi 0.7).",
    intercept_reason="At average predictors trials of one row correlate by .17, from .03 to .6.",
)
"""Precision of the chances of success."""

LOST = 30.0
"""Logits of chances so near to 0 or 1 that their logarithm is lost."""


class BetaBinomial(Successes):
    """A number of successes whose chance is beta distributed, with the linear predictor as the log-odds of its mean."""

    name = "beta_binomial"
    words = "a number of successes that varies more than a binomial one, with log-odds that add up as follows"
    latent_scale = "logit scale of the chances of success, residual variance at their mean"
    parameters = (PRECISION,)
    several_modes = True
    integrand = "beta-binomial"

    def log_density(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log-probability of every row given its linear predictor, of the same shape."""
        return _log_mass(rows.y, trials_of(rows), *_beta(rows, linear))

    def derivatives(self, rows: OutcomeRows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of every row's log-probability in its linear predictor."""
        a, b = _beta(rows, linear)
        y, failures = rows.y, trials_of(rows) - rows.y
        digamma = scipy.special.digamma
        step = a * b / (a + b)
        apart = digamma(y + a) - digamma(failures + b) - digamma(a) + digamma(b)
        return step * apart, step * (b - a) / (a + b) * apart - step**2 * _lost(a, b, y, failures)

    def information(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return a positive part of the observed information: what moves with the slope is left out."""
        a, b = _beta(rows, linear)
        lost = _lost(a, b, rows.y, trials_of(rows) - rows.y)
        return np.asarray(np.maximum((a * b / (a + b)) ** 2 * lost, np.finfo(float).tiny))

    def sharpest(self, rows: OutcomeRows) -> np.ndarray:
        """Return the curvature that binomial successes would have at most."""
        return trials_of(rows) / 4 + 1.0

    def log_cdf(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log of the probability of at most so many successes."""
        trials, (a, b) = trials_of(rows), _beta(rows, linear)
        return sum_up_to(rows.y, linear, lambda k: _log_mass(np.minimum(k, trials), trials, a, b))

    def quantile(self, rows: OutcomeRows, linear: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return the smallest number of successes whose probability of being reached is ``p`` or more."""
        trials, (a, b) = trials_of(rows), _beta(rows, linear)
        shape = np.broadcast_shapes(linear.shape, np.shape(p), a.shape)
        found, below = np.zeros(shape), np.zeros(shape)
        for k in range(int(trials.max(initial=0.0)) + 1):
            below = below + np.where(k <= trials, np.exp(_log_mass(np.minimum(k, trials), trials, a, b)), 0.0)
            found = np.where((below < p * (1 - 1e-12)) & (k < trials), k + 1.0, found)
        return found

    def draw(self, rows: OutcomeRows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the outcome of every row anew, of the shape of ``linear``."""
        a, b = _beta(rows, linear)
        trials = np.broadcast_to(trials_of(rows), linear.shape).astype(np.int64)
        return np.asarray(rng.binomial(trials, rng.beta(np.broadcast_to(a, linear.shape), b)), dtype=float)

    def latent_variance(self, given: Mapping[str, np.ndarray], level: float) -> np.ndarray | float:
        """Return the variance of the logit of a chance with the mean of all."""
        polygamma = scipy.special.polygamma
        return np.asarray(polygamma(1, given["phi"] * level) + polygamma(1, given["phi"] * (1 - level)))

    def latex(self, outcome: str, given: Mapping[str, str]) -> str:
        """Return how the outcome is distributed, as LaTeX."""
        return rf"{outcome} &\sim \mathrm{{BetaBinomial}}(m_n, \mathrm{{logit}}^{{-1}}(\eta_n), {given['phi']})"


def _beta(rows: OutcomeRows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both parameters of the distribution of the chance of success."""
    cut_off, phi = np.clip(linear, -LOST, LOST), rows.given["phi"]
    expit = scipy.special.expit
    return np.asarray(expit(cut_off) * phi), np.asarray(expit(-cut_off) * phi)


def _log_mass(y: np.ndarray, trials: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(log_ways(y, trials) + _rise(a, y) + _rise(b, trials - y) - _rise(a + b, trials))


def _rise(x: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return log(x (x + 1) … (x + steps - 1)), without the loss of a difference where x is small."""
    more = scipy.special.gammaln(x + steps) - scipy.special.gammaln(x + 1)
    return np.asarray(np.where(steps > 0, np.log(x) + more, 0.0))


def _lost(a: np.ndarray, b: np.ndarray, y: np.ndarray, failures: np.ndarray) -> np.ndarray:
    """Return by how much the variance of the logit of the chance falls with the row's successes and failures."""

    def trigamma(x: np.ndarray) -> np.ndarray:
        return np.asarray(scipy.special.polygamma(1, x))

    return np.asarray(trigamma(a) - trigamma(y + a) + trigamma(b) - trigamma(failures + b))
