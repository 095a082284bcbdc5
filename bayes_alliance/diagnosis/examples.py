"""A small synthetic study for every registered model: data it runs on, made by code, with their truth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance._messages import unknown
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.visits import VisitResiduals
from bayes_alliance.diagnosis.cards import default_study
from bayes_alliance.diagnosis.example_tables import end_at_dropout, rate_in_sessions
from bayes_alliance.errors import SpecError
from bayes_alliance.names import INTERCEPT
from bayes_alliance.simulate.covariates import draw_variables
from bayes_alliance.simulate.files import StudyFile, read_study
from bayes_alliance.simulate.layout import Layout, make_layout
from bayes_alliance.simulate.people import lay_out
from bayes_alliance.simulate.plan import Plan, design_of, reference_arm, table_of
from bayes_alliance.simulate.prior import at_centre, draw_truth
from bayes_alliance.simulate.simulation import check_specs, finish, simulate_sessions
from bayes_alliance.simulate.studies import plan_studies
from bayes_alliance.simulate.truth import true_parameters
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.registry import load_model, model_names
from bayes_alliance.study import Study
from bayes_alliance.table.sessions import SessionTable

FOLDER = Path(__file__).resolve().parent / "examples"

SEED: Final = 1

DRAWS: Final = 100
"""Draws from the priors whose mean is the truth, so that effects are a tenth of what the priors allow."""

LESS: Final[Mapping[str, float]] = {"sd": 0.4, "residual sd": 0.6}
"""Shares of the prior means of SDs that the truth has: priors are wider than studies."""

TYPICAL: Final[Mapping[str, tuple[float, float]]] = {
    "outcome": (16.0, 5.0),
    "outcome_pre": (18.0, 5.0),
    "outcome_post": (13.0, 5.0),
    "outcome_patient": (5.0, 1.0),
    "outcome_therapist": (5.0, 1.0),
    "alliance": (5.0, 0.8),
    "alliance_early": (5.0, 0.8),
    "alliance_mid": (5.3, 0.8),
    "alliance_change": (0.5, 0.8),
    "alliance_patient": (5.2, 0.8),
    "alliance_therapist": (4.9, 0.8),
    "cohesion": (4.8, 0.7),
    "competence": (3.6, 0.6),
    "judgment": (4.9, 0.8),
    "view_by_patient": (4.9, 0.8),
    "view_by_therapist": (4.9, 0.8),
    "mediator": (4.0, 1.0),
    "predictor": (4.0, 1.0),
    "depression_post": (14.0, 6.0),
    "inhibition_post": (10.0, 4.0),
    "inhibition_change": (-2.0, 3.0),
    "distress_post": (13.0, 5.0),
    "wellbeing_post": (30.0, 9.0),
}
"""Mean and SD of what is drawn, in points such as those of a short scale."""

TOGETHER: Final = 0.5
"""Correlation of a patient's visits, which the mean over priors would put near 0."""

LINKED: Final[Mapping[str, float]] = {"attended": 1.4, "dropout": -1.0, "events": 0.7, "leaving": -2.3}
"""Linear predictors at average predictors, on the scale of the link: 80 % of sessions, 27 % of patients, 2 events."""

HIGH: Final = 0.8
"""Where between the ends of its scale an outcome with bounds lies at average predictors: near the ceiling."""

DIGITS: Final = 2


def example_study(name: str) -> Study[SessionTable]:
    """Make a small SYNTHETIC study that a registered model runs on.

    Parameters
    ----------
    name : str
        A registered model, such as ``"growth/treatment"``.

    Returns
    -------
    Study
        Its ``sessions`` are a ``SimulatedTable``: a message says that they are synthetic, and ``truth`` holds the
        parameters they were drawn from, which are empty for ``congruence/truth-and-bias-group``. The same name gives
        the same table.

    Raises
    ------
    SpecError
        If there is no such registered model.

    Examples
    --------
    >>> study = example_study("growth/treatment")
    >>> study.reference
    {'condition': 'TAU'}
    """
    if name not in model_names():
        raise SpecError(unknown("model", name, model_names()))
    spec = load_model(name)
    content, layout, rows, truth, effects = _draw(name, spec)
    rng = np.random.default_rng(SEED)
    rows, layout = rate_in_sessions(end_at_dropout(rows, spec, layout), spec, layout, rng)
    numbers = rows.select_dtypes("number").columns
    how = "drawn from stated parameters" if truth else "not drawn from the model, so that no truth is stated"
    message = f"SYNTHETIC: an example for {name!r}, {how}, seed {SEED}."
    table = finish(rows.round(dict.fromkeys(numbers, DIGITS)), layout, (message,), truth, effects, SEED)
    reads = {variable for equation in spec.equation for variable in spec.variables_of(equation)}
    reference = {**reference_arm(layout), **content.reference}
    reference = {factor: level for factor, level in reference.items() if factor in reads}
    columns = {variable: column for variable, column in content.columns.items() if variable not in spec.variables}
    return Study(replace(table, reference=MappingProxyType(reference)), columns, reference)


def _draw(
    name: str, spec: ModelSpec
) -> tuple[StudyFile, Layout, pd.DataFrame, Mapping[str, float], Mapping[str, xr.Dataset]]:
    """Return what a study is made of: its file, its layout, its rows, its truth and its group effects."""
    path = FOLDER / f"{name.replace('/', '--')}.toml"
    content = read_study(path) if path.exists() else default_study(name)
    layout = make_layout(content.layout)
    variables = {key: _typical(key, own) for key, own in content.variables.items()}
    if path.exists():
        specs = check_specs(variables, layout)
        rng = np.random.default_rng(SEED)
        return content, layout, draw_variables(lay_out(layout, rng), specs, layout, rng), {}, {}
    given = {"variables": variables, "columns": content.columns, "reference": content.reference}
    plan = plan_studies(spec, layout, seed=SEED, **given).plan  # type: ignore[arg-type]
    truth = dict(content.truth) or _typical_truth(_rescaled(plan))
    table = simulate_sessions(spec, layout, truth=truth, seed=SEED, **given)  # type: ignore[arg-type]
    return content, layout, table.frame, truth, table.effects


def _typical(name: str, content: Mapping[str, object]) -> dict[str, object]:
    """Return a variable to draw whose mean is a usual one, where its file leaves it at 0 or has a scale of its own."""
    if name not in TYPICAL or ("mean" in content and {"slopes", "between"} & set(content)):
        return dict(content)
    mean, sd = TYPICAL[name]
    return {**content, "mean": mean, **({} if "between" in content else {"sd": sd})}


def _rescaled(plan: Plan) -> Design:
    """Return the design of a plan whose stand-ins for outcomes have usual means and SDs, as its priors then have."""
    frame = plan.frame.copy()
    for equation in plan.design.spec.equation:
        column = plan.names[equation.outcome]
        if equation.kind.link == "identity" and equation.kind.bounds == "none" and equation.outcome in TYPICAL:
            mean, sd = TYPICAL[equation.outcome]
            for own in (column, *(plan.columns.get(rater, rater) for rater in equation.raters)):
                frame[own] = mean + sd * frame[own]
    table = table_of(frame, plan.layout)
    return design_of(plan.design.spec, table, plan.layout, plan.columns, plan.reference)


def _typical_truth(design: Design) -> dict[str, float]:
    """Return the mean of draws from the priors, with smaller SDs: effects of a size that studies report."""
    rng = np.random.default_rng(SEED)
    draws = [draw_truth(design, rng) for _ in range(DRAWS)]
    found = {}
    for parameter in true_parameters(design):
        kind = parameter.variable.kind
        value = float(np.mean([drawn[parameter.name] for drawn in draws])) * LESS.get(kind, 1.0)
        found[parameter.name] = value if kind == "step" else round(value, 4)  # steps add up to 1
        if kind == "correlation" and isinstance(design.residual, VisitResiduals):
            found[parameter.name] = TOGETHER
    for equation in design.equations:
        if INTERCEPT in equation.coef.labels and (centre := _centre(equation)) is not None:
            intercept = f"b[{equation.coef_labels[equation.coef.labels.index(INTERCEPT)]}]"
            found[intercept] = round(found[intercept] + centre - at_centre(equation, found), 4)
    return found


def _centre(equation: EquationDesign) -> float | None:
    """Return a usual linear predictor at average predictors, where the priors centre on one that is not."""
    if equation.kind.bounds == "none":
        return LINKED.get(equation.spec.outcome) if equation.kind.link != "identity" else None
    low, high = equation.scale.bounds
    return low + HIGH * (high - low) if equation.kind.link == "identity" else math.log(HIGH / (1 - HIGH))
