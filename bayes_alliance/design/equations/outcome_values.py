"""What a study states about an outcome's values: its bounds and its trials; and whether the values go with them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bayes_alliance._messages import count_of
from bayes_alliance.design.columns.rows import Rows
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.outcome.scale import ObservedOutcome
from bayes_alliance.spec.model import EquationSpec, ModelSpec
from bayes_alliance.spec.validation import bounds_problems
from bayes_alliance.spec.variables_read import values_in
from bayes_alliance.study import Study
from bayes_alliance.table.sessions import SessionTable


def state_bounds(spec: ModelSpec, study: Study[SessionTable], findings: Findings) -> ModelSpec:
    """Return the model with the bounds the study states for its outcomes, where the model leaves them open.

    A declared first(x), last(x), at(x, …) or window(x, …) has the bounds of x.
    """
    equations = []
    for equation in spec.equation:
        name, call = equation.outcome, spec.declared.get(equation.outcome)
        if call is not None and call.function in ("first", "last", "at", "window"):
            name = next(values_in(call.arguments[0]), name)
        column = study.column(name)
        bounds = study.sessions.bounds.get(column)
        if equation.kind.bounds == "none":
            equations.append(equation)
            continue
        if equation.bounds is None and bounds is None and equation.kind.bounds == "needed":
            findings.problem(
                f"Outcome {equation.outcome!r} (column {column!r}) is {equation.family} and its bounds are not known.",
                fix=f"State the ends of its scale when the table is read: bounds={{{column!r}: (low, high)}}.",
            )
        if equation.bounds is not None and bounds is not None and equation.bounds != bounds:
            findings.problem(
                f"the model states bounds {list(equation.bounds)}, and the table {list(bounds)} for column {column!r}.",
                where=f"Outcome {equation.outcome!r}",
                fix="State them once.",
            )
        equations.append(equation.model_copy(update={"bounds": equation.bounds or bounds}))
    findings.add([problem for equation in equations for problem in bounds_problems(equation)])
    return spec.model_copy(update={"equation": tuple(equations)})


def observed_outcome(
    label: str,
    values: np.ndarray,
    equation: EquationSpec,
    trials: np.ndarray | None,
    rows: Rows | None = None,
) -> ObservedOutcome:
    """Return the values of an outcome with what its equation states about them."""
    name, place = (None, None) if rows is None else (rows.name_of, np.arange(len(rows)))
    return ObservedOutcome(label, values, equation.bounds, trials, str(equation.trials), name, place)


def check_outcome(observed: ObservedOutcome, equation: EquationSpec, ledger: Mapping[str, int]) -> list[Problem]:
    """Report an outcome with no rows, without spread, or with values its family does not have."""
    if len(observed.values):
        return equation.kind.check(observed)
    why = "; ".join(f"{count_of(count, 'row')}: {reason}" for reason, count in ledger.items())
    return [
        Problem(f"No row has outcome {observed.label!r} and every predictor; nothing can be fitted. Left out: {why}.")
    ]


def find_trials(equation: EquationSpec, variables: Mapping[str, Variable], size: int) -> np.ndarray | None:
    """Return what the successes of every row are out of, or None where the family has no trials."""
    if equation.trials is None:
        return None
    if isinstance(equation.trials, str):
        return variables[equation.trials].values
    return np.full(size, float(equation.trials))
