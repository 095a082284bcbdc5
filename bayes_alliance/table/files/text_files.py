"""Delimited text: any separator, decimal sign and encoding, told by the file or stated."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.csv as arrow_csv

from bayes_alliance._messages import are, count_of, first_few
from bayes_alliance.errors import TableError
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.table.files.column_names import check_header, join_header, name_columns
from bayes_alliance.table.files.options import FileOptions

SEPARATORS: Final = {"\t": "tabs", ";": "';'", ",": "','", "|": "'|'", " ": "blanks"}

SMALL: Final = 1_000_000
"""Characters that are looked at in any case."""

LOOKED_AT: Final = 2_000
"""Lines, spread over the file, by which the separator is found."""

ALIKE: Final = 0.9
"""Share of these lines that have as many cells as the header, or one more, where a separator is meant."""


def read_text(path: Path, options: FileOptions, findings: Findings) -> pd.DataFrame:
    """Read delimited text strictly: a row with more or fewer cells than the header would shift columns unseen."""
    text = _decode(path.read_bytes(), path.name, options, findings)
    separator, text = _stated_separator(text, options)
    head = options.header_rows
    if separator is None:
        separator = _guess_separator(_some_lines(text, head[-1]), path.suffix.lower())
        usual = {".csv": ",", ".tsv": "\t"}.get(path.suffix.lower())
        if separator != usual:
            findings.note(f"Cells of {path.name!r} are separated by {SEPARATORS[separator]}.")
    start, header = _header(text, head, separator, path.name)
    table = _cells(text[start:], len(header), separator)
    if isinstance(table, list):
        raise TableError(_uneven(table, len(header), path.name))
    if table.empty:
        raise TableError(f"There are no rows in {path.name!r}.")
    if len(table.columns) > len(header):
        table, header = _one_more(table, header, path.name, findings)
    _check_quotes(table, separator, path.name)
    filled = {i: bool((table[name] != "").any()) for i, name in enumerate(table.columns)}
    check_header(header, filled, findings, repr(path.name))
    return name_columns(table, header, findings)


def _one_more(table: pd.DataFrame, header: list[str], name: str, findings: Findings) -> tuple[pd.DataFrame, list[str]]:
    """Return a table whose rows have one cell more than the header: a separator at their end, or names of rows.

    Raises
    ------
    TableError
        If it may be neither: columns would be shifted.
    """
    cells = [table[one].str.strip() for one in (table.columns[0], table.columns[-1])]
    if (cells[1] == "").all():
        findings.note(f"Rows of {name!r} end in a separator; the empty cell behind it is left out.")
        return table.iloc[:, :-1], header
    # R writes the names of rows without a name for their column.
    if len(header) > 1 and cells[0].is_unique and (cells[0] != "").all():
        return table, ["", *header]
    raise TableError(
        Problem(
            f"Rows of {name!r} have one cell more than the header's {len(header)}, and neither is the last one empty "
            "nor the first one a name of the row.",
            fix="Name every column, or correct the separators.",
        )
    )


def _check_quotes(table: pd.DataFrame, separator: str, name: str) -> None:
    """Refuse cells of several lines of which one looks like a row: a quote that nothing closes.

    Raises
    ------
    TableError
        Naming the first row.
    """
    if len(table.columns) < 2:
        return
    for column in table.columns:
        texts = pa.array(table[column], type=pa.large_string(), from_pandas=True)
        for place in compute.indices_nonzero(compute.match_substring(texts, "\n")).to_pylist():
            lines = str(table[column].iloc[place]).split("\n")
            if any(line.count(separator) >= len(table.columns) - 1 for line in lines):
                raise TableError(
                    Problem(
                        f"A cell of row {place + 1} of {name!r} holds {len(lines)} lines that look like rows.",
                        fix="Close the quote, or take it out.",
                    )
                )


def _decode(content: bytes, name: str, options: FileOptions, findings: Findings) -> str:
    """Return the text of a file without marks of its encoding, lines ending in one way."""
    encoding = options.encoding
    if encoding is None:
        if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            encoding = "utf-16"
        elif b"\x00" in content[:4096]:
            encoding = "utf-16-le" if content[1:2] == b"\x00" else "utf-16-be"
        else:
            encoding = "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeError:
        if options.encoding is not None or encoding != "utf-8-sig":
            raise TableError(
                Problem(f"{name!r} is no text in {encoding}.", fix="State its encoding, such as encoding='cp1252'.")
            ) from None
        try:
            text = content.decode("cp1252")
        except UnicodeError:
            raise TableError(
                Problem(
                    f"{name!r} is text in neither UTF-8 nor cp1252 (Windows).",
                    fix="State its encoding, such as encoding='mac_roman', or save it as UTF-8.",
                )
            ) from None
        findings.note(
            f"{name!r} is no UTF-8 and was read as cp1252 (Windows). State encoding= if words come out wrong."
        )
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _stated_separator(text: str, options: FileOptions) -> tuple[str | None, str]:
    """Return the separator that is stated, or that a first line ``sep=;`` of Excel states, and the text without it."""
    first, _, rest = text.partition("\n")
    if first.strip('"')[:4].lower() == "sep=" and len(first.strip('"')) == 5:
        return options.separator or first.strip('"')[4], rest
    return options.separator, text


def _some_lines(text: str, header: int) -> list[str]:
    """Return the header of a text and lines spread over what follows, none of them empty."""
    start = 0
    for _ in range(header - 1):
        start = text.find("\n", start) + 1
    first = text[start:].lstrip("\n") if len(text) < SMALL else text[start : start + SMALL].lstrip("\n")
    found = first.split("\n", LOOKED_AT)[:LOOKED_AT]
    for place in range(SMALL, len(text), max(1, len(text) // LOOKED_AT)):
        begin = text.find("\n", place) + 1
        end = text.find("\n", begin)
        if begin and end > begin:
            found.append(text[begin:end])
    return [line for line in found if line.strip()]


def _guess_separator(lines: list[str], suffix: str) -> str:
    """Return the separator by which most lines have as many cells as the header; the usual one if none does."""
    if not lines:
        return ","
    found: dict[str, tuple[bool, float, int]] = {}
    for separator in SEPARATORS:
        if separator == " " and found:
            break  # blanks stand inside of words, too
        rows = [len(row) for row in _parse(lines, separator) if row]
        if not rows or rows[0] < 2:
            continue
        body = rows[1:] or rows
        share = max(sum(n == wanted for n in body) for wanted in (rows[0], rows[0] + 1)) / len(body)
        found[separator] = (share >= ALIKE, share, rows[0])
    good = {separator: own for separator, own in found.items() if own[0]}
    if not good and found:
        return max(found, key=lambda one: found[one])
    if not good:
        return "\t" if suffix == ".tsv" else ","
    return max(good, key=lambda one: (good[one][1], good[one][2]))


def _parse(lines: list[str], separator: str) -> list[list[str]]:
    return list(csv.reader(lines, delimiter=separator, skipinitialspace=separator == " "))


def _header(text: str, rows: tuple[int, ...], separator: str, name: str) -> tuple[int, list[str]]:
    """Return where what follows the header begins, and the names in it."""
    read = 0

    def lines() -> Iterator[str]:
        nonlocal read
        while read < len(text):
            end = text.find("\n", read) + 1 or len(text)
            line, read = text[read:end], end
            yield line

    reader = csv.reader(lines(), delimiter=separator, skipinitialspace=separator == " ")
    found: list[list[str]] = []
    wanted = iter(rows)
    line = next(wanted)
    for row in reader:
        if not row and rows == (1,):
            continue  # empty lines above the header
        if reader.line_num >= line:
            found.append(row)
            following = next(wanted, None)
            if following is None:
                break
            line = following
    if len(found) < len(rows) and (found or rows != (1,)):
        raise TableError(f"header names line {max(rows)}, and {name!r} has {count_of(reader.line_num, 'line')}.")
    if not found:
        return len(text), []
    width = max(map(len, found))
    return read, join_header([[*row, *([""] * (width - len(row)))] for row in found])


def _cells(body: str, width: int, separator: str) -> pd.DataFrame | list[list[str]]:
    """Return the cells below the header as text; as rows of their own where their numbers of cells differ."""
    if not body.strip():
        return pd.DataFrame()
    for wide in (width, width + 1) if separator != " " else ():
        names = [f"c{i}" for i in range(wide)]
        try:
            table = arrow_csv.read_csv(
                io.BytesIO(body.encode("utf-8")),
                read_options=arrow_csv.ReadOptions(column_names=names, block_size=1 << 24),
                parse_options=arrow_csv.ParseOptions(delimiter=separator, newlines_in_values='"' in body),
                convert_options=arrow_csv.ConvertOptions(
                    column_types={name: pa.string() for name in names}, strings_can_be_null=False
                ),
            )
        except pa.ArrowInvalid:  # rows of several lengths: told by their numbers below
            continue
        return pd.DataFrame(table.to_pandas())
    rows = [row for row in _parse(body.split("\n"), separator) if row]
    lengths = {len(row) for row in rows}
    if lengths in ({width}, {width + 1}):
        return pd.DataFrame(rows, columns=pd.Index([f"c{i}" for i in range(lengths.pop())]), dtype="str")
    return rows


def _uneven(rows: list[list[str]], width: int, name: str) -> Problem:
    odd = [f"row {i + 1} ({len(row)})" for i, row in enumerate(rows) if len(row) != width]
    usual = Counter(len(row) for row in rows).most_common(1)[0][0]
    hint = "Check separators, quotes and empty cells."
    if usual == 1:
        hint = "State what stands between cells: separator=';'."
    return Problem(
        f"{count_of(len(odd), 'row')} of {name!r} {are(len(odd), 'has', 'have')} another number of cells than "
        f"the header's {width}: {first_few(odd)}.",
        fix=hint,
    )
