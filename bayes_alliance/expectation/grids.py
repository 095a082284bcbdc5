"""Rows that are made: a row per combination of stated values, all else at typical values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, quote
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.latent_columns import FollowSteps
from bayes_alliance.design.related_variables import rows_together
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.set_calls import calls_that_read, split_calls
from bayes_alliance.expectation.set_variables import Setting, position_of, predictors_of, set_variables
from bayes_alliance.findings import Problem


def data_grid(equations: Sequence[EquationDesign], combinations: Sequence[Mapping[str, Setting]]) -> pd.DataFrame:
    """Return a row per combination of stated values, other predictors of all equations at typical values.

    Numbers, and calls that read other rows, are at their mean over the fit's rows, levels and 0/1 variables at the most
    frequent; what goes with a stated variable goes with it.
    """
    whole: pd.DataFrame | None = None
    for e in equations:
        known = predictors_of(e)
        own = _grid_of(e, [{name: v for name, v in stated.items() if name in known} for stated in combinations])
        whole = own if whole is None else whole.join(own[[name for name in own if name not in whole]])
    assert whole is not None
    return whole


def _grid_of(equation: EquationDesign, combinations: Sequence[Mapping[str, Setting]]) -> pd.DataFrame:
    read = [name for name in equation.variables if name not in (equation.spec.outcome, *equation.spec.raters)]
    rows = rows_together(equation)
    _check_grid(equation, combinations[0])
    split = [split_calls(equation, settings) for settings in combinations]
    found = [set_variables(equation, settings, rows) for settings, _ in split]
    rest: dict[str, Variable] = {}
    for name in sorted(read, key=lambda name: equation.variables[name].levels is None):  # levels first
        if name not in found[0] and name not in rest:
            if equation.outlined is not None:  # what goes with what is not known
                own = equation.variables[name]
                rest[name] = replace(own, values=np.full(1, position_of(own, _typical(equation, name))))
                continue
            typical = set_variables(equation, {name: _typical(equation, name)}, rows)
            rest.update({key: own for key, own in typical.items() if key not in found[0] and key not in rest})
    calls = {name: own for name, own in predictors_of(equation).items() if name in equation.calls}
    means = {name: float(own.values.mean()) for name, own in calls.items()}
    return pd.DataFrame(
        [
            {name: _shown((rest | own)[name]) for name in read} | means | stated
            for own, (_, stated) in zip(found, split, strict=True)
        ]
    )


def _check_grid(equation: EquationDesign, stated: Collection[str]) -> None:
    """Refuse variables that calls read in other rows, where these calls are not stated."""
    for name in stated:
        calls = [text for text in calls_that_read(equation, name) if text not in stated]
        if calls:
            label = predictors_of(equation)[name].label
            raise FitError(
                Problem(
                    f"{quote(equation.calls[text].label for text in calls)} {are(len(calls), 'reads', 'read')} "
                    f"{label!r} in other rows, of which a "
                    "grid has none.",
                    fix="State values of that.",
                )
            )


def _shown(variable: Variable) -> Setting:
    value = float(variable.values[0])
    return value if variable.levels is None else variable.levels[int(value)]


def _typical(equation: EquationDesign, name: str) -> Setting:
    """Return the mean of a number, a whole one of trials, or the most frequent level, category or 0/1 value."""
    variable = equation.variables[name]
    values = variable.values[~np.isnan(variable.values)]
    ordered = {getattr(key, "variable", None) for key, own in equation.follows.items() if isinstance(own, FollowSteps)}
    if variable.levels is None and name not in ordered and not np.isin(values, (0.0, 1.0)).all():
        return float(np.round(values.mean())) if name == equation.spec.trials else float(values.mean())
    distinct, count = np.unique(values, return_counts=True)
    return _shown(replace(variable, values=distinct[[int(count.argmax())]]))
