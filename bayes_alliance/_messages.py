"""Pieces of text that errors and messages share: quotes, counts, nearest names, similar names, what cells may show."""

from __future__ import annotations

import difflib
import re
import reprlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps

from bayes_alliance.findings import Problem

SHOWN = 5
"""Items of a list that a message shows."""

LISTED = 60
"""Valid names that a message lists."""

_SHORT = reprlib.Repr(maxstring=300, maxlong=40, maxother=300, maxlist=10, maxtuple=10, maxdict=10, maxlevel=3)

HIDDEN_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories of characters that are not seen: controls, directions, zero width, halves of pairs, separators."""

_UNUSUAL = re.compile(r"[^\x20-\x7e\n\t]")
"""All but plain characters, and the two controls that lay text out, which are shown as they are."""

_WITHHELD: ContextVar[bool] = ContextVar("withheld", default=False)


def visible(text: str) -> str:
    r"""Return text whose control characters are escaped, so that a terminal shows them and does not obey them.

    Escaped are the controls of C0 (but new line and tab) and C1, DEL, changes of direction, and characters of no
    width. Text that was escaped stays as it is.

    Examples
    --------
    >>> visible("wai\x1b[31m")
    'wai\\x1b[31m'
    """
    return _UNUSUAL.sub(lambda found: _escaped(found.group()), text)


def escaped[Record](method: Callable[[Record], str]) -> Callable[[Record], str]:
    """Decorate a ``__repr__`` or ``__str__`` whose text is printed, so that it is ``visible``."""

    @wraps(method)
    def shown(record: Record) -> str:
        return visible(method(record))

    return shown


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in HIDDEN_CATEGORIES:
        return character
    return character.encode("unicode_escape").decode()


@contextmanager
def withhold_cells() -> Iterator[None]:
    """Have messages inside the block describe cells of text by their length, since a cell may name a person."""
    token = _WITHHELD.set(True)
    try:
        yield
    finally:
        _WITHHELD.reset(token)


def are_withheld() -> bool:
    """Return whether cells of text are withheld from messages."""
    return _WITHHELD.get()


def show_cell(value: object) -> str:
    """Return a cell of text in quotes; its length alone where cells are withheld."""
    return _length_of(str(value)) if are_withheld() else repr(str(value))


def show_level(value: object) -> str:
    """Return a cell as it is; of text its length alone where cells are withheld. Numbers name nobody."""
    return _length_of(str(value)) if are_withheld() and not is_number(str(value)) else str(value)


def show_cells(values: Iterable[object]) -> str:
    """Return cells of text (levels, say) in quotes and separated by commas; their lengths where cells are withheld."""
    known = list(values)
    return first_few([show_cell(value) for value in known]) if are_withheld() else quote(known)


def _length_of(text: str) -> str:
    return f"a text of {count_of(len(text), 'character')}"


def is_number(text: str) -> bool:
    """Return whether a text reads as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def unknown_cell(kind: str, name: str, options: Iterable[object], where: str = "") -> Problem:
    """Return the problem of a value that no cell holds, with those there are; their number where withheld."""
    if are_withheld():
        known = f"Valid: {show_cells(options)}; 'bayes-alliance check' shows them."
        return Problem(f"Unknown {kind} {name!r}.", where, known)
    return unknown(kind, name, (str(option) for option in options), where)


def shorten(value: object) -> str:
    """Return what a file holds as a message repeats it: in quotes if it is text, its middle left out where it is long.

    Nothing a file can hold makes this fail: nested lists, endless numbers, halves of characters.
    """
    try:
        return _SHORT.repr(value)
    except (ValueError, RecursionError, OverflowError):
        return f"a value of type {type(value).__name__}"


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


_DRAWN_ALIKE = str.maketrans(
    "\u0430\u0432\u0441\u0435\u043d\u0456\u0458\u043a\u043c\u043e\u0440\u0455\u0442\u0443\u0445"
    "\u03b1\u03b2\u03b5\u03b6\u03b7\u03b9\u03ba\u03bc\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7",
    "abcehijkmopstyx" + "abezhikmnoptyx",
)
"""Cyrillic and Greek letters (small) whose capitals or selves are drawn like Latin ones."""


def group_alike(names: Iterable[str], *, drawn: bool = True) -> list[list[str]]:
    """Return the names that look alike to a reader, each group sorted; names that look like no other are left out.

    Letters of other scripts that are ``drawn`` alike count as one, and a full stop at the end counts for nothing.
    """
    by_form: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        plain = plain_form(name)
        form = plain.translate(_DRAWN_ALIKE).rstrip(".") if drawn else plain
        by_form.setdefault(form or plain, []).append(name)
    return [group for group in by_form.values() if len(group) > 1]


def spell(names: Iterable[str]) -> str:
    """Return names quoted, with characters beyond ASCII as escapes where two would be printed the same."""
    shown = [str(name) for name in names]
    printed = [unicodedata.normalize("NFKC", repr(name)) for name in shown]
    return ", ".join(map(ascii if len(set(printed)) < len(set(shown)) else repr, shown))


def spell_cells(values: Iterable[str]) -> str:
    """Return cells of text as ``spell`` does; their lengths where cells are withheld."""
    return show_cells(values) if are_withheld() else spell(values)


def hint(name: str, options: Iterable[str]) -> str:
    """Return the sentence with the option nearest to an unknown name; empty where none is near."""
    name, choices = str(name), [str(option) for option in options]
    form = plain_form(name, case=True)
    twin = next((choice for choice in choices if choice != name and plain_form(choice, case=True) == form), None)
    if twin is not None:
        return f"{spell([name, twin])} differ only in blanks, invisible characters or Unicode form."
    guess = nearest(name, choices)
    return f"Did you mean {guess!r}?" if guess else ""


def unknown(kind: str, name: str, options: Iterable[str], where: str = "") -> Problem:
    """Return the problem of a name that is not among the options, with the closest valid one."""
    choices = list(options)
    valid = quote(choices[:LISTED]) + (f", … ({len(choices)} in all)" if len(choices) > LISTED else "")
    return Problem(f"Unknown {kind} {shorten(name)}.", where, f"Valid: {valid or 'none'}.", hint(name, choices))
