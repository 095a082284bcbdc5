"""One equation and a table brought together: variables, coded columns, rows kept, groups, checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bayes_alliance.design.columns.arms import Arms, find_arms
from bayes_alliance.design.columns.evaluator import Evaluator
from bayes_alliance.design.columns.functions import ROWWISE, functions_around
from bayes_alliance.design.columns.means import pooled_mean
from bayes_alliance.design.columns.rows import Rows
from bayes_alliance.design.columns.terms import Columns, study_names
from bayes_alliance.design.columns.values import CallColumns, Hidden, Modelled, Plugged, Value
from bayes_alliance.design.columns.variables import Variable, prune_levels
from bayes_alliance.design.equations import checks
from bayes_alliance.design.equations.complete_rows import Groups, Source, Usable, code_columns, find_usable, stop_on
from bayes_alliance.design.equations.equation import EquationDesign, subset_variable
from bayes_alliance.design.equations.linked_predictors import Target
from bayes_alliance.design.equations.missing import Gap, count_gone, find_gaps, say_left_out
from bayes_alliance.design.equations.modelled_values import find_modelled, read_modelled
from bayes_alliance.design.equations.outcome_values import check_outcome, find_trials, observed_outcome
from bayes_alliance.design.equations.predictor import Predictor, centring_constants
from bayes_alliance.design.equations.residual_sd import ResidualSD, find_spread, list_residual_sds
from bayes_alliance.design.equations.series import Series, check_series, line_up_series, say_series
from bayes_alliance.design.equations.visits import check_visits, visit_sds
from bayes_alliance.design.groups.groups import GroupDesign, check_ids, make_group
from bayes_alliance.design.groups.membership import code_memberships
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.names import SESSION, VISITS, clock_of, predictor_label
from bayes_alliance.outcome.scale import ObservedOutcome, OutcomeScale
from bayes_alliance.spec.equation_order import modelled_by
from bayes_alliance.spec.expressions import Call, Name, calls_in, names_in, render
from bayes_alliance.spec.model import EquationSpec, ModelSpec, PredictorSpec
from bayes_alliance.spec.shrinkage import shrunk_outcomes


@dataclass(frozen=True, eq=False)
class Made:
    """An equation with what was coded before rows were left out: ``place`` says which rows were kept.

    ``coef`` and ``groups`` (ids and covariates per factor) cover all ``rows``; ``plugged`` what stands in for latent
    means in them; ``read`` is the outcome as equations see it that read its values, None where no equation does, and
    ``target`` codes the columns at other sessions, for equations that read its linear predictor.
    """

    equation: EquationDesign
    rows: Rows
    place: np.ndarray
    coef: Columns
    groups: Mapping[str, tuple[np.ndarray, Columns]]
    plugged: Mapping[Hidden, Plugged]
    read: Modelled | None
    target: Target


def make_equation(equation: EquationSpec, source: Source) -> tuple[Made, tuple[str, ...]]:
    """Bring one equation and the table together; return it with what a reader should know of its rows and columns.

    Raises
    ------
    DesignError
        With every problem of its variables, values, spread, rank and ids.
    """
    findings = Findings()
    usable = find_usable(equation, source, findings)
    rows, keep, outcome = usable.rows, usable.keep, usable.variables[equation.outcome]
    observed = _check_values(equation, usable, source, findings)
    stop_on(findings, rows)

    variables = _pruned(equation, usable, source, findings)
    evaluator = usable.evaluate(variables, findings)
    whole, coded, starts = code_columns(equation.mean, evaluator, intercept=equation.kind.intercept)
    stop_on(findings, rows)
    arms = find_arms(equation, variables, keep)
    own = {name: subset_variable(variable, keep) for name, variable in variables.items()}
    used = _Used(usable, own, arms, source.spec, findings)
    mean = _predictor(outcome.label, equation.mean, whole, coded, used)
    shares = [s for s in source.spec.shrink.values() if equation.outcome in shrunk_outcomes(source.spec, s)]
    shrunk = {term for shrink in shares for term in shrink.terms}
    findings.add(checks.check_columns_named(outcome.label, mean.coef, mean.groups))
    checks.check_predictors(mean.coef, findings, shrunk)
    findings.add(checks.check_groups(mean.groups, equation.kind))
    parameters = _parameters(equation, evaluator, used, outcome.label)
    stop_on(findings, rows)
    offset = _outcome_centre(equation, outcome, evaluator, findings)
    y = outcome.values[keep] - offset
    modelled = find_modelled(equation, rows, keep, y, variables, mean.groups, arms, source, findings)
    stop_on(findings, rows)
    others = {name for other in source.spec.equation for name in modelled_by(other)}
    read = read_modelled(equation, rows, keep, modelled, y) if equation.outcome in others else None
    y = np.where(np.isnan(y), np.nanmean(y), y)
    series = _series(equation, outcome.label, rows, keep, findings)
    scale = _scale(equation, replace(observed.rows(keep), values=y), mean, list(variables.values()), findings)
    residual_sds, sigma_code = _residual_sds(equation, usable, variables, source, starts, findings)
    design = EquationDesign(
        spec=equation,
        outcome=outcome.label,
        y=y,
        mean=mean,
        residual_sds=() if "sigma" in parameters else residual_sds,
        sigma_code=sigma_code,
        arms=arms,
        row=rows.position[keep],
        patient=rows.key[keep],
        session=rows.session[keep],
        variables=own,
        names=study_names(evaluator),
        rows_read=len(rows),
        ledger=usable.ledger,
        parameters=parameters,
        offset=offset,
        scale=scale,
        modelled=modelled,
        series=series,
        gaps=_gaps(equation, usable, source.spec),
        constants=dict(evaluator.constants),
        knots=dict(evaluator.knots),
        calls={text: _opened(own.rows(keep)) for text, own in _calls(equation, evaluator).items()},
    )
    plugged = {mean: evaluator.means[mean] for mean in _followed(mean.coef, coded)}
    covariates = {factor: (usable.ids[factor], columns) for factor, (columns, _) in coded.items()}
    place, target = np.flatnonzero(keep), _target_of(design, usable, variables, evaluator)
    return Made(design, rows, place, whole, covariates, plugged, read, target), tuple(findings.messages)


def _check_values(equation: EquationSpec, usable: Usable, source: Source, findings: Findings) -> ObservedOutcome:
    """Say which rows are left out, report impossible values in the others, and return the outcome over all rows."""
    rows, keep, outcome = usable.rows, usable.keep, usable.variables[equation.outcome]
    several = len(source.spec.equation) > 1
    gone = count_gone(rows.key, keep)
    findings.note(*say_left_out(outcome.label, several, usable.ledger, len(rows), gone, rows.role))
    trials = find_trials(equation, usable.variables, len(rows))
    observed = observed_outcome(outcome.label, outcome.values, equation, trials, rows)
    known = keep & ~np.isnan(outcome.values)
    if equation.missing == "model" and keep.any() and not known.any():
        findings.problem(
            f"Outcome {outcome.label!r} has no value in any row; nothing says what its missing values are."
        )
    else:
        findings.add(check_outcome(observed.rows(known), equation, usable.ledger))
    return observed


@dataclass(eq=False)
class _Used:
    """The rows used of an equation with their variables, and where findings go."""

    usable: Usable
    variables: Mapping[str, Variable]
    arms: Arms | None
    spec: ModelSpec
    findings: Findings


def _predictor(name: str, part: PredictorSpec, whole: Columns, coded: Groups, used: _Used) -> Predictor:
    """Return a linear predictor over the rows used, with the codes of its group effects."""
    coef = whole.rows(used.usable.keep)
    centre = centring_constants(coef) if part.parsed.intercept else np.zeros(len(coef.labels))
    return Predictor(name, part, coef, centre, tuple(_make_groups(part, coded, used)))


def _parameters(equation: EquationSpec, evaluator: Evaluator, used: _Used, outcome: str) -> dict[str, Predictor]:
    """Return the linear predictors of the family's parameters that have a formula, over the rows used."""
    found = {}
    for parameter, part in equation.parameters.items():
        if used.usable.starts[used.usable.keep].any():
            used.findings.problem(
                "rows that start a series have an SD of their own.",
                where=f"{parameter} = {part.formula!r}",
                fix="Name a factor.",
            )
        whole, coded, _ = code_columns(part, evaluator)
        if used.findings.problems:  # what was reported has no columns to check
            continue
        own = _predictor(predictor_label(parameter, outcome), part, whole, coded, used)
        with used.findings.of(f"{parameter} = {part.formula!r}") as inside:
            checks.check_predictors(own.coef, inside)
            inside.add(checks.check_groups(own.groups, equation.kind))
        found[parameter] = own
    return found


def _gaps(equation: EquationSpec, usable: Usable, spec: ModelSpec) -> tuple[Gap, ...]:
    """Count the missing values of every variable, over all rows."""
    arms = find_arms(equation, usable.variables, np.ones(len(usable.rows), dtype=bool))
    label = usable.variables[equation.outcome].label
    return find_gaps(label, usable.variables, _read_as_modelled(equation, spec), equation.raters, arms)


def _calls(equation: EquationSpec, evaluator: Evaluator) -> dict[str, CallColumns]:
    """Return the columns of the formulas' calls that read other rows, over all rows, by call."""
    predictors = (equation.mean, *equation.parameters.values())
    terms = [term for own in predictors for term in own.parsed.every_term]
    called, found = study_names(evaluator), {}
    for part in dict.fromkeys(part for term in terms for part in term.parts if isinstance(part, Call)):
        if functions_around(part):
            pieces = tuple(evaluator.calls[render(part)])
            found[render(part)] = CallColumns(render(part, lambda name: called.get(name, name)), pieces)
    return found


def _opened(columns: CallColumns) -> CallColumns:
    """Return columns with 0 in rows that start a series, the only rows used that have none."""
    pieces = []
    for piece, value in columns.pieces:
        starts = np.isnan(value.numbers)
        latent = {key: np.where(starts, 0.0, weight) for key, weight in value.latent.items()}
        pieces.append((piece, Value(np.where(starts, 0.0, value.numbers), latent)))
    return CallColumns(columns.label, tuple(pieces))


def _series(equation: EquationSpec, label: str, rows: Rows, keep: np.ndarray, findings: Findings) -> Series | None:
    """Line up rows whose residuals follow those of the session before, where the equation says so."""
    if equation.residuals != "ar1":
        return None
    series = line_up_series(rows.key[keep], rows.session[keep])
    findings.add(check_series(label, series))
    stop_on(findings, rows)
    findings.note(say_series(label, series))
    return series


def _pruned(equation: EquationSpec, usable: Usable, source: Source, findings: Findings) -> dict[str, Variable]:
    """Return variables without levels that no used row has, where these and visits tell what the model asks."""
    variables = {name: prune_levels(v, usable.keep, findings) for name, v in usable.variables.items()}
    findings.add(_check_visits(equation, usable, variables, source))
    stop_on(findings, usable.rows)
    return variables


def _check_visits(
    equation: EquationSpec, usable: Usable, variables: Mapping[str, Variable], source: Source
) -> Sequence[Problem]:
    """Yield what keeps the rows used from telling a covariance of visits, where the equation has one."""
    if equation.residuals != "unstructured":
        return ()
    rows, keep, by = usable.rows, usable.keep, source.spec.residual_by(equation)
    column, instead = source.study.sessions.roles.get(SESSION, SESSION), source.spec.otherwise.get(VISITS, "")
    own = None if by is None else subset_variable(variables[by], keep)
    return tuple(check_visits(variables[equation.outcome], column, (rows.key[keep], rows.session[keep]), own, instead))


def _residual_sds(
    equation: EquationSpec,
    usable: Usable,
    variables: Mapping[str, Variable],
    source: Source,
    starts: np.ndarray,
    findings: Findings,
) -> tuple[tuple[ResidualSD, ...], np.ndarray]:
    """Return the residual SDs of an equation, and each row's place in them."""
    rows, keep, outcome = usable.rows, usable.keep, variables[equation.outcome]
    if equation.residuals != "unstructured":
        return list_residual_sds(outcome, find_spread(equation, variables, findings), keep, starts, findings)
    if starts[keep].any():
        findings.problem(
            "rows that start a series have an SD of their own.",
            where=f'residuals = "unstructured" of {outcome.label!r}',
            fix="Leave the lag out: unstructured residuals say how visits go together.",
        )
        stop_on(findings, rows)
    by, column = source.spec.residual_by(equation), source.study.sessions.roles.get(SESSION, SESSION)
    return visit_sds(outcome, column, rows.session, None if by is None else variables[by], keep)


def _scale(
    equation: EquationSpec,
    observed: ObservedOutcome,
    mean: Predictor,
    variables: Sequence[Variable],
    findings: Findings,
) -> OutcomeScale:
    """Make the scale of the outcome, and say what a reader should know of groups, time and values."""
    outcome = next(variable for variable in variables if variable.name == equation.outcome)
    findings.note(*checks.notes_on_groups(mean.groups), *checks.notes_on_origin(mean.groups))
    findings.note(*checks.notes_on_time(outcome, variables))
    if equation.kind.binary:
        findings.note(*checks.notes_on_separation(outcome.label, observed.values, mean.coef))
    findings.note(*equation.kind.notes(observed))
    return equation.kind.make_scale(observed)


def _target_of(
    design: EquationDesign, usable: Usable, variables: Mapping[str, Variable], evaluator: Evaluator
) -> Target:
    """Return what other equations need to read an equation's linear predictor."""
    equation, clock = design.spec, clock_of(variables)

    def at(time: np.ndarray | None) -> tuple[Columns, Groups]:
        moved = dict(variables)
        if time is not None and clock in moved:
            moved[clock] = replace(moved[clock], values=time)
        return code_columns(equation.mean, usable.evaluate(moved, Findings()), intercept=equation.kind.intercept)[:2]

    parts = [part for term in equation.parsed.every_term for part in term.parts]
    around = [call for part in parts for call in calls_in(part) if call.function not in ROWWISE]
    fixed = [render(call) for call in around if clock in names_in(call)]
    calls, first = _calls(equation, evaluator), fixed[0] if fixed else ""
    return Target(design.outcome, usable.rows, at, usable.ids, variables, calls, clock in variables, first)


def _read_as_modelled(equation: EquationSpec, spec: ModelSpec) -> set[str]:
    """Return the variables whose missing values an equation models, or reads as modelled."""
    models = {other.outcome for other in spec.equation if other.missing == "model"}
    return {name for name in (equation.outcome, *modelled_by(equation)) if name in models}


def _make_groups(part: PredictorSpec, coded: Groups, used: _Used) -> list[GroupDesign]:
    """Give every factor its codes over the rows used, with ids checked."""
    groups: list[GroupDesign] = []
    keep, ids, keys = used.usable.keep, used.usable.ids, used.usable.rows.key[used.usable.keep]
    others = (used.arms, used.spec, used.findings, used.variables, keys)
    for factor, (effects, blocks) in coded.items():
        term = next(group for group in part.parsed.groups if group.factor == factor)
        kept, own, group = effects.rows(keep), ids[factor][keep], used.spec.group(factor)
        if group.members:
            groups += code_memberships(factor, term, [ids[name][keep] for name in group.members], kept, blocks, *others)
            continue
        values = check_ids(factor, term, own, kept.values, used.arms, group, used.findings)
        groups.append(make_group(factor, own, replace(kept, values=values), blocks, used.findings))
    return groups


def _followed(coef: Columns, coded: Groups) -> tuple[Hidden, ...]:
    """Return what is estimated that some column follows."""
    return tuple(dict.fromkeys([*coef.means, *(mean for columns, _ in coded.values() for mean in columns.means)]))


def _outcome_centre(equation: EquationSpec, outcome: Variable, evaluator: Evaluator, findings: Findings) -> float:
    """Return the constant taken from the outcome, and say so."""
    if equation.centre is None:
        return 0.0
    constant = pooled_mean(evaluator, [Name(equation.centre)])
    label = evaluator.variables[equation.centre].label
    findings.note(f"{outcome.label} is taken less {constant:.4g}, the mean of {label}.")
    return constant
