"""The Bernoulli family: 0 or 1, with log-odds that add up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy

from bayes_alliance.findings import Problem
from bayes_alliance.outcome.contract import Outcome, OutcomeRows
from bayes_alliance.outcome.scale import ObservedOutcome
from bayes_alliance.outcome.thresholds import LOGISTIC_VARIANCE


class Bernoulli(Outcome):
    """0 or 1, with the linear predictor as the log-odds of 1."""

    name = "bernoulli"
    link = "logit"
    values = "0 or 1"
    unit = "log-odds"
    words = "0 or 1, with log-odds that add up as follows"
    latent_scale = "latent logit scale, residual variance pi^2 / 3"
    binary = True
    same_expected = True

    def impossible(self, observed: ObservedOutcome) -> list[Problem]:
        """Report values other than 0 and 1."""
        return binary_problems(self, observed)

    def log_density(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log-probability of every row given its linear predictor, of the same shape."""
        return np.asarray(scipy.special.log_expit(np.where(rows.y > 0, linear, -linear)))

    def derivatives(self, rows: OutcomeRows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of every row's log-probability in its linear predictor."""
        one, zero = scipy.special.expit(linear), scipy.special.expit(-linear)
        return np.where(rows.y > 0, zero, -one), -one * zero

    def log_cdf(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log of the probability of an outcome up to that of every row."""
        return np.asarray(np.where(rows.y > 0, 0.0, scipy.special.log_expit(-linear)))

    def quantile(self, rows: OutcomeRows, linear: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return 1 where ``p`` is above the probability of 0."""
        del rows
        return np.asarray(p > scipy.special.expit(-linear), dtype=float)

    def expected(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the probability of 1."""
        del rows
        return np.asarray(scipy.special.expit(linear))

    def draw(self, rows: OutcomeRows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the outcome of every row anew, of the shape of ``linear``."""
        del rows
        return np.asarray(rng.random(linear.shape) < scipy.special.expit(linear), dtype=float)

    def latent_variance(self, given: Mapping[str, np.ndarray], level: float) -> np.ndarray | float:
        """Return the variance of a standard logistic variable."""
        del given, level
        return LOGISTIC_VARIANCE

    def latex(self, outcome: str, given: Mapping[str, str]) -> str:
        """Return how the outcome is distributed, as LaTeX."""
        del given
        return rf"{outcome} &\sim \mathrm{{Bernoulli}}(\mathrm{{logit}}^{{-1}}(\eta_n))"

    def difference_unit(self, outcome: str) -> str:
        """Return what differences of the expected outcome are in."""
        return f"probability of {outcome}"


def binary_problems(family: Outcome, observed: ObservedOutcome) -> list[Problem]:
    """Report values other than 0 and 1."""
    odd = ~np.isin(observed.values, (0.0, 1.0))
    if not odd.any():
        return []
    return [Problem(f"{family.where(observed)} other than 0 and 1 in {observed.show(odd)}.", fix="Recode it.")]
