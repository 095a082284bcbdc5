"""The parameters a model is simulated from, named as in summaries, and the check that none is missing or unknown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations

from bayes_alliance._messages import quote, unknown
from bayes_alliance.design.design import EquationDesign
from bayes_alliance.errors import SpecError
from bayes_alliance.names import cor_name, sd_name


def truth_names(equation: EquationDesign) -> tuple[str, ...]:
    """Return the names of every parameter of an equation, as ``summarize`` names them."""
    names = [f"b[{label}]" for label in equation.coef_labels]
    for group in equation.groups:
        names += [f"{sd_name(group.factor)}[{label}]" for label in equation.effect_labels(group)]
    for group in equation.groups:
        labels = equation.effect_labels(group)
        for block in group.blocks:
            names += [correlation_name(group.factor, labels[i], labels[j]) for i, j in combinations(block.members, 2)]
    if equation.family == "gaussian":
        names += [f"sigma[{label}]" for label in equation.sigma_coef]
    return tuple(names)


def correlation_name(factor: str, one: str, two: str) -> str:
    """Return the name of the correlation of two group effects, given by their labels."""
    return f"{cor_name(factor)}[{one} | {two}]"


def check_truth(truth: Mapping[str, float], names: tuple[str, ...]) -> None:
    """Raise unless the truth has exactly these parameters, with values they can take.

    Raises
    ------
    SpecError
        With every problem, and the template to fill in.
    """
    problems = [f"truth: {unknown('parameter', name, names)}" for name in truth if name not in names]
    missing = [name for name in names if name not in truth]
    if missing:
        problems.append(f"truth: no value for {quote(missing)}.")
    for name, value in truth.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            problems.append(f"truth: {name} must be a finite number; it is {value!r}.")
        elif name.startswith(("sd_", "sigma[")) and value < 0:
            problems.append(f"truth: {name} is an SD and cannot be below 0; it is {value:g}.")
        elif name.startswith("cor_") and not -1 <= value <= 1:
            problems.append(f"truth: {name} is a correlation, from -1 to 1; it is {value:g}.")
    if problems:
        lines = [f'"{name}" = {truth.get(name, "...")}' for name in names]
        raise SpecError([*problems, "Fill in this template:\n[truth]\n" + "\n".join(lines)])
