"""Worlds with the treatment set: equations over shared rows, mediators drawn one after the other, outcomes expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from bayes_alliance._messages import quote
from bayes_alliance.design.columns.functions import functions_around
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.latent_columns import FollowSteps, FollowValue
from bayes_alliance.design.equations.residual import ResidualDesign
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.chains import is_straight
from bayes_alliance.expectation.drawn_evaluator import Course, DrawnEvaluator, Places
from bayes_alliance.expectation.fewer_rows import rows_kept
from bayes_alliance.expectation.new_data import Moved, MovedGroup, move
from bayes_alliance.expectation.outcomes import rows_of
from bayes_alliance.expectation.propagation import LinearPart
from bayes_alliance.expectation.set_variables import Setting, set_variables, with_others
from bayes_alliance.findings import Problem


@dataclass(frozen=True, eq=False)
class World:
    """What mediators and outcomes are drawn from: equations in their order, posterior draws, effects of new units.

    ``moved`` holds every equation with the treatment set, by outcome and whether it is treated. ``normal`` holds
    standard normal variables of new units, (draw, obs, effect), by factor and membership: every row has units of its
    own, so that averages over rows are not those over a few drawn therapists; they are the same in all equations and
    whatever is set, and get the covariance of the arm that is set. ``straight`` says that each outcome is a straight
    line in those before it: their means are then taken, and nothing is drawn.
    """

    design: Design
    system: Sequence[EquationDesign]
    moved: Mapping[tuple[str, bool], Moved]
    places: Places
    flat: xr.Dataset
    normal: Mapping[tuple[str, int], np.ndarray]
    straight: bool

    def linear(self, place: int, treated: bool, given: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return linear predictors of one equation, shape (draw, obs)."""
        return self._linear(self.moved[self.system[place].outcome, treated], given)

    def draw(self, place: int, treated: bool, given: Mapping[str, np.ndarray], seed: int) -> np.ndarray:
        """Draw a mediator, shape (draw, obs); the same seed gives the same residuals."""
        e, linear = self.system[place], self.linear(place, treated, given)
        if self.straight:
            return linear + e.offset
        # the true mediator moves the outcome: errors of its measurement are no part of it
        rows = rows_of(e, self.flat, self.of_rows(place, treated, given))
        return rows.draw(linear, np.random.default_rng(seed)) + e.offset

    def mediators(self, treated: Sequence[bool], seeds: np.ndarray) -> dict[str, np.ndarray]:
        """Draw as many mediators as there are flags, one after the other."""
        found: dict[str, np.ndarray] = {}
        for place, own in enumerate(treated):
            found[self.system[place].spec.outcome] = self.draw(place, own, found, seeds[place])
        return found

    def expected(self, treated: bool, given: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the expected outcome over the rows, shape (draw,)."""
        e = self.system[-1]
        place = len(self.system) - 1
        rows = rows_of(e, self.flat, self.of_rows(place, treated, given))
        return np.asarray(rows.expected(self.linear(place, treated, given)).mean(axis=1) + e.offset)

    def of_rows(self, place: int, treated: bool, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the parameters that differ between rows, shape (draw, obs), those of the treatment that is set."""
        moved = self.moved[self.system[place].outcome, treated]
        linear = {name: self._linear(own, given) for name, own in moved.parameters().items()}
        return moved.of_rows(self.flat, linear)

    def _linear(self, moved: Moved, given: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return linear predictors with mediators as drawn, shape (draw, obs)."""
        name, none = moved.equation.spec.outcome, frozenset[str]()
        course = Course(self.design, self.flat, {name: moved}, self.places, {}, {name: none}, values=dict(given))
        # a mean does not depend on who has a unit, unless something after it is no straight line
        linear = all(one.kind.linear for one in self.system)
        groups = moved.groups(unclear="observed" if linear else "refuse")
        part = LinearPart(course, name, moved, given, () if self.straight else groups)
        rows = np.arange(len(moved.equation.y))
        return part.at(rows, DrawnEvaluator(course, name, self.places.of_rows[name]), self._effects)[0]

    def _effects(self, own: MovedGroup, rows: np.ndarray) -> np.ndarray:
        """Return effects of every row's own new units, shape (draw, row, effect)."""
        roots = own.roots(self.design, self.flat)[:, own.stratum[rows]]
        return np.asarray(np.einsum("soek,sok->soe", roots, self.normal[own.group.factor, own.group.slot][:, rows]))


def is_straight_system(system: Sequence[EquationDesign]) -> bool:
    """Return whether every outcome is a straight line in those before it, so that their means are all that matters."""
    names = {e.spec.outcome for e in system}
    factors = {group.factor for e in system for group in e.groups}
    return all(is_straight(e, names, dict.fromkeys(factors, "new"), new=True) for e in system)


def find_system(design: Design, outcomes: Sequence[str]) -> tuple[EquationDesign, ...]:
    """Return the equations over the rows that all of them have, refusing what rows alone do not tell."""
    chosen = [design.find(name) for name in outcomes]
    units = {e.spec.unit for e in chosen}
    problems = []
    if len(units) > 1:
        problems.append(Problem(f"The equations have rows of different units: {quote(sorted(units))}."))
    series = [e.outcome for e in chosen if e.serial]
    if series:
        problems.append(Problem(f"Residuals of {quote(series)} correlate over sessions; worlds are of single rows."))
    means = [e.outcome for e in chosen if any(not isinstance(f, FollowValue | FollowSteps) for f in e.follows.values())]
    if means:
        problems.append(
            Problem(f"{quote(means)} follow latent means, which are of units and not of rows; worlds are of rows.")
        )
    if isinstance(design.residual, ResidualDesign) and {e.outcome for e in chosen} & set(design.residual.outcomes):
        problems.append(Problem("Residuals on the way correlate, so that mediators are not drawn one after the other."))
    for e in chosen:
        terms = e.spec.parsed.every_term
        around = {name for term in terms for part in term.parts for name in functions_around(part)}
        if around:
            problems.append(
                Problem(
                    f"The equation of {e.outcome!r} reads other rows ({', '.join(sorted(around))}), which do not "
                    "change with the row's own treatment here.",
                    fix="Follow its paths with mediation_effects.",
                )
            )
    if problems:
        raise FitError(problems)
    rows = set(chosen[0].row).intersection(*(set(e.row) for e in chosen[1:]))
    return tuple(rows_kept(e, np.array([row in rows for row in e.row])) for e in chosen)


def set_treatment(
    design: Design, system: Sequence[EquationDesign], treatment: str, values: tuple[Setting, Setting]
) -> dict[tuple[str, bool], Moved]:
    """Return every equation with the treatment at either value, by outcome and whether it is the second."""
    found = {}
    # what goes with the treatment is set in every equation, also where the treatment itself does not stand
    whole = [with_others(replace(design, equations=tuple(system)), {treatment: value}) for value in values]
    for e in system:
        for treated, stated in enumerate(whole):
            settings = {name: value for name, value in stated.items() if name in e.variables}
            found[e.outcome, bool(treated)] = move(design, e, set_variables(e, settings))
    return found


def draw_new_units(
    design: Design, system: Sequence[EquationDesign], draws: int, rng: np.random.Generator
) -> dict[tuple[str, int], np.ndarray]:
    """Draw standard normal variables of new units for every row, (draw, obs, effect), by factor and membership."""
    parts = [own for e in system for own in e.linear_predictors]
    keys = dict.fromkeys((group.factor, group.slot) for own in parts for group in own.groups)
    sizes = {factor.factor: len(factor.effects) for factor in design.factors}
    return {key: rng.normal(size=(draws, len(system[0].y), sizes[key[0]])) for key in keys}
