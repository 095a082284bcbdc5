"""Which terms read what is set, and which cannot be worked out then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bayes_alliance._messages import quote
from bayes_alliance.design.columns.functions import functions_around
from bayes_alliance.design.columns.values import CallColumns
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.errors import FitError
from bayes_alliance.findings import Problem
from bayes_alliance.spec.expressions import Call, Name, Term, calls_in, names_in, render, render_term


def check_terms(
    equation: EquationDesign, terms: Sequence[Term], moved: Mapping[str, Variable], calls: Mapping[str, CallColumns]
) -> set[str]:
    """Return the terms that read what is set, by their text.

    Raises
    ------
    FitError
        If a call that is not set itself reads what is set, and reads it in other rows, too.
    """
    reading = {render_term(term): term for term in terms if reads(term, moved, calls)}
    for term in reading.values():
        for part in term.parts:
            _check_part(equation, part, moved, calls)
    return set(reading)


def _check_part(
    equation: EquationDesign, part: Name | Call, moved: Mapping[str, Variable], calls: Mapping[str, CallColumns]
) -> None:
    text = render(part)
    around = functions_around(part)
    if text in calls or not around:
        return
    inside = [render(call) for call in calls_in(part) if render(call) in calls]
    earlier = isinstance(part, Call) and part.function == "lag"
    if inside and not earlier:
        raise FitError(
            Problem(f"{quote(inside)} is set, and stands in {text}, too.", fix="Set that, too, or the variable in it.")
        )
    if set(names_in(part)) & set(moved):
        raise FitError(
            Problem(
                f"{text} reads other rows ({', '.join(around)}), so {quote(list(moved))} cannot be set in it.",
                fix=f"Set {text!r} itself. Slopes and comparisons of a number have part= for that.",
            )
        )
    if text not in equation.calls:
        raise FitError(f"{text} reads other rows ({', '.join(around)}), and its own values were not kept.")


def reads(term: Term, moved: Mapping[str, Variable], calls: Mapping[str, CallColumns] | None = None) -> bool:
    """Return whether a term reads one of the variables, or a call that is set."""
    return any(
        bool(set(names_in(part)) & set(moved)) or any(render(call) in (calls or {}) for call in calls_in(part))
        for part in term.parts
    )
