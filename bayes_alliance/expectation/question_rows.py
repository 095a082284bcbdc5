"""What the rows of a question are called, and which of them are averaged together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from scipy import sparse

from bayes_alliance._messages import count_of, first_few, is_number, quote, unknown
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.drawn_evaluator import find_places
from bayes_alliance.expectation.expected import all_alike
from bayes_alliance.expectation.new_data import Units
from bayes_alliance.expectation.set_calls import calls_around
from bayes_alliance.expectation.set_variables import predictors_of
from bayes_alliance.findings import Problem
from bayes_alliance.names import SESSION
from bayes_alliance.spec.expressions import names_in
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
    fitted: EquationDesign,
    equation: EquationDesign,
    units: Mapping[str, Units] | None,
    by: Sequence[str],
    others: Sequence[EquationDesign] = (),
) -> tuple[pd.DataFrame, sparse.csr_array]:
    """Return what every average is of, and the weights of its rows, shape (set, obs).

    ``others`` are equations over the same rows whose predictors rows can be averaged by, too.
    """
    size = len(equation.y)
    if not by:
        return pd.DataFrame(index=[0]), all_alike(size)
    columns = {}
    for name in by:
        label, values = _grouping(fitted, equation, units, name, others)
        columns[label] = _in_order(values)
    frame = pd.DataFrame(columns)
    grouped = frame.groupby(list(columns), sort=True, dropna=False, observed=True)
    code, sets = grouped.ngroup().to_numpy(), grouped.size().index.to_frame(index=False)
    sets = sets.astype(dict.fromkeys(sets.columns[sets.dtypes == "category"], object))
    return sets, sparse.csr_array((1 / np.bincount(code)[code], (code, np.arange(size))), shape=(len(sets), size))


def _in_order(values: np.ndarray) -> np.ndarray | pd.Categorical:
    """Return levels that are written as numbers so that they sort as these, others as they are."""
    if values.dtype != object or not all(isinstance(value, str) and is_number(value) for value in values):
        return values
    return pd.Categorical(values, categories=sorted(set(values), key=float), ordered=True)


def _grouping(
    fitted: EquationDesign,
    equation: EquationDesign,
    units: Mapping[str, Units] | None,
    name: str,
    others: Sequence[EquationDesign],
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
        for other in others:
            if name in other.variables or name in {v.label for v in other.variables.values()}:
                return _of_another(equation, other, name, new=units is not None)
        more = [v.label for e in others for v in e.variables.values() if v.name != e.spec.outcome]
        valid = list(dict.fromkeys([*known, *groups, "patient", SESSION, *more]))
        raise FitError(unknown("variable or grouping factor", name, valid, "by"))
    key = known.get(name, name)
    return line_name(fitted.variables[key]), _column(equation.variables[key])


def _of_another(equation: EquationDesign, other: EquationDesign, name: str, *, new: bool) -> tuple[str, np.ndarray]:
    """Return the values that another equation's predictor has in an equation's rows.

    Raises
    ------
    FitError
        If rows are of units or sessions of which that equation has none.
    """
    variable = next(v for v in other.variables.values() if name in (v.name, v.label))
    values = _column(variable)
    if new:  # the rows are the same
        return line_name(variable), values
    places = find_places({other.spec.outcome: other, equation.spec.outcome: equation})
    at = places.rows[other.spec.outcome][places.of_rows[equation.spec.outcome]]
    lacking = np.flatnonzero(at < 0)
    if len(lacking):
        shown = [f"row {equation.row[place] + 1}" for place in lacking[:5]]
        raise FitError(
            Problem(
                f"by={name!r} is a predictor of {other.outcome!r}, whose equation lacks "
                f"{count_of(len(lacking), 'row')} of {equation.outcome!r}: {first_few(shown, len(lacking))}.",
                fix=f"Average by a predictor of {equation.outcome!r}.",
            )
        )
    return line_name(variable), values[at]


def say_held(design: Design, equations: Mapping[str, EquationDesign]) -> list[str]:
    """Return which variables summarise an outcome that could follow and stay as they were observed."""
    said = {}
    for e in equations.values():
        for name, variable in e.variables.items():
            call = design.spec.declared.get(name)
            read = [one for one in design.spec.outcomes if call is not None and one in names_in(call)]
            if name != e.spec.outcome and read:
                labels = quote(design.find(one).outcome for one in read)
                said[name] = (
                    f"{variable.label!r} is worked out of {labels} before the fit and stays as it was observed."
                )
    return list(said.values())
