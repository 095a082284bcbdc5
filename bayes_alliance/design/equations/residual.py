"""Residuals of one row that correlate between outcomes: who is observed beside whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayes_alliance._messages import count_of
from bayes_alliance.design.columns.variables import not_a_factor
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.visits import VisitResiduals, make_visits
from bayes_alliance.findings import Findings
from bayes_alliance.names import level_label
from bayes_alliance.spec.equation_order import sort_outcomes
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.parts import ResidualSpec


@dataclass(frozen=True, eq=False)
class Beside:
    """The rows of one outcome beside those of the correlated outcomes before it.

    ``patterns`` lists which earlier outcomes (by their place in the order) some row has; ``pattern`` of shape (obs,)
    points into it; ``places`` gives per earlier outcome each row's position among that outcome's rows, 0 where it
    has none; ``stratum`` of shape (obs,) points into the strata.
    """

    patterns: tuple[tuple[int, ...], ...]
    pattern: np.ndarray
    places: tuple[np.ndarray, ...]
    stratum: np.ndarray


@dataclass(frozen=True, eq=False)
class ResidualDesign:
    """Outcomes whose residuals of the same row correlate, in an order in which none predicts an earlier one.

    A row that lacks some of the outcomes counts with those it has. ``by`` labels strata with correlations of their
    own; ``fixed`` are stated correlations, shape (outcome, outcome).
    """

    outcomes: tuple[str, ...]
    beside: Mapping[str, Beside]
    by: tuple[str, ...] = ()
    fixed: np.ndarray | None = None

    @property
    def row_strata(self) -> tuple[np.ndarray, ...]:
        """Return the stratum of every row, shape (obs,), outcome by outcome."""
        return tuple(beside.stratum for beside in self.beside.values())

    @property
    def labels(self) -> tuple[str, ...]:
        """Return what the matrix of correlations is over."""
        return self.outcomes


type Residuals = ResidualDesign | VisitResiduals
"""What ``cor_residual`` is over: outcomes of a row, or visits of a patient."""


def join_residuals(
    spec: ModelSpec, equations: Sequence[EquationDesign], session: str, findings: Findings
) -> Residuals | None:
    """Line up the rows whose residuals correlate: of the outcomes named, or of an outcome over a patient's visits.

    ``session`` is what the study calls the session.
    """
    for equation in equations:
        if equation.spec.residuals == "unstructured":
            return make_visits(spec, equation, session, findings)
    if spec.residual is None or not spec.residual.correlate:
        return None
    order = [outcome for outcome in sort_outcomes(spec) if outcome in spec.residual.correlate]
    chosen = [next(e for e in equations if e.spec.outcome == outcome) for outcome in order]
    strata = _strata(spec.residual.by, chosen, findings)
    if strata is None and spec.residual.by is not None:
        return None
    none = [np.zeros(len(equation.row), dtype=np.int64) for equation in chosen]
    beside = line_up(chosen, strata.code if strata is not None else none)
    _say_overlap(chosen, findings)
    by = strata.labels if strata is not None else ()
    return ResidualDesign(tuple(e.outcome for e in chosen), beside, by, _stated(spec.residual, order))


def _stated(residual: ResidualSpec, outcomes: Sequence[str]) -> np.ndarray | None:
    """Return stated correlations as a matrix over outcomes, shape (outcome, outcome); None where estimated."""
    if residual.fixed is None:
        return None
    matrix = np.eye(len(outcomes))
    for (one, two), value in residual.pairs.items():
        i, j = outcomes.index(one), outcomes.index(two)
        matrix[i, j] = matrix[j, i] = value
    return matrix


def line_up(chosen: Sequence[EquationDesign], strata: Sequence[np.ndarray]) -> dict[str, Beside]:
    """Return the rows of each outcome beside those of the outcomes before it; ``strata`` are codes over their rows."""
    beside = {}
    for number, equation in enumerate(chosen):
        places, present = [], []
        for earlier in chosen[:number]:
            at = pd.Index(earlier.row).get_indexer(equation.row)
            places.append(np.maximum(at, 0))
            present.append(at >= 0)
        held = np.array(present, dtype=bool).reshape(number, len(equation.row)).T
        patterns, pattern = np.unique(held, axis=0, return_inverse=True) if number else (held[:1], np.zeros(len(held)))
        beside[equation.outcome] = Beside(
            tuple(tuple(int(i) for i in np.flatnonzero(row)) for row in patterns),
            np.asarray(pattern, dtype=np.int64).reshape(-1),
            tuple(places),
            strata[number],
        )
    return beside


@dataclass(frozen=True, eq=False)
class _RowStrata:
    labels: tuple[str, ...]
    code: tuple[np.ndarray, ...]


def _strata(name: str | None, chosen: Sequence[EquationDesign], findings: Findings) -> _RowStrata | None:
    if name is None:
        return None
    variables = [equation.variables[name] for equation in chosen]
    if any(variable.levels is None for variable in variables):
        findings.add([not_a_factor("[residual] by", variables[0], "correlations")])
        return None
    levels = tuple(dict.fromkeys(level for variable in variables for level in variable.levels or ()))
    codes = []
    for variable in variables:
        moved = np.array([levels.index(level) for level in variable.levels or ()], dtype=np.int64)
        codes.append(moved[variable.values.astype(np.int64)])
    return _RowStrata(tuple(level_label(variables[0].label, level) for level in levels), tuple(codes))


def _say_overlap(chosen: Sequence[EquationDesign], findings: Findings) -> None:
    """Say how many rows have which outcomes; two that never meet have no correlation."""
    for number, one in enumerate(chosen):
        for two in chosen[number + 1 :]:
            both = len(np.intersect1d(one.row, two.row))
            if both < 3:
                findings.problem(
                    f"{count_of(both, 'row')} {'has' if both == 1 else 'have'} both {one.outcome!r} and "
                    f"{two.outcome!r}; a correlation needs three or more.",
                    where="[residual] correlate",
                )
            elif both < max(len(one.row), len(two.row)):
                findings.note(
                    f"Residuals of {one.outcome} and {two.outcome} correlate in {count_of(both, 'row')} with both; "
                    f"{count_of(len(one.row) - both, 'row')} with {one.outcome} and "
                    f"{count_of(len(two.row) - both, 'row')} with {two.outcome} alone count by themselves."
                )
