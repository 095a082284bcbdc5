"""The list of references, read from the .bib file beside the registered models: strict, and small as that file is."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from bayes_alliance._messages import shorten
from bayes_alliance.errors import SpecError
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.spec.registry import models_folder
from bayes_alliance.spec.toml import read_text

FILE: Final = "references.bib"

FIELDS: Final = (
    "author", "title", "year", "journal", "booktitle", "publisher", "editor", "edition", "volume", "number", "pages",
    "doi", "note",
)  # fmt: skip
"""Fields of an entry; the first three are required."""

REQUIRED: Final = FIELDS[:3]

_ENTRY = re.compile(r"@(\w+)\{([^,{}\s]+),\n(.*?)\n\}[ \t]*(?:\n|\Z)", re.DOTALL)
_FIELD = re.compile(r"  (\w+) = \{(.*)\},?")
_ACCENTS: Final[Mapping[str, str]] = {'"': "\u0308", "'": "\u0301", "`": "\u0300", "^": "\u0302", "~": "\u0303"}
_LETTERS: Final[Mapping[str, str]] = {"o": "ø", "O": "Ø", "aa": "å", "AA": "Å", "ss": "ß", "ae": "æ", "AE": "Æ"}


@dataclass(frozen=True)
class Reference:
    """A work: who wrote what, when and where. ``source`` is the journal or book with volume, number and pages."""

    key: str
    author: str
    year: str
    title: str
    source: str
    doi: str = ""
    note: str = ""

    @property
    def url(self) -> str:
        """Return where its DOI leads, empty without one."""
        return f"https://doi.org/{self.doi}" if self.doi else ""

    @property
    def text(self) -> str:
        """Return the whole reference, with its DOI where it has one."""
        if not self.author:
            return self.title
        note = f" [{self.note}]" if self.note else ""
        parts = (f"{self.author} ({self.year}). {self.title}{note}.", self.source, self.url)
        return " ".join(part for part in parts if part)


def parse_bib(text: str, where: str = FILE) -> dict[str, Reference]:
    r"""Read references from BibTeX as simple as this: an entry per key, a field per line, values in braces.

    Parameters
    ----------
    text : str
        Such as ``"@book{key,\n  author = {Bolger, Niall},\n  title = {A title},\n  year = {2013}\n}"``. Accents such as
        ``{\"u}``, ``\&`` and ``--`` between pages are read; braces that keep capitals are left out.
    where : str
        Name of the file, for messages.

    Returns
    -------
    dict of str to Reference
        By key, in the order of the file.

    Raises
    ------
    SpecError
        With every problem: text that is no entry, keys used twice, unknown, doubled or missing fields, LaTeX that is
        none of the above.
    """
    findings = Findings()
    findings.add(
        Problem(
            f"{shorten(rest.strip())} is no entry.", fix="Write @kind{key, a field per line, and } on its own line."
        )
        for rest in _ENTRY.split(text)[::4]
        if rest.strip()
    )
    found: dict[str, Reference] = {}
    for _, key, body in _ENTRY.findall(text):
        if key in found:
            findings.problem(f"{key!r} is there twice.")
        fields = _fields(key, body, findings)
        missing = [name for name in REQUIRED if name not in fields]
        if missing:
            findings.problem(f"{key!r} has no {', '.join(missing)}.")
            continue
        found[key] = Reference(
            key,
            _authors(fields["author"]),
            fields["year"],
            fields["title"] + ("" if "booktitle" in fields else _edition(fields)),
            _source(fields),
            fields.get("doi", ""),
            fields.get("note", ""),
        )
    findings.stop(SpecError, where)
    return found


def find_references(keys: Iterable[str]) -> tuple[Reference, ...]:
    """Return the references of keys that a model names, in their order.

    Parameters
    ----------
    keys : iterable of str
        A model's ``references``. A key that the list of the registry lacks is the title of a reference without more.

    Returns
    -------
    tuple of Reference
        One per key.
    """
    known = _registered()
    return tuple(known.get(key, Reference(key, "", "", key, "")) for key in keys)


@lru_cache(maxsize=1)
def _registered() -> Mapping[str, Reference]:
    return parse_bib(read_text(models_folder() / FILE, "List of references"))


def _fields(key: str, body: str, findings: Findings) -> dict[str, str]:
    """Return the fields of an entry as text, reporting lines that are none."""
    fields: dict[str, str] = {}
    for line in body.split("\n"):
        match = _FIELD.fullmatch(line)
        if match is None or match[1] not in FIELDS or match[1] in fields:
            findings.problem(
                f"{key!r}: {shorten(line.strip())} is no field, or is there twice.",
                allowed=f"Fields are {', '.join(FIELDS)}.",
            )
            continue
        fields[match[1]] = _plain(match[2])
        if set("{}\\") & set(fields[match[1]]):
            findings.problem(f"{key!r}: {match[1]} = {shorten(match[2])} holds LaTeX that is not read.")
    return fields


def _plain(text: str) -> str:
    r"""Return a value without LaTeX: ``{\"u}``, ``{\o}``, ``\&``, ``--`` and braces around words."""
    text = re.sub(r"\{\\([\"'`^~])(\w)\}", lambda m: unicodedata.normalize("NFC", m[2] + _ACCENTS[m[1]]), text)
    text = re.sub(r"\{\\([A-Za-z]+)\}", lambda m: _LETTERS.get(m[1], m[0]), text)
    text = re.sub(r"\{([^{}\\]*)\}", r"\1", text)
    return text.replace("\\&", "&").replace("--", "–").strip()


def _authors(text: str) -> str:
    """Return names as they stand in a list of references: ``Bolger, N., & Laurenceau, J.-P.``."""
    names = [_initials(name) for name in text.split(" and ")]
    if names[-1] == "others":
        return f"{', '.join(names[:-1])}, et al."
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])}, & {names[-1]}"


def _initials(name: str) -> str:
    """Return the family name and the initials of the others; ``Jean-Philippe`` is ``J.-P.``."""
    family, comma, given = name.partition(", ")
    if not comma:
        return name
    short = ["-".join(f"{part[0]}." for part in word.split("-") if part) for word in given.split()]
    return f"{family}, {' '.join(short)}"


def _source(fields: Mapping[str, str]) -> str:
    """Return where a work appeared, as sentences; empty where nothing is known."""
    pages = fields.get("pages", "")
    if "journal" in fields:
        issue = f"({fields['number']})" if "number" in fields else ""
        parts = [fields["journal"], f"{fields.get('volume', '')}{issue}", pages]
        return f"{', '.join(part for part in parts if part)}."
    book = ""
    if "booktitle" in fields:
        editors = fields.get("editor", "")
        by = f"{_authors(editors)} ({'Eds.' if ' and ' in editors else 'Ed.'}), " if editors else ""
        book = f"In {by}{fields['booktitle']}{_edition(fields)}{f', {pages}' if pages else ''}"
    return " ".join(f"{part}." for part in (book, fields.get("publisher", "")) if part)


def _edition(fields: Mapping[str, str]) -> str:
    """Return the edition of a book in brackets, empty where it is not stated."""
    return f" (edition {fields['edition']})" if "edition" in fields else ""
