"""Wide tables to long ones: columns such as wai_1, wai_2, … to one column and a row per session."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, first_few, number_text, quote, show_cell
from bayes_alliance.findings import Findings
from bayes_alliance.table.files.missing_codes import is_missing

_FIELD: Final = re.compile(r"\{(session|item)\}")


def lengthen(
    frame: pd.DataFrame,
    patterns: Mapping[str, str],
    words: Mapping[str, float],
    patient: str,
    session: str,
    findings: Findings,
    missing: Mapping[str, object] | None = None,
) -> pd.DataFrame:
    """Return a row per patient and session of which the wide table has a value.

    Parameters
    ----------
    frame : DataFrame
        A row per patient.
    patterns : mapping of str to str
        Variable to the names of its columns, with ``{session}`` for the number of the session and, where there are
        several in one, ``{item}``: the variables are then called ``alliance_1``, ``alliance_2`` …
    words : mapping of str to float
        Session numbers of words that stand in their place, such as ``{"fu1": 20}``.
    patient, session : str
        The columns of patients, and the one that is made.
    findings : Findings
        Problems, and how many rows were made.
    missing : mapping, optional
        Codes by variable that mean missing, as they are stated.
    """
    if session in patterns:
        findings.problem(f"wide names {session!r}, the column of the session that is made.", fix="Call it differently.")
        return frame
    if session in frame.columns:
        findings.problem(
            f"A wide table has a row per patient, and this one has a column {session!r} already.",
            fix="Leave wide out, or call that column differently.",
        )
        return frame
    found: dict[float, dict[str, str]] = {}
    taken: dict[str, str] = {}
    for variable, pattern in patterns.items():
        matched = _match(variable, pattern, list(frame.columns), words, findings)
        for column, (number, name) in matched.items():
            if taken.setdefault(column, variable) != variable:
                findings.problem(f"Column {column!r} fits the patterns of {taken[column]!r} and {variable!r}.")
            elif name in found.setdefault(number, {}):
                findings.problem(
                    f"{quote([found[number][name], column])} are both {name!r} at session {number_text(number)}."
                )
            else:
                found[number][name] = column
    kept = [name for name in frame.columns if name not in taken]
    clash = sorted({name for own in found.values() for name in own} & set(kept))
    if clash:
        findings.problem(f"{quote(clash)} of wide is a column of the table, too.", fix="Call it differently.")
    ids = frame[patient].astype("str")
    twice = [show_cell(one) for one in dict.fromkeys(ids[ids.duplicated()])]
    if twice:
        findings.problem(
            f"A wide table has a row per patient, and {count_of(len(twice), 'patient')} "
            f"{are(len(twice), 'has', 'have')} several: {first_few(twice)}."
        )
    if findings.problems or not found:
        return frame
    return _stack(frame, found, kept, patient, session, missing or {}, findings)


def _stack(
    frame: pd.DataFrame,
    found: Mapping[float, Mapping[str, str]],
    kept: list[str],
    patient: str,
    session: str,
    missing: Mapping[str, object],
    findings: Findings,
) -> pd.DataFrame:
    names = list(dict.fromkeys(name for own in found.values() for name in own))
    parts, empty = [], 0
    for number in sorted(found):
        own = found[number]
        part = frame[[*kept, *own.values()]].rename(columns={column: name for name, column in own.items()})
        blank = np.column_stack([is_missing(part[name], missing.get(name, ())) for name in own])
        there = ~blank.all(axis=1)
        empty += int((~there).sum())
        parts.append(part[there].assign(**{session: float(number)}))
    found_orders = {name: _order([part[name] for part in parts if name in part], name, findings) for name in names}
    orders = {name: order for name, order in found_orders.items() if order is not None}
    parts = [part.astype({name: order for name, order in orders.items() if name in part}) for part in parts]
    long = pd.concat(parts, ignore_index=True)
    long = long[[*kept, session, *names]].astype(orders)
    order = np.lexsort([long[session].to_numpy(), pd.factorize(long[patient])[0]])
    findings.note(
        f"The wide table of {count_of(len(frame), 'row')} is {len(long):,} rows, one per patient and session with a "
        f"value of {first_few([repr(name) for name in names])}; {count_of(empty, 'session')} without any "
        f"{are(empty, 'is', 'are')} left out."
    )
    return pd.DataFrame(long.iloc[order].reset_index(drop=True))


def _order(columns: Sequence[pd.Series], name: str, findings: Findings) -> pd.CategoricalDtype | None:
    """Return the order of categories that the columns of a variable have in common, None where they have none.

    One that lacks categories of another has that one's order; orders that contradict one another are lost, and said.
    """
    filled = [one for one in columns if one.notna().any()]
    known = [one.dtype for one in filled if isinstance(one.dtype, pd.CategoricalDtype) and one.dtype.ordered]
    if not known:
        return None
    if len(known) < len(filled):
        findings.note(f"Some columns of {name!r} have ordered categories and some have not; {name!r} has no order.")
        return None
    widest = max(known, key=lambda one: len(one.categories))
    place = {category: number for number, category in enumerate(widest.categories)}
    for one in known:
        places = [place.get(category, -1) for category in one.categories]
        if -1 in places or places != sorted(places):
            findings.note(f"Columns of {name!r} order their categories differently; {name!r} has words without order.")
            return None
    return widest


def _match(
    variable: str, pattern: str, columns: list[str], words: Mapping[str, float], findings: Findings
) -> dict[str, tuple[float, str]]:
    """Return the columns that fit a pattern, each with its session and the name of its variable."""
    fields = _FIELD.findall(pattern)
    if fields.count("session") != 1 or fields.count("item") > 1:
        findings.problem(
            f"wide[{variable!r}] is {pattern!r}.", allowed="A name of columns with {session} in it, and {item} at most."
        )
        return {}
    pieces = _FIELD.split(pattern)
    if len(fields) == 2 and not pieces[2]:
        findings.problem(
            f"wide[{variable!r}] is {pattern!r}: where the session ends and the item begins is not told.",
            fix="Rename the columns, with a mark between the two.",
        )
        return {}
    known = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    numbers = rf"\d+(?:\.\d+)?{'|' + known if known else ''}"
    shapes = {"session": f"(?P<session>{numbers})", "item": r"(?P<item>\w+?)"}
    text = "".join(shapes[one] if place % 2 else re.escape(one) for place, one in enumerate(pieces))
    found = {}
    for column in columns:
        match = re.fullmatch(text, column)
        if match:
            stated = match["session"]
            number = words[stated] if stated in words else float(stated)
            found[column] = (number, f"{variable}_{match['item']}" if "item" in fields else variable)
    if not found:
        alike = [name for name in columns if name.startswith(pieces[0]) and pieces[0]]
        findings.problem(
            f"No column fits the pattern {pattern!r} of wide[{variable!r}].",
            allowed=f"Columns that begin like it: {first_few([repr(name) for name in alike])}." if alike else "",
            fix="Words in place of numbers are stated in wide_sessions={'pre': 0}.",
        )
        return {}
    near = re.compile("".join(r"\w+?" if place % 2 else re.escape(one) for place, one in enumerate(pieces)))
    rest = [name for name in columns if name not in found and near.fullmatch(name)]
    if rest:
        findings.note(
            f"{first_few([repr(name) for name in rest])} {are(len(rest), 'has', 'have')} no session number where "
            f"{pattern!r} has one and {are(len(rest), 'stays', 'stay')} of patients. State wide_sessions to read them."
        )
    return found
