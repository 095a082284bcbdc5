"""Claims about values that are modelled: missing outcomes, errors of measurement, and who reads them as what."""

from __future__ import annotations

from graphlib import CycleError

from bayes_alliance._messages import quote
from bayes_alliance.findings import Problem
from bayes_alliance.spec.equation_order import modelled_by, sort_modelled
from bayes_alliance.spec.expressions import Call, Name, calls_in, render
from bayes_alliance.spec.model import EquationSpec, ModelSpec
from bayes_alliance.spec.variables_read import as_observed_in


def check_modelled(spec: ModelSpec) -> list[Problem]:
    """Report modelled values that no family or formula here can have, and reads of them that are not what they say."""
    modelled = {equation.outcome for equation in spec.equation if equation.modelled}
    problems = [problem for equation in spec.equation for problem in _equation(spec, equation)]
    for equation in spec.equation:
        for part in _parts(equation):
            problems += _reads(equation, part, modelled, spec)
        if equation.outcome in modelled_by(equation):
            problems.append(
                Problem(
                    f"The equation of {equation.outcome!r} reads mi({equation.outcome}), its own modelled values.",
                    fix=(
                        "Use deviations from a latent mean instead: "
                        f'lag(within({equation.outcome}, patient, means="latent")).'
                    ),
                )
            )
    if not problems:
        try:
            sort_modelled(spec)
        except CycleError as error:
            problems.append(
                Problem(
                    f"mi() makes a circle: {' -> '.join(error.args[1])}. Modelled values of one outcome may "
                    "depend on those of another, at this session or earlier ones, and not on each other."
                )
            )
    return problems


def _equation(spec: ModelSpec, equation: EquationSpec) -> list[Problem]:
    where, problems = f"Equation of {equation.outcome!r}", []
    stated = [
        name
        for name, value in (
            ("reliability", equation.reliability),
            ("error", equation.error),
            ("raters", equation.raters or None),
        )
        if value is not None
    ]
    if len(stated) > 1:
        problems.append(
            Problem(f"{' and '.join(stated)} all say how far scores lie from the truth.", where=where, fix="State one.")
        )
    if len(equation.raters) == 1 or len(set(equation.raters)) < len(equation.raters):
        problems.append(
            Problem(
                f"raters = {list(equation.raters)}; two different variables or more are needed to tell the error.",
                where=where,
            )
        )
    if isinstance(equation.error, str) and equation.error in spec.outcomes:
        problems.append(Problem(f"error = {equation.error!r} is an outcome, not the SD of an error.", where=where))
    if equation.outcome in equation.raters:
        problems.append(Problem("the true score is not a rater.", where=where, fix="Give it a name of its own."))
    if equation.modelled and not equation.kind.normal:
        what = 'missing = "model"' if not equation.measured else stated[0]
        problems.append(
            Problem(
                f"{what} needs a gaussian outcome, not {equation.family}: other values cannot be parameters "
                "of a sampler that moves continuously.",
                where=where,
            )
        )
    if equation.modelled and equation.centre:
        problems.append(
            Problem(
                "centre and modelled values do not go together.", where=where, fix="Use centred() in what reads it."
            )
        )
    if equation.modelled and spec.residual is not None and equation.outcome in spec.residual.correlate:
        problems.append(
            Problem(
                "residuals of modelled values cannot correlate with others.", where=where, fix="Leave one of them out."
            )
        )
    return problems


def _reads(equation: EquationSpec, part: Name | Call, modelled: set[str], spec: ModelSpec) -> list[Problem]:
    problems = []
    plain = [name for name in dict.fromkeys(as_observed_in(part)) if name in modelled and name != equation.outcome]
    if plain:
        problems.append(
            Problem(
                f"{render(part)} in the equation of {equation.outcome!r} reads {quote(plain)} as observed, and the "
                "model has missing or true values of it.",
                fix=f"Write mi({plain[0]}).",
            )
        )
    for call in calls_in(part):
        argument = call.arguments[0] if call.arguments else None
        if call.function in ("mi", "mo") and not isinstance(argument, Name):
            problems.append(Problem(f"{call.function}() takes a variable, not an expression.", where=render(call)))
        elif call.function == "mi" and isinstance(argument, Name) and argument.name not in modelled:
            problems.append(
                Problem(
                    f"no equation says what {argument.name!r} is where it is missing or measured with error.",
                    where=render(call),
                    fix=(
                        f'Add one with outcome = "{argument.name}" and missing = "model" (or reliability, error, '
                        "raters)."
                    ),
                )
            )
        elif call.function == "mo" and isinstance(argument, Name) and argument.name in spec.outcomes:
            problems.append(
                Problem(
                    f"{argument.name!r} is an outcome of the model.", where=render(call), fix="Take it as a number."
                )
            )
    return problems


def _parts(equation: EquationSpec) -> list[Name | Call]:
    terms = equation.parsed.every_term
    return [part for term in terms for part in term.parts]
