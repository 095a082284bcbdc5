"""What every public reader of a fit says at some settings, each beside the right value worked out in a world."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import bayes_alliance as ba
from bayes_alliance.expectation.effects import with_effects
from tests.truth.cases import Case
from tests.truth.simulator import (
    POINTS,
    REACH,
    expected,
    linear_predictor,
    marginal_mean,
    offset_of,
    state_effects,
    usable,
    variance_of_effects,
)
from tests.truth.table import Pair, Setting
from tests.truth.worlds import World


def over_draws(case: Case, work) -> np.ndarray:
    """Return what ``work(world)`` gives in every draw, shape (chain, draw, …)."""
    posterior = with_effects(case.fit)
    values = [work(case.world(c, d)) for c, d in case.draws()]
    return np.array(values).reshape(posterior.sizes["chain"], posterior.sizes["draw"], *np.shape(values[0]))


def settable(case: Case, outcome: str) -> list[tuple[str, list[float | str]]]:
    """Return variables of an equation with two values each: levels of factors, quartiles of numbers."""
    equation = case.study.equation(outcome)
    found: list[tuple[str, list[float | str]]] = []
    for name in equation.predictors:
        if name == equation.outcome or name not in case.design.find(outcome).variables:
            continue
        label = case.study.label(name)
        world = case.world(0, 0)
        values = world.column(label)[0]
        if values.dtype == object:
            levels = sorted(set(values) - {""})
            found.append(
                (name, [case.reference.get(name, levels[0]), *[v for v in levels if v != case.reference.get(name)]])
            )
        elif name in case.design.reference:
            levels = sorted(set(values[~np.isnan(values)]))
            found.append((name, [f"{v:g}" for v in levels]))
        else:
            low, high = np.nanquantile(values, [0.2, 0.85])
            whole = np.all(values[~np.isnan(values)] % 1 == 0)
            found.append((name, [float(np.round(low)), float(np.round(high))] if whole else [float(low), float(high)]))
    return found


def marginal(case: Case) -> Iterator[Setting]:
    """marginal_effects, group effects integrated out or at 0."""
    for e in case.design.equations:
        chosen = settable(case, e.outcome)[:4]
        for number, (variable, values) in enumerate(chosen):
            other = chosen[(number + 1) % len(chosen)] if len(chosen) > 1 else None
            for at in [None, *([other] if other is not None and number == 0 else [])]:
                for groups in ("integrated", "zero"):
                    name = f"{e.outcome}: {variable}{'' if at is None else ' at ' + at[0]}, {groups}"
                    yield (
                        name,
                        lambda e=e, v=variable, values=values, at=at, g=groups: _marginal(
                            case, e.outcome, v, values, at, g
                        ),
                    )


def _marginal(case: Case, outcome: str, variable: str, values: list, at, groups: str) -> Pair:
    settings = None if at is None else {at[0]: at[1]}
    got = ba.marginal_effects(case.fit, variable, values=values, at=settings, outcome=outcome, groups=groups)

    def right(world: World) -> np.ndarray:
        keep = usable(case.view(world, outcome), outcome)
        table = []
        for value in values:
            line = []
            for other in [None] if at is None else at[1]:
                moved = world.set(variable, value)
                if other is not None:
                    moved = moved.set(at[0], other)
                view = case.view(moved, outcome)
                line.append(
                    np.broadcast_to(marginal_mean(view, outcome, groups=groups), (1, len(view)))[0][keep].mean()
                )
            table.append(line)
        return np.array(table)

    means = over_draws(case, right)
    says = got["mean"].values.reshape(means.shape)
    difference = got["difference"].values.reshape(means[:, :, 1:].shape)
    apart = means[:, :, 1:] - means[:, :, :1]
    return Pair(np.concatenate([says, difference], axis=2), np.concatenate([means, apart], axis=2), exact=1e-4)


def trajectories(case: Case) -> Iterator[Setting]:
    """predict_trajectories: session and condition set in every row, group effects at 0."""
    for e in case.design.equations:
        for points in (3, 5):
            yield f"{e.outcome}: {points} points", lambda e=e, p=points: _trajectories(case, e.outcome, p)


def _trajectories(case: Case, outcome: str, points: int) -> Pair:
    got = ba.predict_trajectories(case.fit, outcome=outcome, points=points)
    clock = "time" if "time" in got.dims else "session"

    def right(world: World) -> np.ndarray:
        keep = usable(case.view(world, outcome), outcome)
        table = []
        for arm in got["arm"].values:
            line = []
            for session in got[clock].values:
                moved = world.set(clock, float(session))
                if str(arm) != "all":
                    moved = moved.set("condition", str(arm))
                view = case.view(moved, outcome)
                line.append(
                    np.broadcast_to(marginal_mean(view, outcome, groups="zero"), (1, len(view)))[0][keep].mean()
                )
            table.append(line)
        return np.array(table)

    return Pair(got.transpose("chain", "draw", "arm", clock).values, over_draws(case, right))


def unit_trajectories(case: Case) -> Iterator[Setting]:
    """predict_unit_trajectories: the session set in the rows of every level, its own effects added."""
    for e in case.design.equations:
        for factor in dict.fromkeys(g.factor for g in e.groups):
            yield f"{e.outcome}: {factor}", lambda e=e, f=factor: _unit_trajectories(case, e.outcome, f)


def _unit_trajectories(case: Case, outcome: str, factor: str) -> Pair:
    got = ba.predict_unit_trajectories(case.fit, factor, outcome=outcome, points=3)
    clock = "time" if "time" in got.dims else "session"

    def right(world: World) -> np.ndarray:
        first = case.view(world, outcome)
        keep, ids = usable(first, outcome), first.ids(factor)
        table = []
        for session in got[clock].values:
            moved = world.set(clock, float(session))
            view = case.view(moved, outcome)
            effects = state_effects(moved, "own", only=factor)
            eta = np.broadcast_to(expected(view, outcome, linear_predictor(view, outcome, effects)), (1, len(view)))[0]
            table.append([eta[keep & (ids == str(k))].mean() for k in got[factor].values])
        return np.array(table).T

    return Pair(got.transpose("chain", "draw", factor, clock).values, over_draws(case, right))


def hazards(case: Case) -> Iterator[Setting]:
    """predict_hazard: hazard and survival of those at risk at first, with a predictor set in all sessions."""
    for e in case.design.equations:
        if e.family not in ("hazard", "bernoulli") or e.spec.unit != "session":
            continue
        for variable, values in settable(case, e.outcome):
            yield f"{e.outcome}: {variable}", lambda e=e, v=variable, x=values: _hazard(case, e.outcome, v, x)
            world = case.world(0, 0)
            if world.column(case.study.label(variable))[0].dtype == object and len(values) > 1:
                label = f"{case.study.label(variable)}[{values[-1]}]"
                yield (
                    f"{e.outcome}: {label} 0 and 1",
                    lambda e=e, v=variable, x=[values[0], values[-1]], p=label: _hazard(case, e.outcome, v, x, p),
                )
        for label in e.coef.labels:
            if "(" in label and ":" not in label and "[" not in label:
                place = list(e.coef.labels).index(label)
                values = [float(v) for v in np.quantile(e.coef.values[:, place], [0.2, 0.8])]
                yield (
                    f"{e.outcome}: column {label}",
                    lambda e=e, p=label, x=values: _hazard(case, e.outcome, None, x, p),
                )


def _hazard(case: Case, outcome: str, variable: str | None, values: list, label: str | None = None) -> Pair:
    said = [0.0, 1.0] if label is not None and variable is not None else values
    got = ba.predict_hazard(case.fit, label or variable, values=said, outcome=outcome, draws=None)
    sessions = got["session"].values

    def right(world: World) -> np.ndarray:
        first = case.view(world, outcome)
        keep = usable(first, outcome) & (first.session[0] == sessions[0])
        table = []
        x = np.linspace(-REACH, REACH, POINTS)[:, None]
        weight = np.exp(-x * x / 2) / np.exp(-x * x / 2).sum()
        for value in values:
            moved = world.set(variable, value) if variable is not None else world
            staying = np.ones((len(x), keep.sum()))
            line = []
            for session in sessions:
                here = moved if variable == "session" else moved.set("session", float(session))
                view = case.view(here, outcome)
                if variable is None:
                    here.memory["label", view.unit, label] = np.full((1, len(view)), value)
                eta = linear_predictor(view, outcome, state_effects(here, "own"))
                eta = np.broadcast_to(eta, (1, len(view)))
                # units that nobody was in before: their effect is one normal variable over all of a patient's sessions
                sd = np.sqrt(variance_of_effects(view, outcome, new_only=True))
                staying = staying * (1 - expected(view, outcome, eta + x * sd)[:, keep])
                line.append(float((weight * staying).sum(axis=0).mean()))
            line = np.array(line)
            before = np.concatenate([[1.0], line[:-1]])
            table.append(np.concatenate([1 - line / before, line]))
        return np.array(table)

    means = over_draws(case, right).reshape(len(case.draws()), len(values), -1)
    says = np.concatenate([got["hazard"].values, got["staying"].values], axis=2)
    return Pair(says, means, exact=1e-4)


READERS = {
    "predict_hazard": hazards,
    "marginal_effects": marginal,
    "predict_trajectories": trajectories,
    "predict_unit_trajectories": unit_trajectories,
}

__all__ = ["READERS", "offset_of"]
