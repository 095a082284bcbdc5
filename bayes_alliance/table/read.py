"""Files and frames to typed columns: identifiers stay text, measured columns become numbers or stay words."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from bayes_alliance._messages import count_of, first_few
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
        raise TableError(
            f"Columns share a name in {where}: {first_few(repeated)}. Give every column a name of its own."
        )
    if frame.empty:
        raise TableError(f"There are no rows in {where}.")
    frame.columns = pd.Index(names)
    return frame


def _read_file(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise TableError(f"No file at {str(path)!r}.")
    suffix = path.suffix.lower()
    try:
        if suffix in (".csv", ".tsv", ".txt", ".dat"):
            separator = {".csv": _csv_separator(path), ".tsv": "\t"}.get(suffix, r"\s+")
            return _read_csv(path, separator)
        if suffix == ".parquet":
            return pd.read_parquet(path)
    except TableError:
        raise
    except pd.errors.EmptyDataError:
        raise TableError(f"There are no rows in {path.name!r}.") from None
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise TableError(f"{path.name!r} cannot be read: {error}. CSV must be UTF-8 text.") from None
    raise TableError(f"{path.name!r} is of no kind that can be read. Allowed: .csv, .tsv, .dat, .parquet.")


def _csv_separator(path: Path) -> str:
    """Return ``;`` where the header line has semicolons and no comma, as spreadsheets in many languages write."""
    with path.open(encoding="utf-8-sig") as lines:
        header = lines.readline()
    return ";" if ";" in header and "," not in header else ","


def _read_csv(path: Path, separator: str) -> pd.DataFrame:
    frame = pd.read_csv(
        path, sep=separator, dtype=str, keep_default_na=False, header=None, encoding="utf-8-sig", skipinitialspace=False
    )
    names = [str(name) for name in frame.iloc[0]]
    body = frame.iloc[1:].reset_index(drop=True)
    body.columns = pd.Index(names)
    return body


def id_text(column: pd.Series) -> pd.Series:
    """Return identifiers as text, missing ones as empty text; ``3.0`` from a column with gaps becomes ``3``."""

    def one(value: object) -> str:
        if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
            return ""
        if isinstance(value, (float, np.floating)) and float(value).is_integer():
            return str(int(value))
        return str(value)

    return pd.Series([one(value) for value in column], index=column.index, dtype="str")


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
        values = values.mask(values.isin(numbers))
        return _finite(name, values, problems)
    if pd.api.types.is_datetime64_any_dtype(column):
        problems.append(f"Column {name!r} holds dates. Turn them into session numbers, or leave the column out.")
        return column.astype("str")
    texts = {str(code) for code in codes} | {f"{code:g}" for code in codes if isinstance(code, (int, float))}
    missing = column.isna() | column.astype("str").str.strip().isin(texts)
    cells = column.astype("str").str.strip()
    numbers_in = pd.to_numeric(cells.where(~missing), errors="coerce")
    odd = ~missing & numbers_in.isna()
    if not odd.any():
        return _finite(name, numbers_in.astype("float64"), problems)
    if cells[odd].str.match(_COMMA).all():
        problems.append(
            f"Column {name!r} has decimal commas in {_rows(cells, odd)}. Write decimal points "
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
        float(str(code))
    except ValueError:
        return False
    return True


def _finite(name: str, values: pd.Series, problems: list[str]) -> pd.Series:
    infinite = np.isinf(values)
    if infinite.any():
        problems.append(
            f"Column {name!r} is infinite in {_rows(values.astype('str'), infinite)}. Allowed: finite numbers "
            f"or missing."
        )
    return values


def _rows(cells: pd.Series, where: pd.Series) -> str:
    found = [f"row {position + 1} ({cells.iloc[position]!r})" for position in np.flatnonzero(where.to_numpy())]
    return f"{count_of(len(found), 'cell')}: {first_few(found)}"
