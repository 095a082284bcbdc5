"""One equation and a table brought together: variables, coded columns, rows kept, groups, checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bayes_alliance._messages import count_of, quote
from bayes_alliance.design import checks
from bayes_alliance.design.arms import Arms, find_arms
from bayes_alliance.design.equation import EquationDesign, subset_variable
from bayes_alliance.design.groups import Block, GroupDesign, check_ids, code_groups, make_group
from bayes_alliance.design.means import pooled_mean
from bayes_alliance.design.membership import find_weights, make_memberships, say_memberships, weight_variables
from bayes_alliance.design.missing import count_gone, find_gaps, keep_rows, missing_reasons, say_left_out
from bayes_alliance.design.modelled import Modelled, find_modelled, read_modelled
from bayes_alliance.design.rows import Rows, make_rows
from bayes_alliance.design.scale import OutcomeScale, check_outcome, find_trials, make_scale
from bayes_alliance.design.series import check_series, line_up_series, say_series
from bayes_alliance.design.spread import find_spread, label_spread
from bayes_alliance.design.terms import Columns, code_terms, study_names
from bayes_alliance.design.transforms import Evaluator
from bayes_alliance.design.values import Hidden, MeanOf, Plugged
from bayes_alliance.design.variables import Variable, column_for, make_variable, prune_levels
from bayes_alliance.errors import DesignError
from bayes_alliance.names import INTERCEPT, spread_label
from bayes_alliance.spec.expressions import GroupTerm, Name
from bayes_alliance.spec.families import BINARY
from bayes_alliance.spec.model import EquationSpec, ModelSpec, Unit
from bayes_alliance.spec.order import modelled_by
from bayes_alliance.spec.reading import averaged_in, values_in
from bayes_alliance.table.sessions import SessionTable

type Groups = dict[str, tuple[Columns, tuple[Block, ...]]]


@dataclass(frozen=True, eq=False)
class Made:
    """An equation with what was coded before rows were left out: ``place`` says which rows were kept.

    ``coef`` and ``groups`` (ids and covariates per factor) cover all ``rows``; ``plugged`` what stands in for latent
    means in them.
    """

    equation: EquationDesign
    rows: Rows
    place: np.ndarray
    coef: Columns
    groups: Mapping[str, tuple[np.ndarray, Columns]]
    plugged: Mapping[Hidden, Plugged]


@dataclass(eq=False)
class Source:
    """What all equations of a design are made from; messages are collected here.

    ``common`` holds per unit the rows that every equation can use, where all are to use the same. ``modelled`` holds,
    of outcomes made so far, which of their values are modelled. ``levels`` are those
    of factors, by variable, where ``sessions`` is a part of a table.
    """

    spec: ModelSpec
    sessions: SessionTable
    columns: Mapping[str, str]
    reference: Mapping[str, str]
    messages: list[str]
    common: dict[Unit, np.ndarray] = field(default_factory=dict)
    modelled: dict[str, Modelled] = field(default_factory=dict)
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def note(self, messages: Sequence[str]) -> None:
        """Collect messages once each."""
        self.messages += [message for message in messages if message not in self.messages]


@dataclass(frozen=True, eq=False)
class Usable:
    """An equation over all its rows, as coded, and which of them can be used: ``keep``, and ``ledger`` why not.

    ``coef`` and ``coded`` hold the columns, ``ids`` the levels of grouping factors (those of the log residual SD too),
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
    evaluate: Callable[[Mapping[str, Variable], list[str]], Evaluator]


def find_usable(equation: EquationSpec, source: Source, problems: list[str], messages: list[str]) -> Usable:
    """Code an equation over all its rows and find those that lack nothing.

    Raises
    ------
    DesignError
        With every problem of its variables.
    """
    rows = make_rows(equation.unit, source.sessions)
    variables = _variables(equation, rows, source, problems, messages)
    outcome = variables[equation.outcome]
    if outcome.levels is not None:
        problems[:] = [p for p in problems if not p.startswith(f"Factor {outcome.name!r}")]
        problems.append(f"Outcome {outcome.label!r} holds words ({quote(outcome.levels[:5])}); a number is needed.")
    _stop(problems, rows)
    factor_ids = _factor_ids(rows, source, problems)
    finer = _finer(equation, rows, variables, source, problems)

    def evaluate(chosen: Mapping[str, Variable], notes: list[str]) -> Evaluator:
        arm = next((v for v in chosen.values() if v.name == "condition" and v.levels), None)
        return Evaluator(rows, chosen, factor_ids, problems, notes, source.modelled, finer, arm)

    coef, coded, starts = _code(equation, evaluate(variables, []))
    spread = None if equation.spread is None else _code(equation.spread, evaluate(variables, []))[:2]
    spread_groups = {} if spread is None else spread[1]
    members = [name for factor in {**coded, **spread_groups} for name in source.spec.group(factor).members]
    ids = {factor: factor_ids(factor) for factor in {**coded, **spread_groups, **dict.fromkeys(members)}}
    sigma = find_spread(equation, variables, problems)
    _stop(problems, rows)

    weights = {name for factor in equation.factors for name in source.spec.group(factor).weights}
    known = {*equation.variables, *weights}
    strata = [variables[name] for name in source.spec.variables_of(equation) if name not in known]
    trials = [variables[equation.trials]] if isinstance(equation.trials, str) else []
    modelled = equation.missing == "model"
    reasons = missing_reasons(outcome, coef, coded, [*([sigma] if sigma else []), *trials, *strata], modelled=modelled)
    if spread is not None:
        reasons += missing_reasons(outcome, *spread, [], modelled=True)
    if equation.unit in source.common:
        reasons.append(("not usable in every equation", ~source.common[equation.unit]))
    keep, ledger = keep_rows(reasons, len(rows))
    return Usable(rows, variables, coef, coded, ids, starts, sigma, keep, ledger, evaluate)


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
    trials = find_trials(equation, everything, len(rows))
    trials = None if trials is None else trials[keep]
    known = keep & ~np.isnan(outcome.values)
    if equation.missing == "model" and keep.any() and not known.any():
        problems.append(f"Outcome {outcome.label!r} has no value in any row; nothing says what its missing values are.")
    else:
        problems += check_outcome(outcome.label, outcome.values[known], equation, trials, ledger)
    _stop(problems, rows)

    variables = {name: prune_levels(v, keep, problems, messages) for name, v in everything.items()}
    _stop(problems, rows)
    evaluator = usable.evaluate(variables, messages)
    whole, coded, starts = _code(equation, evaluator)
    coef = whole.rows(keep)
    sigma = find_spread(equation, variables, problems)
    arms = find_arms(equation, variables, keep)
    weights = {name: subset_variable(variable, keep) for name, variable in variables.items()}
    further = (weights, rows.key[keep])
    groups = _make_groups(equation, coded, ids, keep, arms, source.spec, problems, messages, *further)
    shrunk = {term for shrink in source.spec.shrink.values() for term in shrink.terms}
    problems += checks.check_predictors(coef, shrunk, messages) + checks.check_groups(groups, equation.family)
    spread = _code_spread(equation, usable, evaluator, arms, source.spec, problems, messages)
    if spread is not None and starts[keep].any():
        problems.append(f"sigma = {equation.sigma!r}: rows that start a series have an SD of their own; name a factor.")
    _stop(problems, rows)
    offset = _outcome_centre(equation, outcome, evaluator, messages)
    y = outcome.values[keep] - offset
    modelled = find_modelled(equation, rows, keep, y, variables, groups, arms, problems, messages)
    _stop(problems, rows)
    source.modelled[equation.outcome] = read_modelled(equation, rows, keep, modelled, y)
    y = np.where(np.isnan(y), np.nanmean(y), y)
    every = find_arms(equation, everything, np.ones(len(rows), dtype=bool))
    series = None
    if equation.residuals == "ar1":
        series = line_up_series(rows.key[keep], rows.session[keep])
        problems += check_series(outcome.label, series)
        _stop(problems, rows)
        messages.append(say_series(outcome.label, series))
    messages += checks.notes_on_groups(groups) + checks.notes_on_time(outcome, list(variables.values()))
    if equation.family in BINARY:
        messages += checks.notes_on_separation(outcome.label, y, coef)
    scale = make_scale(outcome.label, y, equation, trials, messages)
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
        variables={name: subset_variable(variable, keep) for name, variable in variables.items()},
        names=study_names(evaluator),
        rows_read=len(rows),
        ledger=ledger,
        offset=offset,
        scale=scale,
        modelled=modelled,
        series=series,
        gaps=find_gaps(outcome.label, everything, _read_as_modelled(equation), every, len(rows)),
    )
    if spread is not None and equation.spread is not None:
        design = replace(design, spread=_spread_of(design, equation.spread, *spread))
    plugged = {mean: evaluator.means[mean] for mean in _followed(coef, coded)}
    covariates = {factor: (ids[factor], columns) for factor, (columns, _) in coded.items()}
    return Made(design, rows, np.flatnonzero(keep), whole, covariates, plugged)


def _read_as_modelled(equation: EquationSpec) -> set[str]:
    """Return the variables whose missing values an equation models, or reads as modelled."""
    return {*modelled_by(equation), *([equation.outcome] if equation.missing == "model" else [])}


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
    whole, coded, _ = _code(equation.spread, evaluator)
    coef = whole.rows(usable.keep)
    weights = {name: subset_variable(v, usable.keep) for name, v in evaluator.variables.items()}
    further = (weights, usable.rows.key[usable.keep])
    groups = _make_groups(equation.spread, coded, usable.ids, usable.keep, arms, spec, problems, messages, *further)
    found = checks.check_predictors(coef) + checks.check_groups(groups, equation.family)
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


def _code(equation: EquationSpec, evaluator: Evaluator) -> tuple[Columns, Groups, np.ndarray]:
    """Return population columns, those of the groups, and which rows start a series (what is dynamic is 0 there)."""
    formula = equation.parsed
    coef = code_terms(formula.intercept, formula.terms, evaluator, column=equation.kind.intercept)
    coded = code_groups(formula.groups, evaluator)
    starts = _starts(equation, evaluator)
    coded = {factor: (columns.opened(starts), blocks) for factor, (columns, blocks) in coded.items()}
    return coef.opened(starts), coded, starts


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
            groups += _memberships(factor, term, [ids[name][keep] for name in memberships], kept, blocks, *others)
            continue
        values = check_ids(factor, term, own, kept.values, arms, spec.group(factor), problems, messages)
        groups.append(make_group(factor, own, replace(kept, values=values), blocks, problems))
    return groups


def _memberships(
    factor: str,
    term: GroupTerm,
    ids: list[np.ndarray],
    kept: Columns,
    blocks: tuple[Block, ...],
    arms: Arms | None,
    spec: ModelSpec,
    problems: list[str],
    messages: list[str],
    weights: Mapping[str, Variable],
    keys: np.ndarray,
) -> list[GroupDesign]:
    """Give a factor to whose levels rows belong by weights its codes, one group per membership."""
    group = spec.group(factor)
    some = np.where(ids[0] != "", ids[0], np.select([own != "" for own in ids], ids, default=""))
    values = check_ids(factor, term, some, kept.values, arms, group, problems, messages)
    needed = (values != 0).any(axis=1)
    shares = find_weights(factor, group, ids, weight_variables(group, weights), needed, keys, problems)
    if problems:
        return []
    made = make_memberships(factor, ids, shares, replace(kept, values=values), blocks, problems)
    messages.append(say_memberships(factor, made))
    return made


def _followed(coef: Columns, coded: Groups) -> tuple[Hidden, ...]:
    """Return what is estimated that some column follows."""
    return tuple(dict.fromkeys([*coef.means, *(mean for columns, _ in coded.values() for mean in columns.means)]))


def _starts(equation: EquationSpec, evaluator: Evaluator) -> np.ndarray:
    """Return the rows that start a series: where the outcome follows its own earlier deviation and there is none."""
    means = [m for m in evaluator.means if isinstance(m, MeanOf)]
    own = [m for m in means if m.variable == equation.outcome and m.lag is not None]
    nothing = np.zeros(len(evaluator.rows), dtype=bool)
    if not own:
        return nothing
    return np.all([np.isnan(evaluator.means[mean].numbers) for mean in own], axis=0)


def _stop(problems: list[str], rows: Rows) -> None:
    if problems:
        raise DesignError(problems, count_of(len(rows), "row"))


def _variables(
    equation: EquationSpec, rows: Rows, source: Source, problems: list[str], messages: list[str]
) -> dict[str, Variable]:
    """Make the variables an equation reads, those it only averages over a patient's sessions left out."""
    averaged = _averaged(equation, rows, source)
    return {
        name: make_variable(
            name,
            source.spec,
            rows,
            source.columns,
            source.reference,
            problems,
            messages,
            source.levels.get(name),
        )
        for name in source.spec.variables_of(equation)
        if name not in averaged
    }


def _averaged(equation: EquationSpec, rows: Rows, source: Source) -> set[str]:
    """Return the variables of an equation of patients (therapists, …) that vary within them and occur as means only."""
    if equation.unit == "session":
        return set()
    terms = [*equation.parsed.terms, *(term for group in equation.parsed.groups for term in group.terms)]
    parts = [part for term in terms for part in term.parts]
    names = {name for part in parts for name in averaged_in(part)}
    names -= {name for part in parts for name in values_in(part) if name not in set(averaged_in(part))}
    names -= {equation.outcome, equation.sigma, *equation.raters, *source.spec.variables, *source.spec.raters}
    columns = {name: column_for(name, rows.source, source.columns) for name in names}
    return {name for name, column in columns.items() if rows.varies(column)}


def _finer(
    equation: EquationSpec, rows: Rows, variables: Mapping[str, Variable], source: Source, problems: list[str]
) -> Evaluator | None:
    """Return the evaluator over sessions for what an equation of patients averages."""
    averaged = [name for name in source.spec.variables_of(equation) if name not in variables]
    if not averaged:
        return None
    sessions = make_rows("session", source.sessions)
    made = {
        name: make_variable(name, source.spec, sessions, source.columns, source.reference, problems, [])
        for name in averaged
    }
    source.note([f"{name} varies within {rows.unit}s; its means are taken over sessions." for name in averaged])
    return Evaluator(sessions, made, _factor_ids(sessions, source, problems), problems)


def _factor_ids(rows: Rows, source: Source, problems: list[str]) -> Callable[[str], np.ndarray]:
    cache: dict[str, np.ndarray] = {}

    def factor_ids(factor: str) -> np.ndarray:
        if factor not in cache:
            cache[factor] = rows.ids(factor, source.columns, problems)
        return cache[factor]

    return factor_ids


def _outcome_centre(equation: EquationSpec, outcome: Variable, evaluator: Evaluator, messages: list[str]) -> float:
    """Return the constant taken from the outcome, and say so."""
    if equation.centre is None:
        return 0.0
    constant = pooled_mean(evaluator, [Name(equation.centre)])
    label = evaluator.variables[equation.centre].label
    messages.append(f"{outcome.label} is taken less {constant:.4g}, the mean of {label}.")
    return constant
