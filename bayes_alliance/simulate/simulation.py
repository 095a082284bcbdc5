"""The verb: spec × layout × truth to a table with the truth attached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
import pandas as pd
import xarray as xr
from pydantic import ValidationError

from bayes_alliance.errors import SpecError
from bayes_alliance.findings import Problem
from bayes_alliance.simulate.covariates import check_variables, draw_variables
from bayes_alliance.simulate.layout import Layout, VariableSpec, as_problem, impossible, make_layout
from bayes_alliance.simulate.outcome import draw_effects, draw_noise
from bayes_alliance.simulate.people import lay_out
from bayes_alliance.simulate.plan import plan_outcomes, reference_arm, table_of, with_chance
from bayes_alliance.simulate.realised_outcomes import realise_outcomes
from bayes_alliance.simulate.truth import check_truth, true_parameters
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.table.sessions import SessionTable

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
    problems: list[Problem] = []
    specs: dict[str, VariableSpec] = {}
    for name, content in variables.items():
        try:
            specs[name] = content if isinstance(content, VariableSpec) else VariableSpec.model_validate(dict(content))
        except ValidationError as error:
            valid = tuple(VariableSpec.model_fields)
            problems += [as_problem(f"variables.{name}", detail, valid) for detail in error.errors()]
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

    Group effects and noise are drawn for all equations at once, outcomes then follow from those that predict them. A
    declared outcome is drawn as a column of its own name.
    """
    plan = plan_outcomes(rows, spec, layout, columns, reference)
    check_truth(truth, true_parameters(plan.design))
    effects = draw_effects(plan.design, truth, rng)
    noise = draw_noise(plan.design, truth, rng)
    return realise_outcomes(with_chance(plan, rng), lambda made: truth, effects, noise)[0], effects


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
        table.bounds,
        truth=MappingProxyType(dict(truth)),
        effects=MappingProxyType(dict(effects)),
        seed=seed,
        reference=MappingProxyType(reference_arm(layout)),
        condition=layout.name("condition"),
    )


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
