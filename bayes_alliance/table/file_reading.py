"""Files and frames to typed columns: identifiers stay text, measured columns become numbers or stay words."""

from __future__ import annotations

import csv
from os import PathLike
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa

from bayes_alliance._messages import are, count_of, first_few, show_level
from bayes_alliance.errors import TableError

MISSING_CODES: Final = ("", "NA", "N/A", "NaN", "nan")
"""Texts that mean missing in a measured column; in an identifier only the empty text does."""

type Source = str | Path | pd.DataFrame | Any
"""A file, a DataFrame, or a table of another library that hands itself over as Arrow (polars, pyarrow)."""


def read_frame(source: Source) -> pd.DataFrame:
    """Read CSV or parquet, or copy a frame, without interpreting anything.

    CSV cells stay text, so that the patients ``01``, ``1`` and ``NA`` stay three patients.

    Raises
    ------
    TableError
        If the source is no table; if the file is missing, unreadable, of another kind, or empty; if columns have
        several levels of names, or two share a name.
    """
    if isinstance(source, (str, PathLike)):
        path = Path(source)
        where = repr(path.name)
        frame = _read_file(path)
    else:
        where = "the DataFrame" if isinstance(source, pd.DataFrame) else f"the {type(source).__name__}"
        frame = _read_object(source)
    if isinstance(frame.columns, pd.MultiIndex):
        shown = first_few([repr(name) for name in frame.columns])
        raise TableError(f"Columns of {where} have several levels of names: {shown}. Give every column one name.")
    names = [str(name) for name in frame.columns]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        shown = first_few([show_level(name) for name in repeated])  # of a file without a header these are cells
        raise TableError(f"Columns share a name in {where}: {shown}. Give every column a name of its own.")
    if frame.empty:
        raise TableError(f"There are no rows in {where}.")
    frame.columns = pd.Index(names)
    return frame


def _read_object(source: object) -> pd.DataFrame:
    """Copy a DataFrame, or take over a table of another library through Arrow's C stream."""
    if isinstance(source, pd.DataFrame):
        return source.reset_index(drop=True).copy()
    kind = f"{type(source).__module__.split('.')[0]}.{type(source).__name__}".removeprefix("builtins.")
    allowed = "Allowed: the path of a file, a pandas or polars DataFrame, or a pyarrow Table."
    if isinstance(source, pd.Series) or not hasattr(source, "__arrow_c_stream__"):
        advice = " Collect it first." if hasattr(source, "collect") else ""
        raise TableError(f"A {kind} is no table of sessions. {allowed}{advice}")
    try:
        frame: pd.DataFrame = pa.table(source).to_pandas()
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise TableError(f"The {kind} cannot be read as a table: {error}. {allowed}") from None
    return frame


def _read_file(path: Path) -> pd.DataFrame:
    try:
        if not path.is_file():
            raise TableError(f"No file at {str(path)!r}.")
        if path.suffix.lower() in (".csv", ".tsv", ".txt", ".dat"):
            return _read_text(path)
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
    except TableError:
        raise
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
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
