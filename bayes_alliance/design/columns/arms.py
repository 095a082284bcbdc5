"""The condition over the rows of an equation: what counts and shares are stated by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bayes_alliance._messages import first_few
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.spec.expressions import render_term
from bayes_alliance.spec.model import EquationSpec


@dataclass(frozen=True, eq=False)
class Arms:
    """The condition over the rows: ``code`` of shape (obs,) points into ``levels``."""

    label: str
    levels: tuple[str, ...]
    code: np.ndarray


def count_by_arm(rows: np.ndarray, levels: Sequence[str], code: np.ndarray) -> str:
    """Return the counts of chosen rows per arm, in brackets after a space; nothing where no row is chosen."""
    if not rows.any():
        return ""
    return f" ({first_few([f'{level}: {int((rows & (code == i)).sum())}' for i, level in enumerate(levels)])})"


def find_arms(equation: EquationSpec, variables: Mapping[str, Variable], keep: np.ndarray) -> Arms | None:
    """Return the condition: that factor, else one that tells where a gate is on, else the gate, else a factor."""
    factors = [variable for variable in variables.values() if variable.levels and variable.name != "session"]
    gate = _gate(equation, variables, keep)
    named = [variable for variable in factors if variable.name == "condition"]
    telling = [v for v in factors if gate is not None and _determines(v.values[keep], gate.code)]
    candidates = named or telling or (factors if gate is None else [])
    if not candidates:
        return gate
    chosen = candidates[0]
    return Arms(chosen.label, chosen.levels or (), np.nan_to_num(chosen.values[keep], nan=0).astype(np.int64))


def _determines(factor: np.ndarray, gate: np.ndarray) -> bool:
    """Return whether a gate is the same in all rows of each level."""
    return all(np.ptp(gate[factor == level]) == 0 for level in np.unique(factor))


def _gate(equation: EquationSpec, variables: Mapping[str, Variable], keep: np.ndarray) -> Arms | None:
    """Return the two arms told apart by the only variable of a group term ``(0 + x | factor)``."""
    for group in equation.parsed.groups:
        names = [render_term(term) for term in group.terms]
        if not group.intercept and len(names) == 1 and names[0] in variables:
            values, label = variables[names[0]].values[keep], variables[names[0]].label
            if variables[names[0]].levels is None and np.isin(values, (0.0, 1.0)).all() and np.ptp(values) > 0:
                return Arms(label, (f"{label} = 0", f"{label} = 1"), values.astype(np.int64))
    return None
