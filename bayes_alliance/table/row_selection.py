"""Choosing rows on purpose, counted and named."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bayes_alliance._messages import count_of, number_text, quote, shorten, unknown, unknown_cell
from bayes_alliance.errors import TableError
from bayes_alliance.table.sessions import SessionTable, with_rows


def select_rows(
    sessions: SessionTable,
    *,
    minimum: Mapping[str, float] | None = None,
    maximum: Mapping[str, float] | None = None,
    only: Mapping[str, str] | None = None,
) -> SessionTable:
    """Keep rows within limits, or of one level.

    Parameters
    ----------
    sessions : SessionTable
        Not changed.
    minimum, maximum : mapping of str to float
        Smallest and largest value kept, by role or column, such as ``{"session": 12}``; a missing value is not kept.
    only : mapping of str to str
        The one level kept, by role or column, such as ``{"grp": "RO-DBT"}``.

    Returns
    -------
    SessionTable
        With a message for each limit saying how many rows and patients it left out.

    Raises
    ------
    TableError
        If a name is neither a role nor a column, a limit is put on words, a level does not occur, or no row is left.
    """
    table = sessions
    for name, limit in (minimum or {}).items():
        column = _column(table, name)
        number = _limit(name, limit)
        table = _keep(
            table, _numbers(table, column) >= number, f"{column} below {number:g}{_or_missing(table, column)}"
        )
    for name, limit in (maximum or {}).items():
        column = _column(table, name)
        number = _limit(name, limit)
        table = _keep(
            table, _numbers(table, column) <= number, f"{column} above {number:g}{_or_missing(table, column)}"
        )
    for name, level in (only or {}).items():
        column = _column(table, name)
        values = _as_words(table.frame[column])
        level = number_text(level) if isinstance(level, (int, float)) else str(level)
        if level not in set(values):
            raise TableError(unknown_cell(f"level of {column!r}:", level, sorted(set(values)), "only"))
        table = _keep(table, (values == level).to_numpy(), f"{column} other than {level!r}")
    return table


def _limit(name: str, limit: object) -> float:
    try:
        number = float(str(limit))
    except ValueError:
        number = np.nan
    if np.isnan(number):
        raise TableError(f"The limit of {name!r} must be a number; it is {shorten(limit)}.")
    return number


def _column(table: SessionTable, name: str) -> str:
    if name in table.roles:
        return table.roles[name]
    if name not in table.frame.columns:
        raise TableError(unknown("role or column", name, [*table.roles, *table.frame.columns]))
    return name


def _or_missing(table: SessionTable, column: str) -> str:
    return " or missing" if table.frame[column].isna().any() else ""


def _numbers(table: SessionTable, column: str) -> np.ndarray:
    values = table.frame[column]
    if values.dtype != np.float64:
        raise TableError(f"Column {column!r} holds words, so it has no smallest or largest value; use only.")
    return values.to_numpy()


def _as_words(values: pd.Series) -> pd.Series:
    if values.dtype == np.float64:
        return values.map(number_text, na_action="ignore").astype("str").fillna("")
    return values.astype("str").fillna("")


def _keep(table: SessionTable, keep: np.ndarray, what: str) -> SessionTable:
    patient = table.roles["patient"]
    gone = len(table) - int(keep.sum())
    if not keep.any():
        raise TableError(f"Leaving out rows with {what} leaves no row of {quote([patient])}.")
    lost = table.frame[patient].nunique() - table.frame.loc[keep, patient].nunique()
    message = f"{count_of(gone, 'row')} with {what} left out on request ({count_of(lost, 'patient')} gone entirely)."
    return with_rows(table, keep, message)
