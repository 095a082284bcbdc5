"""Patients who enter late: survive() counts their sessions before the first row as survived."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

from bayes_alliance._messages import are, count_of, first_few
from bayes_alliance.design.columns.column_checks import read_columns
from bayes_alliance.design.columns.survival import SURVIVE, column_in_call, start_of
from bayes_alliance.design.columns.variables import read_words
from bayes_alliance.findings import Findings
from bayes_alliance.spec.expressions import Call, Text, render
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.study import Study
from bayes_alliance.table.sessions import SessionTable

MOST_LATE: Final = 0.2
"""Share of patients up to which late entry is said, not refused."""

CLEARLY: Final = 0.05
"""Two-sided probability, by Fisher's exact test, below which an arm's share differs from that of the others: an exact
test keeps this rate however few enter late. Of more than two arms it is divided by their number."""


def check_entry(
    spec: ModelSpec,
    study: Study[SessionTable],
    findings: Findings,
) -> None:
    """Count the patients whose first row comes after the first session at risk, in the table as it was read.

    Sessions before a patient's first row count as survived, so that the hazard is too low where many enter late, and
    arms are not comparable where more enter late in one of them.
    """
    number = study.sessions.roles.get("session")
    for name, call in spec.declared.items():
        if call.function != SURVIVE or number is None or "entry" in dict(call.keywords):
            continue
        start, last = start_of(call), column_in_call(call, 0, study.sessions, study.columns)
        if last not in study.sessions.frame.columns:
            continue
        frame = pd.DataFrame(
            {
                "patient": study.sessions.ids("patient"),
                "session": study.sessions.frame[number],
                "last": study.sessions.frame[last],
            }
        )
        people = frame.groupby("patient").agg(first=("session", "min"), last=("last", "max"))
        people = people[people["last"] >= start]
        late = people["first"] > start
        if not late.any():
            continue
        shown = [f"{one!r} (session {first:g})" for one, first in people["first"][late].items()]
        found = (
            f"{name}: {count_of(int(late.sum()), 'patient')} of {len(people):,} ({late.mean():.0%}) "
            f"{are(int(late.sum()), 'has', 'have')} no row at session {start}, nor before: {first_few(shown)}. "
            f"{SURVIVE}() counts them at risk from session {start} on"
        )
        apart = _differs_by_arm(late, _arms(spec, study))
        if late.mean() <= MOST_LATE and not apart:
            findings.note(f"{found}; sessions before their first row count as survived.")
            continue
        why = apart or f"more than {MOST_LATE:.0%} are too many for that"
        findings.problem(
            f"{found}, and {why}.",
            fix=(
                f"If they were in treatment then, add their row of session {start}. If they came later, say so: "
                f"{name} = '{_with_entry(call)}' in the model, or as columns= (--columns). entry= is a variable of "
                "patients, too."
            ),
        )


def _with_entry(call: Call) -> str:
    return render(Call(call.function, call.arguments, (("entry", Text("first row")),)))


def _arms(spec: ModelSpec, study: Study[SessionTable]) -> list[tuple[str, pd.Series]]:
    """Return the factors of patients that the model reads, each patient's level by patient."""
    _, factors = read_columns(spec, study)
    patients = pd.Series(study.sessions.ids("patient"))
    return [
        (column, read_words(study.sessions.frame[column]).groupby(patients).first())
        for column in factors
        if study.sessions.units.get(column, "session") != "session"
    ]


def _differs_by_arm(late: pd.Series, arms: Sequence[tuple[str, pd.Series]]) -> str:
    """Return in which arm the share of late entries differs from that of the others, empty where in none."""
    for column, by_patient in arms:
        level = by_patient.reindex(late.index)
        levels = sorted(level.dropna().unique())
        if len(levels) < 2:
            continue
        tests = 1 if len(levels) == 2 else len(levels)
        for one in levels:
            here, rest = late[(level == one).to_numpy()], late[(level.notna() & (level != one)).to_numpy()]
            table = np.array([[int(part.sum()), int((~part).sum())] for part in (here, rest)])
            if fisher_exact(table).pvalue < CLEARLY / tests:
                return (
                    f"their share differs by {column}: {table[0, 0]} of {table[0].sum()} in {one!r}, {table[1, 0]} of "
                    f"{table[1].sum()} in others"
                )
    return ""
