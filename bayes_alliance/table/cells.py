"""Cells to identifiers, numbers or words, whatever type a file or a library gave the column."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from decimal import Decimal
from numbers import Number
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from bayes_alliance._messages import are, count_of, first_few, number_text, show_cell, show_cells, spell_cells
from bayes_alliance.findings import Findings, Problem

_COMMA: Final = re.compile(r"[+-]?\d+,\d+\Z")

_DATES: Final = ("datetime64", "datetime", "date", "period")

_KINDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(_DATES, "dates"),
    "time": "times of the day",
    "timedelta": "durations",
    "timedelta64": "durations",
    "interval": "intervals",
    "complex": "complex numbers",
    "bytes": "bytes",
}
"""What pandas calls the content of a column that is neither numbers nor words, and what we call it."""


def id_text(column: pd.Series) -> pd.Series:
    """Return identifiers as text, missing and blank ones as empty text; ``3.0`` from a column with gaps is ``3``."""

    def one(value: Any) -> str:
        if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
            return ""
        if isinstance(value, (float, np.floating)) and float(value).is_integer():
            return str(int(value))
        return str(value) if str(value).strip() else ""

    plain = column.astype(object) if _is_nested(column) else column
    if pd.api.types.infer_dtype(plain, skipna=True).startswith("mixed"):  # here True would be found as 1
        return pd.Series([one(value) for value in plain], index=column.index, dtype="str")
    code, different = pd.factorize(plain)  # each text is made once, not once a row; missing cells have code -1
    texts = np.array([*(one(value) for value in np.asarray(different, dtype=object)), ""], dtype=object)
    return pd.Series(texts[code], index=column.index, dtype="str")


def check_id_cells(name: str, column: pd.Series, findings: Findings) -> None:
    """Report cells of an identifier that hold several values, such as lists; an identifier is one text or number."""
    nested = _several(column)
    if nested.any():
        findings.problem(
            f"Column {name!r} holds lists where an identifier is needed: {_rows(column, nested)}.",
            allowed="Allowed: a text or a number in every row.",
        )


def type_column(
    name: str,
    column: pd.Series,
    codes: Collection[str | float],
    findings: Findings,
    doubts: dict[str, Problem] | None = None,
) -> pd.Series:
    """Return a measured column as float (NaN where missing) or as words, or report why it is neither.

    Parameters
    ----------
    name : str
        Column name, for the message.
    column : Series, shape (row,)
        As read.
    codes : collection of str or float
        Values that mean missing, such as ``""`` or ``-99``; ``99``, ``"99"`` and ``99.0`` are one code.
    findings : Findings
        Problems, and which categories mean missing.
    doubts : dict of str to Problem, optional
        Gets, by column, what is wrong with values that are neither numbers nor words. It matters only where a model
        reads the column; without the dict it is a problem at once.

    Returns
    -------
    Series, shape (row,)
        dtype float64, category of texts (ordered or not, as given) or str.
    """
    if isinstance(column.dtype, pd.ArrowDtype):
        arrow = column.array.__arrow_array__()
        column = pd.Series(arrow.to_pandas(), index=column.index) if len(arrow) == len(column) else column
    if isinstance(column.dtype, pd.SparseDtype):
        column = pd.Series(np.asarray(column), index=column.index)
    if isinstance(column.dtype, pd.CategoricalDtype):
        return _type_categories(name, column, codes, findings)
    kind = pd.api.types.infer_dtype(column, skipna=True)
    what = "lists" if _several(column).any() else _KINDS.get(kind, _foreign(column, kind))
    if what:
        _doubt(name, _unreadable(name, what), findings, doubts)
        return _words(column, codes)
    if kind == "boolean":
        texts = {str(code).strip().casefold() for code in codes}
        column = column.mask(column.astype("str").str.casefold().isin(texts)).astype("boolean")
    if kind == "decimal":
        column = column.map(float, na_action="ignore")
    if kind in ("boolean", "decimal") or pd.api.types.is_numeric_dtype(column):
        values = pd.to_numeric(column).astype("float64")
        return _finite(name, values.mask(values.isin(_numbers(codes))), findings, doubts)
    return _type_text(name, column, codes, findings, doubts)


def _type_text(
    name: str,
    column: pd.Series,
    codes: Collection[str | float],
    findings: Findings,
    doubts: dict[str, Problem] | None,
) -> pd.Series:
    """Return text as numbers where every cell is one, as words otherwise."""
    cells = column.astype("str").str.strip()
    missing = column.isna() | cells.isin(_texts(codes))
    numbers_in = pd.to_numeric(cells.where(~missing), errors="coerce")
    coded = numbers_in.isin(_numbers(codes))
    missing, numbers_in = missing | coded, numbers_in.mask(coded)
    odd = ~missing & numbers_in.isna()
    if not odd.any():
        return _finite(name, numbers_in.astype("float64"), findings, doubts)
    commas = odd & cells.str.match(_COMMA)
    if commas.sum() * 2 > odd.sum():
        findings.problem(
            f"Column {name!r} has decimal commas in {_rows(cells, commas)}.",
            fix="Write decimal points (pandas reads commas with decimal=',').",
        )
    elif numbers_in.notna().any() and numbers_in.notna().sum() >= odd.sum():
        findings.problem(
            f"Column {name!r} has numbers beside text in {_rows(cells, odd)}.",
            fix=f"Correct the cells, or state them in missing={{{name!r}: [...]}} where they mean missing.",
        )
    return cells.mask(missing).astype("str")


def _type_categories(
    name: str,
    column: pd.Series,
    codes: Collection[str | float],
    findings: Findings,
) -> pd.Series:
    """Return a categorical column without the categories that mean missing; they are counted and named."""
    categories = list(column.cat.categories)
    texts, numbers = _texts(codes), _numbers(codes)
    gone = [c for c in categories if str(c).strip() in texts or (_is_number(c) and float(str(c)) in numbers)]
    by_text: dict[str, list[object]] = {}
    for category in categories:
        if category not in gone:
            by_text.setdefault(_category_text(category), []).append(category)
    twice = [show_cells(map(repr, same)) for same in by_text.values() if len(same) > 1]
    if twice:
        findings.problem(
            f"Column {name!r} has categories that are written the same: {first_few(twice)}.",
            fix="Give every category a text of its own, or store the column as text.",
        )
        return column
    counts = column.value_counts()
    lost = [f"{show_cell(category)} ({count_of(int(counts[category]), 'row')})" for category in gone]
    if lost:
        findings.note(
            f"Column {name!r}: {count_of(len(lost), 'category', 'categories')} {are(len(lost), 'means', 'mean')} "
            f"missing and {are(len(lost), 'is', 'are')} left out: {first_few(lost)}."
        )
    kept = column.cat.remove_categories(gone)
    return kept.cat.rename_categories({category: _category_text(category) for category in kept.cat.categories})


def _category_text(category: object) -> str:
    """Return a category as text: a number as the same number elsewhere, so that 1 and 1.0 are one level."""
    if isinstance(category, (int, float, np.integer, np.floating)) and not isinstance(category, bool):
        return number_text(float(category))
    return str(category).strip()


def _words(column: pd.Series, codes: Collection[str | float]) -> pd.Series:
    """Return cells as text, missing where a code for it stands."""
    cells = pd.Series([str(cell) for cell in column], index=column.index, dtype="str").str.strip()
    return cells.mask(column.isna() | cells.isin(_texts(codes))).astype("str")


def _doubt(name: str, problem: Problem, findings: Findings, doubts: dict[str, Problem] | None) -> None:
    if doubts is None:
        findings.add([problem])
    else:
        doubts[name] = problem


def _unreadable(name: str, what: str) -> Problem:
    held = f"Column {name!r} holds {what}."
    if what == "dates":
        return Problem(held, fix="Turn them into session numbers, or into days since a date.")
    return Problem(held, allowed="Allowed: numbers, or words where it is a factor.")


def _foreign(column: pd.Series, kind: str) -> str:
    """Return what a column of mixed cells is called that holds more than texts and numbers, empty otherwise."""
    if not kind.startswith("mixed"):
        return ""
    plain = [isinstance(cell, (str, Number, np.generic)) for cell in column[column.notna()]]
    return "" if all(plain) else "cells of several kinds (dates, objects, text)"


def _is_nested(column: pd.Series) -> bool:
    """Return whether the type of an Arrow column says that its cells hold several values."""
    return isinstance(column.dtype, pd.ArrowDtype) and pa.types.is_nested(column.dtype.pyarrow_dtype)


def _several(column: pd.Series) -> pd.Series:
    """Return which cells hold several values: lists, arrays, dicts, sets."""
    if _is_nested(column):
        return column.notna()
    if column.dtype != object:
        return pd.Series(False, index=column.index)
    return pd.Series([isinstance(cell, (list, tuple, dict, set, np.ndarray)) for cell in column], index=column.index)


def _texts(codes: Collection[str | float]) -> set[str]:
    """Return codes as the texts that a cell may hold."""
    return {str(code).strip() for code in codes} | {number_text(code) for code in _numbers(codes)}


def _numbers(codes: Collection[str | float]) -> list[float]:
    return [float(str(code)) for code in codes if _is_number(code)]


def _is_number(code: object) -> bool:
    """Return whether a code or category is a number (infinite ones too), or a text that says one."""
    if isinstance(code, bool) or not isinstance(code, (str, int, float, np.integer, np.floating, Decimal)):
        return False
    try:
        return not np.isnan(float(str(code)))
    except ValueError:
        return False


def _finite(name: str, values: pd.Series, findings: Findings, doubts: dict[str, Problem] | None) -> pd.Series:
    infinite = np.isinf(values)
    if infinite.any():
        problem = Problem(
            f"Column {name!r} is infinite in {_rows(values, infinite)}.",
            allowed="Allowed: finite numbers or missing.",
            fix=f"Correct the cells, or state missing={{{name!r}: ['inf', '-inf']}} where they mean missing.",
        )
        _doubt(name, problem, findings, doubts)
    return values


def _rows(cells: pd.Series, where: pd.Series) -> str:
    places = np.flatnonzero(where.to_numpy())
    found = [f"row {place + 1} ({spell_cells([cells.iloc[place]])})" for place in places[:5]]
    return f"{count_of(len(places), 'cell')}: {first_few(found, len(places))}"
