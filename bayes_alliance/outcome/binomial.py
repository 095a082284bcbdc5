"""The binomial family: successes out of a known number of trials, with log-odds that add up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy

from bayes_alliance.outcome.contract import Outcome, OutcomeRows
from bayes_alliance.outcome.counts import sum_up_to
from bayes_alliance.outcome.scale import ObservedOutcome, OutcomeScale
from bayes_alliance.outcome.thresholds import LOGISTIC_VARIANCE


class Binomial(Outcome):
    """A number of successes, with the linear predictor as the log-odds of each of the trials."""

    name = "binomial"
    link = "logit"
    values = "a number of successes, 0 to its trials"
    unit = "log-odds"
    words = "a number of successes out of its trials, with log-odds that add up as follows"
    latent_scale = "latent logit scale, residual variance pi^2 / 3"
    trials = True
    whole = True

    def impossible(self, observed: ObservedOutcome) -> list[str]:
        """Report trials that are none, and successes that are no number of them."""
        return trials_problems(self, observed)

    def level(self, y: np.ndarray, scale: OutcomeScale) -> float:
        """Return the share of all trials that are successes."""
        assert scale.trials is not None
        return float(y.sum() / scale.trials.sum())

    def steepness(self, y: np.ndarray, scale: OutcomeScale) -> np.ndarray | float:
        """Return how far an average outcome moves per unit of its linear predictor, shape (obs,)."""
        assert scale.trials is not None
        return scale.trials * super().steepness(y, scale)

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

    def expected(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the expected share of the trials."""
        del rows
        return np.asarray(scipy.special.expit(linear))

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

    def difference_unit(self, outcome: str) -> str:
        """Return what differences of the expected outcome are in."""
        return f"share of the trials of {outcome}"


def log_mass(y: np.ndarray, trials: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """Return the log-probability of so many successes out of the trials, each with log-odds ``linear``."""
    # log of the number of ways, without the difference of large numbers
    ways = -scipy.special.betaln(y + 1, trials - y + 1) - np.log(trials + 1)
    return np.asarray(ways + y * scipy.special.log_expit(linear) + (trials - y) * scipy.special.log_expit(-linear))


def trials_of(rows: OutcomeRows) -> np.ndarray:
    """Return what the successes of every row are out of."""
    assert rows.scale.trials is not None
    return rows.scale.trials


def trials_problems(family: Outcome, observed: ObservedOutcome) -> list[str]:
    """Report trials that are none, and successes that are no number of them."""
    values, trials = observed.values, observed.trials
    assert trials is not None
    odd = (trials < 1) | (trials != np.floor(trials))
    if odd.any():
        return [
            f"trials = {observed.trials_label!r} of outcome {observed.label!r} are no numbers of trials in "
            f"{observed.show(odd, trials)}. They are 1, 2, …"
        ]
    bad = (values != np.floor(values)) | (values < 0) | (values > trials)
    if not bad.any():
        return []
    return [f"{family.where(observed)} that are no number of successes from 0 to its trials in {observed.show(bad)}."]
