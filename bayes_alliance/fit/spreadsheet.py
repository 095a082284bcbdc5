"""Tables of results as CSV that a spreadsheet opens as text and numbers, never as formulas."""

from __future__ import annotations

from typing import Any, Final

import pandas as pd

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a cell begins with that spreadsheets work out, or strip until they find such a sign; full-width signs, too."""


def csv_bytes(table: Any) -> bytes:
    """Return a table of results as CSV.

    A cell of text, or a column's name, that a spreadsheet would take for a formula begins with a quote sign: labels
    hold names and levels of a study's table, which may be ``=HYPERLINK(...)``. Tables of data, which are read back, are
    not written here.

    Parameters
    ----------
    table : DataFrame or plain lines
        Of results.
    """
    frame = pd.DataFrame(table)
    frame.columns = pd.Index([_as_text(str(name)) for name in frame.columns])
    for place, name in enumerate(frame.columns):
        cells = [_as_text(cell) if isinstance(cell, str) else cell for cell in frame.iloc[:, place]]
        frame[name] = pd.Series(cells, index=frame.index, dtype=frame.dtypes.iloc[place])
    return bytes(frame.to_csv(index=False, lineterminator="\n").encode())


def _as_text(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA) else cell
