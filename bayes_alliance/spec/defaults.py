"""The priors that hold unless a model or a call states others: claims with reasons, numbers come from the data."""

from __future__ import annotations

from typing import Final

from bayes_alliance.outcome.families import FAMILY
from bayes_alliance.spec.expressions import Call
from bayes_alliance.spec.model import ModelSpec, PriorSpec

FEW_UNITS: Final = ("therapist", "group", "site")
"""Grouping factors of which studies have few levels that explain little: their SDs get the tighter default."""

LATENT: Final = 'means="latent"'
"""What a formula says where an outcome's past may be a deviation from what its own equation implies."""

DEFAULT_PRIORS: Final[dict[str, PriorSpec]] = {
    **{
        p.name: PriorSpec(on=p.name, dist=p.prior, scale="outcome_sd" if p.scaled else "none", reason=p.reason)
        for family in FAMILY.values()
        for p in family.parameters
    },
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
    "sigma_first": PriorSpec(
        on="sigma first",
        dist="lognormal(0.6, 0.6)",
        scale="outcome_sd",
        reason="The first session of a series deviates from its mean by .2 to 2 SDs of the outcome, never by nothing.",
    ),
    **{
        f"{p.name} intercept": PriorSpec(
            on=f"{p.name}(OUTCOME): intercept",
            dist=p.intercept,
            scale="outcome_sd" if p.scaled else "none",
            reason=p.intercept_reason,
        )
        for family in FAMILY.values()
        for p in family.parameters
    },
    "parameter b": PriorSpec(
        on="PARAMETER(OUTCOME): b",
        dist="normal(0, 0.5)",
        scale="outcome_sd/predictor_sd",
        reason="One SD of a predictor changes the parameter by more than a factor of 2.7 in 1 of 20 cases only.",
    ),
    "parameter sd": PriorSpec(
        on="PARAMETER(OUTCOME): sd FACTOR",
        dist="half_normal(0.5)",
        scale="outcome_sd/predictor_sd",
        reason="Most units have a parameter within a factor of 2.7 of the others'.",
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


def kinds_for(spec: ModelSpec) -> list[tuple[str, str]]:
    """Return the defaults a model uses and what each is on."""
    kinds: list[tuple[str, str]] = [("intercept", "intercept"), ("b", "every coefficient")]
    kinds += [("sd_few" if factor in FEW_UNITS else "sd", f"sd {factor}") for factor in spec.factors]
    kinds += [("cor", "every correlation")]
    first = any(LATENT in equation.formula for equation in spec.equation)
    spread = any(equation.kind.spread for equation in spec.equation)
    kinds += [("sigma", "sigma")] if any(e.kind.spread and "sigma" not in e.parameters for e in spec.equation) else []
    for part in (own for equation in spec.equation for own in equation.parameters.values()):
        kinds += [(f"{part.parameter} intercept", f"{part.name}: intercept"), ("parameter b", f"{part.name}: b")]
        kinds += [("parameter sd", f"{part.name}: sd {factor}") for factor in part.factors]
    kinds += [("sigma_first", "sigma first")] if spread and first else []
    kinds += [("threshold", "thresholds")] if any(equation.kind.thresholds for equation in spec.equation) else []
    parts = [part for e in spec.equation for t in e.parsed.terms for part in t.parts if isinstance(part, Call)]
    kinds += [("mo", "steps of mo()")] if any(part.function == "mo" for part in parts) else []
    shapes = dict.fromkeys(shape for equation in spec.equation for shape in equation.shapes)
    return [*kinds, *((shape, shape) for shape in shapes)]
