"""What plays the visit of a model: a column of the study, or the number of the session as a category."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bayes_alliance._messages import first_few, number_text
from bayes_alliance.design.columns.variables import column_for
from bayes_alliance.findings import Findings
from bayes_alliance.names import SESSION, VISIT
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.study import Study
from bayes_alliance.table.sessions import SessionTable


def resolve_visit(spec: ModelSpec, study: Study[SessionTable], findings: Findings) -> Study[SessionTable]:
    """Return a study in which ``visit`` is the session, as a category, where no column plays it.

    Numbers are read as categories; all are compared with the lowest of those that have an outcome, unless the study
    states another reference.
    """
    readers = [e for e in spec.equation if any(VISIT in own.predictors for own in e.linear_predictors)]
    frame, session = study.sessions.frame, study.sessions.roles.get(SESSION)
    if not readers or VISIT in spec.variables:
        return study
    if VISIT not in study.columns and VISIT not in frame.columns:
        if session is None:
            return study
        study = replace(study, columns={**study.columns, VISIT: session})
    column = frame.get(column_for(VISIT, study))
    if VISIT in study.reference or column is None or column.dtype != np.float64:
        return study
    outcome = frame.get(column_for(readers[0].outcome, study))
    seen = np.unique(column[outcome.notna()] if outcome is not None else column)
    numbers = [number_text(number) for number in seen[~np.isnan(seen)]]
    if not numbers:
        return study
    findings.note(
        f"Visits are the numbers of {column_for(VISIT, study)!r}, {first_few(numbers)}; all are compared with "
        f"{numbers[0]}."
    )
    return replace(study, reference={**study.reference, VISIT: numbers[0]})
