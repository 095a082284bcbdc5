"""Layout files: a study to simulate as TOML, with its variables, their columns, references and truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bayes_alliance._messages import shorten
from bayes_alliance.errors import SpecError
from bayes_alliance.findings import Problem
from bayes_alliance.spec.toml import parse_toml, read_text

TABLES = ("layout", "variables", "truth", "columns", "reference")

HOLD: Final[Mapping[str, tuple[type | tuple[type, ...], str]]] = {
    "variables": (dict, "a table"),
    "truth": ((int, float), "a number"),
    "columns": (str, "a text"),
    "reference": (str, "a text"),
}
"""What the tables hold, and what it is called."""


@dataclass(frozen=True)
class StudyFile:
    """A layout as its file holds it, with what the model's variables are called and drawn from."""

    layout: Mapping[str, object]
    variables: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    reference: Mapping[str, str] = field(default_factory=dict)
    truth: Mapping[str, float] = field(default_factory=dict)


def read_study(path: Path) -> StudyFile:
    """Read a layout file: tables ``layout``, ``variables``, ``columns``, ``reference`` and ``truth``.

    Raises
    ------
    SpecError
        If it cannot be read, has other tables, or a table holds what it cannot: every such place is named.
    """
    return make_study(parse_toml(read_text(path, "Layout file"), "A layout file", path.name), path.name)


def make_study(content: Mapping[str, object], where: str) -> StudyFile:
    """Check that the tables of a layout file hold what they can; what a layout means is checked by ``make_layout``.

    Raises
    ------
    SpecError
        With every table or key that is none, or of a wrong type.
    """
    odd = [key for key in content if key not in TABLES]
    if odd or "layout" not in content:
        found = ", ".join(content) or "none"
        raise SpecError(f"Layout file {where!r}: tables are {', '.join(TABLES)}, layout required; found {found}.")
    problems = [
        Problem(
            f"{table} = {shorten(part)} is no table.",
            where=f"Layout file {where!r}",
            fix=f"Write [{table}] and its keys below.",
        )
        for table, part in content.items()
        if not isinstance(part, dict)
    ]
    if problems:
        raise SpecError(problems)
    problems = [
        Problem(
            f"{table}.{key} = {shorten(value)}.", f"Layout file {where!r}", f"{need[0].upper()}{need[1:]} is needed."
        )
        for table, (kind, need) in HOLD.items()
        for key, value in content.get(table, {}).items()  # type: ignore[attr-defined]
        if not isinstance(value, kind) or isinstance(value, bool)
    ]
    if problems:
        raise SpecError(problems)
    return StudyFile(**content)  # type: ignore[arg-type]
