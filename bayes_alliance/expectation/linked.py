"""What an equation reads of another one's linear predictor where variables are set: value(), slope(), effect()."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from bayes_alliance.design.columns.linked_predictors import linked_key
from bayes_alliance.design.columns.terms import Columns
from bayes_alliance.design.columns.values import LinkedTo
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.latent_columns import FollowModelled
from bayes_alliance.design.equations.linked_predictors import STEP
from bayes_alliance.design.groups.groups import GroupDesign
from bayes_alliance.expectation.new_data import Moved, MovedGroup
from bayes_alliance.expectation.set_calls import parts_of
from bayes_alliance.names import clock_of
from bayes_alliance.spec.expressions import Call, render
from bayes_alliance.spec.functions import CURRENT

type EffectsOfRows = Callable[[MovedGroup, np.ndarray], np.ndarray]
type Setter = Callable[[EquationDesign], dict[str, Variable]]
type Mover = Callable[[EquationDesign, dict[str, Variable]], Moved]


def linked_calls(equation: EquationDesign) -> dict[str, LinkedTo]:
    """Return what an equation's formulas read of other equations' linear predictors, by the text of the call."""
    calls = [part for part in parts_of(equation) if isinstance(part, Call) and part.function in CURRENT]
    return {render(call): linked_key(call) for call in calls}


@dataclass(frozen=True, eq=False)
class Linked:
    """What rows read of another equation, with variables set.

    ``sides`` are the rows that are read: in their session, for a slope a little before and after it, for an effect in
    two sessions. They count what does not depend on earlier sessions or deviations, as the model does.
    """

    key: LinkedTo
    sides: tuple[Moved, ...]

    @property
    def groups(self) -> tuple[MovedGroup, ...]:
        """Return which units the rows that are read belong to."""
        return self.sides[0].groups(unclear="observed")

    def values(self, flat: xr.Dataset, effects_of_rows: EffectsOfRows, added: frozenset[str]) -> np.ndarray:
        """Return what is read, shape (draw, obs).

        Parameters
        ----------
        flat : Dataset over (sample, …)
            From ``stack_draws``.
        effects_of_rows : callable
            Returns the effects of the rows' units, shape (draw, row, effect).
        added : frozenset of str
            Factors whose effects add to it.
        """
        still = ~np.array(self.sides[0].coef.dynamic, dtype=bool)
        if self.key.kind == "effect":
            total = np.zeros((flat.sizes["sample"], len(self.sides[0].equation.y)))
        else:
            total = self._between([side.linear(flat, columns=still) for side in self.sides])
        every = np.arange(total.shape[1])
        for place, own in enumerate(self.groups):
            if own.group.factor not in added:
                continue
            weights = self._weights(place, own)
            if weights.any():
                total = total + np.einsum("soe,oe->so", effects_of_rows(own, every), weights)
        return np.asarray(total)

    def _weights(self, place: int, own: MovedGroup) -> np.ndarray:
        """Return what the effects of a factor are multiplied by, shape (obs, effect)."""
        columns = own.group.columns
        if self.key.kind == "effect":
            named = zip(columns.labels, columns.terms, strict=True)
            called = np.array([self.key.effect in names for names in named], dtype=float)
            # whether a row is in a unit is seen in one of two sessions: in one a covariate may be 0
            inside = np.any([side.groups(unclear="observed")[place].inside for side in self.sides], axis=0)
            weight = np.where(inside, own.share, 0.0)
            return np.asarray(weight[:, None] * called * (own.group.factor == self.key.factor))
        values = self._between([side.groups(unclear="observed")[place].values for side in self.sides])
        return np.asarray(values * ~np.array(columns.dynamic, dtype=bool))

    def _between(self, sides: list[np.ndarray]) -> np.ndarray:
        return sides[0] if len(sides) == 1 else np.asarray((sides[1] - sides[0]) / (2 * STEP))


def make_linked(
    reader: EquationDesign, source: EquationDesign, key: LinkedTo, setting: Setter, moving: Mover
) -> Linked:
    """Return what an equation's rows read of another one.

    Parameters
    ----------
    reader, source : EquationDesign
        The equation that reads and the one that is read: over the same rows where these are new.
    key : LinkedTo
        What is read.
    setting : callable
        Returns the variables that are set in some rows of the source.
    moving : callable
        Returns rows of the source with variables set.
    """
    rows = _rows_read(reader, source, key)
    found = setting(rows)
    clock = clock_of(rows.variables)
    if clock not in rows.variables:
        return Linked(key, (moving(rows, found),))
    now = found.get(clock, rows.variables[clock])
    if key.session is not None:
        now = replace(now, values=np.full(len(rows.y), key.session))
    if key.kind != "value":
        steps = (-STEP, STEP) if key.kind == "slope" else (0.0, 1.0)
        sides = [found | {clock: replace(now, values=now.values + step)} for step in steps]
        return Linked(key, tuple(moving(rows, side) for side in sides))
    return Linked(key, (moving(rows, found if key.session is None else found | {clock: now}),))


def _rows_read(reader: EquationDesign, source: EquationDesign, key: LinkedTo) -> EquationDesign:
    """Return the equation that is read, over the rows that read it."""
    follow = reader.follows.get(key)
    if not isinstance(follow, FollowModelled) or follow.read is None:  # new rows: they are those of both
        return source
    read, size = follow.read, len(follow.read.session)
    groups = tuple(_group(group, *read.groups[group.factor]) for group in source.groups)
    mean = replace(source.mean, coef=_columns(source.coef, read.coef), groups=groups, follows={})
    return replace(
        source,
        y=np.zeros(size),
        mean=mean,
        parameters={},
        residual_sds=(),
        sigma_code=np.zeros(size, dtype=np.int64),
        arms=None,
        row=reader.row,
        patient=reader.patient,
        session=read.session,
        variables=read.variables,
        modelled=None,
        series=None,
        calls=read.calls,
    )


def _columns(columns: Columns, values: np.ndarray) -> Columns:
    return replace(columns, values=values, latent=tuple({} for _ in columns.labels))


def _group(group: GroupDesign, units: np.ndarray, values: np.ndarray) -> GroupDesign:
    inside = (units >= 0) & (values != 0).any(axis=1)
    return replace(
        group,
        code=np.where(inside, units, 0),
        columns=_columns(group.columns, np.where(inside[:, None], values, 0.0)),
        inside=inside,
        ids=units,
    )
