"""Units under several wider units: patients of two therapists, therapists at two sites; and what that means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import pandas as pd

from bayes_alliance._messages import are, count_of, first_few, unknown
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.names import join_ids

type Transfer = Literal["ask", "transferred", "reused"]
type Transfers = Transfer | Mapping[str, Transfer]
"""What an id under several wider units means; a word alone is about patients."""

MEANINGS: Final = ("ask", "transferred", "reused")

UNITS_ABOVE: Final = ("therapist", "group", "site")

NAMED_BY: Final[Mapping[str, tuple[str, ...]]] = {
    "patient": ("therapist",),
    "therapist": ("site",),
    "group": ("site", "therapist"),
}
"""Whose id comes before that of a unit whose ids are used again: the first of these that a column plays."""


def read_transfers(transfers: object, roles: Mapping[str, str], findings: Findings) -> dict[str, Transfer]:
    """Return by unit what its ids under several wider units mean, reporting units and words that are none."""
    stated = transfers if isinstance(transfers, Mapping) else {"patient": transfers}
    for unit, meaning in stated.items():
        if unit not in NAMED_BY:
            findings.add([unknown("unit", str(unit), NAMED_BY, "transfers")])
        elif unit not in roles:
            findings.problem(f"transfers names {unit!r}, and no column plays it.", fix="Name its column in roles.")
        elif meaning not in MEANINGS:
            findings.add([unknown("meaning", str(meaning), MEANINGS, f"transfers of {unit!r}")])
    return {unit: meaning for unit, meaning in stated.items() if unit in NAMED_BY and meaning in MEANINGS}


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


def check_transfers(frame: pd.DataFrame, roles: Mapping[str, str], meaning: Transfer) -> list[Problem]:
    """Report patients seen under two therapists (groups, sites), unless it was said what that means."""
    if meaning == "transferred":
        return []
    problems = []
    for role in UNITS_ABOVE:
        changing = changing_patients(frame, roles, role)
        if not changing:
            continue
        meanings = [f"transfers='transferred' (one person who changed {role}; the factors are crossed)"]
        if role == "therapist":
            meanings.append(
                "transfers='reused' (the ids are used again by each therapist; therapist and id together name "
                "the person)"
            )
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
    meanings: Mapping[str, Transfer],
    findings: Findings,
) -> pd.DataFrame:
    """Name units by a wider unit's id and their own where ids are used again; therapists and groups come first."""
    for unit in ("therapist", "group", "patient"):
        if meanings.get(unit) == "reused":
            frame = _name_unit(frame, roles, unit, findings)
    return frame


def _name_unit(frame: pd.DataFrame, roles: Mapping[str, str], unit: str, findings: Findings) -> pd.DataFrame:
    wider = next((role for role in NAMED_BY[unit] if role in roles), None)
    stated = "transfers='reused'" if unit == "patient" else f"transfers={{{unit!r}: 'reused'}}"
    if wider is None:
        findings.problem(f"{stated} needs a column that plays {' or '.join(map(repr, NAMED_BY[unit]))}.")
        return frame
    own, above = frame[roles[unit]], frame[roles[wider]]
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
    findings.note(
        f"{count_of(before, f'{unit} id')} under {count_of(above[above != ''].nunique(), wider)} name "
        f"{count_of(named[named != ''].nunique(), what)}: ids are used again by each {wider}."
    )
    return frame.assign(**{roles[unit]: named})
