"""The checks of columns that a model reads, over blocks of a table larger than memory."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayes_alliance._messages import count_of, first_few
from bayes_alliance.design.columns.column_checks import (
    bounds_of,
    check_doubts,
    check_nesting,
    places_of,
    read_columns,
    say_code,
)
from bayes_alliance.errors import DesignError
from bayes_alliance.findings import Findings
from bayes_alliance.names import ID_ROLES
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.study import Study
from bayes_alliance.table.codes import CODES, CodeCounts
from bayes_alliance.table.sessions import SessionTable
from bayes_alliance.table.stream import SessionStream


class StreamColumns:
    """Counts values that may be codes, and which units occur under which, block by block.

    Values count by patients, whatever the column is measured in: a block does not know how wide its unit is. Grouping
    factors without a role are not looked at.
    """

    def __init__(self, spec: ModelSpec, study: Study[SessionStream]) -> None:
        self._spec, self._study = spec, study
        self._counts: dict[str, CodeCounts] = {}
        self._places: dict[tuple[str, float], list[str]] = {}
        self._units: pd.DataFrame | None = None
        self._last: SessionTable | None = None

    def add(self, table: SessionTable) -> None:
        """Count a block.

        Raises
        ------
        DesignError
            If the model reads a column that holds no numbers or words, or infinite numbers.
        """
        doubts = check_doubts(self._spec, self._study.of(table))
        if doubts:
            raise DesignError(doubts, count_of(len(table), "row"))
        patients = table.ids("patient")
        for column in read_columns(self._spec, self._study.of(table))[0]:
            values = table.frame[column].to_numpy(dtype=float)
            self._counts.setdefault(column, CodeCounts()).add(values, patients)
            for code in np.unique(values[np.isin(np.abs(values), list(CODES))]):
                known = self._places.setdefault((column, float(code)), [])
                known += places_of(table, values == code) if len(known) < 5 else []
        units = table.frame[[table.roles[role] for role in ID_ROLES[1:] if role in table.roles]].drop_duplicates()
        self._units = units if self._units is None else pd.concat([self._units, units]).drop_duplicates()
        self._last = table

    def check(self, findings: Findings) -> None:
        """Report what ``check_read_columns`` reports of a table in memory."""
        if self._last is None or self._units is None:
            return
        bounds = bounds_of(self._spec, self._study.of(self._last))
        for column, counts in self._counts.items():
            for code in counts.find(*bounds.get(column, (-np.inf, np.inf))):
                where = first_few(self._places[column, code.value], code.cells)
                findings.add([say_code(column, code, column == self._last.roles.get("session"), where)])
        check_nesting(self._spec, self._units, self._last.roles, self._last.crossed, findings)
