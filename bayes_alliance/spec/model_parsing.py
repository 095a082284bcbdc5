"""Plain data to a model: every problem at once, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Any

from pydantic import ValidationError

from bayes_alliance._messages import shorten, unknown
from bayes_alliance.errors import SpecError
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.spec.formula import parse_call, parse_formula
from bayes_alliance.spec.functions import VARIABLE_FUNCTIONS
from bayes_alliance.spec.labels import parse_estimand, parse_label
from bayes_alliance.spec.measurement import write_out_errors
from bayes_alliance.spec.model import FORMULAS, EquationSpec, EstimandSpec, ModelSpec, PriorSpec, ShrinkSpec
from bayes_alliance.spec.parts import GroupSpec, ResidualSpec
from bayes_alliance.spec.priors import parse_distribution, parse_target
from bayes_alliance.spec.shrinkage import spell_terms
from bayes_alliance.spec.validation import validate_model

MOST: Mapping[str, int] = {
    "equation": 50,
    **dict.fromkeys(("variables", "labels", "estimands", "groups", "shrink", "prior"), 500),
}
"""How many equations, and entries of each table, a model may have; everything that reads a model takes at least their
number squared."""


def make_model(content: Mapping[str, object], where: str = "") -> ModelSpec:
    """Make a model from plain data, reporting every problem at once.

    Parameters
    ----------
    content : mapping
        What a TOML model file holds, as ``tomllib`` reads it.
    where : str
        Name of the file, for the message.

    Raises
    ------
    SpecError
        For an unknown key, a wrong type, a formula, variable, label, estimand or prior that does not parse, a
        ``[groups]`` entry that no formula uses, outcomes that predict each other in a circle, an estimand that
        multiplies paths through a non-linear link; for more equations or entries than ``MOST`` allows.
    """
    if not isinstance(content, Mapping):
        raise SpecError(f"A model is made from tables and their keys, not from {shorten(content)}.", where)
    problems = [
        Problem(f"a model may have {most}; this one has {len(part):,}.", where=key)
        for key, most in MOST.items()
        if isinstance(part := content.get(key), Sized) and len(part) > most
    ]
    if problems:
        raise SpecError(problems, where)
    try:
        spec = ModelSpec.model_validate(dict(content))
    except ValidationError as error:
        raise SpecError([_as_problem(detail) for detail in error.errors()], where) from None
    findings = Findings()
    findings.add(_language_problems(spec))
    if not findings.problems:
        spec = spell_terms(write_out_errors(spec, findings))
    if not findings.problems:
        findings.add(validate_model(spec))
    findings.stop(SpecError, where)
    return spec


def _language_problems(spec: ModelSpec) -> list[Problem]:
    """Collect what the parsers refuse."""
    problems: list[Problem] = []

    def collect(parse: Callable[[str], object], text: str) -> None:
        try:
            parse(text)
        except SpecError as error:
            problems.extend(error.problems)

    for equation in spec.equation:
        collect(parse_formula, equation.formula)
        for own in equation.parameters.values():
            collect(parse_formula, own.formula)
    for text in spec.variables.values():
        collect(lambda t: parse_call(t, VARIABLE_FUNCTIONS), text)
    for text in spec.labels.values():
        collect(parse_label, text)
    for estimand in spec.estimands.values():
        collect(parse_estimand, estimand.value)
    for prior in spec.prior:
        collect(parse_target, prior.on)
        collect(parse_distribution, prior.dist)
    return problems


_VALID_KEYS: Mapping[str, Sequence[str]] = {
    "": tuple(ModelSpec.model_fields),
    "equation": (*(name for name in EquationSpec.model_fields if name != "formulas"), *FORMULAS),
    "groups": tuple(GroupSpec.model_fields),
    "estimands": tuple(EstimandSpec.model_fields),
    "residual": tuple(ResidualSpec.model_fields),
    "shrink": tuple(ShrinkSpec.model_fields),
    "prior": tuple(PriorSpec.model_fields),
}


def _as_problem(detail: Mapping[str, Any]) -> Problem:
    """Turn one pydantic finding into a problem."""
    finding = dict(detail)
    location = list(finding["loc"])
    if location[:2] == ["residual", "fixed"]:
        del location[2:3]  # names the form the value was read as
    if location[-2:-1] == ["reliability"]:
        del location[-1]
    path = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    table = str(location[0]) if len(location) > 1 else ""
    if finding["type"] == "extra_forbidden":
        return unknown("key", str(location[-1]), _VALID_KEYS.get(table, ()), path)
    if finding["type"] == "missing":
        return Problem("required key is missing.", where=path)
    if finding["type"] == "literal_error":
        allowed = finding["ctx"]["expected"]
        return Problem(f"{shorten(finding['input'])} is not allowed.", path, f"Valid: {allowed}.")
    return Problem(f"{finding['msg']} (found {shorten(finding['input'])}).", where=path)
