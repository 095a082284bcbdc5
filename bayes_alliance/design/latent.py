"""Latent means: measured from a variable's rows, or modelled by the equation of an outcome; and who follows what.

Rows follow a latent mean by a weight: what stands in the coded columns is the observed mean, and the model adds the
weight times the difference between the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, first_few, quote, unknown
from bayes_alliance.design.current import follow_current, seen_after_leaving
from bayes_alliance.design.equation import EquationDesign
from bayes_alliance.design.factors import FactorDesign, find_factor
from bayes_alliance.design.follow import Follow, FollowMeasured, FollowModelled, FollowSteps, FollowValue
from bayes_alliance.design.make import Made
from bayes_alliance.design.rows import Rows, make_rows
from bayes_alliance.design.steps import say_unused
from bayes_alliance.design.usable import Source
from bayes_alliance.design.values import CurrentOf, Hidden, MeanOf, Plugged, StepsOf, ValueOf
from bayes_alliance.design.variables import column_for, make_variable
from bayes_alliance.names import INTERCEPT, steps_name
from bayes_alliance.spec.model import ModelSpec


@dataclass(frozen=True, eq=False)
class Measured:
    """Means of a variable that has no equation, estimated from all of its observed rows.

    ``factors`` are nested, widest first, with their ``levels``; ``parents`` point from each level into those of the
    factor before. ``mean`` and ``count`` are over the observed rows of the narrowest factor's levels; ``size`` is the
    number of members a unit has in all (infinite where means are latent). ``squares`` sums squared deviations within
    the narrowest levels, over ``degrees`` of freedom.
    """

    name: str
    label: str
    factors: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    parents: tuple[np.ndarray, ...]
    mean: np.ndarray
    count: np.ndarray
    size: np.ndarray
    squares: float
    degrees: int
    centre: float
    spread: float

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the labels of the SDs: one per factor, and of rows around their unit's mean."""
        return (*(f"{self.label}, {factor}" for factor in self.factors), f"{self.label}, within")


def join_latent(
    source: Source,
    made: Sequence[Made],
    equations: Sequence[EquationDesign],
    factors: Sequence[FactorDesign],
    problems: list[str],
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
        found = _measure(name, patients, means, source, problems)
        if found is not None:
            measured[name, patients] = found
    joined = []
    for equation, m in zip(equations, made, strict=True):
        follows: dict[Hidden, Follow] = {}
        for mean, plugged in m.plugged.items():
            if isinstance(mean, CurrentOf):
                read = _current(mean, plugged, m, wholes, factors, source.spec, problems)
                follows |= {} if read is None else {mean: read}
                continue
            if not isinstance(mean, MeanOf):
                follows[mean] = _coded_value(mean, plugged, m, by_outcome)
                if isinstance(mean, StepsOf):
                    source.note(say_unused(f"mo({mean.variable})", mean.categories, follows[mean].code))  # type: ignore[union-attr]
                continue
            if mean.variable in by_outcome:
                modelled = _modelled(mean, plugged, m, wholes[mean.variable], by_outcome, factors, problems)
                follows |= {} if modelled is None else {mean: modelled}
                continue
            own = measured.get((mean.variable, _at_patients(m, mean, source)))
            if own is not None:
                follows[mean] = _coded(mean, plugged, m, own, source, problems)
        joined.append(replace(equation, follows=follows))
    problems += _steps_of_one_name(joined)
    return tuple(joined), tuple(measured.values())


def _current(
    key: CurrentOf,
    plugged: Plugged,
    made: Made,
    wholes: Mapping[str, Made],
    factors: Sequence[FactorDesign],
    spec: ModelSpec,
    problems: list[str],
) -> FollowModelled | None:
    """Point the rows of an equation to what another one says of them."""
    reader = made.equation.outcome
    if key.variable not in wholes or key.variable == made.equation.spec.outcome:
        others = [name for name in wholes if name != made.equation.spec.outcome]
        problems.append(
            f"Outcome {reader!r}: {key.kind}() reads another equation. {unknown('outcome', key.variable, others)}"
        )
        return None
    whole = wholes[key.variable]
    cannot = _unreadable(whole.equation, spec)
    if cannot:
        problems.append(f"Outcome {reader!r} reads {key.kind}({whole.equation.outcome}): {cannot}")
        return None
    if made.equation.spec.outcome in spec.declared:
        problems += seen_after_leaving(made.equation, whole.equation)
    target = whole.target
    return follow_current(key, plugged, reader, made.rows, made.place, target, factors, problems)


def _unreadable(equation: EquationDesign, spec: ModelSpec) -> str:
    """Return why an equation's linear predictor cannot be read by another one, empty where it can."""
    if equation.kind.link != "identity":
        return f"it is {equation.family}, in {equation.kind.unit}; an outcome in points is read."
    if equation.offset:
        return f"{equation.spec.centre!r} is taken from it (centre); leave that out, or take it beforehand."
    shared = [group.factor for group in equation.groups if spec.group(group.factor).members]
    return f"its rows belong to several levels of {shared[0]}." if shared else ""


def _steps_of_one_name(equations: Sequence[EquationDesign]) -> list[str]:
    """Report steps of different predictors whose names come out the same."""
    owners: dict[str, tuple[str, str]] = {}
    problems = []
    for e in equations:
        for key, follow in e.follows.items():
            if isinstance(key, StepsOf) and isinstance(follow, FollowSteps):
                owner = (e.outcome, key.variable)
                if owners.setdefault(follow.name, owner) != owner:
                    problems.append(
                        f"Steps of mo() of {owner} and {owners[follow.name]} have one name; rename a column."
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
    return not made.rows.varies(column_for(mean.variable, source.sessions, source.columns))


def _measure(
    name: str, patients: bool, means: Sequence[MeanOf], source: Source, problems: list[str]
) -> Measured | None:
    rows = make_rows("patient" if patients else "session", source.sessions)
    ignored: list[str] = []
    variable = make_variable(name, source.spec, rows, source.columns, source.reference, ignored, ignored)
    wanted = list(dict.fromkeys(mean.factor for mean in means))
    frame = pd.DataFrame({factor: rows.ids(factor, source.columns, ignored) for factor in wanted})
    frame = frame.assign(x=variable.values).dropna(subset=["x"])
    frame = frame[(frame[wanted] != "").all(axis=1)]
    counts = {factor: frame[factor].nunique() for factor in wanted}
    factors = sorted(wanted, key=lambda factor: counts[factor])
    for outer, inner in pairwise(factors):
        if frame.groupby(inner)[outer].nunique().gt(1).any():
            problems.append(
                f"Latent means of {variable.label!r} by {quote(factors)}: {inner} is not nested in {outer}. Take the "
                f'means of one of them as observed (means="observed").'
            )
            return None
    levels = tuple(tuple(sorted(frame[factor].unique())) for factor in factors)
    parents = [np.zeros(0, dtype=np.int64)]
    for (outer, above), (inner, below) in pairwise(zip(factors, levels, strict=True)):
        first = frame.groupby(inner)[outer].first()
        parents.append(np.array([above.index(first[level]) for level in below], dtype=np.int64))
    narrow = frame.groupby(factors[-1]).x
    stats = narrow.agg(["mean", "size"]).reindex(list(levels[-1]))
    squares = float(((frame.x - narrow.transform("mean")) ** 2).sum())
    degrees = int(len(frame) - len(stats))
    if degrees < 1 or squares <= 1e-12 * float(((frame.x - frame.x.mean()) ** 2).sum()):
        problems.append(
            f"Latent means of {variable.label!r} by {factors[-1]}: no {factors[-1]} has two different values, so their "
            f'means cannot be told from single values. Write means="observed", or between() of a wider unit.'
        )
        return None
    size = _sizes(means, rows, levels[-1], stats["size"].to_numpy(float), source, problems)
    return Measured(
        name,
        variable.label,
        tuple(factors),
        levels,
        tuple(parents),
        stats["mean"].to_numpy(float),
        stats["size"].to_numpy(float),
        size,
        squares,
        degrees,
        float(frame.x.mean()),
        float(frame.x.std(ddof=1)),
    )


def _sizes(
    means: Sequence[MeanOf],
    rows: Rows,
    levels: tuple[str, ...],
    measured: np.ndarray,
    source: Source,
    problems: list[str],
) -> np.ndarray:
    """Return how many members each unit has in all; infinite where its members stand for a larger population."""
    stated = {mean.size for mean in means}
    if stated == {None}:
        return np.full(len(levels), np.inf)
    factors = {mean.factor for mean in means}
    if len(stated) > 1 or len(factors) > 1:
        problems.append(
            f"Means of {means[0].variable!r} are finite in one place and latent in another, or by several units; "
            f"choose one kind for each variable."
        )
        return np.full(len(levels), np.inf)
    name, factor = next(iter(stated)), next(iter(factors))
    ignored: list[str] = []
    variable = make_variable(str(name), source.spec, rows, source.columns, source.reference, ignored, ignored)
    frame = pd.DataFrame({"unit": rows.ids(factor, source.columns, ignored), "size": variable.values}).dropna()
    of_unit = frame.groupby("unit")["size"].agg(["min", "max"]).reindex(list(levels))
    differing = [repr(unit) for unit in of_unit.index[(of_unit["min"] != of_unit["max"])]]
    small = [
        f"{unit!r} ({size:g} of {count:g} measured)"
        for unit, size, count in zip(levels, of_unit["max"], measured, strict=True)
        if size < count
    ]
    if differing:
        problems.append(
            f"Column {variable.label!r} is the size of each {factor}, and {count_of(len(differing), factor)} "
            f"{are(len(differing), 'has', 'have')} no single one: {first_few(differing)}."
        )
    if small:
        problems.append(f"Column {variable.label!r} is smaller than the members measured: {first_few(small)}.")
    return of_unit["max"].to_numpy(float)


def _coded(
    mean: MeanOf, plugged: Plugged, made: Made, measured: Measured, source: Source, problems: list[str]
) -> FollowMeasured:
    """Point the rows of an equation into the levels of a measured mean."""
    ids = made.rows.ids(mean.factor, source.columns, problems)[made.place]
    levels = {level: i for i, level in enumerate(measured.levels[measured.factors.index(mean.factor)])}
    code = np.array([levels.get(level, 0) for level in ids], dtype=np.int64)
    numbers = np.nan_to_num(plugged.numbers[made.place])
    return FollowMeasured(f"{measured.name}", mean.factor, code, numbers)


def _modelled(
    mean: MeanOf,
    plugged: Plugged,
    made: Made,
    target: Made,
    by_outcome: Mapping[str, EquationDesign],
    factors: Sequence[FactorDesign],
    problems: list[str],
) -> FollowModelled | None:
    """Line up the static part of an outcome's equation with the rows that follow its mean."""
    equation = by_outcome[mean.variable]
    group = next((g for g in equation.groups if g.factor == mean.factor), None)
    if equation.kind.link != "identity" or group is None or INTERCEPT not in group.effects:
        problems.append(
            f"Latent means of {equation.outcome!r} by {mean.factor} come from its own equation, which needs a gaussian "
            f"outcome and a group term such as (1 | {mean.factor})."
        )
        return None
    if target.rows.unit != made.rows.unit:
        problems.append(
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
        problems.append(
            f"The model-implied mean of {equation.outcome!r} is followed by {count_of(int(absent.sum()), 'row')} in "
            f"which a predictor of it is missing. Leave that predictor out, or complete it."
        )
    numbers = np.nan_to_num(plugged.numbers[made.place])
    inner = _inner(target, place, reached, by_outcome, problems)
    return FollowModelled(equation.outcome, coef, tuple(groups), numbers, inner)


def _inner(
    target: Made,
    place: np.ndarray,
    reached: np.ndarray,
    by_outcome: Mapping[str, EquationDesign],
    problems: list[str],
) -> tuple[tuple[int, np.ndarray, FollowValue | FollowSteps], ...]:
    """Return what the static columns of an outcome's equation follow themselves, at the rows whose mean is followed."""
    found: list[tuple[int, np.ndarray, FollowValue | FollowSteps]] = []
    columns = [target.coef, *(columns for _, columns in target.groups.values())]
    odd = {
        key.variable
        for part in columns
        for weights, dynamic in zip(part.latent, part.dynamic, strict=True)
        for key in weights
        if not dynamic and (part is not target.coef or not isinstance(key, ValueOf | StepsOf))
    }
    if odd:
        problems.append(
            f"Latent means of {target.equation.outcome!r} come from its own equation, which reads something that is "
            f"estimated of {quote(sorted(odd))} in another way than as a modelled value (mi) or in steps (mo). Take "
            f"observed means there."
        )
        return ()
    for i, (weights, dynamic) in enumerate(zip(target.coef.latent, target.coef.dynamic, strict=True)):
        for key, weight in weights.items():
            if dynamic or not isinstance(key, ValueOf | StepsOf):
                continue
            follow = _coded_value(key, target.plugged[key], target, by_outcome, place)
            own = np.where(reached, weight[place], 0.0)
            if isinstance(follow, FollowValue):
                own = np.where(follow.inside, own, 0.0)
            found.append((i, own, follow))
    return tuple(found)
