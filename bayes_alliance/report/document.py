"""A report as plain records, before anything is HTML or Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

type Cell = str | float | int | bool | None


@dataclass(frozen=True)
class Number:
    """A number in prose, and the ``place`` (model, parameter) in a table that it is taken from."""

    text: str
    place: tuple[str, str]


type Words = tuple[str | Number, ...]


@dataclass(frozen=True)
class Prose:
    """A paragraph; ``tone`` is "plain", "good" or "bad"."""

    words: Words
    tone: str = "plain"

    @property
    def text(self) -> str:
        """Return the paragraph without places."""
        return "".join(word if isinstance(word, str) else word.text for word in self.words)


@dataclass(frozen=True)
class Points:
    """A list of short sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table: lines by column, a caption, and the ``model`` whose parameters its first column names, if any."""

    lines: tuple[dict[str, Cell], ...]
    caption: str
    model: str = ""
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture as PNG, with what it shows for those who cannot see it."""

    content: bytes
    name: str
    caption: str


@dataclass(frozen=True)
class Equation:
    """A model equation: as formula and as LaTeX."""

    formula: str
    latex: str


@dataclass(frozen=True)
class Code:
    """Text of a file or command, as it is."""

    text: str
    title: str = ""


@dataclass(frozen=True)
class Flow:
    """Rows from the file to the fits: boxes from top to bottom with what left beside each, then one per equation."""

    boxes: tuple[tuple[str, tuple[str, ...]], ...]
    branches: tuple[tuple[str, tuple[str, ...]], ...]


type Block = Prose | Points | Table | Picture | Equation | Code | Flow | Section


@dataclass(frozen=True)
class Section:
    """A titled part with blocks, sections among them; ``name`` is its anchor."""

    title: str
    blocks: tuple[Block, ...]
    name: str = field(default="")

    @property
    def anchor(self) -> str:
        """Return what links to the section say."""
        return self.name or slug(self.title)


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    subtitle: str
    lead: tuple[Block, ...]
    sections: tuple[Section, ...]


def slug(text: str) -> str:
    """Return text as an anchor: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "part"


def anchor_of(place: tuple[str, str]) -> str:
    """Return the anchor of a parameter in a model's table; different parameters have different ones."""
    model, name = place
    spelled = "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):x}" for c in name)
    return f"q-{model}--{spelled}"  # labels are small letters, digits, hyphens and underscores


def words(*parts: str | Number) -> Words:
    """Return a paragraph's words."""
    return tuple(parts)


def all_sections(sections: Sequence[Section]) -> list[Section]:
    """Return sections and those inside them, from the first to the last."""
    found = []
    for section in sections:
        inner = [block for block in section.blocks if isinstance(block, Section)]
        found += [section, *all_sections(inner)]
    return found
