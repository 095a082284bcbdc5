"""The parameters a model is simulated from, named as in summaries, and the check that none is missing or unknown."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Final

from bayes_alliance._messages import quote, unknown
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.factors import FactorDesign, find_factor
from bayes_alliance.design.equations.latent_columns import FollowSteps
from bayes_alliance.design.posterior_variables import Kind, PosteriorVariable, list_variables
from bayes_alliance.errors import SpecError
from bayes_alliance.findings import Problem
from bayes_alliance.names import RESIDUAL, cor_name
from bayes_alliance.spec.parameters import AUTOCORRELATION, PROBABILITIES

TRUE_KINDS: Final[frozenset[Kind]] = frozenset(
    {"coefficient", "sd", "correlation", "residual sd", "family parameter", "threshold", "step"}
)
"""Kinds of parameters that studies are simulated from."""


@dataclass(frozen=True)
class TrueParameter:
    """A parameter that a study is simulated from: its name in summaries, and the posterior variable it is in."""

    name: str
    variable: PosteriorVariable


def true_parameters(design: Design) -> tuple[TrueParameter, ...]:
    """Return every parameter of a model that a study is simulated from, as ``summarize`` names them."""
    return tuple(
        TrueParameter(entry_of(variable.name, *labels), variable)
        for variable in list_variables(design)
        if variable.kind in TRUE_KINDS
        for labels in _labels(design, variable)
    )


def truth_names(design: Design) -> tuple[str, ...]:
    """Return the names of every parameter of a model that a study is simulated from."""
    return tuple(parameter.name for parameter in true_parameters(design))


def _labels(design: Design, variable: PosteriorVariable) -> Iterator[tuple[str, ...]]:
    """Yield the labels of a variable's entries: stratum, then what it is of."""
    match variable.kind:
        case "coefficient":
            yield from ((label,) for own in design.linear_predictors for label in own.coef_labels)
        case "sd":
            factor = find_factor(design.factors, variable.owner)
            yield from product(_strata(factor), factor.effects)
        case "correlation" if variable.owner == RESIDUAL:
            residual = design.residual
            if residual is not None and residual.fixed is None:
                for stratum in residual.by or ("",):
                    yield from ((stratum, *pair) for pair in combinations(residual.labels, 2))
        case "correlation":
            factor = find_factor(design.factors, variable.owner)
            for stratum in _strata(factor):
                for block in factor.blocks:
                    for i, j in combinations(block.members, 2):
                        yield stratum, factor.effects[i], factor.effects[j]
        case "residual sd":
            yield from ((label,) for e in design.equations if e.kind.spread for label in e.sigma_coef)
        case "family parameter":
            yield from ((e.outcome,) for e in design.equations if variable.owner in e.shapes)
        case "threshold":
            yield from ((label,) for e in design.equations for label in e.threshold_labels)
        case "step":
            follows = [follow for e in design.equations for follow in e.follows.values()]
            steps = [one.steps for one in follows if isinstance(one, FollowSteps) and one.name == variable.name]
            yield from ((step,) for step in steps[0])
        case _:
            raise ValueError(f"No study is simulated from a {variable.kind}.")


def _strata(factor: FactorDesign) -> tuple[str, ...]:
    return ("",) if factor.by is None else factor.by.labels


def entry_of(variable: str, *labels: str) -> str:
    """Return the name of an entry of a variable by its labels; empty ones are left out."""
    return f"{variable}[{' | '.join(label for label in labels if label)}]"


def correlation_name(factor: str, stratum: str, one: str, two: str) -> str:
    """Return the name of the correlation of two group effects (or residuals), given by their labels."""
    return entry_of(cor_name(factor), stratum, one, two)


def check_truth(truth: Mapping[str, float], parameters: Sequence[TrueParameter]) -> None:
    """Raise unless the truth has exactly these parameters, with values they can take.

    Raises
    ------
    SpecError
        With every problem, and the template to fill in.
    """
    known = {parameter.name: parameter.variable for parameter in parameters}
    problems = [unknown("parameter", name, known, "truth") for name in truth if name not in known]
    missing = [name for name in known if name not in truth]
    if missing:
        problems.append(Problem(f"no value for {quote(missing)}.", where="truth"))
    for name, value in truth.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            problems.append(Problem(f"{name} must be a finite number; it is {value!r}.", where="truth"))
        elif name in known:
            wrong = _impossible(known[name], value)
            problems += [Problem(f"{name} {wrong}; it is {value:g}.", where="truth")] if wrong else []
    for variable in dict.fromkeys(own for own in known.values() if own.kind == "step"):
        total = sum(float(truth.get(name, 0.0)) for name, own in known.items() if own == variable)
        if not missing and abs(total - 1) > 1e-6:
            shares = f"{variable.name} are shares of the way and add up to 1; they add up to {total:g}."
            problems.append(Problem(shares, where="truth"))
    if problems:
        lines = [f"{json.dumps(name, ensure_ascii=False)} = {truth.get(name, '...')}" for name in known]
        template = Problem("Fill in this template:\n[truth]\n" + "\n".join(lines))
        raise SpecError([*problems, template])


def _impossible(variable: PosteriorVariable, value: float) -> str:
    """Return what a parameter must be where a value is none it can have, empty otherwise."""
    match variable.kind:
        case "sd" | "residual sd":
            return "is an SD and cannot be below 0" if value < 0 else ""
        case "correlation":
            return "is a correlation, from -1 to 1" if not -1 <= value <= 1 else ""
        case "family parameter" if variable.owner == AUTOCORRELATION:
            return "is a correlation, between -1 and 1" if not -1 < value < 1 else ""
        case "family parameter" if variable.owner in PROBABILITIES:
            return "is a probability, between 0 and 1" if not 0 < value < 1 else ""
        case "family parameter" | "step":
            return "must be above 0" if value <= 0 else ""
        case _:
            return ""
