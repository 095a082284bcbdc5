"""The rows of an equation before any is dropped: sessions as they are, or one row per patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, first_few, number_text
from bayes_alliance.spec.model import Unit
from bayes_alliance.table.sessions import SessionTable


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one unit.

    ``patient`` and ``session`` hold every row's patient id and session number (NaN where the table has none or the
    unit is the patient); ``source`` is the table the rows came from and ``position`` each row's first place in it.
    """

    unit: Unit
    source: SessionTable
    patient: np.ndarray
    session: np.ndarray
    position: np.ndarray

    def __len__(self) -> int:
        return len(self.patient)

    def varies(self, name: str) -> bool:
        """Return whether a column differs between sessions of some patient."""
        frame = pd.DataFrame({"patient": self.source.ids("patient"), "value": self.source.frame[name]})
        return bool((frame.groupby("patient", sort=False)["value"].nunique(dropna=True) > 1).any())

    def column(self, name: str, problems: list[str]) -> pd.Series:
        """Return a column at the unit of the rows, reporting a patient-level one that varies within a patient."""
        values = self.source.frame[name]
        if self.unit == "session":
            return values
        frame = pd.DataFrame({"patient": self.source.ids("patient"), "value": values})
        varying = frame.groupby("patient", sort=False)["value"].nunique(dropna=True)
        varying = varying[varying > 1]
        if len(varying):
            shown = [
                f"patient {patient!r} ({', '.join(map(_show, frame.value[frame.patient == patient].dropna()[:3]))} …)"
                for patient in varying.index[:5]
            ]
            problems.append(
                f"Column {name!r} varies within {count_of(len(varying), 'patient')}, and a row of this equation is a "
                f"patient: {first_few(shown, len(varying))}. Declare which value is meant under [variables], such as "
                f"first({name}), last({name}), at({name}, session=3) or window({name}, 1, 4)."
            )
        first = frame.groupby("patient", sort=False)["value"].first()
        return first.reindex(self.patient).reset_index(drop=True)

    def ids(self, factor: str, columns: Mapping[str, str], problems: list[str]) -> np.ndarray:
        """Return the level of a grouping factor in every row, empty text where it has none.

        A nested factor such as ``therapist:patient`` is named by its parts and empty where any part is.
        """
        parts = []
        for part in factor.split(":"):
            column = self.source.roles.get(part, columns.get(part, part))
            values = self.source.frame[column]
            if values.dtype == np.float64:
                values = values.map(number_text, na_action="ignore")
            words = values.astype("str").fillna("")
            if self.unit == "patient":
                frame = pd.DataFrame({"patient": self.source.ids("patient"), "value": words.mask(words == "")})
                several = frame.groupby("patient", sort=False)["value"].nunique()
                changing = [repr(p) for p in several.index[several > 1]]
                if changing:
                    problems.append(
                        f"{count_of(len(changing), 'patient')} {are(len(changing), 'changes', 'change')} {part}, and a "
                        f"row of this equation is a patient: "
                        f"{first_few(changing)}. Choose the rows that count, or model sessions."
                    )
                words = frame.groupby("patient", sort=False)["value"].first().reindex(self.patient).fillna("")
            parts.append(words.to_numpy(dtype=object))
        if len(parts) == 1:
            return np.asarray(parts[0])
        whole = np.array([":".join(map(str, levels)) for levels in zip(*parts, strict=True)], dtype=object)
        missing = np.any([part == "" for part in parts], axis=0)
        return np.where(missing, "", whole)


def make_rows(unit: Unit, sessions: SessionTable) -> Rows:
    """Make the rows of a unit; patients and sessions keep the order of the table, which is sorted."""
    patient = sessions.ids("patient")
    number = sessions.roles.get("session")
    session = sessions.frame[number].to_numpy(float) if number else np.full(len(sessions), np.nan)
    if unit == "session":
        return Rows(unit, sessions, patient, session, np.arange(len(sessions)))
    _, first = np.unique(patient, return_index=True)
    first = np.sort(first)
    return Rows(unit, sessions, patient[first], np.full(len(first), np.nan), first)


def _show(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)
