"""A table column by column: what each was read as, its figures, and values that look like codes for missing."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from bayes_alliance._messages import count_of, number_text, show_cell
from bayes_alliance.table.codes import find_codes
from bayes_alliance.table.files.missing_codes import numbers_of
from bayes_alliance.table.sessions import SessionTable

BARS: Final = "▁▂▃▄▅▆▇█"
BINS: Final = 8

SHORT: Final = 24
"""Characters of a word that a profile shows."""


def profile(sessions: SessionTable) -> pd.DataFrame:
    """Return a line per measured column of a table.

    Returns
    -------
    DataFrame
        ``column``, ``unit``, ``read as`` (numbers, 0/1, words, ordered words, or that no model can read it), ``shape``,
        a bar per eighth of the range, ``n``, ``missing``, ``mean``, ``sd``, ``min``, ``max``, ``distinct``, and
        ``commonest`` with its number of rows. Figures are over rows.
    """
    rows = [
        {"column": name, "unit": sessions.units[name], **_line(sessions.frame[name], name in sessions.doubts)}
        for name in sessions.units
    ]
    columns = [
        "column",
        "unit",
        "read as",
        "shape",
        "n",
        "missing",
        "mean",
        "sd",
        "min",
        "max",
        "distinct",
        "commonest",
    ]
    return pd.DataFrame(rows, columns=columns)


def say_codes(sessions: SessionTable) -> list[str]:
    """Return which columns hold values that look like undeclared codes; a model that reads one refuses it."""
    said = []
    for name, unit in sessions.units.items():
        column = sessions.frame[name]
        if column.dtype != np.float64 or name in sessions.bounds:
            continue
        ids = sessions.ids(unit if unit in sessions.roles else "patient")
        accepted = numbers_of(sessions.accepted.get(name, ()))
        for code in find_codes(column.to_numpy(), ids):
            if code.value not in accepted:
                others = f"{number_text(code.low)} to {number_text(code.high)}"
                said.append(
                    f"Column {name!r} holds {number_text(code.value)} in {count_of(code.cells, 'row')}, far from its "
                    f"other values ({others}): a code for missing?"
                )
    return said


def _line(column: pd.Series, doubtful: bool) -> dict[str, object]:
    known = column.dropna()
    found: dict[str, object] = {"n": len(known), "missing": int(column.isna().sum())}
    found |= dict.fromkeys(("mean", "sd", "min", "max"), np.nan)
    counts = known.value_counts()
    found["distinct"] = len(counts)
    common = "" if counts.empty else max(sorted(map(str, counts.index[counts == counts.iloc[0]])))
    if column.dtype == np.float64:
        values = known.to_numpy()
        truth = len(values) > 0 and bool(np.isin(values, (0.0, 1.0)).all())
        found["read as"] = "0/1" if truth else "numbers"
        if len(values):
            spread = float(values.std(ddof=1)) if len(values) > 1 else np.nan
            found |= {"mean": values.mean(), "sd": spread, "min": values.min(), "max": values.max()}
            common = number_text(float(counts.index[0]))
        found["shape"] = bars(values)
    else:
        ordered = isinstance(column.dtype, pd.CategoricalDtype)
        found["read as"] = "no model can read it" if doubtful else "ordered words" if ordered else "words"
        found["shape"] = ""
        common = show_cell(common[:SHORT] + ("…" if len(common) > SHORT else "")) if common else ""
    found["commonest"] = f"{common} ({int(counts.iloc[0]):,})" if len(counts) else ""
    return found


def bars(values: np.ndarray) -> str:
    """Return a bar per eighth of the range of numbers, or per value where there are fewer; empty for one value."""
    known = values[np.isfinite(values)]
    different = np.unique(known)
    if len(different) < 2:
        return ""
    if len(different) <= BINS:
        counts = np.array([(known == value).sum() for value in different])
    else:
        counts = np.histogram(known, bins=BINS)[0]
    heights = np.ceil(counts / counts.max() * len(BARS)).astype(int)
    return "".join(BARS[max(height - 1, 0)] if height else " " for height in heights)
