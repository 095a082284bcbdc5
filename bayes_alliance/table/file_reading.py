"""Files and frames to columns as they stand: a path by its suffix, a table of a library through Arrow."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from bayes_alliance._messages import first_few, quote
from bayes_alliance.errors import TableError
from bayes_alliance.findings import Findings
from bayes_alliance.table.files.column_names import number_repeated
from bayes_alliance.table.files.formats import read_path
from bayes_alliance.table.files.options import FileOptions, check_options, check_used

type Source = str | Path | pd.DataFrame | Any
"""A file, a DataFrame, or a table of another library that hands itself over as Arrow (polars, pyarrow)."""


def read_frame(
    source: Source,
    options: FileOptions | None = None,
    findings: Findings | None = None,
    beside: Iterable[Source] = (),
) -> pd.DataFrame:
    """Read a file, or copy a frame, without interpreting anything.

    Cells of text files stay text, so that the patients ``01``, ``1`` and ``NA`` stay three patients.

    Parameters
    ----------
    source : str, Path, DataFrame or table of another library
        See ``Source``.
    options : FileOptions, optional
        What is stated of a file.
    findings : Findings, optional
        Gets what a reader should know: separators that were found, columns that were renamed, codes of the file.
    beside : iterable of Source
        Other files that the same options are stated of: one that this file does not read may be theirs.

    Raises
    ------
    TableError
        If the source is no table; if the file is missing, unreadable, of another kind, or empty; if columns have
        several levels of names; or if no such file has what an option states.
    """
    stated, told = options or FileOptions(), findings or Findings()
    check_options(stated, told)
    check_used(stated, source, beside, told)
    told.stop(TableError)
    if isinstance(source, (str, PathLike)):
        path = Path(source)
        where = repr(path.name)
        frame = read_path(path, stated, told)
    else:
        where = "the DataFrame" if isinstance(source, pd.DataFrame) else f"the {type(source).__name__}"
        frame = _read_object(source, told)
        if isinstance(frame.columns, pd.MultiIndex):
            shown = first_few([repr(name) for name in frame.columns])
            raise TableError(f"Columns of {where} have several levels of names: {shown}. Give every column one name.")
        frame.columns = pd.Index(number_repeated([str(name) for name in frame.columns], told))
    told.stop(TableError)
    if frame.empty:
        raise TableError(f"There are no rows in {where}.")
    if stated.columns is not None:
        wanted = set(stated.columns)
        frame = frame[[name for name in frame.columns if name in wanted]]
    return frame


def _read_object(source: object, findings: Findings) -> pd.DataFrame:
    """Copy a DataFrame, or take over a table of another library through Arrow's C stream."""
    if isinstance(source, pd.DataFrame):
        names = [name for name in source.index.names if name is not None]
        if not isinstance(source.columns, pd.MultiIndex) and names and not set(names) & set(source.columns):
            findings.note(f"Names of rows are columns: {quote(map(str, names))}.")
            return source.reset_index()
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
