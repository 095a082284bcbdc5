"""What families of positive numbers share: which values they cannot have."""

from __future__ import annotations

from bayes_alliance.findings import Problem
from bayes_alliance.outcome.contract import Outcome
from bayes_alliance.outcome.scale import ObservedOutcome


class Positive(Outcome):
    """A number above 0, with a linear predictor on the scale of its log."""

    link = "log"
    values = "a number above 0"
    unit = "log-points"
    positive = True
    measure = "density"

    def impossible(self, observed: ObservedOutcome) -> list[Problem]:
        """Report values of 0 or below, and where they are."""
        odd = observed.values <= 0
        if not odd.any():
            return []
        return [
            Problem(
                f"{self.where(observed)} that are not above 0 in {observed.show(odd)}.",
                fix=(
                    "Take gaussian or censored for scores that can be 0, or a family of counts for counts; or "
                    "leave these rows out (select_rows)."
                ),
            )
        ]
