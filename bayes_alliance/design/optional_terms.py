"""Group terms a study may lack: taken out of the spec, and said so."""

from __future__ import annotations

from collections.abc import Sequence

from bayes_alliance.findings import Findings
from bayes_alliance.names import ROLES
from bayes_alliance.spec.expressions import Formula, render_group, write_formula
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.study import Study
from bayes_alliance.table.sessions import SessionTable


def resolve_optional(
    spec: ModelSpec, study: Study[SessionTable], findings: Findings
) -> tuple[ModelSpec, tuple[str, ...]]:
    """Return the spec without the optional group terms the study has no column for, and the factors left out."""
    dropped: list[str] = []
    equations = []
    for equation in spec.equation:
        formula = equation.parsed
        lacking = [
            factor for factor in equation.factors if spec.group(factor).optional and not _available(factor, study)
        ]
        if lacking:
            gone = [render_group(group) for group in formula.groups if group.factor in lacking]
            update: dict[str, object] = {"formula": _without(formula, lacking)}
            formulas = {name: _without(own.parsed, lacking) for name, own in equation.parameters.items()}
            update |= {"sigma": formulas.pop("sigma")} if "sigma" in formulas else {}
            update["formulas"] = formulas
            for name, own in equation.parameters.items():
                parted = [render_group(group) for group in own.parsed.groups if group.factor in lacking]
                gone += [f"{group} of {name}" for group in parted]
            equations.append(equation.model_copy(update=update))
            start = f"{equation.outcome}: the" if len(spec.equation) > 1 else "The"
            findings.note(f"{start} study has no {', '.join(lacking)}; left out of the model: {', '.join(gone)}.")
            dropped += lacking
        else:
            equations.append(equation)
    groups = {factor: group for factor, group in spec.groups.items() if factor not in dropped}
    made = spec.model_copy(update={"equation": tuple(equations), "groups": groups})
    read = {name for equation in equations for name in made.variables_of(equation)}
    variables = {name: call for name, call in spec.variables.items() if name in read}
    return made.model_copy(update={"variables": variables}), tuple(dropped)


def _without(formula: Formula, lacking: Sequence[str]) -> str:
    kept = tuple(group for group in formula.groups if group.factor not in lacking)
    return write_formula(Formula(formula.intercept, formula.terms, kept))


def _available(factor: str, study: Study[SessionTable]) -> bool:
    """Return whether the study has the factor: a role counts where it was declared, whatever its columns are called."""
    return all(
        part in study.sessions.roles if part in ROLES else part in study.columns or part in study.sessions.frame.columns
        for part in factor.split(":")
    )
