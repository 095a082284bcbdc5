"""A document as Markdown, with its pictures as files beside it."""

from __future__ import annotations

import re
from typing import Final

from bayes_alliance._messages import visible
from bayes_alliance.report.document import (
    Block,
    Code,
    Document,
    Equation,
    Flow,
    Picture,
    Points,
    Prose,
    Section,
    Table,
)
from bayes_alliance.report.html import cell_text

_SPECIAL: Final = re.compile(r"([\\`*_\[\]{}<>|#$~&^@]|:(?=[\w+-]+:))")
_STARTS: Final = re.compile(r"^(\d+)?([.)+-])(\s)")
"""What makes a list of a paragraph."""


def render_markdown(document: Document, folder: str) -> tuple[str, dict[str, bytes]]:
    """Return a document as Markdown and its pictures by name.

    Parameters
    ----------
    document : Document
        From ``compose``.
    folder : str
        Name of the folder the pictures will stand in, beside the text.
    """
    pictures: dict[str, bytes] = {}
    tables = [0]
    parts = [f"# {_plain(document.title)}", f"*{_plain(document.subtitle)}*"]
    parts += [_show(block, 2, folder, pictures, tables) for block in document.lead]
    for number, section in enumerate(document.sections, start=1):
        parts.append(f"## {number}. {_plain(section.title)}")
        parts += [_show(block, 3, folder, pictures, tables) for block in section.blocks]
    return visible("\n\n".join(parts)) + "\n", pictures


def _show(block: Block, level: int, folder: str, pictures: dict[str, bytes], tables: list[int]) -> str:
    match block:
        case Prose():
            text = _plain(block.text)
            return text if block.tone == "plain" else f"**{text}**"
        case Points(items):
            return "\n".join(f"- {_plain(item)}" for item in items)
        case Table():
            tables[0] += 1
            return _table(block, tables[0])
        case Picture(content, name, caption):
            file = re.sub(r"[^\w.-]", "_", name)
            pictures[file] = content
            return f"![{_plain(caption)}]({folder}/{file})"
        case Equation(formula, latex):
            return f"{_fenced(formula)}\n\n$$\n{latex}\n$$"
        case Code(text, title):
            return f"{_plain(title)}:\n\n{_fenced(text)}" if title else _fenced(text)
        case Flow(boxes, branches):
            lines = []
            for text, gone in (*boxes, *branches):
                lines += [f"- {_plain(text)}", *(f"    - {_plain(one)}" for one in gone)]
            return "\n".join(lines)
        case Section(title, blocks):
            head = f"{'#' * min(level, 6)} {_plain(title)}"
            return "\n\n".join([head, *(_show(one, level + 1, folder, pictures, tables) for one in blocks)])


def _table(table: Table, number: int) -> str:
    columns = list(table.lines[0]) if table.lines else []
    lines = [[_plain(c) for c in columns], ["---"] * len(columns)]
    lines += [[_plain(cell_text(line.get(c))) for c in columns] for line in table.lines]
    body = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    note = f"\n\n{_plain(table.note)}" if table.note else ""
    return f"**Table {number}.** {_plain(table.caption)}\n\n{body}{note}"


def _plain(text: str) -> str:
    """Return text whose signs are not read as markup."""
    return _STARTS.sub(r"\1\\\2\3", _SPECIAL.sub(r"\\\1", " ".join(text.split())))


def _fenced(text: str) -> str:
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{fence}text\n{text.rstrip()}\n{fence}"
