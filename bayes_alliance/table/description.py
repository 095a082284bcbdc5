"""What a statistician asks of a table first: sizes, missing values by arm, who changes therapist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, escaped, first_few, unknown
from bayes_alliance.errors import TableError
from bayes_alliance.findings import Findings
from bayes_alliance.names import ID_ROLES
from bayes_alliance.table.file_reading import Source, read_frame
from bayes_alliance.table.nesting import UNITS_ABOVE, changing_patients, show_several
from bayes_alliance.table.profile import profile, say_codes
from bayes_alliance.table.sessions import SessionTable, read_sessions


@dataclass(frozen=True, eq=False)
class Description:
    """A table in figures.

    ``columns`` has one row per measured column: what it was read as, figures, the commonest value and a line of bars.
    ``sizes`` has one row per nesting (sessions per patient, patients per therapist …) with count, least, median and
    most; ``missing`` one row per measured variable with its unit and the share missing, in all and by arm, counted
    over rows for session variables and over patients for the rest; ``notes`` are sentences.
    """

    sizes: pd.DataFrame
    missing: pd.DataFrame
    notes: tuple[str, ...]
    columns: pd.DataFrame

    @escaped
    def __str__(self) -> str:
        share = self.missing.copy()
        for name in share.columns[2:]:
            share[name] = [f"{value:.1%}" for value in share[name]]
        parts = ["Sizes", self.sizes.to_string(index=False), "", "Columns", _shown(self.columns)]
        parts += ["", "Missing", share.to_string(index=False)]
        return "\n".join([*parts, *(["", "Notes"] if self.notes else []), *(f"- {note}" for note in self.notes)])


def describe(
    sessions: SessionTable | Source, *, roles: Mapping[str, str] | None = None, condition: str | None = None
) -> Description:
    """Describe a table of sessions.

    Parameters
    ----------
    sessions : SessionTable, str, Path or DataFrame
        A table as read, or a file or frame, of which every row is taken as a patient unless roles are stated.
    roles : mapping of str to str, optional
        As in ``read_sessions``, of a file or frame.
    condition : str, optional
        Column of the treatment arm, to count by.

    Returns
    -------
    Description
        Prints as text; its tables are DataFrames.

    Raises
    ------
    TableError
        If ``condition`` is no column, roles are stated of a table that has them, or a file cannot be read.

    Examples
    --------
    >>> describe("trial.sav", roles={"patient": "id", "session": "week"})  # doctest: +SKIP
    """
    if isinstance(sessions, SessionTable):
        if roles is not None:
            raise TableError("This table has roles; roles= is of files and frames.")
        return _describe(sessions, condition)
    if roles is not None:
        return _describe(read_sessions(sessions, roles), condition)
    findings = Findings()
    frame = read_frame(sessions, None, findings)
    return describe_rows(frame, tuple(findings.messages), condition)


def _describe(table: SessionTable, condition: str | None) -> Description:
    frame = table.frame
    if condition is not None and condition not in frame.columns:
        raise TableError(unknown("column", condition, frame.columns))
    notes = (*_notes(table, condition), *say_codes(table), *table.messages)
    return Description(_sizes(table), _missing(table, condition), notes, profile(table))


def describe_rows(frame: pd.DataFrame, messages: tuple[str, ...], condition: str | None = None) -> Description:
    """Describe a frame of whose rows nothing is known: a patient each, as far as reading goes.

    ``messages`` say how it was read.
    """
    row = "row"
    while row in frame.columns:
        row += "_"
    ids = [f"row {place}" for place in range(1, len(frame) + 1)]
    found = _describe(read_sessions(frame.assign(**{row: ids}), {"patient": row}), condition)
    sizes = pd.DataFrame({"what": ["rows"], "units": [len(frame)]})
    note = "Whose rows these are is not stated: with roles (patient, session, therapist …) units are counted, too."
    return Description(
        sizes, found.missing.assign(unit="row"), (*messages, *found.notes, note), found.columns.assign(unit="row")
    )


def _shown(columns: pd.DataFrame) -> str:
    """Return the lines of columns as text, numbers to three digits."""
    shown = columns.copy()
    for name in ("mean", "sd", "min", "max"):
        shown[name] = ["" if np.isnan(value) else f"{value:.3g}" for value in shown[name].astype(float)]
    return shown.to_string(index=False)


def _sizes(sessions: SessionTable) -> pd.DataFrame:
    frame, roles = sessions.frame, sessions.roles
    patient = roles["patient"]
    rows = [_size("rows per patient", frame.groupby(patient).size())]
    for role in UNITS_ABOVE:
        if role in roles:
            known = frame[frame[roles[role]] != ""]
            rows.append(_size(f"patients per {role}", known.groupby(roles[role])[patient].nunique()))
    return pd.DataFrame(rows)


def _size(what: str, counts: pd.Series) -> dict[str, object]:
    if counts.empty:
        return {"what": what, "units": 0, "least": np.nan, "median": np.nan, "most": np.nan, "with one": 0}
    return {
        "what": what,
        "units": len(counts),
        "least": int(counts.min()),
        "median": float(counts.median()),
        "most": int(counts.max()),
        "with one": int((counts == 1).sum()),
    }


def _missing(sessions: SessionTable, condition: str | None) -> pd.DataFrame:
    frame, patient = sessions.frame, sessions.roles["patient"]
    rows = []
    for name, unit in sessions.units.items():
        values = frame if unit == "session" else frame.groupby(patient, sort=False).first().reset_index()
        absent = values[name].isna()
        row: dict[str, object] = {"variable": name, "unit": unit, "missing": absent.mean()}
        if condition is not None:
            arms = values[condition].astype("str").fillna("(no arm)")
            row |= {f"{condition} = {arm}": absent[arms == arm].mean() for arm in sorted(set(arms))}
        rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else ["variable", "unit", "missing"])


def _notes(sessions: SessionTable, condition: str | None) -> list[str]:
    frame, roles = sessions.frame, sessions.roles
    notes = []
    for role in UNITS_ABOVE:
        changing = changing_patients(frame, roles, role)
        if changing:
            notes.append(
                f"{count_of(len(changing), 'patient')} {are(len(changing), 'changes', 'change')} {role}: "
                f"{show_several(changing)}."
            )
    for role in ID_ROLES[1:]:
        if role not in roles:
            continue
        absent = frame[roles[role]] == ""
        if condition is None:
            if absent.any():
                lacking = int(absent.sum())
                notes.append(f"{count_of(lacking, 'row')} {are(lacking, 'has', 'have')} no {role}.")
            continue
        by_arm = absent.groupby(frame[condition].astype("str")).mean()
        inside, outside = list(by_arm.index[by_arm < 1]), list(by_arm.index[by_arm == 1])
        if inside and outside:
            notes.append(
                f"{role} exists in {first_few(inside)} only: rows of {first_few(outside)} have none (partial nesting)."
            )
        for arm, share in by_arm.items():
            if 0 < share < 1:
                notes.append(f"{share:.1%} of the rows of {arm} have no {role}.")
    return notes
