"""What families of counts share: which values they are, their mean, and probabilities up to a count."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bayes_alliance.findings import Problem
from bayes_alliance.outcome.contract import Outcome, OutcomeRows
from bayes_alliance.outcome.scale import ObservedOutcome


class Count(Outcome):
    """A count whose mean is the exponential of the linear predictor."""

    link = "log"
    values = "a count, 0 or more"
    unit = "log-counts"
    whole = True

    def impossible(self, observed: ObservedOutcome) -> list[Problem]:
        """Report values that are no counts."""
        values = observed.values
        odd = (values != np.floor(values)) | (values < 0)
        if not odd.any():
            return []
        return [
            Problem(
                f"{self.where(observed)} that are no counts in {observed.show(odd)}.",
                allowed="Counts are whole numbers from 0.",
                fix="Take another family for scores.",
            )
        ]

    def expected(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the mean count."""
        del rows
        return np.asarray(np.exp(linear))

    def expected_over(self, rows: OutcomeRows, linear: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the mean count with a normal effect on its log: that of a lognormal variable."""
        return self.expected(rows, linear + variance / 2)


def sum_up_to(y: np.ndarray, linear: np.ndarray, log_mass: Callable[[float], np.ndarray]) -> np.ndarray:
    """Return the log of the probability of at most ``y``, by adding up all counts: exact in the tails, too.

    Parameters
    ----------
    y : ndarray, shape (obs,)
        Counts.
    linear : ndarray, shape (…, obs)
        Gives the shape of the result.
    log_mass : callable
        Log-probability of one count in every row, of the shape of ``linear``.
    """
    total = np.full(np.broadcast_shapes(linear.shape, y.shape), -np.inf)
    with np.errstate(invalid="ignore"):
        for count in range(int(y.max(initial=0.0)) + 1):
            total = np.where(count <= y, np.logaddexp(total, log_mass(float(count))), total)
    return np.asarray(np.minimum(total, 0.0))
