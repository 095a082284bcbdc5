"""What families of successes out of trials share: which values are such numbers, and their mean."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import scipy

from bayes_alliance.findings import Problem
from bayes_alliance.outcome.contract import Outcome, OutcomeRows
from bayes_alliance.outcome.curves import LOGISTIC, Curve, Link
from bayes_alliance.outcome.scale import ObservedOutcome, OutcomeScale


class Successes(Outcome):
    """A number of successes out of known trials, whose mean share follows the curve behind the link."""

    link: ClassVar[Link] = "logit"
    curve: ClassVar[Curve] = LOGISTIC
    values = "a number of successes, 0 to its trials"
    unit = LOGISTIC.unit
    trials = True
    same_expected = True
    whole = True

    def impossible(self, observed: ObservedOutcome) -> list[Problem]:
        """Report trials that are none, and successes that are no number of them."""
        values, trials = observed.values, observed.trials
        assert trials is not None
        odd = (trials < 1) | (trials != np.floor(trials))
        if odd.any():
            return [
                Problem(
                    f"trials = {observed.trials_label!r} of outcome {observed.label!r} are no numbers of trials in "
                    f"{observed.show(odd, trials)}.",
                    allowed="They are 1, 2, …",
                )
            ]
        bad = (values != np.floor(values)) | (values < 0) | (values > trials)
        if not bad.any():
            return []
        return [
            Problem(
                f"{self.where(observed)} that are no number of successes from 0 to its trials in {observed.show(bad)}."
            )
        ]

    def level(self, y: np.ndarray, scale: OutcomeScale) -> float:
        """Return the share of all trials that are successes."""
        assert scale.trials is not None
        return float(y.sum() / scale.trials.sum())

    def steepness(self, y: np.ndarray, scale: OutcomeScale) -> np.ndarray | float:
        """Return how far an average outcome moves per unit of its linear predictor, shape (obs,)."""
        assert scale.trials is not None
        return scale.trials * super().steepness(y, scale)

    def expected(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the expected share of the trials."""
        del rows
        return self.curve.cdf(linear)

    def expected_over(self, rows: OutcomeRows, linear: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the expected share of the trials with a normal effect of mean 0 added to the linear predictor."""
        del rows
        return self.curve.cdf_over(linear, variance)

    def difference_unit(self, outcome: str) -> str:
        """Return what differences of the expected outcome are in."""
        return f"share of the trials of {outcome}"


def trials_of(rows: OutcomeRows) -> np.ndarray:
    """Return what the successes of every row are out of."""
    assert rows.scale.trials is not None
    return rows.scale.trials


def log_ways(y: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """Return the log of the number of ways to have so many successes, without the difference of large numbers."""
    return np.asarray(-scipy.special.betaln(y + 1, trials - y + 1) - np.log(trials + 1))
