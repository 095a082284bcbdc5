"""Reliability by name: the error of a score from its items, by the coefficient of the level that it is read at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bayes_alliance._messages import quote
from bayes_alliance.design.columns.declared import summarised
from bayes_alliance.design.columns.rows import Rows
from bayes_alliance.design.columns.variables import column_for
from bayes_alliance.design.equations.complete_rows import Source
from bayes_alliance.design.groups.groups import GroupDesign
from bayes_alliance.findings import Findings
from bayes_alliance.names import SESSION, Coefficient
from bayes_alliance.spec.expressions import Call, Number
from bayes_alliance.spec.model import EquationSpec
from bayes_alliance.table.reliability import error_of_scores
from bayes_alliance.table.sessions import SessionTable

_ONE_SESSION: tuple[Coefficient, ...] = ("alpha", "omega")


def named_error(
    equation: EquationSpec,
    rows: Rows,
    keep: np.ndarray,
    source: Source,
    groups: Sequence[GroupDesign],
    findings: Findings,
) -> np.ndarray:
    """Return the SD of the error of every row kept, shape (obs,), by the coefficient that the equation names.

    Which coefficient is right depends on what the outcome is (Cranford et al. 2006): R_C says how reliable differences
    between a patient's sessions are, R_KF means over a patient's sessions, alpha and omega the score of one session.
    Another one is refused. A mean over k sessions has the error of one session divided by the square root of k, each
    patient's own; one of fewer items, because others were not answered, has more error.
    """
    assert isinstance(equation.reliability, str)
    coefficient, name, table = equation.reliability, equation.outcome, source.study.sessions
    call = source.spec.declared.get(name)
    base = name if call is None else summarised(call)
    column = table.roles.get(base, column_for(base, source.study))
    nothing = np.zeros(int(keep.sum()))
    if column not in table.scales:
        findings.problem(
            f"{coefficient} is worked out from items, and column {column!r} is no score that was made of items.",
            where=f"reliability of {name!r}",
            allowed=f"Scores of items: {quote(table.scales)}." if table.scales else "",
            fix="Make it one when the table is read (scores=, --score), or state a number, as a simulation needs it.",
        )
        return nothing
    what, right = _level(equation, call, groups)
    if coefficient not in right:
        findings.problem(
            f"{coefficient} is not the reliability of {what}.",
            where=f"reliability of {name!r}",
            fix=f"State {' or '.join(right)}." if right else "State the SD of its error.",
        )
        return nothing
    read = _rows_read(equation, call, table, column)
    value, own = error_of_scores(table, column, coefficient, read, findings)
    if np.isnan(value):
        return nothing
    if equation.unit == "session":
        errors = own[rows.position[keep]]
    else:
        people = (
            pd.DataFrame({"patient": table.ids("patient")[read], "square": own[read] ** 2}).groupby("patient").square
        )
        errors = (np.sqrt(people.sum()) / people.size()).reindex(rows.key[keep]).to_numpy(float)
    errors = np.where(np.isnan(errors), 0.0, errors)  # of rows without a score
    held = errors[errors > 0]
    low, high = float(held.min()), float(held.max())
    differ = high - low > 1e-9
    shown = f"{low:.4g} to {high:.4g}" if differ else f"{low:.4g}"
    why = ", by the number of sessions and of items answered" if differ else ""
    told = f"{name}: the {coefficient} of {what} is {value:.3f} by its items"
    findings.note(f"{told}, an error of measurement with SD {shown}{why}.")
    return np.asarray(errors)


def _level(
    equation: EquationSpec, call: Call | None, groups: Sequence[GroupDesign]
) -> tuple[str, tuple[Coefficient, ...]]:
    """Return in words what the outcome is, and the coefficients that are of such a thing."""
    if equation.unit == "session":
        if any("patient" in group.factor.split(":") for group in groups):
            return "differences between a patient's sessions", ("R_C",)
        return "the score of one session", _ONE_SESSION
    if equation.unit == "patient":
        match call.function if call is not None else "":
            case "window":
                return "means over a patient's sessions", ("R_KF",)
            case "first" | "last" | "at" | "":
                return "the score of one session", _ONE_SESSION
            case function:
                return f"{function}()", ()
    return f"a {equation.unit}'s score", ()


def _rows_read(equation: EquationSpec, call: Call | None, table: SessionTable, column: str) -> np.ndarray:
    """Return which rows of the table a score is read of: those of the sessions that are named, with a score."""
    there = table.frame[column].notna().to_numpy()
    number = table.roles.get(SESSION)
    if equation.unit == "session":
        return there
    if call is None or number is None:  # one score per patient, which stands in each of his or her rows
        return there & ~pd.Series(np.where(there, table.ids("patient"), np.arange(len(table)))).duplicated().to_numpy()
    sessions = table.frame[number].to_numpy(float)
    if call.function == "window":
        low, high = call.arguments[1:]
        assert isinstance(low, Number)
        assert isinstance(high, Number)
        return np.asarray(there & (sessions >= low.value) & (sessions <= high.value))
    if call.function == "at":
        where = dict(call.keywords)["session"]
        assert isinstance(where, Number)
        return np.asarray(there & (sessions == where.value))
    ends = pd.Series(np.flatnonzero(there)).groupby(table.ids("patient")[there])
    found = np.zeros(len(table), dtype=bool)
    found[ends.last() if call.function == "last" else ends.first()] = True
    return found
