"""Dates to session numbers: visits in order, or days, weeks or months since a start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, first_few
from bayes_alliance.findings import Findings
from bayes_alliance.table.files.missing_codes import MISSING_CODES

EVERY: Final = ("visit", "day", "week", "month")
SEVERAL: Final = ("refuse", "number", "first", "last")

LONG: Final = {"day": 14, "week": 8, "month": 6}
"""The longest distance between two rows of a patient that is not reported as a gap. Visits in order have no gaps."""

DAYS: Final = {"day": 1.0, "week": 7.0}


@dataclass(frozen=True)
class Dates:
    """How dates become session numbers.

    ``column`` holds them. ``every`` is ``"visit"`` (1, 2, 3 … in order), or ``"day"``, ``"week"`` or ``"month"`` since
    ``start``: ``"first"``, a patient's first date, or a column of dates. ``format`` is how they are written, such as
    ``"%d.%m.%Y"``. ``several`` rows of one patient in one step are refused, numbered on as further visits, or their
    first or last is kept.
    """

    column: str
    every: str = "visit"
    start: str = "first"
    format: str | None = None
    several: str = "refuse"

    def __post_init__(self) -> None:
        """Check what is stated."""
        if self.every not in EVERY:
            raise ValueError(f"every is {self.every!r}; allowed are {', '.join(EVERY)}")
        if self.several not in SEVERAL:
            raise ValueError(f"several is {self.several!r}; allowed are {', '.join(SEVERAL)}")
        if self.several == "number" and self.every != "visit":
            raise ValueError("several='number' numbers visits; state every='visit'")
        if self.every == "visit" and self.start != "first":
            raise ValueError("visits are numbered from a patient's first; leave start out")
        if self.format is not None:
            try:
                pd.to_datetime(["2024-01-31"], format=self.format, errors="coerce")
            except (ValueError, TypeError):
                raise ValueError(f"format is {self.format!r}; write it as in %d.%m.%Y") from None


def number_sessions(frame: pd.DataFrame, stated: Dates, patient: str, session: str, findings: Findings) -> pd.DataFrame:
    """Return a frame with a column of session numbers worked out of dates; the dates stay.

    Visits are numbered from 1, days, weeks and months from 0. Times that are numbers, such as months since intake, put
    visits in order; a model reads them as a variable of their own.
    """
    lacking = [
        name for name in (stated.column, *([] if stated.start == "first" else [stated.start])) if name not in frame
    ]
    if lacking:
        findings.problem(f"session needs {', '.join(map(repr, lacking))}, which is no column.")
        return frame
    if session in frame.columns and session != stated.column:
        findings.problem(f"The table has a column {session!r} already.", fix="Rename it, or let it play the session.")
        return frame
    ids = frame[patient].astype("str")
    times = _numbers_of(frame[stated.column])
    if times is not None and stated.format is None:
        return _number_in_order(frame, stated, ids, times, session, findings)
    dates = read_dates(frame[stated.column], stated.format, stated.column, findings)
    if findings.problems:
        return frame
    absent = dates.isna()
    if absent.any():
        places = [f"row {place + 1}" for place in np.flatnonzero(absent)[:5]]
        findings.problem(
            f"Column {stated.column!r} has no date in {count_of(int(absent.sum()), 'row')}: "
            f"{first_few(places, int(absent.sum()))}.",
            fix="Complete the dates, or leave the rows out.",
        )
        return frame
    days = dates.dt.normalize()
    start = days.groupby(ids).transform("min")
    if stated.start != "first":
        start = read_dates(frame[stated.start], stated.format, stated.start, findings).dt.normalize()
        if findings.problems:  # a date that cannot be read is missing, and would be told a second time
            return frame
        early = np.flatnonzero((days < start) | start.isna())
        if len(early):
            places = [f"row {place + 1}" for place in early[:5]]
            what = f"{count_of(len(early), 'row')} {are(len(early), 'is', 'are')} before {stated.start!r}"
            findings.problem(
                f"{what}, or that is missing: {first_few(places, len(early))}.",
                fix="Correct the dates, or count from a patient's first: start='first'.",
            )
            return frame
    if stated.every == "visit":
        step = days.groupby(ids).rank(method="dense").astype(float)
    elif stated.every == "month":  # of the calendar: the same day of the next month is one later
        months = 12 * (days.dt.year - start.dt.year) + days.dt.month - start.dt.month
        step = months - (days.dt.day < start.dt.day)
    else:
        step = np.floor((days - start).dt.days / DAYS[stated.every])
    made = frame.assign(**{session: step.astype(float).to_numpy()})
    made = _one_per_step(made, stated, ids, dates, session, findings)
    if not findings.problems:
        _say_gaps(made, stated, patient, session, findings)
    return made


def _numbers_of(column: pd.Series) -> pd.Series | None:
    """Return times as numbers, None where some are none."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return None
    texts = column.astype("str").str.strip().str.replace(",", ".")
    known = ~(column.isna() | texts.isin(MISSING_CODES))
    numbers = pd.to_numeric(texts.where(known), errors="coerce")
    return numbers.astype(float) if known.any() and numbers[known].notna().all() else None


def _number_in_order(
    frame: pd.DataFrame, stated: Dates, ids: pd.Series, times: pd.Series, session: str, findings: Findings
) -> pd.DataFrame:
    """Return a frame whose visits are numbered in the order of times that are numbers, which stay."""
    name = stated.column
    if stated.every != "visit" or stated.start != "first":
        findings.problem(
            f"Column {name!r} holds numbers, no dates, so that {stated.every}s cannot be counted.",
            fix=f"State every='visit' to number visits in their order, and read {name!r} as a variable of the model.",
        )
    if name == session:
        findings.problem(f"Column {name!r} would be overwritten by session numbers.", fix="Call the times otherwise.")
    absent = np.flatnonzero(times.isna())
    if len(absent):
        places = [f"row {place + 1}" for place in absent[:5]]
        findings.problem(
            f"Column {name!r} has no time in {count_of(len(absent), 'row')}: {first_few(places, len(absent))}.",
            fix="Complete the times, or leave the rows out.",
        )
    if findings.problems:
        return frame
    step = times.groupby(ids).rank(method="dense")
    made = _one_per_step(frame.assign(**{session: step.to_numpy(float)}), stated, ids, times, session, findings)
    low, high = made[session].min(), made[session].max()
    findings.note(
        f"Sessions are visits in the order of {name!r} ({times.min():g} to {times.max():g}): {low:g} to {high:g}."
    )
    return made


def read_dates(column: pd.Series, written: str | None, name: str, findings: Findings) -> pd.Series:
    """Return dates, NaT where missing; what can be read in two ways is asked about."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return pd.Series(column.dt.tz_localize(None))
    cells = column.astype(object)
    texts = pd.Series([str(cell).strip() if cell is not None else "" for cell in cells], index=column.index)
    texts = texts.mask(cells.isna() | texts.isin(["", "NA", "NaT", "nan"]))
    if written is None:  # the day is that of the clock where the row was written
        texts = texts.str.replace(r"(?<=:\d\d)(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})$", "", regex=True)
    given = texts.dropna()
    wanted = written or _format_of(given)
    fitting = texts.str.fullmatch(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}(?:[ T].*)?").fillna(True).astype(bool)
    if wanted is None and not fitting.all():
        places = [f"row {place + 1}" for place in np.flatnonzero(~fitting)[:5]]
        count = int((~fitting).sum())
        findings.problem(
            f"Column {name!r} is no date in {count_of(count, 'row')}: {first_few(places, count)}.",
            fix="Correct the cells, or state how dates are written: format=...",
        )
        return pd.Series(pd.NaT, index=column.index)
    if wanted is None:
        findings.problem(
            f"Column {name!r} has dates that can be read in several ways, such as 1/2/2020.",
            fix="State how they are written: format='%d/%m/%Y' or '%m/%d/%Y'.",
        )
        return pd.Series(pd.NaT, index=column.index)
    dates = pd.to_datetime(texts, format=wanted, errors="coerce")
    odd = np.flatnonzero(texts.notna() & dates.isna())
    if len(odd):
        places = [f"row {place + 1}" for place in odd[:5]]
        findings.problem(
            f"Column {name!r} is no date as {wanted} in {count_of(len(odd), 'row')}: {first_few(places, len(odd))}.",
            fix="Correct the cells, or state how dates are written: format=...",
        )
    return dates


def _format_of(texts: pd.Series) -> str | None:
    """Return how dates are written: as in ISO, with points (German), or with slashes where one number tells the day."""
    if texts.empty or texts.str.fullmatch(r"\d{4}-\d{2}-\d{2}([ T].*)?").all():
        return "ISO8601"
    if texts.str.fullmatch(r"\d{1,2}\.\d{1,2}\.\d{4}").all():
        return "%d.%m.%Y"
    if texts.str.fullmatch(r"\d{1,2}\.\d{1,2}\.\d{2}").all():
        return "%d.%m.%y"
    parts = texts.str.extract(r"^(\d{1,2})/(\d{1,2})/(\d{4})$").astype(float)
    if parts.notna().all(axis=None):
        first, second = parts[0].max() > 12, parts[1].max() > 12
        if first != second:
            return "%d/%m/%Y" if first else "%m/%d/%Y"
    return None


def _one_per_step(
    frame: pd.DataFrame, stated: Dates, ids: pd.Series, dates: pd.Series, session: str, findings: Findings
) -> pd.DataFrame:
    """Return a row per patient and step: several are refused, numbered on, or one of them is kept."""
    keys = pd.DataFrame({"id": ids, "step": frame[session], "date": dates})
    twice = keys.duplicated(["id", "step"], keep=False)
    if not twice.any():
        return frame
    what = "day" if stated.every in ("visit", "day") else stated.every
    what = what if pd.api.types.is_datetime64_any_dtype(dates) else "time"
    count = int(twice.sum())
    places = [f"row {place + 1}" for place in np.flatnonzero(twice)[:5]]
    if stated.several == "refuse":
        findings.problem(
            f"Patients have several rows in one {what} in {count_of(count, 'row')}: {first_few(places, count)}.",
            fix="State several='first' or 'last' to keep one"
            + (", or 'number' to number them on." if stated.every == "visit" else ", or a smaller step (every=)."),
        )
        return frame
    order = np.lexsort([np.arange(len(keys)), keys["date"].to_numpy(), pd.factorize(keys["id"])[0]])
    if stated.several == "number":
        number = keys.iloc[order].groupby("id", sort=False).cumcount() + 1
        findings.note(
            f"{count_of(count, 'row')} of one {what} {are(count, 'is', 'are')} numbered on in the order of the table."
        )
        return frame.assign(**{session: number.sort_index().astype(float)})
    ordered = frame.iloc[order]
    same = keys.iloc[order]
    gone = same.duplicated(["id", "step"], keep="first" if stated.several == "first" else "last")
    left = f"{count_of(int(gone.sum()), 'row')} {are(int(gone.sum()), 'is', 'are')} left out"
    findings.note(f"{left}: the {stated.several} row of a patient's {what} is kept.")
    return ordered[~gone.to_numpy()].sort_index().reset_index(drop=True)


def _say_gaps(frame: pd.DataFrame, stated: Dates, patient: str, session: str, findings: Findings) -> None:
    steps = frame.sort_values([patient, session]).groupby(patient)[session].diff()
    unit = {"visit": "visits", "day": "days", "week": "weeks", "month": "months"}[stated.every]
    low, high = frame[session].min(), frame[session].max()
    since = "" if stated.every == "visit" else f" since {'the first date' if stated.start == 'first' else stated.start}"
    findings.note(f"Sessions are {unit}{since} by {stated.column!r}: {low:g} to {high:g}.")
    wide = int((steps > LONG.get(stated.every, np.inf)).sum())
    if wide:
        findings.note(f"{count_of(wide, 'gap')} {are(wide, 'is', 'are')} longer than {LONG[stated.every]} {unit}.")
