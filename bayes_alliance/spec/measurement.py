"""me(x, ...) written out: an equation of the true scores, observed with error, and mi(x) where they are read."""

from __future__ import annotations

from collections.abc import Mapping

from bayes_alliance._messages import quote, unknown
from bayes_alliance.findings import Findings
from bayes_alliance.names import COEFFICIENTS
from bayes_alliance.spec.expressions import (
    Call,
    Expression,
    Formula,
    GroupTerm,
    Name,
    Number,
    Operation,
    Term,
    calls_in,
    render,
    render_term,
    write_formula,
)
from bayes_alliance.spec.formula import parse_formula
from bayes_alliance.spec.labels import LabelTarget, parse_label
from bayes_alliance.spec.model import EquationSpec, ModelSpec

UNITS = ("session", "patient", "therapist", "group", "site")


def write_out_errors(spec: ModelSpec, findings: Findings) -> ModelSpec:
    """Return a model in which every me() is an equation of its own, without predictors, read by mi().

    A true score that should depend on anything (and it should, where other predictors go with it) is an equation
    stated in full: ``error`` or ``reliability`` beside its formula, and ``mi(x)`` where it is read.

    Parameters
    ----------
    spec : ModelSpec
        Its formulas parse.
    problems : list of str
        Collects calls that say nothing, or two things.
    """
    found: dict[Call, EquationSpec] = {}
    for equation in spec.equation:
        for call in _calls(equation):
            made = _equation_of(call, equation, spec, findings)
            if made is not None and found.setdefault(call, made).unit != made.unit:
                findings.problem(
                    f"{render(call)} stands in equations of different units, {found[call].unit} and {made.unit}.",
                    fix="State unit= of what was measured.",
                )
    if not found or findings.problems:
        return spec
    by_name: dict[str, EquationSpec] = {}
    for call, made in found.items():
        if by_name.setdefault(made.outcome, made) != made:
            findings.problem(
                f"the model states another error of {made.outcome!r} elsewhere.", where=render(call), fix="State one."
            )
    written = {call: Call("mi", (Name(made.outcome),)) for call, made in found.items()}
    equations = [_rewritten(equation, written) for equation in spec.equation]
    return spec.model_copy(
        update={
            "equation": (*by_name.values(), *equations),
            "labels": {name: _label(text, written) for name, text in spec.labels.items()},
            "shrink": {
                name: s.model_copy(update={"terms": tuple(_term_text(term, written) for term in s.terms)})
                for name, s in spec.shrink.items()
            },
            "prior": tuple(
                prior.model_copy(update={"on": _replaced(prior.on, written)}) if "me(" in prior.on else prior
                for prior in spec.prior
            ),
        }
    )


def _calls(equation: EquationSpec) -> list[Call]:
    terms = equation.parsed.every_term
    return [call for term in terms for part in term.parts for call in calls_in(part) if call.function == "me"]


def _equation_of(call: Call, reader: EquationSpec, spec: ModelSpec, told: Findings) -> EquationSpec | None:
    """Return the equation of the true scores behind a call."""
    names = sorted(argument.name for argument in call.arguments if isinstance(argument, Name))
    stated = dict(call.keywords)
    unit = stated.get("unit", Name(reader.unit))
    findings = Findings()
    if len(names) < len(call.arguments):
        findings.problem(
            "me() takes variables of the table.",
            where=render(call),
            fix=(
                "For deviations from a patient's mean give the variable an equation with (1 | patient) and an "
                'error, and read within(mi(x), patient, means="latent").'
            ),
        )
    taken = [name for name in names if name in spec.outcomes]
    if taken:
        findings.problem(
            f"{quote(taken)} has an equation.",
            where=render(call),
            fix="State its reliability or error there, and write mi().",
        )
    if len(names) > 1 and stated.keys() & {"reliability", "sd"}:
        findings.problem(
            "the agreement of several raters tells the error of each.",
            where=render(call),
            fix="Leave reliability and sd out.",
        )
    if len(names) == 1 and len(stated.keys() & {"reliability", "sd"}) != 1:
        findings.problem(
            "the error of a score is stated once.",
            where=render(call),
            fix="State reliability=0.8, or sd= as a number or a column. Several raters are me(rater_1, rater_2).",
        )
    if not isinstance(unit, Name) or unit.name not in UNITS:
        findings.add([unknown("unit", render(unit), UNITS, render(call))])
    update: dict[str, object] = {}
    for key, value in (("reliability", stated.get("reliability")), ("error", stated.get("sd"))):
        if isinstance(value, Number):
            good = 0 < value.value <= 1 if key == "reliability" else value.value > 0
            update[key] = value.value
            if not good:
                allowed = "above 0 and at most 1" if key == "reliability" else "above 0"
                findings.problem(f"{value.value:g} is no {key}; it is {allowed}.", where=render(call))
        elif isinstance(value, Name) and (key == "error" or value.name in COEFFICIENTS):
            update[key] = value.name
        elif key == "reliability" and value is not None:
            findings.problem(
                f"{render(value)} is no reliability.",
                where=render(call),
                allowed=f"A number above 0 and at most 1, or one of {', '.join(COEFFICIENTS)}.",
            )
        elif value is not None:
            findings.problem(f"{render(value)} is no {key}.", where=render(call))
    told.add(findings.problems)
    if findings.problems or not isinstance(unit, Name):
        return None
    outcome = "_".join(names)
    raters = {"raters": names} if len(names) > 1 else {}
    return EquationSpec.model_validate({"outcome": outcome, "unit": unit.name, "formula": "1", **update, **raters})


def _rewritten(equation: EquationSpec, written: Mapping[Call, Call]) -> EquationSpec:
    if not _calls(equation):
        return equation
    formula = equation.parsed
    made = Formula(
        formula.intercept,
        tuple(_term(term, written) for term in formula.terms),
        tuple(
            GroupTerm(g.factor, g.intercept, tuple(_term(term, written) for term in g.terms), g.correlated)
            for g in formula.groups
        ),
    )
    return equation.model_copy(update={"formula": write_formula(made)})


def _term(term: Term, written: Mapping[Call, Call]) -> Term:
    parts = (_expression(part, written) for part in term.parts)
    return Term(tuple(part for part in parts if isinstance(part, Name | Call)))


def _expression(expression: Expression, written: Mapping[Call, Call]) -> Expression:
    match expression:
        case Call() if expression in written:
            return written[expression]
        case Call(function, arguments, keywords):
            return Call(function, tuple(_expression(argument, written) for argument in arguments), keywords)
        case Operation(operator, left, right):
            return Operation(operator, _expression(left, written), _expression(right, written))
    return expression


def _label(text: str, written: Mapping[Call, Call]) -> str:
    if "me(" not in text:
        return text
    target = parse_label(text)
    parts = frozenset((_replaced(part, written), piece) for part, piece in target.parts)
    return str(LabelTarget(target.outcome, parts))


def _term_text(text: str, written: Mapping[Call, Call]) -> str:
    """Return a term as it is written once me() is an equation."""
    if "me(" not in text:
        return text
    terms = parse_formula(text).terms
    return render_term(_term(terms[0], written)) if len(terms) == 1 else text


def _replaced(text: str, written: Mapping[Call, Call]) -> str:
    for call, other in written.items():
        text = text.replace(render(call), render(other))
    return text
