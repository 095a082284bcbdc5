"""What an outcome can be: the families, their links, and the parameters they have beside the linear predictor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

type FamilyName = Literal["gaussian", "student_t", "bernoulli", "negative_binomial"]
type Link = Literal["identity", "logit", "log"]
type ShapeName = Literal["nu", "shape"]


@dataclass(frozen=True)
class Family:
    """A family of outcomes.

    ``spread`` says whether it has residual SDs (``sigma``), ``shapes`` which further parameters every equation of it
    has one of. ``values`` says in words what an outcome may be, ``unit`` what coefficients are in.
    """

    name: FamilyName
    link: Link
    spread: bool
    shapes: tuple[ShapeName, ...]
    values: str
    unit: str

    @property
    def measure(self) -> str:
        """Return what its rows have: a density, or a probability. These do not compare."""
        return "density" if self.spread else "probability"


FAMILY: Final[Mapping[FamilyName, Family]] = {
    family.name: family
    for family in (
        Family("gaussian", "identity", True, (), "any number", "points"),
        Family("student_t", "identity", True, ("nu",), "any number", "points"),
        Family("bernoulli", "logit", False, (), "0 or 1", "log-odds"),
        Family("negative_binomial", "log", False, ("shape",), "a count, 0 or more", "log-counts"),
    )
}

SHAPES: Final[Mapping[ShapeName, str]] = {
    "nu": "degrees of freedom of residuals: near 3 tails are heavy, above 30 hardly told from normal ones",
    "shape": "how even counts are: their variance is mean + mean^2 / shape",
}
"""Further parameters, and what they say."""
