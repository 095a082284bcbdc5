"""Units under several wider units: patients of two therapists, therapists at two sites; and what that means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import pandas as pd

from bayes_alliance._messages import are, count_of, first_few, show_cell, unknown
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.names import join_ids
from bayes_alliance.table.cells import id_text

type Transfer = Literal["ask", "transferred", "reused"]
type Transfers = Transfer | Mapping[str, Transfer | Mapping[str, Transfer]]
"""What an id under several wider units means; a word alone is about patients, who may differ: by id then."""

MEANINGS: Final = ("ask", "transferred", "reused")

UNITS_ABOVE: Final = ("therapist", "group", "site")

NAMED_BY: Final[Mapping[str, tuple[str, ...]]] = {
    "patient": ("therapist",),
    "therapist": ("site",),
    "group": ("site", "therapist"),
}
"""Whose id comes before that of a unit whose ids are used again: the first of these that a column plays."""


@dataclass(frozen=True)
class Meaning:
    """What ids of a unit under several wider units mean: for ``all``, or, of patients, by id (``own``)."""

    all: Transfer = "ask"
    own: Mapping[str, Transfer] = field(default_factory=dict)

    @property
    def renames(self) -> bool:
        """Return whether some ids are used again, and so are named by a wider unit."""
        return self.all == "reused" or "reused" in self.own.values()


def read_transfers(transfers: object, roles: Mapping[str, str], findings: Findings) -> dict[str, Meaning]:
    """Return by unit what its ids under several wider units mean, reporting units and words that are none."""
    stated = transfers if isinstance(transfers, Mapping) else {"patient": transfers}
    found: dict[str, Meaning] = {}
    for unit, meaning in stated.items():
        if unit == "patient" and unit in roles and isinstance(meaning, Mapping):
            ids = id_text(pd.Series(list(meaning), dtype=object))
            odd = [word for word in meaning.values() if word not in MEANINGS]
            findings.add(unknown("meaning", str(word), MEANINGS, "transfers of 'patient'") for word in odd)
            twice = first_few([show_cell(one) for one in ids[ids.duplicated()].unique()])
            findings.add([Problem(f"transfers of 'patient' names {twice} twice.")] if twice else [])
            found[unit] = Meaning("ask", dict(zip(ids, meaning.values(), strict=True)))
            continue
        if unit not in NAMED_BY:
            findings.add([unknown("unit", str(unit), NAMED_BY, "transfers")])
        elif unit not in roles:
            findings.problem(f"transfers names {unit!r}, and no column plays it.", fix="Name its column in roles.")
        elif meaning not in MEANINGS:
            findings.add([unknown("meaning", str(meaning), MEANINGS, f"transfers of {unit!r}")])
        else:
            found[unit] = Meaning(meaning)
    return found


def units_under_several(frame: pd.DataFrame, inner: str, outer: str) -> dict[str, list[str]]:
    """Return the ids of one column that occur with several ids of another, and those; empty ids do not count."""
    pairs = frame.loc[(frame[inner] != "") & (frame[outer] != ""), [inner, outer]].drop_duplicates()
    several = pairs[pairs.duplicated(inner, keep=False)]
    return {str(one): sorted(map(str, ids)) for one, ids in several.groupby(inner, observed=True)[outer]}


def changing_patients(frame: pd.DataFrame, roles: Mapping[str, str], role: str) -> dict[str, list[str]]:
    """Return the patients with more than one unit of a role, and those units; rows without an id do not count."""
    return units_under_several(frame, roles["patient"], roles[role]) if role in roles else {}


def show_several(several: Mapping[str, list[str]]) -> str:
    """Return the first five ids, each with the first five wider units it occurs under."""
    return first_few([f"{one!r} ({first_few(units)})" for one, units in list(several.items())[:5]], len(several))


def check_transfers(frame: pd.DataFrame, roles: Mapping[str, str], meaning: Meaning) -> list[Problem]:
    """Report patients seen under two therapists (groups, sites), unless it was said what that means."""
    if meaning.all == "transferred":
        return []
    problems = []
    for role in UNITS_ABOVE:
        changing = {
            one: units
            for one, units in changing_patients(frame, roles, role).items()
            if meaning.own.get(one) != "transferred"
        }
        if not changing:
            continue
        meanings = [f"transfers='transferred' (one person who changed {role}; the factors are crossed)"]
        if role == "therapist":
            meanings.append(
                "transfers='reused' (the ids are used again by each therapist; therapist and id together name "
                "the person)"
            )
        meanings.append("by patient, transfers={'patient': {'17': 'transferred', …}}")
        problems.append(
            Problem(
                f"{count_of(len(changing), 'patient')} with more than one {role}: {show_several(changing)}.",
                fix=f"Say what it means: {', '.join(meanings)}, or correct the ids.",
            )
        )
    return problems


def name_units(
    frame: pd.DataFrame,
    roles: Mapping[str, str],
    meanings: Mapping[str, Meaning],
    findings: Findings,
) -> pd.DataFrame:
    """Name units by a wider unit's id and their own where ids are used again; therapists and groups come first."""
    for unit in ("therapist", "group", "patient"):
        meaning = meanings.get(unit, Meaning())
        findings.add(_strangers(frame, roles, meaning) if meaning.own else [])
        moved = sum(word == "transferred" for word in meaning.own.values())
        if moved:
            who = f"{count_of(moved, unit)} under several therapists, groups or sites"
            findings.note(f"{who} {are(moved, 'is one person', 'are one person each')}, as stated.")
        if meaning.renames:
            frame = _name_unit(frame, roles, unit, meaning, findings)
    return frame


def _strangers(frame: pd.DataFrame, roles: Mapping[str, str], meaning: Meaning) -> list[Problem]:
    """Report patients that are said to be one or several, and have one therapist (group, site) or none."""
    changing = {one for role in UNITS_ABOVE for one in changing_patients(frame, roles, role)}
    odd = [show_cell(one) for one in meaning.own if one not in changing]
    if not odd:
        return []
    what = f"transfers names {count_of(len(odd), 'patient')} who {are(len(odd), 'is', 'are')}"
    return [Problem(f"{what} not seen under several therapists, groups or sites: {first_few(odd)}.")]


def _name_unit(
    frame: pd.DataFrame, roles: Mapping[str, str], unit: str, meaning: Meaning, findings: Findings
) -> pd.DataFrame:
    wider = next((role for role in NAMED_BY[unit] if role in roles), None)
    stated = "transfers='reused'" if unit == "patient" else f"transfers={{{unit!r}: 'reused'}}"
    if wider is None:
        findings.problem(f"{stated} needs a column that plays {' or '.join(map(repr, NAMED_BY[unit]))}.")
        return frame
    whole, above = frame[roles[unit]], frame[roles[wider]]
    again = [one for one, word in meaning.own.items() if word == "reused"]
    own = whole if meaning.all == "reused" else whole.where(whole.isin(again), "")
    lacking = int(((own != "") & (above == "")).sum())
    if lacking:
        findings.problem(
            f"{stated} names each {'person' if unit == 'patient' else unit} by {wider} and id, and "
            f"{count_of(lacking, 'row')} {are(lacking, 'has', 'have')} no {wider}.",
            fix=f"Complete the {wider} ids.",
        )
        return frame
    before = own[own != ""].nunique()
    named = pd.Series(join_ids([above, own], "/"), index=frame.index, dtype="str").mask(own == "", "")
    what = "person" if unit == "patient" else unit
    wide = above[(above != "") & (own != "")].nunique()
    findings.note(
        f"{count_of(before, f'{unit} id')} under {count_of(wide, wider)} {are(before, 'names', 'name')} "
        f"{count_of(named[named != ''].nunique(), what)}: ids are used again by each {wider}."
    )
    clash = sorted(set(named[named != ""]) & set(whole[own == ""]))
    if clash:
        findings.problem(
            f"{stated} names {first_few([show_cell(one) for one in clash])}, which is another {what}'s id already.",
            fix="Rename it.",
        )
    return frame.assign(**{roles[unit]: named.mask(own == "", whole)})
