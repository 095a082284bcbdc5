"""Worlds in which a variable is set and the outcomes that follow from it are drawn anew, equation after equation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bayes_alliance.spec.expressions import calls_in
from bayes_alliance.spec.variables_read import current_values_in
from tests.truth.cases import Case
from tests.truth.simulator import (
    Effects,
    draw_outcome,
    expected,
    linear_predictor,
    state_effects,
    static_part,
    usable,
)
from tests.truth.worlds import View, World

type Value = float | str


def in_order(case: Case, outcome: str) -> list[str]:
    """Return the labels of an outcome and of all outcomes before it, each after those that it reads."""
    study = case.study
    reads = {}
    for e in study.spec.equation:
        parts = [part for term in e.parsed.every_term for part in term.parts]
        own = {n for part in parts for n in current_values_in(part)}
        own |= {n for part in parts for c in calls_in(part) if c.function == "lag" for n in e.predictors}
        reads[study.label(e.outcome)] = [study.label(n) for n in study.spec.outcomes if n in own and n != e.outcome]
    done: list[str] = []

    def visit(label: str, above: tuple[str, ...]) -> None:
        for before in reads[label]:
            if before not in done and before not in above:
                visit(before, (*above, label))
        if label not in done:
            done.append(label)

    visit(outcome, ())
    return done


@dataclass(frozen=True, eq=False)
class System:
    """Outcomes in order over one draw's parameters, with the random numbers that all worlds share."""

    case: Case
    world: World
    outcomes: Sequence[str]
    effects: Effects
    noise: Mapping[str, np.ndarray]

    def rows(self) -> np.ndarray:
        """Return the session rows, or rows of the last outcome, that every equation of its unit can use."""
        last = self.outcomes[-1]
        keep = usable(self.case.view(self.world, last), last)
        for label in self.outcomes[:-1]:
            if self.case.study.equation(label).unit == self.case.study.equation(last).unit:
                keep = keep & usable(self.case.view(self.world, label), label)
        return keep

    def spread_out(self, label: str, values: np.ndarray) -> np.ndarray:
        """Return an outcome's values in every session row of its unit."""
        code = self.case.study.rows_of(self.case.study.equation(label).unit)[2]
        return np.where(code >= 0, values[:, code], np.nan)

    def draw(self, world: World, label: str) -> np.ndarray:
        """Return an outcome drawn in a world, shape (replicate, session row)."""
        view = self.case.view(world, label)
        eta = linear_predictor(view, label, self.effects)
        drawn = draw_outcome(view, label, eta, self.noise[label], self.effects)
        return self.spread_out(label, np.broadcast_to(drawn, self.noise[label].shape))

    def run(self, settings: Sequence[World], given: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """Return expected last outcomes, shape (replicate, row): each equation in the world that is stated for it."""
        known, statics = dict(given or {}), dict[str, np.ndarray]()
        for label, world in zip(self.outcomes[:-1], settings[:-1], strict=True):
            if label not in known:
                there = put_all(world, known, statics)
                known[label] = self.draw(there, label)
                statics[label] = static_part(self.case.view(there, label), label)
        return self.finish(settings[-1], known, statics)

    def mediators(
        self, settings: Sequence[World], noise: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Return the outcomes before the last one as they are drawn."""
        system = self if noise is None else System(self.case, self.world, self.outcomes, self.effects, noise)
        known: dict[str, np.ndarray] = {}
        for label, world in zip(self.outcomes[:-1], settings, strict=True):
            known[label] = system.draw(put_all(world, known), label)
        return known

    def finish(
        self, world: World, known: Mapping[str, np.ndarray], statics: Mapping[str, np.ndarray] | None = None
    ) -> np.ndarray:
        """Return expected last outcomes, shape (replicate, row), given the others."""
        last = self.outcomes[-1]
        view = self.case.view(put_all(world, known, statics), last)
        eta = linear_predictor(view, last, self.effects)
        shape = (len(self.noise[last]), len(view))
        return np.broadcast_to(expected(view, last, eta, self.effects), shape)


def put_all(world: World, known: Mapping[str, np.ndarray], statics: Mapping[str, np.ndarray] | None = None) -> World:
    """Return a world with outcomes as they were drawn, and where known with the means that belong to them."""
    for label, values in known.items():
        static = (statics or {}).get(label)
        world = world.put(label, values) if static is None else world.put_drawn(label, values, static)
    return world


def make_system(
    case: Case,
    world: World,
    outcome: str,
    replicates: int,
    seed: int,
    outcomes: Sequence[str] | None = None,
    *,
    effects: str = "new",
    only: str | None = None,
) -> System:
    """Return the outcomes up to one, with new units' effects and residuals drawn, each beside its mirror image."""
    rng = np.random.default_rng(seed)
    chosen = list(outcomes or in_order(case, outcome))
    noise = {}
    for label in chosen:
        z = rng.normal(size=(replicates // 2, len(case.view(world, label))))
        noise[label] = np.concatenate([z, -z])
    drawn = state_effects(world, effects, replicates, rng, only=only)
    return System(case, world, chosen, drawn, noise)


def mean_and_error(values: np.ndarray, keep: np.ndarray) -> tuple[float, float]:
    """Return the mean over rows and replicates, and its Monte Carlo error from pairs of mirror images."""
    each = np.nanmean(values[:, keep], axis=1)
    half = len(each) // 2
    pairs = (each[:half] + each[half:]) / 2
    return float(pairs.mean()), float(pairs.std(ddof=1) / np.sqrt(half))


__all__ = ["System", "View", "in_order", "make_system", "mean_and_error"]
