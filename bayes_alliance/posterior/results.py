"""Questions worked out: results at every setting, draw by draw, and collected under names that say what they are of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Literal

import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance._messages import are, count_of, first_few, quote, unknown
from bayes_alliance.design.design import Design
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.averaging import NOISE, average_draws
from bayes_alliance.expectation.categories import Category, categories_of, probability
from bayes_alliance.expectation.chains import Chain, check_own_residuals, make_chain
from bayes_alliance.expectation.drawn_evaluator import Course
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.expectation.expected import (
    Effects,
    drawn_rows,
    expected_means,
    expected_rows,
    in_parts,
    linear_rows,
    read_groups,
)
from bayes_alliance.expectation.linear import stack_draws
from bayes_alliance.expectation.new_data import Moved, Units
from bayes_alliance.expectation.propagation import Followed, Noise, draw_noise, follow, own_residuals, set_in_chain
from bayes_alliance.expectation.questions import Question
from bayes_alliance.expectation.set_variables import Setting
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.fit.progress import step
from bayes_alliance.fit.result import Fit, design_for_rows, design_of
from bayes_alliance.posterior.expectations import Expectations, make_expectations

type What = Literal["expected", "linear", "drawn", "probability", "survival"]
type Groups = str | Mapping[str, str]
type Residuals = Literal["new", "own"]
type Side = tuple[Mapping[str, Setting], Mapping[str, float]]
"""What is set, and what numbers are changed by."""

RESIDUALS: Final = ("new", "own")

AT_ONCE: Final = 400_000
"""Numbers (draws times rows) that are drawn together."""


@dataclass(eq=False)
class Asked:
    """A question of a fit, whose effects are meant, and what was noticed while it was worked out."""

    fit: Fit
    question: Question
    groups: Mapping[str, Effects]
    seed: int = 1
    residuals: Residuals = "new"
    messages: list[str] = field(default_factory=list)

    def values(
        self, sides: Sequence[Side], *, what: What = "expected", pairs: Sequence[tuple[int, int]] = ()
    ) -> list[np.ndarray]:
        """Return results on every side, shape (draw, line); of probabilities a line per line and category.

        ``pairs`` are sides whose difference matters, where outcomes are drawn as often as that needs.
        """
        question = self.question
        flat = self.draws()
        measures = self._measures(what)
        if question.follows:
            return self._propagated(sides, what, pairs, flat, measures)
        found = []
        for settings, shift in sides:
            moved = question.moved(settings, shift)
            found.append(np.concatenate([self._at(moved, flat, what, own) for own in measures], axis=1))
        return found

    def draws(self) -> xr.Dataset:
        """Return the draws, with group effects where rows read them."""
        return _draws(self.fit, self.question, self.groups)

    def _measures(self, what: What) -> list[Category | None]:
        return list(categories_of(self.question.fitted)) if what == "probability" else [None]

    def _at(self, moved: Moved, flat: xr.Dataset, what: What, category: Category | None) -> np.ndarray:
        weights, groups, e = self.question.weights, self.groups, moved.equation
        if what == "expected" and weights is not None:
            return expected_means(moved, flat, groups, weights)
        rng, offset = np.random.default_rng(np.random.SeedSequence(self.seed)), e.offset if e.kind.linear else 0.0
        measure = None if category is None else partial(probability, category)
        each: dict[str, Callable[[xr.Dataset], np.ndarray]] = {
            "expected": lambda part: expected_rows(moved, part, groups),
            "linear": lambda part: linear_rows(moved, part, groups) + offset,
            "drawn": lambda part: drawn_rows(moved, part, groups, rng),
            "probability": lambda part: expected_rows(moved, part, groups, measure),
        }
        return in_parts(each[what], flat, len(e.y), weights)

    def _propagated(
        self,
        sides: Sequence[Side],
        what: What,
        pairs: Sequence[tuple[int, int]],
        flat: xr.Dataset,
        measures: Sequence[Category | None],
    ) -> list[np.ndarray]:
        chain = self.chain(bent=what in ("drawn", "probability") or self.residuals == "own")
        if self.residuals == "own":
            check_own_residuals(chain, drawn=what == "drawn")
        courses = [set_in_chain(chain, *side) for side in sides]
        usable = self._usable(chain, courses, flat)

        def work(part: xr.Dataset, rng: np.random.Generator) -> list[np.ndarray]:
            noise = draw_noise(chain, part, courses, rng)
            if self.residuals == "own":
                noise = replace(noise, kept=own_residuals(chain, part))
            return _all_sides(chain, courses, part, noise, what, measures, self.question, usable)

        return self.repeated(chain, work, pairs, anew=not (chain.straight or what == "drawn"))

    def repeated(
        self,
        chain: Chain,
        work: Callable[[xr.Dataset, np.random.Generator], list[np.ndarray]],
        pairs: Sequence[tuple[int, int]] = (),
        *,
        anew: bool = True,
    ) -> list[np.ndarray]:
        """Return results by side, shape (draw, line), drawn so often that this adds little to them.

        Parameters
        ----------
        chain : Chain
            What is drawn.
        work : callable
            Returns results of every side for some draws.
        pairs : sequence of pairs
            As in ``values``.
        anew : bool
            Whether anything is drawn that is to be averaged away.
        """
        flat, rng = self.draws(), np.random.default_rng(np.random.SeedSequence(self.seed))
        rows = sum(len(own.y) for own in chain.equations.values())
        size = max(1, AT_ONCE // max(len(own.y) for own in chain.equations.values()))
        draws = flat.sizes["sample"]
        copies = max(1, AT_ONCE // (draws * rows)) if anew else 1  # of few rows many are drawn at once
        several = flat if copies == 1 else flat.isel(sample=np.tile(np.arange(draws), copies))

        def repeat() -> dict[tuple[int, int], np.ndarray]:
            parts = [
                work(several.isel(sample=slice(start, start + size)), rng) for start in range(0, copies * draws, size)
            ]
            joined = [np.concatenate(own) for own in zip(*parts, strict=True)]
            whole = {(i, i): own.reshape(copies, draws, -1).mean(axis=0) for i, own in enumerate(joined)}
            return whole | {(i, j): whole[j, j] - whole[i, i] for i, j in pairs}

        if not anew:
            found, noise = repeat(), 0.0
        else:
            with step("Drawing what follows", "auto"):
                found, noise = average_draws(repeat, set(pairs) or None)
        if noise > NOISE:
            self.messages.append(f"Drawing what follows adds {noise:.0%} to the variance of a result.")
        return [own for (i, j), own in found.items() if i == j]

    def chain(self, *, bent: bool = False) -> Chain:
        """Return the equations that the outcome follows from; ``bent`` where no mean of it is asked for."""
        question = self.question
        return make_chain(
            question.design,
            {name: own.equation for name, own in question.follows.items()},
            {name: question.design.find(name) for name in question.follows},
            {name: own.units for name, own in question.follows.items()},
            self.groups,
            bent=bent,
            given=question.given,
            calls={name: set(own.stated) for name, own in question.follows.items()},
        )

    def is_straight(self) -> bool:
        """Return whether every outcome that follows is a straight line in those before it."""
        return self.chain().straight

    def _usable(self, chain: Chain, courses: Sequence[Course], flat: xr.Dataset) -> np.ndarray:
        """Return which rows have a value on every side; say how many have none, and how many read observed values.

        Raises
        ------
        FitError
            If none has.
        """
        one = flat.isel(sample=slice(0, 1))
        rng = np.random.default_rng(0)
        tried = [follow(chain, course, one, draw_noise(chain, one, courses, rng)) for course in courses]
        usable = np.all([~np.isnan(followed.linear[0]) for followed in tried], axis=0)
        e, gone = self.question.equation, np.flatnonzero(~usable)
        if not usable.any():
            raise FitError(
                Problem(
                    f"No row has all that the equation of {e.outcome!r} and those before it read.",
                    fix="Give rows of earlier sessions, or the values as columns.",
                )
            )
        if len(gone):
            places = [f"row {e.row[place] + 1}" for place in gone[:5]]
            self.messages.append(
                f"{count_of(len(gone), 'row')} {are(len(gone), 'lacks', 'lack')} what is read of other rows and "
                f"{are(len(gone), 'is', 'are')} not predicted: {first_few(places, len(gone))}."
            )
            self.question = self.question.kept(usable)
        for name in chain.equations:
            rows: set[int] = set().union(*(followed.observed.get(name, set()) for followed in tried))
            own = chain.equations[name]
            if rows:
                self.messages.append(
                    f"{len(rows):,} of {count_of(len(own.y), 'row')} of {own.outcome!r} read what was observed of "
                    "outcomes that are not drawn there, such as those of a first session."
                )
        return usable


def _all_sides(
    chain: Chain,
    courses: Sequence[Course],
    flat: xr.Dataset,
    noise: Noise,
    what: What,
    measures: Sequence[Category | None],
    question: Question,
    usable: np.ndarray,
) -> list[np.ndarray]:
    """Return results on every side for some draws, with the same random numbers."""
    found = []
    for course in courses:
        followed = follow(chain, course, flat, noise)
        values = [_measured(followed, what, own, question)[:, usable] for own in measures]
        weights = question.weights
        found.append(np.concatenate([own if weights is None else own @ weights.T for own in values], axis=1))
    return found


def _measured(followed: Followed, what: What, category: Category | None, question: Question) -> np.ndarray:
    e = question.equation
    match what:
        case "expected":
            return followed.rows.expected(followed.linear) + e.offset
        case "linear":
            return followed.linear + (e.offset if e.kind.linear else 0.0)
        case "drawn":
            return followed.drawn
        case _:
            assert category is not None
            return probability(category, followed.rows, followed.linear, np.zeros_like(followed.linear))


def asked(
    fit: Fit,
    question: Question,
    groups: Groups,
    *,
    seed: int = 1,
    residuals: Residuals = "new",
    propagate: bool = False,
) -> Asked:
    """Return a question of a fit with what is done with every factor's effects.

    Raises
    ------
    FitError
        If own effects are wanted of new rows without ids, or own residuals where rows have none.
    """
    if residuals not in RESIDUALS:
        raise FitError(unknown("residuals", str(residuals), RESIDUALS))
    effects = read_groups(groups, question.factors)
    lacking = [f for f, how in effects.items() if how == "own" and question.units and not _stated(question, f)]
    if lacking and not question.grid:
        raise FitError(
            Problem(
                f"The rows have no column {quote(lacking)}, so it is not known whose effects are theirs.",
                fix="Call the column of ids like that, or state groups='new'.",
            )
        )
    if residuals == "own":
        _check_residuals(question, effects, propagate=propagate)
    return Asked(fit, question, effects, seed, residuals)


def _check_residuals(question: Question, effects: Mapping[str, Effects], *, propagate: bool) -> None:
    """Refuse to keep residuals where nothing follows, or where rows or their units are others than those observed."""
    findings = Findings()
    if not propagate:
        findings.problem(
            "residuals='own' is about outcomes that follow from what is set.",
            fix="State propagate=True, or leave it out.",
        )
    if question.units is not None:
        findings.problem("New rows and grids have no residuals of their own.", fix="Use the fit's own rows (at=).")
    other = [name for name, how in effects.items() if how != "own"]
    if other:
        findings.problem(
            f"Residuals of rows are apart from the effects of their own {quote(other)}.", fix="State groups='own'."
        )
    findings.stop(FitError)


def _stated(question: Question, factor: str) -> bool:
    coded: list[Mapping[str, Units] | None] = [own.units for own in question.follows.values()]
    return all(units is None or factor not in units or units[factor].stated for units in coded or [question.units])


def _draws(fit: Fit, question: Question, effects: Mapping[str, Effects]) -> xr.Dataset:
    """Return draws, with group effects where rows read them."""
    if fit.design is None:
        own = [name for name, how in effects.items() if how == "own"]
        if own and not fit.has_effects:
            raise FitError(
                Problem(
                    f"The fit holds no effects of {quote(own)}.",
                    fix="Bring its rows back with fit.with_rows(sessions), save with effects=True (fit --effects), or "
                    "state groups='new'.",
                )
            )
        return stack_draws(with_effects(fit) if own else fit.data["posterior"].to_dataset())
    equations = [question.equation, *(own.equation for own in question.follows.values())]
    if "own" in effects.values() or any(e.follows for e in equations):
        return stack_draws(with_effects(fit))
    return stack_draws(fit.data["posterior"].to_dataset())


def collect(
    own: Asked, title: str, values: Sequence[np.ndarray], lines: Sequence[pd.DataFrame], unit: str, null: float
) -> Expectations:
    """Return results as draws over chains, under names that say what they are of."""
    fit, whole = own.fit, pd.concat(lines, ignore_index=True)
    doubts = () if fit.passed else (f"The fit is not to be relied on. {fit.verdict}",)
    sizes = fit.data["posterior"].sizes
    together = np.concatenate(values, axis=1).reshape(sizes["chain"], sizes["draw"], len(whole))
    observed = {
        label: variable.values[~np.isnan(variable.values)]
        for label, variable in own.question.numbers().items()
        if label in whole
    }
    messages = (*doubts, *own.question.messages, *own.messages)
    return make_expectations(title, whole, together, unit, null, messages, observed)


def design_for(fit: Fit, *, new: bool) -> Design:
    """Return the design of a question: with the fit's rows, or of made ones where new rows or a grid are asked for.

    Raises
    ------
    FitError
        If the fit has no rows and its own are asked for.
    """
    if new:
        return design_for_rows(fit)
    if fit.design is None and fit.outline is not None:
        raise FitError(
            Problem(
                "This fit has no rows to average over.",
                fix="Give new rows or a grid, or bring the rows back with fit.with_rows(sessions).",
            )
        )
    return design_of(fit)
