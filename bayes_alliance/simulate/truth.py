"""The parameters a model is simulated from, named as in summaries, and the check that none is missing or unknown."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import combinations

from bayes_alliance._messages import quote, unknown
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.latent_columns import FollowSteps
from bayes_alliance.errors import SpecError
from bayes_alliance.findings import Problem
from bayes_alliance.names import RESIDUAL, cor_name, sd_name
from bayes_alliance.outcome.families import FAMILY
from bayes_alliance.spec.parameters import SHAPES

UNIT = tuple(dict.fromkeys(f"{p.name}[" for family in FAMILY.values() for p in family.parameters if p.link == "logit"))
"""Beginnings of the names of parameters that are probabilities."""


def truth_names(design: Design) -> tuple[str, ...]:
    """Return the names of every parameter of a model, as ``summarize`` names them."""
    names = [f"b[{label}]" for own in design.linear_predictors for label in own.coef_labels]
    for factor in design.factors:
        strata = ("",) if factor.by is None else factor.by.labels
        names += [entry_of(sd_name(factor.factor), stratum, label) for stratum in strata for label in factor.effects]
    for factor in design.factors:
        for stratum in ("",) if factor.by is None else factor.by.labels:
            pairs = [pair for block in factor.blocks for pair in combinations(block.members, 2)]
            effects = factor.effects
            names += [correlation_name(factor.factor, stratum, effects[i], effects[j]) for i, j in pairs]
    names += [f"sigma[{label}]" for e in design.equations if e.kind.spread for label in e.sigma_coef]
    names += [f"{shape}[{e.outcome}]" for shape in SHAPES for e in design.equations if shape in e.shapes]
    names += [f"threshold[{label}]" for e in design.equations for label in e.threshold_labels]
    for e in design.equations:
        for follow in e.follows.values():
            if isinstance(follow, FollowSteps):
                names += [entry_of(follow.name, step) for step in follow.steps]
    residual = design.residual
    if residual is not None and residual.fixed is None:
        for stratum in residual.by or ("",):
            names += [correlation_name(RESIDUAL, stratum, *pair) for pair in combinations(residual.outcomes, 2)]
    return tuple(names)


def entry_of(variable: str, *labels: str) -> str:
    """Return the name of an entry of a variable by its labels; empty ones are left out."""
    return f"{variable}[{' | '.join(label for label in labels if label)}]"


def correlation_name(factor: str, stratum: str, one: str, two: str) -> str:
    """Return the name of the correlation of two group effects (or residuals), given by their labels."""
    return entry_of(cor_name(factor), stratum, one, two)


def check_truth(truth: Mapping[str, float], names: tuple[str, ...]) -> None:
    """Raise unless the truth has exactly these parameters, with values they can take.

    Raises
    ------
    SpecError
        With every problem, and the template to fill in.
    """
    problems = [unknown("parameter", name, names, "truth") for name in truth if name not in names]
    missing = [name for name in names if name not in truth]
    if missing:
        problems.append(Problem(f"no value for {quote(missing)}.", where="truth"))
    for name, value in truth.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            problems.append(Problem(f"{name} must be a finite number; it is {value!r}.", where="truth"))
        elif name.startswith(("sd_", "sigma[")) and value < 0:
            problems.append(Problem(f"{name} is an SD and cannot be below 0; it is {value:g}.", where="truth"))
        elif name.startswith("ar["):
            if not -1 < value < 1:
                problems.append(Problem(f"{name} is a correlation, between -1 and 1; it is {value:g}.", where="truth"))
        elif name.startswith(UNIT):
            if not 0 < value < 1:
                problems.append(Problem(f"{name} is a probability, between 0 and 1; it is {value:g}.", where="truth"))
        elif name.startswith(("step_", *(f"{shape}[" for shape in SHAPES))) and value <= 0:
            problems.append(Problem(f"{name} must be above 0; it is {value:g}.", where="truth"))
        elif name.startswith("cor_") and not -1 <= value <= 1:
            problems.append(Problem(f"{name} is a correlation, from -1 to 1; it is {value:g}.", where="truth"))
    for steps in {name.partition("[")[0] for name in names if name.startswith("step_")}:
        total = sum(float(truth.get(name, 0.0)) for name in names if name.partition("[")[0] == steps)
        if not missing and abs(total - 1) > 1e-6:
            problems.append(
                Problem(f"{steps} are shares of the way and add up to 1; they add up to {total:g}.", where="truth")
            )
    if problems:
        lines = [f"{json.dumps(name, ensure_ascii=False)} = {truth.get(name, '...')}" for name in names]
        raise SpecError([*problems, "Fill in this template:\n[truth]\n" + "\n".join(lines)])
