"""What a table has to be brought into shape for, and the steps in their order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Final, Literal

import pandas as pd

from bayes_alliance._messages import count_of, quote, unknown
from bayes_alliance.findings import Findings
from bayes_alliance.names import SESSION
from bayes_alliance.table.shape.dates import Dates, number_sessions, read_dates
from bayes_alliance.table.shape.questionnaire import Questionnaire, widen_items
from bayes_alliance.table.shape.wide import lengthen

PATIENT: Final = "patient"

type EachRow = Literal["patient", "session"]
"""What every row is, where no column says it."""


@dataclass(frozen=True)
class Shape:
    """How a table is brought to a row per patient and session; all empty where it has them.

    ``wide`` maps variables to patterns of columns, such as ``{"alliance": "wai_{session}"}``, and ``sessions`` the
    words that stand for sessions in these to numbers. ``questionnaire`` says which columns hold the name of an item
    and the answer, ``dates`` how dates become session numbers. ``each_row`` is ``"patient"`` where every row is a
    person of its own, without an id, and ``"session"`` where a patient's rows have no numbers and are taken in the
    order of the table.
    """

    wide: Mapping[str, str] = field(default_factory=dict)
    sessions: Mapping[str, float] = field(default_factory=dict)
    questionnaire: Questionnaire | None = None
    dates: Dates | None = None
    each_row: EachRow | None = None

    @property
    def makes_sessions(self) -> bool:
        """Return whether the column of the session is made."""
        return bool(self.wide) or self.dates is not None or self.each_row == SESSION

    def roles(self, roles: Mapping[str, str]) -> dict[str, str]:
        """Return the roles of the table in its new shape."""
        made = {PATIENT: PATIENT} if self.each_row == PATIENT else {}
        return {**made, **({SESSION: SESSION} if self.makes_sessions else {}), **roles}


def read_shape(
    wide: object,
    sessions: object,
    questionnaire: object,
    dates: object,
    roles: object,
    findings: Findings,
    each_row: object = None,
) -> Shape:
    """Return what is stated of a table's shape, reporting what is no such statement."""
    made = Shape(
        _texts("wide", wide, findings),
        _numbers("wide_sessions", sessions, findings),
        _record("questionnaire", questionnaire, Questionnaire, ("item", "answer"), findings),
        _record("session", dates, Dates, ("column", "every", "start", "format", "several"), findings),
        _each_row(each_row, roles, findings),
    )
    clash = {
        PATIENT: [name for name, own in (("questionnaire", made.questionnaire), ("session", made.dates)) if own],
        SESSION: [name for name, own in (("wide", made.wide), ("session", made.dates)) if own],
    }
    if made.each_row is not None and clash[made.each_row]:
        findings.problem(f"each_row={made.each_row!r} and {quote(clash[made.each_row])} contradict each other.")
    if made.dates is not None and isinstance(roles, Mapping) and SESSION in roles:
        findings.problem(
            f"The session is made of dates in {made.dates.column!r}, and {roles[SESSION]!r} plays it, too.",
            fix="State one of the two.",
        )
    if made.sessions and not made.wide:
        findings.problem("wide_sessions numbers words in the names of wide columns, and wide is not stated.")
    if made.dates is not None and made.wide:
        findings.problem("A wide table has its sessions in the names of columns.", fix="Leave session= out.")
    return made


def shape_frame(
    frame: pd.DataFrame,
    shape: Shape,
    roles: Mapping[str, str],
    findings: Findings,
    missing: Mapping[str, object] | None = None,
) -> pd.DataFrame:
    """Return a frame with a row per patient and session; every step says what it did with how many rows.

    ``missing`` are codes by column that mean missing, as they are stated.
    """
    if shape.each_row is not None:
        frame = _number_rows(frame, shape.each_row, roles, findings)
        findings.step("numbering", len(frame))
        roles = {PATIENT: PATIENT, **roles} if shape.each_row == PATIENT else roles
    patient = roles.get(PATIENT)
    if patient is None or patient not in frame.columns:
        return frame  # reported with the other roles
    own = shape.roles(roles)
    if shape.questionnaire is not None and shape.dates is not None and shape.dates.column in frame.columns:
        days = read_dates(frame[shape.dates.column], shape.dates.format, shape.dates.column, findings)
        frame = frame.assign(**{shape.dates.column: days.dt.normalize()})  # answers of one day are one session
    if findings.problems:
        return frame
    if shape.questionnaire is not None:
        when = shape.dates.column if shape.dates is not None else roles.get(SESSION)
        frame = widen_items(frame, shape.questionnaire, patient, when, findings)
        findings.step("questionnaire", len(frame))
    if shape.wide:
        frame = lengthen(frame, shape.wide, shape.sessions, patient, own[SESSION], findings, missing)
        findings.step("wide", len(frame))
    if shape.dates is not None:
        frame = number_sessions(frame, shape.dates, patient, own[SESSION], findings)
        findings.step("dates", len(frame))
    return frame


def _each_row(given: object, roles: object, findings: Findings) -> EachRow | None:
    if given is None:
        return None
    if given not in (PATIENT, SESSION):
        findings.problem(f"each_row is {given!r}.", allowed="'patient' or 'session'.")
        return None
    if isinstance(roles, Mapping) and given in roles:
        findings.problem(
            f"each_row={given!r} makes the column of {given}s, and {roles[given]!r} plays it.",
            fix="State one of the two.",
        )
    return PATIENT if given == PATIENT else SESSION


def _number_rows(frame: pd.DataFrame, each_row: EachRow, roles: Mapping[str, str], findings: Findings) -> pd.DataFrame:
    """Return a frame whose rows are persons of their own, or a patient's sessions in their order."""
    if each_row in frame.columns:
        findings.problem(f"The table has a column {each_row!r}.", fix="Let it play the role, or call it otherwise.")
        return frame
    if each_row == PATIENT:
        findings.note(f"Every row is a patient of its own: {count_of(len(frame), 'patient')}, numbered as they stand.")
        made = frame.assign(**{PATIENT: [f"{place}" for place in range(1, len(frame) + 1)]})
    else:
        patient = roles.get(PATIENT)
        if patient is None or patient not in frame.columns:
            return frame  # reported with the other roles
        number = frame.groupby(patient, sort=False, dropna=False).cumcount() + 1.0
        findings.note(
            f"A patient's rows are sessions in the order of the table: {count_of(len(frame), 'row')}, sessions 1 to "
            f"{number.max():g}. Where that order says nothing, read no lag and no course over sessions."
        )
        made = frame.assign(**{SESSION: number.to_numpy(float)})
    return made


def _texts(what: str, given: object, findings: Findings) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(one, str) for pair in given.items() for one in pair):
        findings.problem(
            f"{what} is {given!r}.", allowed="It maps variables to patterns: {'alliance': 'wai_{session}'}."
        )
        return {}
    return dict(given)


def _numbers(what: str, given: object, findings: Findings) -> dict[str, float]:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(one, (int, float)) for one in given.values()):
        findings.problem(f"{what} is {given!r}.", allowed="It maps words to numbers: {'pre': 0, 'post': 12}.")
        return {}
    return {str(word): float(number) for word, number in given.items()}


def _record(what: str, given: object, kind: type[Any], keys: tuple[str, ...], findings: Findings) -> Any:
    if given is None or isinstance(given, kind):
        return given
    if not isinstance(given, Mapping):
        findings.problem(f"{what} is {given!r}.", allowed=f"A mapping with {', '.join(keys)}.")
        return None
    odd = [str(key) for key in given if key not in keys]
    findings.add(unknown("key", key, keys, what) for key in odd)
    lacking = [one.name for one in fields(kind) if one.default is MISSING and one.name not in given]
    if lacking and not odd:
        findings.problem(f"{what} does not state {quote(lacking)}.", allowed=f"It states {', '.join(keys)}.")
        return None
    try:
        return None if odd else kind(**given)
    except (TypeError, ValueError) as error:
        findings.problem(f"{error}.", where=what)
        return None
