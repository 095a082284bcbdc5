"""Layout files: a study to simulate as TOML, with its variables, their columns, references and truth."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bayes_alliance.errors import SpecError

TABLES = ("layout", "variables", "truth", "columns", "reference")


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
        If it cannot be read or has other tables.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"Layout file {str(path)!r} cannot be read: {error}.") from None
    odd = [key for key in content if key not in TABLES]
    if odd or "layout" not in content:
        found = ", ".join(content) or "none"
        raise SpecError(f"Layout file {path.name!r}: tables are {', '.join(TABLES)}, layout required; found {found}.")
    return StudyFile(**content)
