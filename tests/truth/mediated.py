"""What mediation readers say, beside worlds in which the predictor is set and mediators are drawn anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

import bayes_alliance as ba
from bayes_alliance.errors import AllianceError
from bayes_alliance.spec.expressions import Name
from tests.truth.cases import Case
from tests.truth.propagation import Value, in_order, make_system, mean_and_error
from tests.truth.simulator import usable
from tests.truth.table import Pair, Setting
from tests.truth.worlds import World

REPLICATES = 400


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
            settings.append({m: float(v) for m, v in quantiles.items()})
        for at in settings:
            where = "" if not at else " at " + ", ".join(f"{k}={v:.3g}" for k, v in at.items())
            yield f"{name}{'' if level is None else f'[{level}]'} -> {outcome}{where}", lambda n=name, o=outcome, v=level, at=at: _mediation(case, n, o, v, at)


def _mediation(case: Case, predictor: str, outcome: str, level: str | None, at: Mapping[str, float]) -> Pair:
    result = ba.mediation_effects(case.fit, predictor, outcome=outcome, level=level, at=at or None)
    names = [str(v) for v in result.draws["estimand"].values]
    scopes = [str(v) for v in result.draws["level"].values]
    wanted = [i for i, n in enumerate(names) if n.split(" (")[0] in ("direct", "indirect", "total", "share mediated")]
    says, right, error = [], [], []
    for chain, draw in case.draws():
        worlds = {scope: effects_in(case, case.world(chain, draw), predictor, outcome, level, at, scope) for scope in set(scopes)}
        for i in wanted:
            value, se = worlds[scopes[i]][names[i].split(" (")[0]]
            says.append(float(result.draws["value"].values[chain, draw, i]))
            right.append(value)
            error.append(se)
    return Pair(np.array(says), np.array(right), np.array(error), exact=1e-6)


def effects_in(
    case: Case, world: World, predictor: str, outcome: str, level: str | None, at: Mapping[str, float], scope: str,
    *, effects: str = "new", only: str | None = None,
) -> dict[str, tuple[float, float]]:
    """Return direct, indirect and total effects with their errors, of one session where ``scope`` is within units."""
    label = case.study.label(outcome)
    start = world.holding() if scope.startswith("within") else world.following()
    order = in_order(case, label)
    system = make_system(case, start, label, REPLICATES, 5, order, effects=effects, only=only)
    keep = system.rows()
    held = dict(at)
    for name in moderators(case, predictor, order):
        if name not in held:
            view = case.view(world, label)
            own = view.column(case.study.label(name))[0] if case.study.equation(label).unit != "session" else world.column(case.study.label(name))[0]
            held[name] = float(np.nanmean(own[usable(view, label)]))
    base = start
    for name, value in held.items():
        base = base.set(name, value)
    worlds = [step(base, predictor, level, up) for up in (0, 1)]
    count = len(order)
    none = system.run([worlds[0]] * count)
    direct = system.run([worlds[0]] * (count - 1) + [worlds[1]])
    both = system.run([worlds[1]] * count)
    total, direct_effect, indirect = (mean_and_error(v, keep) for v in (both - none, direct - none, both - direct))
    ratio = indirect[0] / total[0]
    share = abs(ratio) * (abs(indirect[1] / indirect[0]) + abs(total[1] / total[0])) if indirect[0] else 0.0
    return {"direct": direct_effect, "indirect": indirect, "total": total, "share mediated": (ratio, share)}


READERS = {"mediation_effects": mediation}
__all__ = ["READERS", "AllianceError"]
