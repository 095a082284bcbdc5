"""Every prior as numbers, once, before sampling: defaults scaled to outcome and predictors, overrides matched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bayes_alliance._messages import nearest, quote
from bayes_alliance.design.groups import GroupDesign
from bayes_alliance.design.terms import Columns
from bayes_alliance.names import INTERCEPT, cor_name, sd_name
from bayes_alliance.spec.defaults import DEFAULT_PRIORS, FEW_UNITS
from bayes_alliance.spec.model import FamilyName, PriorScale, PriorSpec
from bayes_alliance.spec.priors import Distribution, PriorTarget

type Support = Literal["real", "positive", "correlation"]
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
class Scales:
    """What priors are scaled to: mean and SD of the outcome, on the scale of the linear predictor."""

    outcome_mean: float
    outcome_sd: float


@dataclass(frozen=True)
class Priors:
    """Priors of an equation, in the order of the posterior's coords.

    ``sd`` and ``cor`` are keyed by grouping factor; ``cor`` has one entry per correlated block.
    """

    coef: tuple[ResolvedPrior, ...]
    sd: dict[str, tuple[ResolvedPrior, ...]]
    cor: dict[str, tuple[ResolvedPrior, ...]]
    sigma: tuple[ResolvedPrior, ...]
    scales: Scales

    def table(self) -> tuple[ResolvedPrior, ...]:
        """Return all priors, coefficients first."""
        rest = [prior for part in (self.sd, self.cor) for group in part.values() for prior in group]
        return (*self.coef, *rest, *self.sigma)


@dataclass(frozen=True)
class _Slot:
    """A parameter that wants a prior: the targets that name it, its default, and the scale factors at hand."""

    parameter: str
    targets: tuple[PriorTarget, ...]
    support: Support
    default: PriorSpec
    predictor_sd: float
    shift: float = 0.0


def outcome_scales(values: np.ndarray, family: FamilyName) -> Scales:
    """Return mean and SD of a Gaussian outcome; for a Bernoulli one the logit of its mean, and 1."""
    if family == "gaussian":
        return Scales(float(values.mean()), float(values.std(ddof=1)))
    share = float(np.clip(values.mean(), 0.5 / len(values), 1 - 0.5 / len(values)))
    return Scales(float(np.log(share / (1 - share))), 1.0)


def resolve_priors(
    outcome: str,
    family: FamilyName,
    coef: Columns,
    groups: Sequence[GroupDesign],
    sigma_coef: Sequence[str],
    scales: Scales,
    stated: Sequence[tuple[PriorSpec, Source]],
    dropped_factors: Sequence[str],
    problems: list[str],
    messages: list[str],
) -> Priors:
    """Give every parameter its prior.

    The narrowest matching statement wins, the call's before the model's, the later before the earlier. A statement
    that matches no parameter, or whose distribution cannot describe it, is a problem.
    """
    slots = {
        "coef": [_coef_slot(outcome, coef, i, scales) for i in range(len(coef.labels))],
        "sigma": [_sigma_slot(label) for label in sigma_coef] if family == "gaussian" else [],
    }
    sd_slots = {g.factor: [_sd_slot(outcome, g, i) for i in range(len(g.effects))] for g in groups}
    cor_slots = {g.factor: [_cor_slot(g, b) for b in range(sum(len(x.members) > 1 for x in g.blocks))] for g in groups}
    everything = [*slots["coef"], *slots["sigma"]]
    everything += [slot for part in (sd_slots, cor_slots) for group in part.values() for slot in group]
    _check_targets(stated, everything, dropped_factors, problems, messages)

    def resolve(slot: _Slot) -> ResolvedPrior:
        return _resolve(slot, stated, scales, problems)

    return Priors(
        tuple(map(resolve, slots["coef"])),
        {factor: tuple(map(resolve, group)) for factor, group in sd_slots.items()},
        {factor: tuple(map(resolve, group)) for factor, group in cor_slots.items() if group},
        tuple(map(resolve, slots["sigma"])),
        scales,
    )


def _coef_slot(outcome: str, coef: Columns, i: int, scales: Scales) -> _Slot:
    label, term = coef.labels[i], coef.terms[i]
    parameter = f"b[{outcome}, {label}]"
    if label == INTERCEPT:
        default = DEFAULT_PRIORS["intercept"]
        return _Slot(parameter, (PriorTarget("intercept"),), "real", default, 1.0, scales.outcome_mean)
    targets = (PriorTarget("b", effect=label), PriorTarget("b", effect=term), PriorTarget("b"))
    spread = float(np.std(coef.values[:, i], ddof=1)) or 1.0
    return _Slot(parameter, targets, "real", DEFAULT_PRIORS["b"], spread)


def _sd_slot(outcome: str, group: GroupDesign, i: int) -> _Slot:
    """Make the slot of an SD; an intercept or 0/1 variable is a step of one, a slope is scaled by its SD."""
    label, term, factor = group.effects[i], group.terms[i], group.factor
    values = group.values[group.inside, i]
    steps = bool(np.isin(values, (0.0, 1.0)).all())
    spread = 1.0 if steps else float(np.std(values, ddof=1)) or 1.0
    targets = (PriorTarget("sd", factor, label), PriorTarget("sd", factor, term), PriorTarget("sd", factor))
    default = DEFAULT_PRIORS["sd_few" if factor in FEW_UNITS else "sd"]
    return _Slot(f"{sd_name(factor)}[{outcome}, {label}]", targets, "positive", default, spread)


def _cor_slot(group: GroupDesign, block: int) -> _Slot:
    name = f"{cor_name(group.factor)}{f'[{block + 1}]' if block else ''}"
    return _Slot(name, (PriorTarget("cor", group.factor),), "correlation", DEFAULT_PRIORS["cor"], 1.0)


def _sigma_slot(label: str) -> _Slot:
    return _Slot(f"sigma[{label}]", (PriorTarget("sigma"),), "positive", DEFAULT_PRIORS["sigma"], 1.0)


_DESCRIBED: dict[Support, str] = {
    "real": "any number",
    "positive": "a positive number",
    "correlation": "a correlation matrix",
}


def _check_targets(
    stated: Sequence[tuple[PriorSpec, Source]],
    slots: Sequence[_Slot],
    dropped: Sequence[str],
    problems: list[str],
    messages: list[str],
) -> None:
    valid = list(dict.fromkeys(_target_text(target) for slot in slots for target in slot.targets))
    for prior, _ in stated:
        if prior.target.factor in dropped:
            messages.append(f"The prior on {prior.on!r} is set aside: the study has no {prior.target.factor!r}.")
        elif not any(prior.target in slot.targets for slot in slots):
            guess = nearest(prior.on, valid)
            hint = f" Did you mean {guess!r}?" if guess else ""
            problems.append(f"The prior on {prior.on!r} matches no parameter. Valid: {quote(valid)}.{hint}")


def _target_text(target: PriorTarget) -> str:
    return " ".join(part for part in (target.kind, target.factor, target.effect) if part)


def _resolve(
    slot: _Slot, stated: Sequence[tuple[PriorSpec, Source]], scales: Scales, problems: list[str]
) -> ResolvedPrior:
    matching = [(prior, source) for prior, source in stated if prior.target in slot.targets]
    if not matching:
        stated_by_us = slot.default
        numbers = _in_units(stated_by_us.distribution, stated_by_us.scale, slot, scales)
        return ResolvedPrior(slot.parameter, numbers, stated_by_us.reason, "default")
    order = {"default": 0, "model": 1, "call": 2}
    best = max(range(len(matching)), key=lambda i: (matching[i][0].target.specificity, order[matching[i][1]], i))
    prior, source = matching[best]
    if prior.distribution.support != slot.support:
        problems.append(
            f"The prior {prior.dist!r} on {prior.on!r} cannot describe {slot.parameter}, which is "
            f"{_DESCRIBED[slot.support]}."
        )
    return ResolvedPrior(slot.parameter, _in_units(prior.distribution, prior.scale, slot, scales), prior.reason, source)


def _in_units(distribution: Distribution, scale: PriorScale, slot: _Slot, scales: Scales) -> Distribution:
    """Multiply by the scale; on the intercept a scaled prior counts from the mean of the outcome."""
    match scale:
        case "none":
            return distribution
        case "outcome_sd":
            return distribution.scaled(scales.outcome_sd, slot.shift)
        case "outcome_sd/predictor_sd":
            return distribution.scaled(scales.outcome_sd / slot.predictor_sd, slot.shift)
