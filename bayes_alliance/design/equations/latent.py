"""Latent means: measured from a variable's rows, or modelled by the equation of an outcome; and who follows what.

Rows follow a latent mean by a weight: what stands in the coded columns is the observed mean, and the model adds the
weight times the difference between the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bayes_alliance._messages import count_of, quote, unknown
from bayes_alliance.design.columns.monotonic import say_unused
from bayes_alliance.design.columns.terms import Columns
from bayes_alliance.design.columns.values import Hidden, LinkedTo, MeanOf, Plugged, StepsOf, ValueOf
from bayes_alliance.design.columns.variables import column_for
from bayes_alliance.design.equations.coding import Made
from bayes_alliance.design.equations.complete_rows import Source
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.factors import FactorDesign, find_factor
from bayes_alliance.design.equations.latent_columns import (
    Follow,
    FollowedThere,
    FollowMeasured,
    FollowModelled,
    FollowSteps,
    FollowValue,
)
from bayes_alliance.design.equations.linked_predictors import follow_linked, seen_after_leaving
from bayes_alliance.design.equations.measured_means import Measured, measure
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.names import INTERCEPT, steps_name
from bayes_alliance.spec.model import ModelSpec


def join_latent(
    source: Source,
    made: Sequence[Made],
    equations: Sequence[EquationDesign],
    factors: Sequence[FactorDesign],
    findings: Findings,
) -> tuple[tuple[EquationDesign, ...], tuple[Measured, ...]]:
    """Find out for every latent mean where it comes from, and line its levels up with the rows that follow it."""
    by_outcome = {equation.spec.outcome: equation for equation in equations}
    wholes = {m.equation.spec.outcome: m for m in made}
    wanted: dict[tuple[str, bool], list[MeanOf]] = {}
    for m in made:
        for mean in m.plugged:
            if isinstance(mean, MeanOf) and mean.variable not in by_outcome:
                key = (mean.variable, _at_patients(m, mean, source))
                wanted.setdefault(key, []).append(mean)
    measured = {}
    for (name, patients), means in wanted.items():
        found = measure(name, patients, means, source, findings)
        if found is not None:
            measured[name, patients] = found
    joined = []
    for equation, m in zip(equations, made, strict=True):
        follows: dict[Hidden, Follow] = {}
        for mean, plugged in m.plugged.items():
            if isinstance(mean, LinkedTo):
                read = _current(mean, plugged, m, wholes, factors, source.spec, findings)
                follows |= {} if read is None else {mean: read}
                continue
            if not isinstance(mean, MeanOf):
                follows[mean] = _coded_value(mean, plugged, m, by_outcome)
                if isinstance(mean, StepsOf):
                    findings.note(*say_unused(f"mo({mean.variable})", mean.categories, follows[mean].code))  # type: ignore[union-attr]
                continue
            if mean.variable in by_outcome:
                there = wholes[mean.variable]
                modelled = _modelled(mean, plugged, m, there, by_outcome, factors, findings)
                if modelled is not None:
                    modelled = _with_inner(modelled, plugged, m, there, by_outcome, measured, source, findings)
                follows |= {} if modelled is None else {mean: modelled}
                continue
            own = measured.get((mean.variable, _at_patients(m, mean, source)))
            if own is not None:
                follows[mean] = _coded(mean, plugged, m, own, source, findings)
        joined.append(equation.with_mean(follows=follows))
    findings.add(_steps_of_one_name(joined))
    return tuple(joined), tuple(measured.values())


def _current(
    key: LinkedTo,
    plugged: Plugged,
    made: Made,
    wholes: Mapping[str, Made],
    factors: Sequence[FactorDesign],
    spec: ModelSpec,
    findings: Findings,
) -> FollowModelled | None:
    """Point the rows of an equation to what another one says of them."""
    reader = made.equation.outcome
    if key.variable not in wholes or key.variable == made.equation.spec.outcome:
        others = [name for name in wholes if name != made.equation.spec.outcome]
        other = unknown("outcome", key.variable, others)
        findings.add(
            [replace(other, what=f"{key.kind}() reads another equation. {other.what}", where=f"Outcome {reader!r}")]
        )
        return None
    whole = wholes[key.variable]
    cannot = _unreadable(whole.equation, spec)
    if cannot:
        findings.add([cannot.under(f"Outcome {reader!r} reads {key.kind}({whole.equation.outcome})")])
        return None
    if made.equation.spec.outcome in spec.declared:
        findings.add(seen_after_leaving(made.equation, whole.equation))
    target = whole.target
    return follow_linked(key, plugged, reader, made.rows, made.place, target, factors, findings)


def _unreadable(equation: EquationDesign, spec: ModelSpec) -> Problem | None:
    """Return why an equation's linear predictor cannot be read by another one, None where it can."""
    if equation.kind.link != "identity":
        return Problem(f"it is {equation.family}, in {equation.kind.unit}.", allowed="An outcome in points is read.")
    if equation.offset:
        taken = f"{equation.spec.centre!r} is taken from it (centre)."
        return Problem(taken, fix="Leave that out, or take it beforehand.")
    shared = [group.factor for group in equation.groups if spec.group(group.factor).members]
    return Problem(f"its rows belong to several levels of {shared[0]}.") if shared else None


def _steps_of_one_name(equations: Sequence[EquationDesign]) -> list[Problem]:
    """Report steps of different predictors whose names come out the same."""
    owners: dict[str, tuple[str, str]] = {}
    problems = []
    for e in equations:
        for key, follow in e.follows.items():
            if isinstance(key, StepsOf) and isinstance(follow, FollowSteps):
                owner = (e.outcome, key.variable)
                if owners.setdefault(follow.name, owner) != owner:
                    problems.append(
                        Problem(
                            f"Steps of mo() of {owner} and {owners[follow.name]} have one name.", fix="Rename a column."
                        )
                    )
    return problems


def _coded_value(
    key: ValueOf | StepsOf,
    plugged: Plugged,
    made: Made,
    by_outcome: Mapping[str, EquationDesign],
    place: np.ndarray | None = None,
) -> FollowValue | FollowSteps:
    """Point the rows of an equation into the modelled values of an outcome, or into the steps between categories.

    ``place`` are other rows of the equation than those used, where it is another one that follows them.
    """
    assert plugged.code is not None
    rows = made.place if place is None else place
    code, numbers = plugged.code[rows], np.nan_to_num(plugged.numbers[rows])
    if isinstance(key, ValueOf):
        modelled = by_outcome[key.variable].modelled
        inside, code = code >= 0, np.maximum(code, 0)
        filled = inside if modelled is None else inside & ~modelled.measured[code]
        return FollowValue(by_outcome[key.variable].outcome, code, numbers, inside, filled)
    label = made.equation.variables[key.variable].label
    return FollowSteps(steps_name(made.equation.outcome, label), key.categories, code, numbers)


def _at_patients(made: Made, mean: MeanOf, source: Source) -> bool:
    """Return whether a variable has one value per patient where its mean is taken."""
    if made.equation.spec.unit == "session":
        return False
    if mean.variable in source.spec.variables:
        return True
    return not made.rows.varies(column_for(mean.variable, source.study))


def _coded(
    mean: MeanOf,
    plugged: Plugged,
    made: Made,
    measured: Measured,
    source: Source,
    findings: Findings,
    place: np.ndarray | None = None,
) -> FollowMeasured:
    """Point the rows of an equation into the levels of a measured mean; ``place`` as in ``_coded_value``."""
    rows = made.place if place is None else place
    ids = made.rows.ids(mean.factor, source.study.columns, findings)[rows]
    levels = {level: i for i, level in enumerate(measured.levels[measured.factors.index(mean.factor)])}
    code = np.array([levels.get(level, 0) for level in ids], dtype=np.int64)
    numbers = np.nan_to_num(plugged.numbers[rows])
    return FollowMeasured(f"{measured.name}", mean.factor, code, numbers)


def _modelled(
    mean: MeanOf,
    plugged: Plugged,
    made: Made,
    target: Made,
    by_outcome: Mapping[str, EquationDesign],
    factors: Sequence[FactorDesign],
    findings: Findings,
) -> FollowModelled | None:
    """Line up the static part of an outcome's equation with the rows that follow its mean."""
    equation = by_outcome[mean.variable]
    group = next((g for g in equation.groups if g.factor == mean.factor), None)
    if equation.kind.link != "identity" or group is None or INTERCEPT not in group.effects:
        findings.problem(
            f"Latent means of {equation.outcome!r} by {mean.factor} come from its own equation, which needs a gaussian "
            f"outcome and a group term such as (1 | {mean.factor})."
        )
        return None
    if target.rows.unit != made.rows.unit:
        findings.problem(
            f"Latent means of {equation.outcome!r}, which has rows by {target.rows.unit}, cannot be followed by "
            f"{made.equation.outcome!r}, which has rows by {made.rows.unit}."
        )
        return None
    place = made.place if plugged.source is None else plugged.source[made.place]
    reached = ~np.isnan(plugged.numbers[made.place])
    still = ~np.array(target.coef.dynamic, dtype=bool)
    coef = np.where(still & reached[:, None], target.coef.values[place], 0.0)
    groups = []
    absent = np.isnan(coef).any(axis=1)
    for factor, (ids, columns) in target.groups.items():
        levels = find_factor(factors, factor).levels
        where = {level: i for i, level in enumerate(levels)}
        code = np.array([where.get(level, -1) for level in ids[place]], dtype=np.int64)
        quiet = ~np.array(columns.dynamic, dtype=bool)
        values = np.where(quiet & reached[:, None], columns.values[place], 0.0)
        values = np.where((ids[place] == "")[:, None], 0.0, values)
        absent |= np.isnan(values).any(axis=1) | ((code < 0) & (values != 0).any(axis=1))
        groups.append((factor, np.maximum(code, 0), values))
    if absent.any():
        findings.problem(
            f"The model-implied mean of {equation.outcome!r} is followed by "
            f"{count_of(int(absent.sum()), 'row')} in which a predictor of it is missing.",
            fix="Leave that predictor out, or complete it.",
        )
    numbers = np.nan_to_num(plugged.numbers[made.place])
    return FollowModelled(equation.outcome, coef, tuple(groups), numbers)


def _with_inner(
    follow: FollowModelled,
    plugged: Plugged,
    made: Made,
    target: Made,
    by_outcome: Mapping[str, EquationDesign],
    measured: Mapping[tuple[str, bool], Measured],
    source: Source,
    findings: Findings,
) -> FollowModelled:
    """Add what the static columns of an outcome's equation follow themselves, at the rows whose mean is followed."""
    place = made.place if plugged.source is None else plugged.source[made.place]
    reached = ~np.isnan(plugged.numbers[made.place])
    found: list[tuple[int, np.ndarray, FollowedThere]] = []
    odd = {key.variable for _, columns in target.groups.values() for own in _static(columns) for key in own}
    for i, weights in enumerate(_static(target.coef)):
        for key, weight in weights.items():
            own = np.where(reached, weight[place], 0.0)
            if isinstance(key, MeanOf):
                means = measured.get((key.variable, _at_patients(target, key, source)))
                if means is None:
                    odd.add(key.variable)
                    continue
                inner = _coded(key, target.plugged[key], target, means, source, findings, place)
                found.append((i, own, inner))
            elif isinstance(key, ValueOf | StepsOf):
                value = _coded_value(key, target.plugged[key], target, by_outcome, place)
                inside = value.inside if isinstance(value, FollowValue) else True
                found.append((i, np.where(inside, own, 0.0), value))
            else:
                odd.add(key.variable)
    if odd:
        findings.problem(
            f"Latent means of {target.equation.outcome!r} come from its own equation, which reads something "
            f"of {quote(sorted(odd))} that is estimated by another equation, or as a slope that varies.",
            fix="Take observed means in one of them.",
        )
    return replace(follow, inner=tuple(found))


def _static(columns: Columns) -> list[Mapping[Hidden, np.ndarray]]:
    """Return what columns follow that are no deviations and no earlier sessions; nothing of the others."""
    return [{} if dynamic else own for own, dynamic in zip(columns.latent, columns.dynamic, strict=True)]
