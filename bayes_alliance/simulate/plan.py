"""What is known of a study before outcomes are drawn: rows, predictors, and the design with numbers in their place."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bayes_alliance._messages import quote
from bayes_alliance.design.columns.group_means import outcomes_of_others
from bayes_alliance.design.columns.survival import SURVIVE
from bayes_alliance.design.design import Design, make_design
from bayes_alliance.design.equations.latent_columns import FollowMeasured
from bayes_alliance.errors import AllianceWarning, SpecError
from bayes_alliance.simulate.layout import Layout
from bayes_alliance.simulate.observation import Chance, draw_chance, with_known_errors
from bayes_alliance.spec.model import EquationSpec, ModelSpec
from bayes_alliance.study import Study
from bayes_alliance.table.sessions import SessionTable, read_sessions


@dataclass(frozen=True, eq=False)
class Plan:
    """Rows with numbers in place of outcomes, the design made from them, and how its variables are called.

    ``leaving`` are outcomes that are 1 at most once: a patient's rows after that are not at risk. ``chance`` is what
    comes between true outcomes and observed ones, where values are modelled.
    """

    frame: pd.DataFrame
    design: Design
    layout: Layout
    columns: Mapping[str, str]
    reference: Mapping[str, str]
    leaving: tuple[str, ...] = ()
    chance: Chance | None = None

    @property
    def names(self) -> dict[str, str]:
        """Return the column of every outcome."""
        return {outcome: self.columns.get(outcome, outcome) for outcome in self.design.spec.outcomes}

    @property
    def all_names(self) -> dict[str, str]:
        """Return the column of every outcome, rater and error."""
        spec = self.design.spec
        further = [name for e in spec.equation for name in (*e.raters, e.error) if isinstance(name, str)]
        return {name: self.columns.get(name, name) for name in (*spec.outcomes, *further)}


def plan_outcomes(
    rows: pd.DataFrame,
    spec: ModelSpec,
    layout: Layout,
    columns: Mapping[str, str],
    reference: Mapping[str, str],
    *,
    fix_errors: bool = False,
) -> Plan:
    """Make the design of rows whose outcomes are to be drawn.

    With ``fix_errors`` a reliability is the error it means for the numbers that stand in for outcomes, in all studies.
    """
    columns = {**columns, **{name: columns.get(name, name) for name in spec.outcomes if name in spec.variables}}
    _check_waves(spec, layout, columns)
    names = {outcome: columns.get(outcome, outcome) for outcome in spec.outcomes}
    frame = _stand_in(rows, spec, layout, names, columns)
    design = design_of(spec, table_of(frame, layout), layout, columns, reference)
    if fix_errors and any(equation.reliability is not None for equation in spec.equation):
        design = design_of(with_known_errors(spec, design), table_of(frame, layout), layout, columns, reference)
    _refuse_measured(design)
    _refuse_others(design)
    leaving = tuple(
        name for name in spec.outcomes if name in spec.variables and spec.declared[name].function == SURVIVE
    )
    return Plan(frame, design, layout, columns, reference, leaving)


def with_chance(plan: Plan, rng: np.random.Generator) -> Plan:
    """Return the plan with what chance does to observed values drawn, where any are modelled.

    Which values are missing is drawn once: studies of one plan have it in common.
    """
    if not any(equation.modelled for equation in plan.design.spec.equation):
        return plan
    missing = None if plan.chance is None else plan.chance.missing
    return replace(plan, chance=draw_chance(plan.frame, plan.design.spec, plan.layout, plan.all_names, rng, missing))


def design_of(
    spec: ModelSpec,
    table: SessionTable,
    layout: Layout,
    columns: Mapping[str, str],
    reference: Mapping[str, str],
) -> Design:
    """Return the design of a simulated table; the first arm is the reference unless another is stated."""
    given = dict(columns)
    if layout.arms and "condition" not in given and layout.name("condition") != "condition":
        given["condition"] = layout.name("condition")
    read = {name for equation in spec.equation for name in spec.variables_of(equation)}
    given = {name: column for name, column in given.items() if name != "condition" or "condition" in read}
    stated = reference_arm(layout) if "condition" in read else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AllianceWarning)
        return make_design(spec, Study(table, given, stated | dict(reference)))


def reference_arm(layout: Layout) -> dict[str, str]:
    """Return the first arm as the reference of the condition; nothing for a layout without arms."""
    return {"condition": next(iter(layout.arms))} if layout.arms else {}


def table_of(rows: pd.DataFrame, layout: Layout) -> SessionTable:
    """Return rows as a table, without messages."""
    bounds = {name: ends for name, ends in layout.bounds.items() if name in rows.columns}
    return replace(read_sessions(rows, layout.roles, bounds=bounds), messages=())


def _stand_in(
    rows: pd.DataFrame, spec: ModelSpec, layout: Layout, names: Mapping[str, str], columns: Mapping[str, str]
) -> pd.DataFrame:
    """Return the rows with numbers in place of outcomes, so that a design can be made before any is drawn."""
    patient = layout.name("patient")
    for number, equation in enumerate(spec.equation):
        rng = np.random.default_rng(number)
        unit = patient if equation.unit == "session" else layout.name(equation.unit)
        people = sorted(set(rows[unit]))
        drawn = dict(zip(people, rng.normal(size=len(people)), strict=True))
        if equation.kind.positive:
            drawn = {person: float(np.exp(value)) for person, value in drawn.items()}
        elif equation.kind.link != "identity" and equation.kind.bounds == "none":
            drawn = {person: float(i % 2) for i, person in enumerate(people)}
        values = rows[unit].map(drawn).to_numpy(float)
        if equation.unit == "session" and equation.kind.link == "identity":
            values = values + rng.normal(size=len(rows))
        rows = rows.assign(
            **{names[equation.outcome]: _between_bounds(equation, values, layout.bounds.get(names[equation.outcome]))}
        )
        for rater in equation.raters:
            apart = dict(zip(people, rng.normal(0.0, 0.5, size=len(people)), strict=True))
            rows = rows.assign(**{columns.get(rater, rater): values + rows[unit].map(apart).to_numpy(float)})
    return rows


def _between_bounds(equation: EquationSpec, values: np.ndarray, stated: tuple[float, float] | None) -> np.ndarray:
    """Return standard normal stand-ins on the scale of an outcome that has bounds: six SDs wide, where both are known.

    Raises
    ------
    SpecError
        If neither the equation nor the layout states them.
    """
    if equation.kind.bounds == "none":
        return values
    bounds = equation.bounds or stated
    if bounds is None:
        raise SpecError(
            f"Outcome {equation.outcome!r} has bounds (family {equation.family}): state them in the layout, such as "
            f"bounds = {{ {equation.outcome} = [1, 7] }}."
        )
    low, high = bounds
    ends = [bound for bound in bounds if np.isfinite(bound)]
    middle, spread = (ends[0], 1.0) if len(ends) == 1 else ((low + high) / 2, (high - low) / 6)
    placed = np.clip(middle + spread * values, low, high)
    return equation.kind.place(placed)


def _check_waves(spec: ModelSpec, layout: Layout, columns: Mapping[str, str]) -> None:
    """Refuse a model of sessions, or of values at sessions, for a layout without any."""
    if layout.sessions:
        return
    needs = [f"{name} = {text}" for name, text in spec.variables.items() if name not in columns]
    needs += [f"an equation of unit 'session' ({e.outcome})" for e in spec.equation if e.unit == "session"]
    if needs:
        raise SpecError(
            f"The layout has no sessions, and the model reads some: {'; '.join(needs)}. State the waves, such as "
            f"sessions = [2, 5, 9]."
        )


def _refuse_measured(design: Design) -> None:
    """Refuse latent means of variables that no equation draws."""
    for equation in design.equations:
        for mean, follow in equation.follows.items():
            if isinstance(follow, FollowMeasured):
                raise SpecError(
                    f"Outcome {equation.outcome!r} follows latent means of {mean.variable!r}, which has no equation; "
                    f"tables of such models are not simulated. Take observed means, give {mean.variable!r} an "
                    f"equation, or draw the table yourself."
                )


def _refuse_others(design: Design) -> None:
    """Refuse outcomes of a unit's members that read one another: none can be drawn first."""
    outcomes = outcomes_of_others(design.spec)
    if outcomes:
        raise SpecError(
            f"Outcome {quote(outcomes)} reads outcomes of the other patients through others(), who have to be drawn "
            f"first, and they read this one; tables of such models are not simulated."
        )
