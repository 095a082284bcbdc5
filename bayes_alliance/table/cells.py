"""Cells to identifiers, numbers or words, whatever type a file or a library gave the column."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from numbers import Number
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as compute

from bayes_alliance._messages import are, count_of, first_few, number_text, show_cells, spell_cells
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.table.files.missing_codes import MISSING_CODES, is_number, numbers_of, texts_of

COMMA: Final = r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?\Z"
POINTED: Final = r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+(?:,\d+)?\Z"
"""Thousands with points, as in 1.234,5."""

MARKED: Final = r"[+-]?\d[\d.,'\s\u00a0\u202f]*\s?%?\Z"
"""Numbers with marks: thousands with blanks or points, shares with a sign."""

DATE: Final = r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}(?:[ T].*)?\Z"

TRUTH: Final = ("true", "false")
THOUSANDS: Final = r"[+-]?[1-9]\d{0,2}(?:,\d{3})+\Z"

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
    *,
    decimal: str = ".",
) -> pd.Series:
    """Return a measured column as float (NaN where missing) or as words, or report why it is neither.

    The same cells give the same column, whatever type a file or a library gave them.

    Parameters
    ----------
    name : str
        Column name, for the message.
    column : Series, shape (row,)
        As read.
    codes : collection of str or float
        Values that mean missing, such as ``""`` or ``-99``; ``99``, ``"99"`` and ``99.0`` are one code.
    findings : Findings
        Problems, and what a reader should know of the column.
    doubts : dict of str to Problem, optional
        Gets, by column, what is wrong with values that are neither numbers nor words. It matters only where a model
        reads the column; without the dict it is a problem at once.
    decimal : {".", ","}
        What stands before the decimals of numbers that are text.

    Returns
    -------
    Series, shape (row,)
        dtype float64, ordered category of texts (where it was one) or str.
    """
    if isinstance(column.dtype, pd.ArrowDtype):
        arrow = column.array.__arrow_array__()
        column = pd.Series(arrow.to_pandas(), index=column.index) if len(arrow) == len(column) else column
    if isinstance(column.dtype, pd.SparseDtype):
        column = pd.Series(np.asarray(column), index=column.index)
    if isinstance(column.dtype, pd.CategoricalDtype):
        if _is_order_of_words(column, codes):
            return _type_categories(name, column, codes, findings)
        column = column.astype(column.cat.categories.dtype)
    kind = pd.api.types.infer_dtype(column, skipna=True)
    what = "lists" if _several(column).any() else _KINDS.get(kind, _foreign(column, kind))
    if what:
        _doubt(name, _unreadable(name, what), findings, doubts)
        return _words(column, codes)
    if kind == "boolean":
        texts = {str(code).strip().casefold() for code in codes}
        return column.mask(column.astype("str").str.casefold().isin(texts)).astype("boolean").astype("float64")
    if kind == "decimal":
        column = column.map(float, na_action="ignore")
    if kind == "decimal" or pd.api.types.is_numeric_dtype(column):
        values = pd.to_numeric(column).astype("float64")
        return _finite(name, values.mask(values.isin(numbers_of(codes))), findings, doubts)
    return _type_text(name, column, codes, findings, doubts, decimal)


def _type_text(
    name: str,
    column: pd.Series,
    codes: Collection[str | float],
    findings: Findings,
    doubts: dict[str, Problem] | None,
    decimal: str,
) -> pd.Series:
    """Return text as numbers where every cell is one, as words otherwise."""
    plain = _plain_numbers(column, codes) if decimal == "." else None
    if plain is None:
        plain = _plain_words(column, codes)
    if plain is not None:
        return plain
    cells = column.astype("str").str.strip()
    missing = column.isna() | cells.isin(texts_of(codes))
    written = cells.where(~missing)
    if decimal == ",":
        whole = written.str.match(POINTED).fillna(False).astype(bool) & written.str.contains(".", regex=False)
        points = written.str.contains(".", regex=False).fillna(False).astype(bool)
        commas_in = written.str.contains(",", regex=False).fillna(False).astype(bool)
        if points.any() and not (commas_in.any() and (whole | ~points).all()):
            problem = Problem(
                f"Column {name!r} has numbers with a point in {_rows(cells, points)}, where decimals are commas.",
                allowed="Whether that stands before decimals or thousands is not told.",
                fix="State decimal='.', or write the numbers without it.",
            )
            _doubt(name, problem, findings, doubts)
            return cells.mask(missing).astype("str")
        written = written.where(~whole, written.str.replace(".", "", regex=False))
        both = written.str.match(COMMA).fillna(False).astype(bool)
        written = written.where(~both, written.str.replace(",", ".", regex=False))
    numbers_in = pd.to_numeric(written, errors="coerce")
    coded = numbers_in.isin(numbers_of(codes))
    missing, numbers_in = missing | coded, numbers_in.mask(coded)
    odd = ~missing & numbers_in.isna()
    if not odd.any():
        return _finite(name, numbers_in.astype("float64"), findings, doubts)
    if odd.equals(~missing) and cells[odd].str.casefold().isin(TRUTH).all():
        return (cells.str.casefold() == "true").astype("float64").mask(missing)
    commas = odd & cells.str.match(COMMA)
    if commas.sum() * 2 > odd.sum():
        problem = Problem(
            f"Column {name!r} has numbers with a comma in {_rows(cells, commas)}.",
            allowed="Whether that stands before decimals or thousands is not told.",
            fix="State decimal=',', or write the numbers without it.",
        )
        _doubt(name, problem, findings, doubts)
    elif numbers_in.notna().any() and numbers_in.notna().sum() >= odd.sum():
        problem = Problem(
            f"Column {name!r} has numbers beside text in {_rows(cells, odd)}.",
            fix=f"Correct the cells, or state them in missing={{{name!r}: [...]}} where they mean missing.",
        )
        _doubt(name, problem, findings, doubts)
    elif cells[odd].str.match(MARKED).all() and not cells[odd].str.match(DATE).any():
        problem = Problem(
            f"Column {name!r} has numbers with marks (blanks, points, commas or %) in {_rows(cells, odd)}.",
            fix="Write plain numbers.",
        )
        _doubt(name, problem, findings, doubts)
    return cells.mask(missing).astype("str")


def _plain_numbers(column: pd.Series, codes: Collection[str | float]) -> pd.Series | None:
    """Return text as numbers where Arrow reads every cell as one, None where a cell needs a closer look."""
    if not isinstance(column.dtype, pd.StringDtype):
        return None
    cells = compute.utf8_trim_whitespace(pa.array(column, type=pa.large_string(), from_pandas=True))
    missing = compute.is_in(cells, value_set=pa.array(sorted(texts_of(codes)), type=pa.large_string()))
    try:
        values = compute.cast(compute.if_else(missing, pa.scalar(None, type=pa.large_string()), cells), pa.float64())
    except pa.ArrowInvalid:
        return None
    known = np.asarray(compute.is_valid(values))
    found = pd.Series(np.asarray(values.to_numpy(zero_copy_only=False), dtype=float), index=column.index)
    if not np.isfinite(found[known]).all():  # "nan" and "inf" are words of some languages
        return None
    return found.mask(found.isin(numbers_of(codes)))


def _plain_words(column: pd.Series, codes: Collection[str | float]) -> pd.Series | None:
    """Return text as words where none of its different cells could be a number, None otherwise."""
    if not isinstance(column.dtype, pd.StringDtype):
        return None
    code, different = pd.factorize(column)
    cells = pd.Series(different, dtype="str").str.strip()
    missing = cells.isin(texts_of(codes))
    words = cells[~missing]
    if words.empty or pd.to_numeric(words, errors="coerce").notna().any() or words.str.contains(",", regex=False).any():
        return None
    if words.str.casefold().isin(TRUTH).all() or words.str.match(MARKED).all():
        return None
    known = cells.mask(missing)
    return pd.Series(known.array.take(code, allow_fill=True), index=column.index).astype("str")


def find_decimal(column: pd.Series) -> str:
    """Return what stands before decimals in a column of text: a comma where it holds nothing but such numbers.

    Numbers with a comma before three digits, as 1,234, do not tell it from thousands.
    """
    if not isinstance(column.dtype, (pd.StringDtype, pd.CategoricalDtype)) and column.dtype != object:
        return "."
    different = _with_commas(column)
    if different is None:
        return "."
    different = different[~different.isin(MISSING_CODES)]
    commas = different.str.match(COMMA) | (different.str.match(POINTED) & different.str.contains(",", regex=False))
    if not commas.any() or different[commas].str.match(THOUSANDS).all():
        return "."
    rest = different[~commas & ~different.str.match(POINTED)]
    return "," if pd.to_numeric(rest, errors="coerce").notna().all() else "."


def _with_commas(column: pd.Series) -> pd.Series | None:
    """Return the different texts of a column without blanks around, None where none has a comma."""
    if isinstance(column.dtype, pd.StringDtype):
        texts = pa.array(column, type=pa.large_string(), from_pandas=True)
        if not compute.any(compute.match_substring(texts, ",")).as_py():
            return None
        column = column.dropna().drop_duplicates()
    different = pd.Series(list({cell for cell in column if isinstance(cell, str)}), dtype="str").str.strip()
    return different if different.str.contains(",", regex=False).any() else None


def _is_order_of_words(column: pd.Series, codes: Collection[str | float]) -> bool:
    """Return whether a categorical column says an order that its cells alone do not: not that of numbers."""
    if not column.cat.ordered:
        return False
    texts, numbers = texts_of(codes), numbers_of(codes)
    kept = [c for c in column.cat.categories if str(c).strip() not in texts]
    if all(str(c).strip().casefold() in TRUTH for c in kept):
        return False
    if not all(is_number(c) for c in kept):
        return True
    values = [float(str(c)) for c in kept if float(str(c)) not in numbers]
    return values != sorted(values)


def _type_categories(
    name: str,
    column: pd.Series,
    codes: Collection[str | float],
    findings: Findings,
) -> pd.Series:
    """Return an ordered column without the categories that mean missing."""
    categories = list(column.cat.categories)
    texts, numbers = texts_of(codes), numbers_of(codes)
    gone = [c for c in categories if str(c).strip() in texts or (is_number(c) and float(str(c)) in numbers)]
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
    kept = column.cat.remove_categories(gone)
    return kept.cat.rename_categories({category: _category_text(category) for category in kept.cat.categories})


def count_codes(
    name: str, before: pd.Series, after: pd.Series, codes: Collection[str | float], decimal: str = "."
) -> str:
    """Return how many cells hold which declared codes for missing, empty where none does.

    Parameters
    ----------
    name : str
        Column.
    before, after : Series, shape (row,)
        As read, and typed.
    codes : collection of str or float
        Those that were declared.
    decimal : {".", ","}
        As in ``type_column``.
    """
    lost = before[after.isna().to_numpy() & before.notna().to_numpy()]
    if lost.empty or not codes:
        return ""
    texts, numbers = texts_of(codes), numbers_of(codes)
    held = lost.astype("str").str.strip()
    written = held.str.replace(",", ".") if decimal == "," else held
    held = held.where(held.isin(texts), pd.to_numeric(written, errors="coerce").map(number_text, na_action="ignore"))
    counts = held[held.isin(texts | {number_text(n) for n in numbers})].value_counts()
    if counts.empty:
        return ""
    shown = [f"{str(code)!r} ({count:,})" for code, count in sorted(counts.items())]  # declared: it names nobody
    cells = int(counts.sum())
    return (
        f"Column {name!r}: {count_of(cells, 'cell')} {are(cells, 'holds', 'hold')} a declared code: {first_few(shown)}."
    )


def _category_text(category: object) -> str:
    """Return a category as text: a number as the same number elsewhere, so that 1 and 1.0 are one level."""
    if isinstance(category, (int, float, np.integer, np.floating)) and not isinstance(category, bool):
        return number_text(float(category))
    return str(category).strip()


def _words(column: pd.Series, codes: Collection[str | float]) -> pd.Series:
    """Return cells as text, missing where a code for it stands."""
    cells = pd.Series([str(cell) for cell in column], index=column.index, dtype="str").str.strip()
    return cells.mask(column.isna() | cells.isin(texts_of(codes))).astype("str")


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
