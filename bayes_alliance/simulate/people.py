"""A layout to rows: patients in arms, therapists, groups and sites, and the sessions each of them came to."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayes_alliance.simulate.layout import Layout, group_arms


def lay_out(layout: Layout, rng: np.random.Generator) -> pd.DataFrame:
    """Return one row per patient and session they came to, with every id and the condition.

    Everyone has the first session; later ones may be missed, and who drops out has none after.
    """
    arm, therapist = _arms_and_therapists(layout, rng)
    group, therapist = _groups(layout, arm, therapist, rng)
    people = pd.DataFrame({layout.name("patient"): _ids("P", np.arange(layout.patients), layout.patients)})
    if layout.arms:
        people[layout.name("condition")] = [list(layout.arms)[code] for code in arm]
    if layout.therapists:
        people[layout.name("therapist")] = _ids("T", therapist, int(therapist.max()) + 1)
    if layout.shared:
        people = pd.concat([people, _second(therapist, layout, rng)], axis=1)
    if layout.groups is not None:
        people[layout.name("group")] = _ids("G", group, int(group.max()) + 1)
    if layout.sites:
        people[layout.name("site")] = _ids("S", _sites(layout, therapist, rng), layout.sites)
    if not layout.sessions:
        return people
    return _sessions(people, layout, arm, rng)


def _ids(letter: str, numbers: np.ndarray, count: int) -> list[str]:
    """Name numbers from 0 with leading zeros; -1 is no id."""
    width = len(str(count))
    return ["" if number < 0 else f"{letter}{number + 1:0{width}d}" for number in numbers]


def _second(therapist: np.ndarray, layout: Layout, rng: np.random.Generator) -> pd.DataFrame:
    """Return every patient's second therapist, where there is one, and the shares of both."""
    count = int(therapist.max()) + 1
    other = (therapist + rng.integers(1, count, len(therapist))) % count
    having = rng.random(len(therapist)) < layout.shared
    share = np.where(having, np.round(rng.uniform(0.2, 0.5, len(therapist)), 2), 0.0)
    second = _ids("T", np.where(having, other, -1), count)
    return pd.DataFrame({"second_therapist": second, "share_first": 1 - share, "share_second": share})


def _arms_and_therapists(layout: Layout, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return each patient's arm and therapist as numbers, -1 where there is no therapist."""
    patients, arms = layout.patients, list(layout.arms)
    if layout.allocation == "therapist" and isinstance(layout.therapists, int):
        therapist = rng.permutation(_caseloads(patients, layout.therapists, layout, rng))
        randomised = rng.permutation(np.repeat(np.arange(len(arms)), [layout.arms[a] for a in arms]))
        return randomised[therapist], therapist
    arm = np.zeros(patients, dtype=int)
    if arms:
        arm = rng.permutation(np.repeat(np.arange(len(arms)), [layout.arms[a] for a in arms]))
    therapist = np.full(patients, -1)
    if isinstance(layout.therapists, int):
        if layout.therapists:
            therapist = rng.permutation(_caseloads(patients, layout.therapists, layout, rng))
        return arm, therapist
    first = 0
    for code, name in enumerate(arms):
        count = layout.therapists.get(name, 0)
        members = np.flatnonzero(arm == code)
        if count:
            therapist[members] = first + _caseloads(len(members), count, layout, rng)
            first += count
    return arm, therapist


def _caseloads(patients: int, therapists: int, layout: Layout, rng: np.random.Generator) -> np.ndarray:
    """Return a therapist for each of the patients, every therapist at least once."""
    if layout.caseload == "equal":
        return np.sort(np.arange(patients) % therapists)
    weight = rng.gamma(1.5, size=therapists)
    rest = rng.choice(therapists, size=patients - therapists, p=weight / weight.sum())
    return np.sort(np.concatenate([np.arange(therapists), rest]))


def _groups(
    layout: Layout, arm: np.ndarray, therapist: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return each patient's group, -1 where there is none; a group has one therapist."""
    group, led = np.full(layout.patients, -1), therapist.copy()
    if layout.groups is None:
        return group, led
    least, most = layout.groups.size
    first = 0
    for name in group_arms(layout):
        code = list(layout.arms).index(name) if layout.arms else 0
        members = rng.permutation(np.flatnonzero(arm == code))
        sizes = _group_sizes(len(members), least, most, rng)
        group[members] = first + np.repeat(np.arange(len(sizes)), sizes)
        leaders = np.unique(therapist[members])
        if leaders[0] >= 0:
            chosen = rng.permutation(np.resize(rng.permutation(leaders), len(sizes)))
            led[members] = np.repeat(chosen, sizes)
        first += len(sizes)
    _, led = _renumbered(led)
    return group, led


def _renumbered(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Close gaps in codes (a therapist who leads no group), keeping -1."""
    present = np.unique(codes[codes >= 0])
    return present, np.where(codes >= 0, np.searchsorted(present, codes), -1)


def _group_sizes(patients: int, least: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return sizes from least to most that add up to the patients; the layout was checked to allow it."""
    counts = [n for n in range(1, patients + 1) if n * least <= patients <= n * most]
    count = int(rng.choice(counts))
    sizes = np.full(count, least)
    for _ in range(patients - count * least):
        sizes[rng.choice(np.flatnonzero(sizes < most))] += 1
    return sizes


def _sites(layout: Layout, therapist: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return each patient's site: that of the therapist where there is one."""
    if not layout.therapists:
        return rng.permutation(np.arange(layout.patients) % layout.sites)
    of_therapist = rng.permutation(np.arange(int(therapist.max()) + 1) % layout.sites)
    own = rng.integers(layout.sites, size=layout.patients)
    return np.where(therapist >= 0, of_therapist[therapist], own)


def _sessions(people: pd.DataFrame, layout: Layout, arm: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    planned = len(layout.sessions)
    hazard = np.full(len(people), layout.dropout if isinstance(layout.dropout, float) else 0.0)
    if isinstance(layout.dropout, dict):
        hazard = np.array([layout.dropout.get(name, 0.0) for name in layout.arms])[arm]
    leaves = rng.random((len(people), planned)) < hazard[:, None]
    misses = rng.random((len(people), planned)) < layout.missed
    leaves[:, 0] = misses[:, 0] = False
    came = ~np.logical_or.accumulate(leaves, axis=1) & ~misses
    who, when = np.nonzero(came)
    rows = people.iloc[who].reset_index(drop=True)
    rows[layout.name("session")] = np.array(layout.sessions, dtype=float)[when]
    return rows
