"""Which predictor reaches which outcome, and how: edges of a model's equations, and the directed paths they make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice, pairwise
from math import prod
from typing import Literal

import pandas as pd

from bayes_alliance._messages import quote, unknown
from bayes_alliance.design.design import Design
from bayes_alliance.errors import FitError
from bayes_alliance.spec.expressions import Call, Expression, Name, Text, render, render_term
from bayes_alliance.spec.variables_read import values_in

type How = Literal["itself", "within", "between"]
type Parts = frozenset[tuple[str, str]]

WHOLE = "population"
"""Scope of paths that read everything as it is, and so carry every level of variation."""

MOST_PATHS = 500
"""Paths between two variables: their number doubles with each mediator that all later ones read."""

MOST_EDGES = 10
"""Steps of a path: how many covariances of its slopes add to the mean of their product doubles with each."""

MOST_PRODUCTS = 5_000
"""Products of the coefficients that the slopes of a path are made of."""

MOST_STEPS = 20_000
"""Steps from one variable to the next that are tried to find them."""

PASSED = ("mi", "centred", "lag")
"""Calls that pass a variable on as it is, moved or complete: the slope of what stands in them is that of the call."""


@dataclass(frozen=True)
class Edge:
    """One outcome read by an equation: by itself, or as deviation from or mean of a unit.

    ``level`` is that of a factor, empty for a number. ``columns`` are the coefficients the slope is made of, each with
    what it is multiplied by: other parts of the term and their levels. ``latent`` says that the mean is the one that
    the source's own equation implies, its static part, and ``dynamic`` that the columns are no static part of the
    target's: they are about deviations or earlier sessions.
    """

    source: str
    target: str
    how: How
    factor: str
    level: str
    lagged: bool
    columns: tuple[tuple[str, Parts], ...]
    latent: bool = False
    dynamic: bool = False


@dataclass(frozen=True)
class Path:
    """A way from a predictor to an outcome; ``scope`` is the level of variation it carries."""

    edges: tuple[Edge, ...]
    scope: str

    @property
    def name(self) -> str:
        """Return the variables on the way, joined by arrows."""
        first = self.edges[0]
        start = f"{first.source}[{first.level}]" if first.level else first.source
        steps = [f"{edge.target} (a session later)" if edge.lagged else edge.target for edge in self.edges]
        return " -> ".join([start, *steps])


def find_paths(design: Design, predictor: str, outcome: str, *, bent: bool = False) -> tuple[Path, ...]:
    """Return every directed path, the shortest first; what an outcome's own earlier values do is not followed.

    A deviation from a unit's mean passes on what varies within the unit, a mean what varies between units: a path that
    begins with something constant within patients does not go through ``within(mediator, patient)``. With ``bent`` a
    way may go through functions, whose slopes are not one number.

    Raises
    ------
    FitError
        If the predictor or the outcome is none of the model's, or no path leads from one to the other.
    """
    outcomes = design.spec.outcomes
    if outcome not in outcomes:
        raise FitError(unknown("outcome", outcome, outcomes))
    predictors = dict.fromkeys(name for e in design.spec.equation for name in e.predictors)
    if predictor not in predictors:
        raise FitError(unknown("predictor", predictor, predictors))
    every = list(_edges(design, {predictor, *outcomes}, bent))
    edges = _leading_to(outcome, every)
    inside = _varies_inside(design, predictor)
    walked = list(islice(_walk(edges, predictor, outcome, (), inside), MOST_STEPS + 1))
    found = [path for path in walked if path is not None]
    if len(walked) > MOST_STEPS or len(found) > MOST_PATHS:
        raise FitError(
            f"More than {MOST_PATHS} paths lead from {predictor!r} to {outcome!r}, or more than {MOST_STEPS:,} steps "
            f"were tried, which is the limit. Leave out mediators, or look at a part of the way."
        )
    long = [p for p in found if len(p.edges) > MOST_EDGES or prod(len(e.columns) for e in p.edges) > MOST_PRODUCTS]
    if long:
        raise FitError(
            f"The path {long[0].name} has more than {MOST_EDGES} steps, or its slopes more than {MOST_PRODUCTS:,} "
            f"products, which is the limit. Leave out mediators or interactions, or look at a part of the way."
        )
    if not found:
        reached = quote(e.target for e in every if e.source == predictor)
        raise FitError(
            f"No path leads from {predictor!r} to {outcome!r}: no equation on the way reads what the one before it "
            f"says. Outcomes that read {predictor!r}: {reached or 'none'}."
        )
    return tuple(sorted(found, key=lambda path: (len(path.edges), path.name)))


def find_blocked(design: Design, predictor: str, outcome: str) -> tuple[Path, ...]:
    """Return the ways that a predictor does not take only because it is constant within units, as ``find_paths``.

    Something gets through where a slope before the deviation differs within units.
    """
    edges = _leading_to(outcome, list(_edges(design, {predictor, *design.spec.outcomes}, False)))
    every = frozenset(edge.factor for edge in edges)
    inside = _varies_inside(design, predictor)
    open_ways = [path for path in islice(_walk(edges, predictor, outcome, (), every), MOST_STEPS) if path is not None]
    taken = [path for path in islice(_walk(edges, predictor, outcome, (), inside), MOST_STEPS) if path is not None]
    return tuple(path for path in open_ways if path not in taken)


def changed_by(design: Design, predictor: str) -> frozenset[str]:
    """Return a predictor and all outcomes that it reaches, at whatever level of variation."""
    found, left = {predictor}, [predictor]
    while left:
        source = left.pop()
        for e in design.spec.equation:
            if source in e.predictors and e.outcome not in found:
                found.add(e.outcome)
                left.append(e.outcome)
    return frozenset(found)


def check_order(design: Design, paths: Sequence[Path]) -> None:
    """Refuse paths on which something was measured after what it is to bring about, as declared variables say.

    Raises
    ------
    FitError
        With every such pair.
    """
    windows = {
        name: variable.sessions
        for e in design.equations
        for name, variable in e.variables.items()
        if variable.sessions is not None
    }
    problems: dict[str, None] = {}
    for path in paths:
        on_it = [path.edges[0].source, *(edge.target for edge in path.edges)]
        for early, late in combinations(on_it, 2):
            if early in windows and late in windows and windows[early][1] > windows[late][1]:
                problems[
                    f"{early} is measured up to session {windows[early][1]:g}, {late} only up to session "
                    f"{windows[late][1]:g}: what comes later carries no effect on what came before. Declare {early} "
                    f"over sessions up to {windows[late][1]:g}, or take it from the path {path.name}."
                ] = None
    if problems:
        raise FitError(list(problems))


def last_outcome(design: Design) -> str:
    """Return the one outcome that predicts no other.

    Raises
    ------
    FitError
        If there are several.
    """
    read = {name for e in design.spec.equation for name in e.predictors if name != e.outcome}
    last = [outcome for outcome in design.spec.outcomes if outcome not in read]
    if len(last) != 1:
        raise FitError(f"State the outcome; the model's are {quote(design.spec.outcomes)}.")
    return last[0]


def _leading_to(outcome: str, edges: Sequence[Edge]) -> list[Edge]:
    """Return the edges from which the outcome can be reached; no step into another direction is tried."""
    reach, size = {outcome}, 0
    while len(reach) > size:
        size = len(reach)
        reach |= {edge.source for edge in edges if edge.target in reach}
    return [edge for edge in edges if edge.target in reach]


def _walk(
    edges: Sequence[Edge], at: str, outcome: str, before: tuple[Edge, ...], inside: frozenset[str]
) -> Iterator[Path | None]:
    """Yield the paths to the outcome, and None for every other step, so that steps can be counted."""
    for edge in edges:
        if edge.source != at or any(edge.target in (one.source, one.target) for one in before):
            continue
        path = (*before, edge)
        scope = _scope(path, inside)
        if scope is None:
            yield None
            continue
        if edge.target == outcome:
            yield Path(path, scope)
        else:
            yield None
            yield from _walk(edges, edge.target, outcome, path, inside)


def _scope(path: Sequence[Edge], inside: frozenset[str]) -> str | None:
    """Return the level of variation that a path carries, None where nothing gets through.

    ``inside`` are the factors within whose levels the predictor varies.
    """
    for before, edge in pairwise(path):
        # a latent mean is the whole static part of its outcome's equation: deviations from it know nothing of that part
        if edge.latent and before.dynamic != (edge.how == "within"):
            return None
    scopes = {(edge.how, edge.factor) for edge in path if edge.how != "itself"}
    first = path[0]
    for how, factor in scopes:
        contrary = ("between" if how == "within" else "within", factor)
        if contrary in scopes:
            return None
        if first.how == "itself" and how == "within" and factor not in inside:
            return None
    if not scopes:
        return WHOLE
    return " and ".join(f"{how}_{factor}" for how, factor in sorted(scopes))


def _varies_inside(design: Design, predictor: str) -> frozenset[str]:
    """Return the factors within whose levels a predictor takes different values."""
    found = set()
    for e in design.equations:
        variable = e.variables.get(predictor)
        if variable is None:
            continue
        ids = {"patient": e.patient, **{g.factor: g.code for g in e.groups if g.slot == 0}}
        for factor, code in ids.items():
            if (pd.Series(variable.values).groupby(pd.Series(code)).nunique() > 1).any():
                found.add(factor)
    return frozenset(found)


def _edges(design: Design, sources: set[str], bent: bool) -> Iterator[Edge]:
    """Yield the edges into every outcome from what may stand on a path."""
    for e in design.equations:
        terms = {render_term(term): term for term in e.spec.parsed.terms}
        gathered: dict[tuple[str, How, str, str, bool, bool, bool], list[tuple[str, Parts]]] = {}
        for i, text in enumerate(e.coef.terms):
            if text not in terms:
                continue
            pieces = dict(e.coef.parts[i])
            for part in terms[text].parts:
                names = set(values_in(part)) & (sources - {e.spec.outcome})
                if not names:
                    continue
                carried = _carried(part)
                if carried is None and bent:
                    carried = (sorted(names)[0], "itself", "", False, False)
                if carried is None:
                    raise FitError(
                        f"{render(part)} in the equation of {e.outcome!r} is no straight line in {quote(names)}, so "
                        f"that paths through it have no single slope. Compare predicted outcomes (marginal_effects)."
                    )
                name, how, factor, lagged, latent = carried
                rest = frozenset((p, piece) for p, piece in e.coef.parts[i] if p != render(part))
                key = (name, how, factor, pieces[render(part)], lagged, latent, e.coef.dynamic[i])
                gathered.setdefault(key, []).append((e.coef_labels[i], rest))
        for (name, how, factor, level, lagged, latent, dynamic), columns in gathered.items():
            yield Edge(name, e.spec.outcome, how, factor, level, lagged, tuple(columns), latent, dynamic)


def _carried(part: Expression) -> tuple[str, How, str, bool, bool] | None:
    """Return the variable a part passes on, how, of which unit, if from an earlier session and by a latent mean.

    Returns None where that is no straight line.
    """
    match part:
        case Name(name):
            return name, "itself", "", False, False
        case Call(function, arguments, _) if function in PASSED:
            inner = _carried(arguments[0])
            return None if inner is None else (*inner[:3], inner[3] or function == "lag", inner[4])
        case Call(("within" | "between") as how, (inner, factor), keywords):
            found = _carried(inner)
            if found is None or found[1] != "itself" or not isinstance(factor, Name):
                return None
            latent = dict(keywords).get("means", Text("observed")) != Text("observed")
            return found[0], "within" if how == "within" else "between", factor.name, found[3], latent
    return None
