"""The formats that can be read, a function for each, and what to do with others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bayes_alliance.errors import TableError
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.table.files.column_names import rename_repeated
from bayes_alliance.table.files.options import STATISTICS, TEXT, WORKBOOKS, FileOptions
from bayes_alliance.table.files.statistics_files import read_statistics
from bayes_alliance.table.files.text_files import read_text
from bayes_alliance.table.files.workbooks import read_workbook

type Reader = Callable[[Path, FileOptions, Findings], pd.DataFrame]


def read_parquet(path: Path, options: FileOptions, findings: Findings) -> pd.DataFrame:
    """Read parquet; only columns that are wanted are converted."""
    wanted = None
    if options.columns is not None:
        wanted = [name for name in pq.read_schema(path).names if name in set(options.columns)]
    return rename_repeated(pd.read_parquet(path, columns=wanted), findings)


READERS: Final[Mapping[str, Reader]] = {
    **dict.fromkeys(TEXT, read_text),
    ".parquet": read_parquet,
    **dict.fromkeys(STATISTICS, read_statistics),
    **dict.fromkeys(WORKBOOKS, read_workbook),
}
"""Suffix → the function that reads it: a format is one function."""

REMEDIES: Final[Mapping[str, str]] = {
    ".xls": "Save it as .xlsx.",
    ".ods": "Save it as .xlsx or .csv.",
    ".numbers": "Export it as .xlsx or .csv.",
    ".rds": "In R: write.csv(readRDS(file), 'sessions.csv', row.names = FALSE).",
    ".rdata": "In R: load it, then write.csv(table, 'sessions.csv', row.names = FALSE).",
    ".feather": "Write it as parquet.",
    ".json": "Write a table of it as .csv or parquet.",
    ".zip": "Unpack it first.",
    ".gz": "Unpack it first.",
}


def read_path(path: Path, options: FileOptions, findings: Findings) -> pd.DataFrame:
    """Read a file by its suffix.

    Raises
    ------
    TableError
        If it is missing, of another kind, or cannot be read.
    """
    suffix = path.suffix.lower()
    try:
        if not path.is_file():
            raise TableError(f"No file at {str(path)!r}.")
        if suffix in READERS:
            return READERS[suffix](path, options, findings)
    except TableError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        raise TableError(f"{path.name!r} cannot be read: {error}.") from None
    raise TableError(
        Problem(
            f"{path.name!r} is of no kind that can be read.",
            allowed=f"Allowed: {', '.join(READERS)}.",
            fix=REMEDIES.get(suffix, ""),
        )
    )
