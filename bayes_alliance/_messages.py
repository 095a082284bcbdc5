"""Pieces of text that errors and messages share: quoting, counting, the nearest name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

SHOWN = 5


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


def unknown(kind: str, name: str, options: Iterable[str]) -> str:
    """Return the sentence for a name that is not among the options, with the closest valid one."""
    choices = list(options)
    guess = nearest(name, choices)
    hint = f" Did you mean {guess!r}?" if guess else ""
    return f"Unknown {kind} {name!r}. Valid: {quote(choices) or 'none'}.{hint}"
