"""The priors that hold unless a model or a call states others: claims with reasons, numbers come from the data."""

from __future__ import annotations

from typing import Final

from bayes_alliance.outcome.contract import Outcome, Parameter
from bayes_alliance.spec.expressions import Call
from bayes_alliance.spec.model import ModelSpec, PriorScale, PriorSpec

FEW_UNITS: Final = ("therapist", "group", "site")
"""Grouping factors of which studies have few levels that explain little: their SDs get the tighter default."""

LATENT: Final = 'means="latent"'
"""What a formula says where an outcome's past may be a deviation from what its own equation implies."""

DEFAULT_PRIORS: Final[dict[str, PriorSpec]] = {
    "intercept": PriorSpec(
        on="intercept",
        dist="normal(0, 2.5)",
        scale="outcome_sd",
        reason="At average predictors the outcome lies within a few SDs of its mean, which this prior counts from.",
    ),
    "b": PriorSpec(
        on="b",
        dist="normal(0, 2.5)",
        scale="outcome_sd/predictor_sd",
        reason="One SD of a predictor moves the outcome by more than 5 SDs (log-odds if 0/1) in 1 of 20 cases only.",
    ),
    "sd": PriorSpec(
        on="sd FACTOR",
        dist="half_student_t(3, 1)",
        scale="outcome_sd/predictor_sd",
        reason="Units may differ by about the outcome's whole SD (per SD of a slope's predictor), rarely by much more.",
    ),
    "sd_few": PriorSpec(
        on="sd FACTOR",
        dist="half_student_t(3, 0.3)",
        scale="outcome_sd/predictor_sd",
        reason="Therapists, groups and sites explain a few per cent of an outcome's variance in meta-analyses.",
    ),
    "cor": PriorSpec(
        on="cor FACTOR",
        dist="lkj(2)",
        reason="Correlations near -1 and 1 are unlikely, all others about equally so.",
    ),
    "cor_visits": PriorSpec(
        on="cor residual",
        dist="lkj(1)",
        reason="Every matrix of correlations between visits is equally likely: a patient's visits go together, which a "
        "prior that favours 0 would deny.",
    ),
    "sigma_first": PriorSpec(
        on="sigma first",
        dist="lognormal(0.6, 0.6)",
        scale="outcome_sd",
        reason="The first session of a series deviates from its mean by .2 to 2 SDs of the outcome, never by nothing.",
    ),
    "sigma_visit": PriorSpec(
        on="sigma",
        dist="lognormal(0.8, 0.5)",
        scale="outcome_sd",
        reason="Patients differ at a visit by 0.3 to 2.2 SDs of the outcome, never by nothing.",
    ),
    "threshold": PriorSpec(
        on="threshold",
        dist="dirichlet(1)",
        reason="At average predictors every way to share rows out among the categories is equally likely.",
    ),
    "ar": PriorSpec(
        on="ar",
        dist="lkj(2)",
        reason="Residuals of neighbouring sessions are as likely alike as opposed; a correlation near 1 is unlikely.",
    ),
    "error": PriorSpec(
        on="error",
        dist="half_student_t(3, 1)",
        scale="outcome_sd",
        reason="One rating lies from the truth by about the SD of the scores or less.",
    ),
    "mo": PriorSpec(
        on="mo VARIABLE",
        dist="dirichlet(1)",
        reason="Every way to share the whole distance out among the steps is equally likely.",
    ),
}

PROBIT_REASONS: Final = {
    "intercept": "At average predictors the outcome lies within a few SDs of its mean, which this prior counts from. "
    "An SD counts as 1 / 1.7 probits: the normal and the logistic curve then agree.",
    "b": "One SD of a predictor moves the outcome by more than 2.9 probits (5 / 1.7) in 1 of 20 cases only.",
    "sd": "Units may differ by about 0.6 probits (1 / 1.7; per SD of a slope's predictor), rarely by much more.",
    "sd_few": "Therapists, groups and sites explain a few per cent of an outcome's variance in meta-analyses. An SD of "
    "the outcome counts as 1 / 1.7 probits.",
}
"""Reasons of the defaults of probit equations: the numbers are those of a logit over 1.7."""


def default_for(name: str, kind: Outcome) -> PriorSpec:
    """Return a default prior of coefficients or SDs of an outcome's mean, with the reason for its link."""
    prior = DEFAULT_PRIORS[name]
    return prior.model_copy(update={"reason": PROBIT_REASONS[name]}) if kind.link == "probit" else prior


def default_of(parameter: Parameter) -> PriorSpec:
    """Return the default prior of a parameter of a family that is one number."""
    return PriorSpec(on=parameter.name, dist=parameter.prior, scale=_scale(parameter), reason=parameter.reason)


def intercept_of(parameter: Parameter) -> PriorSpec:
    """Return the default prior of the intercept of a parameter's formula."""
    on = f"{parameter.name}(OUTCOME): intercept"
    return PriorSpec(on=on, dist=parameter.intercept, scale=_scale(parameter), reason=parameter.intercept_reason)


def slope_of(parameter: Parameter) -> PriorSpec:
    """Return the default prior of the coefficients of a parameter's formula."""
    return PriorSpec(
        on=f"{parameter.name}(OUTCOME): b",
        dist="normal(0, 0.5)",
        scale="outcome_sd/predictor_sd",
        reason=f"One SD of a predictor multiplies or divides {_what(parameter)} by more than 2.7 in 1 of 20 cases.",
    )


def sd_of(parameter: Parameter) -> PriorSpec:
    """Return the default prior of the SDs of effects on a parameter."""
    return PriorSpec(
        on=f"{parameter.name}(OUTCOME): sd FACTOR",
        dist="half_normal(0.5)",
        scale="outcome_sd/predictor_sd",
        reason=f"Most units lie within a factor of 2.7 of the average, in {_what(parameter)}.",
    )


def _scale(parameter: Parameter) -> PriorScale:
    return "outcome_sd" if parameter.scaled else "none"


def _what(parameter: Parameter) -> str:
    return f"the {parameter.short}" if parameter.link == "log" else f"the odds of {parameter.short}"


def defaults_for(spec: ModelSpec) -> list[tuple[str, PriorSpec]]:
    """Return what the defaults of a model are on, and each default."""
    found = [("intercept", default_for("intercept", e.kind)) for e in spec.equation]
    found += [("every coefficient", default_for("b", e.kind)) for e in spec.equation]
    for factor in spec.factors:
        name = "sd_few" if factor in FEW_UNITS else "sd"
        found += [(f"sd {factor}", default_for(name, e.kind)) for e in spec.equation if factor in e.factors]
    found += [("every correlation", DEFAULT_PRIORS["cor"])]
    if any(equation.residuals == "unstructured" for equation in spec.equation):
        found += [("cor residual", DEFAULT_PRIORS["cor_visits"])]
    for equation in spec.equation:
        for parameter in equation.kind.parameters:
            own = equation.parameters.get(parameter.name)
            if own is None:
                of_visits = parameter.name == "sigma" and equation.residuals == "unstructured"
                found.append((parameter.name, DEFAULT_PRIORS["sigma_visit"] if of_visits else default_of(parameter)))
                continue
            found += [(f"{own.name}: intercept", intercept_of(parameter)), (f"{own.name}: b", slope_of(parameter))]
            found += [(f"{own.name}: sd {factor}", sd_of(parameter)) for factor in own.factors]
    if any(e.kind.spread for e in spec.equation) and any(LATENT in e.formula for e in spec.equation):
        found.append(("sigma first", DEFAULT_PRIORS["sigma_first"]))
    if any(equation.kind.thresholds for equation in spec.equation):
        found.append(("thresholds", DEFAULT_PRIORS["threshold"]))
    parts = [part for e in spec.equation for t in e.parsed.terms for part in t.parts if isinstance(part, Call)]
    if any(part.function == "mo" for part in parts):
        found.append(("steps of mo()", DEFAULT_PRIORS["mo"]))
    added = dict.fromkeys(name for e in spec.equation for name in e.shapes if name not in e.kind.shapes)
    found += [(name, DEFAULT_PRIORS[name]) for name in added]
    return list(dict.fromkeys(found))
