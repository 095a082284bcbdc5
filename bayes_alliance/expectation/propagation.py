"""Outcomes that follow from what is set: drawn equation by equation and session by session, then expected."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import xarray as xr

from bayes_alliance._messages import are, quote
from bayes_alliance.design.columns.functions import functions_around
from bayes_alliance.design.columns.terms import code_terms
from bayes_alliance.design.columns.values import CallColumns, LinkedTo
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.chains import Chain
from bayes_alliance.expectation.drawn_evaluator import Course, DrawnEvaluator
from bayes_alliance.expectation.linear import effects_of
from bayes_alliance.expectation.linked import EffectsOfRows, Linked, linked_calls, make_linked
from bayes_alliance.expectation.new_data import Moved, MovedGroup, move
from bayes_alliance.expectation.outcomes import rows_of, standard_residuals
from bayes_alliance.expectation.set_calls import parts_of, set_call, shift_call
from bayes_alliance.expectation.set_variables import Setting, set_variables, with_others
from bayes_alliance.findings import Problem
from bayes_alliance.names import COEF, clock_of, value_name
from bayes_alliance.outcome.contract import OutcomeRows
from bayes_alliance.spec.expressions import render, render_term
from bayes_alliance.spec.variables_read import is_dynamic, values_in

type Draw = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Noise:
    """What is drawn anew: residuals and units by outcome and factor, the same whatever is set.

    ``residuals`` have shape (draw, obs) and are of SD 1, of normal outcomes; ``seeds`` are of all others; ``units``
    have shape (draw, unit, effect). ``kept`` are residuals that rows keep, in units of the outcome, and ``observed``
    values that outcomes have whatever follows, both of shape (draw, obs).
    """

    residuals: Draw
    seeds: Mapping[str, int]
    units: Draw
    kept: Draw = field(default_factory=dict)
    observed: Draw = field(default_factory=dict)


def set_in_chain(chain: Chain, settings: Mapping[str, Setting], shift: Mapping[str, float]) -> Course:
    """Return the equations with variables set in all sessions, nothing drawn yet and no draws.

    Raises
    ------
    FitError
        If a number that is changed by an amount is read in other sessions.
    """
    every = tuple(chain.fitted.values())
    texts_known = {text for e in every for text in e.calls}
    calls = {text: float(value) for text, value in settings.items() if text in texts_known}
    variables = {name: value for name, value in settings.items() if name not in texts_known}
    stated = with_others(replace(chain.design, equations=every), variables)
    moved, opened, constant, linked = {}, {}, {}, {}
    for name, e in chain.equations.items():
        found = _found(chain, e, stated, shift)
        constant[name] = {key: float(v.values[0]) for key, v in found.items() if key not in shift and len(e.y)}
        held, opened[name] = _calls_of(chain, e, set(found), calls, shift)
        moved[name] = move(chain.design, e, found, chain.units[name], calls=held)
        for text, key in linked_calls(e).items():
            if text not in opened[name]:
                continue
            if key.variable not in chain.equations:
                raise FitError(
                    Problem(
                        f"{e.outcome!r} reads {text}, what the equation of {key.variable!r} says, which setting "
                        f"{key.variable!r} does not move.",
                        fix=f"Set {text!r}, too, or leave {key.variable!r} out.",
                    )
                )
            linked[name, text] = _linked(chain, e, key, stated, shift, calls)
    return Course(chain.design, xr.Dataset(), moved, chain.places, constant, opened, linked=linked)


def _found(
    chain: Chain, e: EquationDesign, stated: Mapping[str, Setting], shift: Mapping[str, float]
) -> dict[str, Variable]:
    """Return the variables that are set in rows of an equation."""
    name = e.spec.outcome
    own = {key: value for key, value in stated.items() if key in e.variables and key != name}
    found = {
        key: replace(v, values=np.full(len(e.y), v.values[0]))
        for key, v in set_variables(chain.fitted[name], own).items()
        if key not in chain.equations
    }
    for key, amount in shift.items():
        if key in e.variables:
            before = found.get(key, e.variables[key])
            found[key] = replace(before, values=before.values + amount)
    return found


def _linked(
    chain: Chain,
    reader: EquationDesign,
    key: LinkedTo,
    stated: Mapping[str, Setting],
    shift: Mapping[str, float],
    calls: Mapping[str, float],
) -> Linked:
    """Return what an equation's rows read of the linear predictor of another one."""
    source = chain.equations[key.variable]

    def moving(rows: EquationDesign, found: dict[str, Variable]) -> Moved:
        clock = clock_of(rows.variables)
        named = set(found) - ({clock} if clock not in stated else set())
        held, opened = _calls_of(chain, rows, named, calls, shift)
        parsed = source.mean.spec.parsed
        terms = [*parsed.terms, *(term for group in parsed.groups for term in group.terms)]
        moves = [
            render_term(term)
            for term in terms
            if not is_dynamic(term)
            for part in term.parts
            if render(part) in opened or set(chain.equations) & set(values_in(part))
        ]
        if moves:
            raise FitError(
                Problem(
                    f"{reader.outcome!r} reads {key.kind}({source.outcome}), in which {quote(moves)} reads other rows "
                    "or outcomes that follow: what becomes of it is not worked out.",
                    fix=f"Set {quote(moves)} to values.",
                )
            )
        return move(chain.design, rows, found, chain.units[key.variable], calls=held)

    return make_linked(reader, source, key, lambda rows: _found(chain, rows, stated, shift), moving)


def _calls_of(
    chain: Chain, e: EquationDesign, found: set[str], calls: Mapping[str, float], shift: Mapping[str, float]
) -> tuple[dict[str, CallColumns], frozenset[str]]:
    """Return the columns that an equation's calls are held at, and the calls that have to be worked out anew."""
    reading = {*chain.equations, *found}
    around = {render(p): p for p in parts_of(e) if functions_around(p)}
    set_here = {text for text in (*calls, *shift) if text in e.calls}
    texts = {text for text, p in around.items() if reading & set(values_in(p))} - set_here - chain.stated(e)
    moving = [text for text in texts if set(shift) & set(values_in(around[text]))]
    if moving:
        raise FitError(
            Problem(
                f"{quote(moving)} {are(len(moving), 'reads', 'read')} other sessions, and what becomes of that where a "
                "number is larger is not known.",
                fix="Say what changes by part=, or state two values: values=[...].",
            )
        )
    held = {text: own for text, own in e.calls.items() if text in texts}
    held |= {text: set_call(e.calls[text], value, len(e.y)) for text, value in calls.items() if text in e.calls}
    for text, amount in shift.items():
        if text in e.calls:
            held[text] = shift_call(held.get(text, e.calls[text]), amount)
    return held, frozenset(texts)


def draw_noise(chain: Chain, flat: xr.Dataset, courses: Sequence[Course], rng: np.random.Generator) -> Noise:
    """Draw residuals and new units, the same for whatever is set."""
    if chain.straight:
        return Noise({}, {}, {})
    design = replace(chain.design, equations=tuple(chain.equations.values()))
    if any(own is not None for own in chain.units.values()):
        design = replace(design, residual=None)
    elif design.residual is not None:  # outcomes beside these are drawn with them
        others = [e for e in chain.design.equations if e.spec.outcome not in chain.equations]
        design = replace(design, equations=(*design.equations, *others))
    residuals = standard_residuals(design, flat, rng)
    sizes: dict[str, tuple[int, int]] = {}
    for own in (member for course in courses for member in _members(course)):
        if chain.groups[own.group.factor] != "zero":
            count, width = sizes.get(own.group.factor, (0, 0))
            effects = len(next(f for f in chain.design.factors if f.factor == own.group.factor).effects)
            sizes[own.group.factor] = (max(count, int(own.code.max(initial=0)) + 1), max(width, effects))
    units = {factor: rng.normal(size=(flat.sizes["sample"], *size)) for factor, size in sizes.items()}
    seeds = {name: int(rng.integers(0, 2**32)) for name in chain.equations}
    return Noise(
        {name: residuals[e.outcome] for name, e in chain.equations.items() if e.outcome in residuals}, seeds, units
    )


def _members(course: Course) -> list[MovedGroup]:
    found: list[MovedGroup] = []
    for moved in course.moved.values():
        for own in (moved, *moved.parameters().values()):
            found += own.groups(unclear="observed")
    for linked in course.linked.values():
        found += linked.groups
    return found


@dataclass(frozen=True, eq=False)
class Followed:
    """An outcome that followed: its linear predictor, shape (draw, obs), and its rows with parameters as drawn.

    ``observed`` says by equation which rows read what was observed of a drawn outcome.
    """

    linear: np.ndarray
    rows: OutcomeRows
    drawn: np.ndarray
    observed: Mapping[str, set[int]]


def follow(chain: Chain, course: Course, flat: xr.Dataset, noise: Noise) -> Followed:
    """Draw every outcome of a chain in its order, with variables set, and return the last one."""
    steps, now = _draw_all(chain, course, flat, noise)
    last = steps[chain.outcome]
    return Followed(last.linear, rows_of(last.e, flat, last.given), now.values[chain.outcome], now.observed)


def own_residuals(chain: Chain, flat: xr.Dataset) -> dict[str, np.ndarray]:
    """Return what was observed of every outcome less what is expected of it given the others, (draw, obs).

    Values that are modelled are those drawn.
    """
    observed = {}
    for name, e in chain.equations.items():
        values = np.broadcast_to(e.y, (flat.sizes["sample"], len(e.y))).copy()
        if e.modelled is not None:
            values[:, e.modelled.rows] = flat[value_name(e.outcome)].transpose("sample", ...).values
        observed[name] = values
    whole = {name: values + chain.equations[name].offset for name, values in observed.items()}
    steps, _ = _draw_all(chain, set_in_chain(chain, {}, {}), flat, Noise({}, {}, {}, observed=whole))
    return {name: observed[name] - steps[name].linear for name in chain.equations}


def _draw_all(chain: Chain, course: Course, flat: xr.Dataset, noise: Noise) -> tuple[dict[str, _Step], Course]:
    now = replace(course, flat=flat, values={}, means={}, known={}, observed={}, unit_means={}, read={})
    for key, linked in now.linked.items():
        added = frozenset(f for f, how in chain.groups.items() if how == "own" or (how == "new" and not chain.straight))
        now.read[key] = linked.values(flat, partial(_effects, chain, now, noise), added)
    steps = {name: _Step(chain, now, name, noise) for name in chain.equations}
    for name, e in chain.equations.items():
        now.values[name] = np.full((now.draws, len(e.y)), np.nan)
        now.means[name] = np.full((now.draws, len(e.y)), np.nan)
    for names, in_time in chain.blocks:
        if not in_time:
            for name in names:
                steps[name].work(np.arange(len(chain.equations[name].y)))
            continue
        for session in np.unique(np.concatenate([chain.equations[name].session for name in names])):
            for name in names:
                rows = np.flatnonzero(chain.equations[name].session == session)
                if len(rows):
                    steps[name].work(rows)
    return steps, now


class _Step:
    """One equation while its outcome is drawn, some rows at a time."""

    def __init__(self, chain: Chain, course: Course, name: str, noise: Noise) -> None:
        self.chain, self.course, self.name, self.noise = chain, course, name, noise
        self.moved = course.moved[name]
        self.e = self.moved.equation
        self.rng = np.random.default_rng(noise.seeds.get(name, 0))
        shape = (course.draws, len(self.e.y))
        self.linear = np.zeros(shape)
        sigma = self.moved.sigma(course.flat)
        self.given: dict[str, np.ndarray] = {} if sigma is None else {"sigma": sigma}
        self.given |= {parameter: np.zeros(shape) for parameter in self.moved.parameters()}
        predictors = (self.moved, *self.moved.parameters().values())
        self.parts = {
            own.predictor.name: LinearPart(course, name, own, chain.equations, groups_that_add(chain, own))
            for own in predictors
        }

    def work(self, rows: np.ndarray) -> None:
        """Work out and draw the outcome of some rows."""
        places = self.course.places.of_rows[self.name][rows]
        evaluator = DrawnEvaluator(self.course, self.name, places)
        effects = partial(_effects, self.chain, self.course, self.noise)
        linear, mean = self.parts[self.moved.predictor.name].at(rows, evaluator, effects)
        self.linear[:, rows], self.course.means[self.name][:, rows] = linear, mean + self.e.offset
        links = {parameter.name: parameter for parameter in self.e.kind.parameters}
        for parameter, own in self.moved.parameters().items():
            linear, _ = self.parts[own.predictor.name].at(rows, evaluator, effects)
            self.given[parameter][:, rows] = links[parameter].inverse(linear)
        self.course.values[self.name][:, rows] = self._value(rows)

    def _value(self, rows: np.ndarray) -> np.ndarray:
        """Return the outcome of some rows: observed or stated, or drawn."""
        if self.name in self.noise.observed:
            return self.noise.observed[self.name][:, rows]
        values, given = self._drawn(rows) + self.e.offset, self.chain.given.get(self.name)
        if given is None:
            return values
        stated = given[self.e.row[rows]]
        return np.where(np.isnan(stated), values, stated)

    def _drawn(self, rows: np.ndarray) -> np.ndarray:
        linear = self.linear[:, rows]
        if self.name in self.noise.kept:
            return np.asarray(linear + self.noise.kept[self.name][:, rows])
        if self.chain.straight:
            return linear
        given = {name: values[:, rows] for name, values in self.given.items()}
        if self.e.kind.normal:
            return np.asarray(linear + given["sigma"] * self.noise.residuals[self.name][:, rows])
        few = replace(self.e, y=self.e.y[rows], scale=self.e.scale.rows(rows))
        return rows_of(few, self.course.flat, given).draw(linear, self.rng)


def _effects(chain: Chain, course: Course, noise: Noise, own: MovedGroup, rows: np.ndarray) -> np.ndarray:
    """Return the effects of the rows' units, shape (draw, row, effect)."""
    factor = own.group.factor
    how = chain.groups[factor]
    fresh = own.new[rows] if how == "own" else np.ones(len(rows), dtype=bool)
    found = np.zeros((course.draws, len(rows), len(own.places)))
    if how == "own" and not fresh.all():
        drawn = effects_of(course.flat, factor)[:, :, list(own.places)]
        known = np.where(own.inside & ~own.new, own.code, 0)[rows]  # rows outside add nothing
        found[:, ~fresh] = drawn[:, known[~fresh]]
    if fresh.any() and factor in noise.units:
        z = noise.units[factor][:, own.code[rows][fresh]]
        roots = own.roots(course.design, course.flat)[:, own.stratum[rows][fresh]]
        found[:, fresh] = np.einsum("soek,sok->soe", roots, z[..., : roots.shape[-1]])
    return found


class LinearPart:
    """A linear predictor of an equation: what is the same whatever is drawn, worked out once, and the rest.

    ``drawn`` are the outcomes that are drawn; ``groups`` the factors whose effects add to it.
    """

    def __init__(
        self, course: Course, name: str, moved: Moved, drawn: Collection[str], groups: Sequence[MovedGroup]
    ) -> None:
        self.course, self.moved, self.groups = course, moved, groups
        flat, opened = course.flat, course.opened[name]
        reading = {
            render_term(term)
            for term in moved.predictor.spec.parsed.terms
            if any(set(drawn) & set(values_in(part)) or render(part) in opened for part in term.parts)
        }
        self.varies = np.array([text in reading for text in moved.coef.terms], dtype=bool)
        self.still = ~np.array(moved.coef.dynamic, dtype=bool)
        self.fixed = moved.linear(flat, columns=~self.varies)
        self.fixed_mean = moved.linear(flat, columns=~self.varies & self.still)
        self.b = np.asarray(flat["b"].sel({COEF: list(moved.predictor.coef_labels)}).transpose("sample", COEF).values)

    def at(
        self, rows: np.ndarray, evaluator: DrawnEvaluator, effects_of_rows: EffectsOfRows
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the linear predictor of some rows, and what it is without earlier sessions and deviations.

        ``effects_of_rows`` returns the effects of the rows' units, shape (draw, row, effect).
        """
        total, mean = self.fixed[:, rows], self.fixed_mean[:, rows]
        formula, draws, e = self.moved.predictor.spec.parsed, self.course.draws, self.moved.equation
        if self.varies.any():
            column = e.kind.intercept or not self.moved.predictor.of_mean
            x = code_terms(formula.intercept, formula.terms, evaluator, column=column).values
            x = x.reshape(draws, len(rows), -1)
            total = total + np.einsum("snk,sk->sn", x[:, :, self.varies], self.b[:, self.varies])
            both = self.varies & self.still
            mean = mean + np.einsum("snk,sk->sn", x[:, :, both], self.b[:, both])
        for own in self.groups:
            terms = [term for term in formula.groups if term.factor == own.group.factor]
            coded = [code_terms(t.intercept, t.terms, evaluator) for t in terms]
            z = np.column_stack([columns.values for columns in coded]).reshape(draws, len(rows), -1)
            still = np.array([not moves for columns in coded for moves in columns.dynamic], dtype=bool)
            effects = own.share[rows, None] * z * effects_of_rows(own, rows)
            total = total + effects.sum(axis=2)
            mean = mean + effects[:, :, still].sum(axis=2)
        return total, mean


def groups_that_add(chain: Chain, moved: Moved) -> list[MovedGroup]:
    """Return the factors whose effects add to a predictor: not where they are 0, or at their mean of 0."""
    # a mean does not depend on who has a unit, unless something that follows is no straight line
    linear = all(e.kind.linear for e in chain.equations.values())
    found = []
    for own in moved.groups(unclear="observed" if linear else "refuse"):
        how = chain.groups[own.group.factor]
        if how == "own" or (how == "new" and not chain.straight):
            found.append(own)
    return found
