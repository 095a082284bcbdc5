"""Ranked studies on disk: a calibration that was stopped goes on, and one of more studies takes them in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bayes_alliance.diagnosis.ranks import KEPT, Ranked
from bayes_alliance.errors import FitError
from bayes_alliance.fit.cache import describe_question
from bayes_alliance.fit.settings import SamplerSettings
from bayes_alliance.fit.store import parse_json, replace_file
from bayes_alliance.fit.workers import Lost
from bayes_alliance.simulate.layout import Layout, make_layout
from bayes_alliance.simulate.simulation import VariableSpecs, check_specs
from bayes_alliance.simulate.studies import Studies


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a study: its ranks or why there are none, and the seconds it took."""

    ranked: Ranked | Lost
    seconds: float


def calibration_key(
    studies: Studies,
    layout: Layout | Mapping[str, object],
    variables: VariableSpecs | None,
    *,
    seed: int,
    truth: Mapping[str, float] | None,
    settings: SamplerSettings,
) -> str:
    """Return a sha256 over everything a study's ranks depend on but its number.

    Invariant: how many studies there are, and on how many processes, changes nothing; another model, layout, prior,
    truth, seed, setting that draws depend on, package or code of this one gives another key.
    """
    made = layout if isinstance(layout, Layout) else make_layout(layout)
    drawn = check_specs(variables or {}, made)
    question = {
        **describe_question(studies.design, settings),
        "layout": made.model_dump(mode="json"),
        "variables": {name: variable.model_dump(mode="json") for name, variable in drawn.items()},
        "truth": None if truth is None else {name: repr(float(value)) for name, value in sorted(truth.items())},
        "seed": seed,
    }
    # layouts and variables stay in their order, which draws follow
    return hashlib.sha256(json.dumps(question).encode()).hexdigest()


def check_place(cache: str | Path, place: Path) -> None:
    """Make the folder of a question's studies if need be, and try to write to it.

    Raises
    ------
    FitError
        If it cannot be written.
    """
    try:
        place.mkdir(parents=True, exist_ok=True)
        replace_file(place / "written", b"")
    except OSError as error:
        raise FitError(f"cache {str(cache)!r} cannot be written: {error.strerror}.") from None


def write_outcome(place: Path, number: int, outcome: Outcome) -> None:
    """Write what became of a study; numbers come back as they are.

    A study that cannot be written is ranked all the same: the folder could be written when the first one began, and
    hours later losing what was ranked would be worse than having to fit it once more.
    """
    found: dict[str, object] = {"seconds": outcome.seconds}
    if isinstance(outcome.ranked, Lost):
        found["lost"] = outcome.ranked.why
    else:
        names, ranks, levels = outcome.ranked
        found |= {"quantities": list(names), "ranks": ranks.tolist(), "levels": levels.tolist()}
    with suppress(OSError):
        replace_file(_path(place, number), json.dumps(found).encode())


def read_outcome(place: Path, number: int) -> Outcome | None:
    """Return what became of a study, None where nothing is kept of it or the file does not hold it."""
    try:
        found = parse_json(_path(place, number).read_bytes())
        seconds = float(found["seconds"])
        if not 0 <= seconds < np.inf:
            return None
        if "lost" in found:
            return Outcome(Lost(str(found["lost"])), seconds)
        names = tuple(str(name) for name in found["quantities"])
        ranks, levels = np.array(found["ranks"], dtype=int), np.array(found["levels"], dtype=float)
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
        return None
    right = ranks.shape == levels.shape == (len(names),) and len(set(names)) == len(names) > 0
    if not right or not ((ranks >= 0) & (ranks <= KEPT)).all() or not ((levels >= 0) & (levels <= 1)).all():
        return None
    return Outcome((names, ranks, levels), seconds)


def _path(place: Path, number: int) -> Path:
    return place / f"{number:05}.json"
