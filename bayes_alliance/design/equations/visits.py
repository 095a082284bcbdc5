"""Visits whose residuals have a covariance of their own: who was seen when, and whether that is enough to tell it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, first_few, number_text, quote
from bayes_alliance.design.columns.variables import Variable, not_a_factor
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.residual_sd import ResidualSD
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.names import level_label
from bayes_alliance.spec.model import ModelSpec

LEAST: Final = 3
"""Patients that a visit, and a pair of visits, must have for their SD and correlation to be told."""


@dataclass(frozen=True, eq=False)
class VisitResiduals:
    """The rows of an outcome by patient and visit; residuals of a patient's visits correlate, each pair by itself.

    ``labels`` names the visits in order, ``week[7]``; ``place`` of shape (patient, visit) holds each row's place, -1
    where a patient lacks a visit; ``patient`` and ``visit`` of shape (obs,) point into it. ``by`` labels strata with
    covariances of their own; ``stratum`` of shape (patient,) points into them.
    """

    outcome: str
    labels: tuple[str, ...]
    place: np.ndarray
    patient: np.ndarray
    visit: np.ndarray
    stratum: np.ndarray
    by: tuple[str, ...] = ()

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Return the outcome, the only one whose residuals correlate."""
        return (self.outcome,)

    @property
    def row_strata(self) -> tuple[np.ndarray, ...]:
        """Return the stratum of every row, shape (obs,), of its outcome."""
        return (self.stratum[self.patient],)

    @property
    def fixed(self) -> None:
        """Return None: correlations between visits are estimated."""

    @property
    def held(self) -> np.ndarray:
        """Return which visits each patient has, shape (patient, visit)."""
        return self.place >= 0

    def patterns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the stratum of each pattern of visits, which visits it has, and each patient's pattern."""
        table, code = np.unique(np.column_stack([self.stratum, self.held]), axis=0, return_inverse=True)
        return table[:, 0].astype(np.int64), table[:, 1:].astype(bool), code.reshape(-1).astype(np.int64)


def visit_sds(
    outcome: Variable, column: str, session: np.ndarray, by: Variable | None, keep: np.ndarray
) -> tuple[tuple[ResidualSD, ...], np.ndarray]:
    """Return a residual SD for every visit (and level of ``by``) that rows have, and each row's place in them.

    ``column`` is what the study calls the session; ``session`` and ``keep`` have shape (row,).
    """
    numbers, visit = np.unique(session[keep], return_inverse=True)
    visits = [(column, number_text(number)) for number in numbers]
    if by is None or by.levels is None:
        return tuple(ResidualSD(outcome.label, (one,)) for one in visits), visit.astype(np.int64)
    level = by.values[keep].astype(np.int64)
    found, code = np.unique(np.column_stack([level, visit]), axis=0, return_inverse=True)
    sds = (ResidualSD(outcome.label, (visits[j], (by.label, by.levels[i]))) for i, j in found)
    return tuple(sds), code.reshape(-1).astype(np.int64)


def check_visits(
    outcome: Variable, column: str, rows: tuple[np.ndarray, np.ndarray], by: Variable | None, instead: str
) -> Iterator[Problem]:
    """Yield what keeps rows from telling a covariance of visits.

    Parameters
    ----------
    outcome : Variable
        Whose residuals correlate.
    column : str
        What the study calls the session.
    rows : tuple of ndarray, each of shape (row,)
        Patient and session of the rows used.
    by : Variable, optional
        Over the same rows; its levels have covariances of their own.
    instead : str
        The registered model for studies that lack patients, empty where none is named.
    """
    if by is not None and by.levels is None:
        yield not_a_factor("[residual] by", by, "covariances")
        return
    moving = [] if by is None else _who_moves(rows[0], by)
    if by is not None and moving:
        yield Problem(
            f"{count_of(len(moving), 'patient')} {are(len(moving), 'changes', 'change')} {by.label!r} between "
            f"visits: {first_few(moving)}. The covariance of a patient's visits is that of one level.",
            where="[residual] by",
        )
        return
    yield from _check(line_up_visits(outcome.label, column, rows, by), instead)


def make_visits(spec: ModelSpec, equation: EquationDesign, column: str, findings: Findings) -> VisitResiduals:
    """Line up the rows of an outcome by patient and visit, and say how many there are."""
    name = spec.residual_by(equation.spec)
    by = None if name is None else equation.variables[name]
    found = line_up_visits(equation.outcome, column, (equation.patient, equation.session), by)
    findings.note(_say(found))
    return found


def line_up_visits(
    outcome: str, column: str, rows: tuple[np.ndarray, np.ndarray], by: Variable | None
) -> VisitResiduals:
    """Return rows, given by patient and session, by patient and visit."""
    patient, names = pd.factorize(rows[0])
    numbers, visit = np.unique(rows[1], return_inverse=True)
    stratum = np.zeros(len(names), dtype=np.int64)
    if by is not None:
        stratum[patient] = by.values.astype(np.int64)
    levels = () if by is None or by.levels is None else tuple(level_label(by.label, level) for level in by.levels)
    labels = tuple(level_label(column, number_text(number)) for number in numbers)
    place = _places(patient, visit, (len(names), len(labels)))
    return VisitResiduals(outcome, labels, place, patient, visit, stratum, levels)


def visits_kept(visits: VisitResiduals, keep: np.ndarray) -> VisitResiduals:
    """Return the visits that are left where ``keep`` of shape (obs,) says which rows are; patients may have none."""
    patient, visit = visits.patient[keep], visits.visit[keep]
    return replace(visits, place=_places(patient, visit, visits.place.shape), patient=patient, visit=visit)


def _places(patient: np.ndarray, visit: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the place of the row of each patient and visit, -1 where there is none."""
    place = np.full(shape, -1, dtype=np.int64)
    place[patient, visit] = np.arange(len(patient))
    return place


def _who_moves(patient: np.ndarray, by: Variable) -> list[str]:
    """Return the patients whose rows are of several levels."""
    levels = pd.DataFrame({"patient": patient, "level": by.values}).groupby("patient")["level"].nunique()
    return [repr(str(one)) for one in levels.index[levels > 1]]


def _check(visits: VisitResiduals, instead: str) -> Iterator[Problem]:
    """Yield that there is one visit, or what keeps the rows from telling a covariance, in all strata at once."""
    where = f'residuals = "unstructured" of {visits.outcome!r}'
    if len(visits.labels) < 2:
        fix = "Leave residuals out of the equation."
        yield Problem("every row is of one visit, and nothing correlates with it.", where=where, fix=fix)
        return
    wrong = {label: _too_few(visits, visits.held[visits.stratum == i]) for i, label in enumerate(visits.by or ("",))}
    wrong = {label: what for label, what in wrong.items() if what}
    if wrong:
        shared = ", or one covariance for all, without [residual] by" if visits.by else ""
        named = f" For such a study there is the model {instead!r}." if instead else ""
        yield Problem(
            f"{'; '.join(f'in {label} {what}' if label else what for label, what in wrong.items())}.",
            where=where,
            fix=f'Choose residuals = "ar1", or independent residuals and (1 + session | patient){shared}. Or leave out '
            f"visits that few patients have.{named}",
        )


def _too_few(visits: VisitResiduals, held: np.ndarray) -> str:
    """Return what the patients of a stratum are too few for, empty where they are not."""
    size = len(visits.labels)
    patients, rows, parameters = len(held), int(held.sum()), size * (size + 1) // 2
    if patients <= size or rows < parameters:
        return (
            f"{count_of(size, 'visit')} have {parameters} variances and correlations, more than "
            f"{count_of(rows, 'row')} of {count_of(patients, 'patient')} tell (it takes more patients than visits, and "
            "as many rows as parameters)"
        )
    few = [f"{visits.labels[i]} ({n})" for i, n in enumerate(held.sum(axis=0)) if n < LEAST]
    if few:
        return f"too few patients have a row of {first_few(few)}: a visit's SD needs {LEAST} or more"
    both = {(i, j): int((held[:, i] & held[:, j]).sum()) for i, j in combinations(range(size), 2)}
    apart = [f"{visits.labels[i]} and {visits.labels[j]} ({n})" for (i, j), n in both.items() if n < LEAST]
    return f"too few patients have both {first_few(apart)}: a correlation needs {LEAST} or more" if apart else ""


def _say(visits: VisitResiduals) -> str:
    """Return how many visits and parameters there are, and how many patients have all visits."""
    size, whole = len(visits.labels), int(visits.held.all(axis=1).sum())
    each = f" in each of {quote(visits.by)}" if visits.by else ""
    return (
        f"{visits.outcome}: {count_of(size, 'visit')} with {size} residual SDs and {size * (size - 1) // 2} "
        f"correlations{each}; {whole:,} of {count_of(len(visits.place), 'patient')} have every visit, the others count "
        "with those they have."
    )
