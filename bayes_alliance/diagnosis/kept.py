"""Ranked studies on disk: a calibration that was stopped goes on, and one of more studies takes them in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bayes_alliance.errors import FitError
from bayes_alliance.fit.cache import NOT_ASKED
from bayes_alliance.fit.provenance import versions
from bayes_alliance.fit.settings import SamplerSettings
from bayes_alliance.fit.store import replace_file
from bayes_alliance.fit.workers import Lost
from bayes_alliance.simulate.layout import Layout, make_layout
from bayes_alliance.simulate.simulate import VariableSpecs, check_specs
from bayes_alliance.simulate.studies import Studies
from bayes_alliance.spec.toml import write_model

type Ranked = tuple[tuple[str, ...], np.ndarray, np.ndarray]
"""Quantities, ranks of their truths, shares of draws below them."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a study: its ranks or why there are none, the seconds it took, whether it was on disk."""

    ranked: Ranked | Lost
    seconds: float
    kept: bool = False


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
    made, design = layout if isinstance(layout, Layout) else make_layout(layout), studies.design
    drawn = check_specs(variables or {}, made)
    question = {
        "spec": write_model(design.spec),
        "columns": dict(design.columns),
        "reference": dict(design.reference),
        "priors": [
            [p.parameter, p.distribution.family, *map(repr, p.distribution.values)] for p in design.priors.table()
        ],
        "layout": made.model_dump(mode="json"),
        "variables": {name: variable.model_dump(mode="json") for name, variable in drawn.items()},
        "rows": design.fingerprint,
        "truth": None if truth is None else {name: repr(float(value)) for name, value in sorted(truth.items())},
        "settings": {name: value for name, value in settings.as_dict().items() if name not in NOT_ASKED},
        "seed": seed,
        "versions": versions(),
    }
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()


def make_place(cache: str | Path, key: str) -> Path:
    """Return the folder of a question's studies, made if need be.

    Raises
    ------
    FitError
        If it cannot be written.
    """
    place = Path(cache) / key
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FitError(f"cache {str(cache)!r} cannot be written: {error.strerror}.") from None
    return place


def write_outcome(place: Path, number: int, outcome: Outcome) -> None:
    """Write what became of a study; numbers come back as they are."""
    found: dict[str, object] = {"seconds": outcome.seconds}
    if isinstance(outcome.ranked, Lost):
        found["lost"] = outcome.ranked.why
    else:
        names, ranks, levels = outcome.ranked
        found |= {"quantities": list(names), "ranks": ranks.tolist(), "levels": levels.tolist()}
    try:
        replace_file(_path(place, number), json.dumps(found).encode())
    except OSError as error:
        raise FitError(f"cache {str(place)!r} cannot be written: {error.strerror}.") from None


def read_outcome(place: Path, number: int) -> Outcome | None:
    """Return what became of a study, None where nothing is kept of it or the file is damaged."""
    try:
        found = json.loads(_path(place, number).read_bytes())
        if "lost" in found:
            return Outcome(Lost(str(found["lost"])), float(found["seconds"]), kept=True)
        names = tuple(str(name) for name in found["quantities"])
        ranks, levels = np.array(found["ranks"], dtype=int), np.array(found["levels"], dtype=float)
        if not len(names) == len(ranks) == len(levels):
            return None
        return Outcome((names, ranks, levels), float(found["seconds"]), kept=True)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _path(place: Path, number: int) -> Path:
    return place / f"{number:05}.json"
