"""The Design record, and how a table and a spec become one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from bayes_alliance._messages import count_of
from bayes_alliance.design.columns.column_checks import check_doubts, check_read_columns
from bayes_alliance.design.columns.declared_columns import declare_columns
from bayes_alliance.design.columns.group_means import say_others
from bayes_alliance.design.columns.late_entry import check_entry
from bayes_alliance.design.columns.survival import open_periods
from bayes_alliance.design.columns.variables import check_names, check_several_sessions, column_for
from bayes_alliance.design.equations.checks import check_labels, notes_on_means
from bayes_alliance.design.equations.coding import Made, make_equation
from bayes_alliance.design.equations.complete_rows import Source
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.factors import FactorDesign, join_factors
from bayes_alliance.design.equations.latent import join_latent
from bayes_alliance.design.equations.latent_columns import FollowSteps, FollowValue
from bayes_alliance.design.equations.measured_means import Measured
from bayes_alliance.design.equations.outcome_values import state_bounds
from bayes_alliance.design.equations.predictor import Predictor
from bayes_alliance.design.equations.residual import Residuals, join_residuals
from bayes_alliance.design.estimands import EstimandDesign, resolve_estimands
from bayes_alliance.design.groups.membership import check_members
from bayes_alliance.design.optional_terms import resolve_optional
from bayes_alliance.design.optional_variables import leave_out_lacking
from bayes_alliance.design.priors.priors import Priors, resolve_priors
from bayes_alliance.design.priors.priors import Source as PriorSource
from bayes_alliance.design.reserved_names import check_reserved
from bayes_alliance.design.time import resolve_time
from bayes_alliance.design.visit import resolve_visit
from bayes_alliance.errors import DesignError, SpecError
from bayes_alliance.findings import Findings
from bayes_alliance.names import SESSION
from bayes_alliance.spec.equation_order import modelled_by, sort_modelled
from bayes_alliance.spec.model import ModelSpec, PriorSpec
from bayes_alliance.study import PriorStatements, Study, as_study, prior_records
from bayes_alliance.table.sessions import SessionTable


@dataclass(frozen=True, eq=False)
class Design:
    """Where table and spec meet: frozen arrays with names.

    ``spec`` is the model as resolved (optional terms the study lacks are gone); ``equations`` and ``factors`` are in
    the order of the file; ``measured`` are the latent means of variables without an equation; ``fingerprint`` is a
    sha256 over the rows used; ``roles`` are what the table calls its ids and its session.
    """

    spec: ModelSpec
    equations: tuple[EquationDesign, ...]
    factors: tuple[FactorDesign, ...]
    residual: Residuals | None
    measured: tuple[Measured, ...]
    priors: Priors
    estimands: tuple[EstimandDesign, ...]
    columns: Mapping[str, str]
    reference: Mapping[str, str]
    messages: tuple[str, ...]
    fingerprint: str
    roles: Mapping[str, str] = field(default_factory=dict)

    @property
    def linear_predictors(self) -> tuple[Predictor, ...]:
        """Return the linear predictors of every equation, that of the mean first."""
        return tuple(own for equation in self.equations for own in equation.linear_predictors)

    @property
    def equation(self) -> EquationDesign:
        """Return the equation of a model that has one.

        Raises
        ------
        DesignError
            If it has several; ``equations`` holds them, and ``find`` one by its outcome.
        """
        if len(self.equations) > 1:
            outcomes = ", ".join(equation.outcome for equation in self.equations)
            raise DesignError(f"This model has several equations ({outcomes}); say which outcome is meant.")
        return self.equations[0]

    def find(self, outcome: str | None = None) -> EquationDesign:
        """Return the equation of an outcome, by the study's or the model's name of it; None is the only one."""
        for equation in self.equations:
            if outcome in (equation.outcome, equation.spec.outcome):
                return equation
        if outcome is None:
            return self.equation
        known = ", ".join(equation.outcome for equation in self.equations)
        raise DesignError(f"No equation has the outcome {outcome!r}. Outcomes: {known}.")


def make_design(
    spec: ModelSpec,
    study: Study[SessionTable] | SessionTable,
) -> Design:
    """Bring a model and a study together.

    Parameters
    ----------
    spec : ModelSpec
        The model, in its own variable names.
    study : Study or SessionTable
        The rows, and how they hold the model's variables; a table alone has them under the model's names.

    Returns
    -------
    Design
        The same for any order of the rows of the table's source.

    Raises
    ------
    DesignError
        With every problem at once: names, factors without a reference, ids, values, spread, rank, priors.
    """
    return _make(spec, as_study(study), None)


def make_design_until(spec: ModelSpec, study: Study[SessionTable], until: float) -> Design:
    """Bring a model and a table together, with means over the sessions up to one alone.

    Later sessions have rows, whose values are read as they are; means, deviations and constants know nothing of them.
    """
    return _make(spec, study, until)


def _make(spec: ModelSpec, study: Study[SessionTable], until: float | None) -> Design:
    read = study.sessions
    spec, columns = declare_columns(spec, study.columns, read.frame.columns)
    study = replace(study, columns=columns)
    study = replace(study, sessions=open_periods(spec, study))
    findings = Findings(messages=list(study.sessions.messages))
    resolved, study, dropped = match_names(spec, study, findings)
    few = check_several_sessions(resolved, read)
    if few:
        raise DesignError([*findings.problems, *few], count_of(len(read), "row"))
    resolved = state_bounds(resolved, study, findings)
    as_read = study.of(read)
    check_read_columns(resolved, as_read, findings)
    check_entry(resolved, as_read, findings)
    if any(e.bounds is None and e.kind.bounds == "needed" for e in resolved.equation):
        findings.stop(DesignError, count_of(len(read), "row"))  # such outcomes cannot be coded
    doubts = check_doubts(resolved, as_read)
    if doubts:  # nothing can be worked out from such columns
        raise DesignError([*findings.problems, *doubts], count_of(len(read), "row"))
    source = Source(resolved, study, until=until)
    made = _make_equations(source, findings)
    resolved, stated = state_priors(resolved, study.priors, dropped, findings)
    equations, factors = join_factors(resolved, [m.equation for m in made], findings)
    equations, measured = join_latent(source, made, equations, factors, findings)
    parts = [own for e in equations for own in e.linear_predictors]
    every = [(n, f"{t} of {own.name}") for own in parts for n, t in zip(own.coef_labels, own.coef.terms, strict=True)]
    findings.add(check_labels("the model", every))
    findings.note(*notes_on_means(resolved), *say_others(resolved))
    residual = join_residuals(resolved, equations, read.roles.get(SESSION, SESSION), findings)
    estimands = resolve_estimands(resolved, equations, factors, findings)
    numbers = resolve_priors(resolved, equations, factors, residual, measured, stated, dropped, findings)
    findings.stop(DesignError)
    used = {name for equation in equations for name in equation.variables}
    return Design(
        resolved,
        equations,
        factors,
        residual,
        measured,
        numbers,
        estimands,
        study.columns,
        {name: level for name, level in study.reference.items() if name in used},
        tuple(findings.messages),
        _fingerprint(equations, factors, residual, measured, study.sessions),
        dict(study.sessions.roles),
    )


def with_outcomes(design: Design, outcomes: Mapping[str, np.ndarray]) -> Design:
    """Return a design with other outcomes in the same rows.

    Parameters
    ----------
    design : Design
        Not changed; its columns, constants and priors stay.
    outcomes : mapping of str to ndarray, shape (obs,)
        By outcome, all of them.
    """
    return replace(design, equations=tuple(replace(e, y=outcomes[e.outcome]) for e in design.equations))


def match_names(
    spec: ModelSpec,
    study: Study[SessionTable],
    findings: Findings,
) -> tuple[ModelSpec, Study[SessionTable], tuple[str, ...]]:
    """Match a model's variables with a study's columns.

    Returns
    -------
    spec, study, dropped
        The model without the optional terms the study lacks, the study with the columns that are still read, and the
        factors left out.

    Raises
    ------
    DesignError
        If a variable has no column. Names that cannot be used are among the findings.
    """
    spec, study = resolve_time(spec, study, findings)
    study = resolve_visit(spec, study, findings)
    given = _read_declared(spec, study.columns, findings)
    resolved, dropped = resolve_optional(leave_out_lacking(given, study, findings), study, findings)
    gone = _no_longer_named(given, resolved)
    columns = {name: column for name, column in study.columns.items() if name not in gone}
    reference = {name: level for name, level in study.reference.items() if name not in gone}
    left = replace(study, columns=columns, reference=reference)
    problems = check_names(resolved, left) + check_members(resolved, left)
    if problems:
        raise DesignError(problems)
    outcomes = [_study_name(name, resolved, left) for name in resolved.outcomes]
    findings.add(check_reserved(outcomes, resolved.factors, tuple(resolved.shrink)))
    return resolved, left, dropped


def state_priors(
    spec: ModelSpec, priors: PriorStatements, dropped: Sequence[str], findings: Findings
) -> tuple[ModelSpec, list[tuple[PriorSpec, PriorSource]]]:
    """Return the model with the call's statements of priors beside its own, and all of them."""
    stated = _statements(spec, priors, findings)
    return spec.model_copy(update={"prior": tuple(p for p, _ in stated if p.target.factor not in dropped)}), stated


def _make_equations(source: Source, findings: Findings) -> tuple[Made, ...]:
    """Make every equation; where all are to use the same rows, once more with the rows that all can use."""
    own = Findings(list(findings.problems))
    made = _make_each(source, own)
    units, common = {m.rows.unit for m in made}, {}
    for unit in units:
        of_unit = [m for m in made if m.rows.unit == unit]
        usable = np.all([np.isin(np.arange(len(m.rows)), m.place) for m in of_unit], axis=0)
        if source.spec.rows == "common":
            common[unit] = usable
        elif len({len(m.place) for m in of_unit} | {int(usable.sum())}) > 1:
            counts = ", ".join(f"{len(m.place):,} of {m.equation.outcome}" for m in of_unit)
            own.note(
                f"The equations use different rows: {counts}; {int(usable.sum()):,} are common to all. State "
                f'rows = "common" in the model to use these in every equation.'
            )
    if common:
        own = Findings(list(findings.problems))
        made = _make_each(replace(source, common=common), own)
    findings.note(*own.messages)
    return made


def _make_each(source: Source, findings: Findings) -> tuple[Made, ...]:
    """Make every equation, so that the problems of all of them are reported at once.

    An equation comes after those whose modelled values it reads; the order of the file is kept in what is returned.
    """
    made: dict[str, Made] = {}
    where, spec = "", source.spec
    for outcome in sort_modelled(spec):
        equation = next(e for e in spec.equation if e.outcome == outcome)
        if any(name not in made for name in modelled_by(equation)):
            continue  # what it reads could not be made, which is reported
        try:
            read = {name: one.read for name, one in made.items() if one.read is not None}
            made[outcome], messages = make_equation(equation, replace(source, modelled=read))
        except DesignError as error:
            findings.add(error.problems)
            where = error.where
        else:
            findings.note(*messages)
    findings.stop(DesignError, where)
    return tuple(made[outcome] for outcome in spec.outcomes)


def _read_declared(spec: ModelSpec, columns: Mapping[str, str], findings: Findings) -> ModelSpec:
    """Take declared variables that the study holds as columns from there."""
    given = [name for name in spec.variables if name in columns]
    for name in given:
        findings.note(f"{name} is read from column {columns[name]!r}, not worked out as {spec.variables[name]}.")
    left = {name: call for name, call in spec.variables.items() if name not in given}
    return spec.model_copy(update={"variables": left}) if given else spec


def _study_name(name: str, spec: ModelSpec, study: Study[SessionTable]) -> str:
    return name if name in spec.variables else column_for(name, study)


def _no_longer_named(spec: ModelSpec, resolved: ModelSpec) -> set[str]:
    """Return the variables and factors that went with terms a study lacks."""
    before = {name for e in spec.equation for name in (*spec.variables_of(e), *e.factors)}
    return before - {name for e in resolved.equation for name in (*resolved.variables_of(e), *e.factors)}


def _statements(spec: ModelSpec, priors: PriorStatements, findings: Findings) -> list[tuple[PriorSpec, PriorSource]]:
    """Return the model's and the call's statements, parsed once so that a misspelt one is reported here."""
    kept: list[tuple[PriorSpec, PriorSource]] = [(prior, "model") for prior in spec.prior]
    for prior in prior_records(priors):
        try:
            _ = prior.target, prior.distribution
        except SpecError as error:
            findings.add(error.problems)
        else:
            kept.append((prior, "call"))
    return kept


def _fingerprint(
    equations: Sequence[EquationDesign],
    factors: Sequence[FactorDesign],
    residual: Residuals | None,
    measured: Sequence[Measured],
    sessions: SessionTable,
) -> str:
    """Hash who is in each row and every number the likelihood reads."""
    digest = hashlib.sha256()
    for equation in equations:
        code, patients = pd.factorize(equation.patient)
        digest.update("\x1f".join(map(str, patients)).encode() + code.astype(np.int64).tobytes())
        digest.update(np.ascontiguousarray(equation.session, dtype=np.float64).tobytes())
        digest.update(np.ascontiguousarray(equation.y, dtype=np.float64).tobytes())
        for own in equation.linear_predictors:
            digest.update(_bytes_of(own))
        digest.update(np.asarray(equation.sigma_code, dtype=np.int64).tobytes())
        if equation.kind.bounds != "none":
            digest.update(np.array(equation.scale.bounds).tobytes())
        if equation.modelled is not None:
            values = equation.modelled
            digest.update("\x1f".join(values.labels).encode() + np.packbits(values.seen).tobytes())
            ratings = (values.ratings.squares, values.ratings.degrees) if values.ratings is not None else (0.0, 0)
            digest.update(np.ascontiguousarray(values.error, dtype=np.float64).tobytes() + np.array(ratings).tobytes())
        if equation.spec.residuals != "independent":
            digest.update(equation.spec.residuals.encode())
        if equation.scale.trials is not None:
            digest.update(np.ascontiguousarray(equation.scale.trials, dtype=np.float64).tobytes())
        effects = [effect for group in equation.groups for effect in group.effects]
        labels = [*equation.coef_labels, *equation.sigma_coef, *effects]
        labels += [label for own in equation.parameters.values() for label in own.coef_labels]
        digest.update("\x1f".join([*labels, sessions.roles["patient"]]).encode())
        for follow in equation.follows.values():
            digest.update(np.ascontiguousarray(follow.plugged).tobytes())
            if isinstance(follow, FollowValue | FollowSteps):
                digest.update(follow.code.tobytes())
    for factor in factors:
        if factor.by is not None:
            digest.update("\x1f".join(factor.by.labels).encode() + factor.by.code.tobytes())
    if residual is not None and residual.by:
        for stratum in residual.row_strata:
            digest.update("\x1f".join(residual.by).encode() + stratum.tobytes())
    for means in measured:
        for array in (means.mean, means.count, means.size, np.array([means.squares, means.degrees])):
            digest.update(np.ascontiguousarray(array, dtype=np.float64).tobytes())
    return digest.hexdigest()


def _bytes_of(predictor: Predictor) -> bytes:
    """Return columns, covariates and levels of a linear predictor as bytes."""
    arrays = (predictor.coef.values, *(group.values for group in predictor.groups))
    found = [np.ascontiguousarray(array, dtype=np.float64).tobytes() for array in arrays]
    for group in predictor.groups:
        found.append("\x1f".join(group.levels).encode() + group.code.tobytes() + group.inside.tobytes())
        found += [b"membership"] if group.slot else []
    return b"".join(found)
