"""Which models the exact engine can fit, and what stands in its way in the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayes_alliance.spec.expressions import Term, Text, calls_in, render, render_term
from bayes_alliance.spec.functions import CURRENT
from bayes_alliance.spec.model import EquationSpec, ModelSpec

if TYPE_CHECKING:
    from bayes_alliance.design.design import Design

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
        parsed = equation.parsed
        varying = [render_term(term) for group in parsed.groups for term in group.terms if _estimated(term)]
        if varying:
            obstacles.append(_vary(equation.outcome, varying))
        obstacles += _of_steps(equation)
    obstacles += [f"rows belong to several levels of {name}" for name, group in spec.groups.items() if group.members]
    obstacles += [_shrunk_loadings(name, own) for name, own in _shrunk_estimated(spec).items()]
    for prior in spec.prior:
        if prior.target.kind in ("b", "intercept") and prior.distribution.family != "normal":
            obstacles.append(f"the prior {prior.dist} on {prior.on!r} is not normal")
        if prior.target.kind == "cor" and prior.distribution.family == "equal":
            obstacles.append(f"{prior.on!r} is stated, {prior.dist}")
    return obstacles


def find_stream_obstacles(spec: ModelSpec) -> list[str]:
    """Return what keeps a model from being fitted to rows that come in pieces, as far as the model says."""
    obstacles = find_obstacles(spec)
    obstacles += [f"coefficients share the prior {name}, which takes all rows at once" for name in spec.shrink]
    for equation in spec.equation:
        estimated = [render_term(term) for term in equation.parsed.every_term if _estimated(term)]
        if estimated:
            several = "follow" if len(estimated) > 1 else "follows"
            told = f"{' and '.join(estimated)} of {equation.outcome} {several} what is estimated"
            obstacles.append(f"{told}, which takes all rows at once")
        if equation.modelled:
            what = "true scores" if equation.measured else "missing values"
            obstacles.append(f"{what} of {equation.outcome} are modelled, which takes all rows at once")
    return obstacles


def _estimated(term: Term) -> bool:
    """Return whether a term reads a latent mean, a modelled value, or what another equation says."""
    calls = [call for part in term.parts for call in calls_in(part)]
    named = any(call.function in (*CURRENT, "mi", "me") for call in calls)
    return named or _says(term, "latent") or _says(term, "finite")


def _says(term: Term, kind: str) -> bool:
    return any(Text(kind) in dict(call.keywords).values() for part in term.parts for call in calls_in(part))


def _of_steps(equation: EquationSpec) -> list[str]:
    terms = equation.parsed.every_term
    calls = [render(c) for term in terms for part in term.parts for c in calls_in(part) if c.function == "mo"]
    return [f"the steps of {call} are estimated" for call in dict.fromkeys(calls)]


def _shrunk_estimated(spec: ModelSpec) -> dict[str, list[str]]:
    """Return the terms of what is estimated whose coefficients share a shrinkage prior, by the prior's name."""
    every = {render_term(term): term for equation in spec.equation for term in equation.parsed.terms}
    found = {}
    for name, shrink in spec.shrink.items():
        own = [term for term in shrink.terms if term in every and _estimated(every[term])]
        if own:
            found[name] = own
    return found


def _shrunk_loadings(name: str, terms: Sequence[str]) -> str:
    told = f"coefficients of {' and '.join(terms)} share the prior {name}"
    return f"{told}, and multiply what is estimated"


def _formula_of_spread(outcome: str) -> str:
    return f"the residual SD of {outcome} follows a formula"


def _not_gaussian(outcome: str, family: str) -> str:
    return f"{outcome} is {family}, not Gaussian"


def _vary(outcome: str, terms: Sequence[str]) -> str:
    told = f"coefficients of {' and '.join(terms)} vary between units of {outcome}"
    return f"{told}, and multiply what is estimated"


def find_design_obstacles(design: Design) -> list[str]:
    """Return what keeps a design from the exact engine: one phrase per term; empty where nothing does."""
    obstacles = []
    for equation in design.equations:
        if not equation.kind.normal:
            obstacles.append(_not_gaussian(equation.outcome, equation.family))
        elif equation.parameters:
            obstacles.append(_formula_of_spread(equation.outcome))
        obstacles += _of_steps(equation.spec)
        varying = [
            label
            for group in equation.groups
            for label, latent in zip(group.columns.labels, group.columns.latent, strict=True)
            if latent
        ]
        if varying:
            obstacles.append(_vary(equation.outcome, varying))
    obstacles += [
        f"rows belong to several levels of {name}" for name, group in design.spec.groups.items() if group.members
    ]
    obstacles += _of_shrinkage(design)
    for prior in design.priors.coef:
        if prior.distribution.family != "normal" and prior.distribution.support != "shrunk":
            obstacles.append(f"the prior of {prior.parameter}, {prior.distribution}, is not normal")
    obstacles += [
        f"{prior.parameter} is stated, {prior.distribution}"
        for priors in design.priors.cor.values()
        for prior in priors
        if prior.distribution.family == "equal"
    ]
    obstacles += _of_series(design)
    return obstacles or _of_layout(design)


def _of_shrinkage(design: Design) -> list[str]:
    """Return which coefficients with a prior in common multiply something estimated."""
    if not design.priors.shrunk:
        return []
    from bayes_alliance.collapse.loadings import make_index  # not needed to look at a model

    loading = make_index(design).loading
    labels = np.array([label for e in design.equations for label in e.coef_labels])
    own = [(group.name, np.unique(group.places[loading[group.places] >= 0])) for group in design.priors.shrunk]
    return [_shrunk_loadings(name, labels[places].tolist()) for name, places in own if len(places)]


def _of_layout(design: Design) -> list[str]:
    """Return what the rows of a design have in the engine's way whose terms have nothing."""
    from bayes_alliance.collapse.loadings import NotLinearError, is_split  # not needed to look at a model
    from bayes_alliance.collapse.stack import lay_out

    if len(design.factors) < 2 and not is_split(design):  # nothing can cross
        return []
    try:
        layout = lay_out(design)
    except NotLinearError as error:
        return [str(error)]
    crossed = sum(layout.sizes[place] for place in layout.crossed)
    pieces = [len(part.residuals.pieces) for part in layout.classes]
    found = []
    if crossed > MOST_CROSSED:
        found.append(f"crossed factors have {crossed:,} effects, more than the {MOST_CROSSED:,} it takes at once")
    if sum(size * (size + 1) // 2 for size in pieces) > MOST_TABLES:
        found.append(f"what is estimated is multiplied in so many ways that it takes more than {MOST_TABLES:,} tables")
    return found


def _of_series(design: Design) -> list[str]:
    """Return what keeps residuals that correlate over a patient's sessions from the engine."""
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
    size = np.unique(held, axis=0).sum(axis=1)
    return int((size * (size + 1) // 2).sum())


def say_exact(spec: ModelSpec) -> str:
    """Return one sentence on what is sampled of a model without obstacles."""
    multiplied = any(_estimated(term) for equation in spec.equation for term in equation.parsed.every_term)
    more = ", correlations and coefficients of what is estimated" if multiplied else " and correlations"
    return f"Population and group effects are integrated out exactly; only variances{more} are sampled."


def say_obstacles(obstacles: list[str]) -> str:
    """Return one sentence on what stands in the way."""
    return f"The exact engine cannot fit this model: {'; '.join(obstacles)}."
