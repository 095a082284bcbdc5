"""Files of SPSS, Stata and SAS: value labels, and values that the file declares to mean missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, first_few, number_text, quote, show_cells, show_level
from bayes_alliance.errors import TableError
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.table.files.column_names import rename_repeated
from bayes_alliance.table.files.options import FileOptions

_TIMES: Final = ("date", "datetime", "datetime64", "time")

_PLAIN: Final = ("ordinal", "scale")
"""Kinds of variables whose labels explain numbers, and do not name levels."""


def read_statistics(path: Path, options: FileOptions, findings: Findings) -> pd.DataFrame:
    """Read a file of SPSS, Stata or SAS by pyreadstat; only columns that are wanted are converted."""
    import pyreadstat

    readers: Mapping[str, Callable[..., Any]] = {
        ".sav": pyreadstat.read_sav,
        ".zsav": pyreadstat.read_sav,
        ".por": pyreadstat.read_por,
        ".dta": pyreadstat.read_dta,
        ".sas7bdat": pyreadstat.read_sas7bdat,
        ".xpt": pyreadstat.read_xport,
    }
    suffix = path.suffix.lower()
    more: dict[str, Any] = {"user_missing": True} if suffix in (".sav", ".zsav", ".dta", ".sas7bdat") else {}
    if options.encoding is not None:
        more["encoding"] = options.encoding
    read = readers[suffix]
    try:
        _, meta = read(str(path), metadataonly=True, **more)
        wanted = None
        if options.columns is not None:
            wanted = [name for name in meta.column_names if name in set(options.columns)]
        frame, meta = read(str(path), usecols=wanted, **more)
    except (pyreadstat.ReadstatError, pyreadstat.PyreadstatError, UnicodeError, ValueError) as error:
        raise TableError(
            Problem(
                f"{path.name!r} cannot be read: {str(error).rstrip('.')}.",
                fix="Save it anew, or state its encoding, such as encoding='cp1252'.",
            )
        ) from None
    frame = pd.DataFrame(frame)
    frame = _declared_missing(frame, meta, findings)
    return rename_repeated(_labelled(frame, meta, options, findings), findings)


def _declared_missing(frame: pd.DataFrame, meta: Any, findings: Findings) -> pd.DataFrame:
    """Set values to missing that the file declares so, and count them by column and code."""
    counted: dict[str, pd.Series] = {}
    ranges = dict(getattr(meta, "missing_ranges", None) or {})
    letters = dict(getattr(meta, "missing_user_values", None) or {})
    for name in frame.columns:
        column = frame[name]
        gone = np.zeros(len(column), dtype=bool)
        times = pd.api.types.infer_dtype(column, skipna=True) in _TIMES
        for one in () if times else ranges.get(name, ()):  # codes of dates are numbers that no cell holds any more
            low, high = one["lo"], one["hi"]
            if isinstance(low, str) or isinstance(high, str):
                gone |= (column.astype("str").str.strip() == str(low).strip()).to_numpy()
            else:
                numbers = pd.to_numeric(column, errors="coerce")
                gone |= ((numbers >= low) & (numbers <= high)).to_numpy()
        if name in letters:  # .a to .z of Stata and SAS, among numbers
            gone |= np.array([isinstance(cell, str) and cell in letters[name] for cell in column], dtype=bool)
        if gone.any():
            counted[name] = column[gone].map(lambda cell: cell if isinstance(cell, str) else number_text(float(cell)))
            kept = column.mask(gone)
            frame[name] = pd.to_numeric(kept) if name in letters else kept
    if counted:
        cells = sum(len(own) for own in counted.values())
        shown = []
        for name, own in counted.items():
            codes = [f"{show_level(code)} ({count:,})" for code, count in sorted(own.value_counts().items())]
            shown.append(f"{name!r}: {first_few(codes)}")
        findings.note(
            f"{count_of(cells, 'cell')} {are(cells, 'holds a value', 'hold values')} that the file declares missing: "
            f"{'; '.join(shown[:5])}{' and others' if len(shown) > 5 else ''}."
        )
    return frame


def _labelled(frame: pd.DataFrame, meta: Any, options: FileOptions, findings: Findings) -> pd.DataFrame:
    """Put labels in place of values, where a variable is nominal and every value has one, or where that is stated."""
    labels: Mapping[str, Mapping[Any, str]] = meta.variable_value_labels
    measures: Mapping[str, str] = meta.variable_measure
    stated = options.labels
    taken, numbers = [], []
    if stated is not None:
        lacking = [name for name in stated if name in frame.columns and name not in labels]
        if lacking:
            findings.problem(f"labels names {quote(lacking)}, whose values have none in the file.")
    for name in frame.columns:
        own = labels.get(name)
        if not own:
            continue
        seen = frame[name].dropna().unique()
        whole = len(seen) > 0 and all(value in own for value in seen)
        plain = measures.get(name) in _PLAIN or not whole or any(fnmatchcase(name, one) for one in options.numbers)
        if plain if stated is None else name not in stated:
            numbers.append(name)
            continue
        without = [number_text(float(v)) if not isinstance(v, str) else v for v in seen if v not in own]
        if without:
            findings.problem(
                f"labels names {name!r}, in which {quote(without)} {are(len(without), 'has', 'have')} no label.",
                fix="Declare them missing in the file, or leave the column out of labels.",
            )
            continue
        twice = [label for label in set(own.values()) if [own[v] for v in seen].count(label) > 1]
        if twice and stated is None:
            numbers.append(name)
            continue
        if twice:
            findings.problem(f"Values of {name!r} share the label {show_cells(twice)}.", fix="Give each its own label.")
            continue
        frame[name] = frame[name].map(own).astype("str")
        taken.append(name)
    if taken:
        more = "" if stated is not None else " Where numbers are wanted, state labels= with the other columns alone."
        findings.note(f"Value labels are the values of {first_few([repr(name) for name in taken])}.{more}")
    if numbers:
        findings.note(
            f"Values of {first_few([repr(name) for name in numbers])} stay numbers: they are sessions or items, are "
            "ordinal or scale, or not every value has a label of its own. State labels=[...] to take labels."
        )
    return frame
