"""Scoring keys as data: items, subscales, reversals, range, and where each fact is from."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bayes_alliance._messages import quote, unknown
from bayes_alliance.errors import TableError
from bayes_alliance.findings import Problem

FOLDER: Final = "instruments"

WITHOUT_KEY: Final = "without_key"
"""Folder of instruments that are known by name and whose key is not: a key is never guessed."""


class Fact(BaseModel):
    """A fact of a key: ``source`` says where it was read, or, from ``memory``, where it should stand."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    what: str
    status: Literal["source", "memory"]
    source: str


class OtherRange(BaseModel):
    """The lowest and highest answer to items that have another range than the rest."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    items: Annotated[tuple[int, ...], Field(strict=False, min_length=1)]
    range: Annotated[tuple[float, float], Field(strict=False)]


class Instrument(BaseModel):
    """How the items of a questionnaire become scores; no text of any item.

    ``items`` counts them, ``range`` is the lowest and highest answer (``other_range`` that of items with another one),
    ``reverse`` the items that count the other way round. Of the items of ``one_of`` one is answered; the highest answer
    counts, under the number of the first. ``subscales`` list items by name; ``total`` is whether there is a score of
    all of them. Scores are the
    ``score`` (sum or mean) of items, ``times`` a factor; ``better`` says which direction is improvement. ``missing`` is
    what is done about items without an answer unless it is stated; ``cutoffs`` and ``reliable_change`` are of the
    total.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    title: str
    items: Annotated[int, Field(ge=1, le=500)]
    range: Annotated[tuple[float, float], Field(strict=False)]
    better: Literal["higher", "lower"]
    score: Literal["sum", "mean"] = "sum"
    times: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    total: bool = True
    whole: bool = True
    other_range: Annotated[tuple[OtherRange, ...], Field(strict=False)] = ()
    reverse: Annotated[tuple[int, ...], Field(strict=False)] = ()
    one_of: Annotated[
        tuple[Annotated[tuple[int, ...], Field(strict=False, min_length=2)], ...], Field(strict=False)
    ] = ()
    subscales: dict[str, Annotated[tuple[int, ...], Field(strict=False)]] = {}
    missing: Literal["half", "complete"] = "half"
    cutoffs: dict[str, float] = {}
    reliable_change: float | None = None
    note: str = ""
    facts: Annotated[tuple[Fact, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _check(self) -> Instrument:
        numbers = [*self.reverse, *(item for own in self.subscales.values() for item in own)]
        numbers += [item for other in self.other_range for item in other.items]
        choices = [item for own in self.one_of for item in own]
        numbers += choices
        odd = sorted({item for item in numbers if not 1 <= item <= self.items})
        if odd:
            raise ValueError(f"items are numbered 1 to {self.items}; {', '.join(map(str, odd))} is none")
        twice = [name for name, own in self.subscales.items() if len(set(own)) < len(own)]
        if twice:
            raise ValueError(f"{quote(twice)} lists an item twice")
        empty = [name for name, own in self.subscales.items() if not own]
        if empty:
            raise ValueError(f"{quote(empty)} lists no item")
        if not all(low < high for low, high in (self.range, *(other.range for other in self.other_range))):
            raise ValueError("range is the lowest answer and the highest one")
        listed = [item for other in self.other_range for item in other.items]
        if len(set(listed)) < len(listed):
            raise ValueError("other_range lists an item twice")
        if len(set(choices)) < len(choices):
            raise ValueError("one_of lists an item twice")
        spare = sorted(set(choices) - set(self.counted))
        if any(len({tuple(self.ends()[item - 1]) for item in own}) > 1 for own in self.one_of):
            raise ValueError("items of one_of have one range")
        inside = [name for name, own in self.subscales.items() if set(own) & set(spare)]
        if inside:
            raise ValueError(f"{quote(inside)} lists an item of one_of that is not its first")
        if self.other_range and self.missing == "half":
            raise ValueError("items with different ranges cannot stand for one another; missing is 'complete'")
        return self

    @property
    def counted(self) -> tuple[int, ...]:
        """Return the items that count in the total: of those of which one is answered, the first."""
        spare = {item for own in self.one_of for item in own[1:]}
        return tuple(item for item in range(1, self.items + 1) if item not in spare)

    def ends(self) -> np.ndarray:
        """Return the lowest and the highest answer to every item, shape (item, 2)."""
        found = np.tile(np.asarray(self.range, dtype=float), (self.items, 1))
        for other in self.other_range:
            found[[item - 1 for item in other.items]] = other.range
        return found

    @property
    def from_memory(self) -> tuple[str, ...]:
        """Return the facts that were not read in a source."""
        return tuple(fact.what for fact in self.facts if fact.status == "memory")


def list_instruments() -> tuple[str, ...]:
    """Return the names of the keys that come with the package.

    Returns
    -------
    tuple of str
        In alphabetical order, such as ``"wai-sr"``.

    Examples
    --------
    >>> "phq-9" in list_instruments()
    True
    """
    folder = files("bayes_alliance") / FOLDER
    return tuple(sorted(Path(str(one.name)).stem for one in folder.iterdir() if one.name.endswith(".toml")))


def load_instrument(name: str | Path) -> Instrument:
    """Return a scoring key: one of the package by its name, or a file of your own.

    Parameters
    ----------
    name : str or Path
        ``"wai-sr"``, say, or the path of a ``.toml`` file.

    Returns
    -------
    Instrument

    Raises
    ------
    TableError
        If there is no such key, or a file is none.

    Examples
    --------
    >>> load_instrument("wai-sr").subscales["bond"]
    (3, 5, 7, 9)
    """
    text = str(name)
    if text in list_instruments():
        content = (files("bayes_alliance") / FOLDER / f"{text}.toml").read_text(encoding="utf-8")
    elif text.endswith(".toml"):
        if not Path(text).is_file():
            raise TableError(f"No file of an instrument at {text!r}.")
        try:
            content = Path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeError):
            raise TableError(f"{text!r} cannot be read as UTF-8 text.") from None
    elif (lacking := files("bayes_alliance") / FOLDER / WITHOUT_KEY / f"{text}.toml").is_file():
        raise TableError(_without_key(text, tomllib.loads(lacking.read_text(encoding="utf-8"))))
    else:
        other = unknown("instrument", text, list_instruments())
        raise TableError(
            [Problem(other.what, allowed=other.allowed, fix=f"{other.fix} A key of your own ends in .toml.")]
        )
    try:
        return Instrument.model_validate(tomllib.loads(content))
    except tomllib.TOMLDecodeError as error:
        raise TableError(f"{text!r} is no TOML: {error}.") from None
    except ValidationError as error:
        raise TableError([_as_problem(text, detail) for detail in error.errors()]) from None


def _without_key(name: str, facts: Mapping[str, str]) -> list[Problem]:
    """Return why an instrument has no key, and what to do."""
    return [
        Problem(
            f"There is no key of {name!r} ({facts['title']}): {facts['lacking']}. Known: {facts['known']}.",
            fix="Write the key that you use as a .toml file (title, items, range, better, subscales); state its path.",
        )
    ]


def _as_problem(name: str, detail: Mapping[str, object]) -> Problem:
    place = ".".join(map(str, detail["loc"])) if isinstance(detail["loc"], tuple) else ""
    return Problem(f"{str(detail['msg']).removeprefix('Value error, ')}.", where=f"instrument {name!r} {place}".strip())
