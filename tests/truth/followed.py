"""What predictions say where outcomes follow from what is set, beside worlds in which they are drawn anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from unittest import mock

import numpy as np

import bayes_alliance as ba
from bayes_alliance.expectation import averaging
from bayes_alliance.spec.expressions import calls_in
from bayes_alliance.spec.variables_read import values_in
from tests.truth.cases import Case
from tests.truth.predicted import values_of
from tests.truth.propagation import System, in_order, make_system, mean_and_error, put_all
from tests.truth.readers import settable
from tests.truth.simulator import linear_predictor, usable
from tests.truth.table import NotCompared, Pair, Setting
from tests.truth.worlds import World

REPLICATES, SEEDS = 1500, 12


def followed(case: Case) -> Iterator[Setting]:
    """Predictions with propagate=True: a variable set in every equation that the outcome follows from."""
    for e in case.design.equations:
        order = in_order(case, e.outcome)
        if len(order) < 2:
            continue
        names: dict[str, Sequence] = {}
        for label in order:
            names |= {name: values for name, values in settable(case, label) if name not in case.study.spec.outcomes}
        for name in sorted(names, key=lambda one: one != "condition")[:1]:
            for groups in ("new", "own"):
                yield (
                    f"{e.outcome}: {name}, {groups}",
                    lambda e=e, v=name, x=names[name], g=groups, o=order: _followed(case, e.outcome, v, x, g, o),
                )


def _in_time(case: Case, order: Sequence[str]) -> bool:
    """Return whether outcomes read their own earlier sessions, or one another's in a circle."""
    names = {case.study.equation(label).outcome for label in order}
    return any(
        call.function == "lag" and names & set(values_in(call))
        for label in order
        for term in case.study.equation(label).parsed.every_term
        for part in term.parts
        for call in calls_in(part)
    )


def _run(system: System, world: World) -> np.ndarray:
    """Return expected last outcomes, shape (replicate, row): others are drawn where they were observed or modelled.

    Latent means are those of the units that are drawn, new ones where these are new.
    """
    known: dict[str, np.ndarray] = {}
    statics: dict[str, np.ndarray] = {}
    for label in system.outcomes[:-1]:
        there = put_all(world, known, statics)
        drawn, seen = system.draw(there, label), ~np.isnan(world.observed.column(label)[0])
        modelled = system.case.study.equation(label).missing == "model"
        known[label] = drawn if modelled else np.where(seen, drawn, np.nan)
        statics[label] = linear_predictor(system.case.view(there, label), label, system.effects, still=True)
    return system.finish(world, known, statics)


def _followed(case: Case, outcome: str, variable: str, values: Sequence, groups: str, order: Sequence[str]) -> Pair:
    settings = {"outcome": outcome, "groups": groups, "propagate": True, "by": "row"}
    if _in_time(case, order):
        raise NotCompared("sessions follow one another; see tests/posterior/test_propagation.py")
    first, second = (ba.predictions(case.fit, at={variable: list(values)}, seed=seed, **settings) for seed in (1, 2))
    got = [first, second]
    if not np.array_equal(values_of(first), values_of(second)):  # straight lines need nothing drawn
        with mock.patch.multiple(averaging, NOISE=0.0, MOST_REPEATS=2):
            got = [
                ba.predictions(case.fit, at={variable: list(values)}, seed=seed, **settings) for seed in range(SEEDS)
            ]
    says = np.array([values_of(one).reshape(*values_of(one).shape[:2], len(values), -1) for one in got])
    right, error, own = [], [], []
    for chain, draw in case.draws():
        system = make_system(case, case.world(chain, draw), outcome, REPLICATES, 7, effects=groups)
        # what an equation says of a row, by slope() and the like, moves with what is set, and is of the units drawn
        world = replace(case.world(chain, draw).following(), effects=dict(system.effects), memory={})
        keep = system.rows()
        of_target = keep[usable(case.view(world, outcome), outcome)]
        each = says[:, chain, draw][..., of_target].mean(axis=2)  # by seed and value
        own.append(each.mean(axis=0))
        found = [mean_and_error(_run(system, world.set(variable, v)), keep) for v in values]
        right.append([mean for mean, _ in found])
        error.append(np.hypot([se for _, se in found], each.std(axis=0, ddof=1) / np.sqrt(len(got))))
    return Pair(np.array(own), np.array(right), np.array(error), exact=1e-6)


READERS = {"predictions, outcomes following": followed}
