"""The rows of an equation before any is dropped: sessions as they are, or one row per patient, therapist and so on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, first_few, number_text, show_cell
from bayes_alliance.findings import Findings
from bayes_alliance.names import join_ids
from bayes_alliance.spec.model import Unit
from bayes_alliance.table.sessions import SessionTable


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one unit.

    ``key`` holds every row's patient id (that of the therapist, group or site, where a row is one), ``session`` its
    session number (NaN where the table has none or the unit is wider); ``source`` is the table the rows came from and
    ``position`` each row's first place in it.
    """

    unit: Unit
    source: SessionTable
    key: np.ndarray
    session: np.ndarray
    position: np.ndarray

    def __len__(self) -> int:
        return len(self.key)

    @property
    def role(self) -> str:
        """Return the role that ``key`` holds ids of."""
        return "patient" if self.unit == "session" else self.unit

    def name_of(self, row: int) -> str:
        """Return whose a row is: the patient and the session, or the unit."""
        session = self.session[row]
        return f"{self.role} {self.key[row]!r}" + ("" if np.isnan(session) else f" session {session:g}")

    def varies(self, name: str) -> bool:
        """Return whether a column differs between sessions of some patient (therapist, …, where a row is one)."""
        frame = pd.DataFrame({"unit": self.source.ids(self.role), "value": self.source.frame[name]})
        return bool((frame[frame.unit != ""].groupby("unit", sort=False)["value"].nunique(dropna=True) > 1).any())

    def column(self, name: str, findings: Findings) -> pd.Series:
        """Return a column at the unit of the rows, reporting one that varies within a row's unit."""
        values = self.source.frame[name]
        if self.unit == "session":
            return values
        frame = pd.DataFrame({"unit": self.source.ids(self.role), "value": values})
        frame = frame[frame.unit != ""]
        varying = frame.groupby("unit", sort=False)["value"].nunique(dropna=True)
        varying = varying[varying > 1]
        if len(varying):
            shown = [
                f"{self.unit} {one!r} ({', '.join(map(_show, frame.value[frame.unit == one].dropna()[:3]))} …)"
                for one in varying.index[:5]
            ]
            advice = (
                f"Declare which value is meant under [variables], such as first({name}), last({name}), at({name}, "
                f"session=3) or window({name}, 1, 4)."
                if self.unit == "patient"
                else f"Take its mean, between({name}, {self.unit}), or give it an equation of a narrower unit."
            )
            findings.problem(
                f"Column {name!r} varies within {count_of(len(varying), self.unit)}, and a row of this equation is a "
                f"{self.unit}: {first_few(shown, len(varying))}.",
                fix=advice,
            )
        first = frame.groupby("unit", sort=False)["value"].first()
        return first.reindex(self.key).reset_index(drop=True)

    def ids(self, factor: str, columns: Mapping[str, str], findings: Findings) -> np.ndarray:
        """Return the level of a grouping factor in every row, empty text where it has none.

        A nested factor such as ``therapist:patient`` is named by its parts and empty where any part is; a colon inside
        an id has a backslash before it, so that different ids have different names.
        """
        parts = []
        for part in factor.split(":"):
            column = self.source.roles.get(part, columns.get(part, part))
            values = self.source.frame[column]
            if values.dtype == np.float64:
                values = values.map(number_text, na_action="ignore")
            words = values.astype("str").fillna("")
            if self.unit != "session":
                frame = pd.DataFrame({"unit": self.source.ids(self.role), "value": words.mask(words == "")})
                several = frame[frame.unit != ""].groupby("unit", sort=False)["value"].nunique()
                changing = [repr(one) for one in several.index[several > 1]]
                if changing:
                    findings.problem(
                        f"{count_of(len(changing), self.unit)} {are(len(changing), 'changes', 'change')} "
                        f"{part}, and a row of this equation is a {self.unit}: {first_few(changing)}.",
                        fix="Choose the rows that count, or model sessions.",
                    )
                words = frame.groupby("unit", sort=False)["value"].first().reindex(self.key).fillna("")
            parts.append(words.to_numpy(dtype=object))
        if len(parts) == 1:
            return np.asarray(parts[0])
        whole = np.array(join_ids(parts, ":"), dtype=object)
        missing = np.any([part == "" for part in parts], axis=0)
        return np.where(missing, "", whole)


def make_rows(unit: Unit, sessions: SessionTable) -> Rows:
    """Make the rows of a unit, in the order of the table, which is sorted; rows without a therapist make none."""
    if unit == "session":
        number = sessions.roles.get("session")
        session = sessions.frame[number].to_numpy(float) if number else np.full(len(sessions), np.nan)
        return Rows(unit, sessions, sessions.ids("patient"), session, np.arange(len(sessions)))
    ids = sessions.ids(unit)
    levels, first = np.unique(ids, return_index=True)
    first = np.sort(first[levels != ""])
    return Rows(unit, sessions, ids[first], np.full(len(first), np.nan), first)


def _show(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else show_cell(value)
