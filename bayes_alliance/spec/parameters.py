"""Parameters that an outcome has one of: those of its family but the residual SD, and those an equation adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bayes_alliance.outcome.families import FAMILY

AUTOCORRELATION: Final = "ar"
"""The correlation of residuals over sessions, which an equation adds."""

SHAPES: Final[Mapping[str, str]] = {
    **{p.name: p.words for family in FAMILY.values() for p in family.parameters if p.name in family.shapes},
    AUTOCORRELATION: "correlation of the residuals of a patient's successive session numbers",
    "error": "SD of one rater's rating around the true score",
}
"""Names, and what they say."""

PROBABILITIES: Final = frozenset(p.name for family in FAMILY.values() for p in family.parameters if p.link == "logit")
"""Those that are probabilities."""
