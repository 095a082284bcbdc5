"""Parts of a model beside its equations, frozen records of a file: grouping factors, residuals, the course."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

Bound = Annotated[float, Field(allow_inf_nan=True)]
Between = Annotated[float, Field(gt=-1, lt=1)]
Stated = Annotated[
    Annotated[Between, Tag("number")] | Annotated[dict[str, Between], Tag("pairs")],
    Discriminator(lambda value: "pairs" if isinstance(value, dict) else "number"),
]
Words = Annotated[tuple[str, ...], Field(strict=False)]


class Record(BaseModel):
    """Base of what files hold: frozen, no unknown keys, no silent conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class GroupSpec(Record):
    """What holds for a grouping factor.

    May the study lack it, may rows lack an id, the linear predictors (``score``, ``sigma(score)``) whose effects
    ``correlate`` with each other, and the
    variable ``by`` whose levels have SDs and correlations of their own (each level of the factor in one of them).
    ``members`` names the factor and further columns of its ids where a row belongs to several levels; ``weights`` the
    variables that say by how much, alike where there are none.
    """

    optional: bool = False
    missing: Literal["error", "none"] = "error"
    correlate: Words = ()
    by: str | None = None
    members: Words = ()
    weights: Words = ()


class ResidualSpec(Record):
    """Residuals that correlate: those of outcomes in the same row, or those of a patient's visits.

    ``correlate`` names the outcomes; it is empty where an equation says ``residuals = "unstructured"``. ``by`` names a
    variable whose levels have correlations of their own, and between visits SDs of their own; ``fixed`` states the
    correlation of outcomes instead of estimating it, for what the data cannot tell: one number for two outcomes, or
    one per pair, ``{"m | y" = 0.2}``, where a pair that is not named has 0.
    """

    correlate: Words = ()
    by: str | None = None
    fixed: Stated | None = None

    @property
    def pairs(self) -> dict[tuple[str, ...], float]:
        """Return the stated correlations by pair of names, as they are written."""
        if isinstance(self.fixed, dict):
            return {pair_of(pair): value for pair, value in self.fixed.items()}
        return {} if self.fixed is None else {self.correlate: self.fixed}


def pair_of(text: str) -> tuple[str, ...]:
    """Return the names in ``m | y``."""
    return tuple(part.strip() for part in text.split("|"))


class CourseSpec(Record):
    """The form of ``time`` that was chosen for a model, and the estimands of one slope that a curve leaves unasked."""

    form: str = Field(min_length=1)
    unasked: Words = ()
