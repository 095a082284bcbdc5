"""Excel workbooks: a sheet by its name, dates as dates, errors of formulas as missing."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pandas as pd

from bayes_alliance._messages import are, count_of, first_few, quote, unknown
from bayes_alliance.errors import TableError
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.table.files.column_names import check_header, join_header, name_columns
from bayes_alliance.table.files.options import FileOptions

_OLD: Final = b"\xd0\xcf\x11\xe0"
"""How files begin that are no zip: workbooks of before 2007, and those protected by a password."""


def read_workbook(path: Path, options: FileOptions, findings: Findings) -> pd.DataFrame:
    """Read one sheet of a workbook: the only one that is not empty, or the one that is stated."""
    import openpyxl

    with path.open("rb") as file:
        if file.read(4) == _OLD:
            raise TableError(
                Problem(
                    f"{path.name!r} is protected by a password, or was written by Excel before 2007.",
                    fix="Save it as .xlsx without a password.",
                )
            )
    try:
        book = openpyxl.load_workbook(path, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError) as error:
        raise TableError(
            Problem(f"{path.name!r} is no workbook that can be read: {error}.", fix="Save it anew as .xlsx.")
        ) from None
    sheet = _sheet(book, path.name, options)
    head = options.header_rows
    if sheet.max_row < max(head):
        raise TableError(f"There are no rows in sheet {sheet.title!r} of {path.name!r}.")
    merged = sorted({str(one) for one in sheet.merged_cells.ranges if one.min_row <= max(head)})
    if merged and options.header is None:
        raise TableError(
            Problem(
                f"Cells of the header are merged in sheet {sheet.title!r}: {first_few(merged)}.",
                fix="State the line that names columns: header=2, or several whose words are joined: header=[1, 2].",
            )
        )
    _fill_merged(sheet, max(head), findings)
    rows = [list(row) for row in sheet.iter_rows()]
    names = join_header([["" if cell.value is None else cell.value for cell in rows[row - 1]] for row in head])
    body = rows[max(head) :]
    if not body:
        raise TableError(f"There are no rows in sheet {sheet.title!r} of {path.name!r}.")
    errors: Counter[str] = Counter()
    places: list[str] = []
    columns: dict[int, list[Any]] = {i: [] for i in range(len(names))}
    for row in body:
        for i, cell in enumerate(row):
            if cell.data_type == "e":
                errors[str(cell.value)] += 1
                places.append(cell.coordinate)
                columns[i].append(None)
            else:
                columns[i].append(cell.value)
    if errors:
        count = sum(errors.values())
        shown = [f"{error} ({number})" for error, number in errors.most_common()]
        findings.note(
            f"{count_of(count, 'cell')} {are(count, 'holds an error', 'hold errors')} of Excel and "
            f"{are(count, 'is', 'are')} missing: {first_few(shown)}, in {first_few(places[:5], len(places))}."
        )
    _check_formulas(path, sheet.title, max(head), names, columns)
    check_header(names, {i: any(v is not None for v in own) for i, own in columns.items()}, findings, repr(sheet.title))
    frame = pd.DataFrame({i: pd.Series(own, dtype=object) for i, own in columns.items()})
    return name_columns(frame, names, findings)


def _fill_merged(sheet: Any, header: int, findings: Findings) -> None:
    """Give every cell of a merged one below the header its value, and say so."""
    merged = [one for one in sheet.merged_cells.ranges if one.min_row > header]
    for one in merged:
        value = sheet.cell(one.min_row, one.min_col).value
        sheet.unmerge_cells(str(one))
        for row in sheet.iter_rows(one.min_row, one.max_row, one.min_col, one.max_col):
            for cell in row:
                cell.value = value
    if merged:
        shown = first_few([str(one) for one in merged])
        findings.note(f"{count_of(len(merged), 'merged cell')} below the header stand for each of theirs: {shown}.")


def _check_formulas(path: Path, title: str, header: int, names: list[str], columns: dict[int, list[Any]]) -> None:
    """Refuse formulas whose results the file does not hold: programs other than Excel leave them out.

    Raises
    ------
    TableError
        Naming the columns.
    """
    import openpyxl
    from openpyxl.utils import get_column_letter

    empty = [i for i, own in columns.items() if names[i] and all(value is None for value in own)]
    if not empty:
        return
    sheet = openpyxl.load_workbook(path)[title]
    lacking = []
    for i in empty:
        cells = sheet[get_column_letter(i + 1)][header:]
        if any(isinstance(cell.value, str) and cell.value.startswith("=") for cell in cells):
            lacking.append(names[i])
    if lacking:
        raise TableError(
            Problem(
                f"{quote(lacking)} in sheet {title!r} of {path.name!r} are formulas, and the file holds no results.",
                fix="Open it in Excel and save it.",
            )
        )


def _sheet(book: Any, name: str, options: FileOptions) -> Any:
    sheets = {sheet.title: sheet for sheet in book.worksheets}
    if options.sheet is not None:
        if options.sheet not in sheets:
            raise TableError([unknown("sheet", options.sheet, list(sheets), name)])
        return sheets[options.sheet]
    filled = [title for title, sheet in sheets.items() if sheet.max_row > 1 or sheet.max_column > 1]
    if len(filled) > 1:
        raise TableError(
            Problem(
                f"{name!r} has {len(filled)} sheets with cells: {quote(filled)}.",
                fix=f"State the one that holds the table: sheet={filled[0]!r}.",
            )
        )
    return sheets[filled[0]] if filled else book.worksheets[0]
