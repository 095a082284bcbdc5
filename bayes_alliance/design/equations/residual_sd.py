"""Residual SDs of an equation: one for all rows, one per level of a factor, and that of rows that start a series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bayes_alliance._messages import are, count_of
from bayes_alliance.design.columns.variables import Variable, not_a_factor
from bayes_alliance.findings import Findings
from bayes_alliance.names import coef_label, level_label
from bayes_alliance.spec.model import EquationSpec

FIRST = "first"
"""Labels the residual SD of rows that start a series."""


def find_spread(equation: EquationSpec, variables: Mapping[str, Variable], findings: Findings) -> Variable | None:
    """Return the factor whose levels have residual SDs of their own, or None where there is none."""
    if equation.sigma_factor is None:
        return None
    variable = variables[equation.sigma_factor]
    if variable.levels is None:
        number = not_a_factor("sigma", variable, "residual SDs")
        formula = f'Or let the log SD change with the number: sigma = "1 + {variable.name}".'
        findings.add([replace(number, fix=f"{number.fix} {formula}")])
    return variable


@dataclass(frozen=True)
class ResidualSD:
    """One of the residual SDs of an equation: of all its rows, of those of a level, or of those that start a series.

    ``variable`` and ``level`` are the study's names, empty where it is not that of a level.
    """

    outcome: str
    variable: str = ""
    level: str = ""
    first: bool = False

    @property
    def label(self) -> str:
        """Return its coord of ``sigma``."""
        if self.first:
            return coef_label(self.outcome, FIRST)
        return coef_label(self.outcome, level_label(self.variable, self.level)) if self.variable else self.outcome


def list_residual_sds(
    outcome: Variable, sigma: Variable | None, keep: np.ndarray, starts: np.ndarray, findings: Findings
) -> tuple[tuple[ResidualSD, ...], np.ndarray]:
    """Return the residual SDs and each row's place in them; rows that start a series have their own."""
    if sigma is None or sigma.levels is None:
        found: tuple[ResidualSD, ...] = (ResidualSD(outcome.label),)
        code = np.zeros(int(keep.sum()), dtype=np.int64)
    else:
        present, place = np.unique(sigma.values[keep].astype(np.int64), return_inverse=True)
        code = place.astype(np.int64)
        found = tuple(ResidualSD(outcome.label, sigma.label, sigma.levels[i]) for i in present)
    first = starts[keep]
    number = int(first.sum())
    if not number:
        return found, code
    findings.note(
        f"{outcome.label}: {count_of(number, 'row')} {are(number, 'starts', 'start')} a series (a first session, or "
        f"one after a gap) and {are(number, 'varies', 'vary')} around the model-implied mean with an SD of their own, "
        f"sigma[{coef_label(outcome.label, FIRST)}]."
    )
    return (*found, ResidualSD(outcome.label, first=True)), np.where(first, len(found), code)
