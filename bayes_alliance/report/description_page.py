"""A table described, as a page."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayes_alliance._messages import count_of
from bayes_alliance.report.document import Cell, Document, Points, Prose, Section, Table
from bayes_alliance.report.html import render_html
from bayes_alliance.table.description import Description


def description_page(found: Description, name: str) -> str:
    """Return a description as a self-contained HTML page; it shows levels of factors, and ids that change unit."""
    missing = found.missing.copy()
    for column in missing.columns[2:]:
        missing[column] = [f"{value:.1%}" for value in missing[column]]
    sections = [
        Section("Sizes", (Table(_lines(found.sizes), "How many units there are"),)),
        Section("Columns", (Table(_lines(found.columns), "Every measured column, over rows"),)),
        Section("Missing values", (Table(_lines(missing), "Shares of missing values"),)),
    ]
    if found.notes:
        sections.append(Section("Notes", (Points(found.notes),)))
    lead = Prose((f"{count_of(len(found.columns), 'column')}, before any model has read them.",))
    return render_html(Document(f"The table {name}", "Described by bayes_alliance", (lead,), tuple(sections)))


def _lines(table: pd.DataFrame) -> tuple[dict[str, Cell], ...]:
    return tuple({str(key): _cell(value) for key, value in line.items()} for line in table.to_dict("records"))


def _cell(value: object) -> Cell:
    if isinstance(value, (float, np.floating)):
        return None if np.isnan(value) else float(f"{value:.3g}")
    return int(value) if isinstance(value, (int, np.integer)) else str(value)
