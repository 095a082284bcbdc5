"""Files and frames to typed columns: identifiers stay text, measured columns become numbers or stay words."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, first_few, show_cell, show_level
from bayes_alliance.errors import TableError

MISSING_CODES: Final = ("", "NA", "N/A", "NaN", "nan")
"""Texts that mean missing in a measured column; in an identifier only the empty text does."""

type Source = str | Path | pd.DataFrame

_COMMA = re.compile(r"[+-]?\d+,\d+\Z")


def read_frame(source: Source) -> pd.DataFrame:
    """Read CSV or parquet, or copy a DataFrame, without interpreting anything.

    CSV cells stay text, so that the patients ``01``, ``1`` and ``NA`` stay three patients.

    Raises
    ------
    TableError
        If the file is missing, unreadable, of another kind, or empty; or if two columns share a name.
    """
    if isinstance(source, pd.DataFrame):
        frame = source.reset_index(drop=True).copy()
        where = "the DataFrame"
    else:
        path = Path(source)
        where = repr(path.name)
        frame = _read_file(path)
    names = [str(name) for name in frame.columns]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        shown = first_few([show_level(name) for name in repeated])  # of a file without a header these are cells
        raise TableError(f"Columns share a name in {where}: {shown}. Give every column a name of its own.")
    if frame.empty:
        raise TableError(f"There are no rows in {where}.")
    frame.columns = pd.Index(names)
    return frame


def _read_file(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise TableError(f"No file at {str(path)!r}.")
    try:
        if path.suffix.lower() in (".csv", ".tsv", ".txt", ".dat"):
            return _read_text(path)
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
    except TableError:
        raise
    except (OSError, ValueError, csv.Error) as error:
        raise TableError(f"{path.name!r} cannot be read: {error}. CSV must be UTF-8 text.") from None
    raise TableError(f"{path.name!r} is of no kind that can be read. Allowed: .csv, .tsv, .txt, .dat, .parquet.")


def _read_text(path: Path) -> pd.DataFrame:
    """Read delimited text strictly: a row with more or fewer cells than the header would shift columns unseen."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        separator = _separator(lines.readline(), path.suffix.lower())
        lines.seek(0)
        rows = [row for row in csv.reader(lines, delimiter=separator, skipinitialspace=separator == " ") if row]
    if len(rows) < 2:
        raise TableError(f"There are no rows in {path.name!r}.")
    header, body = rows[0], rows[1:]
    odd = [f"row {i + 1} ({len(row)})" for i, row in enumerate(body) if len(row) != len(header)]
    if odd:
        raise TableError(
            f"{count_of(len(odd), 'row')} of {path.name!r} {are(len(odd), 'has', 'have')} another number of cells than "
            f"the header's {len(header)}: {first_few(odd)}. Check separators, quotes and empty cells."
        )
    return pd.DataFrame(body, columns=pd.Index(header), dtype="str")


def _separator(header: str, suffix: str) -> str:
    """Return what stands between cells: by the header line, since languages and programs differ."""
    if "\t" in header:
        return "\t"
    if suffix == ".csv":
        return ";" if ";" in header and "," not in header else ","
    return " "


def id_text(column: pd.Series) -> pd.Series:
    """Return identifiers as text, missing and blank ones as empty text; ``3.0`` from a column with gaps is ``3``."""

    def one(value: object) -> str:
        if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
            return ""
        if isinstance(value, (float, np.floating)) and float(value).is_integer():
            return str(int(value))
        return str(value) if str(value).strip() else ""

    if pd.api.types.infer_dtype(column, skipna=True).startswith("mixed"):  # here True would be found as 1
        return pd.Series([one(value) for value in column], index=column.index, dtype="str")
    code, different = pd.factorize(column)  # each text is made once, not once a row; missing cells have code -1
    texts = np.array([*(one(value) for value in np.asarray(different, dtype=object)), ""], dtype=object)
    return pd.Series(texts[code], index=column.index, dtype="str")


def type_column(name: str, column: pd.Series, codes: Collection[str | float], problems: list[str]) -> pd.Series:
    """Return a measured column as float (NaN where missing) or as words, or report why it is neither.

    Parameters
    ----------
    name : str
        Column name, for the message.
    column : Series, shape (row,)
        As read.
    codes : collection of str or float
        Values that mean missing, such as ``""`` or ``-99``.
    problems : list of str
        Grows by a sentence for each problem.

    Returns
    -------
    Series, shape (row,)
        dtype float64, ordered category (kept as given) or str.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
        values = pd.to_numeric(column).astype("float64")
        numbers = [float(code) for code in codes if _is_number(code)]
        return _finite(name, values.mask(values.isin(numbers)), problems)
    if pd.api.types.is_datetime64_any_dtype(column):
        problems.append(f"Column {name!r} holds dates. Turn them into session numbers, or leave the column out.")
        return column.astype("str")
    texts = {str(code) for code in codes} | {f"{code:g}" for code in codes if isinstance(code, (int, float))}
    missing = column.isna() | column.astype("str").str.strip().isin(texts)
    cells = column.astype("str").str.strip()
    numbers_in = pd.to_numeric(cells.where(~missing), errors="coerce")
    coded = numbers_in.isin([float(code) for code in codes if _is_number(code)])
    missing, numbers_in = missing | coded, numbers_in.mask(coded)
    odd = ~missing & numbers_in.isna()
    if not odd.any():
        return _finite(name, numbers_in.astype("float64"), problems)
    commas = odd & cells.str.match(_COMMA)
    if commas.sum() * 2 > odd.sum():
        problems.append(
            f"Column {name!r} has decimal commas in {_rows(cells, commas)}. Write decimal points "
            f"(pandas reads commas with decimal=',')."
        )
    elif numbers_in.notna().any() and numbers_in.notna().sum() >= odd.sum():
        problems.append(
            f"Column {name!r} has numbers beside text in {_rows(cells, odd)}. Correct the cells, or state them in "
            f"missing={{{name!r}: [...]}} where they mean missing."
        )
    return column.astype("str").str.strip().mask(missing).astype("str")


def _is_number(code: object) -> bool:
    try:
        return bool(np.isfinite(float(str(code))))
    except ValueError:
        return False


def _finite(name: str, values: pd.Series, problems: list[str]) -> pd.Series:
    infinite = np.isinf(values)
    if infinite.any():
        problems.append(
            f"Column {name!r} is infinite in {_rows(values.astype('str'), infinite)}. Allowed: finite numbers "
            f"or missing."
        )
    return values


def _rows(cells: pd.Series, where: pd.Series) -> str:
    found = [f"row {position + 1} ({show_cell(cells.iloc[position])})" for position in np.flatnonzero(where.to_numpy())]
    return f"{count_of(len(found), 'cell')}: {first_few(found)}"
