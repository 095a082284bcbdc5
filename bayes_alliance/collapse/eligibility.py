"""Which models the exact engine can fit, and what stands in its way in the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bayes_alliance.design.columns.values import LinkedTo, MeanOf
from bayes_alliance.spec.expressions import Term, Text, calls_in, render, render_term
from bayes_alliance.spec.functions import CURRENT
from bayes_alliance.spec.model import EquationSpec, ModelSpec

if TYPE_CHECKING:
    from bayes_alliance.design.design import Design

EXACT = "Population and group effects are integrated out exactly; only variances and correlations are sampled."
"""What holds for a model without obstacles."""

MOST_TABLES = 4000
"""Tables of cross-products above which an evaluation takes longer than one of the sampler's own."""

MOST_CROSSED = 1500
"""Effects of crossed factors above which their dense block takes longer than sampling them."""


def find_obstacles(spec: ModelSpec) -> list[str]:
    """Return what keeps a model from the exact engine, as far as the model says: one phrase per term.

    Parameters
    ----------
    spec : ModelSpec
        What a study adds (priors of a call, many crossed levels) is for ``find_design_obstacles``.

    Returns
    -------
    list of str
        Empty where nothing does.
    """
    obstacles = []
    for equation in spec.equation:
        if not equation.kind.normal:
            obstacles.append(_not_gaussian(equation.outcome, equation.family))
        elif equation.parameters:
            obstacles.append(_formula_of_spread(equation.outcome))
        obstacles += _of_rows(equation)
        terms = equation.parsed.every_term
        latent = [render_term(term) for term in terms if _is_latent(term)]
        if latent:
            obstacles.append(_follow(equation.outcome, latent))
        obstacles += _of_steps(equation)
    obstacles += [f"rows belong to several levels of {name}" for name, group in spec.groups.items() if group.members]
    for name, shrink in spec.shrink.items():
        obstacles.append(f"the prior {shrink.dist} of {name} is not normal")
    for prior in spec.prior:
        if prior.target.kind in ("b", "intercept") and prior.distribution.family != "normal":
            obstacles.append(f"the prior {prior.dist} on {prior.on!r} is not normal")
        if prior.target.kind == "sd" and prior.distribution.family == "lognormal":
            obstacles.append(f"the prior {prior.dist} on {prior.on!r} leaves no density at an SD of 0")
        if prior.target.kind == "cor" and prior.distribution.family == "equal":
            obstacles.append(f"{prior.on!r} is stated, {prior.dist}")
    return obstacles


def _is_latent(term: Term) -> bool:
    calls = [call for part in term.parts for call in calls_in(part)]
    if any(call.function in CURRENT for call in calls):
        return True
    return any(Text(kind) in dict(call.keywords).values() for call in calls for kind in ("latent", "finite"))


def _of_rows(equation: EquationSpec) -> list[str]:
    """Return what an equation says of its rows that integrals over effects cannot take in."""
    found = []
    if equation.modelled:
        what = "true scores" if equation.measured else "missing values"
        found.append(f"{what} of {equation.outcome} are modelled")
    return found


def _of_steps(equation: EquationSpec) -> list[str]:
    terms = equation.parsed.every_term
    calls = [render(c) for term in terms for part in term.parts for c in calls_in(part) if c.function == "mo"]
    return [f"the steps of {call} are estimated" for call in dict.fromkeys(calls)]


def _formula_of_spread(outcome: str) -> str:
    return f"the residual SD of {outcome} follows a formula"


def _not_gaussian(outcome: str, family: str) -> str:
    return f"{outcome} is {family}, not Gaussian"


def _follow(outcome: str, terms: Sequence[str]) -> str:
    return f"{' and '.join(terms)} of {outcome} {'follow' if len(terms) > 1 else 'follows'} what is estimated"


def find_design_obstacles(design: Design) -> list[str]:
    """Return what keeps a design from the exact engine: one phrase per term; empty where nothing does."""
    obstacles = []
    for equation in design.equations:
        if not equation.kind.normal:
            obstacles.append(_not_gaussian(equation.outcome, equation.family))
        elif equation.parameters:
            obstacles.append(_formula_of_spread(equation.outcome))
        obstacles += _of_rows(equation.spec) + _of_steps(equation.spec)
        labels = {
            label
            for columns in (equation.coef, *(group.columns for group in equation.groups))
            for label, latent in zip(columns.labels, columns.latent, strict=True)
            if any(isinstance(key, MeanOf | LinkedTo) for key in latent)
        }
        if labels:
            obstacles.append(_follow(equation.outcome, sorted(labels)))
    obstacles += [
        f"rows belong to several levels of {name}" for name, group in design.spec.groups.items() if group.members
    ]
    for prior in design.priors.coef:
        if prior.distribution.family != "normal":
            obstacles.append(f"the prior of {prior.parameter}, {prior.distribution}, is not normal")
    obstacles += [
        f"the prior of {prior.parameter}, {prior.distribution}, leaves no density at an SD of 0"
        for priors in design.priors.sd.values()
        for prior in priors
        if prior.distribution.family == "lognormal"
    ]
    obstacles += [
        f"{prior.parameter} is stated, {prior.distribution}"
        for priors in design.priors.cor.values()
        for prior in priors
        if prior.distribution.family == "equal"
    ]
    obstacles += _of_series(design)
    crossed = _crossed_effects(design)
    if crossed > MOST_CROSSED:
        obstacles.append(f"crossed factors have {crossed:,} effects, more than the {MOST_CROSSED:,} it takes at once")
    return obstacles


def _of_series(design: Design) -> list[str]:
    """Return what keeps residuals that correlate over a patient's sessions from the engine."""
    import numpy as np  # not needed to look at a model

    serial = [e for e in design.equations if e.serial]
    autocorrelated = [e for e in serial if e.series is not None]
    priors = {prior.distribution for prior in design.priors.shapes.get("ar", ())}
    found = []
    if autocorrelated and design.residual is not None:
        found.append(f"residuals of {autocorrelated[0].outcome} correlate over sessions, and others by themselves")
    if len(priors) > 1:
        found.append("autocorrelations have different priors")
    for e in serial:
        patient = np.unique(e.patient, return_inverse=True)[1]
        for group in e.groups:
            level = np.where(group.inside, group.code, -1)
            if len(np.unique(np.column_stack([patient, level]), axis=0)) > len(np.unique(patient)):
                found.append(
                    f"residuals of {e.outcome} correlate over sessions, and sessions of one patient are of several "
                    f"levels of {group.factor}"
                )
    if design.residual is not None and _tables(design) > MOST_TABLES:
        found.append(f"visits are missing in so many ways that it takes more than {MOST_TABLES:,} tables")
    return found


def _tables(design: Design) -> int:
    """Return how many pairs of visits there are over the ways in which visits are missing."""
    held = getattr(design.residual, "held", None)
    if held is None:
        return 0
    import numpy as np

    size = np.unique(held, axis=0).sum(axis=1)
    return int((size * (size + 1) // 2).sum())


def _crossed_effects(design: Design) -> int:
    """Return the number of effects of factors that cross, which a dense block holds."""
    if len(design.factors) < 2:
        return 0
    from bayes_alliance.collapse.rows import lay_out  # not needed to look at a model

    crossed = [design.factors[place] for place in lay_out(design).crossed]
    return sum(len(factor.levels) * len(factor.effects) for factor in crossed)


def say_obstacles(obstacles: list[str]) -> str:
    """Return one sentence on what stands in the way."""
    return f"The exact engine cannot fit this model: {'; '.join(obstacles)}."
