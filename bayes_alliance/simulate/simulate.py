"""The verb: spec × layout × truth to a table with the truth attached."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
import pandas as pd
import xarray as xr
from pydantic import ValidationError

from bayes_alliance.design.design import Design, make_design
from bayes_alliance.design.equation import EquationDesign
from bayes_alliance.errors import AllianceWarning, SpecError
from bayes_alliance.simulate.covariates import check_variables, draw_variables
from bayes_alliance.simulate.layout import Layout, VariableSpec, impossible, make_layout, sentence
from bayes_alliance.simulate.outcome import draw_effects, draw_noise, realise
from bayes_alliance.simulate.people import lay_out
from bayes_alliance.simulate.truth import check_truth, truth_names
from bayes_alliance.spec.expressions import render_term
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.order import find_cycle, sort_outcomes
from bayes_alliance.spec.reading import needed_variables, values_in
from bayes_alliance.table.sessions import SessionTable, read_sessions

type VariableSpecs = Mapping[str, VariableSpec | Mapping[str, object]]


@dataclass(frozen=True, eq=False, repr=False)
class SimulatedTable(SessionTable):
    """A SYNTHETIC session table and the truth it came from.

    ``truth`` is named as ``summarize`` names parameters; ``effects`` holds the group effects that were drawn, one
    Dataset per outcome; ``seed`` gives the same table again; ``reference`` is what the condition is compared with, and
    ``condition`` its column.
    """

    truth: Mapping[str, float] = field(default_factory=dict)
    effects: Mapping[str, xr.Dataset] = field(default_factory=dict)
    seed: int = 0
    reference: Mapping[str, str] = field(default_factory=dict)
    condition: str = "condition"


def simulate_sessions(
    spec: ModelSpec,
    layout: Layout | Mapping[str, object],
    *,
    truth: Mapping[str, float],
    seed: int,
    variables: VariableSpecs | None = None,
    columns: Mapping[str, str] | None = None,
    reference: Mapping[str, str] | None = None,
) -> SimulatedTable:
    """Simulate a study of a model with known truth.

    Parameters
    ----------
    spec : ModelSpec
        The model the outcomes come from.
    layout : Layout or mapping
        Patients, sessions, arms, therapists, groups; see ``Layout``.
    truth : mapping of str to float
        Every parameter by its name in summaries, such as ``b[outcome, session]``, ``sd_patient[outcome, Intercept]``,
        ``cor_patient[outcome, Intercept | outcome, session]`` and ``sigma[outcome]``.
    seed : int
        The same seed gives the same table.
    variables : mapping of str to VariableSpec or mapping
        Predictors to draw, by column; see ``VariableSpec``.
    columns : mapping of str to str
        Model variable to column; the columns of outcomes are made.
    reference : mapping of str to str
        Factor to reference level; for the condition the layout's first arm unless stated.

    Returns
    -------
    SimulatedTable
        Labelled synthetic in its messages.

    Raises
    ------
    SpecError
        For an impossible layout, and for a truth with unknown or missing parameters (the template is printed).
    DesignError
        If the layout or the variables do not give the model what it reads.
    """
    layout = _layout(layout)
    drawn = check_specs(variables or {}, layout)
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    rows = draw_variables(lay_out(layout, rng), drawn, layout, rng)
    rows, effects = add_outcomes(rows, spec, layout, truth, columns or {}, reference or {}, rng)
    message = f"SYNTHETIC: simulated from a stated truth, seed {seed}."
    of_outcomes = {outcome_column(outcome, columns or {}): effects for outcome in spec.outcomes}
    made = finish(rows, layout, (message,), truth, of_outcomes, seed)
    return replace(made, reference=MappingProxyType({**made.reference, **(reference or {})}))


def check_specs(variables: VariableSpecs, layout: Layout) -> dict[str, VariableSpec]:
    """Return the variables as records, reporting every problem at once."""
    problems: list[str] = []
    specs: dict[str, VariableSpec] = {}
    for name, content in variables.items():
        try:
            specs[name] = content if isinstance(content, VariableSpec) else VariableSpec.model_validate(dict(content))
        except ValidationError as error:
            valid = tuple(VariableSpec.model_fields)
            problems += [sentence(f"variables.{name}", detail, valid) for detail in error.errors()]
    problems += check_variables(specs, layout)
    if problems:
        raise SpecError(problems)
    return specs


def add_outcomes(
    rows: pd.DataFrame,
    spec: ModelSpec,
    layout: Layout,
    truth: Mapping[str, float],
    columns: Mapping[str, str],
    reference: Mapping[str, str],
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, xr.Dataset]:
    """Return the rows with the model's outcomes as columns, NaN where a predictor is missing; and the effects.

    Group effects and noise are drawn for all equations at once, outcomes one after the other, each from those that
    predict it. A declared outcome is drawn as a column of its own name.
    """
    plan = plan_outcomes(rows, spec, layout, columns, reference)
    check_truth(truth, truth_names(plan.design))
    effects = draw_effects(plan.design, truth, rng)
    noise = draw_noise(plan.design, truth, rng)
    return realise_outcomes(plan, lambda equation: truth, effects, noise), effects


@dataclass(frozen=True, eq=False)
class Plan:
    """Rows with numbers in place of outcomes, the design made from them, and how its variables are called."""

    frame: pd.DataFrame
    design: Design
    layout: Layout
    columns: Mapping[str, str]
    reference: Mapping[str, str]

    @property
    def names(self) -> dict[str, str]:
        """Return the column of every outcome."""
        return {outcome: self.columns.get(outcome, outcome) for outcome in self.design.spec.outcomes}


def plan_outcomes(
    rows: pd.DataFrame, spec: ModelSpec, layout: Layout, columns: Mapping[str, str], reference: Mapping[str, str]
) -> Plan:
    """Make the design of rows whose outcomes are to be drawn."""
    columns = {**columns, **{name: columns.get(name, name) for name in spec.outcomes if name in spec.variables}}
    _check_waves(spec, layout, columns)
    names = {outcome: columns.get(outcome, outcome) for outcome in spec.outcomes}
    frame = _stand_in(rows, spec, layout, names)
    design = design_of(spec, table_of(frame, layout), layout, columns, reference)
    _refuse_latent(design)
    return Plan(frame, design, layout, columns, reference)


def realise_outcomes(
    plan: Plan,
    truth_of: Callable[[EquationDesign], Mapping[str, float]],
    effects: xr.Dataset,
    noise: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    """Return the rows with outcomes drawn one after the other, each from those that predict it."""
    frame, layout, names = plan.frame, plan.layout, plan.names
    for outcome in sort_outcomes(plan.design.spec, lags=True):
        planned = plan.design.find(outcome)
        alone = _alone(plan.design.spec, outcome)
        read = {*needed_variables(alone), *alone.factors}
        given = (plan.columns, plan.reference)
        own = [{name: what for name, what in part.items() if name in read} for part in given]
        table = table_of(frame, layout)
        equation = design_of(alone, table, layout, *own).equation
        place = np.searchsorted(planned.row, equation.row)
        values = np.full(len(table), np.nan)
        drawn = realise(equation, truth_of(equation), effects, noise[planned.outcome][place])
        values[equation.row] = drawn + equation.offset
        frame = table.frame.assign(**{names[outcome]: values})
        if equation.spec.unit == "patient":
            frame[names[outcome]] = frame.groupby(layout.name("patient"))[names[outcome]].transform("first")
    return frame


def _refuse_latent(design: Design) -> None:
    """Refuse what cannot be drawn outcome by outcome: those that follow latent means, themselves, or each other."""
    cycle = find_cycle(design.spec, lags=True)
    if cycle:
        raise SpecError(
            f"Outcomes follow each other's earlier values, {' -> '.join(cycle)}; tables of such models are not "
            f"simulated."
        )
    for equation in design.equations:
        own = equation.spec.outcome
        terms = [*equation.spec.parsed.terms, *(t for group in equation.spec.parsed.groups for t in group.terms)]
        lagged = [render_term(term) for term in terms if any(own in values_in(part) for part in term.parts)]
        if equation.follows or lagged:
            raise SpecError(
                f"Outcome {equation.outcome!r} follows {'latent means' if equation.follows else lagged[0]}; tables of "
                f"such models are not simulated. Take observed means and no lag of the outcome, or draw the table "
                f"yourself."
            )


def _stand_in(rows: pd.DataFrame, spec: ModelSpec, layout: Layout, names: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows with numbers in place of outcomes, so that a design can be made before any is drawn."""
    patient = layout.name("patient")
    for number, equation in enumerate(spec.equation):
        rng = np.random.default_rng(number)
        people = sorted(set(rows[patient]))
        drawn = dict(zip(people, rng.normal(size=len(people)), strict=True))
        if equation.family == "bernoulli":
            drawn = {person: float(i % 2) for i, person in enumerate(people)}
        values = rows[patient].map(drawn).to_numpy(float)
        if equation.unit == "session" and equation.family == "gaussian":
            values = values + rng.normal(size=len(rows))
        rows = rows.assign(**{names[equation.outcome]: values})
    return rows


def _alone(spec: ModelSpec, outcome: str) -> ModelSpec:
    """Return the model of one equation of several."""
    equation = next(e for e in spec.equation if e.outcome == outcome)
    groups = {f: spec.group(f).model_copy(update={"correlate": ()}) for f in equation.factors}
    declared = {name: text for name, text in spec.variables.items() if name in spec.variables_of(equation)}
    update = {
        "equation": (equation,),
        "groups": groups,
        "variables": declared,
        "labels": {},
        "estimands": {},
        "residual": None,
        "prior": (),
    }
    return spec.model_copy(update=update)


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
        return make_design(spec, table, columns=given, reference=stated | dict(reference))


def reference_arm(layout: Layout) -> dict[str, str]:
    """Return the first arm as the reference of the condition; nothing for a layout without arms."""
    return {"condition": next(iter(layout.arms))} if layout.arms else {}


def finish(
    rows: pd.DataFrame,
    layout: Layout,
    messages: tuple[str, ...],
    truth: Mapping[str, float],
    effects: Mapping[str, xr.Dataset],
    seed: int,
) -> SimulatedTable:
    """Return the rows as a table that carries its truth."""
    table = table_of(rows, layout)
    return SimulatedTable(
        table.frame,
        table.roles,
        table.units,
        messages,
        truth=MappingProxyType(dict(truth)),
        effects=MappingProxyType(dict(effects)),
        seed=seed,
        reference=MappingProxyType(reference_arm(layout)),
        condition=layout.name("condition"),
    )


def table_of(rows: pd.DataFrame, layout: Layout) -> SessionTable:
    """Return rows as a table, without messages."""
    return replace(read_sessions(rows, layout.roles), messages=())


def _layout(layout: Layout | Mapping[str, object]) -> Layout:
    if not isinstance(layout, Layout):
        return make_layout(layout)
    problems = impossible(layout)
    if problems:
        raise SpecError(problems)
    return layout


def outcome_column(outcome: str, columns: Mapping[str, str]) -> str:
    """Return the column an outcome is drawn into."""
    return columns.get(outcome, outcome)


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
