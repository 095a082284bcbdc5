"""What the rows of a question are called, and which of them are averaged together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from scipy import sparse

from bayes_alliance._messages import unknown
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.expected import all_alike
from bayes_alliance.expectation.new_data import Units
from bayes_alliance.expectation.set_calls import calls_around
from bayes_alliance.expectation.set_variables import predictors_of
from bayes_alliance.names import SESSION
from bayes_alliance.spec.variables_read import values_in

ROW: Final = "row"
"""Stands for every row by itself where results are averaged by something."""

FIGURES: Final = (
    *(ROW, "comparison", "mean", "median", "sd", "p_direction"),
    *("mcse", "r_hat", "ess_bulk", "ess_tail", "unit"),
)
"""What the columns of results are called that are no variable."""


def line_name(variable: Variable) -> str:
    """Return what a variable is called in the lines of results: its label, unless a figure is called like that."""
    return f"{variable.label} (predictor)" if variable.label in FIGURES else variable.label


def labels_of(equation: EquationDesign, *, new: bool, drawn: Collection[str]) -> pd.DataFrame:
    """Return what every row is called: patient and session of the fit's own, its number and predictors of new ones.

    Outcomes that are ``drawn``, and what is read of them in other rows, are no values of the rows.
    """
    if not new:
        own = pd.DataFrame({"patient": equation.patient, "session": equation.session})
        return own.drop(columns=[SESSION]) if np.isnan(equation.session).all() else own
    of_drawn = {text for text, call in calls_around(equation).items() if set(drawn) & set(values_in(call))}
    shown = {name: own for name, own in predictors_of(equation).items() if name not in drawn and name not in of_drawn}
    return pd.DataFrame({ROW: equation.row + 1, **{line_name(own): _column(own) for own in shown.values()}})


def _column(variable: Variable) -> np.ndarray:
    if variable.levels is None:
        return variable.values
    return np.array(variable.levels, dtype=object)[variable.values.astype(np.int64)]


def averages(
    fitted: EquationDesign, equation: EquationDesign, units: Mapping[str, Units] | None, by: Sequence[str]
) -> tuple[pd.DataFrame, sparse.csr_array]:
    """Return what every average is of, and the weights of its rows, shape (set, obs)."""
    size = len(equation.y)
    if not by:
        return pd.DataFrame(index=[0]), all_alike(size)
    columns = {}
    for name in by:
        label, values = _grouping(fitted, equation, units, name)
        columns[label] = values
    frame = pd.DataFrame(columns)
    grouped = frame.groupby(list(columns), sort=True, dropna=False)
    code, sets = grouped.ngroup().to_numpy(), grouped.size().index.to_frame(index=False)
    return sets, sparse.csr_array((1 / np.bincount(code)[code], (code, np.arange(size))), shape=(len(sets), size))


def _grouping(
    fitted: EquationDesign, equation: EquationDesign, units: Mapping[str, Units] | None, name: str
) -> tuple[str, np.ndarray]:
    """Return the values that rows are averaged by: those of a predictor, or the units of a factor."""
    groups = {own.factor: own for part in equation.linear_predictors for own in part.groups}
    known = {v.label: key for key, v in fitted.variables.items() if key != fitted.spec.outcome}
    if name in groups and groups[name].weight is not None:
        raise FitError(f"Rows belong to several levels of {name!r} by weights; they cannot be averaged by it.")
    if name == "patient" and (units is None or name not in units):
        return name, equation.patient
    if name in groups and units is not None:
        return name, units[name].names
    if name in groups:
        return name, np.array([*groups[name].levels, ""], dtype=object)[groups[name].units]
    if name == SESSION and name not in fitted.variables:
        if np.isnan(equation.session).all():
            raise FitError("The rows have no session to be averaged by.")
        return name, equation.session
    if name not in known and name not in known.values():
        valid = list(dict.fromkeys([*known, *groups, "patient", SESSION]))
        raise FitError(unknown("variable or grouping factor", name, valid, "by"))
    key = known.get(name, name)
    return line_name(fitted.variables[key]), _column(equation.variables[key])
