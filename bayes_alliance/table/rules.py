"""What rows must satisfy before they are a session table. Every rule reports; none stops the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from bayes_alliance._messages import (
    are,
    count_of,
    first_few,
    group_alike,
    hint,
    plain_form,
    quote,
    show_level,
    spell,
    unknown,
)
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.names import ID_ROLES, ROLES
from bayes_alliance.table.files.missing_codes import MISSING_CODES, texts_of
from bayes_alliance.table.nesting import UNITS_ABOVE

if TYPE_CHECKING:
    import pandera.pandas as pa


def check_roles(roles: Mapping[str, str], columns: list[str]) -> list[Problem]:
    """Report unknown roles, columns that are not there, a column with two roles, a missing patient role."""
    if not isinstance(roles, Mapping) or not all(isinstance(one, str) for pair in roles.items() for one in pair):
        return [
            Problem(
                f"roles is {roles!r}.",
                allowed=(
                    "It names the column that plays each role, such as {'patient': 'id', 'session': 'week'}. "
                    f"Columns seen: {quote(columns)}."
                ),
            )
        ]
    problems = [unknown("role", role, ROLES) for role in roles if role not in ROLES]
    for role, column in roles.items():
        if column not in columns:
            problems.append(
                Problem(
                    f"No column {column!r} to play {role!r}.",
                    allowed=f"Columns seen: {quote(columns)}.",
                    fix=hint(column, columns),
                )
            )
    given = list(roles.values())
    for column in dict.fromkeys(given):
        if given.count(column) > 1:
            playing = quote(role for role, name in roles.items() if name == column)
            problems.append(Problem(f"Column {column!r} plays {playing}; a column plays one role."))
    if "patient" not in roles:
        problems.append(
            Problem(
                "No column plays 'patient'.",
                allowed=f"Columns seen: {quote(columns)}.",
                fix=f"{hint('patient', columns)} Where each row is a person, state each_row='patient'.".strip(),
            )
        )
    return problems


def as_names(names: object) -> tuple[object, ...]:
    """Return names as a tuple; one may be given without brackets, and None is none."""
    if names is None:
        return ()
    return tuple(names) if isinstance(names, Iterable) and not isinstance(names, str) else (names,)


def check_mappings(options: Mapping[str, object]) -> list[Problem]:
    """Report options that are no mapping from columns."""
    return [
        Problem(f"{name} is {given!r}; it is a mapping by column, such as {{'wai': ...}}.")
        for name, given in options.items()
        if given is not None and not isinstance(given, Mapping)
    ]


def check_ignored(ignored: Sequence[object], roles: Mapping[str, str], columns: Sequence[str]) -> list[Problem]:
    """Report columns to ignore that are not there, or that play a role."""
    problems = [unknown("column", str(name), columns, "ignore") for name in ignored if name not in columns]
    pairs = list(roles.items()) if isinstance(roles, Mapping) else []
    return problems + [
        Problem(f"ignore names {column!r}, which plays {role!r}.", fix="Take it out of one of the two.")
        for role, column in pairs
        if column in ignored
    ]


def find_alike_columns(columns: Sequence[str]) -> list[str]:
    """Describe columns whose names differ only in blanks, invisible characters or Unicode form."""
    groups = group_alike(columns, drawn=False)
    alike = [spell(names) for names in groups if len({plain_form(n, case=True) for n in names}) == 1]
    if not alike:
        return []
    return [
        f"Columns whose names differ only in blanks, invisible characters or Unicode form: {first_few(alike)}. A model "
        f"reads the one that is spelled exactly as stated."
    ]


def check_bounds(
    frame: pd.DataFrame, bounds: Mapping[str, tuple[float, float]], findings: Findings
) -> dict[str, tuple[float, float]]:
    """Return bounds of columns as numbers, reporting ends that are none and values outside."""
    found = {}
    for name, ends in bounds.items():
        if name not in frame.columns:
            findings.add([unknown("column", name, list(frame.columns), "bounds")])
            continue
        try:
            low, high = (float(end) for end in ends)
        except (TypeError, ValueError):
            low = high = float("nan")
        if not low < high:
            findings.problem(
                f"bounds of {name!r} are its lowest and highest value, the lower first; they are {ends!r}."
            )
            continue
        if frame[name].dtype != "float64":
            findings.problem(f"column {name!r} holds words, which have none.", where="bounds")
            continue
        outside = frame[name][(frame[name] < low) | (frame[name] > high)]
        if len(outside):
            shown = [f"row {row + 1} ({value:g})" for row, value in outside.items() if isinstance(row, int)]
            findings.problem(
                f"Column {name!r} is outside its bounds [{low:g}, {high:g}] in "
                f"{count_of(len(outside), 'row')}: {first_few(shown)}.",
                fix=(
                    f"Correct the values, declare codes in missing={{{name!r}: [...]}}, or state the bounds as "
                    "the scale was scored."
                ),
            )
        found[name] = (low, high)
    return found


def session_schema(roles: Mapping[str, str]) -> pa.DataFrameSchema:
    """Return the column checks of the role columns: patients named, session numbers whole and not negative."""
    import pandera.pandas as pa

    columns = {
        roles["patient"]: pa.Column(
            checks=pa.Check(lambda ids: ids != "", error="has no identifier"), name=roles["patient"]
        )
    }
    if "session" in roles:
        columns[roles["session"]] = pa.Column(
            float,
            [
                pa.Check(lambda s: s >= 0, error="is negative"),
                pa.Check(lambda s: s % 1 == 0, error="is not a whole number"),
            ],
            nullable=False,
        )
    return pa.DataFrameSchema(columns)


def check_columns(frame: pd.DataFrame, roles: Mapping[str, str]) -> list[Problem]:
    """Report every cell of a role column that breaks its rule, as one sentence per column and rule."""
    import pandera.pandas as pa

    try:
        session_schema(roles).validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
    else:
        return []
    problems = []
    for (column, check), found in cases.groupby(["column", "check"], sort=False):
        what = "is missing" if "null" in str(check) else str(check)
        role = next(role for role, name in roles.items() if name == column)
        cells = [
            f"row {int(i) + 1}" + ("" if case == "" or case != case else f" ({case})") for i, case in _cases(found)
        ]
        allowed = "whole numbers from 0" if role == "session" else "any text, in every row"
        problems.append(
            Problem(
                f"{role} column {column!r} {what} in {count_of(len(cells), 'row')}: {first_few(cells)}.",
                allowed=f"Allowed: {allowed}.",
                fix=(
                    f"Times such as months since intake put visits in order: session={{'column': {column!r}}} in place "
                    f"of the role (--session column={column})."
                    if what in ("is negative", "is not a whole number") and role == "session"
                    else ""
                ),
            )
        )
    return problems


def _cases(found: pd.DataFrame) -> list[tuple[int, object]]:
    return [(int(i), case) for i, case in zip(found["index"], found["failure_case"], strict=True)]


def check_repeats(frame: pd.DataFrame, roles: Mapping[str, str]) -> list[Problem]:
    """Report patients with two rows for one session, or two rows at all where no column plays ``session``."""
    keys = [roles["patient"], *([roles["session"]] if "session" in roles else [])]
    repeated = frame[frame.duplicated(keys, keep="first")]
    if repeated.empty:
        return []
    if len(keys) == 1:
        shown = [repr(patient) for patient in dict.fromkeys(repeated[keys[0]])]
        return [
            Problem(
                f"No column plays 'session' and {count_of(len(shown), 'patient')} "
                f"{are(len(shown), 'has', 'have')} several rows: {first_few(shown)}.",
                fix="Name the session column in roles, keep one row per patient, or, where the rows have no "
                "numbers, state each_row='session'.",
            )
        ]
    pairs = [f"patient {row[0]!r} session {row[1]:g}" for row in repeated[keys].itertuples(index=False)]
    return [
        Problem(
            f"{keys[1]!r} repeats within patient in {count_of(len(pairs), 'row')}: {first_few(pairs)}.",
            fix="Keep one row per patient and session. Put raters in columns.",
        )
    ]


def check_units(frame: pd.DataFrame, units: Mapping[str, str], roles: Mapping[str, str]) -> list[Problem]:
    """Report columns that vary within the unit they are stated to be of."""
    problems = []
    played = {column: role for role, column in roles.items()}
    for name, unit in units.items():
        if name not in frame.columns:
            problems.append(unknown("column", name, list(frame.columns), f"units= names {name!r}"))
            continue
        if name in played:
            problems.append(
                Problem(
                    f"units= names {name!r}, which plays {played[name]!r}.",
                    fix=(
                        f"State units of measured columns; transfers= says what a {played[name]} under several "
                        "wider units means."
                    ),
                )
            )
            continue
        known = [role for role in ("patient", *UNITS_ABOVE) if role in roles]
        if unit not in known:
            problems.append(unknown("unit", unit, known, f"units={{{name!r}: {unit!r}}}"))
            continue
        pairs = frame.loc[(frame[roles[unit]] != "") & frame[name].notna() & (frame[name] != ""), [roles[unit], name]]
        several = pairs.drop_duplicates().groupby(roles[unit])[name].agg(lambda own: sorted(map(str, own)))
        several = several[several.map(len) > 1]
        if len(several):
            shown = [f"{key!r} ({', '.join(map(show_level, first))})" for key, first in several.items()]
            problems.append(
                Problem(
                    f"{name!r} is stated to be of {unit}s, and {count_of(len(several), unit)} "
                    f"{are(len(several), 'has', 'have')} several values: {first_few(shown)}.",
                    fix=f"Correct the ids or the values; if {unit}s did have both, leave {name!r} out of units=.",
                )
            )
    return problems


def find_missing_words(frame: pd.DataFrame, roles: Mapping[str, str]) -> list[str]:
    """Describe identifiers that look like a code for missing, such as R's ``NA``. They stay identifiers."""
    notes = []
    for role in ID_ROLES:
        if role not in roles:
            continue
        counts = frame[roles[role]].value_counts()
        words = [word for word in (*MISSING_CODES[1:], ".", "NULL", "None", "-9", "-99", "999") if word in counts.index]
        if words:
            rows = [f"{word!r} in {count_of(int(counts[word]), 'row')}" for word in words]
            notes.append(
                f"{role} ids that look like a code for missing: {first_few(rows)}. They are kept as ids; state "
                f"missing={{{roles[role]!r}: {words}}} if no {role} is meant."
            )
    return notes


def find_lookalikes(
    frame: pd.DataFrame, roles: Mapping[str, str], accepted: Mapping[str, Collection[float | str]] | None = None
) -> list[str]:
    """Describe identifiers that differ only in what a reader hardly sees, unless accepted. They stay apart."""
    notes = []
    for role in ID_ROLES:
        if role not in roles:
            continue
        by_form: dict[str, list[str]] = {}
        known = texts_of((accepted or {}).get(roles[role], ()))
        for value in sorted(_suspects(set(frame[roles[role]].unique().tolist()) - {""})):
            by_form.setdefault(id_form(value), []).append(value)
        alike = [spell(values) for values in by_form.values() if len(values) > 1 and not known.issuperset(values)]
        if alike:
            notes.append(
                f"{role} ids that differ only in blanks, case, leading zeros, invisible characters or Unicode form: "
                f"{first_few(alike)}. They are kept apart as different {role}s; correct the table if they are the "
                "same, or state accept=."
            )
    return notes


def _suspects(ids: set[str]) -> set[str]:
    """Return the ids that may look like others; of many plain ones this spares a look at every letter.

    Letters and digits of ASCII without capitals, zeros in front or ``.0`` are what a reader sees of them, and no other
    such id looks like one.
    """
    plain = {one for one in ids if one.isascii() and one.isalnum() and one[0] != "0" and one == one.lower()}
    rest = ids - plain
    return rest | {form for one in rest if (form := id_form(one)) in plain}


def id_form(value: str) -> str:
    """Return what identifiers that look alike have in common: see ``plain_form``; leading zeros and ``.0`` go too."""
    form = plain_form(value)
    form = form[:-2] if form.endswith(".0") and form[:-2].isdigit() else form
    return form.lstrip("0") or "0"
