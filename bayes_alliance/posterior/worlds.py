"""Worlds with the treatment set: equations over shared rows, mediators drawn one after the other, outcomes expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from bayes_alliance._messages import quote
from bayes_alliance.design.design import Design
from bayes_alliance.design.equation import EquationDesign, subset_variable
from bayes_alliance.design.follow import Follow, FollowSteps, FollowValue
from bayes_alliance.design.terms import code_terms
from bayes_alliance.design.transforms import ROWWISE
from bayes_alliance.design.values import Value
from bayes_alliance.design.variables import Variable
from bayes_alliance.errors import FitError
from bayes_alliance.names import COEF, SIGMA_COEF, coef_label, level_label
from bayes_alliance.posterior.families import draw, expected, rows_of
from bayes_alliance.posterior.linear import drawn_values, effect_roots, residual_spread
from bayes_alliance.posterior.moved import RowwiseEvaluator, category_of
from bayes_alliance.spec.expressions import Call, calls_in, render

type Setting = float | str


@dataclass(frozen=True, eq=False)
class World:
    """What mediators and outcomes are drawn from: equations in their order, some posterior draws, effects of groups."""

    design: Design
    system: Sequence[EquationDesign]
    treatment: str
    values: tuple[Setting, Setting]
    flat: xr.Dataset
    effects: Mapping[str, np.ndarray]

    def linear(self, place: int, treated: bool, given: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return linear predictors of one equation, shape (draw, obs)."""
        setting = self.values[int(treated)]
        return _linear(self.design, self.system[place], self.treatment, setting, given, self.flat, self.effects)

    def draw(self, place: int, treated: bool, given: Mapping[str, np.ndarray], seed: int) -> np.ndarray:
        """Draw a mediator, shape (draw, obs); the same seed gives the same residuals."""
        e = self.system[place]
        # the true mediator moves the outcome: errors of its measurement are no part of it
        rows = rows_of(e, self.flat, self.spread(place, treated, given))
        return draw(rows, self.linear(place, treated, given), np.random.default_rng(seed)) + e.offset

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
        rows = rows_of(e, self.flat, self.spread(place, treated, given))
        return np.asarray(expected(rows, self.linear(place, treated, given)).mean(axis=1) + e.offset)

    def spread(self, place: int, treated: bool, given: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """Return residual SDs, shape (draw, obs), those of the treatment that is set; None of families without."""
        e, setting = self.system[place], self.values[int(treated)]
        if not e.kind.spread:
            return None
        if e.spread is not None:
            part = _linear(self.design, e.spread, self.treatment, setting, given, self.flat, self.effects)
            return np.exp(part)
        own = e.variables.get(self.treatment)
        if e.spec.sigma != self.treatment or own is None or own.levels is None:
            return residual_spread(self.design, e, self.flat)
        label = coef_label(e.outcome, level_label(own.label, str(setting)))
        if label not in e.sigma_coef:
            raise FitError(f"No row of {e.outcome!r} has {setting!r}: its residual SD there is not known.")
        sigma = self.flat["sigma"].sel({SIGMA_COEF: label}).transpose("sample").values
        return np.tile(sigma[:, None], len(e.y))


def find_system(design: Design, outcomes: Sequence[str]) -> tuple[EquationDesign, ...]:
    """Return the equations over the rows that all of them have, refusing what rows alone do not tell."""
    chosen = [design.find(name) for name in outcomes]
    units = {e.spec.unit for e in chosen}
    problems = []
    if len(units) > 1:
        problems.append(f"The equations have rows of different units: {quote(sorted(units))}.")
    series = [e.outcome for e in chosen if e.series is not None]
    if series:
        problems.append(f"Residuals of {quote(series)} follow those of earlier sessions; worlds are of single rows.")
    means = [e.outcome for e in chosen if any(not isinstance(f, FollowValue | FollowSteps) for f in e.follows.values())]
    if means:
        problems.append(f"{quote(means)} follow latent means, which are of units and not of rows; worlds are of rows.")
    if design.residual is not None and {e.outcome for e in chosen} & set(design.residual.outcomes):
        problems.append("Residuals on the way correlate, so that mediators are not drawn one after the other.")
    for e in chosen:
        terms = e.spec.parsed.every_term
        around = {c.function for t in terms for part in t.parts for c in calls_in(part) if c.function not in ROWWISE}
        if around:
            problems.append(
                f"The equation of {e.outcome!r} reads other rows ({', '.join(sorted(around))}), which do not change "
                f"with the row's own treatment here. Follow its paths with mediation_effects."
            )
    gated = sorted({g.factor for e in chosen for g in e.groups if not g.inside.all()})
    if gated and not all(e.kind.linear for e in chosen):
        problems.append(
            f"Some rows are outside {quote(gated)}, whose units they would have if their treatment were another; "
            f"through a bent link their effects move expected outcomes. Model all rows with or without {quote(gated)}."
        )
    if problems:
        raise FitError(problems)
    rows = set(chosen[0].row).intersection(*(set(e.row) for e in chosen[1:]))
    return tuple(_over(e, np.array([row in rows for row in e.row])) for e in chosen)


def _over(e: EquationDesign, keep: np.ndarray) -> EquationDesign:
    groups = tuple(
        replace(
            g,
            code=g.code[keep],
            columns=g.columns.rows(keep),
            inside=g.inside[keep],
            weight=None if g.weight is None else g.weight[keep],
        )
        for g in e.groups
    )
    return replace(
        e,
        y=e.y[keep],
        coef=e.coef.rows(keep),
        groups=groups,
        sigma_code=e.sigma_code[keep],
        row=e.row[keep],
        patient=e.patient[keep],
        session=e.session[keep],
        scale=e.scale.rows(keep),
        modelled=None,
        follows={key: _follow_over(follow, keep) for key, follow in e.follows.items()},
        variables={name: subset_variable(variable, keep) for name, variable in e.variables.items()},
        spread=None if e.spread is None else _over(e.spread, keep),
    )


def _follow_over(follow: Follow, keep: np.ndarray) -> Follow:
    assert isinstance(follow, FollowValue | FollowSteps)
    rows = {"code": follow.code[keep], "plugged": follow.plugged[keep]}
    if isinstance(follow, FollowValue):
        rows |= {"inside": follow.inside[keep], "filled": follow.filled[keep]}
    return replace(follow, **rows)


class _WorldEvaluator(RowwiseEvaluator):
    """Evaluates over rows that stand once per draw: modelled values and steps are those drawn, unless they are set."""

    def __init__(self, equation: EquationDesign, variables: dict[str, Variable], flat: xr.Dataset) -> None:
        super().__init__(equation, variables)
        self.flat = flat

    def _followed(self, call: Call) -> Value:
        name = render(call.arguments[0])
        variable = self.variables[name]
        set_here = variable is not self.equation.variables[name]
        for key, follow in self.equation.follows.items():
            if getattr(key, "variable", None) != name or key.lag is not None:
                continue
            if isinstance(follow, FollowValue):
                if set_here:
                    return Value(variable.values)
                own = np.where(follow.inside, drawn_values(follow, self.flat)[:, follow.code], follow.plugged)
                return Value(own.ravel())
            if isinstance(follow, FollowSteps):
                way = drawn_values(follow, self.flat)
                if not set_here:
                    return Value(way[:, follow.code].ravel())
                code = category_of(variable, follow).reshape(len(way), -1)
                return Value(np.take_along_axis(way, code, axis=1).ravel())
        return Value(variable.values)


def draw_new_effects(design: Design, flat: xr.Dataset, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return effects of new levels in the places of those there are, shape (draw, level, effect)."""
    found = {}
    for factor in design.factors:
        roots = effect_roots(design, factor.factor, flat)
        z = rng.normal(size=roots.shape[:-1])
        found[factor.factor] = np.einsum("slij,slj->sli", roots, z)
    return found


def _linear(
    design: Design,
    e: EquationDesign,
    treatment: str,
    setting: Setting,
    drawn: Mapping[str, np.ndarray],
    flat: xr.Dataset,
    effects: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Return linear predictors with the treatment set and mediators as drawn, shape (draw, obs)."""
    size, rows = flat.sizes["sample"], len(e.y)
    tiled = _tiled(e, size)
    variables = dict(tiled.variables)
    for name, values in drawn.items():
        if name in variables:
            variables[name] = Variable(name, variables[name].label, values.ravel())
    if treatment in variables:
        own = variables[treatment]
        number = float(own.levels.index(str(setting))) if own.levels is not None else float(setting)
        variables[treatment] = replace(own, values=np.full(size * rows, number))
        for name, other in variables.items():
            # a 0/1 variable that stands for a level of the treatment is set with it
            if own.levels is not None and other.label in {level_label(own.label, level) for level in own.levels}:
                here = float(other.label == level_label(own.label, str(setting)))
                variables[name] = replace(other, values=np.full(size * rows, here))
    formula = e.spec.parsed
    evaluator = _WorldEvaluator(tiled, variables, flat)
    x = code_terms(formula.intercept, formula.terms, evaluator, column=e.kind.intercept).values
    b = flat["b"].sel({COEF: list(e.coef_labels)}).transpose("sample", COEF).values
    linear = np.einsum("snk,sk->sn", x.reshape(size, rows, -1), b)
    factors = {f.factor: f for f in design.factors}
    for group in e.groups:
        terms = [term for term in formula.groups if term.factor == group.factor]
        z = np.column_stack([code_terms(t.intercept, t.terms, evaluator).values for t in terms])
        share = group.inside.astype(float) if group.weight is None else group.weight
        own_effects = effects[group.factor][:, :, list(factors[group.factor].places[e.outcome])][:, group.code]
        linear += share * (z.reshape(size, rows, -1) * own_effects).sum(axis=2)
    return np.asarray(linear)


def _tiled(e: EquationDesign, size: int) -> EquationDesign:
    """Return an equation whose rows stand once per draw."""
    return replace(
        e,
        y=np.tile(e.y, size),
        patient=np.tile(e.patient, size),
        session=np.tile(e.session, size),
        row=np.tile(e.row, size),
        variables={name: replace(v, values=np.tile(v.values, size)) for name, v in e.variables.items()},
    )
