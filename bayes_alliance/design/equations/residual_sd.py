"""Residual SDs of an equation: one for all rows, one per level of a factor, and that of rows that start a series."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bayes_alliance._messages import are, count_of, number_text
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
    """One of the residual SDs of an equation: of all its rows, of those of levels, or of those that start a series.

    ``levels`` are the columns and levels that its rows have, in the study's names: of a factor, or of a visit and an
    arm, where covariances differ between arms. Empty where it is that of all rows, or of those that start a series.
    """

    outcome: str
    levels: tuple[tuple[str, str], ...] = ()
    first: bool = False

    @property
    def label(self) -> str:
        """Return its coord of ``sigma``."""
        if self.first:
            return coef_label(self.outcome, FIRST)
        return coef_label(self.outcome, self.effect) if self.levels else self.outcome

    @property
    def effect(self) -> str:
        """Return whose rows it is of, ``week[7]:arm[CBT]``; empty where it is that of all."""
        return ":".join(level_label(column, level) for column, level in self.levels)


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
        found = tuple(ResidualSD(outcome.label, ((sigma.label, sigma.levels[i]),)) for i in present)
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


def place_rows(
    sds: Sequence[ResidualSD], variables: Iterable[Variable], numbers: Mapping[str, np.ndarray], size: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return which of the residual SDs each row has, and the levels that none was estimated for.

    Parameters
    ----------
    sds : sequence of ResidualSD
        All but that of rows that start a series are looked at.
    variables : iterable of Variable
        Those of the rows, looked up by the study's names.
    numbers : mapping of str to ndarray, shape (row,)
        Numbers whose text is a level, for columns that no variable plays: the session.
    size : int
        How many rows there are.
    """
    places = {own.levels: place for place, own in enumerate(sds) if not own.first}
    columns = [column for column, _ in next((levels for levels in places if levels), ())]
    if not columns:
        return np.zeros(size, dtype=np.int64), ()
    texts = {variable.label: _texts(variable) for variable in variables if variable.label in columns}
    texts |= {c: [number_text(n) for n in numbers[c]] for c in columns if c not in texts}
    rows = [tuple(zip(columns, row, strict=True)) for row in zip(*(texts[c] for c in columns), strict=True)]
    lacking = dict.fromkeys(ResidualSD("", row).effect for row in rows if row not in places)
    return np.array([places.get(row, -1) for row in rows], dtype=np.int64), tuple(lacking)


def _texts(variable: Variable) -> list[str]:
    if variable.levels is None:
        return [number_text(value) for value in variable.values]
    return [variable.levels[int(value)] for value in variable.values]
