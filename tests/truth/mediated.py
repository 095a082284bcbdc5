"""What mediation readers say, beside worlds in which the predictor is set and mediators are drawn anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from unittest import mock

import numpy as np

import bayes_alliance as ba
from bayes_alliance.errors import AllianceError
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.spec.expressions import Name
from tests.truth.cases import Case
from tests.truth.fits import put_together
from tests.truth.propagation import System, Value, in_order, make_system, mean_and_error, put_all
from tests.truth.simulator import usable
from tests.truth.table import Pair, Setting
from tests.truth.worlds import World

REPLICATES = 200


def step(world: World, predictor: str, level: Value | None, up: int) -> World:
    """Return a world with a predictor one up, at a level or at its reference, in all rows."""
    study = world.study
    label = study.label(predictor)
    if level is not None:
        return world.set(predictor, level if up else study.reference[label])
    return world.put(label, world.observed.column(label) + float(up))


def moderators(case: Case, predictor: str, outcomes: list[str]) -> list[str]:
    """Return numeric variables that stand in a product with the predictor or an outcome on the way."""
    on_path = {predictor, *(case.study.equation(o).outcome for o in outcomes)}
    found: dict[str, None] = {}
    for o in outcomes:
        for term in case.study.equation(o).parsed.terms:
            names = {n for part in term.parts for n in _names(part)}
            if len(term.parts) > 1 and names & on_path:
                for part in term.parts:
                    if isinstance(part, Name) and part.name not in on_path:
                        values = case.world(0, 0).column(case.study.label(part.name))
                        if values.dtype != object and part.name not in case.reference:
                            found[part.name] = None
    return list(found)


def _names(part) -> set[str]:
    from tests.truth.worlds import walk

    return {n.name for n in walk(part) if isinstance(n, Name)}


def predictors_of(case: Case) -> Iterator[tuple[str, str, str | None]]:
    """Yield predictor, outcome and level where mediators may lie between."""
    spec = case.design.spec
    read = {n for e in spec.equation for n in e.predictors if n != e.outcome}
    outcomes = [o for o in spec.outcomes if o not in read] or list(spec.outcomes)[:1]
    for outcome in outcomes:
        label = case.study.label(outcome)
        order = in_order(case, label)
        if len(order) < 2:
            continue
        mediating = [case.study.equation(o) for o in order[:-1]]
        names = dict.fromkeys(n for e in mediating for n in e.predictors if n not in spec.outcomes)
        for name in sorted(names, key=lambda n: n != "condition")[:3]:
            column = case.study.label(name)
            values = case.world(0, 0).column(column)[0]
            if "[" in column:
                continue
            if values.dtype == object:
                levels = [v for v in sorted(set(values) - {""}) if v != case.reference.get(name)]
                for level in levels[:2]:
                    yield name, outcome, level
            else:
                yield name, outcome, None


def mediation(case: Case) -> Iterator[Setting]:
    """mediation_effects: direct, indirect and total effects of each level of variation."""
    for name, outcome, level in predictors_of(case):
        order = in_order(case, case.study.label(outcome))
        held = moderators(case, name, order)
        settings: list[dict[str, float]] = [{}]
        if held:
            quantiles = {m: np.nanquantile(case.world(0, 0).column(case.study.label(m))[0], 0.8) for m in held}
            settings.append({m: float(np.round(v) if m == "session" else v) for m, v in quantiles.items()})
        for at in settings:
            where = "" if not at else " at " + ", ".join(f"{k}={v:.3g}" for k, v in at.items())
            yield (
                f"{name}{'' if level is None else f'[{level}]'} -> {outcome}{where}",
                lambda n=name, o=outcome, v=level, at=at: _mediation(case, n, o, v, at),
            )


def _mediation(case: Case, predictor: str, outcome: str, level: str | None, at: Mapping[str, float]) -> Pair:
    result = ba.mediation_effects(case.fit, predictor, outcome=outcome, level=level, at=at or None)
    names = [str(v) for v in result.draws["estimand"].values]
    scopes = [str(v) for v in result.draws["level"].values]
    wanted = [i for i, n in enumerate(names) if n.split(" (")[0] in ("direct", "indirect", "total", "share mediated")]
    says = [float(result.draws["value"].values[c, d, i]) for c, d in case.draws() for i in wanted]
    pairs = []
    for average in averages(case, predictor, outcome) if not at else [AT]:
        right, error = [], []
        for chain, draw in case.draws():
            world = case.world(chain, draw)
            worlds = {s: effects_in(case, world, predictor, outcome, level, at, s, average) for s in set(scopes)}
            found = [worlds[scopes[i]][names[i].split(" (")[0]] for i in wanted]
            right += [value for value, _ in found]
            error += [se for _, se in found]
        pairs.append(Pair(np.array(says), np.array(right), np.array(error), exact=1e-6))
    return min(pairs, key=lambda pair: float(np.abs(pair.says - pair.right).max()))


AT = ("", False)
"""Rows of the outcome, with moderators as stated."""


def averages(case: Case, predictor: str, outcome: str) -> list[tuple[str, bool]]:
    """Return what moderators that are not stated may be averaged over: the rows of an equation, or their mean.

    One value (or one set of rows) holds for all steps of a path; which equation's rows they are is not prescribed.
    """
    order = in_order(case, case.study.label(outcome))
    if not any(":" in label for o in order for label in case.world(0, 0).truth.labels(o)):
        return [AT]
    return [(label, fixed) for label in order for fixed in (False, True)]


def levels_of(case: Case, world: World, predictor: str, order: list[str], source: str) -> list[tuple[float, World]]:
    """Return the worlds with a factor that moderates at each level, and the share of an equation's rows in it."""
    factor = "condition" if predictor != "condition" and "condition" in case.reference else None
    products = [label for o in order for label in case.world(0, 0).truth.labels(o) if ":" in label]
    column = case.study.label("condition")
    if not source or factor is None or not any(f"{column}[" in label for label in products):
        return [(1.0, world)]
    view = case.view(world.observed, source)
    own = view.column(column)[0][usable(view, source)]
    levels = sorted({str(v) for v in own})
    return [(float((own.astype(str) == v).mean()), world.set("condition", v)) for v in levels]


def effects_in(
    case: Case,
    world: World,
    predictor: str,
    outcome: str,
    level: str | None,
    at: Mapping[str, float],
    scope: str,
    average: tuple[str, bool] = AT,
) -> dict[str, tuple[float, float]]:
    """Return direct, indirect and total effects with their errors, of one session where ``scope`` is within units.

    ``at`` sets moderators in all rows; a session that is stated chooses the outcome's rows of that session, while the
    rows before keep theirs.
    """
    label, study = case.study.label(outcome), case.study
    start = world.holding() if scope.startswith("within") else world.following()
    order = in_order(case, label)
    system = make_system(case, start, label, REPLICATES, 5, order)
    keep, view = system.rows(), case.view(world, label)
    held = dict(at)
    if average[0]:
        source = case.view(world, average[0])
        rows = usable(source, average[0])
        if average[1]:
            for name in moderators(case, predictor, order):
                held[name] = float(np.nanmean(source.column(study.label(name))[0][rows]))
        elif source.unit == view.unit:
            keep = rows
    base = start
    for name, value in held.items():
        if name == "session" and average == AT and view.unit == "session":
            keep = keep & (view.session[0] == value)
        else:
            base = base.set(name, value)
    count, effects_of = len(order), []
    for weight, world_at in levels_of(case, base, predictor, order, average[0]):
        worlds = [step(world_at, predictor, level, up) for up in (0, 1)]
        none = system.run([worlds[0]] * count)
        direct = system.run([worlds[0]] * (count - 1) + [worlds[1]])
        both = system.run([worlds[1]] * count)
        effects_of.append([weight * v for v in (both - none, direct - none, both - direct)])
    total, direct_effect, indirect = (mean_and_error(sum(own), keep) for own in zip(*effects_of, strict=True))
    ratio = indirect[0] / total[0] if total[0] else np.nan
    share = abs(ratio) * (abs(indirect[1] / indirect[0]) + abs(total[1] / total[0])) if indirect[0] else 0.0
    return {"direct": direct_effect, "indirect": indirect, "total": total, "share mediated": (ratio, share)}


def moderated(case: Case) -> Iterator[Setting]:
    """moderated_mediation: effects at one value of a moderator less those at another."""
    for name, outcome, level in predictors_of(case):
        order = in_order(case, case.study.label(outcome))
        for moderator in moderators(case, name, order):
            values = case.world(0, 0).column(case.study.label(moderator))[0]
            low, high = (float(v) for v in np.nanquantile(values, [0.2, 0.8]))
            for pair in ((low, high), (high, low)):
                yield (
                    f"{name} -> {outcome} by {moderator} {pair[0]:.3g} to {pair[1]:.3g}",
                    lambda n=name, o=outcome, v=level, m=moderator, p=pair: _moderated(case, n, o, v, m, p),
                )


def _moderated(
    case: Case, predictor: str, outcome: str, level: str | None, moderator: str, values: tuple[float, float]
) -> Pair:
    result = ba.moderated_mediation(
        case.fit, predictor, moderator=moderator, outcome=outcome, values=values, level=level
    )
    names = [str(v) for v in result.draws["estimand"].values]
    wanted = [i for i, n in enumerate(names) if n in ("direct", "indirect", "total")]
    says, right, error = [], [], []
    for chain, draw in case.draws():
        world = case.world(chain, draw)
        ends = [effects_in(case, world, predictor, outcome, level, {moderator: v}, "population") for v in values]
        for i in wanted:
            says.append(float(result.draws["value"].values[chain, draw, i]))
            right.append(ends[1][names[i]][0] - ends[0][names[i]][0])
            error.append(ends[0][names[i]][1] + ends[1][names[i]][1])
    return Pair(np.array(says), np.array(right), np.array(error))


def by_unit(case: Case) -> Iterator[Setting]:
    """unit_effects: effects with the slopes of every unit of a factor."""
    factors = [f.factor for f in case.design.factors]
    for name, outcome, level in predictors_of(case):
        for factor in factors:
            yield (
                f"{name} -> {outcome} by {factor}",
                lambda n=name, o=outcome, v=level, f=factor: _by_unit(case, n, o, v, f),
            )


def _by_unit(case: Case, predictor: str, outcome: str, level: str | None, factor: str) -> Pair:
    got = ba.unit_effects(case.fit, predictor, outcome=outcome, factor=factor, level=level)
    paths = ba.mediation_effects(case.fit, predictor, outcome=outcome, level=level).paths
    says, right = [], []
    for chain, draw in case.draws():
        world = case.world(chain, draw)
        for scope in dict.fromkeys(path.scope for path in paths):
            own = [i for i, path in enumerate(paths) if path.scope == scope]
            total = got.values[chain, draw][own].sum(axis=0)
            start = world.holding() if scope.startswith("within") else world.following()
            label = case.study.label(outcome)
            order = in_order(case, label)
            system = make_system(case, start, label, 2, 5, order, effects="own", only=factor)
            worlds = [step(start, predictor, level, up) for up in (0, 1)]
            difference = (system.run([worlds[1]] * len(order)) - system.run([worlds[0]] * len(order))).mean(axis=0)
            view = case.view(world, label)
            ids = view.ids(factor)
            keep = system.rows()
            for place, unit in enumerate(got[factor].values):
                rows = keep & (ids == str(unit))
                if rows.any():
                    says.append(total[place])
                    right.append(difference[rows].mean())
    return Pair(np.array(says), np.array(right))


def counterfactual(case: Case) -> Iterator[Setting]:
    """counterfactual_effects: natural (with and without a stated correlation of worlds) and interventional."""
    for name, outcome, level in predictors_of(case):
        values: tuple[Value, Value]
        if level is not None:
            values = (case.reference[name], level)
        else:
            column = case.world(0, 0).column(case.study.label(name))[0]
            values = tuple(float(v) for v in np.nanquantile(column, [0.3, 0.8]))
        kinds = [("natural", None), ("interventional", None)]
        if len(in_order(case, case.study.label(outcome))) == 3:
            kinds += [("natural", 0.0), ("natural", 0.6)]
        for kind, cross in kinds:
            note = kind if cross is None else f"{kind}, cross_world {cross:g}"
            yield (
                f"{name} {values[0]} to {values[1]} -> {outcome}: {note}",
                lambda n=name, o=outcome, v=values, k=kind, c=cross: _counterfactual(case, n, o, v, k, c),
            )


REPEATS = 200
"""Draws with the same parameters, over which what a reader itself draws is averaged."""


def _counterfactual(
    case: Case, treatment: str, outcome: str, values: tuple[Value, Value], kind: str, cross: float | None
) -> Pair:
    posterior = with_effects(case.fit)
    says, right, errors = [], [], []
    for chain, draw in case.draws()[1:3]:
        same = posterior.isel(chain=[chain, chain], draw=[draw] * (REPEATS // 2))
        same = same.assign_coords(chain=[0, 1], draw=np.arange(REPEATS // 2))
        fit = put_together(case.design, same, str(case.fit.provenance["engine"]))
        # draws alike have nothing but noise, which the reader would repeat its own draws to get rid of
        with mock.patch("bayes_alliance.expectation.averaging.MOST_REPEATS", 1):
            got = ba.counterfactual_effects(
                fit, treatment, outcome=outcome, values=values, kind=kind, cross_world=cross, draws=REPEATS, seed=3
            )
        found = both_ways(case, case.world(chain, draw), treatment, case.study.label(outcome), values, kind, cross)
        for place, name in enumerate(map(str, got.draws["estimand"].values)):
            if name == "share mediated":
                continue
            each = got.draws["value"].values[..., place].ravel()
            says.append(each.mean())
            value, error = found[name]
            right.append(value)
            errors.append(np.hypot(each.std(ddof=1) / np.sqrt(len(each)), error))
    return Pair(np.array(says), np.array(right), np.array(errors))


def both_ways(
    case: Case, world: World, treatment: str, outcome: str, values: tuple[Value, Value], kind: str, cross: float | None
) -> dict[str, tuple[float, float]]:
    """Return the effects split from either value on, by the value each holds at, and the means of the two."""
    one = steps_between(case, world, treatment, outcome, values, kind, cross)
    back = steps_between(case, world, treatment, outcome, values[::-1], kind, cross)
    two = {name: (-value, error) for name, (value, error) in back.items()}
    found = {}
    for name in one:
        here, there = values if name == "direct" else values[::-1]
        found[f"{name}[{treatment} = {here}]"], found[f"{name}[{treatment} = {there}]"] = one[name], two[name]
        found[name] = (one[name][0] + two[name][0]) / 2, max(one[name][1], two[name][1])
    return found


def steps_between(
    case: Case, world: World, treatment: str, outcome: str, values: tuple[Value, Value], kind: str, cross: float | None
) -> dict[str, tuple[float, float]]:
    """Return the effects of setting the treatment, each with its Monte Carlo error."""
    order = in_order(case, outcome)
    order = [o for o in order if o == outcome or follows_from(case, o, treatment, order)]
    system = make_system(case, world, outcome, COUNTERFACTUAL_REPLICATES, 7, order)
    keep = system.rows()
    mediators = order[:-1]
    off, on = (world.set(treatment, value) for value in values)
    names = [case.study.equation(m).outcome for m in mediators]
    found: dict[str, np.ndarray] = {}
    if kind == "natural":
        count = len(mediators)
        before = start = system.run([off] * (count + 1))
        for reached in range(count + 1):
            settings = [on if place >= count - reached else off for place in range(count)] + [on]
            after = system.run(settings)
            name = f"through {names[count - reached]}" if reached else "direct"
            if reached == count and cross is not None:
                between = split(case, system, off, on, cross)
                found[f"{name} and {names[1]}"] = between[0] - before
                found[f"{name} alone"] = between[1] - between[0]
                after = between[1]
            else:
                found[name] = after - before
            before = after
        found["total"] = before - start
        found["indirect"] = sum((v for k, v in found.items() if k not in ("direct", "total")), start=0 * start)
    else:
        rng = np.random.default_rng(8)
        fresh = []
        for _ in mediators:
            z = {m: rng.normal(size=(len(system.noise[m]) // 2, system.noise[m].shape[1])) for m in mediators}
            fresh.append({m: np.concatenate([v, -v]) for m, v in z.items()})
        joint = [system.mediators([w] * len(mediators)) for w in (off, on)]
        alone = [
            {m: system.mediators([w] * len(mediators), fresh[i])[m] for i, m in enumerate(mediators)} for w in (off, on)
        ]
        if len(mediators) == 1:
            alone = joint
        found["direct"] = system.finish(on, joint[0]) - system.finish(off, joint[0])
        found["total"] = system.finish(on, joint[1]) - system.finish(off, joint[0])
        before = system.finish(on, alone[0])
        first = before
        for i, name in enumerate(names):
            given = {m: alone[int(j <= i)][m] for j, m in enumerate(mediators)}
            after = system.finish(on, given)
            found[f"shift of {name}"] = after - before
            before = after
        if len(mediators) > 1:
            found["dependence"] = (system.finish(on, joint[1]) - before) - (system.finish(on, joint[0]) - first)
        found["indirect"] = found["total"] - found["direct"]
    return {name: mean_and_error(value, keep) for name, value in found.items()}


COUNTERFACTUAL_REPLICATES = 1000


def follows_from(case: Case, outcome: str, treatment: str, order: list[str]) -> bool:
    """Return whether an outcome reads the treatment, itself or through others."""
    equation = case.study.equation(outcome)
    labels = {case.study.label(n) for n in equation.predictors}
    if case.study.label(treatment) in {c.split("[")[0] for c in labels}:
        return True
    return any(follows_from(case, o, treatment, order) for o in order if o in labels and o != outcome)


def split(case: Case, system, off: World, on: World, cross: float) -> tuple[np.ndarray, np.ndarray]:
    """Return outcomes where the second mediator alone, and then the outcome, sees the first mediator treated."""
    first, second = system.outcomes[:2]
    rng = np.random.default_rng(12)
    z = rng.normal(size=(len(system.noise[first]) // 2, system.noise[first].shape[1]))
    other = cross * system.noise[first] + np.sqrt(1 - cross**2) * np.concatenate([z, -z])
    here = system.draw(off, first)
    there = System(case, system.world, system.outcomes, system.effects, {**system.noise, first: other}).draw(on, first)
    of_second = system.draw(put_all(on, {first: there}), second)
    return system.finish(on, {first: here, second: of_second}), system.finish(on, {first: there, second: of_second})


READERS = {
    "mediation_effects": mediation,
    "moderated_mediation": moderated,
    "unit_effects": by_unit,
    "counterfactual_effects": counterfactual,
}
__all__ = ["READERS", "AllianceError"]
