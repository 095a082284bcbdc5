"""Which cells mean missing: empty ones, words for it, and codes that are declared, whatever type they have."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pandas as pd

from bayes_alliance._messages import number_text

MISSING_CODES: Final = ("", "NA", "N/A", "NaN", "nan")
"""Texts that mean missing in a measured column; in an identifier only the empty text does."""


def is_missing(column: pd.Series, declared: object) -> np.ndarray:
    """Return which cells mean missing: empty ones, words for it, and codes that are declared; shape (row,)."""
    several = isinstance(declared, Iterable) and not isinstance(declared, str)
    codes: list[Any] = [*MISSING_CODES, *(declared if several else [declared])]  # type: ignore[misc]
    cells = column.astype("str").str.strip()
    numbers = pd.to_numeric(cells, errors="coerce")
    return np.asarray(column.isna() | cells.isin(texts_of(codes)) | numbers.isin(numbers_of(codes)))


def texts_of(codes: Collection[str | float]) -> set[str]:
    """Return codes as the texts that a cell may hold."""
    return {str(code).strip() for code in codes} | {number_text(code) for code in numbers_of(codes)}


def numbers_of(codes: Collection[str | float]) -> list[float]:
    """Return those codes that are numbers."""
    return [float(str(code)) for code in codes if is_number(code)]


def is_number(code: object) -> bool:
    """Return whether a code or category is a number (infinite ones too), or a text that says one."""
    if isinstance(code, bool) or not isinstance(code, (str, int, float, np.integer, np.floating, Decimal)):
        return False
    try:
        return not np.isnan(float(str(code)))
    except ValueError:
        return False
