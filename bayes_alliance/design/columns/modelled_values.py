"""mi(x): the modelled values of another equation's outcome, as a column."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bayes_alliance.design.columns.evaluator import Evaluator
from bayes_alliance.design.columns.rows import Rows
from bayes_alliance.design.columns.values import Plugged, Value, ValueOf
from bayes_alliance.findings import Findings
from bayes_alliance.spec.expressions import Call, Name, render
from bayes_alliance.spec.model import Unit

WIDTH: Mapping[Unit, int] = {"session": 0, "patient": 1, "therapist": 2, "group": 2, "site": 3}
"""How wide a unit is; a value of a narrower one differs within a row of a wider one."""


def unit_keys(rows: Rows, unit: Unit) -> np.ndarray:
    """Return what tells the levels of a unit apart in every row, empty text where a row has none."""
    if unit == "session":
        return rows.position.astype(str).astype(object)
    if unit == rows.unit:
        return rows.key
    return rows.ids(unit, {}, Findings())  # what is wrong with ids is reported where factors are coded


def modelled_value(evaluator: Evaluator, call: Call) -> Value:
    """Return the value of mi(x): as observed where it counts as that, else following the value that is modelled."""
    argument = call.arguments[0]
    if not isinstance(argument, Name) or argument.name not in evaluator.modelled:
        evaluator.findings.problem("no equation of the model says what it is.", where=render(call))
        return evaluator.nothing()
    found, rows = evaluator.modelled[argument.name], evaluator.rows
    if WIDTH[found.unit] > 0 and found.unit != rows.unit and WIDTH[found.unit] <= WIDTH[rows.unit]:
        evaluator.findings.problem(
            f"{render(call)} has a value per {found.unit}, and a row of this equation is a {rows.unit}."
        )
        return evaluator.nothing()
    if found.unit == "session" and rows.unit != "session":
        evaluator.findings.problem(
            f"{render(call)} has a value per session, and a row of this equation is a {rows.unit}."
        )
        return evaluator.nothing()
    keys = unit_keys(rows, found.unit)
    observed = _of_unit(evaluator.variables[argument.name].values, keys, found.unit == rows.unit)
    place = np.array([found.place.get(str(key), -1) for key in keys], dtype=np.int64)
    follows = place >= 0
    if found.measured:
        # no equation stands behind such scores, and they are not the truth
        observed = np.where(follows, observed, np.nan)
    numbers = np.where(follows & np.isnan(observed), found.middle, observed)
    key = ValueOf(argument.name)
    evaluator.means[key] = Plugged(numbers, None, place)
    return Value(numbers, {key: follows.astype(float)} if follows.any() else {})


def _of_unit(values: np.ndarray, keys: np.ndarray, same: bool) -> np.ndarray:
    """Return every row's value of a wider unit, which the table may hold in one of its rows only."""
    if same:
        return values
    series = pd.Series(values)
    return series.groupby(pd.Series(keys)).transform("first").mask(pd.Series(keys) == "").to_numpy(float)
