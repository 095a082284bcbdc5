"""Typing the columns of a table by role, and joining what is measured once per unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, first_few, quote, spell
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.names import ID_ROLES
from bayes_alliance.table.cells import check_id_cells, count_codes, find_decimal, id_text, type_column
from bayes_alliance.table.files.missing_codes import MISSING_CODES, is_number, texts_of
from bayes_alliance.table.rules import id_form

SIDES: Final = ("patient", "therapist", "group")
"""Units that may bring a table of their own, joined in this order."""

type Codes = Mapping[str, tuple[str | float, ...]]


def missing_codes(declared: object, columns: Sequence[str], findings: Findings) -> Codes:
    """Return declared codes as tuples; a single code may be given without brackets."""
    if not isinstance(declared, Mapping):
        findings.problem(f"missing is {declared!r}; it names codes by column, such as {{'phq9': [-9, 99]}}.")
        return {}
    findings.add([Problem(f"missing= names {name!r}, which is no column.") for name in declared if name not in columns])
    found = {}
    for name, codes in declared.items():
        if isinstance(codes, Sequence | set | frozenset) and not isinstance(codes, str):
            found[name] = tuple(codes)
        else:
            found[name] = (codes,)
        odd = [code for code in found[name] if not isinstance(code, (str, bool, np.bool_)) and not _is_real(code)]
        if odd:
            findings.problem(
                f"missing= of {name!r} holds {first_few(list(map(repr, odd)))}; codes are numbers or text."
            )
            found[name] = ()
    return found


def read_accepted(
    accept: Mapping[str, Sequence[float | str]] | None, frame: pd.DataFrame, findings: Findings
) -> Mapping[str, tuple[float | str, ...]]:
    """Return numbers, levels and ids of a typed frame that are genuine, reporting what is no such statement."""
    found: dict[str, tuple[float | str, ...]] = {}
    if accept is not None and not isinstance(accept, Mapping):
        findings.problem(f"accept is {accept!r}; it names values by column, such as {{'minutes': [999]}}.")
        return found
    for name, values in (accept or {}).items():
        own = values if isinstance(values, Sequence) and not isinstance(values, str) else [values]
        if name not in frame.columns:
            findings.problem(f"accept= names {name!r}, which is no column.")
        elif not all(isinstance(value, str) or _is_real(value) for value in own):
            findings.problem(
                f"accept= of {name!r} holds {first_few(list(map(repr, own)))}; values are numbers or text."
            )
        elif frame[name].dtype == np.float64 and not all(map(is_number, own)):
            words = first_few([repr(value) for value in own if not is_number(value)])
            findings.problem(f"accept= of {name!r} holds {words}, and the column holds numbers.")
        elif frame[name].dtype != np.float64 and not texts_of(own) & set(frame[name].astype("str")):
            findings.problem(f"accept= of {name!r} holds {first_few(list(map(repr, own)))}, which no cell holds.")
        else:
            found[name] = tuple(value if isinstance(value, str) else float(value) for value in own)
    return found


def _is_real(code: object) -> bool:
    return isinstance(code, (int, float, np.integer, np.floating, Decimal))


def type_frame(
    frame: pd.DataFrame,
    roles: Mapping[str, str],
    codes: Codes,
    findings: Findings,
    doubts: dict[str, Problem],
    decimal: str | None = None,
) -> pd.DataFrame:
    """Return identifiers as text and measured columns as numbers or words.

    ``doubts`` gets, by column, what keeps a model from reading it: what nothing reads stops nothing. ``decimal`` is
    what stands before decimals in text, found in every column unless stated.
    """
    ids = [roles[role] for role in ID_ROLES if role in roles]
    session = roles.get("session")
    typed = {}
    commas = []
    for name in frame.columns:
        declared = codes.get(name, ())
        if name in ids:
            check_id_cells(name, frame[name], findings)
            text = id_text(frame[name])
            typed[name] = text.mask(text.isin(list(id_text(pd.Series(declared, dtype=object)))), "")
            continue
        read, own = (*MISSING_CODES, *declared), Findings(messages=findings.messages)
        sign = decimal or find_decimal(frame[name])
        commas += [name] if sign == "," and decimal is None else []
        typed[name] = type_column(name, frame[name], read, own, None if name == session else doubts, decimal=sign)
        told = count_codes(name, frame[name], typed[name], declared, sign)
        findings.note(*([told] if told else []))
        findings.add(own.problems)
        if name == session and typed[name].dtype != np.float64:
            if not own.problems:
                findings.problem(f"session column {name!r} holds words.", allowed="Allowed: whole numbers from 0.")
            typed[name] = pd.to_numeric(typed[name].astype("str"), errors="coerce").astype("float64")
    if commas:
        shown = first_few([repr(name) for name in commas])
        findings.note(f"Commas in {shown} were read as decimals. State decimal='.' if they are thousands.")
    return pd.DataFrame(typed)


def join_side(
    frame: pd.DataFrame,
    other: pd.DataFrame,
    role: str,
    roles: Mapping[str, str],
    findings: Findings,
) -> pd.DataFrame:
    """Join a typed side table on its unit's id, many-to-one; rows without an id join nothing."""
    key = roles.get(role)
    if key is None or key not in other.columns:
        wanted = f"a column {key!r}" if key else f"a column that plays {role!r} in roles"
        findings.problem(
            f"The {role}s table needs {wanted} to join on.", allowed=f"Columns seen: {quote(other.columns)}."
        )
        return frame
    if key not in frame.columns:
        findings.problem(f"No table before the {role}s table has the column {key!r} to join on.")
        return frame
    blank = int((other[key] == "").sum())
    if blank:
        findings.note(f"{count_of(blank, 'row')} of the {role}s table without a {role} id left out.")
        other = other[other[key] != ""]
    shared = [name for name in other.columns if name in frame.columns and name != key]
    repeated = list(dict.fromkeys(other.loc[other[key].duplicated(), key]))
    if shared:
        findings.problem(
            f"The {role}s table repeats columns of the sessions: {quote(shared)}.", fix="Keep each in one table."
        )
    if repeated:
        findings.problem(
            f"The {role}s table has more than one row for {count_of(len(repeated), role)}: "
            f"{first_few([repr(r) for r in repeated])}.",
            fix=f"Keep one row per {role}.",
        )
    if shared or repeated:
        return frame
    here, there = set(frame[key]) - {""}, set(other[key])
    lost, spare = len(here - there), len(there - here)
    alike = _alike(here - there, there - here)
    if alike:
        findings.problem(
            f"{count_of(len(alike), role)} of the sessions {are(len(alike), 'has', 'have')} no row in the "
            f"{role}s table, where an id looks the same: {first_few(alike)} (sessions, {role}s table). They "
            "differ in blanks, case, leading zeros, invisible characters or Unicode form.",
            fix="Write each id the same way in both tables.",
        )
        return frame
    if lost:
        findings.note(f"{count_of(lost, role)} of the sessions {are(lost, 'has', 'have')} no row in the {role}s table.")
    if spare:
        findings.note(
            f"{count_of(spare, role)} of the {role}s table {are(spare, 'has', 'have')} no session and "
            f"{are(spare, 'is', 'are')} left out."
        )
    joined = frame.merge(other, on=key, how="left", validate="many_to_one")
    ids = [roles[r] for r in ID_ROLES if r in roles and roles[r] in other.columns]
    return joined.assign(**{name: joined[name].fillna("").astype("str") for name in ids})


def _alike(lost: set[str], spare: set[str]) -> list[str]:
    """Return pairs of an id without a partner and one of the other table that a reader takes for the same."""
    by_form = {id_form(one): one for one in sorted(spare, reverse=True)}
    return [spell([one, by_form[id_form(one)]]) for one in sorted(lost) if id_form(one) in by_form]
