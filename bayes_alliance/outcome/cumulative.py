"""The cumulative family: ordered categories of a latent variable cut at thresholds (McCullagh 1980)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar, Final

import numpy as np

from bayes_alliance._messages import quote
from bayes_alliance.findings import Problem
from bayes_alliance.outcome import thresholds as cut
from bayes_alliance.outcome.contract import Outcome, OutcomeRows
from bayes_alliance.outcome.curves import LOGISTIC, NORMAL, Curve, Link
from bayes_alliance.outcome.integrand import Integrand
from bayes_alliance.outcome.scale import ObservedOutcome, OutcomeScale

MANY: Final = 30
"""Categories above which thresholds are too many to be identified."""


class Cumulative(Outcome):
    """An ordered category: the number of thresholds that a latent variable around the linear predictor exceeds."""

    name = "cumulative"
    link: ClassVar[Link] = "logit"
    curve: ClassVar[Curve] = LOGISTIC
    values = "an ordered category"
    unit = LOGISTIC.unit
    words = "an ordered category, with log-odds of exceeding each one that add up as follows"
    latent_scale = LOGISTIC.latent_scale
    thresholds = True
    intercept = False
    bounds = "allowed"
    whole = True
    integrand: ClassVar[Integrand] = "log-odds of categories"

    def impossible(self, observed: ObservedOutcome) -> list[Problem]:
        """Report values that are no whole numbers."""
        values = observed.values
        odd = values != np.floor(values)
        if not odd.any():
            return []
        return [
            Problem(
                f"{self.where(observed)} that are no categories in {observed.show(odd)}.",
                allowed="Categories are whole numbers in order.",
                fix="Take ordered_beta or censored for scores.",
            )
        ]

    def check(self, observed: ObservedOutcome) -> list[Problem]:
        """Report impossible values, and more categories than thresholds can be estimated for."""
        problems = self.impossible(observed) or self._outside(observed)
        if problems:
            return problems
        low, high = self._ends(observed)
        if high - low >= MANY:
            return [
                Problem(
                    f"Outcome {observed.label!r} runs from {low:g} to {high:g}: too many categories for thresholds.",
                    allowed=f"At most {MANY}.",
                    fix="Take ordered_beta or censored.",
                )
            ]
        return super().check(observed)

    def make_scale(self, observed: ObservedOutcome) -> OutcomeScale:
        """Make the scale: every whole number between the bounds, or between the values there are."""
        low, high = self._ends(observed)
        names = tuple(f"{value:g}" for value in np.arange(low, high + 1))
        return OutcomeScale((low, high), None, names, tuple(f"{a}|{b}" for a, b in pairwise(names)))

    def notes(self, observed: ObservedOutcome) -> list[str]:
        """Say which categories no row is in."""
        names = self.make_scale(observed).categories
        unused = [name for name in names if not (observed.values == float(name)).any()]
        if not unused:
            return []
        return [
            f"{observed.label}: no row is in category {quote(unused)} of {names[0]} to {names[-1]}; thresholds around "
            f"it rest on their prior."
        ]

    def _ends(self, observed: ObservedOutcome) -> tuple[float, float]:
        return observed.bounds or (float(observed.values.min()), float(observed.values.max()))

    def level(self, y: np.ndarray, scale: OutcomeScale) -> float:
        """Return the mean as a share of the way from the lowest to the highest category."""
        return float(scale.share(y).mean())

    def steepness(self, y: np.ndarray, scale: OutcomeScale) -> np.ndarray | float:
        """Return how far an average outcome moves per unit of its linear predictor: SDs over SDs."""
        del scale
        return (float(y.std()) or 1.0) / float(np.sqrt(self.curve.variance))

    def log_density(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log-probability of every row given its linear predictor, of the same shape."""
        return self.curve.log_between(*cut.edges(rows, linear))

    def derivatives(self, rows: OutcomeRows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of every row's log-probability in its linear predictor."""
        return self.curve.derivatives_between(*cut.edges(rows, linear))

    def log_cdf(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log of the probability of a category up to that of every row."""
        return self.curve.log_cdf(cut.edges(rows, linear)[1])

    def quantile(self, rows: OutcomeRows, linear: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return the category that is reached with probability ``p``."""
        return rows.scale.bounds[0] + cut.category_at(self.curve, rows, linear, p)

    def expected(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the mean category: the lowest one and the probability of exceeding each threshold."""
        above = [self.curve.cdf(linear - one) for one in cut.thresholds_of(rows)]
        return np.asarray(rows.scale.bounds[0] + sum(above, start=np.zeros_like(linear)))

    def expected_over(self, rows: OutcomeRows, linear: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the mean category, threshold by threshold."""
        above = [self.curve.cdf_over(linear - one, variance) for one in cut.thresholds_of(rows)]
        return np.asarray(rows.scale.bounds[0] + sum(above, start=np.zeros_like(linear)))

    def category_over(self, rows: OutcomeRows, linear: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the probability of every row's category with a normal effect added to the linear predictor."""
        return self.curve.between_over(*cut.edges(rows, linear), variance)

    def draw(self, rows: OutcomeRows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the outcome of every row anew, of the shape of ``linear``."""
        return rows.scale.bounds[0] + cut.draw_category(self.curve, rows, linear, rng)

    def latent_variance(self, given: Mapping[str, np.ndarray], level: float) -> np.ndarray | float:
        """Return the variance of the latent variable behind the link."""
        del given, level
        return self.curve.variance

    def latex(self, outcome: str, given: Mapping[str, str]) -> str:
        """Return how the outcome is distributed, as LaTeX."""
        del given
        return rf"P({outcome} \le k) &= {self.curve.latex}(\tau_k - \eta_n)"

    def difference_unit(self, outcome: str) -> str:
        """Return what differences of the expected outcome are in."""
        return f"points of {outcome}"


class ProbitCumulative(Cumulative):
    """An ordered category: the number of thresholds that a normal variable around the linear predictor exceeds."""

    link = "probit"
    curve = NORMAL
    unit = NORMAL.unit
    words = "an ordered category, with probits of exceeding each one that add up as follows"
    latent_scale = NORMAL.latent_scale
    integrand = "probit of categories"
