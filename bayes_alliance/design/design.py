"""The Design record, and how a table and a spec become one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bayes_alliance._messages import count_of, quote
from bayes_alliance.design import checks
from bayes_alliance.design.arms import Arms, find_arms
from bayes_alliance.design.centring import centre_on_outer, centre_on_population
from bayes_alliance.design.groups import (
    GroupDesign,
    check_ids,
    choose_parametrization,
    code_groups,
    make_group,
)
from bayes_alliance.design.missing import keep_rows, missing_reasons
from bayes_alliance.design.optional import resolve_optional
from bayes_alliance.design.priors import Priors, Source, outcome_scales, resolve_priors
from bayes_alliance.design.reserved import check_reserved
from bayes_alliance.design.rows import Rows, make_rows
from bayes_alliance.design.terms import Columns, code_terms
from bayes_alliance.design.transforms import Evaluator
from bayes_alliance.design.variables import Variable, check_names, make_variable, prune_levels
from bayes_alliance.errors import DesignError
from bayes_alliance.names import INTERCEPT, coef_label, level_label
from bayes_alliance.spec.model import EquationSpec, FamilyName, ModelSpec, PriorSpec
from bayes_alliance.table.sessions import SessionTable

type PriorStatements = Mapping[str, str] | Sequence[PriorSpec]


@dataclass(frozen=True, eq=False)
class EquationDesign:
    """One equation over its rows.

    ``outcome`` is the study's name of the outcome; ``y`` has shape (obs,); ``coef`` holds the coded population
    columns, shape (obs, coef); ``centre`` their centring constants, shape (coef,), 0 for the intercept;
    ``sigma_code`` points into ``sigma_coef``. ``row`` is each row's position in the session table, ``session`` its
    session number (NaN at the patient unit).
    """

    spec: EquationSpec
    outcome: str
    y: np.ndarray
    coef: Columns
    centre: np.ndarray
    groups: tuple[GroupDesign, ...]
    sigma_coef: tuple[str, ...]
    sigma_code: np.ndarray
    priors: Priors
    arms: Arms | None
    row: np.ndarray
    patient: np.ndarray
    session: np.ndarray
    variables: Mapping[str, Variable]

    @property
    def coef_labels(self) -> tuple[str, ...]:
        """Return the coord of ``b``: outcome and term in the study's names."""
        return tuple(coef_label(self.outcome, label) for label in self.coef.labels)

    def effect_labels(self, group: GroupDesign) -> tuple[str, ...]:
        """Return the coord of a factor's group effects: outcome and effect in the study's names."""
        return tuple(coef_label(self.outcome, effect) for effect in group.effects)

    @property
    def family(self) -> FamilyName:
        """Return the family of the outcome."""
        return self.spec.family


@dataclass(frozen=True, eq=False)
class Design:
    """Where table and spec meet: frozen arrays with names.

    ``spec`` is the model as resolved (optional terms the study lacks are gone); ``ledger`` counts rows left out by
    reason and, with the rows used, adds up to the rows read; ``fingerprint`` is a sha256 over the rows used.
    """

    spec: ModelSpec
    equation: EquationDesign
    columns: Mapping[str, str]
    reference: Mapping[str, str]
    rows_read: int
    ledger: Mapping[str, int]
    messages: tuple[str, ...]
    fingerprint: str


def make_design(
    spec: ModelSpec,
    sessions: SessionTable,
    *,
    columns: Mapping[str, str] | None = None,
    reference: Mapping[str, str] | None = None,
    priors: PriorStatements = (),
) -> Design:
    """Bring a model and a table together.

    Parameters
    ----------
    spec : ModelSpec
        The model, in its own variable names.
    sessions : SessionTable
        The rows.
    columns : mapping of str to str
        Model variable to column of the table; ``"grp[RO-DBT]"`` maps to 1 for that level and 0 for the others. A
        variable of the same name as a column needs no entry.
    reference : mapping of str to str
        Model variable to the level others are compared with; makes a numeric variable a factor.
    priors : mapping of str to str, or sequence of PriorSpec
        Priors that replace the defaults and the model's, such as ``{"sd therapist": "half_normal(1)"}``.

    Returns
    -------
    Design
        The same for any order of the rows of the table's source.

    Raises
    ------
    DesignError
        With every problem at once: names, factors without a reference, ids, values, spread, rank, priors.
    """
    if len(spec.equation) > 1:
        raise DesignError(
            f"This model has {len(spec.equation)} equations; models of one equation can be fitted. Split the model."
        )
    columns, reference = dict(columns or {}), dict(reference or {})
    messages = list(sessions.messages)
    resolved, dropped = resolve_optional(spec, sessions, columns, messages)
    problems = check_names(resolved, sessions, _still_named(columns, spec, resolved), reference)
    if problems:
        raise DesignError(problems)
    equation = resolved.equation[0]
    rows = make_rows(equation.unit, sessions)
    variables = {
        name: make_variable(name, resolved, rows, columns, reference, problems, messages) for name in equation.variables
    }
    outcome = variables[equation.outcome]
    if outcome.levels is not None:
        problems = [p for p in problems if not p.startswith(f"Factor {outcome.name!r}")]
        problems.append(f"Outcome {outcome.label!r} holds words ({quote(outcome.levels[:5])}); a number is needed.")
    problems += check_reserved(outcome.label, equation.factors)
    if problems:
        raise DesignError(problems, count_of(len(rows), "row"))
    stated = _statements(resolved, priors, problems)
    resolved = resolved.model_copy(update={"prior": tuple(p for p, _ in stated if p.target.factor not in dropped)})
    made, ledger = _make_equation(resolved, rows, variables, columns, stated, dropped, problems, messages)
    return Design(
        resolved,
        made,
        _still_named(columns, spec, resolved),
        {name: level for name, level in reference.items() if name in variables},
        len(rows),
        ledger,
        tuple(messages),
        _fingerprint(made, sessions),
    )


def _still_named(columns: Mapping[str, str], spec: ModelSpec, resolved: ModelSpec) -> dict[str, str]:
    """Leave out mappings for variables that went with an optional term."""
    gone = set(spec.equation[0].variables) - set(resolved.equation[0].variables)
    gone |= set(spec.equation[0].factors) - set(resolved.equation[0].factors)
    return {name: column for name, column in columns.items() if name not in gone}


def _statements(spec: ModelSpec, priors: PriorStatements, problems: list[str]) -> list[tuple[PriorSpec, Source]]:
    """Return the model's and the call's statements, parsed once so that a misspelt one is reported here."""
    if isinstance(priors, Mapping):
        stated = [PriorSpec(on=str(on), dist=str(dist), reason="Stated in the call.") for on, dist in priors.items()]
    else:
        stated = list(priors)
    kept: list[tuple[PriorSpec, Source]] = [(prior, "model") for prior in spec.prior]
    for prior in stated:
        try:
            _ = prior.target, prior.distribution
        except ValueError as error:
            problems.append(str(error))
        else:
            kept.append((prior, "call"))
    return kept


def _make_equation(
    spec: ModelSpec,
    rows: Rows,
    variables: Mapping[str, Variable],
    columns: Mapping[str, str],
    stated: list[tuple[PriorSpec, Source]],
    dropped: Sequence[str],
    problems: list[str],
    messages: list[str],
) -> tuple[EquationDesign, dict[str, int]]:
    equation = spec.equation[0]
    formula = equation.parsed
    cache: dict[str, np.ndarray] = {}

    def factor_ids(factor: str) -> np.ndarray:
        if factor not in cache:
            cache[factor] = rows.ids(factor, columns, problems)
        return cache[factor]

    evaluator = Evaluator(rows, variables, factor_ids, problems)
    outcome = variables[equation.outcome]
    coef = code_terms(formula.intercept, formula.terms, evaluator)
    coded = code_groups(formula.groups, evaluator)
    ids = {factor: factor_ids(factor) for factor in coded}
    sigma = _sigma(equation, variables, problems)
    if problems:
        raise DesignError(problems, count_of(len(rows), "row"))

    reasons = missing_reasons(outcome, coef, coded, sigma)
    keep, ledger = keep_rows(reasons, len(rows), rows, messages)
    problems += checks.check_outcome(outcome.label, outcome.values[keep], equation.family, ledger)
    if problems:
        raise DesignError(problems, count_of(len(rows), "row"))

    variables = {name: prune_levels(v, keep, problems, messages) for name, v in variables.items()}
    if problems:
        raise DesignError(problems, count_of(len(rows), "row"))
    evaluator = Evaluator(rows, variables, factor_ids, problems)
    coef = code_terms(formula.intercept, formula.terms, evaluator)
    coded = code_groups(formula.groups, evaluator)
    sigma = _sigma(equation, variables, problems)
    coef = Columns(coef.labels, coef.terms, coef.values[keep])
    arms = find_arms(equation, variables, keep)
    groups = []
    for factor, (effects, blocks) in coded.items():
        term = next(group for group in formula.groups if group.factor == factor)
        values = check_ids(
            factor, term, ids[factor][keep], effects.values[keep], arms, spec.group(factor), problems, messages
        )
        groups.append(make_group(factor, ids[factor][keep], effects, values, blocks, problems))
    problems += checks.check_predictors(coef) + checks.check_groups(groups, equation.family)
    y = outcome.values[keep]
    scales = outcome_scales(y, equation.family)
    sigma_coef, sigma_code = _sigma_labels(outcome, sigma, keep)
    priors = resolve_priors(
        outcome.label, equation.family, coef, groups, sigma_coef, scales, stated, dropped, problems, messages
    )
    if problems:
        raise DesignError(problems, count_of(len(rows), "row"))
    messages += checks.notes_on_groups(groups)
    if equation.family == "bernoulli":
        messages += checks.notes_on_separation(outcome.label, y, coef)
    residual, variance = _residual(y, coef.values, equation.family)
    centre = np.where([label == INTERCEPT for label in coef.labels], 0.0, coef.values.mean(axis=0))
    made = EquationDesign(
        spec=equation,
        outcome=outcome.label,
        y=y,
        coef=coef,
        centre=centre if INTERCEPT in coef.labels else np.zeros(len(coef.labels)),
        groups=centre_on_population(centre_on_outer(choose_parametrization(groups, residual, variance)), coef),
        sigma_coef=sigma_coef,
        sigma_code=sigma_code,
        priors=priors,
        arms=arms,
        row=rows.position[keep],
        patient=rows.patient[keep],
        session=rows.session[keep],
        variables={name: _subset(variable, keep) for name, variable in variables.items()},
    )
    return made, ledger


def _subset(variable: Variable, keep: np.ndarray) -> Variable:
    return Variable(variable.name, variable.label, variable.values[keep], variable.levels)


def _sigma(equation: EquationSpec, variables: Mapping[str, Variable], problems: list[str]) -> Variable | None:
    if equation.sigma is None:
        return None
    variable = variables[equation.sigma]
    if variable.levels is None:
        problems.append(
            f"sigma = {equation.sigma!r}: column {variable.label!r} is a number; residual SDs differ by the levels of "
            f"a factor. State reference={{{equation.sigma!r}: ...}} to read it as one."
        )
    return variable


def _sigma_labels(outcome: Variable, sigma: Variable | None, keep: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    if sigma is None or sigma.levels is None:
        return (outcome.label,), np.zeros(int(keep.sum()), dtype=np.int64)
    code = sigma.values[keep].astype(np.int64)
    present, code = np.unique(code, return_inverse=True)
    labels = tuple(coef_label(outcome.label, level_label(sigma.label, sigma.levels[i])) for i in present)
    return labels, code.astype(np.int64)


def _residual(y: np.ndarray, x: np.ndarray, family: FamilyName) -> tuple[np.ndarray, float]:
    """Return least-squares residuals; for 0/1 outcomes on the logit scale (divided by p(1 - p))."""
    fitted = x @ np.linalg.lstsq(x, y, rcond=None)[0] if x.shape[1] else np.zeros_like(y)
    residual = y - fitted
    if family == "bernoulli":
        p = float(np.clip(y.mean(), 0.01, 0.99))
        residual = residual / (p * (1 - p))
    return residual, float(residual.var()) or 1.0


def _fingerprint(equation: EquationDesign, sessions: SessionTable) -> str:
    """Hash who is in each row and every number the likelihood reads."""
    digest = hashlib.sha256()
    for i, patient in enumerate(equation.patient):
        digest.update(f"{patient}\x1f{equation.session[i]!r}\x1e".encode())
    for array in (equation.y, equation.coef.values, *(group.values for group in equation.groups)):
        digest.update(np.ascontiguousarray(array, dtype=np.float64).tobytes())
    for group in equation.groups:
        digest.update("\x1f".join(np.asarray(group.levels, dtype=object)[group.code]).encode())
    digest.update(np.asarray(equation.sigma_code, dtype=np.int64).tobytes())
    labels = [*equation.coef_labels, *equation.sigma_coef, *(label for g in equation.groups for label in g.effects)]
    digest.update("\x1f".join([*labels, sessions.roles["patient"]]).encode())
    return digest.hexdigest()
