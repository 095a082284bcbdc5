"""What is left of a design without its rows: enough to code new rows, and nothing of any patient.

The outline has names, levels of factors, constants, and of every predictor its mean and SD (its most frequent value,
where it is a level or 0/1). Levels of grouping factors are not in it: the draws name those whose effects they hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bayes_alliance.design.columns.terms import Columns
from bayes_alliance.design.columns.values import CallColumns, Hidden, StepsOf, Value
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.factors import FactorDesign, Strata
from bayes_alliance.design.equations.latent_columns import Follow, FollowSteps
from bayes_alliance.design.equations.predictor import Predictor
from bayes_alliance.design.equations.residual import ResidualDesign, Residuals
from bayes_alliance.design.equations.residual_sd import ResidualSD
from bayes_alliance.design.equations.series import Series
from bayes_alliance.design.equations.visits import VisitResiduals
from bayes_alliance.design.groups.groups import GroupDesign
from bayes_alliance.design.outline_records import (
    CallOutline,
    ColumnsOutline,
    DesignOutline,
    EquationOutline,
    FactorOutline,
    GroupOutline,
    PredictorOutline,
    ResidualOutline,
    ScaleOutline,
    StepsOutline,
    StrataOutline,
    VariableOutline,
    VisitsOutline,
)
from bayes_alliance.design.priors.priors import Priors
from bayes_alliance.design.related_variables import related_to
from bayes_alliance.outcome.scale import OutcomeScale
from bayes_alliance.spec.model import ModelSpec

ROWS = 3
"""Rows that stand for all: of numbers their mean and one SD to both sides."""


def outline_of(design: Design) -> DesignOutline:
    """Return the outline of a design that has its rows."""
    residual = design.residual
    return DesignOutline(
        residual=list(residual.outcomes) if isinstance(residual, ResidualDesign) else [],
        visits=VisitsOutline(outcome=residual.outcome, labels=list(residual.labels), by=list(residual.by))
        if isinstance(residual, VisitResiduals)
        else None,
        equations=[_equation(design, e) for e in design.equations],
        factors=[
            FactorOutline(
                factor=own.factor,
                effects=list(own.effects),
                places={name: list(places) for name, places in own.places.items()},
                by=None if own.by is None else StrataOutline(variable=own.by.variable, levels=list(own.by.levels)),
            )
            for own in design.factors
        ],
        columns=dict(design.columns),
        reference=dict(design.reference),
        roles=dict(design.roles),
    )


def _equation(design: Design, e: EquationDesign) -> EquationOutline:
    low, high = (None if not np.isfinite(bound) else float(bound) for bound in e.scale.bounds)
    steps = [
        StepsOutline(variable=key.variable, name=own.name, categories=list(own.categories))
        for part in e.linear_predictors
        for key, own in part.follows.items()
        if isinstance(own, FollowSteps) and key.lag is None
    ]
    predictors = [("", e.mean), *e.parameters.items()]
    ordered = {own.variable for own in steps}
    return EquationOutline(
        of=e.spec.outcome,
        outcome=e.outcome,
        offset=float(e.offset),
        scale=ScaleOutline(
            low=low,
            high=high,
            trials=e.scale.trials is not None,
            categories=list(e.scale.categories),
            thresholds=list(e.scale.thresholds),
        ),
        names=dict(e.names),
        constants={call: float(value) for call, value in e.constants.items()},
        knots={call: list(own) for call, own in e.knots.items()},
        residual_sds=[
            ResidualOutline(levels=[list(pair) for pair in own.levels], first=own.first) for own in e.residual_sds
        ],
        series=e.series is not None,
        variables={
            name: _variable(v, whole=name in ordered or name == e.spec.trials)
            for name, v in e.variables.items()
            if name not in e.spec.raters
        },
        related={name: list(found) for name in e.variables if (found := _related(design, e, name))},
        calls={
            text: CallOutline(
                label=own.label,
                pieces=[piece for piece, _ in own.pieces],
                means=[float(value.numbers.mean()) for _, value in own.pieces],
            )
            for text, own in e.calls.items()
        },
        steps=steps,
        predictors=[
            PredictorOutline(parameter=parameter, name=own.name, coef=_columns(own.coef), groups=_groups(own))
            for parameter, own in predictors
        ],
    )


def _related(design: Design, e: EquationDesign, name: str) -> tuple[str, ...]:
    if name in (e.spec.outcome, *e.spec.raters):
        return ()
    return tuple(other for other in related_to(design, name) if other in e.variables)


def _variable(variable: Variable, *, whole: bool) -> VariableOutline:
    """Return three values with the mean and SD of a number; the most frequent value of all others, and 0 and 1."""
    known = variable.values[~np.isnan(variable.values)]
    levels = None if variable.levels is None else list(variable.levels)
    distinct, count = np.unique(known, return_counts=True)
    frequent = float(distinct[count.argmax()]) if len(distinct) else 0.0
    if levels is not None or whole:
        return VariableOutline(label=variable.label, values=[frequent] * ROWS, levels=levels)
    if np.isin(known, (0.0, 1.0)).all():
        return VariableOutline(label=variable.label, values=[0.0, frequent, 1.0])
    mean, far = float(known.mean()), float(known.std()) * float(np.sqrt(1.5))
    return VariableOutline(label=variable.label, values=[mean - far, mean, mean + far])


def _columns(columns: Columns) -> ColumnsOutline:
    return ColumnsOutline(
        labels=list(columns.labels),
        terms=list(columns.terms),
        parts=[[list(one) for one in sorted(part)] for part in columns.parts],
        dynamic=list(columns.dynamic),
    )


def _groups(own: Predictor) -> list[GroupOutline]:
    return [
        GroupOutline(
            factor=group.factor,
            slot=group.slot,
            weighted=group.weight is not None,
            whole=bool(group.inside.all()),
            columns=_columns(group.columns),
        )
        for group in own.groups
    ]


def design_of_outline(outline: DesignOutline, spec: ModelSpec, levels: Mapping[str, Sequence[str]]) -> Design:
    """Return a design of three made rows that stand for those that were fitted: new rows can be coded by it.

    Parameters
    ----------
    outline : DesignOutline
        As stored with a fit.
    spec : ModelSpec
        The fit's.
    levels : mapping of str to sequence of str
        By grouping factor, those whose effects the draws hold; none are known of others.
    """
    known = {own.factor: tuple(map(str, levels.get(own.factor, ()))) for own in outline.factors}
    equations = tuple(_equation_of(own, spec, known) for own in outline.equations)
    factors = tuple(
        FactorDesign(
            own.factor,
            known[own.factor],
            tuple(own.effects),
            {name: tuple(places) for name, places in own.places.items()},
            (),
            None if own.by is None else _strata(own.by, len(known[own.factor])),
        )
        for own in outline.factors
    )
    nothing = Priors((), {}, {}, (), {}, {}, {}, {}, (), {})
    return Design(
        spec,
        equations,
        factors,
        _residuals(outline),
        (),
        nothing,
        (),
        outline.columns,
        outline.reference,
        (),
        "",
        outline.roles,
    )


def _residuals(outline: DesignOutline) -> Residuals | None:
    """Return whose residuals correlate, without rows."""
    if outline.visits is not None:
        own, none = outline.visits, np.zeros(0, dtype=np.int64)
        place = np.zeros((0, len(own.labels)), dtype=np.int64)
        return VisitResiduals(own.outcome, tuple(own.labels), place, none, none, none, tuple(own.by))
    return ResidualDesign(tuple(outline.residual), {}) if outline.residual else None


def _strata(own: StrataOutline, levels: int) -> Strata:
    return Strata(own.variable, tuple(own.levels), np.zeros(levels, dtype=np.int64))


def _equation_of(own: EquationOutline, spec: ModelSpec, levels: Mapping[str, tuple[str, ...]]) -> EquationDesign:
    stated = {e.outcome: e for e in spec.equation}[own.of]
    low, high = own.scale.low, own.scale.high
    scale = OutcomeScale(
        (-np.inf if low is None else low, np.inf if high is None else high),
        np.ones(ROWS) if own.scale.trials else None,
        tuple(own.scale.categories),
        tuple(own.scale.thresholds),
    )
    follows: dict[Hidden, Follow] = {
        StepsOf(one.variable, tuple(one.categories)): FollowSteps(
            one.name, tuple(one.categories), np.zeros(ROWS, dtype=np.int64), np.zeros(ROWS)
        )
        for one in own.steps
    }
    parts = {part.parameter: part for part in own.predictors}
    made = {
        parameter: Predictor(
            part.name,
            stated.mean if not parameter else stated.parameters[parameter],
            _columns_of(part.coef),
            np.zeros(len(part.coef.labels)),
            tuple(_group_of(group, levels[group.factor]) for group in part.groups),
            {} if parameter else follows,
        )
        for parameter, part in parts.items()
    }
    none = np.zeros(ROWS, dtype=np.int64)
    return EquationDesign(
        spec=stated,
        outcome=own.outcome,
        y=np.zeros(ROWS),
        mean=made.pop(""),
        residual_sds=tuple(_residual_sd(own.outcome, sd) for sd in own.residual_sds),
        sigma_code=none,
        arms=None,
        row=np.arange(ROWS),
        patient=np.array([f"{row}" for row in range(ROWS)], dtype=object),
        session=np.full(ROWS, np.nan),
        variables={
            name: Variable(name, v.label, np.array(v.values), None if v.levels is None else tuple(v.levels))
            for name, v in own.variables.items()
        },
        names=own.names,
        rows_read=ROWS,
        ledger={},
        parameters=made,
        offset=own.offset,
        scale=scale,
        series=Series(none, none, ()) if own.series else None,
        constants=own.constants,
        knots={call: tuple(found) for call, found in own.knots.items()},
        calls={
            text: CallColumns(
                call.label,
                tuple((piece, Value(np.full(ROWS, mean))) for piece, mean in zip(call.pieces, call.means, strict=True)),
            )
            for text, call in own.calls.items()
        },
        outlined=own.related,
    )


def _residual_sd(outcome: str, own: ResidualOutline) -> ResidualSD:
    return ResidualSD(outcome, tuple((column, level) for column, level in own.levels), own.first)


def _columns_of(own: ColumnsOutline) -> Columns:
    none: tuple[dict[Any, np.ndarray], ...] = tuple({} for _ in own.labels)
    parts = tuple(frozenset((one, piece) for one, piece in part) for part in own.parts)
    return Columns(
        tuple(own.labels), tuple(own.terms), np.zeros((ROWS, len(own.labels))), parts, none, tuple(own.dynamic)
    )


def _group_of(own: GroupOutline, levels: tuple[str, ...]) -> GroupDesign:
    code = np.zeros(ROWS, dtype=np.int64)
    inside = np.full(ROWS, own.whole)
    weight = np.ones(ROWS) if own.weighted else None
    return GroupDesign(own.factor, levels, code, _columns_of(own.columns), inside, (), slot=own.slot, weight=weight)
