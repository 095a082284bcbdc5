"""Which models the quadrature engine can fit, and what stands in its way in the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayes_alliance._messages import count_of
from bayes_alliance.spec.expressions import Term, Text, calls_in, render_term
from bayes_alliance.spec.functions import CURRENT
from bayes_alliance.spec.model import EquationSpec, ModelSpec

if TYPE_CHECKING:
    from bayes_alliance.design.design import Design
    from bayes_alliance.design.groups.groups import GroupDesign

MOST_EFFECTS = 2
"""Effects of a unit that are integrated out together."""

MOST_FACTORS = 2
"""Grouping factors, one inside the other."""

MOST_PARAMETERS = 40
"""Sampled parameters up to which independent proposals find the posterior."""


def find_quadrature_obstacles(spec: ModelSpec) -> list[str]:
    """Return what keeps a model from the quadrature engine, as far as the model says: one phrase per reason."""
    if len(spec.equation) > 1:
        return [f"it has {len(spec.equation)} equations ({', '.join(spec.outcomes)})"]
    equation = spec.equation[0]
    found = _of_equation(equation)
    groups = equation.parsed.groups
    factors = list(dict.fromkeys(group.factor for group in groups))
    if len(factors) > MOST_FACTORS:
        found.append(_many_factors(equation.outcome, factors))
    found += [f"rows belong to several levels of {name}" for name, group in spec.groups.items() if group.members]
    found += [f"coefficients share the prior {name}" for name in spec.shrink]
    found += [
        f"{prior.on!r} is stated, {prior.dist}"
        for prior in spec.prior
        if prior.target.kind == "cor" and prior.distribution.family == "equal"
    ]
    return found


def _of_equation(equation: EquationSpec) -> list[str]:
    found = []
    if equation.kind.integrand is None:
        found.append(f"{equation.outcome} is {equation.family}, which it does not integrate over")
    if equation.parameters:
        found.append(f"{' and '.join(equation.parameters)} of {equation.outcome} follow a formula")
    estimated = [render_term(term) for term in equation.parsed.every_term if _estimated(term)]
    if estimated:
        found.append(f"{' and '.join(estimated)} of {equation.outcome} read what is estimated")
    if equation.modelled:
        found.append(f"values of {equation.outcome} are modelled")
    return found


def _estimated(term: Term) -> bool:
    """Return whether a term reads a latent mean, a modelled value, estimated steps, or another equation."""
    calls = [call for part in term.parts for call in calls_in(part)]
    if any(call.function in (*CURRENT, "mi", "me", "mo") for call in calls):
        return True
    return any(Text(kind) in dict(call.keywords).values() for call in calls for kind in ("latent", "finite"))


def _many_factors(outcome: str, factors: list[str]) -> str:
    return f"{outcome} has effects of {len(factors)} factors ({', '.join(factors)}), more than {MOST_FACTORS}"


def find_quadrature_design_obstacles(design: Design) -> list[str]:
    """Return what keeps a design from the quadrature engine: one phrase per reason; empty where nothing does."""
    found = find_quadrature_obstacles(design.spec)
    if found:
        return found
    e = design.equation
    if e.follows or design.measured or design.residual is not None:
        found.append(f"predictors of {e.outcome} are estimated")
    for prior in design.priors.coef:
        if prior.distribution.support != "real":
            found.append(f"the prior of {prior.parameter}, {prior.distribution}, is that of several")
    groups = sorted(e.groups, key=lambda own: len(own.levels), reverse=True)
    if len({group.factor for group in groups}) < len(groups):
        return [*found, f"rows belong to several levels of {groups[0].factor}"]
    found += [
        f"some rows of {e.outcome} are outside {group.factor}" for group in groups if not group.inside.all()
    ]  # fmt: skip
    if groups:
        found += _of_units(e.outcome, groups, {f.factor: f.by is not None for f in design.factors})
    count = _count_parameters(design)
    if count > MOST_PARAMETERS:
        found.append(f"it has {count} parameters beside effects, more than {MOST_PARAMETERS}")
    return found


def _of_units(outcome: str, groups: list[GroupDesign], by: dict[str, bool]) -> list[str]:
    inner, found = groups[0], []
    if len(inner.effects) > MOST_EFFECTS:
        many = count_of(len(inner.effects), "effect")
        found.append(f"{many} of {inner.factor} vary in {outcome}, more than {MOST_EFFECTS}")
    for outer in groups[1:]:
        if by.get(outer.factor):
            found.append(f"effects of {outer.factor} have a covariance per stratum")
        if len(outer.effects) > 1 or not (outer.values == 1).all():
            found.append(f"{' and '.join(outer.effects)} of {outer.factor} vary in {outcome}, not its intercept alone")
        pairs = np.unique(np.column_stack([inner.code, outer.code]), axis=0)
        several = int((np.bincount(pairs[:, 0]) > 1).sum())
        if several:
            found.append(
                f"{several:,} of {len(inner.levels):,} levels of {inner.factor} have rows in several levels of "
                f"{outer.factor}"
            )
    return found


def _count_parameters(design: Design) -> int:
    priors, e = design.priors, design.equation
    strata = {factor.factor: 1 if factor.by is None else len(factor.by.levels) for factor in design.factors}
    sds = sum(len(own) * strata[factor] for factor, own in priors.sd.items())
    cors = sum(len(own) * strata.get(factor, 1) for factor, own in priors.cor.items())
    shapes = sum(len(own) for own in priors.shapes.values())
    return len(priors.coef) + sds + cors + shapes + len(priors.sigma) + len(e.scale.thresholds)


def say_quadrature(spec: ModelSpec) -> str:
    """Return one sentence on what is sampled of a model without obstacles."""
    groups = spec.equation[0].parsed.groups
    if not groups:
        return "All parameters are sampled by independent proposals."
    names = list(dict.fromkeys(group.factor for group in groups))
    return f"Effects of {' and '.join(names)} are integrated out by quadrature; all other parameters are sampled."


def say_quadrature_obstacles(obstacles: list[str]) -> str:
    """Return one sentence on what stands in the way."""
    return f"The quadrature engine cannot fit this model: {'; '.join(obstacles)}."
