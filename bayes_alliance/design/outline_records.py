"""Records of what is left of a design without its rows, as they are stored with a fit."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class VariableOutline(_Record):
    """A predictor: ``values`` are three that have its mean and SD; positions in ``levels`` of a factor."""

    label: str
    values: list[float]
    levels: list[str] | None = None


class ColumnsOutline(_Record):
    """Coded columns without values."""

    labels: list[str]
    terms: list[str]
    parts: list[list[list[str]]]
    dynamic: list[bool]


class GroupOutline(_Record):
    """Effects of a factor on a linear predictor; ``whole`` says that every row that was fitted is in a unit."""

    factor: str
    slot: int
    weighted: bool
    whole: bool
    columns: ColumnsOutline


class PredictorOutline(_Record):
    """A linear predictor: of the mean (an empty ``parameter``), or of a parameter."""

    parameter: str
    name: str
    coef: ColumnsOutline
    groups: list[GroupOutline]


class StepsOutline(_Record):
    """An ordered predictor whose steps are estimated."""

    variable: str
    name: str
    categories: list[str]


class CallOutline(_Record):
    """A call that reads other rows: its label, what its columns are called, and their means."""

    label: str
    pieces: list[str]
    means: list[float]


class ScaleOutline(_Record):
    """The values an outcome can have."""

    low: float | None
    high: float | None
    trials: bool
    categories: list[str]
    thresholds: list[str]


class ResidualOutline(_Record):
    """One of the residual SDs."""

    levels: list[list[str]]
    first: bool


class EquationOutline(_Record):
    """An equation without its rows; ``related`` are the predictors that go with each, by name.

    ``of`` is the model's name of the outcome.
    """

    of: str
    outcome: str
    offset: float
    scale: ScaleOutline
    names: dict[str, str]
    constants: dict[str, float]
    knots: dict[str, list[float]]
    residual_sds: list[ResidualOutline]
    series: bool
    variables: dict[str, VariableOutline]
    related: dict[str, list[str]]
    calls: dict[str, CallOutline]
    steps: list[StepsOutline]
    predictors: list[PredictorOutline]


class StrataOutline(_Record):
    """Levels of a variable that have covariances of their own."""

    variable: str
    levels: list[str]


class FactorOutline(_Record):
    """A grouping factor without its levels."""

    factor: str
    effects: list[str]
    places: dict[str, list[int]]
    by: StrataOutline | None = None


class VisitsOutline(_Record):
    """Visits whose residuals have a covariance of their own, without their rows."""

    outcome: str
    labels: list[str]
    by: list[str]


class DesignOutline(_Record):
    """A design without its rows; ``residual`` are the outcomes whose residuals correlate within a row."""

    residual: list[str]
    visits: VisitsOutline | None = None
    equations: list[EquationOutline]
    factors: list[FactorOutline]
    columns: dict[str, str]
    reference: dict[str, str]
    roles: dict[str, str]
