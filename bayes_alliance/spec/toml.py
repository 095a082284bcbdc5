"""TOML files to plain data, with limits; model files to records and back."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

import tomli_w

from bayes_alliance._messages import shorten
from bayes_alliance.errors import SpecError
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.model_parsing import make_model

MAX_BYTES: Final = 1_000_000
"""Size of a file."""

MAX_NESTING: Final = 16
"""Tables and arrays inside each other, and parts of a dotted key."""

MAX_VALUES: Final = 20_000
"""Keys and values of a file in all."""

MAX_TEXT: Final = 10_000
"""Characters of one text or key."""

MAX_WHOLE: Final = 2**63 - 1
"""Largest whole number, as the TOML specification has it."""

_WORD = r"(?:(?<![\w-])[\w-]++|\"[^\"\n]*+\"|'[^'\n]*+')"
_DOTTED = re.compile(rf"{_WORD}(?:[ \t]*+\.[ \t]*+{_WORD}){{{MAX_NESTING}}}")


def parse_toml(text: str, what: str, where: str = "") -> dict[str, Any]:
    """Read TOML text as plain data within the limits above: data only, nothing in it is run.

    Every TOML file of the package is read here, so that none can exhaust memory, time or the stack.

    Parameters
    ----------
    text : str
        Content of a file; a byte order mark in front is left out.
    what : str
        What is read, for messages, such as ``"A model file"``.
    where : str
        Name of the file, for messages.

    Raises
    ------
    SpecError
        If the text is not TOML, too large, nested too deeply, or holds a NUL character, half of a character, a number
        beyond 64 bits or a text beyond 10,000 characters.

    Examples
    --------
    >>> parse_toml("seed = 1", "A file")
    {'seed': 1}
    """
    if not isinstance(text, str):
        raise SpecError(f"{what} is read from text; this is of type {type(text).__name__}.", where)
    size = len(text.encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        raise SpecError(f"{what} may have {MAX_BYTES:,} bytes; this one has {size:,}.", where)
    if _DOTTED.search(text):  # reading a dotted key takes time by the square of its parts
        raise SpecError(f"{what}: a name has more than {MAX_NESTING} parts with dots between them.", where)
    try:
        content = tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"This is not valid TOML: {error}.", where) from None
    except RecursionError:
        raise SpecError(f"{what}: {_TOO_DEEP}", where) from None
    except (ValueError, OverflowError):  # whole numbers of thousands of digits; dates and times that no calendar has
        raise SpecError(
            f"{what}: a number or a date is none that can be read. Whole numbers lie between -2^63 and 2^63 - 1.", where
        ) from None
    _check_limits(content, what, where)
    return content


_TOO_DEEP = f"tables and arrays are nested more than {MAX_NESTING} deep."


def _check_limits(content: dict[str, Any], what: str, where: str) -> None:
    """Raise if data are too deep, too many, or hold what no text or number of ours is."""
    level, count = list[Any](content.items()), 0
    for _ in range(MAX_NESTING):
        count += len(level)
        if count > MAX_VALUES:
            raise SpecError(f"{what} may have {MAX_VALUES:,} keys and values; this one has more.", where)
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += value.items()
            elif isinstance(value, (list, tuple)):
                below += value
            elif (problem := _impossible(value)) is not None:
                raise SpecError(f"{what}: {problem}", where)
        if not below:
            return
        level = below
    raise SpecError(f"{what}: {_TOO_DEEP}", where)


def _impossible(value: object) -> str | None:
    if isinstance(value, int) and abs(value) > MAX_WHOLE:
        return "a whole number lies beyond -2^63 and 2^63 - 1."
    if not isinstance(value, str):
        return None
    if len(value) > MAX_TEXT:
        return f"a text has {len(value):,} characters; allowed are {MAX_TEXT:,}. It begins {value[:40]!r}."
    if "\0" in value:
        return f"the text {value[:40]!r} holds a NUL character."
    if any("\ud800" <= character <= "\udfff" for character in value):
        return f"the text {value[:40]!r} holds half of a character. Save the file as UTF-8."
    return None


def is_file(path: Path) -> bool:
    """Return whether there is a file; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_text(path: Path, what: str) -> str:
    """Return the text of a file as it is, line ends included.

    Raises
    ------
    SpecError
        If there is no such file, it is too large, or it is not UTF-8 text.
    """
    try:
        if not is_file(path):
            raise SpecError(f"{what} {shorten(str(path))} cannot be read: there is no such file.")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise SpecError(f"{what} {path.name!r} may have {MAX_BYTES:,} bytes; it has {size:,}.")
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(
            f"{what} {path.name!r} cannot be read: it is not UTF-8 text (byte {error.start + 1}). Save it as UTF-8."
        ) from None
    except (OSError, ValueError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(f"{what} {shorten(str(path))} cannot be read: {error}.") from None


def parse_model(text: str, *, where: str = "") -> ModelSpec:
    """Read a model from TOML text.

    Parameters
    ----------
    text : str
        A model file's content: data only, nothing in it is run.
    where : str
        Name to give in messages.

    Returns
    -------
    ModelSpec
        Frozen; ``parse_model(write_model(spec))`` equals ``spec``.

    Raises
    ------
    SpecError
        With every problem found: TOML syntax, unknown keys (and the nearest valid one), formulas, priors; or for what
        ``parse_toml`` refuses.
    """
    return make_model(parse_toml(text, "A model file", where), where)


def write_model(spec: ModelSpec) -> str:
    """Write a model as TOML text, defaults left out.

    Parameters
    ----------
    spec : ModelSpec
        Any model.

    Returns
    -------
    str
        A model file's content. ``parse_model`` of it gives the same model.
    """
    return str(tomli_w.dumps(spec.model_dump(mode="json", exclude_defaults=True)))


def read_model(path: Path) -> ModelSpec:
    """Read a model file.

    Raises
    ------
    SpecError
        If the file cannot be read as UTF-8 text, or for anything ``parse_model`` refuses.
    """
    return parse_model(read_text(path, "Model file"), where=path.name)
