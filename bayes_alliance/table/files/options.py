"""How a file is read, where it does not say itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Final

from bayes_alliance.findings import Findings

DECIMALS: Final = (".", ",")


@dataclass(frozen=True)
class FileOptions:
    """What is stated of a file; None where the file tells.

    ``separator`` stands between cells of text, ``decimal`` in numbers, ``encoding`` is that of text; ``sheet`` is one
    of a workbook; ``header`` the number of the line with the names of the columns, from 1, or several whose words are
    joined. ``labels`` are columns of SPSS and Stata files whose value labels are their values. ``columns`` are those
    that are read; others are not converted. ``numbers`` are columns, or patterns of their names, that stay numbers
    whatever labels their values have, unless ``labels`` names them.
    """

    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    sheet: str | None = None
    header: int | tuple[int, ...] | None = None
    labels: Collection[str] | None = None
    columns: Collection[str] | None = None
    numbers: tuple[str, ...] = ()

    @property
    def header_rows(self) -> tuple[int, ...]:
        """Return the lines of the header, from 1."""
        if self.header is None:
            return (1,)
        return (self.header,) if isinstance(self.header, int) else tuple(self.header)


TEXT: Final = (".csv", ".tsv", ".txt", ".dat")
STATISTICS: Final = (".sav", ".zsav", ".por", ".dta", ".sas7bdat", ".xpt")
WORKBOOKS: Final = (".xlsx", ".xlsm")

READ_BY: Final[Mapping[str, tuple[str, ...]]] = {
    "separator": TEXT,
    "encoding": (*TEXT, *STATISTICS),
    "sheet": WORKBOOKS,
    "header": (*TEXT, *WORKBOOKS),
    "labels": STATISTICS,
}
"""Kinds of file, by their suffix, that read an option; the decimal sign is that of cells of text everywhere."""


def check_used(options: FileOptions, source: object, beside: Iterable[object], findings: Findings) -> None:
    """Report what is stated of a file and read by none: of the tables ``beside`` it, too, but for sheets and labels."""
    for option, kinds in READ_BY.items():
        if getattr(options, option) is None:
            continue
        files = [source, *(beside if option not in ("sheet", "labels") else ())]
        suffixes = [Path(one).suffix.lower() for one in files if isinstance(one, (str, PathLike))]
        if not any(suffix in kinds for suffix in suffixes):
            what = f"A file of the kind {suffixes[0]}" if suffixes else "A table that is no file"
            findings.problem(f"{what} has no {option}.", allowed=f"Files that do end in {', '.join(kinds)}.")


def check_options(options: FileOptions, findings: Findings) -> None:
    """Report options that say nothing a file could have."""
    separator: Any = options.separator
    if separator is not None and (not isinstance(separator, str) or len(separator) != 1):
        findings.problem(f"separator is {separator!r}.", allowed="One character, such as ';' or a tab.")
    if options.decimal is not None and options.decimal not in DECIMALS:
        findings.problem(f"decimal is {options.decimal!r}.", allowed="'.' or ','.")
    if options.decimal is not None and options.decimal == options.separator:
        findings.problem(f"{options.decimal!r} cannot stand between cells and in numbers, too.")
    rows: Any = options.header if isinstance(options.header, (tuple, list)) else (options.header,)
    if options.header is not None and not all(isinstance(row, int) and row >= 1 for row in rows):
        findings.problem(f"header is {options.header!r}.", allowed="The number of a line from 1, or several: [1, 2].")
    elif options.header is not None and list(rows) != sorted(set(rows)):
        findings.problem(
            f"header is {options.header!r}.", allowed="Lines from the upper to the lower, each once: [1, 2]."
        )
    if options.encoding is not None:
        try:
            "".encode(options.encoding)
        except (LookupError, TypeError):
            findings.problem(
                f"encoding {options.encoding!r} is unknown.", allowed="Such as 'utf-8', 'cp1252' or 'utf-16'."
            )
