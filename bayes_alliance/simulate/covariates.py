"""What is drawn before any outcome: predictors, by their unit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bayes_alliance._messages import unknown
from bayes_alliance.findings import Problem
from bayes_alliance.simulate.layout import Layout, VariableSpec

RANK = {"site": 3, "group": 3, "therapist": 2, "patient": 1, "session": 0}
"""How wide a unit is: a variable may read those of units as wide or wider."""


def check_variables(variables: Mapping[str, VariableSpec], layout: Layout) -> list[Problem]:
    """Report units the layout lacks, slopes on variables that come later or vary more finely, bounds out of order."""
    problems = []
    taken = {layout.name(what) for what in (*layout.roles, "condition")}
    seen: dict[str, VariableSpec] = {}
    for name, spec in variables.items():
        where = f"variables.{name}"
        if name in taken:
            problems.append(Problem(f"{name!r} is a column of the layout.", where=where, fix="Choose another name."))
        if spec.unit not in layout.roles:
            problems.append(Problem(f"unit {spec.unit!r}, and the layout has no {spec.unit}.", where=where))
        for unit in spec.between:
            if unit not in layout.roles or RANK.get(unit, -1) <= RANK[spec.unit]:
                wider = [role for role in layout.roles if RANK[role] > RANK[spec.unit]]
                problems.append(unknown("wider unit", unit, wider, f"{where}.between"))
        for other in spec.slopes:
            if other not in seen:
                problems.append(unknown("earlier variable", other, seen, f"{where}.slopes"))
            elif RANK[seen[other].unit] < RANK[spec.unit]:
                problems.append(Problem(f"{other!r} varies within a {spec.unit}.", where=f"{where}.slopes"))
        if spec.low is not None and spec.high is not None and spec.low >= spec.high:
            problems.append(Problem(f"low = {spec.low:g} is not below high = {spec.high:g}.", where=where))
        if spec.probability is not None and (spec.slopes or spec.between):
            problems.append(Problem("a 0/1 variable takes probability alone, without slopes and between.", where=where))
        seen[name] = spec
    return problems


def draw_variables(
    rows: pd.DataFrame, variables: Mapping[str, VariableSpec], layout: Layout, rng: np.random.Generator
) -> pd.DataFrame:
    """Return the rows with a column per variable; a variable of a unit a row lacks is missing there."""
    for name, spec in variables.items():
        rows[name] = _draw(rows, spec, layout, rng)
    return rows


def _draw(rows: pd.DataFrame, spec: VariableSpec, layout: Layout, rng: np.random.Generator) -> np.ndarray:
    if spec.probability is not None:
        return _per_unit(rows, spec.unit, layout, lambda n: rng.binomial(1, spec.probability, n) + 0.0)
    values = spec.mean + _per_unit(rows, spec.unit, layout, lambda n: rng.normal(0.0, spec.sd, n))
    for unit, sd in spec.between.items():
        values = values + np.nan_to_num(_per_unit(rows, unit, layout, lambda n, sd=sd: rng.normal(0.0, sd, n)))
    for other, slope in spec.slopes.items():
        values = values + slope * rows[other].to_numpy()
    values = np.clip(values, spec.low, spec.high) if (spec.low, spec.high) != (None, None) else values
    return values if spec.digits is None else np.round(values, spec.digits)


def _per_unit(rows: pd.DataFrame, unit: str, layout: Layout, draw) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Draw one value per level of a unit and spread it over the rows; NaN where a row has no level."""
    if unit == "session":
        return np.asarray(draw(len(rows)))
    levels, code = np.unique(rows[layout.name(unit)].to_numpy(dtype=str), return_inverse=True)
    values = np.where(levels == "", np.nan, draw(len(levels)))
    return np.asarray(values[code])
