"""A document as one HTML file that needs nothing else: pictures, equations and styles are in it."""

from __future__ import annotations

import base64
import re
from html import escape
from importlib.resources import files
from typing import Any, Final

import pandas as pd
from great_tables import GT
from jinja2 import Environment, StrictUndefined
from latex2mathml.converter import convert
from markupsafe import Markup

from bayes_alliance._messages import visible
from bayes_alliance.report.document import (
    Block,
    Cell,
    Code,
    Document,
    Equation,
    Flow,
    Number,
    Picture,
    Points,
    Prose,
    Section,
    Table,
    anchor_of,
)
from bayes_alliance.report.sentences import two_places

_STYLE: Final = re.compile(r"<style>.*?</style>", flags=re.DOTALL)


def render_html(document: Document) -> str:
    """Return a document as a self-contained page: no script, nothing loaded, labels never read as markup."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    folder = files("bayes_alliance.report") / "templates"
    template = environment.from_string((folder / "report.html").read_text(encoding="utf-8"))
    style = Markup((folder / "report.css").read_text(encoding="utf-8"))
    anchors = _anchors(document)
    tables = _Tables()

    def show(block: Block, level: int = 3) -> Markup:
        return _show(block, level, anchors, tables)

    return visible(template.render(document=document, style=style, show=show))


class _Tables:
    """Numbers tables, and gives each parameter's anchor to the first line that has it."""

    def __init__(self) -> None:
        self.count = 0
        self.used: set[str] = set()


def _show(block: Block, level: int, anchors: set[str], tables: _Tables) -> Markup:
    match block:
        case Prose(content, tone):
            return Markup('<p class="{}">{}</p>').format(tone, Markup("").join(_word(w, anchors) for w in content))
        case Points(items):
            return Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(one) for one in items))
        case Table():
            return _table(block, tables)
        case Picture(content, name, caption):
            data = base64.b64encode(content).decode()
            shape = Markup(
                '<figure><img alt="{}" id="{}" src="data:image/png;base64,{}"><figcaption>{}</figcaption></figure>'
            )
            return shape.format(caption, name, data, caption)
        case Equation(formula, latex):
            shape = Markup('<div class="equation"><code>{}</code><div class="math">{}</div></div>')
            return shape.format(formula, Markup(latex_to_mathml(latex)))
        case Code(text, title):
            if not title:
                return Markup("<pre>{}</pre>").format(text)
            return Markup("<details><summary>{}</summary><pre>{}</pre></details>").format(title, text)
        case Flow(boxes, branches):
            stem = Markup("").join(_box(text, gone, "stem") for text, gone in boxes)
            return Markup('<ol class="flow">{}{}</ol>').format(
                stem, Markup("").join(_box(text, gone, "branch") for text, gone in branches)
            )
        case Section(title, blocks):
            inner = Markup("").join(_show(one, level + 1, anchors, tables) for one in blocks)
            head = Markup("<h{0}>{1}</h{0}>").format(min(level, 6), title)
            return Markup('<section id="{}">{}{}</section>').format(block.anchor, head, inner)


def _word(word: str | Number, anchors: set[str]) -> Markup:
    if isinstance(word, str):
        return Markup("{}").format(word)
    title = f"{word.place[1]} in the model {word.place[0]}"
    anchor = anchor_of(word.place)
    if anchor not in anchors:
        return Markup('<span class="number" title="{}">{}</span>').format(title, word.text)
    return Markup('<a class="number" href="#{}" title="{}">{}</a>').format(anchor, title, word.text)


def _box(text: str, gone: tuple[str, ...], kind: str) -> Markup:
    aside = Markup('<ul class="gone">{}</ul>').format(Markup("").join(Markup("<li>{}</li>").format(g) for g in gone))
    return Markup('<li class="{}"><div class="box">{}</div>{}</li>').format(kind, text, aside if gone else "")


def _table(table: Table, tables: _Tables) -> Markup:
    """Return a table made by great-tables; its styles come from the page, so that they follow light and dark."""
    tables.count += 1
    columns = list(table.lines[0]) if table.lines else []
    frame = pd.DataFrame({c: [cell_text(line.get(c)) for line in table.lines] for c in columns})
    numeric = [c for c in columns if c == "R-hat" or any(isinstance(line.get(c), (int, float)) for line in table.lines)]
    marks: dict[str, Markup] = {}
    if table.model and columns:
        first = columns[0]
        frame[first] = [_mark(str(line[first]), table.model, marks, tables) for line in table.lines]
    made: Any = GT(frame, id=f"table-{tables.count}").cols_align("left")
    made = made.cols_align("right", columns=numeric) if numeric else made
    body = _STYLE.sub("", made.as_raw_html())
    for mark, target in marks.items():
        body = body.replace(mark, target)
    note = Markup('<p class="note">{}</p>').format(table.note) if table.note else Markup("")
    shape = Markup('<figure class="table"><figcaption>Table {}. {}</figcaption><div class="scroll">{}</div>{}</figure>')
    return shape.format(tables.count, table.caption, Markup(body), note)


def _mark(name: str, model: str, marks: dict[str, Markup], tables: _Tables) -> str:
    """Return what stands for a parameter until the table is made, which reads no cell as markup."""
    anchor = anchor_of((model, name))
    if anchor in tables.used:
        return name
    tables.used.add(anchor)
    mark = f"\u2402{len(marks)}\u2403"
    marks[mark] = Markup('<span id="{}">{}</span>').format(anchor, name)
    return mark


def cell_text(value: Cell) -> str:
    """Return a cell as a reader wants it: whole numbers whole, others with the places they need."""
    if value is None:
        return "\u2013"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else two_places(value)
    return value


def latex_to_mathml(latex: str, *, display: str = "block") -> str:
    """Return LaTeX as MathML, which browsers show without a script; where that fails, the text itself.

    Parameters
    ----------
    latex : str
        Lines of ``aligned`` or ``align*`` become one formula each.
    display : {"block", "inline"}
        On lines of their own, or in a sentence.
    """
    body = re.sub(r"\\(begin|end)\{align(ed|\*)\}", "", latex)
    rows = [re.sub(r"(?<!\\)&", "", row).strip() for row in body.split("\\\\\n") if row.strip()]
    try:
        made = [convert(row.rstrip("\\").strip(), display=display) for row in rows]
    except Exception:  # whatever the converter does not know
        return f"<code>{escape(latex)}</code>"
    return "".join(made) if display == "inline" else "".join(f"<div>{one}</div>" for one in made)


def _anchors(document: Document) -> set[str]:
    """Return the anchors that tables of the document offer."""
    found: set[str] = set()

    def look(blocks: tuple[Block, ...]) -> None:
        for block in blocks:
            if isinstance(block, Section):
                look(block.blocks)
            elif isinstance(block, Table) and block.model:
                first = next(iter(block.lines[0])) if block.lines else ""
                found.update(anchor_of((block.model, str(line[first]))) for line in block.lines)

    look(document.lead)
    look(document.sections)
    return found
