"""Effects as differences of worlds: the treatment set for some of the ways it can take, mediators drawn (g-formula)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance._messages import escaped, unknown
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.related_variables import related_to
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.averaging import NOISE, average_draws
from bayes_alliance.expectation.drawn_evaluator import find_places
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.expectation.linear import stack_draws
from bayes_alliance.expectation.set_variables import Setting, check_values
from bayes_alliance.findings import Problem
from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.fit.seeds import check_seed
from bayes_alliance.posterior.effects_by_arm import name_effects, tabulate_effects
from bayes_alliance.posterior.estimands import tabulate
from bayes_alliance.posterior.paths import Path, check_order, find_paths, last_outcome
from bayes_alliance.posterior.potential_outcomes import (
    World,
    draw_new_units,
    find_system,
    is_straight_system,
    set_treatment,
)
from bayes_alliance.posterior.summary import IntervalKind
from bayes_alliance.spec.equation_order import sort_outcomes

type Kind = Literal["natural", "interventional"]

AT_ONCE = 400_000
"""Rows (draws times patients) that are worked out together."""

ASSUMPTIONS = (
    "Nothing unmeasured moves treatment and outcome, treatment and a mediator, two mediators, or a mediator and the "
    "outcome, given the predictors of each equation.",
    "No predictor of a mediator's equation, other than the mediators before it, is changed by the treatment.",
    "A patient's values do not depend on the treatment of others.",
)
"""What has to hold for the differences to be effects."""

ACROSS = (
    "What a patient's outcome would be under one treatment does not depend, given the predictors, on what the "
    "mediators would be under the other: no study can show this, not even one that sets the mediators."
)
"""What natural effects need beside, and interventional ones do not."""


@dataclass(frozen=True, eq=False)
class Counterfactual:
    """Effects of a treatment, split by the mediators that carry them; as draws, with what has to be assumed.

    ``draws`` is as of ``Mediation``; ``mediators`` are in the order of their equations; ``cross_world`` is the stated
    correlation of the first mediator's residuals in the two worlds. ``noise`` is the largest share of the variance of
    an effect's draws that comes from drawing mediators and not from the posterior.
    """

    treatment: str
    outcome: str
    values: tuple[Setting, Setting]
    mediators: tuple[str, ...]
    draws: xr.Dataset
    kind: Kind = "natural"
    cross_world: float | None = None
    noise: float = 0.0

    @property
    def held(self) -> str:
        """Return what names in brackets mean, empty where effects are the same in both arms."""
        if not any("[" in str(name) for name in self.draws["estimand"].values):
            return ""
        return (
            f"[{self.treatment} = …] is where an effect holds: the treatment of all that is not on its way. Without "
            "it: the mean of the two."
        )

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Return what has to hold for these differences to be effects."""
        if self.kind == "interventional":
            return ASSUMPTIONS
        if self.cross_world is None:
            return (*ASSUMPTIONS, ACROSS)
        stated = (
            f"Residuals of {self.mediators[0]} with and without the treatment correlate at {self.cross_world:g}, which "
            f"no data tell."
        )
        return (*ASSUMPTIONS, ACROSS, stated)

    def table(self, *, ci_prob: float = 0.95, ci_kind: IntervalKind = "eti") -> pd.DataFrame:
        """Return one line per effect, with the columns of ``summarize_estimands``."""
        return tabulate(self.draws, ci_prob=ci_prob, ci_kind=ci_kind)

    @escaped
    def __repr__(self) -> str:
        columns = ["name", "mean", "median", "eti95_lb", "eti95_ub", "r_hat"]
        lines = [f"- {text}" for text in self.assumptions]
        if self.noise > NOISE:
            lines.append(
                f"Drawing mediators adds {self.noise:.0%} to the variance of an effect: its interval is too wide."
            )
        return "\n".join(
            [
                f"{self.treatment} at {self.values[1]} rather than {self.values[0]}: expected {self.outcome}.",
                self.table()[columns].round(3).to_string(index=False),
                *([self.held] if self.held else []),
                "Effects if:",
                *lines,
            ]
        )


def counterfactual_effects(
    fit: Fit,
    treatment: str,
    *,
    outcome: str | None = None,
    values: tuple[Setting, Setting],
    kind: Kind = "natural",
    cross_world: float | None = None,
    draws: int = 1000,
    seed: int = 1,
) -> Counterfactual:
    """Work out path-specific or interventional effects by drawing mediators and averaging outcomes (g-formula).

    In every row mediators are drawn in their order with the treatment set, with what goes with it (residual SDs,
    covariances and groups of the arm), group effects of new therapists (and so on) among them, and the expected outcome
    is averaged over rows. Where every outcome is a straight line in those before it, mediators are at their means and
    nothing is drawn; else they are drawn so often that this adds less than 1 % to the variance of an effect's draws, 64
    times per draw at most; ``noise`` says how much. Links may be bent and treatment and mediators multiply each other.
    The total effect is split by the mediator through which it first goes: through the first mediator
    (whatever it changes after it), through the second and not the first, and so on, and directly. Where treatment and
    mediators multiply each other, or links are bent, it can be split in two ways, and both are given: the direct effect
    with mediators as they are without treatment and indirect effects with the treatment (the natural direct and total
    indirect effect), and the other way round (the total direct and natural indirect effect). Each is named by the value
    of the treatment it holds at, ``direct[condition = TAU]``, and there is their mean, ``direct``. Neither needs two
    worlds of one mediator at once (Avin, Shpitser and Pearl 2005; Daniel et al. 2015); a finer split is not identified
    where slopes depend on treatment or mediators. With ``cross_world`` what goes through the first of two
    mediators is split into what it does through the second and what it does without it, given how its residuals with
    and without the treatment correlate; where slopes depend on neither, the split is the same whatever this is.

    Interventional effects (Vansteelandt and Daniel 2017) ask what shifting the distribution of one mediator would do,
    as if each patient were given a value drawn from those of patients alike in predictors and therapist: they suppose
    no two worlds of one patient. A mediator's shift is the whole of it, what earlier mediators bring about included.

    Parameters
    ----------
    fit : Fit
        With its design.
    treatment, outcome : str
        In the model's names; the outcome may be left out where only one predicts no other.
    values : tuple
        The two values of the treatment that are compared, the reference first: numbers or levels.
    kind : {"natural", "interventional"}
        Which effects.
    cross_world : float, optional
        Correlation, from 0 to 1, of natural effects with two mediators, the first Gaussian.
    draws : int
        Posterior draws at most.
    seed : int
        For what is drawn: the same numbers in all worlds.

    Returns
    -------
    Counterfactual
        ``through <mediator>`` per mediator, and where they differ one at each value of the treatment (interventional:
        ``shift of <mediator>``, and ``dependence``, what changes because mediators go together differently),
        ``direct``, ``indirect`` (the former together), ``total`` and ``share mediated`` (of the means), each per draw
        in units of the outcome (probabilities, for 0/1 outcomes).

    Raises
    ------
    FitError
        If there is no path, equations have rows of different units or read other rows, residuals are in series, a
        mediator was measured after the outcome, or ``cross_world`` does not apply.
    """
    check_seed(seed)
    if kind not in ("natural", "interventional"):
        raise FitError(unknown("kind", kind, ["natural", "interventional"]))
    design = design_of(fit)
    outcome = last_outcome(design) if outcome is None else outcome
    if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != 2:
        raise FitError(f"values={values!r}: two values of {treatment!r} are compared, values=(reference, other).")
    paths = _paths_of(design, treatment, outcome)
    on_the_way = {edge.target for path in paths for edge in path.edges} - {outcome}
    mediators = tuple(name for name in sort_outcomes(design.spec) if name in on_the_way)
    check_order(design, paths)
    system = find_system(design, (*mediators, outcome))
    _check_treatment(system, treatment, values)
    if cross_world is not None:
        _check_cross_world(system, kind, cross_world)
    posterior = with_effects(fit)
    each = max(1, min(posterior.sizes["draw"], draws // posterior.sizes["chain"]))
    chosen = posterior.isel(draw=np.linspace(0, posterior.sizes["draw"] - 1, each).astype(int))
    flat = stack_draws(chosen)
    make = _of_interventions if kind == "interventional" else _of_worlds
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    moved = set_treatment(design, system, treatment, values)
    places, straight = find_places({e.spec.outcome: e for e in system}), is_straight_system(system)

    def repeat() -> dict[tuple[str, bool], np.ndarray]:
        found: dict[tuple[str, bool], list[np.ndarray]] = {}
        size = max(1, AT_ONCE // len(system[-1].y))
        for start in range(0, flat.sizes["sample"], size):
            part = flat.isel(sample=slice(start, start + size))
            units = draw_new_units(design, system, part.sizes["sample"], rng)
            world = World(design, system, moved, places, part, units, straight)
            seeds = rng.integers(0, 2**32, size=(len(system) + 1, len(system)))
            for base in (False, True):
                for name, value in make(world, seeds, mediators, cross_world, base).items():
                    found.setdefault((name, base), []).append(value)
        return {name: np.concatenate(parts) for name, parts in found.items()}

    averaged, noise = (repeat(), 0.0) if straight else average_draws(repeat)
    whole = {name: value.reshape(posterior.sizes["chain"], each) for name, value in averaged.items()}
    return Counterfactual(
        treatment,
        outcome,
        values,
        mediators,
        tabulate_effects(name_effects(whole, treatment, values), system[-1]),
        kind=kind,
        cross_world=cross_world,
        noise=noise,
    )


def _paths_of(design: Design, treatment: str, outcome: str) -> tuple[Path, ...]:
    """Return the paths of a treatment and of the variables that go with it, one of which may stand for it."""
    found: list[Path] = []
    problem: FitError | None = None
    for name in (treatment, *related_to(design, treatment)):
        try:
            found += find_paths(design, name, outcome, bent=True)
        except FitError as error:
            problem = problem or error
    if problem is not None and not found:
        raise problem
    return tuple(found)


def _check_cross_world(system: Sequence[EquationDesign], kind: Kind, value: float) -> None:
    problems = []
    if not 0 <= value <= 1:
        problems.append(
            Problem(f"cross_world = {value:g} is out of range.", allowed="It is a correlation from 0 to 1.")
        )
    if kind != "natural":
        problems.append(Problem("cross_world belongs to natural effects; interventional ones suppose no two worlds."))
    if len(system) != 3:
        problems.append(
            Problem(f"cross_world splits the effect through the first of two mediators; there are {len(system) - 1}.")
        )
    if not system[0].kind.normal:
        problems.append(
            Problem(f"{system[0].outcome!r} is {system[0].family} and has no normal residual.", where="cross_world")
        )
    if problems:
        raise FitError(problems)


def _check_treatment(system: Sequence[EquationDesign], treatment: str, values: tuple[Setting, Setting]) -> None:
    """Refuse values that the treatment cannot have."""
    variable = next((e.variables[treatment] for e in system if treatment in e.variables), None)
    if variable is None:
        raise FitError(unknown("treatment", treatment, dict.fromkeys(n for e in system for n in e.variables)))
    check_values(variable, values)


def _of_worlds(
    world: World, seeds: np.ndarray, mediators: Sequence[str], cross_world: float | None, base: bool
) -> dict[str, np.ndarray]:
    """Return natural effects: steps between worlds in which the treatment reaches ever more of the equations.

    First the outcome's own equation, then also the last mediator's, and so on to the first; all worlds share their
    random numbers. With ``base`` the first world is treated and the treatment is taken away step by step, what changes
    then counted the other way round.
    """
    count, sign = len(mediators), -1 if base else 1
    steps, before = {}, world.expected(base, world.mediators([base] * count, seeds[0]))
    start = before
    for reached in range(count + 1):
        name = f"through {mediators[count - reached]}" if reached else "direct"
        flags = [(place >= count - reached) != base for place in range(count)]
        if reached == count and cross_world is not None:
            between, after = _split_first(world, seeds, mediators, cross_world, base)
            steps[f"{name} and {mediators[1]}"] = sign * (between - before)
            steps[f"{name} alone"] = sign * (after - between)
        else:
            after = world.expected(not base, world.mediators(flags, seeds[0]))
            steps[name] = sign * (after - before)
        before = after
    carried = {name: steps[name] for name in reversed(steps) if name != "direct"}
    return carried | {"direct": steps["direct"], "total": sign * (before - start)}


def _split_first(
    world: World, seeds: np.ndarray, mediators: Sequence[str], cross_world: float, base: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return expected outcomes where the second mediator alone, and then also the outcome, sees the first one changed.

    The first mediator's residuals in the other world are ``cross_world`` times those in this one, and new ones.
    """
    first, second = mediators
    untreated, level = world.linear(0, base, {}), world.linear(0, not base, {})
    here = world.draw(0, base, {}, seeds[0, 0])
    residual = here - untreated - world.system[0].offset
    other = world.draw(0, base, {}, seeds[1, 0]) - untreated - world.system[0].offset
    there = level + cross_world * residual + np.sqrt(1 - cross_world**2) * other + world.system[0].offset
    of_second = world.draw(1, not base, {first: there}, seeds[0, 1])
    return (
        world.expected(not base, {first: here, second: of_second}),
        world.expected(not base, {first: there, second: of_second}),
    )


def _of_interventions(
    world: World, seeds: np.ndarray, mediators: Sequence[str], cross_world: float | None, base: bool
) -> dict[str, np.ndarray]:
    """Return interventional effects: mediators drawn each from its own distribution, moved one after the other.

    With ``base`` from the treated world to the other one, what changes then counted the other way round.
    """
    count, sign, ends = len(mediators), -1 if base else 1, (base, not base)
    joint = [world.mediators([treated] * count, seeds[0]) for treated in ends]
    alone = (
        joint
        if count == 1
        else [
            {
                name: world.mediators([treated] * (place + 1), seeds[place + 1])[name]
                for place, name in enumerate(mediators)
            }
            for treated in ends
        ]
    )
    start, treated, end = (
        world.expected(base, joint[0]),
        world.expected(not base, joint[0]),
        world.expected(not base, joint[1]),
    )
    apart = [world.expected(not base, alone[0])]
    for place in range(count):
        given = {name: alone[int(i <= place)][name] for i, name in enumerate(mediators)}
        apart.append(world.expected(not base, given))
    found = {f"shift of {name}": apart[i + 1] - apart[i] for i, name in enumerate(mediators)}
    if count > 1:
        found["dependence"] = (end - apart[-1]) - (treated - apart[0])
    found |= {"direct": treated - start, "total": end - start}
    return {name: sign * value for name, value in found.items()}
