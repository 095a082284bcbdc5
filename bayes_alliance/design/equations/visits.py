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
from bayes_alliance.names import VISITS, level_label
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
    def fixed(self) -> None:
        """Return None: correlations between visits are estimated."""

    @property
    def held(self) -> np.ndarray:
        """Return which visits each patient has, shape (patient, visit)."""
        return self.place >= 0


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


def make_visits(spec: ModelSpec, equation: EquationDesign, column: str, findings: Findings) -> VisitResiduals | None:
    """Line up the rows of an outcome by patient and visit, reporting covariances that the rows cannot tell."""
    name = spec.residual_by(equation.spec)
    by = None if name is None else equation.variables[name]
    if by is not None and by.levels is None:
        findings.add([not_a_factor("[residual] by", by, "covariances")])
        return None
    found = line_up_visits(equation, column, by)
    if by is not None:
        moving = _who_moves(equation, by)
        if moving:
            findings.problem(
                f"{count_of(len(moving), 'patient')} {are(len(moving), 'changes', 'change')} {by.label!r} between "
                f"visits: {first_few(moving)}. The covariance of a patient's visits is that of one level.",
                where="[residual] by",
            )
            return None
    instead = spec.otherwise.get(VISITS, "")
    findings.add([problem for problem in _check(found, instead) if problem is not None])
    findings.note(_say(found))
    return found


def line_up_visits(equation: EquationDesign, column: str, by: Variable | None) -> VisitResiduals:
    """Return the rows of an equation by patient and visit."""
    patient, names = pd.factorize(equation.patient)
    numbers, visit = np.unique(equation.session, return_inverse=True)
    stratum = np.zeros(len(names), dtype=np.int64)
    if by is not None:
        stratum[patient] = by.values.astype(np.int64)
    levels = () if by is None or by.levels is None else tuple(level_label(by.label, level) for level in by.levels)
    labels = tuple(level_label(column, number_text(number)) for number in numbers)
    return VisitResiduals(
        equation.outcome, labels, _places(patient, visit, (len(names), len(labels))), patient, visit, stratum, levels
    )


def visits_kept(visits: VisitResiduals, keep: np.ndarray) -> VisitResiduals:
    """Return the visits that are left where ``keep`` of shape (obs,) says which rows are; patients may have none."""
    patient, visit = visits.patient[keep], visits.visit[keep]
    return replace(visits, place=_places(patient, visit, visits.place.shape), patient=patient, visit=visit)


def _places(patient: np.ndarray, visit: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the place of the row of each patient and visit, -1 where there is none."""
    place = np.full(shape, -1, dtype=np.int64)
    place[patient, visit] = np.arange(len(patient))
    return place


def _who_moves(equation: EquationDesign, by: Variable) -> list[str]:
    """Return the patients whose rows are of several levels."""
    levels = pd.DataFrame({"patient": equation.patient, "level": by.values}).groupby("patient")["level"].nunique()
    return [repr(str(patient)) for patient in levels.index[levels > 1]]


def _check(visits: VisitResiduals, instead: str) -> Iterator[Problem]:
    """Yield covariances that have more parameters than data, visits of few patients, and pairs that few have both."""
    size = len(visits.labels)
    fix = (
        'Choose fewer parameters: residuals = "ar1", or (1 + session | patient) and independent residuals'
        f"{', or one covariance for all, without [residual] by' if visits.by else ''}."
        f"{f' There is the model {instead!r}.' if instead else ''}"
    )
    if size < 2:
        yield Problem(
            "every row is of one visit, and nothing correlates with it.",
            where=_where(visits, ""),
            fix='Leave residuals = "unstructured" out.',
        )
        return
    for number, label in enumerate(visits.by or ("",)):
        held, where = visits.held[visits.stratum == number], _where(visits, label)
        patients, rows, parameters = len(held), int(held.sum()), size * (size + 1) // 2
        few = [f"{visits.labels[i]} ({n})" for i, n in enumerate(held.sum(axis=0)) if n < LEAST]
        apart = [
            f"{visits.labels[i]} and {visits.labels[j]} ({int((held[:, i] & held[:, j]).sum())})"
            for i, j in combinations(range(size), 2)
            if (held[:, i] & held[:, j]).sum() < LEAST
        ]
        if patients <= size or rows < parameters:
            yield Problem(
                f"{count_of(size, 'visit')} have {parameters} variances and correlations, and there are "
                f"{count_of(rows, 'row')} of {count_of(patients, 'patient')}; it takes more patients than visits and "
                "no fewer rows than parameters.",
                where=where,
                fix=fix,
            )
        elif few:
            yield Problem(
                f"too few patients have a row of {first_few(few)}; a visit's SD needs {LEAST} or more.",
                where=where,
                fix=f"Leave these visits out, or number visits by their order. {fix}",
            )
        elif apart:
            yield Problem(
                f"too few patients have both of {first_few(apart)}; a correlation needs {LEAST} or more.",
                where=where,
                fix=f"Leave visits out. {fix}",
            )


def _where(visits: VisitResiduals, stratum: str) -> str:
    return f'residuals = "unstructured" of {visits.outcome!r}{f", {stratum}" if stratum else ""}'


def _say(visits: VisitResiduals) -> str:
    """Return how many visits and parameters there are, and how many patients have all visits."""
    size, whole = len(visits.labels), int(visits.held.all(axis=1).sum())
    each = f" in each of {quote(visits.by)}" if visits.by else ""
    return (
        f"{visits.outcome}: {count_of(size, 'visit')} with {size} residual SDs and {size * (size - 1) // 2} "
        f"correlations{each}; {whole:,} of {count_of(len(visits.place), 'patient')} have every visit, the others count "
        "with those they have."
    )
