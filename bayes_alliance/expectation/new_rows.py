"""New rows of a fitted equation: coded by its levels and constants, with units that may be new."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, first_few, quote
from bayes_alliance.design.columns.terms import code_terms
from bayes_alliance.design.columns.values import CallColumns, Value
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.predictor import Predictor
from bayes_alliance.design.equations.residual_sd import place_rows
from bayes_alliance.design.groups.groups import code_groups
from bayes_alliance.errors import DesignError
from bayes_alliance.expectation.fewer_rows import rows_kept
from bayes_alliance.expectation.new_data import Units
from bayes_alliance.expectation.new_row_columns import (
    NewRows,
    all_groups,
    check_trials,
    check_units,
    dummies_to_fill,
    earlier_outcome,
    fill_dummies,
    read_drawn,
    read_units,
    read_variable,
    say_several,
    say_units,
)
from bayes_alliance.expectation.set_calls import call_variable, calls_around, parts_of
from bayes_alliance.expectation.table_evaluator import TableEvaluator, lacks_in_table
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.names import SESSION, clock_of
from bayes_alliance.spec.expressions import Call, calls_in, render
from bayes_alliance.spec.variables_read import values_in
from bayes_alliance.table.cells import id_text
from bayes_alliance.table.file_reading import read_frame
from bayes_alliance.table.sessions import SessionTable


@dataclass(frozen=True, eq=False)
class CodedRows:
    """New rows of an equation, the units they are in by factor, and what a reader should know of them.

    ``stated`` are the calls that the rows have columns of.
    """

    equation: EquationDesign
    units: dict[str, Units] | None
    messages: tuple[str, ...] = ()
    stated: frozenset[str] = frozenset()


def code_new_rows(
    equation: EquationDesign,
    rows: NewRows,
    columns: Mapping[str, str] | None = None,
    *,
    drawn: Collection[str] = (),
    session: float | None = None,
) -> CodedRows:
    """Return an equation over new rows, and which units they are in.

    Predictors are called like the model's variables, or like the columns it was fitted to, and ids like the grouping
    factors, or as a table's roles say. An outcome is not needed. A row whose id is not among those fitted is of a new
    unit; without a column of ids every row is a unit of its own, and an empty id is none. Calls that read other rows,
    such as ``within(x, patient)``, are columns of that name, or are worked out over the new rows.

    Parameters
    ----------
    equation : EquationDesign
        Of the fit.
    rows : SessionTable or DataFrame
        Not changed.
    columns : mapping of str to str, optional
        What the columns of ids and of the session were called in the rows that were fitted, by role.
    drawn : collection of str
        Outcomes that are drawn in these rows: they may be missing, and rows that lack what is read of them stay.
    session : float, optional
        The session that rows are taken to be of where they have no column of it: another equation reads what this one
        says of a patient.

    Returns
    -------
    CodedRows
        ``y`` is 0 throughout. Rows without an earlier value that a lag reads are left out, with a message.

    Raises
    ------
    DesignError
        If a predictor is missing or has an unknown level, or a call cannot be worked out over the rows.
    """
    frame, roles = (rows.frame, dict(rows.roles)) if isinstance(rows, SessionTable) else (read_frame(rows), {})
    for role, column in (columns or {}).items():
        if role not in roles and role not in frame.columns and column in frame.columns:
            roles[role] = column
    clock = clock_of(equation.variables)
    called = equation.variables[clock].label if clock in equation.variables else clock
    if session is not None and not {roles.get(clock, clock), called, clock} & set(frame.columns):
        frame = frame.assign(**{clock: session})
    findings = Findings()
    stated = _stated_calls(equation, frame, findings)
    computed = {text: call for text, call in calls_around(equation).items() if text not in stated}
    _check_calls(equation, computed, frame, roles, drawn, findings)
    findings.stop(DesignError)
    needed = _needed(equation, stated)
    filled = dummies_to_fill(equation, needed, frame)
    found = {
        name: read_drawn(equation.variables[name], frame, findings)
        if name in drawn
        else read_variable(equation.variables[name], frame, roles, findings)
        for name in needed
        if name not in filled
    }
    found |= fill_dummies(equation, found, filled, findings)
    units = {group.factor: read_units(group.factor, group.levels, frame, roles) for group in all_groups(equation)}
    check_units(equation, units, findings)
    variables = {name: own for name, own in found.items() if own is not None}
    check_trials(equation, variables, findings)
    findings.stop(DesignError, count_of(len(frame), "row"))
    outcome = equation.variables[equation.spec.outcome]
    if outcome.name in drawn:
        variables[outcome.name] = read_drawn(outcome, frame, findings)
    else:
        variables[outcome.name] = replace(outcome, values=earlier_outcome(outcome, computed, frame, roles, findings))
    findings.stop(DesignError, count_of(len(frame), "row"))
    size, patient, time = len(frame), roles.get("patient", "patient"), roles.get(SESSION, SESSION)
    numbers = pd.to_numeric(frame[time], errors="coerce").to_numpy(float) if time in frame else None
    coded = _rows(
        replace(equation, scale=replace(equation.scale, trials=_trials(equation, variables, size)), calls=stated),
        variables,
        patient=id_text(frame[patient]).to_numpy(dtype=object) if patient in frame else np.arange(size).astype(object),
        session=np.full(size, np.nan) if numbers is None else numbers,
    )

    def ids(factor: str) -> np.ndarray:
        own = units[factor] if factor in units else read_units(factor, (), frame, roles)
        return np.where(own.there, own.names, "")

    # a copy of a variable is one that was set: its categories and modelled values are those of the new rows
    evaluator = TableEvaluator(coded, {name: replace(v) for name, v in variables.items()}, stated, ids)
    predictors = {own.name: _predictor(coded, own, evaluator, units) for own in equation.linear_predictors}
    made = replace(
        coded.with_predictors(predictors),
        sigma_code=_sigma_code(equation, variables, coded.session),
        calls={text: CallColumns(own.label, evaluator.calls[text]) for text, own in equation.calls.items()},
    )
    told = (*say_units(equation, units), *say_several(equation, frame, roles))
    if drawn:
        return CodedRows(made, units, told, frozenset(stated))
    left = _without_lags(made, units, computed, findings)
    return replace(left, messages=(*told, *left.messages))


def _stated_calls(equation: EquationDesign, frame: pd.DataFrame, findings: Findings) -> dict[str, CallColumns]:
    """Return the calls that the rows have a column of, by the call's name in the study or the model."""
    found = {}
    for text, own in equation.calls.items():
        variable = call_variable(text, own)
        if variable is None or not {text, own.label} & set(frame.columns):
            continue
        read = read_variable(variable, frame, {}, findings)
        if read is not None:
            found[text] = CallColumns(own.label, ((own.pieces[0][0], Value(read.values)),))
    return found


def _check_calls(
    equation: EquationDesign,
    calls: Mapping[str, Call],
    frame: pd.DataFrame,
    roles: Mapping[str, str],
    drawn: Collection[str],
    findings: Findings,
) -> None:
    """Report calls that new rows cannot give, and patients with two rows of one session where lags are read."""
    there = {*frame.columns, *(role for role, column in roles.items() if column in frame.columns)}
    for text, call in calls.items():
        label = equation.calls[text].label if text in equation.calls else text
        lacking = lacks_in_table(equation, call, there, drawn)
        if lacking:
            findings.problem(
                f"{label} needs {lacking}.",
                allowed="New rows are predicted from what stands in them.",
                fix=f"Give it as a column called {label!r}."
                if len(equation.calls[text].pieces) == 1
                else "Set variables in the fit's own rows (at=).",
            )
    keys = [roles.get(name, name) for name in ("patient", SESSION)]
    lags = any(one.function in ("lag", "others") for call in calls.values() for one in calls_in(call))
    if lags and not findings.problems and set(keys) <= set(frame.columns):
        twice = np.flatnonzero(frame.duplicated(keys, keep=False))
        if len(twice):
            places = [f"row {place + 1}" for place in twice[:5]]
            findings.problem(f"Rows have the same patient and session: {first_few(places, len(twice))}.")
    if any(group.weight is not None for group in all_groups(equation)):
        findings.problem("Rows belong to several levels of a factor by weights, which new rows do not state.")


def _needed(equation: EquationDesign, stated: Mapping[str, CallColumns]) -> list[str]:
    """Return the variables that rows have to have: all but the outcome, and those that only stated calls read."""
    parts = parts_of(equation)
    hidden = {name for part in parts if render(part) in stated for name in values_in(part)}
    hidden -= {name for part in parts if render(part) not in stated for name in values_in(part)}
    hidden -= {name for name in (equation.spec.trials, equation.spec.sigma_factor) if isinstance(name, str)}
    return [name for name in equation.variables if name != equation.spec.outcome and name not in hidden]


def _without_lags(
    made: EquationDesign, units: dict[str, Units], computed: Mapping[str, Call], findings: Findings
) -> CodedRows:
    """Leave out rows in which what is read of other rows has no value, and say so."""
    lacking = {text: np.any([np.isnan(v.numbers) for _, v in made.calls[text].pieces], axis=0) for text in computed}
    for own in made.linear_predictors:
        columns = [own.coef, *(group.columns for group in own.groups)]
        others = [
            label
            for column in columns
            for label, values in zip(column.labels, column.values.T, strict=True)
            if (np.isnan(values) & ~np.any([np.zeros(len(values), dtype=bool), *lacking.values()], axis=0)).any()
        ]
        if others:
            findings.problem(
                f"{quote(dict.fromkeys(others))} has no value in some of the rows.",
                fix="Give values that it can be worked out of.",
            )
    findings.stop(DesignError)
    bad = np.any([np.zeros(len(made.y), dtype=bool), *lacking.values()], axis=0)
    if bad.all():
        findings.problem(
            f"No row has a value of {quote(made.calls[text].label for text, rows in lacking.items() if rows.any())}.",
            fix="Give rows of earlier sessions, or the values as columns of that name.",
        )
        findings.stop(DesignError)
    if not bad.any():
        return CodedRows(made, units)
    labels = quote(made.calls[text].label for text, rows in lacking.items() if rows.any())
    places = [f"row {place + 1}" for place in np.flatnonzero(bad)[:5]]
    message = (
        f"{count_of(int(bad.sum()), 'row')} {are(int(bad.sum()), 'has', 'have')} no value of {labels} and "
        f"{are(int(bad.sum()), 'is', 'are')} not predicted: "
        f"{first_few(places, int(bad.sum()))}."
    )
    kept = {
        factor: replace(own, code=own.code[~bad], there=own.there[~bad], names=own.names[~bad])
        for factor, own in units.items()
    }
    return CodedRows(rows_kept(made, ~bad), kept, (message,))


def _rows(
    equation: EquationDesign, variables: Mapping[str, Variable], *, patient: np.ndarray, session: np.ndarray
) -> EquationDesign:
    """Return the equation over new rows, its predictors not coded yet."""
    size = len(patient)
    return replace(
        equation,
        y=np.zeros(size),
        sigma_code=np.zeros(size, dtype=np.int64),
        arms=None,
        row=np.arange(size),
        patient=patient,
        session=session,
        variables=variables,
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
    rows: EquationDesign, own: Predictor, evaluator: TableEvaluator, units: Mapping[str, Units]
) -> Predictor:
    formula = own.spec.parsed
    column = rows.kind.intercept or not own.of_mean
    coef = code_terms(formula.intercept, formula.terms, evaluator, column=column)
    groups = []
    for group in own.groups:
        columns, _ = code_groups([term for term in formula.groups if term.factor == group.factor], evaluator)[
            group.factor
        ]
        unit = units[group.factor]
        code = np.where(unit.known, unit.code, 0)
        columns = replace(columns, labels=group.columns.labels)
        groups.append(replace(group, code=code, columns=columns, inside=unit.known, ids=None))
    # labels are those of the fit: of calls that are stated the rows may lack the variables
    coef = replace(coef, labels=own.coef.labels)
    return replace(own, coef=coef, groups=tuple(groups), follows=evaluator.stepped)


def _sigma_code(equation: EquationDesign, variables: Mapping[str, Variable], session: np.ndarray) -> np.ndarray:
    """Return every row's place among the residual SDs.

    Raises
    ------
    DesignError
        If no row that was fitted has a row's level, so that its residual SD is not known.
    """
    numbers = dict.fromkeys([own.levels[0][0] for own in equation.residual_sds if own.levels], session)
    place, lacking = place_rows(equation.residual_sds, variables.values(), numbers, len(session))
    if lacking:
        raise DesignError(
            Problem(f"No row that was fitted has {quote(lacking)}, so that its residual SD is not known.")
        )
    return place
