"""New rows of a fitted equation: coded by its levels and constants, with units that may be new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from bayes_alliance._messages import count_of, first_few, hint, number_text, quote, unknown
from bayes_alliance.design.columns.terms import code_terms
from bayes_alliance.design.columns.variables import Variable, read_words
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.predictor import Predictor
from bayes_alliance.design.groups.groups import GroupDesign, code_groups
from bayes_alliance.errors import DesignError
from bayes_alliance.expectation.new_data import Units
from bayes_alliance.expectation.rowwise import OF_ONE_ROW, RowwiseEvaluator
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.names import SESSION, join_ids
from bayes_alliance.spec.expressions import calls_in, render
from bayes_alliance.table.cells import id_text
from bayes_alliance.table.file_reading import read_frame
from bayes_alliance.table.sessions import SessionTable

type NewRows = SessionTable | pd.DataFrame


def code_new_rows(equation: EquationDesign, rows: NewRows) -> tuple[EquationDesign, dict[str, Units]]:
    """Return an equation over new rows, and which units they are in.

    Predictors are called like the model's variables, or like the columns it was fitted to, and ids like the grouping
    factors, or as a table's roles say. An outcome is not needed. A row whose id is not among those fitted is of a new
    unit; without a column of ids every row is a unit of its own, and an empty id is none.

    Parameters
    ----------
    equation : EquationDesign
        Of the fit.
    rows : SessionTable or DataFrame
        Not changed.

    Returns
    -------
    equation, units
        ``y`` is 0 throughout; units are by factor.

    Raises
    ------
    DesignError
        If a predictor is missing or has an unknown level, or the equation reads other rows than a row's own.
    """
    frame, roles = (rows.frame, dict(rows.roles)) if isinstance(rows, SessionTable) else (read_frame(rows), {})
    findings = Findings()
    _check_rowwise(equation, findings)
    findings.stop(DesignError)
    needed = [name for name in equation.variables if name != equation.spec.outcome]
    found = {name: _read(equation.variables[name], frame, roles, findings) for name in needed}
    units = {group.factor: _units(group, frame, roles) for group in _all_groups(equation)}
    _check_units(equation, units, findings)
    variables = {name: own for name, own in found.items() if own is not None}
    _check_trials(equation, variables, findings)
    findings.stop(DesignError, count_of(len(frame), "row"))
    size, patient, session = len(frame), roles.get("patient", "patient"), roles.get(SESSION, SESSION)
    numbers = pd.to_numeric(frame[session], errors="coerce").to_numpy(float) if session in frame else None
    coded = _rows(
        replace(equation, scale=replace(equation.scale, trials=_trials(equation, variables, size))),
        variables,
        patient=id_text(frame[patient]).to_numpy(dtype=object) if patient in frame else np.arange(size).astype(object),
        session=np.full(size, np.nan) if numbers is None else numbers,
    )
    predictors = {own.name: _predictor(coded, own, variables, units) for own in equation.linear_predictors}
    return replace(coded.with_predictors(predictors), sigma_code=_sigma_code(equation, variables, size)), units


def _check_rowwise(equation: EquationDesign, findings: Findings) -> None:
    """Report terms that read other rows, which new rows do not have."""
    terms = [term for own in equation.linear_predictors for term in own.spec.parsed.every_term]
    calls = [call for term in terms for part in term.parts for call in calls_in(part)]
    around = dict.fromkeys(render(call) for call in calls if call.function not in OF_ONE_ROW)
    if around:
        findings.problem(
            f"The equation of {equation.outcome!r} reads {first_few(list(around))}: values of other rows, or constants "
            "of the rows it was fitted to.",
            allowed="New rows are predicted from what stands in each of them.",
            fix="Set variables in the fit's own rows (at=), or store the values as columns before the model is fitted.",
        )
    if any(group.weight is not None for group in _all_groups(equation)):
        findings.problem("Rows belong to several levels of a factor by weights, which new rows do not state.")


def _all_groups(equation: EquationDesign) -> list[GroupDesign]:
    return [group for own in equation.linear_predictors for group in own.groups]


def _read(variable: Variable, frame: pd.DataFrame, roles: Mapping[str, str], findings: Findings) -> Variable | None:
    """Return a variable of new rows, reporting what is missing or unknown."""
    names = dict.fromkeys(name for name in (roles.get(variable.name), variable.label, variable.name) if name)
    seen = [name for name in names if name in frame.columns]
    if len(seen) > 1 and variable.name not in roles and not frame[seen[0]].equals(frame[seen[1]]):
        findings.problem(
            f"Columns {quote(seen)} differ, and either may be what the model reads as {variable.name!r}.",
            fix=f"Leave one of them out; the model was fitted to {variable.label!r}.",
        )
        return None
    column = seen[0] if seen else None
    if column is None:
        shown = dict.fromkeys((variable.name, variable.label))
        findings.problem(
            f"The rows have no column {' or '.join(map(repr, shown))}, which the model reads.",
            allowed=f"Columns seen: {quote(frame.columns)}.",
            fix=hint(variable.name, frame.columns),
        )
        return None
    series = frame[column]
    missing = np.flatnonzero(series.isna())
    if len(missing):
        places = [f"row {place + 1}" for place in missing[:5]]
        findings.problem(
            f"Column {column!r} is missing in {count_of(len(missing), 'row')}: {first_few(places, len(missing))}.",
            fix="Complete the values, or leave the rows out.",
        )
        return None
    if pd.api.types.is_datetime64_any_dtype(series) or pd.api.types.is_timedelta64_dtype(series):
        findings.problem(f"Column {column!r} holds dates.", fix="Give numbers or levels, as in the rows fitted.")
        return None
    if variable.levels is None:
        numbers = pd.to_numeric(series, errors="coerce").to_numpy(float)
        odd = np.flatnonzero(~np.isfinite(numbers))
        if len(odd):
            shown_rows = [f"row {place + 1} ({series.iloc[place]!r})" for place in odd[:5]]
            findings.problem(f"Column {column!r} is no number in {first_few(shown_rows, len(odd))}.")
            return None
        return replace(variable, values=numbers)
    words = series.map(number_text) if pd.api.types.is_numeric_dtype(series) else read_words(series)
    levels = {level: place for place, level in enumerate(variable.levels)}
    unknown_levels = [word for word in dict.fromkeys(map(str, words)) if word not in levels]
    if unknown_levels:
        findings.add(unknown(f"level of {column!r}:", word, levels) for word in unknown_levels)
        return None
    return replace(variable, values=np.array([float(levels[str(word)]) for word in words]))


def _units(group: GroupDesign, frame: pd.DataFrame, roles: Mapping[str, str]) -> Units:
    """Return which unit of a factor every row is in."""
    columns = [roles.get(part, part) for part in group.factor.split(":")]
    if any(column not in frame.columns for column in columns):
        names = np.array([f"new {row + 1}" for row in range(len(frame))], dtype=object)
        there = np.ones(len(frame), dtype=bool)
        return Units(np.arange(len(frame)) + len(group.levels), there, len(group.levels), names, stated=False)
    ids = [id_text(frame[column]) for column in columns]
    there = np.all([own != "" for own in ids], axis=0)
    whole = list(ids[0]) if len(ids) == 1 else join_ids(ids, ":")
    places = {level: place for place, level in enumerate(group.levels)}
    for name in whole:
        places.setdefault(str(name), len(places))
    names = np.where(there, np.array([str(name) for name in whole], dtype=object), "")
    code = np.array([places[str(name)] for name in whole])
    return Units(code, there, len(group.levels), names, stated=True)


def _check_units(equation: EquationDesign, units: Mapping[str, Units], findings: Findings) -> None:
    """Report factors of which some fitted rows had no unit, where new rows do not say whether they have one."""
    for part in equation.linear_predictors:
        for group in part.groups:
            term = next(one for one in part.spec.parsed.groups if one.factor == group.factor)
            if term.intercept and not group.inside.all() and not units[group.factor].stated:
                findings.problem(
                    f"Some rows that were fitted have no {group.factor}; whether these have one is not stated.",
                    fix=f"Add a column {group.factor!r}, empty where there is none. Or use the fit's rows with at=.",
                )


def _check_trials(equation: EquationDesign, variables: Mapping[str, Variable], findings: Findings) -> None:
    """Report numbers of trials that are not whole numbers from 1."""
    own = variables.get(equation.spec.trials) if isinstance(equation.spec.trials, str) else None
    odd = np.flatnonzero((own.values < 1) | (own.values % 1 != 0)) if own is not None else ()
    if own is not None and len(odd):
        shown = [f"row {place + 1} ({own.values[place]:g})" for place in odd[:5]]
        findings.problem(
            f"{own.label!r}, what successes are out of, is not a whole number from 1 in {first_few(shown, len(odd))}."
        )


def _rows(
    equation: EquationDesign, variables: Mapping[str, Variable], *, patient: np.ndarray, session: np.ndarray
) -> EquationDesign:
    """Return the equation over new rows, its predictors not coded yet."""
    outcome, size = equation.spec.outcome, len(patient)
    return replace(
        equation,
        y=np.zeros(size),
        sigma_code=np.zeros(size, dtype=np.int64),
        arms=None,
        row=np.arange(size),
        patient=patient,
        session=session,
        variables={**variables, outcome: replace(equation.variables[outcome], values=np.zeros(size))},
        rows_read=size,
        ledger={},
        modelled=None,
        series=None,
        gaps=(),
    )


def _trials(equation: EquationDesign, variables: Mapping[str, Variable], size: int) -> np.ndarray | None:
    """Return what the successes of every row are out of."""
    stated = equation.spec.trials
    if equation.scale.trials is None or stated is None:
        return None
    return variables[stated].values if isinstance(stated, str) else np.full(size, float(stated))


def _predictor(
    rows: EquationDesign, own: Predictor, variables: Mapping[str, Variable], units: Mapping[str, Units]
) -> Predictor:
    # a copy of a variable is one that was set: its categories and modelled values are those of the new rows
    evaluator = RowwiseEvaluator(rows, {name: replace(variable) for name, variable in variables.items()})
    formula = own.spec.parsed
    column = rows.kind.intercept or not own.of_mean
    coef = code_terms(formula.intercept, formula.terms, evaluator, column=column)
    lacking = [label for label, values in zip(coef.labels, coef.values.T, strict=True) if np.isnan(values).any()]
    if lacking:
        raise DesignError(
            Problem(
                f"{quote(lacking)} has no value in some of the rows.", fix="Give values that it can be worked out of."
            )
        )
    groups = []
    for group in own.groups:
        columns, _ = code_groups([term for term in formula.groups if term.factor == group.factor], evaluator)[
            group.factor
        ]
        unit = units[group.factor]
        code = np.where(unit.known, unit.code, 0)
        groups.append(replace(group, code=code, columns=columns, inside=unit.known, ids=None))
    return replace(own, coef=coef, groups=tuple(groups), follows=evaluator.stepped)


def _sigma_code(equation: EquationDesign, variables: Mapping[str, Variable], size: int) -> np.ndarray:
    """Return every row's place among the residual SDs.

    Raises
    ------
    DesignError
        If no row that was fitted has a row's level, so that its residual SD is not known.
    """
    by = equation.spec.sigma_factor
    if by is None or not equation.residual_sds:
        return np.zeros(size, dtype=np.int64)
    variable = variables[by]
    places = {own.level: place for place, own in enumerate(equation.residual_sds) if own.variable}
    assert variable.levels is not None
    levels = [variable.levels[int(value)] for value in variable.values]
    lacking = [level for level in dict.fromkeys(levels) if level not in places]
    if lacking:
        raise DesignError(
            Problem(f"No row that was fitted has {variable.label} {quote(lacking)}: its residual SD is not known.")
        )
    return np.array([places[level] for level in levels], dtype=np.int64)
