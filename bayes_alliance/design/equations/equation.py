"""The record of one equation over its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bayes_alliance.design.columns.arms import Arms
from bayes_alliance.design.columns.terms import Columns
from bayes_alliance.design.columns.values import CallColumns, Hidden
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.equations.latent_columns import Follow
from bayes_alliance.design.equations.missing import Gap
from bayes_alliance.design.equations.modelled_values import ModelledRows
from bayes_alliance.design.equations.predictor import Predictor
from bayes_alliance.design.equations.residual_sd import ResidualSD
from bayes_alliance.design.equations.series import Series
from bayes_alliance.design.groups.groups import GroupDesign
from bayes_alliance.names import coef_label
from bayes_alliance.outcome.contract import Outcome
from bayes_alliance.outcome.families import FamilyName
from bayes_alliance.outcome.scale import OutcomeScale
from bayes_alliance.spec.model import EquationSpec


@dataclass(frozen=True, eq=False)
class EquationDesign:
    """One equation over its rows: an outcome given its linear predictors.

    ``outcome`` is the study's name of the outcome; ``y`` has shape (obs,). ``mean`` is the linear predictor of its
    mean; ``parameters`` are those of the family's parameters that have a formula. ``sigma_code`` points into
    ``residual_sds``, where these have no formula. ``row`` is each row's position in the session table,
    ``patient`` its patient (the therapist, group or site where a row is one), ``session`` its session number (NaN at
    wider units). ``names`` says how the study calls each variable. ``ledger`` counts rows left out by reason and, with
    the rows used, adds up to ``rows_read``; ``gaps`` counts missing values by variable. ``offset`` is the constant that
    was taken from the outcome, ``scale`` says what values it can have. ``modelled`` are the rows whose outcome is a
    parameter; ``y`` has a stand-in where it is missing. ``series`` says which row each one's residual follows, where
    these correlate over sessions. ``constants`` are the means that calls of centred() took away, by call, ``knots``
    those of splines; ``calls`` the columns of calls that read other rows, such as ``within(x, patient)``, by call.
    ``outlined`` is set where rows are made ones that stand for those that were fitted: which predictors cannot be set
    apart from each, by name.
    """

    spec: EquationSpec
    outcome: str
    y: np.ndarray
    mean: Predictor
    residual_sds: tuple[ResidualSD, ...]
    sigma_code: np.ndarray
    arms: Arms | None
    row: np.ndarray
    patient: np.ndarray
    session: np.ndarray
    variables: Mapping[str, Variable]
    names: Mapping[str, str]
    rows_read: int
    ledger: Mapping[str, int]
    parameters: Mapping[str, Predictor] = field(default_factory=dict)
    offset: float = 0.0
    scale: OutcomeScale = field(default_factory=OutcomeScale)
    modelled: ModelledRows | None = None
    series: Series | None = None
    gaps: tuple[Gap, ...] = ()
    constants: Mapping[str, float] = field(default_factory=dict)
    knots: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    calls: Mapping[str, CallColumns] = field(default_factory=dict)
    outlined: Mapping[str, Sequence[str]] | None = None

    @property
    def linear_predictors(self) -> tuple[Predictor, ...]:
        """Return the linear predictor of the mean, then those of parameters."""
        return (self.mean, *self.parameters.values())

    @property
    def coef(self) -> Columns:
        """Return the coded population columns of the mean, shape (obs, coef)."""
        return self.mean.coef

    @property
    def centre(self) -> np.ndarray:
        """Return the centring constants of the mean's columns, shape (coef,)."""
        return self.mean.centre

    @property
    def groups(self) -> tuple[GroupDesign, ...]:
        """Return the group effects on the mean."""
        return self.mean.groups

    @property
    def follows(self) -> Mapping[Hidden, Follow]:
        """Return where what is estimated comes from that columns of the mean follow."""
        return self.mean.follows

    @property
    def coef_labels(self) -> tuple[str, ...]:
        """Return the mean's part of the coord of ``b``: outcome and term in the study's names."""
        return self.mean.coef_labels

    def effect_labels(self, group: GroupDesign) -> tuple[str, ...]:
        """Return the mean's part of the coord of a factor's group effects."""
        return self.mean.effect_labels(group)

    @property
    def sigma_coef(self) -> tuple[str, ...]:
        """Return the equation's part of the coord of ``sigma``."""
        return tuple(own.label for own in self.residual_sds)

    @property
    def threshold_labels(self) -> tuple[str, ...]:
        """Return the equation's part of the coord of ``threshold``."""
        return tuple(coef_label(self.outcome, label) for label in self.scale.thresholds)

    @property
    def seen(self) -> np.ndarray:
        """Return which rows have an observed outcome, shape (obs,)."""
        return np.ones(len(self.y), dtype=bool) if self.modelled is None else self.modelled.seen

    @property
    def serial(self) -> bool:
        """Return whether residuals of a patient's sessions correlate."""
        return self.spec.residuals != "independent"

    @property
    def shapes(self) -> tuple[str, ...]:
        """Return the further parameters the outcome has one of."""
        return self.spec.shapes

    @property
    def family(self) -> FamilyName:
        """Return the name of the family."""
        return self.spec.family

    @property
    def kind(self) -> Outcome:
        """Return the family of the outcome."""
        return self.spec.kind

    def with_mean(self, **changes: Any) -> EquationDesign:
        """Return the equation with parts of the mean's linear predictor replaced."""
        return replace(self, mean=replace(self.mean, **changes))

    def with_predictors(self, by_name: Mapping[str, Predictor]) -> EquationDesign:
        """Return the equation with linear predictors replaced by those of the same name."""
        parameters = {parameter: by_name.get(own.name, own) for parameter, own in self.parameters.items()}
        return replace(self, mean=by_name.get(self.mean.name, self.mean), parameters=parameters)


def subset_variable(variable: Variable, keep: np.ndarray) -> Variable:
    """Return a variable over some of its rows."""
    return replace(variable, values=variable.values[keep])
