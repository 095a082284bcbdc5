"""Whose each column is: the widest unit within which its values never differ."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd


class Within:
    """The rows of the units of a role, one unit after the other, to see which columns are constant in them."""

    def __init__(self, ids: pd.Series) -> None:
        code, names = pd.factorize(ids)
        code = np.where((ids == "").to_numpy(), -1, code)  # rows without a unit are in none
        self.count = len(names) - bool((ids == "").any())
        self.whole = bool((code >= 0).all())
        order = np.argsort(code, kind="stable")
        self.order = order[np.searchsorted(code[order], 0) :]
        ordered = code[self.order]
        self.starts = np.flatnonzero(np.r_[True, np.diff(ordered) != 0]) if len(ordered) else np.zeros(0, dtype=int)

    def is_constant(self, values: np.ndarray) -> bool:
        """Return whether values, NaN where missing, never differ within a unit."""
        if not len(self.starts):
            return True
        own = values[self.order]
        low, high = np.fmin.reduceat(own, self.starts), np.fmax.reduceat(own, self.starts)
        return bool(((low == high) | np.isnan(low)).all())


def units_of(frame: pd.DataFrame, roles: Mapping[str, str]) -> Mapping[str, str]:
    """Return the unit of every column that plays no role."""
    within = {role: Within(frame[roles[role]]) for role in ("patient", "site", "group", "therapist") if role in roles}
    return MappingProxyType(
        {name: _unit_of(frame[name], within) for name in frame.columns if name not in roles.values()}
    )


def _unit_of(column: pd.Series, within: Mapping[str, Within]) -> str:
    """Return the widest unit within which the observed values of a column never differ."""
    values = column.to_numpy() if column.dtype == np.float64 else pd.factorize(column)[0].astype(float)
    values = np.where(values < 0, np.nan, values) if column.dtype != np.float64 else values
    if not within["patient"].is_constant(values):
        return "session"
    for role in ("site", "group", "therapist"):
        own = within.get(role)
        if own is not None and own.count < within["patient"].count and own.whole and own.is_constant(values):
            return role
    return "patient"
