"""The discrete-time hazard family: 0 or 1 per session, complementary log-log (Singer and Willett 1993)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from bayes_alliance.findings import Problem
from bayes_alliance.outcome.bernoulli import binary_problems
from bayes_alliance.outcome.contract import FAR, Outcome, OutcomeRows
from bayes_alliance.outcome.scale import ObservedOutcome

SMALL: Final = 1e-3
"""Hazards below which differences of nearly equal numbers are replaced by their series."""

GUMBEL_VARIANCE: Final = np.pi**2 / 6
"""Variance of a standard Gumbel variable (Snijders and Bosker 2012)."""


class Hazard(Outcome):
    """0 or 1 per session, with the linear predictor as the log of the hazard summed over the session."""

    name = "hazard"
    link = "cloglog"
    values = "0 or 1"
    unit = "log-hazard"
    words = "a hazard per session, complementary log-log"
    latent_scale = "latent log-hazard scale, residual variance pi^2 / 6"
    binary = True
    same_expected = True
    integrand = "hazard"

    def impossible(self, observed: ObservedOutcome) -> list[Problem]:
        """Report values other than 0 and 1."""
        return binary_problems(self, observed)

    def log_density(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log-probability of every row given its linear predictor, of the same shape."""
        hazard = np.exp(np.minimum(linear, FAR))
        # log(1 - exp(-h)) is log(h) - h / 2 to the last digit where h is small, and where exp(-h) is lost it is 0
        with np.errstate(divide="ignore"):
            one = np.where(linear < -FAR / 10, linear - hazard / 2, np.log(-np.expm1(-hazard)))
        return np.asarray(np.where(rows.y > 0, one, -hazard))

    def derivatives(self, rows: OutcomeRows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of every row's log-probability in its linear predictor."""
        hazard = np.exp(np.clip(linear, -FAR, FAR / 10))
        grows = hazard / np.expm1(np.minimum(hazard, FAR))
        series = -hazard / 2 - hazard**2 / 12
        bend = grows * np.where(hazard < SMALL, series, 1 - hazard - grows)
        return np.where(rows.y > 0, grows, -hazard), np.where(rows.y > 0, bend, -hazard)

    def log_cdf(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log of the probability of an outcome up to that of every row."""
        return np.asarray(np.where(rows.y > 0, 0.0, -np.exp(np.minimum(linear, FAR))))

    def quantile(self, rows: OutcomeRows, linear: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return 1 where ``p`` is above the probability of 0."""
        del rows
        return np.asarray(np.log(p) > -np.exp(np.minimum(linear, FAR)), dtype=float)

    def expected(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the probability of the event in the session."""
        del rows
        return np.asarray(-np.expm1(-np.exp(np.minimum(linear, FAR))))

    def draw(self, rows: OutcomeRows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the outcome of every row anew, of the shape of ``linear``."""
        return np.asarray(rng.random(linear.shape) < self.expected(rows, linear), dtype=float)

    def latent_variance(self, given: Mapping[str, np.ndarray], level: float) -> np.ndarray | float:
        """Return the variance of a standard Gumbel variable."""
        del given, level
        return GUMBEL_VARIANCE

    def latex(self, outcome: str, given: Mapping[str, str]) -> str:
        """Return how the outcome is distributed, as LaTeX."""
        del given
        return rf"{outcome} &\sim \mathrm{{Bernoulli}}(1 - \exp(-\exp(\eta_n)))"

    def difference_unit(self, outcome: str) -> str:
        """Return what differences of the expected outcome are in."""
        return f"probability of {outcome}"
