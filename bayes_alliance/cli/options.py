"""Options that commands share, and the name=value texts that options hold."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bayes_alliance.errors import SpecError
from bayes_alliance.findings import Problem


class EngineName(StrEnum):
    """Engines of the command line."""

    auto = "auto"
    collapsed = "collapsed"
    quadrature = "quadrature"
    nuts = "nuts"


ModelName = Annotated[str, typer.Argument(metavar="NAME", help="A model of the list, or the path of a .toml file.")]
Course = Annotated[
    str,
    typer.Option(
        "--course",
        metavar="FORM",
        help="How time stands in a model that reads it: linear, log, sqrt, spline, piecewise, 'spline(4)', "
        "'piecewise(5, 9)'.",
    ),
]
DataPath = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="Text (.csv, .tsv, .txt, .dat), .xlsx, SPSS (.sav), Stata (.dta), SAS or parquet: one row per patient and "
        "session.",
    ),
]
Reference = Annotated[
    list[str] | None,
    typer.Option(metavar="FACTOR=LEVEL", help="Level the others are compared with, such as condition=TAU. Repeatable."),
]
PriorOption = Annotated[
    list[str] | None,
    typer.Option(
        "--prior", metavar="TARGET=DIST", help="A prior in place of the default: 'sd therapist=half_normal(1)'."
    ),
]


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
