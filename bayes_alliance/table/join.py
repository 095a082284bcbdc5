"""Typing the columns of a table by role, and joining what is measured once per unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, first_few, quote
from bayes_alliance.names import ID_ROLES
from bayes_alliance.table.read import MISSING_CODES, id_text, type_column

SIDES: Final = ("patient", "therapist", "group")
"""Units that may bring a table of their own, joined in this order."""

type Codes = Mapping[str, tuple[str | float, ...]]


def missing_codes(declared: Mapping[str, str | float | Sequence[str | float]]) -> Codes:
    """Return declared codes as tuples; a single code may be given without brackets."""
    return {
        name: (codes,) if isinstance(codes, (str, int, float)) else tuple(codes) for name, codes in declared.items()
    }


def type_frame(frame: pd.DataFrame, roles: Mapping[str, str], codes: Codes, problems: list[str]) -> pd.DataFrame:
    """Return identifiers as text and measured columns as numbers or words."""
    ids = [roles[role] for role in ID_ROLES if role in roles]
    session = roles.get("session")
    typed = {}
    for name in frame.columns:
        declared = codes.get(name, ())
        if name in ids:
            text = id_text(frame[name])
            typed[name] = text.mask(text.isin(list(id_text(pd.Series(declared, dtype=object)))), "")
            continue
        before = len(problems)
        typed[name] = type_column(name, frame[name], (*MISSING_CODES, *declared), problems)
        if name == session and typed[name].dtype != np.float64:
            if len(problems) == before:
                problems.append(f"session column {name!r} holds words. Allowed: whole numbers from 0.")
            typed[name] = pd.to_numeric(typed[name].astype("str"), errors="coerce").astype("float64")
    return pd.DataFrame(typed)


def join_side(
    frame: pd.DataFrame,
    other: pd.DataFrame,
    role: str,
    roles: Mapping[str, str],
    problems: list[str],
    messages: list[str],
) -> pd.DataFrame:
    """Join a typed side table on its unit's id, many-to-one; rows without an id join nothing."""
    key = roles.get(role)
    if key is None or key not in other.columns:
        wanted = f"a column {key!r}" if key else f"a column that plays {role!r} in roles"
        problems.append(f"The {role}s table needs {wanted} to join on. Columns seen: {quote(other.columns)}.")
        return frame
    if key not in frame.columns:
        problems.append(f"No table before the {role}s table has the column {key!r} to join on.")
        return frame
    blank = int((other[key] == "").sum())
    if blank:
        messages.append(f"{count_of(blank, 'row')} of the {role}s table without a {role} id left out.")
        other = other[other[key] != ""]
    shared = [name for name in other.columns if name in frame.columns and name != key]
    repeated = list(dict.fromkeys(other.loc[other[key].duplicated(), key]))
    if shared:
        problems.append(f"The {role}s table repeats columns of the sessions: {quote(shared)}. Keep each in one table.")
    if repeated:
        problems.append(
            f"The {role}s table has more than one row for {count_of(len(repeated), role)}: "
            f"{first_few([repr(r) for r in repeated])}. Keep one row per {role}."
        )
    if shared or repeated:
        return frame
    here, there = set(frame[key]) - {""}, set(other[key])
    lost, spare = len(here - there), len(there - here)
    if lost:
        messages.append(
            f"{count_of(lost, role)} of the sessions {are(lost, 'has', 'have')} no row in the {role}s table."
        )
    if spare:
        messages.append(
            f"{count_of(spare, role)} of the {role}s table {are(spare, 'has', 'have')} no session and "
            f"{are(spare, 'is', 'are')} left out."
        )
    joined = frame.merge(other, on=key, how="left", validate="many_to_one")
    ids = [roles[r] for r in ID_ROLES if r in roles and roles[r] in other.columns]
    return joined.assign(**{name: joined[name].fillna("").astype("str") for name in ids})
