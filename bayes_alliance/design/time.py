"""What plays the time of a model: a column of the study, or the number of the session."""

from __future__ import annotations

from dataclasses import replace

from bayes_alliance._messages import quote
from bayes_alliance.design.columns.variables import column_for
from bayes_alliance.errors import SpecError
from bayes_alliance.findings import Findings
from bayes_alliance.names import SESSION, TIME
from bayes_alliance.spec.course import name_time
from bayes_alliance.spec.exchanges import Swap, Swaps, exchange_everywhere, exchange_target
from bayes_alliance.spec.expressions import Name, names_in, render_term
from bayes_alliance.spec.model import ModelSpec, PriorSpec
from bayes_alliance.study import Study, prior_records
from bayes_alliance.table.sessions import SessionTable


def resolve_time(
    spec: ModelSpec, study: Study[SessionTable], findings: Findings
) -> tuple[ModelSpec, Study[SessionTable]]:
    """Return a model and a study in which ``time`` is the session where no column plays it.

    A column does that ``columns`` name, or that is called ``time``. Where this is the column of sessions, or there is
    none, the model reads ``session`` in place of ``time`` everywhere, and so do the priors of the study.
    """
    if spec.course is not None and spec.course.unasked:
        findings.note(
            f"The course is {spec.course.form}, which has no single slope; not answered: {quote(spec.course.unasked)}."
        )
    if not _reads_time(spec):
        return spec, study
    played = column_for(TIME, study)
    if TIME in study.columns or played in study.sessions.frame.columns:
        if played != study.sessions.roles.get(SESSION):
            if TIME not in study.columns:
                number = study.sessions.roles.get(SESSION, SESSION)
                findings.note(
                    f"The course runs along the column {TIME!r} of the table. State columns={{{TIME!r}: {number!r}}} "
                    "to run it along the number of the session."
                )
            return name_time(spec, f"unit of {played}", played), study
        study = replace(study, columns={name: own for name, own in study.columns.items() if name != TIME})
    _refuse_both(spec, findings)
    swaps = [Swap(Name(TIME), Name(SESSION))]
    outcome = spec.outcomes[0]
    priors = [_moved(prior, outcome, swaps) for prior in prior_records(study.priors)]
    resolved = exchange_everywhere(name_time(spec, SESSION, SESSION), swaps)
    return resolved, replace(study, priors=priors) if priors else study


def _moved(prior: PriorSpec, outcome: str, swaps: Swaps) -> PriorSpec:
    try:
        return prior.model_copy(update={"on": exchange_target(prior.on, outcome, swaps)})
    except SpecError:  # no target; priors are read, and this is said, later
        return prior


def _reads_time(spec: ModelSpec) -> bool:
    return TIME not in spec.variables and any(TIME in own.predictors for own in spec.linear_predictors)


def _refuse_both(spec: ModelSpec, findings: Findings) -> None:
    """Report terms that multiply time with the session, which are then the same."""
    terms = [term for own in spec.linear_predictors for term in own.parsed.every_term]
    for term in dict.fromkeys(terms):
        if len(term.parts) > 1 and {TIME, SESSION} <= {name for part in term.parts for name in names_in(part)}:
            findings.problem(
                f"{render_term(term)} is a product of the session with itself, as no column plays 'time'.",
                fix=f"State columns={{{TIME!r}: ...}}.",
            )
