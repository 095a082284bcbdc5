"""Options that commands share, and the name=value texts they hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from bayes_alliance.errors import SpecError
from bayes_alliance.findings import Problem


class EngineName(StrEnum):
    """Engines of the command line."""

    auto = "auto"
    collapsed = "collapsed"
    nuts = "nuts"


ModelName = Annotated[str, typer.Argument(metavar="NAME", help="A model of the list, or the path of a .toml file.")]
DataPath = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="Text (.csv, .tsv, .txt, .dat), .xlsx, SPSS (.sav), Stata (.dta), SAS or parquet: one row per patient and "
        "session.",
    ),
]
Separator = Annotated[
    str | None,
    typer.Option(
        metavar="CHARACTER", help="What stands between cells of text, such as ';' or tab; found unless given."
    ),
]
Decimal = Annotated[
    str | None, typer.Option(metavar="SIGN", help="What stands before decimals: '.' or ','; found unless given.")
]
Encoding = Annotated[
    str | None, typer.Option(metavar="NAME", help="How text is stored, such as cp1252; found unless given.")
]
Sheet = Annotated[str | None, typer.Option(metavar="NAME", help="Which sheet of a workbook.")]
Header = Annotated[
    list[int] | None,
    typer.Option(
        min=1, metavar="LINE", help="The line that names the columns (1); given several times, their words are joined."
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN",
        help="A column of SPSS or Stata whose value labels are its values. Repeatable; found unless given.",
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ROLE=COLUMN,…",
        help="Which column plays a role (patient, therapist, group, site, session) or a variable of the model; "
        "'in_group=arm[MBCT]' is 1 for that level, 'pre=first(phq9)' is worked out of sessions. Repeatable.",
    ),
]
Reference = Annotated[
    list[str] | None,
    typer.Option(metavar="FACTOR=LEVEL", help="Level the others are compared with, such as condition=TAU. Repeatable."),
]
Minimum = Annotated[
    list[str] | None, typer.Option("--min", metavar="ROLE=VALUE", help="Smallest value kept, such as session=1.")
]
Maximum = Annotated[
    list[str] | None, typer.Option("--max", metavar="ROLE=VALUE", help="Largest value kept, such as session=12.")
]
Only = Annotated[list[str] | None, typer.Option(metavar="COLUMN=LEVEL", help="The one level kept, such as arm=MBCT.")]
PriorOption = Annotated[
    list[str] | None,
    typer.Option(
        "--prior", metavar="TARGET=DIST", help="A prior in place of the default: 'sd therapist=half_normal(1)'."
    ),
]
Missing = Annotated[
    list[str] | None, typer.Option(metavar="COLUMN=CODE", help="A further code that means missing, such as phq9=-9.")
]
Scores = Annotated[
    list[str] | None,
    typer.Option(
        "--score",
        metavar="NAME=INSTRUMENT:ITEMS",
        help="A score of items, such as 'alliance=wai-sr:wai_*': by an instrument of the package or a .toml file of "
        "your own, of columns that end in the numbers of the items. Repeatable.",
    ),
]
Accept = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN=VALUE", help="A value that is genuine although it looks like a code for missing. Repeatable."
    ),
]
BoundsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--bounds", metavar="COLUMN=LOW:HIGH", help="Ends of a column's scale, such as wai=12:84. Repeatable."
    ),
]
Transfers = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MEANING",
        help="What a patient id under two therapists means: ask, transferred, or reused; of therapists or groups under "
        "two sites as therapist=reused. Repeatable.",
    ),
]
Ignore = Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="A column to leave unread. Repeatable.")]
Side = Annotated[
    Path | None, typer.Option(metavar="DATA", help="Table with what is measured once per unit, joined by id.")
]


@dataclass(frozen=True)
class FileGiven:
    """What was given of a file."""

    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    sheet: str | None = None
    header: list[int] | None = None
    labels: list[str] | None = None

    def arguments(self) -> dict[str, Any]:
        """Return them as ``read_sessions`` takes them."""
        lines = self.header or None
        return {
            "separator": {"tab": "\t", "\\t": "\t"}.get(self.separator or "", self.separator),
            "decimal": self.decimal,
            "encoding": self.encoding,
            "sheet": self.sheet,
            "header": lines[0] if lines is not None and len(lines) == 1 else lines,
            "labels": self.labels,
        }


def _split_pairs(text: str) -> list[str]:
    """Split a text at commas, but not within ``window(wai, 1, 4)`` or ``arm[a, b]``."""
    parts, open_brackets = [""], 0
    for letter in text:
        open_brackets += 1 if letter in "([" else -1 if letter in ")]" and open_brackets else 0
        if letter == "," and not open_brackets:
            parts.append("")
        else:
            parts[-1] += letter
    return text.split(",") if open_brackets else parts  # a bracket that nothing closes is part of a name


def pairs(texts: Iterable[str] | None, option: str, *, split: bool = True) -> dict[str, str]:
    """Read ``name=value`` texts, several in one where split by commas; a name given twice is an error."""
    found: dict[str, str] = {}
    problems = []
    for text in texts or ():
        parts = _split_pairs(text)
        for part in parts if split and all("=" in piece for piece in parts) else [text]:
            name, sign, value = (piece.strip() for piece in part.partition("="))
            if not (name and sign and value):
                problems.append(Problem(f"{option} {part!r} is not written as name=value."))
            elif found.get(name, value) != value:
                problems.append(Problem(f"{option} names {name!r} twice: {found[name]!r} and {value!r}."))
            else:
                found[name] = value
    if problems:
        raise SpecError(problems)
    return found


def ranges(texts: dict[str, str], option: str) -> dict[str, tuple[float, float]]:
    """Read the values of pairs as two numbers with a colon between."""
    found = {}
    for name, value in texts.items():
        low, colon, high = value.partition(":")
        ends = numbers({"low": low, "high": high}, f"{option} {name}:") if colon else {}
        if not ends:
            raise SpecError(f"{option} {name}={value!r} is not written as {name}=LOW:HIGH.")
        found[name] = (ends["low"], ends["high"])
    return found


def numbers(texts: dict[str, str], option: str) -> dict[str, float]:
    """Read the values of pairs as numbers."""
    found = {}
    for name, value in texts.items():
        try:
            found[name] = float(value)
        except ValueError:
            raise SpecError(f"{option} {name}={value!r}: a number is needed.") from None
    return found


def scores_of(texts: Iterable[str] | None) -> dict[str, dict[str, object]]:
    """Read ``--score name=instrument:items`` texts."""
    found: dict[str, dict[str, object]] = {}
    for name, value in pairs(texts, "--score", split=False).items():
        instrument, colon, items = value.rpartition(":")
        if not colon or not instrument or not items:
            raise SpecError(f"--score {name}={value!r} is not written as {name}=INSTRUMENT:ITEMS.")
        found[name] = {"instrument": instrument, "items": items}
    return found


def codes_by_column(texts: Iterable[str] | None) -> dict[str, list[str | float]]:
    """Read ``--missing column=code`` texts, several codes of a column where it is named several times."""
    found: dict[str, list[str | float]] = {}
    for text in texts or ():
        for name, code in pairs([text], "--missing", split=False).items():
            found.setdefault(name, []).append(code)
    return found


def values_by_column(texts: Iterable[str] | None, option: str) -> dict[str, list[float]]:
    """Read ``column=number`` texts, several numbers of a column where it is named several times."""
    found: dict[str, list[float]] = {}
    for text in texts or ():
        for name, value in numbers(pairs([text], option, split=False), option).items():
            found.setdefault(name, []).append(value)
    return found
