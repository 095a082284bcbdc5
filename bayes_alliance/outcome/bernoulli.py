"""The Bernoulli family: 0 or 1, with log-odds or probits that add up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from bayes_alliance.findings import Problem
from bayes_alliance.outcome.contract import Outcome, OutcomeRows
from bayes_alliance.outcome.curves import LOGISTIC, NORMAL, Curve, Link
from bayes_alliance.outcome.integrand import Integrand
from bayes_alliance.outcome.scale import ObservedOutcome


class Bernoulli(Outcome):
    """0 or 1, with the linear predictor as the log-odds of 1."""

    name = "bernoulli"
    link: ClassVar[Link] = "logit"
    curve: ClassVar[Curve] = LOGISTIC
    values = "0 or 1"
    unit = LOGISTIC.unit
    words = "0 or 1, with log-odds that add up as follows"
    latent_scale = LOGISTIC.latent_scale
    binary = True
    same_expected = True
    integrand: ClassVar[Integrand] = "log-odds"

    def impossible(self, observed: ObservedOutcome) -> list[Problem]:
        """Report values other than 0 and 1."""
        return binary_problems(self, observed)

    def log_density(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log-probability of every row given its linear predictor, of the same shape."""
        return self.curve.log_cdf(np.where(rows.y > 0, linear, -linear))

    def derivatives(self, rows: OutcomeRows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of every row's log-probability in its linear predictor."""
        first, second = self.curve.log_derivatives(np.where(rows.y > 0, linear, -linear))
        return np.where(rows.y > 0, first, -first), second

    def log_cdf(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log of the probability of an outcome up to that of every row."""
        return np.asarray(np.where(rows.y > 0, 0.0, self.curve.log_cdf(-linear)))

    def quantile(self, rows: OutcomeRows, linear: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return 1 where ``p`` is above the probability of 0."""
        del rows
        return np.asarray(p > self.curve.cdf(-linear), dtype=float)

    def expected(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the probability of 1."""
        del rows
        return self.curve.cdf(linear)

    def expected_over(self, rows: OutcomeRows, linear: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the probability of 1 with a normal effect of mean 0 added to the linear predictor."""
        del rows
        return self.curve.cdf_over(linear, variance)

    def category_over(self, rows: OutcomeRows, linear: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the probability of every row's category with a normal effect added to the linear predictor."""
        return self.curve.cdf_over(np.where(rows.y > 0, linear, -linear), variance)

    def draw(self, rows: OutcomeRows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the outcome of every row anew, of the shape of ``linear``."""
        return np.asarray(rng.random(linear.shape) < self.expected(rows, linear), dtype=float)

    def latent_variance(self, given: Mapping[str, np.ndarray], level: float) -> np.ndarray | float:
        """Return the variance of the latent variable behind the link."""
        del given, level
        return self.curve.variance

    def latex(self, outcome: str, given: Mapping[str, str]) -> str:
        """Return how the outcome is distributed, as LaTeX."""
        del given
        return rf"{outcome} &\sim \mathrm{{Bernoulli}}({self.curve.latex}(\eta_n))"

    def difference_unit(self, outcome: str) -> str:
        """Return what differences of the expected outcome are in."""
        return f"probability of {outcome}"


class ProbitBernoulli(Bernoulli):
    """0 or 1, with the linear predictor as the normal quantile of the probability of 1."""

    link = "probit"
    curve = NORMAL
    unit = NORMAL.unit
    words = "0 or 1, with probits that add up as follows"
    latent_scale = NORMAL.latent_scale
    integrand = "probit"


def binary_problems(family: Outcome, observed: ObservedOutcome) -> list[Problem]:
    """Report values other than 0 and 1."""
    odd = ~np.isin(observed.values, (0.0, 1.0))
    if not odd.any():
        return []
    return [Problem(f"{family.where(observed)} other than 0 and 1 in {observed.show(odd)}.", fix="Recode it.")]
