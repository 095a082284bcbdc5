"""Which outcome predicts which: the order of equations, and circles."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

from bayes_alliance.spec.model import EquationSpec, ModelSpec
from bayes_alliance.spec.variables_read import current_values_in, modelled_in


def predicting_outcomes(spec: ModelSpec, equation: EquationSpec) -> tuple[str, ...]:
    """Return the other outcomes an equation reads at the same row; earlier sessions make no order."""
    terms = equation.parsed.every_term
    read = {name for term in terms for part in term.parts for name in current_values_in(part)}
    return tuple(outcome for outcome in spec.outcomes if outcome in read and outcome != equation.outcome)


def sort_outcomes(spec: ModelSpec) -> tuple[str, ...]:
    """Return the outcomes, each after those that predict it, otherwise in the order of the file.

    Raises
    ------
    CycleError
        If outcomes predict each other in a circle; ``find_cycle`` names it.
    """
    read = {e.outcome: predicting_outcomes(spec, e) for e in spec.equation}
    return tuple(TopologicalSorter(read).static_order())


def find_cycle(spec: ModelSpec, *, lags: bool = False) -> tuple[str, ...]:
    """Return outcomes that predict each other in a circle, the first one again at the end; nothing without one.

    With ``lags`` what is read at earlier sessions, and the mean that an outcome is taken less, counts too.
    """
    read = {
        e.outcome: [o for o in spec.outcomes if o in e.variables and o != e.outcome]
        if lags
        else predicting_outcomes(spec, e)
        for e in spec.equation
    }
    try:
        TopologicalSorter(read).prepare()
    except CycleError as error:
        return tuple(error.args[1])
    return ()


def modelled_by(equation: EquationSpec) -> tuple[str, ...]:
    """Return the outcomes an equation reads as they are modelled, at any session."""
    terms = equation.parsed.every_term
    return tuple(dict.fromkeys(name for term in terms for part in term.parts for name in modelled_in(part)))


def sort_modelled(spec: ModelSpec) -> tuple[str, ...]:
    """Return the outcomes, each after those it reads as they are modelled, otherwise in the order of the file.

    Raises
    ------
    CycleError
        If they read each other in a circle.
    """
    read = {e.outcome: [name for name in modelled_by(e) if name in spec.outcomes] for e in spec.equation}
    return tuple(TopologicalSorter(read).static_order())


def find_ancestors(spec: ModelSpec) -> dict[str, frozenset[str]]:
    """Return, per outcome, the outcomes that predict it, at first or second hand."""
    direct = {equation.outcome: predicting_outcomes(spec, equation) for equation in spec.equation}
    found: dict[str, frozenset[str]] = {}
    for outcome in sort_outcomes(spec):
        reach = set(direct[outcome])
        for parent in direct[outcome]:
            reach |= found[parent]
        found[outcome] = frozenset(reach)
    return found
