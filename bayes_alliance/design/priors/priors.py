"""Every prior as numbers, once, before sampling: defaults scaled to outcome and predictors, overrides matched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from bayes_alliance._messages import nearest, quote
from bayes_alliance.design.columns.values import StepsOf
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.factors import FactorDesign
from bayes_alliance.design.equations.latent_columns import FollowSteps, FollowValue
from bayes_alliance.design.equations.measured_means import Measured
from bayes_alliance.design.equations.predictor import Predictor
from bayes_alliance.design.equations.residual import Residuals
from bayes_alliance.design.equations.residual_sd import FIRST, ResidualSD
from bayes_alliance.design.equations.visits import VisitResiduals
from bayes_alliance.design.groups.groups import GroupDesign
from bayes_alliance.design.priors.scales import NO_SCALE, Scales, outcome_scales
from bayes_alliance.design.priors.shrinkage import Shrunk, resolve_shrinkage
from bayes_alliance.findings import Findings
from bayes_alliance.names import (
    INTERCEPT,
    RESIDUAL,
    SESSION,
    cor_name,
    level_label,
    mean_name,
    sd_name,
    share_name,
    spread_name,
)
from bayes_alliance.outcome.contract import SIGMA, Parameter
from bayes_alliance.spec.defaults import (
    DEFAULT_PRIORS,
    FEW_UNITS,
    default_for,
    default_of,
    intercept_of,
    sd_of,
    slope_of,
)
from bayes_alliance.spec.model import ModelSpec, PriorScale, PriorSpec
from bayes_alliance.spec.parameters import SHAPES
from bayes_alliance.spec.priors import Distribution, PriorTarget, Support

type Source = Literal["default", "model", "call"]


@dataclass(frozen=True)
class ResolvedPrior:
    """The prior of one parameter in the units of the data.

    ``parameter`` is named as in the posterior; the intercept's prior refers to predictors at their centring
    constants. ``source`` says who stated it.
    """

    parameter: str
    distribution: Distribution
    reason: str
    source: Source


@dataclass(frozen=True)
class Priors:
    """Priors of a model, in the order of the posterior's coords.

    ``sd`` and ``cor`` are keyed by grouping factor; ``cor`` has one entry per correlated block, and where residuals
    correlate one under ``residual``. ``measured`` is keyed by the variable whose means are latent: the prior of its
    mean, then those of its SDs. ``shapes`` is keyed by further parameters of families, in the order of the outcomes
    that have one. ``shares`` is keyed by outcomes with thresholds: the prior of the shares of their categories at
    average predictors, which the thresholds follow from. ``steps`` is keyed by the name of the steps of an ordered
    predictor. ``shrunk`` holds the priors that coefficients share, which stand in ``coef`` by their name. ``scales`` is
    keyed by outcome.
    """

    coef: tuple[ResolvedPrior, ...]
    sd: dict[str, tuple[ResolvedPrior, ...]]
    cor: dict[str, tuple[ResolvedPrior, ...]]
    sigma: tuple[ResolvedPrior, ...]
    measured: dict[str, tuple[ResolvedPrior, ...]]
    shapes: dict[str, tuple[ResolvedPrior, ...]]
    shares: dict[str, ResolvedPrior]
    steps: dict[str, ResolvedPrior]
    shrunk: tuple[Shrunk, ...]
    scales: dict[str, Scales]

    def table(self) -> tuple[ResolvedPrior, ...]:
        """Return all priors, coefficients first."""
        rest = [prior for part in (self.sd, self.cor) for group in part.values() for prior in group]
        last = [prior for part in (self.shapes, self.measured) for group in part.values() for prior in group]
        return (*self.coef, *rest, *self.sigma, *last, *self.shares.values(), *self.steps.values())


@dataclass(frozen=True)
class _Slot:
    """A parameter that wants a prior: the targets that name it, its default, and the scale factors at hand.

    ``size`` is that of a correlation matrix whose entries may be stated instead, else 0.
    """

    parameter: str
    targets: tuple[PriorTarget, ...]
    support: Support
    default: PriorSpec
    scales: Scales
    predictor_sd: float = 1.0
    shift: float = 0.0
    size: int = 0


def resolve_priors(
    spec: ModelSpec,
    equations: Sequence[EquationDesign],
    factors: Sequence[FactorDesign],
    residual: Residuals | None,
    measured: Sequence[Measured],
    stated: Sequence[tuple[PriorSpec, Source]],
    dropped_factors: Sequence[str],
    findings: Findings,
) -> Priors:
    """Give every parameter its prior.

    The narrowest matching statement wins, the call's before the model's, the later before the earlier. A statement
    that matches no parameter, or whose distribution cannot describe it, is a problem.
    """
    scales: dict[str, Scales] = {}
    for e in equations:
        scales.setdefault(e.outcome, outcome_scales(e.kind, e.y[e.seen], e.scale.rows(e.seen)))
        for parameter in e.kind.parameters:
            if parameter.name in e.parameters:
                # on the link's scale; the log residual SD counts from the log SD of the outcome
                start = float(np.log(scales[e.outcome].outcome_sd)) if parameter.scaled else 0.0
                scales[e.parameters[parameter.name].name] = Scales(start, 1.0)
    every = [(e, own) for e in equations for own in e.linear_predictors]
    coef_slots = [_coef_slot(e, own, i, scales[own.name]) for e, own in every for i in range(len(own.coef.labels))]
    sigma_slots = [_sigma_slot(e, own, scales[e.outcome]) for e in equations if e.kind.spread for own in e.residual_sds]
    shape_slots = {
        shape: [_shape_slot(e, shape, scales[e.outcome]) for e in equations if shape in e.shapes] for shape in SHAPES
    }
    share_slots = {e.outcome: _share_slot(e) for e in equations if e.kind.thresholds}
    sd_slots = {factor.factor: _sd_slots(factor, equations, scales) for factor in factors}
    cor_slots = {factor.factor: _cor_slots(factor) for factor in factors}
    if residual is not None and residual.fixed is None:
        of_visits = isinstance(residual, VisitResiduals)
        cor_slots[RESIDUAL] = [_cor_slot(RESIDUAL, 0, 0, "cor_visits" if of_visits else "cor")]
    step_slots = {name: slot for e in equations for name, slot in _step_slots(e)}
    everything = [*coef_slots, *sigma_slots, *share_slots.values(), *step_slots.values()]
    everything += [slot for part in (sd_slots, cor_slots, shape_slots) for group in part.values() for slot in group]
    _check_targets(stated, everything, dropped_factors, findings)

    def resolve(slot: _Slot) -> ResolvedPrior:
        return _resolve(slot, stated, findings)

    shrunk = resolve_shrinkage(spec, [own for _, own in every], scales, findings)
    for group in shrunk:
        for slot in (coef_slots[place] for place in group.places.ravel()):
            own = [prior.on for prior, _ in stated if prior.target.effect and prior.target in slot.targets]
            if own:
                findings.problem(
                    f"{slot.parameter} shares that of shrink {group.name!r}.", where=f"The prior on {own[0]!r}"
                )
    return Priors(
        _share_priors([resolve(slot) for slot in coef_slots], shrunk),
        {factor: tuple(map(resolve, group)) for factor, group in sd_slots.items()},
        {factor: tuple(map(resolve, group)) for factor, group in cor_slots.items() if group},
        tuple(map(resolve, sigma_slots)),
        {m.name: _measured_priors(m) for m in measured},
        {shape: tuple(map(resolve, group)) for shape, group in shape_slots.items() if group},
        {outcome: resolve(slot) for outcome, slot in share_slots.items()},
        {name: resolve(slot) for name, slot in step_slots.items()},
        shrunk,
        scales,
    )


def _share_priors(own: list[ResolvedPrior], shrunk: Sequence[Shrunk]) -> tuple[ResolvedPrior, ...]:
    """Return the priors of coefficients with those they share in place of what they would have by themselves."""
    for group in shrunk:
        for place in group.places.ravel():
            own[place] = ResolvedPrior(own[place].parameter, group.distribution, group.reason, "model")
    return tuple(own)


def _measured_priors(measured: Measured) -> tuple[ResolvedPrior, ...]:
    """Return the priors of a variable whose means are latent: its mean, then its SDs, widest unit first."""
    centre, spread = DEFAULT_PRIORS["intercept"], default_of(SIGMA)
    mean = centre.distribution.scaled(measured.spread, measured.centre)
    priors = [ResolvedPrior(mean_name(measured.label), mean, centre.reason, "default")]
    for part in measured.parts:
        sd = spread.distribution.scaled(measured.spread)
        name = f"{spread_name(measured.label)}[{part}]"
        priors.append(ResolvedPrior(name, sd, "An SD of the variable is about its whole SD or smaller.", "default"))
    return tuple(priors)


def _targets(own: Predictor, *targets: PriorTarget) -> tuple[PriorTarget, ...]:
    """Return the targets for every equation, and for this one under the model's and the study's name of it.

    Those of a parameter's predictor are for it alone: what holds for every coefficient is in another unit.
    """
    every = (None,) if own.of_mean else ()
    names = dict.fromkeys((*every, own.spec.name, own.name))
    return tuple(replace(target, outcome=name) for name in names for target in dict.fromkeys(targets))


def _parameter_of(equation: EquationDesign, own: Predictor) -> Parameter | None:
    """Return the parameter that a linear predictor is of, None of the mean."""
    return next((one for one in equation.kind.parameters if one.name == own.spec.parameter), None)


def _coef_slot(equation: EquationDesign, own: Predictor, i: int, scales: Scales) -> _Slot:
    label, term, parameter = own.coef.labels[i], own.coef.terms[i], _parameter_of(equation, own)
    name = f"b[{own.coef_labels[i]}]"
    if label == INTERCEPT:
        targets = _targets(own, PriorTarget("intercept"))
        default = default_for("intercept", equation.kind) if parameter is None else intercept_of(parameter)
        return _Slot(name, targets, "real", default, scales, 1.0, scales.outcome_mean)
    targets = _targets(own, PriorTarget("b", effect=label), PriorTarget("b", effect=term), PriorTarget("b"))
    spread = _predictor_sd(own, i)
    default = default_for("b", equation.kind) if parameter is None else slope_of(parameter)
    return _Slot(name, targets, "real", default, scales, spread)


def _predictor_sd(equation: Predictor, i: int) -> float:
    """Return the SD of a column; where something is plugged in for missing values, that of the rows without."""
    values = equation.coef.values[:, i]
    for key, weight in (equation.coef.latent or ({},) * (i + 1))[i].items():
        follow = equation.follows.get(key)
        if isinstance(follow, FollowValue):
            own = values[(weight == 0) | ~follow.filled]
            values = own if len(own) > 1 else values
    return float(np.std(values, ddof=1)) or 1.0


def _sd_slots(factor: FactorDesign, equations: Sequence[EquationDesign], scales: dict[str, Scales]) -> list[_Slot]:
    slots = []
    for equation, own in ((e, own) for e in equations for own in e.linear_predictors):
        for group in own.groups:
            if group.factor == factor.factor and group.slot == 0:
                slots += [_sd_slot(equation, own, group, i, scales[own.name]) for i in range(len(group.effects))]
    return slots


def _sd_slot(equation: EquationDesign, own: Predictor, group: GroupDesign, i: int, scales: Scales) -> _Slot:
    """Make the slot of an SD; an intercept or 0/1 variable is a step of one, a slope is scaled by its SD."""
    label, term, factor = group.effects[i], group.columns.terms[i], group.factor
    values = group.values[group.inside, i]
    if group.weight is not None:
        values = values / group.weight[group.inside]
    steps = bool(np.isin(values, (0.0, 1.0)).all())
    spread = 1.0 if steps else float(np.std(values, ddof=1)) or 1.0
    named = (PriorTarget("sd", factor, label), PriorTarget("sd", factor, term), PriorTarget("sd", factor))
    of_parameter = _parameter_of(equation, own)
    default = default_for("sd_few" if factor in FEW_UNITS else "sd", equation.kind)
    default = default if of_parameter is None else sd_of(of_parameter)
    parameter = f"{sd_name(factor)}[{own.effect_labels(group)[i]}]"
    return _Slot(parameter, _targets(own, *named), "positive", default, scales, spread)


def _cor_slots(factor: FactorDesign) -> list[_Slot]:
    sizes = [len(block.members) for block in factor.blocks if len(block.members) > 1]
    return [_cor_slot(factor.factor, number, size) for number, size in enumerate(sizes)]


def _cor_slot(factor: str, block: int, size: int, default: str = "cor") -> _Slot:
    """Make the slot of a correlation matrix; ``size`` is that of one that may be stated, else 0."""
    name = f"{cor_name(factor)}{f'[{block + 1}]' if block else ''}"
    return _Slot(name, (PriorTarget("cor", factor),), "correlation", DEFAULT_PRIORS[default], NO_SCALE, size=size)


def _sigma_slot(equation: EquationDesign, own: ResidualSD, scales: Scales) -> _Slot:
    # a condition's level under the study's name of it, and under the model's
    called = {variable.label: variable.name for variable in equation.variables.values()}
    modelled = ":".join(level_label(called.get(column, SESSION), level) for column, level in own.levels)
    names = [FIRST] if own.first else [name for name in (own.effect, modelled) if name]
    named = (*(PriorTarget("sigma", effect=each) for each in dict.fromkeys(names)), PriorTarget("sigma"))
    default = DEFAULT_PRIORS["sigma_first"] if own.first else default_of(SIGMA)
    if equation.spec.residuals == "unstructured":
        default = DEFAULT_PRIORS["sigma_visit"]
    return _Slot(f"sigma[{own.label}]", _targets(equation.mean, *named), "positive", default, scales)


def _shape_slot(equation: EquationDesign, shape: str, scales: Scales) -> _Slot:
    targets = _targets(equation.mean, PriorTarget(shape))
    own = next((parameter for parameter in equation.kind.parameters if parameter.name == shape), None)
    support: Support = "correlation" if shape == "ar" else "positive"
    if own is not None and own.link == "logit":
        support = "unit"
    default = DEFAULT_PRIORS[shape] if own is None else default_of(own)
    of_scores = scales if shape == "error" else NO_SCALE
    return _Slot(f"{shape}[{equation.outcome}]", targets, support, default, of_scores)


def _step_slots(equation: EquationDesign) -> Iterator[tuple[str, _Slot]]:
    for key, follow in equation.follows.items():
        if isinstance(key, StepsOf) and isinstance(follow, FollowSteps):
            names = dict.fromkeys((key.variable, equation.variables[key.variable].label))
            targets = _targets(equation.mean, *(PriorTarget("mo", effect=name) for name in names))
            yield follow.name, _Slot(follow.name, targets, "shares", DEFAULT_PRIORS["mo"], NO_SCALE)


def _share_slot(equation: EquationDesign) -> _Slot:
    targets = _targets(equation.mean, PriorTarget("threshold"))
    return _Slot(share_name(equation.outcome), targets, "shares", DEFAULT_PRIORS["threshold"], NO_SCALE)


_DESCRIBED: dict[Support, str] = {
    "real": "any number",
    "positive": "a positive number",
    "unit": "a number between 0 and 1",
    "correlation": "a correlation matrix",
    "stated": "a stated correlation",
    "shares": "shares that add up to 1",
    "shrunk": "one of many coefficients",
}


def _check_targets(
    stated: Sequence[tuple[PriorSpec, Source]],
    slots: Sequence[_Slot],
    dropped: Sequence[str],
    findings: Findings,
) -> None:
    general = (target for slot in slots for target in slot.targets if target.outcome is None)
    valid = list(dict.fromkeys(map(str, general)))
    for prior, _ in stated:
        if prior.target.factor in dropped:
            findings.note(f"The prior on {prior.on!r} is set aside: the study has no {prior.target.factor!r}.")
        elif not any(prior.target in slot.targets for slot in slots):
            guess = nearest(str(replace(prior.target, outcome=None)), valid)
            hint = f"Did you mean {guess!r}?" if guess else ""
            findings.problem(
                f"The prior on {prior.on!r} matches no parameter.", allowed=f"Valid: {quote(valid)}.", fix=hint
            )


def _resolve(slot: _Slot, stated: Sequence[tuple[PriorSpec, Source]], findings: Findings) -> ResolvedPrior:
    matching = [(prior, source) for prior, source in stated if prior.target in slot.targets]
    if not matching:
        stated_by_us = slot.default
        numbers = _in_units(stated_by_us.distribution, stated_by_us.scale, slot)
        return ResolvedPrior(slot.parameter, numbers, stated_by_us.reason, "default")
    order = {"default": 0, "model": 1, "call": 2}
    best = max(range(len(matching)), key=lambda i: (matching[i][0].target.specificity, order[matching[i][1]], i))
    prior, source = matching[best]
    if prior.distribution.support == "stated" and slot.size:
        least = -1 / (slot.size - 1)
        if prior.distribution.value("correlation") <= least:
            findings.problem(
                f"{slot.size} effects cannot all correlate at {prior.distribution.value('correlation'):g}; it "
                f"is above {least:.3g}.",
                where=f"The prior {prior.dist!r} on {prior.on!r}",
            )
    elif prior.distribution.support != slot.support:
        findings.problem(
            f"The prior {prior.dist!r} on {prior.on!r} cannot describe {slot.parameter}, which is "
            f"{_DESCRIBED[slot.support]}."
        )
    return ResolvedPrior(slot.parameter, _in_units(prior.distribution, prior.scale, slot), prior.reason, source)


def _in_units(distribution: Distribution, scale: PriorScale, slot: _Slot) -> Distribution:
    """Multiply by the scale; on the intercept a scaled prior counts from the mean of the outcome."""
    match scale:
        case "none":
            return distribution
        case "outcome_sd":
            return distribution.scaled(slot.scales.outcome_sd, slot.shift)
        case "outcome_sd/predictor_sd":
            return distribution.scaled(slot.scales.outcome_sd / slot.predictor_sd, slot.shift)
