"""Scores of items: which columns are items, reversals, what is done about items without an answer, and what is said."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, first_few, quote, unknown
from bayes_alliance.errors import TableError
from bayes_alliance.findings import Findings
from bayes_alliance.table.scores.instrument import Instrument, load_instrument

MISSING: Final = ("half", "complete")

_NUMBER: Final = re.compile(r"(\d+)\D*\Z")


@dataclass(frozen=True)
class ScoreSpec:
    """A score: by which ``instrument``, of which ``items`` (a pattern such as ``wai_*``, or columns in order).

    ``items_missing`` is ``"half"`` (where half of a scale's items or more are answered, the mean of these stands for
    the others) or ``"complete"``; that of the instrument unless stated. ``subscale`` names the one that is wanted.
    """

    instrument: str | Path
    items: str | Sequence[str]
    items_missing: Literal["half", "complete"] | None = None
    subscale: str | None = None


@dataclass(frozen=True)
class Scale:
    """What a score is made of: the ``columns`` of an instrument's items in order, and which ``items`` of it count."""

    instrument: Instrument
    columns: tuple[str, ...]
    items: tuple[int, ...]

    @property
    def factor(self) -> float:
        """Return what the mean of the items is multiplied by to be the score."""
        return self.instrument.times * (len(self.items) if self.instrument.score == "sum" else 1)

    @property
    def ends(self) -> tuple[float, float]:
        """Return the lowest and the highest score."""
        low, high = self.instrument.ends()[[item - 1 for item in self.items]].mean(axis=0) * self.factor
        return float(low), float(high)

    def answers(self, frame: pd.DataFrame, name: str, findings: Findings) -> np.ndarray | None:
        """Return the answers to the items that count, reversals made, shape (row, item); NaN where there is none."""
        values = answers_of(frame, name, self.columns, self.instrument, findings)
        return None if values is None else values[:, [item - 1 for item in self.items]]


def read_scores(
    given: object, findings: Findings, folder: Path | None = None
) -> dict[str, tuple[ScoreSpec, Instrument]]:
    """Return what is stated of scores, with their keys, reporting what is no such statement.

    ``folder`` is where files of keys lie that are stated by their name.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        findings.problem(f"scores is {given!r}.", allowed="It maps scores to their instrument and items.")
        return {}
    found = {}
    for name, stated in given.items():
        spec = _spec(str(name), stated, findings)
        if spec is None:
            continue
        try:
            own = str(spec.instrument)
            place = folder / own if folder is not None and own.endswith(".toml") else own
            found[str(name)] = (spec, load_instrument(place))
        except TableError as error:
            findings.add(problem.under(f"scores[{name!r}]") for problem in error.problems)
    return found


def _spec(name: str, stated: object, findings: Findings) -> ScoreSpec | None:
    if isinstance(stated, ScoreSpec):
        return stated
    keys = ("instrument", "items", "items_missing", "subscale")
    if not isinstance(stated, Mapping) or not {"instrument", "items"} <= set(stated):
        findings.problem(
            f"scores[{name!r}] is {stated!r}.", allowed="It states instrument and items, such as 'wai-sr' and 'wai_*'."
        )
        return None
    odd = [str(key) for key in stated if key not in keys]
    findings.add(unknown("key", key, keys, f"scores[{name!r}]") for key in odd)
    rule: Any = stated.get("items_missing")
    if rule is not None and rule not in MISSING:
        findings.problem(f"items_missing of scores[{name!r}] is {rule!r}.", allowed=f"One of {quote(MISSING)}.")
    return None if findings.problems else ScoreSpec(**stated)


def item_columns(name: str, spec: ScoreSpec, key: Instrument, columns: Sequence[str], findings: Findings) -> list[str]:
    """Return the columns of the items in the order of their numbers; none where they do not fit the key."""
    if isinstance(spec.items, str):
        found = [column for column in columns if fnmatchcase(column, spec.items)]
        numbered = {column: _NUMBER.search(column) for column in found}
        without = [column for column, match in numbered.items() if match is None]
        if without:
            findings.problem(
                f"{quote(without)} fits {spec.items!r}, items of {name!r}, and has no number.",
                fix="List the columns of the items in their order.",
            )
            return []
        numbers = {column: int(match[1]) for column, match in numbered.items() if match is not None}
        if sorted(numbers.values()) != list(range(1, key.items + 1)):
            shown = first_few([repr(column) for column in found]) or "none"
            findings.problem(
                f"Items of {name!r} are numbered 1 to {key.items} ({key.title}), and {count_of(len(found), 'column')} "
                f"{are(len(found), 'fits', 'fit')} {spec.items!r}: {shown}.",
                fix="List the columns of the items in their order, or take the instrument that they are of.",
            )
            return []
        return sorted(found, key=lambda column: numbers[column])
    if not isinstance(spec.items, (list, tuple)):
        findings.problem(
            f"Items of {name!r} are {spec.items!r}.",
            allowed="A pattern such as 'wai_*', or a list of columns in order.",
        )
        return []
    listed = [str(column) for column in spec.items]
    twice = sorted({column for column in listed if listed.count(column) > 1})
    if twice:
        findings.problem(f"Items of {name!r} list {quote(twice)} twice.")
        return []
    lacking = [column for column in listed if column not in columns]
    if lacking:
        findings.problem(f"Items of {name!r}: {quote(lacking)} is no column.")
        return []
    if len(listed) != key.items:
        findings.problem(f"{key.title} has {key.items} items, and {len(listed)} are listed for {name!r}.")
        return []
    return listed


def add_scores(
    frame: pd.DataFrame,
    scores: Mapping[str, tuple[ScoreSpec, Instrument]],
    playing: Collection[str],
    findings: Findings,
) -> tuple[pd.DataFrame, dict[str, Scale]]:
    """Return a typed frame with scores beside its items, and what each is made of; columns with a role are no items.

    A score has the name it is stated by, its subscales that name and theirs: ``alliance_bond``.
    """
    made: dict[str, np.ndarray] = {}
    scales: dict[str, Scale] = {}
    for name, (spec, key) in scores.items():
        columns = item_columns(name, spec, key, [one for one in frame.columns if one not in playing], findings)
        if not columns:
            continue
        values = answers_of(frame, name, columns, key, findings)
        if values is None:
            continue
        for score, items in _scales(name, spec, key, findings).items():
            if score in frame.columns or score in made:
                findings.problem(f"Score {score!r} is called like a column.", fix="Call it differently.")
                continue
            rule = spec.items_missing or key.missing
            if rule == "half" and key.other_range:
                findings.problem(
                    f"Items of {key.title} have different ranges; the mean of others cannot stand for one.",
                    where=f"scores[{name!r}]",
                    fix='State items_missing="complete".',
                )
                continue
            made[score], told = _score(values[:, [item - 1 for item in items]], key, rule)
            scales[score] = Scale(key, tuple(columns), tuple(items))
            findings.note(
                f"Score {score!r} ({key.title}, {key.score} of {len(items)} items, {key.better} is better): {told}"
            )
        if key.from_memory:
            findings.note(f"The key of {name!r} is from memory in: {', '.join(key.from_memory)}. Check it before use.")
    return frame.assign(**made), scales


def answers_of(
    frame: pd.DataFrame, name: str, columns: Sequence[str], key: Instrument, findings: Findings
) -> np.ndarray | None:
    """Return answers with reversals, shape (row, item), NaN where there is none; report what is no answer."""
    words = [column for column in columns if frame[column].dtype != np.float64]
    if words:
        findings.problem(
            f"Items of {name!r} hold words: {quote(words)}.", fix="Items are numbers; see labels= and missing=."
        )
        return None
    values = np.array(frame[list(columns)], dtype=float)
    low, high = key.ends().T
    known = ~np.isnan(values)
    odd = known & ((values < low) | (values > high) | (key.whole & (values % 1 != 0)))
    if odd.any():
        places = [f"{columns[item]!r} row {row + 1} ({values[row, item]:g})" for row, item in np.argwhere(odd)[:5]]
        count = int(odd.sum())
        findings.problem(
            f"{count_of(count, 'answer')} of {name!r} {are(count, 'is', 'are')} none: {first_few(places, count)}.",
            allowed=_answers_allowed(key),
            fix="Correct them, or declare codes in missing=.",
        )
        return None
    turned = [item - 1 for item in key.reverse]
    values[:, turned] = (low + high)[turned] - values[:, turned]
    for choice in key.one_of:
        among = [item - 1 for item in choice]
        several = int(((~np.isnan(values[:, among])).sum(axis=1) > 1).sum())
        if several:
            which = ", ".join(map(str, choice))
            findings.note(
                f"{count_of(several, 'row')} {are(several, 'answers', 'answer')} several of the items {which} of "
                f"{name!r}, of which one is to be answered; the highest answer counts."
            )
        values[:, among[0]] = np.fmax.reduce(values[:, among], axis=1)
    return values


def _answers_allowed(key: Instrument) -> str:
    """Return in a sentence which answers there are."""
    kind = "whole numbers from" if key.whole else "from"
    told = [f"{kind} {key.range[0]:g} to {key.range[1]:g}"]
    told += [
        f"{other.range[0]:g} to {other.range[1]:g} to the items {', '.join(map(str, other.items))}"
        for other in key.other_range
    ]
    return f"Answers are {', and '.join(told)}."


def _scales(name: str, spec: ScoreSpec, key: Instrument, findings: Findings) -> dict[str, tuple[int, ...]]:
    if spec.subscale is not None:
        if spec.subscale not in key.subscales:
            findings.add([unknown("subscale", spec.subscale, list(key.subscales), f"scores[{name!r}]")])
            return {}
        return {name: key.subscales[spec.subscale]}
    whole = {name: key.counted} if key.total else {}
    return whole | {f"{name}_{sub}": items for sub, items in key.subscales.items()}


def _score(values: np.ndarray, key: Instrument, rule: str) -> tuple[np.ndarray, str]:
    """Return scores, NaN where too few items are answered, and what was done about those that are not."""
    answered = (~np.isnan(values)).sum(axis=1)
    wanted = values.shape[1] if rule == "complete" else values.shape[1] / 2
    enough = (answered >= wanted) & (answered > 0)
    sums = np.nansum(values, axis=1)
    means = np.divide(sums, answered, out=np.full(len(values), np.nan), where=enough)
    scores = np.where(enough, means * (values.shape[1] if key.score == "sum" else 1) * key.times, np.nan)
    partly = int((enough & (answered < values.shape[1])).sum())
    none = int((answered == 0).sum())
    few = int((~enough).sum()) - none
    told = [f"{count_of(int(enough.sum()), 'row')} scored"]
    if partly:
        told.append(f"{partly:,} with items missing, for which the mean of the others stands")
    if few:
        told.append(
            f"{few:,} not scored, with {'items' if rule == 'complete' else 'more than half of the items'} missing"
        )
    if none:
        told.append(f"{none:,} without any answer")
    return scores, "; ".join(told) + "."
