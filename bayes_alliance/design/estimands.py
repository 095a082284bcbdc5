"""Labels to coefficients, and the estimands of a model: stated ones, contextual effects, surface parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

from bayes_alliance._messages import quote
from bayes_alliance.design.columns.surfaces import PIECES, surface_calls, surface_weights
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.factors import FactorDesign, find_factor
from bayes_alliance.design.equations.predictor import Predictor
from bayes_alliance.design.labels import Labels, resolve_labels, versions
from bayes_alliance.findings import Findings
from bayes_alliance.names import coef_label, entry_label, level_label
from bayes_alliance.spec.estimand_validation import expand
from bayes_alliance.spec.expressions import (
    Call,
    Expression,
    Name,
    Number,
    Operation,
    Term,
    calls_in,
    render,
    render_term,
)
from bayes_alliance.spec.labels import rewrite, value_arguments
from bayes_alliance.spec.model import EstimandSpec, Level, ModelSpec


@dataclass(frozen=True)
class EstimandDesign:
    """A quantity to work out from every draw.

    ``value`` is arithmetic over the names in ``labels``, which say what coefficient each is, by its coord of ``b``.
    ``factors`` are those whose effects may correlate. ``strata`` says of strata whose covariances differ what an entry
    of theirs is called, by their coord: ``arm[TAU]`` is ``arm = TAU``.
    """

    name: str
    value: Expression
    labels: Mapping[str, str]
    unit: str
    level: Level
    rope: tuple[float, float] | None = None
    factors: tuple[str, ...] = ()
    strata: Mapping[str, str] = field(default_factory=dict)


def resolve_estimands(
    spec: ModelSpec,
    equations: Sequence[EquationDesign],
    factors: Sequence[FactorDesign],
    findings: Findings,
) -> tuple[EstimandDesign, ...]:
    """Resolve every label to coefficients and every estimand to arithmetic over them.

    Where a label leaves the level of a factor open, the estimand is there once per level, and once per pair. Stated
    estimands come first; then the contextual effects and the surface parameters that the terms imply.
    """
    labels = resolve_labels(spec, equations, findings)
    if findings.problems:
        return ()
    stated: list[EstimandDesign] = []
    for name in spec.estimands:
        stated += _stated(spec, name, labels, equations, factors, findings)
    implied = [
        one
        for equation in equations
        for own in equation.linear_predictors
        for one in (*_contextual(own, equation), *_surfaces(own, equation))
    ]
    names = tuple(factor.factor for factor in factors)
    strata = {
        label: f"{factor.by.variable} = {level}"
        for factor in factors
        if factor.by is not None
        for label, level in zip(factor.by.labels, factor.by.levels, strict=True)
    }
    return tuple(replace(one, factors=names, strata=strata) for one in (*stated, *implied))


def _stated(
    spec: ModelSpec,
    name: str,
    labels: Labels,
    equations: Sequence[EquationDesign],
    factors: Sequence[FactorDesign],
    findings: Findings,
) -> Iterator[EstimandDesign]:
    """Yield an estimand in every level that its labels leave open, and there at its moderators' values."""
    claim = spec.estimands[name]
    value = _in_the_study(expand(spec, claim.parsed), equations, factors, name, findings)
    for one in versions(value, labels):
        _check_effects(one.value, one.labels, factors, name, findings)
        yield from _at_values(claim, level_label(name, one.where) if one.where else name, one.value, one.labels)


def _at_values(
    claim: EstimandSpec, name: str, value: Expression, labels: Mapping[str, str]
) -> Iterator[EstimandDesign]:
    """Yield an estimand at each combination of its moderators' values, and the differences between them."""
    made: list[tuple[tuple[float, ...], Expression]] = []
    for values in product(*claim.at.values()):
        made.append((values, _at(value, dict(zip(claim.at, values, strict=True)))))
    for values, expression in made:
        where = ", ".join(f"{moderator} = {v:g}" for moderator, v in zip(claim.at, values, strict=True))
        label = entry_label(name, where) if where else name
        yield EstimandDesign(label, expression, labels, claim.unit, claim.level, claim.rope)
    if not claim.contrast:
        return
    for later, (values, expression) in enumerate(made):
        for before, other in made[:later]:
            changed = [i for i, (one, two) in enumerate(zip(values, before, strict=True)) if one != two]
            if len(changed) != 1:
                continue
            moved = list(claim.at)[changed[0]]
            fixed = [f"{m} = {v:g}" for m, v in zip(claim.at, values, strict=True) if m != moved]
            step = f"{moved} = {values[changed[0]]:g} less {moved} = {before[changed[0]]:g}"
            label = entry_label(name, ", ".join([step, *fixed]))
            difference = Operation("-", expression, other)
            yield EstimandDesign(label, difference, labels, claim.unit, claim.level, claim.rope)


def _at(expression: Expression, values: Mapping[str, float]) -> Expression:
    return rewrite(expression, lambda p: Number(values[p.name]) if isinstance(p, Name) and p.name in values else None)


def _in_the_study(
    expression: Expression,
    equations: Sequence[EquationDesign],
    factors: Sequence[FactorDesign],
    name: str,
    findings: Findings,
) -> Expression:
    """Return a value with outcomes in the study's names, and 0 for what varies over a factor the study lacks."""

    def resolve(part: Expression) -> Expression | None:
        if not isinstance(part, Call):
            return None
        if part.function == "sigma":
            equation = next(e for e in equations if e.spec.outcome == render(part.arguments[0]))
            if equation.outcome not in equation.sigma_coef:
                findings.problem(
                    f"[estimands.{name}]: {render(part)}: the outcome has several residual SDs, "
                    f"{quote(equation.sigma_coef)}, and no single one."
                )
            return Call("sigma", (Name(equation.outcome),))
        if part.function in ("sd", "cov", "cor"):
            factor = render(part.arguments[0])
            if factor not in [f.factor for f in factors]:
                findings.note(f"Estimand {name}: {render(part)} is 0, as the study has no {factor}.")
                return Number(0.0)
        return None

    return rewrite(expression, resolve)


def _check_effects(
    expression: Expression,
    labels: Mapping[str, str],
    factors: Sequence[FactorDesign],
    name: str,
    findings: Findings,
) -> None:
    """Report SDs and covariances of coefficients whose group effects are coded otherwise than the coefficients."""
    for call in calls_in(expression):
        if call.function not in ("sd", "cov", "cor"):
            continue
        factor = find_factor(factors, render(call.arguments[0]))
        for argument in value_arguments(call):
            label = labels[render(argument)]
            if label not in factor.effects:
                findings.problem(
                    f"[estimands.{name}]: {render(call)}: the coefficient {label!r} has no effect of that name by "
                    f"{factor.factor}. Its effects are {quote(factor.effects)}."
                )


def _contextual(own: Predictor, equation: EquationDesign) -> Iterator[EstimandDesign]:
    """Yield between less within, for every variable that is in the formula on two neighbouring levels.

    Source: Raudenbush and Bryk (2002), chapter 5: the contextual effect is what a unit's mean adds to the effect of
    the value itself. Where slopes are moderated it is that at the means of the moderators, which its name says.
    """
    alone: dict[str, tuple[Call, int]] = {}
    for term in own.spec.parsed.terms:
        if len(term.parts) == 1 and isinstance(term.parts[0], Call) and term.parts[0].function in ("within", "between"):
            alone[render_term(term)] = (term.parts[0], own.coef.terms.index(render_term(term)))
    for call, place in alone.values():
        if call.function != "between":
            continue
        found = _below(call, [other for other, _ in alone.values()])
        if found is None:
            continue
        inner = alone[render_term(Term((found,)))][1]
        variable = render(call.arguments[0], equation.names.__getitem__)
        between, within = (_at_means(own, where, name) for where, name in ((place, "between"), (inner, "within")))
        yield EstimandDesign(
            f"contextual[{own.name}, {variable} by {render(call.arguments[1])}{_where({**between.at, **within.at})}]",
            Operation("-", between.value, within.value),
            {**between.labels, **within.labels},
            f"{_unit(own, equation)} per unit of {variable}",
            "contextual",
        )


@dataclass(frozen=True)
class _AtMeans:
    """A slope at the means of what it is multiplied by: ``at`` says which means."""

    value: Expression
    labels: dict[str, str]
    at: dict[str, float]


def _at_means(own: Predictor, place: int, name: str) -> _AtMeans:
    """Return a column's coefficient, and those of its products each times the mean of what else is in them.

    Means are over the rows, to three digits, as names say them.
    """
    parts, columns = own.coef.parts[place], {parts: i for i, parts in enumerate(own.coef.parts)}
    value: Expression = Name(name)
    labels, at = {name: own.coef_labels[place]}, dict[str, float]()
    for i, whole in enumerate(own.coef.parts):
        if not parts < whole:
            continue
        rest = columns.get(whole - parts)  # what has no column of its own stays at 0
        shown = own.coef.labels[rest] if rest is not None else ":".join(sorted(part for part, _ in whole - parts))
        at[shown] = 0.0 if rest is None else _mean(own.coef.values[:, rest])
        labels[f"{name}_{i}"] = own.coef_labels[i]
        value = Operation("+", value, Operation("*", Number(at[shown]), Name(f"{name}_{i}")))
    return _AtMeans(value, labels, at)


def _mean(values: np.ndarray) -> float:
    """Return a mean to three digits, 0 where it is one up to rounding: deviations from means have it."""
    mean = float(values.mean())
    return 0.0 if abs(mean) <= 1e-9 * float(values.std()) else float(f"{mean:.3g}")


def _where(at: Mapping[str, float]) -> str:
    """Return what names say of the means that moderators are held at."""
    return f", at {', '.join(f'{label} = {value:g}' for label, value in at.items())}" if at else ""


def _unit(own: Predictor, equation: EquationDesign) -> str:
    """Return what coefficients of a linear predictor are in: the outcome itself, or the scale of a link."""
    if own.of_mean:
        return equation.outcome if equation.kind.linear else f"{equation.kind.unit} of {equation.outcome}"
    parameter = next(one for one in equation.kind.parameters if one.name == own.spec.parameter)
    return f"{parameter.unit} of {equation.outcome}"


def _below(call: Call, others: Sequence[Call]) -> Call | None:
    """Return the call that stands one level below a between(): within() of its unit, or a finer between()."""
    variable, factor = call.arguments
    for other in others:
        if other.function == "within" and other.arguments == (variable, factor):
            return other
    for other in others:
        wider = dict(other.keywords).get("within")
        if other.function == "between" and other.arguments[0] == variable and wider == factor:
            return other
    return None


def _surfaces(own: Predictor, equation: EquationDesign) -> Iterator[EstimandDesign]:
    """Yield a1 to a5 of every surface, and of every product with one (how far a moderator moves them)."""
    calls = surface_calls(own.spec.parsed)
    for term in dict.fromkeys(own.coef.terms):
        columns = [i for i, name in enumerate(own.coef.terms) if name == term]
        surfaces: dict[tuple[str, frozenset[tuple[str, str]]], dict[str, int]] = {}
        for i in columns:
            for part, piece in own.coef.parts[i]:
                if part in calls and piece in PIECES:
                    rest = own.coef.parts[i] - {(part, piece)}
                    surfaces.setdefault((part, rest), {})[piece] = i
        for places in surfaces.values():
            yield from _surface(own, equation, places)


def _surface(own: Predictor, equation: EquationDesign, places: Mapping[str, int]) -> Iterator[EstimandDesign]:
    columns = {piece: _at_means(own, place, f"b{number}") for number, (piece, place) in enumerate(places.items(), 1)}
    first = next(iter(places))
    held = {label: value for one in columns.values() for label, value in one.at.items()}
    shown = own.coef.labels[places[first]].replace(f"[{first}]", "") + _where(held)
    for name, weights in surface_weights(tuple(places)).items():
        value: Expression | None = None
        for piece, weight in weights.items():
            term = columns[piece].value
            if abs(weight) != 1:
                term = Operation("*", Number(abs(weight)), term)
            if value is None:
                value = term if weight > 0 else Operation("-", Number(0.0), term)
            else:
                value = Operation("+" if weight > 0 else "-", value, term)
        if value is None:
            continue
        square = "" if name in ("a1", "a3") else " squared"
        yield EstimandDesign(
            level_label(name, coef_label(own.name, shown)),
            value,
            {key: label for piece in weights for key, label in columns[piece].labels.items()},
            f"{_unit(own, equation)} per unit{square} of the ratings",
            "population",
        )
