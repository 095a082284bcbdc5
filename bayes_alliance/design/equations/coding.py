"""One equation and a table brought together: variables, coded columns, rows kept, groups, checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bayes_alliance.design.columns.arms import Arms, find_arms
from bayes_alliance.design.columns.evaluator import Evaluator
from bayes_alliance.design.columns.functions import ROWWISE
from bayes_alliance.design.columns.means import pooled_mean
from bayes_alliance.design.columns.rows import Rows
from bayes_alliance.design.columns.terms import Columns, study_names
from bayes_alliance.design.columns.values import Hidden, Plugged
from bayes_alliance.design.columns.variables import Variable, prune_levels
from bayes_alliance.design.equations import checks
from bayes_alliance.design.equations.complete_rows import Groups, Source, Usable, code_columns, find_usable, stop_on
from bayes_alliance.design.equations.equation import EquationDesign, subset_variable
from bayes_alliance.design.equations.linked_predictors import Target
from bayes_alliance.design.equations.missing import count_gone, find_gaps, say_left_out
from bayes_alliance.design.equations.modelled_values import find_modelled, read_modelled
from bayes_alliance.design.equations.outcome_values import check_outcome, find_trials, observed_outcome
from bayes_alliance.design.equations.residual_sd import find_spread, label_spread
from bayes_alliance.design.equations.series import check_series, line_up_series, say_series
from bayes_alliance.design.groups.groups import GroupDesign, check_ids, make_group
from bayes_alliance.design.groups.membership import code_memberships
from bayes_alliance.names import INTERCEPT, SESSION, spread_label
from bayes_alliance.outcome.scale import OutcomeScale
from bayes_alliance.spec.expressions import Name, calls_in, names_in, render
from bayes_alliance.spec.model import EquationSpec, ModelSpec
from bayes_alliance.spec.order import modelled_by
from bayes_alliance.spec.shrink import shrunk_outcomes


@dataclass(frozen=True, eq=False)
class Made:
    """An equation with what was coded before rows were left out: ``place`` says which rows were kept.

    ``coef`` and ``groups`` (ids and covariates per factor) cover all ``rows``; ``plugged`` what stands in for latent
    means in them; ``target`` codes the columns at other sessions, for equations that read this one's linear predictor.
    """

    equation: EquationDesign
    rows: Rows
    place: np.ndarray
    coef: Columns
    groups: Mapping[str, tuple[np.ndarray, Columns]]
    plugged: Mapping[Hidden, Plugged]
    target: Target


def make_equation(equation: EquationSpec, source: Source) -> Made:
    """Bring one equation and the table together.

    Raises
    ------
    DesignError
        With every problem of its variables, values, spread, rank and ids.
    """
    problems: list[str] = []
    messages: list[str] = []
    usable = find_usable(equation, source, problems, messages)
    rows, everything, ids, keep, ledger = usable.rows, usable.variables, usable.ids, usable.keep, usable.ledger
    outcome = everything[equation.outcome]
    several = len(source.spec.equation) > 1
    messages += say_left_out(outcome.label, several, ledger, len(rows), count_gone(rows.key, keep), rows.role)
    observed = observed_outcome(outcome.label, outcome.values, equation, find_trials(equation, everything, len(rows)))
    known = keep & ~np.isnan(outcome.values)
    if equation.missing == "model" and keep.any() and not known.any():
        problems.append(f"Outcome {outcome.label!r} has no value in any row; nothing says what its missing values are.")
    else:
        problems += check_outcome(observed.rows(known), equation, ledger)
    stop_on(problems, rows)

    variables = {name: prune_levels(v, keep, problems, messages) for name, v in everything.items()}
    stop_on(problems, rows)
    evaluator = usable.evaluate(variables, messages)
    whole, coded, starts = code_columns(equation, evaluator)
    stop_on(problems, rows)
    coef = whole.rows(keep)
    sigma = find_spread(equation, variables, problems)
    arms = find_arms(equation, variables, keep)
    own = {name: subset_variable(variable, keep) for name, variable in variables.items()}
    further = (own, rows.key[keep])
    groups = _make_groups(equation, coded, ids, keep, arms, source.spec, problems, messages, *further)
    shares = [s for s in source.spec.shrink.values() if equation.outcome in shrunk_outcomes(source.spec, s)]
    shrunk = {term for shrink in shares for term in shrink.terms}
    problems += checks.check_columns_named(outcome.label, coef, groups)
    problems += checks.check_predictors(coef, shrunk, messages) + checks.check_groups(groups, equation.kind)
    spread = _code_spread(equation, usable, evaluator, arms, source.spec, problems, messages)
    stop_on(problems, rows)
    offset = _outcome_centre(equation, outcome, evaluator, messages)
    y = outcome.values[keep] - offset
    modelled = find_modelled(equation, rows, keep, y, variables, groups, arms, problems, messages)
    stop_on(problems, rows)
    source.modelled[equation.outcome] = read_modelled(equation, rows, keep, modelled, y)
    y = np.where(np.isnan(y), np.nanmean(y), y)
    every = find_arms(equation, everything, np.ones(len(rows), dtype=bool))
    series = None
    if equation.residuals == "ar1":
        series = line_up_series(rows.key[keep], rows.session[keep])
        problems += check_series(outcome.label, series)
        stop_on(problems, rows)
        messages.append(say_series(outcome.label, series))
    messages += checks.notes_on_groups(groups) + checks.notes_on_time(outcome, list(variables.values()))
    if equation.kind.binary:
        messages += checks.notes_on_separation(outcome.label, y, coef)
    used = replace(observed.rows(keep), values=y)
    scale = equation.kind.make_scale(used)
    messages += equation.kind.notes(used)
    sigma_coef, sigma_code = label_spread(outcome, sigma, keep, starts, messages)
    source.note(messages)
    design = EquationDesign(
        spec=equation,
        outcome=outcome.label,
        y=y,
        coef=coef,
        centre=_centre_of(coef) if equation.parsed.intercept else np.zeros(len(coef.labels)),
        groups=tuple(groups),
        sigma_coef=sigma_coef if spread is None else (),
        sigma_code=sigma_code,
        arms=arms,
        row=rows.position[keep],
        patient=rows.key[keep],
        session=rows.session[keep],
        variables=own,
        names=study_names(evaluator),
        rows_read=len(rows),
        ledger=ledger,
        offset=offset,
        scale=scale,
        modelled=modelled,
        series=series,
        gaps=find_gaps(outcome.label, everything, _read_as_modelled(equation, source.spec), equation.raters, every),
    )
    if spread is not None and equation.spread is not None:
        design = replace(design, spread=_spread_of(design, equation.spread, *spread))
    plugged = {mean: evaluator.means[mean] for mean in _followed(coef, coded)}
    covariates = {factor: (ids[factor], columns) for factor, (columns, _) in coded.items()}
    return Made(design, rows, np.flatnonzero(keep), whole, covariates, plugged, _target_of(design, usable, variables))


def _target_of(design: EquationDesign, usable: Usable, variables: Mapping[str, Variable]) -> Target:
    """Return what other equations need to read an equation's linear predictor."""
    equation = design.spec

    def at(session: np.ndarray | None) -> tuple[Columns, Groups]:
        moved = dict(variables)
        if session is not None and SESSION in moved:
            moved[SESSION] = replace(moved[SESSION], values=session)
        return code_columns(equation, usable.evaluate(moved, []))[:2]

    parts = [part for term in equation.parsed.every_term for part in term.parts]
    around = [call for part in parts for call in calls_in(part) if call.function not in ROWWISE]
    fixed = [render(call) for call in around if SESSION in names_in(call)]
    return Target(design.outcome, usable.rows, at, usable.ids, SESSION in variables, fixed[0] if fixed else "")


def _read_as_modelled(equation: EquationSpec, spec: ModelSpec) -> set[str]:
    """Return the variables whose missing values an equation models, or reads as modelled."""
    models = {other.outcome for other in spec.equation if other.missing == "model"}
    return {name for name in (equation.outcome, *modelled_by(equation)) if name in models}


def _centre_of(coef: Columns) -> np.ndarray:
    return np.where([label == INTERCEPT for label in coef.labels], 0.0, coef.values.mean(axis=0))


def _code_spread(
    equation: EquationSpec,
    usable: Usable,
    evaluator: Evaluator,
    arms: Arms | None,
    spec: ModelSpec,
    problems: list[str],
    messages: list[str],
) -> tuple[Columns, list[GroupDesign]] | None:
    """Return columns and groups of the log residual SD over the rows used, or None where it is no formula."""
    if equation.spread is None:
        return None
    if usable.starts[usable.keep].any():
        problems.append(f"sigma = {equation.sigma!r}: rows that start a series have an SD of their own; name a factor.")
    whole, coded, _ = code_columns(equation.spread, evaluator)
    if problems:  # what was reported has no columns to check
        return None
    coef = whole.rows(usable.keep)
    weights = {name: subset_variable(v, usable.keep) for name, v in evaluator.variables.items()}
    further = (weights, usable.rows.key[usable.keep])
    groups = _make_groups(equation.spread, coded, usable.ids, usable.keep, arms, spec, problems, messages, *further)
    found = checks.check_predictors(coef) + checks.check_groups(groups, equation.kind)
    problems += [f"sigma = {equation.sigma!r}: {problem}" for problem in found]
    return coef, groups


def _spread_of(
    design: EquationDesign, spec: EquationSpec, coef: Columns, groups: Sequence[GroupDesign]
) -> EquationDesign:
    """Return the equation of the log residual SD over the rows of an equation."""
    return replace(
        design,
        spec=spec,
        outcome=spread_label(design.outcome),
        y=np.zeros(len(design.y)),
        coef=coef,
        centre=_centre_of(coef),
        groups=tuple(groups),
        offset=0.0,
        scale=OutcomeScale(),
        modelled=None,
        series=None,
        log_spread=True,
    )


def _make_groups(
    equation: EquationSpec,
    coded: Groups,
    ids: Mapping[str, np.ndarray],
    keep: np.ndarray,
    arms: Arms | None,
    spec: ModelSpec,
    problems: list[str],
    messages: list[str],
    weights: Mapping[str, Variable],
    keys: np.ndarray,
) -> list[GroupDesign]:
    """Give every factor its codes over the rows used, with ids checked."""
    groups: list[GroupDesign] = []
    others = (arms, spec, problems, messages, weights, keys)
    for factor, (effects, blocks) in coded.items():
        term = next(group for group in equation.parsed.groups if group.factor == factor)
        kept, own = effects.rows(keep), ids[factor][keep]
        memberships = spec.group(factor).members
        if memberships:
            groups += code_memberships(factor, term, [ids[name][keep] for name in memberships], kept, blocks, *others)
            continue
        values = check_ids(factor, term, own, kept.values, arms, spec.group(factor), problems, messages)
        groups.append(make_group(factor, own, replace(kept, values=values), blocks, problems))
    return groups


def _followed(coef: Columns, coded: Groups) -> tuple[Hidden, ...]:
    """Return what is estimated that some column follows."""
    return tuple(dict.fromkeys([*coef.means, *(mean for columns, _ in coded.values() for mean in columns.means)]))


def _outcome_centre(equation: EquationSpec, outcome: Variable, evaluator: Evaluator, messages: list[str]) -> float:
    """Return the constant taken from the outcome, and say so."""
    if equation.centre is None:
        return 0.0
    constant = pooled_mean(evaluator, [Name(equation.centre)])
    label = evaluator.variables[equation.centre].label
    messages.append(f"{outcome.label} is taken less {constant:.4g}, the mean of {label}.")
    return constant
