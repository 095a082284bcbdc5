"""Which rows are used, and findings in rows that may turn out not to be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from bayes_alliance._messages import count_of, show_cells
from bayes_alliance.design.columns.evaluator import Evaluator
from bayes_alliance.design.columns.functions import FUNCTIONS
from bayes_alliance.design.columns.rows import Rows, make_rows
from bayes_alliance.design.columns.terms import Columns, code_terms
from bayes_alliance.design.columns.values import MeanOf, Modelled
from bayes_alliance.design.columns.variables import Variable, column_for, make_variable
from bayes_alliance.design.equations.missing import keep_rows, missing_reasons
from bayes_alliance.design.equations.residual_sd import find_spread
from bayes_alliance.design.groups.groups import Block, code_groups
from bayes_alliance.errors import DesignError
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.names import SESSION, TIME
from bayes_alliance.spec.model import EquationSpec, ModelSpec, PredictorSpec, Unit
from bayes_alliance.spec.variables_read import averaged_in, values_in
from bayes_alliance.study import Study
from bayes_alliance.table.sessions import SessionTable

type Groups = dict[str, tuple[Columns, tuple[Block, ...]]]


@dataclass(frozen=True, eq=False)
class Source:
    """What the equations of a design are made from.

    ``common`` holds per unit the rows that every equation can use, where all are to use the same. ``modelled`` holds
    which values are modelled of the outcomes that an equation reads. ``levels`` are those
    of factors, by variable, where the study is a part of a table. ``until`` is the last session that means are over,
    where later ones are to be predicted.
    """

    spec: ModelSpec
    study: Study[SessionTable]
    common: Mapping[Unit, np.ndarray] = field(default_factory=dict)
    modelled: Mapping[str, Modelled] = field(default_factory=dict)
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    until: float | None = None


@dataclass(frozen=True, eq=False)
class Usable:
    """An equation over all its rows, as coded, and which of them can be used: ``keep``, and ``ledger`` why not.

    ``coef`` and ``coded`` hold the columns, ``ids`` the levels of grouping factors (those of parameters too),
    ``starts`` the rows that start a series. ``evaluate`` evaluates formulas with variables of choice.
    """

    rows: Rows
    variables: Mapping[str, Variable]
    coef: Columns
    coded: Groups
    ids: Mapping[str, np.ndarray]
    starts: np.ndarray
    sigma: Variable | None
    keep: np.ndarray
    ledger: Mapping[str, int]
    evaluate: Callable[[Mapping[str, Variable], Findings], Evaluator]


@dataclass(eq=False)
class _Used:
    """Which rows are used, and findings of rows that may turn out not to be."""

    rows: np.ndarray | None = None
    deferred: list[tuple[np.ndarray, Callable[[np.ndarray], Problem]]] = field(default_factory=list)


def find_usable(equation: EquationSpec, source: Source, findings: Findings) -> Usable:
    """Code an equation over all its rows and find those that lack nothing.

    Raises
    ------
    DesignError
        With every problem of its variables.
    """
    rows = make_rows(equation.unit, source.study.sessions)
    variables = _variables(equation, rows, source, findings)
    outcome = variables[equation.outcome]
    if outcome.levels is not None:
        findings.problem(
            f"Outcome {outcome.label!r} holds words ({show_cells(outcome.levels[:5])}); a number is needed."
        )
    stop_on(findings, rows)
    factor_ids = _factor_ids(rows, source, findings)
    finer = _finer(equation, rows, variables, source, findings)

    used, knots, times = _Used(), dict[str, tuple[float, ...]](), _times(rows, source)

    def evaluate(chosen: Mapping[str, Variable], found: Findings) -> Evaluator:
        arm = next((v for v in chosen.values() if v.name == "condition" and v.levels), None)
        made = Evaluator(FUNCTIONS, rows, chosen, factor_ids, found, source.modelled, finer, arm, until=source.until)
        deferred = used.deferred if used.rows is None else None
        return replace(made, knots=knots, needed=used.rows, deferred=deferred, times=times)

    coef, coded, starts = code_columns(
        equation.mean, evaluate(variables, findings.silent), intercept=equation.kind.intercept
    )
    parameters = [code_columns(own, evaluate(variables, findings.silent))[:2] for own in equation.parameters.values()]
    members = [name for factor in equation.factors for name in source.spec.group(factor).members]
    ids = {factor: factor_ids(factor) for factor in dict.fromkeys((*equation.factors, *members))}
    sigma = find_spread(equation, variables, findings)
    stop_on(findings, rows)

    weights = {name for factor in equation.factors for name in source.spec.group(factor).weights}
    known = {*equation.variables, *weights}
    strata = [variables[name] for name in source.spec.variables_of(equation) if name not in known]
    trials = [variables[equation.trials]] if isinstance(equation.trials, str) else []
    modelled = equation.missing == "model"
    reasons = missing_reasons(outcome, coef, coded, [*([sigma] if sigma else []), *trials, *strata], modelled=modelled)
    for columns, effects in parameters:
        reasons += missing_reasons(outcome, columns, effects, [], modelled=True)
    if equation.unit in source.common:
        reasons.append(("not usable in every equation", ~source.common[equation.unit]))
    keep, ledger = keep_rows(reasons, len(rows))
    used.rows = keep
    findings.add(dict.fromkeys(say(bad & keep) for bad, say in used.deferred if (bad & keep).any()))
    stop_on(findings, rows)
    return Usable(rows, variables, coef, coded, ids, starts, sigma, keep, ledger, evaluate)


def code_columns(
    part: PredictorSpec, evaluator: Evaluator, *, intercept: bool = True
) -> tuple[Columns, Groups, np.ndarray]:
    """Return population columns, those of the groups, and which rows start a series (what is dynamic is 0 there).

    ``intercept`` says whether an intercept has a column.
    """
    formula = part.parsed
    coef = code_terms(formula.intercept, formula.terms, evaluator, column=intercept)
    coded = code_groups(formula.groups, evaluator)
    starts = _starts(part, evaluator)
    coded = {factor: (columns.opened(starts), blocks) for factor, (columns, blocks) in coded.items()}
    return coef.opened(starts), coded, starts


def _starts(part: PredictorSpec, evaluator: Evaluator) -> np.ndarray:
    """Return the rows that start a series: where the outcome follows its own earlier deviation and there is none."""
    means = [m for m in evaluator.means if isinstance(m, MeanOf)]
    own = [m for m in means if m.variable == part.name and m.lag is not None]
    nothing = np.zeros(len(evaluator.rows), dtype=bool)
    if not own:
        return nothing
    return np.all([np.isnan(evaluator.means[mean].numbers) for mean in own], axis=0)


def stop_on(findings: Findings, rows: Rows) -> None:
    """Raise what was found wrong with an equation, if anything was."""
    if findings.problems:
        raise DesignError(findings.problems, count_of(len(rows), "row"))


def _variables(equation: EquationSpec, rows: Rows, source: Source, findings: Findings) -> dict[str, Variable]:
    """Make the variables an equation reads, those it only averages over a patient's sessions left out."""
    averaged = _averaged(equation, rows, source)
    found = {}
    for name in source.spec.variables_of(equation):
        if name in averaged:
            continue
        own = Findings(messages=findings.messages)
        levels = source.levels.get(name)
        found[name] = make_variable(name, source.spec, rows, source.study, own, levels)
        # of an outcome that holds words it is said that a number is needed, not which level comes first
        if name != equation.outcome or found[name].levels is None:
            findings.add(own.problems)
    return found


def _averaged(equation: EquationSpec, rows: Rows, source: Source) -> set[str]:
    """Return the variables of an equation of patients (therapists, …) that vary within them and occur as means only."""
    if equation.unit == "session":
        return set()
    terms = equation.parsed.every_term
    parts = [part for term in terms for part in term.parts]
    names = {name for part in parts for name in averaged_in(part)}
    names -= {name for part in parts for name in values_in(part) if name not in set(averaged_in(part))}
    names -= {equation.outcome, equation.sigma, *equation.raters, *source.spec.variables, *source.spec.raters}
    columns = {name: column_for(name, source.study) for name in names}
    return {name for name, column in columns.items() if rows.varies(column)}


def _finer(
    equation: EquationSpec, rows: Rows, variables: Mapping[str, Variable], source: Source, findings: Findings
) -> Evaluator | None:
    """Return the evaluator over sessions for what an equation of patients averages."""
    averaged = [name for name in source.spec.variables_of(equation) if name not in variables]
    if not averaged:
        return None
    sessions = make_rows("session", source.study.sessions)
    made = {name: make_variable(name, source.spec, sessions, source.study, findings.silent) for name in averaged}
    for name in averaged:
        findings.note(f"{name} varies within {rows.unit}s; its means are taken over sessions.")
    ids = _factor_ids(sessions, source, findings)
    every = Evaluator(FUNCTIONS, sessions, made, ids, findings.silent, modelled=source.modelled, until=source.until)
    return replace(every, times=_times(sessions, source))


def _times(rows: Rows, source: Source) -> np.ndarray | None:
    """Return the time of every session where a column plays it; equations read each other along it."""
    if rows.unit != SESSION or not any(TIME in own.predictors for own in source.spec.linear_predictors):
        return None
    return make_variable(TIME, source.spec, rows, source.study, Findings()).values


def _factor_ids(rows: Rows, source: Source, findings: Findings) -> Callable[[str], np.ndarray]:
    cache: dict[str, np.ndarray] = {}

    def factor_ids(factor: str) -> np.ndarray:
        if factor not in cache:
            cache[factor] = rows.ids(factor, source.study.columns, findings)
        return cache[factor]

    return factor_ids
