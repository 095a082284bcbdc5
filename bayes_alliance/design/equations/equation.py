"""The record of one equation over its rows, and of the equation of its log residual SD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bayes_alliance.design.columns.arms import Arms
from bayes_alliance.design.columns.terms import Columns
from bayes_alliance.design.columns.values import Hidden
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.equations.latent_columns import Follow
from bayes_alliance.design.equations.missing import Gap
from bayes_alliance.design.equations.modelled_values import ModelledRows
from bayes_alliance.design.equations.series import Series
from bayes_alliance.design.groups.groups import GroupDesign
from bayes_alliance.names import coef_label
from bayes_alliance.outcome.contract import Outcome
from bayes_alliance.outcome.families import FamilyName
from bayes_alliance.outcome.scale import OutcomeScale
from bayes_alliance.spec.model import EquationSpec


@dataclass(frozen=True, eq=False)
class EquationDesign:
    """One equation over its rows.

    ``outcome`` is the study's name of the outcome; ``y`` has shape (obs,); ``coef`` holds the coded population
    columns, shape (obs, coef); ``centre`` their centring constants, shape (coef,), 0 for the intercept;
    ``sigma_code`` points into ``sigma_coef``. ``row`` is each row's position in the session table, ``patient`` its
    patient (the therapist, group or site where a row is one), ``session`` its session number (NaN at wider units).
    ``names`` says how the study calls each variable. ``ledger`` counts rows left out by reason and, with the rows used,
    adds up to ``rows_read``; ``gaps`` counts missing values by variable. ``offset`` is the constant that was taken from
    the outcome, ``scale`` says what values it can have. ``follows`` says where what is estimated comes from that
    columns follow. ``modelled`` are the rows whose outcome is a parameter; ``y`` has something plugged in where it is
    missing. ``series`` says which row each one's residual follows, where these correlate over sessions. ``spread`` is
    the equation of the log residual SD over the same rows, where that is a formula: its outcome is called
    ``sigma(<outcome>)``, its ``y`` is 0, and ``log_spread`` says that it is one.
    """

    spec: EquationSpec
    outcome: str
    y: np.ndarray
    coef: Columns
    centre: np.ndarray
    groups: tuple[GroupDesign, ...]
    sigma_coef: tuple[str, ...]
    sigma_code: np.ndarray
    arms: Arms | None
    row: np.ndarray
    patient: np.ndarray
    session: np.ndarray
    variables: Mapping[str, Variable]
    names: Mapping[str, str]
    rows_read: int
    ledger: Mapping[str, int]
    offset: float = 0.0
    scale: OutcomeScale = field(default_factory=OutcomeScale)
    follows: Mapping[Hidden, Follow] = field(default_factory=dict)
    modelled: ModelledRows | None = None
    series: Series | None = None
    gaps: tuple[Gap, ...] = ()
    spread: EquationDesign | None = None
    log_spread: bool = False

    @property
    def coef_labels(self) -> tuple[str, ...]:
        """Return the equation's part of the coord of ``b``: outcome and term in the study's names."""
        return tuple(coef_label(self.outcome, label) for label in self.coef.labels)

    @property
    def threshold_labels(self) -> tuple[str, ...]:
        """Return the equation's part of the coord of ``threshold``."""
        return tuple(coef_label(self.outcome, label) for label in self.scale.thresholds)

    def effect_labels(self, group: GroupDesign) -> tuple[str, ...]:
        """Return the equation's part of the coord of a factor's group effects."""
        return tuple(coef_label(self.outcome, effect) for effect in group.effects)

    @property
    def seen(self) -> np.ndarray:
        """Return which rows have an observed outcome, shape (obs,)."""
        return np.ones(len(self.y), dtype=bool) if self.modelled is None else self.modelled.seen

    @property
    def shapes(self) -> tuple[str, ...]:
        """Return the further parameters the outcome has one of."""
        return () if self.log_spread else self.spec.shapes

    @property
    def family(self) -> FamilyName:
        """Return the name of the family."""
        return self.spec.family

    @property
    def kind(self) -> Outcome:
        """Return the family of the outcome."""
        return self.spec.kind


def with_spreads(equations: Sequence[EquationDesign]) -> tuple[EquationDesign, ...]:
    """Return every equation, each followed by that of its log residual SD where it has one."""
    return tuple(part for equation in equations for part in (equation, equation.spread) if part is not None)


def join_spreads(parts: Sequence[EquationDesign]) -> tuple[EquationDesign, ...]:
    """Return equations that hold those of their log residual SDs, which follow them in ``parts``."""
    own = {part.outcome: part for part in parts}
    return tuple(
        equation if equation.spread is None else replace(equation, spread=own[equation.spread.outcome])
        for equation in parts
        if not equation.log_spread
    )


def subset_variable(variable: Variable, keep: np.ndarray) -> Variable:
    """Return a variable over some of its rows."""
    return replace(variable, values=variable.values[keep])
