"""What an outcome can be: the families, their links, and the parameters they have beside the linear predictor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

type FamilyName = Literal[
    "gaussian",
    "student_t",
    "censored",
    "ordered_beta",
    "cumulative",
    "bernoulli",
    "hazard",
    "binomial",
    "negative_binomial",
]
type Link = Literal["identity", "logit", "cloglog", "log"]
type ShapeName = Literal["nu", "shape", "phi", "ar", "error"]
type Bounds = Literal["none", "allowed", "needed"]
type Measure = Literal["density", "probability", "density and probability"]


@dataclass(frozen=True)
class Family:
    """A family of outcomes.

    ``link`` is that of the linear predictor. ``spread`` says whether it has residual SDs (``sigma``), ``shapes`` which
    further parameters every equation of it has one of, ``thresholds`` whether it has cutpoints on the scale of the
    linear predictor. ``bounds`` and ``trials`` say what the equation states about the outcome's values. ``values`` says
    in words what an outcome may be, ``unit`` what coefficients are in.
    """

    name: FamilyName
    link: Link
    values: str
    unit: str
    spread: bool = False
    shapes: tuple[ShapeName, ...] = ()
    thresholds: bool = False
    bounds: Bounds = "none"
    trials: bool = False

    @property
    def measure(self) -> Measure:
        """Return what its rows have: a density, a probability, or the one inside the bounds and the other at them.

        Rows of different measures do not compare.
        """
        if self.name in ("censored", "ordered_beta"):
            return "density and probability"
        return "density" if self.spread else "probability"

    @property
    def linear(self) -> bool:
        """Return whether the expected outcome is the linear predictor itself."""
        return self.name in ("gaussian", "student_t")

    @property
    def intercept(self) -> bool:
        """Return whether it has an intercept; thresholds of ordered categories take its place."""
        return self.name != "cumulative"


FAMILY: Final[Mapping[FamilyName, Family]] = {
    family.name: family
    for family in (
        Family("gaussian", "identity", "any number", "points", spread=True),
        Family("student_t", "identity", "any number", "points", spread=True, shapes=("nu",)),
        Family("censored", "identity", "a score between its bounds", "points", spread=True, bounds="needed"),
        Family(
            "ordered_beta",
            "logit",
            "a score between its bounds",
            "log-odds",
            shapes=("phi",),
            thresholds=True,
            bounds="needed",
        ),
        Family("cumulative", "logit", "an ordered category", "log-odds", thresholds=True, bounds="allowed"),
        Family("bernoulli", "logit", "0 or 1", "log-odds"),
        Family("hazard", "cloglog", "0 or 1", "log-hazard"),
        Family("binomial", "logit", "a number of successes, 0 to its trials", "log-odds", trials=True),
        Family("negative_binomial", "log", "a count, 0 or more", "log-counts", shapes=("shape",)),
    )
}

BINARY: Final[tuple[FamilyName, ...]] = ("bernoulli", "hazard")
"""Families of 0/1 outcomes."""

SHAPES: Final[Mapping[ShapeName, str]] = {
    "nu": "degrees of freedom of residuals: near 3 tails are heavy, above 30 hardly told from normal ones",
    "shape": "how even counts are: their variance is mean + mean^2 / shape",
    "phi": "how close scores between the bounds lie together: their variance is mean * (1 - mean) / (1 + phi)",
    "ar": "correlation of the residuals of a patient's successive session numbers",
    "error": "SD of one rater's rating around the true score",
}
"""Further parameters an outcome may have one of, and what they say: those of families, and those an equation states."""

FLOOR, BETWEEN, CEILING = "floor", "between", "ceiling"
"""Where a bounded score lies: at its lowest value, inside, or at its highest."""
