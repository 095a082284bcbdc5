"""Calibration cards: what was simulated for a registered model, how often, and what came out, beside its file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from bayes_alliance.diagnosis.calibration import INTERVALS, Calibration
from bayes_alliance.errors import SpecError
from bayes_alliance.fit.provenance import Plain, versions
from bayes_alliance.fit.store import parse_json, replace_file
from bayes_alliance.names import SESSION, TIME
from bayes_alliance.simulate.files import TABLES, StudyFile, read_study
from bayes_alliance.spec.exchanges import Swap, exchange_everywhere
from bayes_alliance.spec.expressions import Name
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.registry import models_folder

FOLDER = Path(__file__).resolve().parent / "studies"

ENDING = ".card.json"

TOLD = {"title", "question", "references", "tags", "labels", "estimands", "optional", "otherwise", "course"}
"""Parts of a model that its posterior does not depend on."""


def default_study(name: str) -> StudyFile:
    """Return the study that a registered model is calibrated on.

    Raises
    ------
    SpecError
        If it has none.
    """
    path = FOLDER / f"{name.replace('/', '--')}.toml"
    if not path.exists():
        raise SpecError(f"{name!r} comes without a study to calibrate it on; state one with --layout FILE.")
    return read_study(path)


def make_card(name: str, course: str, spec: ModelSpec, study: StudyFile, calibration: Calibration) -> dict[str, Plain]:
    """Return a card as plain data; it is about the model as it is now, by the digest of what ranks depend on."""
    table = calibration.table()
    covers = [f"cover{100 * prob:.0f}" for prob in INTERVALS]
    quantities: dict[str, Plain] = {
        str(row["quantity"]): {column: round(float(row[column]), 4) for column in ("p_uniform", "mean_rank", *covers)}
        for _, row in table.iterrows()
    }
    return {
        "model": name,
        **({} if course == "linear" else {"course": course}),
        "digest": spec_digest(spec),
        "synthetic": True,
        "study": {key: _plain(getattr(study, key)) for key in TABLES if getattr(study, key)},
        "priors": dict(calibration.priors),
        "studies": len(calibration),
        "lost": dict(calibration.lost),
        "seed": calibration.seed,
        "engine": calibration.engine,
        "settings": {name: getattr(calibration.settings, name) for name in ("chains", "draws", "tune")},
        "passed": calibration.passed,
        "smallest_p": round(calibration.smallest, 4),
        "quantities": quantities,
        "minutes": round(calibration.seconds / 60, 1),
        **{key: value for key, value in versions().items() if key != "code"},
    }


def spec_digest(spec: ModelSpec) -> str:
    """Return a digest of everything in a model that ranks depend on.

    Not of its words and reasons, nor of its estimands and their labels, which are read off draws that are ranked; nor
    of what a study may lack, as the simulated ones lack nothing. Their time is the number of the session.
    """
    of_sessions = exchange_everywhere(spec, [Swap(Name(TIME), Name(SESSION))])
    bare = of_sessions.model_dump(mode="json", exclude_defaults=True, exclude=TOLD)
    kept = {factor: {k: v for k, v in own.items() if k != "optional"} for factor, own in bare.get("groups", {}).items()}
    bare["groups"] = {factor: own for factor, own in kept.items() if own}
    for stated in (*bare.get("prior", ()), *bare.get("shrink", {}).values()):
        del stated["reason"]
    return hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()


def card_path(name: str, course: str = "linear") -> Path:
    """Return where the card of a registered model, with a course, is: beside its file."""
    return models_folder() / f"{name}{'' if course == 'linear' else f'.{course}'}{ENDING}"


def write_card(card: Mapping[str, Plain], path: Path) -> None:
    """Write a card."""
    replace_file(path, (json.dumps(card, indent=1, ensure_ascii=False) + "\n").encode())


def read_card(name: str, course: str = "linear") -> dict[str, Plain] | None:
    """Return a registered model's card, of one of its courses, None where it has none.

    Raises
    ------
    SpecError
        If its file is no card.
    """
    path = card_path(name, course)
    if not path.exists():
        return None
    try:
        return dict(parse_json(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise SpecError(f"Card {path.name!r} cannot be read: {error}. Make it again with calibrate --card.") from None


def _plain(value: object) -> Plain:
    content: Plain = json.loads(json.dumps(value))
    return content
