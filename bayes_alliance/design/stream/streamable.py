"""Which models can be read block by block: those whose every column needs no more than one patient's rows."""

from __future__ import annotations

from dataclasses import replace

from bayes_alliance.findings import Problem
from bayes_alliance.spec.expressions import Name, calls_in, render
from bayes_alliance.spec.model import EquationSpec, ModelSpec


def check_streamable(spec: ModelSpec) -> list[Problem]:
    """Return what keeps a model from being read in blocks of patients, a problem per term."""
    problems = [problem for equation in spec.equation for problem in _check_equation(equation)]
    if spec.residual is not None:
        problems.append(Problem("[residual] correlate lines outcomes of a row up, which a stream does not."))
    if spec.rows == "common" and len(spec.equation) > 1:
        problems.append(Problem('rows = "common" compares rows of equations, which a stream does not.'))
    problems += [
        Problem(f"[groups.{factor}] by = {group.by!r}: a stream has one covariance matrix per factor.")
        for factor, group in spec.groups.items()
        if group.by is not None
    ]
    problems += [
        Problem(f"[variables] {name} = {spec.variables[name]} adds rows.")
        for name, call in spec.declared.items()
        if call.function == "survive"
    ]
    advice = "Read the table whole (read_sessions), or store the value as a column."
    return [replace(problem, fix=advice) for problem in problems]


def _check_equation(equation: EquationSpec) -> list[Problem]:
    problems = []
    if equation.unit != "session":
        problems.append(Problem(f"a stream has a row per session, not per {equation.unit}.", where=equation.outcome))
    if equation.centre is not None:
        problems.append(Problem(f"centre = {equation.centre!r} takes a mean over all rows.", where=equation.outcome))
    if equation.sigma is not None:
        problems.append(
            Problem(f"sigma = {equation.sigma!r}: a stream has one residual SD per outcome.", where=equation.outcome)
        )
    terms = equation.parsed.every_term
    calls = {render(call): call for term in terms for part in term.parts for call in calls_in(part)}
    for text, call in calls.items():
        if call.function in ("centred", "surface"):
            problems.append(Problem(f"{text} takes a mean over all rows."))
        if call.function == "spline" or (call.function == "piecewise" and len(call.arguments) == 1):
            problems.append(
                Problem(f"{text} takes its knots from all rows.", fix="Write piecewise(session, 5, 9), say.")
            )
        units = [arg for arg in (*call.arguments[1:], *dict(call.keywords).values()) if isinstance(arg, Name)]
        if call.function in ("within", "between") and units != [Name("patient")]:
            problems.append(Problem(f"{text} takes means over more than one patient's rows."))
    return problems
