"""The record of a linear predictor: population columns and group effects, of a mean or of a parameter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from bayes_alliance.design.columns.terms import Columns
from bayes_alliance.design.columns.values import Hidden
from bayes_alliance.design.equations.latent_columns import Follow
from bayes_alliance.design.groups.groups import GroupDesign
from bayes_alliance.names import INTERCEPT, coef_label
from bayes_alliance.spec.model import PredictorSpec


@dataclass(frozen=True, eq=False)
class Predictor:
    """A linear predictor over the rows of an equation: of the outcome's mean, or of a parameter of its family.

    ``name`` is what its labels begin with: the study's name of the outcome, or ``sigma(<outcome>)`` and the like.
    ``coef`` holds the coded population columns, shape (obs, coef). ``centre`` are their centring constants, shape
    (coef,), 0 for the intercept. ``follows`` says where what is estimated comes from that columns follow.
    """

    name: str
    spec: PredictorSpec
    coef: Columns
    centre: np.ndarray
    groups: tuple[GroupDesign, ...]
    follows: Mapping[Hidden, Follow] = field(default_factory=dict)

    @property
    def of_mean(self) -> bool:
        """Return whether it is that of the outcome's mean."""
        return self.spec.of_mean

    @property
    def coef_labels(self) -> tuple[str, ...]:
        """Return its part of the coord of ``b``: name and term in the study's names."""
        return tuple(coef_label(self.name, label) for label in self.coef.labels)

    def effect_labels(self, group: GroupDesign) -> tuple[str, ...]:
        """Return its part of the coord of a factor's group effects."""
        return tuple(coef_label(self.name, effect) for effect in group.effects)


def centring_constants(coef: Columns) -> np.ndarray:
    """Return the means of population columns, 0 for the intercept, shape (coef,)."""
    return np.where([label == INTERCEPT for label in coef.labels], 0.0, coef.values.mean(axis=0))
