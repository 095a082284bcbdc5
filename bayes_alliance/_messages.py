"""Pieces of text that errors and messages share: quoting, counting, the nearest name, names that look alike."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence

SHOWN = 5

_BLANK_LETTERS = "\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
"""Characters without ink that Unicode counts among letters, marks and symbols."""


def quote(names: Iterable[object]) -> str:
    """Return names quoted and separated by commas, in the order given."""
    return ", ".join(repr(str(name)) for name in names)


def first_few(items: Sequence[str], total: int | None = None) -> str:
    """Return the first five items and, where there are more, how many there are in all."""
    count = len(items) if total is None else total
    text = ", ".join(items[:SHOWN])
    return f"{text}, … ({count} in all)" if count > SHOWN else text


def number_text(value: float) -> str:
    """Return a number as text that names it and no other: whole numbers without a point, others in full."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def are(number: int, singular: str, plural: str) -> str:
    """Return the form of a verb that goes with a count."""
    return singular if number == 1 else plural


def count_of(number: int, noun: str, plural: str | None = None) -> str:
    """Return ``1 row`` or ``3 rows``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def nearest(name: str, options: Iterable[str]) -> str | None:
    """Return the option most like ``name``, or None where nothing is alike."""
    name, choices = str(name), [str(option) for option in options]
    folded = {choice.casefold(): choice for choice in choices}
    if name.casefold() in folded:
        return folded[name.casefold()]
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    if close:
        return folded[close[0]]
    inside = [choice for choice in choices if len(name) > 2 and name.casefold() in choice.casefold()]
    return inside[0] if inside else None


def plain_form(text: str, *, case: bool = False) -> str:
    """Return what a reader sees of a name: one Unicode form (NFKC), no blanks, no invisible characters.

    Letter case is ignored, unless ``case`` keeps it.

    Examples
    --------
    >>> plain_form("Ju\u0308rgen\u200b ") == plain_form("J\u00fcrgen")
    True
    """
    visible = "".join(letter for letter in unicodedata.normalize("NFKC", text) if not _is_invisible(letter))
    return visible if case else unicodedata.normalize("NFKC", visible.casefold())


def _is_invisible(letter: str) -> bool:
    """Return whether a character leaves no ink: blanks, control and format characters, selectors, fillers."""
    code = ord(letter)
    selector = 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF or 0x180B <= code <= 0x180F or code == 0x34F
    return unicodedata.category(letter) in ("Cc", "Cf", "Zs", "Zl", "Zp") or selector or letter in _BLANK_LETTERS


def group_alike(names: Iterable[str]) -> list[list[str]]:
    """Return the names that look alike to a reader, each group sorted; names that look like no other are left out."""
    by_form: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        by_form.setdefault(plain_form(name), []).append(name)
    return [group for group in by_form.values() if len(group) > 1]


def spell(names: Iterable[str]) -> str:
    """Return names quoted, with characters beyond ASCII as escapes where two would be printed the same."""
    shown = [str(name) for name in names]
    printed = [unicodedata.normalize("NFKC", repr(name)) for name in shown]
    return ", ".join(map(ascii if len(set(printed)) < len(set(shown)) else repr, shown))


def hint(name: str, options: Iterable[str]) -> str:
    """Return a sentence, after a blank, with the option nearest to an unknown name; empty where none is near."""
    name, choices = str(name), [str(option) for option in options]
    form = plain_form(name, case=True)
    twin = next((choice for choice in choices if choice != name and plain_form(choice, case=True) == form), None)
    if twin is not None:
        return f" {spell([name, twin])} differ only in blanks, invisible characters or Unicode form."
    guess = nearest(name, choices)
    return f" Did you mean {guess!r}?" if guess else ""


def unknown(kind: str, name: str, options: Iterable[str]) -> str:
    """Return the sentence for a name that is not among the options, with the closest valid one."""
    choices = list(options)
    return f"Unknown {kind} {name!r}. Valid: {quote(choices) or 'none'}.{hint(name, choices)}"
