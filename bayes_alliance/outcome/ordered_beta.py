"""The ordered beta family: a score at its lowest value, at its highest, or beta distributed between (Kubinec 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import scipy

from bayes_alliance.outcome import thresholds as cut
from bayes_alliance.outcome.censored import say_ends
from bayes_alliance.outcome.contract import Outcome, OutcomeRows, Parameter
from bayes_alliance.outcome.curves import LOGISTIC
from bayes_alliance.outcome.scale import BETWEEN, CEILING, FLOOR, ObservedOutcome, OutcomeScale

PHI = Parameter(
    "phi",
    r"\phi",
    "log",
    "precision",
    "how close scores between the bounds lie together: their variance is mean * (1 - mean) / (1 + phi)",
    "lognormal(5, 1)",
    "Scores in the middle have an SD of a tenth (phi 26) to a third (phi 1) of the width of the scale.",
    "normal(1.6, 1)",
    "At average predictors scores in the middle have an SD of a tenth to a third of the width of the scale.",
)
"""Precision between the bounds."""

LEAST: Final = 1e-9
"""Draws are kept this share of the width off the bounds, where a beta variable of small parameters rounds to."""

INSIDE: Final = 1e-14
"""Quantiles are kept this share of the width off the bounds: nearer they would be read as lying there."""

LOST: Final = 30.0
"""Logits of shares so near to 0 or 1 that their logarithm is lost."""


class OrderedBeta(Outcome):
    """A score between its bounds: thresholds decide whether it lies at one of them, a beta variable where between."""

    name = "ordered_beta"
    link = "logit"
    values = "a score between its bounds"
    unit = "log-odds"
    words = "at its lowest value, at its highest, or beta distributed between, with log-odds that add up as follows"
    latent_scale = "logit scale of scores between the bounds, residual variance at their mean"
    parameters = (PHI,)
    thresholds = True
    bounds = "needed"
    measure = "density and probability"
    integrand = "ordered beta"

    def make_scale(self, observed: ObservedOutcome) -> OutcomeScale:
        """Make the scale with its three places: floor, between, ceiling."""
        assert observed.bounds is not None
        return OutcomeScale(observed.bounds, None, (FLOOR, BETWEEN, CEILING), (FLOOR, CEILING))

    def notes(self, observed: ObservedOutcome) -> list[str]:
        """Say how many rows lie at the ends of the scale."""
        return [say_ends(observed)]

    def level(self, y: np.ndarray, scale: OutcomeScale) -> float:
        """Return the mean as a share of the way from the lowest to the highest value."""
        return float(scale.share(y).mean())

    def steepness(self, y: np.ndarray, scale: OutcomeScale) -> np.ndarray | float:
        """Return how far an average outcome moves per unit of its linear predictor."""
        return scale.width * super().steepness(y, scale)

    def log_density(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log-density of every row given its linear predictor, of the same shape."""
        place = LOGISTIC.log_between(*cut.edges(rows, linear))
        a, b, y = _beta(rows, linear)
        inside = (a - 1) * np.log(y) + (b - 1) * np.log1p(-y) - scipy.special.betaln(a, b) - np.log(rows.scale.width)
        return np.asarray(np.where(rows.scale.category(rows.y) == 1, place + inside, place))

    def derivatives(self, rows: OutcomeRows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of every row's log-density in its linear predictor."""
        first, second = LOGISTIC.derivatives_between(*cut.edges(rows, linear))
        a, b, y = _beta(rows, linear)
        step = a * b / rows.given["phi"]
        apart = scipy.special.logit(y) - scipy.special.digamma(a) + scipy.special.digamma(b)
        bend = step * (b - a) / rows.given["phi"] * apart - step**2 * _spread(a, b)
        inside = rows.scale.category(rows.y) == 1
        return np.where(inside, first + step * apart, first), np.where(inside, second + bend, second)

    def information(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the information: observed of the thresholds, expected of the beta variable."""
        _, second = LOGISTIC.derivatives_between(*cut.edges(rows, linear))
        a, b, _ = _beta(rows, linear)
        more = (a * b / rows.given["phi"]) ** 2 * _spread(a, b)
        whole = np.where(rows.scale.category(rows.y) == 1, more - second, -second)
        return np.maximum(whole, np.finfo(float).tiny)

    def log_cdf(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log of the probability of a score up to that of every row."""
        low, high = cut.edges(rows, linear)
        a, b, y = _beta(rows, linear)
        inside = np.log(scipy.special.betainc(a, b, y)) + LOGISTIC.log_between(low, high)
        within = np.logaddexp(scipy.special.log_expit(low), inside)
        return np.asarray(np.where(rows.scale.category(rows.y) == 1, within, scipy.special.log_expit(high)))

    def quantile(self, rows: OutcomeRows, linear: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return the score that is not exceeded with probability ``p``."""
        floor, ceiling = (scipy.special.expit(one - linear) for one in cut.thresholds_of(rows))
        category = cut.category_at(LOGISTIC, rows, linear, p)
        left = (p - floor) / np.maximum(ceiling - floor, np.finfo(float).tiny)
        share, phi = scipy.special.expit(linear), rows.given["phi"]
        inside = scipy.stats.beta.ppf(np.clip(left, 0.0, 1.0), share * phi, scipy.special.expit(-linear) * phi)
        inside = np.clip(np.nan_to_num(inside, nan=0.5), INSIDE, 1 - INSIDE)
        return np.asarray(rows.scale.bounds[0] + rows.scale.width * np.where(category == 1, inside, category / 2))

    def expected(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the mean score over floor, beta variable and ceiling."""
        floor, ceiling = (scipy.special.expit(linear - one) for one in cut.thresholds_of(rows))
        share = ceiling + (floor - ceiling) * scipy.special.expit(linear)
        return np.asarray(rows.scale.bounds[0] + rows.scale.width * share)

    def draw(self, rows: OutcomeRows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the outcome of every row anew, of the shape of ``linear``."""
        category = cut.draw_category(LOGISTIC, rows, linear, rng)
        share, phi = scipy.special.expit(linear), rows.given["phi"]
        inside = rng.beta(np.maximum(share * phi, LEAST), np.maximum((1 - share) * phi, LEAST))
        inside = np.clip(inside, LEAST, 1 - LEAST)
        return np.asarray(rows.scale.bounds[0] + rows.scale.width * np.where(category == 1, inside, category / 2))

    def latent_variance(self, given: Mapping[str, np.ndarray], level: float) -> np.ndarray | float:
        """Return the variance of the logit of a beta variable with the mean of the scores."""
        return _spread(given["phi"] * level, given["phi"] * (1 - level))

    def latex(self, outcome: str, given: Mapping[str, str]) -> str:
        """Return how the outcome is distributed, as LaTeX."""
        return rf"{outcome} &\sim \mathrm{{OrderedBeta}}(\eta_n, \tau, {given['phi']})"

    def difference_unit(self, outcome: str) -> str:
        """Return what differences of the expected outcome are in."""
        return f"points of {outcome}"


def _beta(rows: OutcomeRows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return both parameters of the beta distribution between the bounds, and scores as shares (half at a bound)."""
    cut_off = np.clip(linear, -LOST, LOST)
    y = np.where(rows.scale.category(rows.y) == 1, rows.scale.share(rows.y), 0.5)
    return scipy.special.expit(cut_off) * rows.given["phi"], scipy.special.expit(-cut_off) * rows.given["phi"], y


def _spread(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the variance of the logit of a beta variable."""
    return np.asarray(scipy.special.polygamma(1, a) + scipy.special.polygamma(1, b))
