"""Calibration cards: what was simulated for a registered model, how often, and what came out, beside its file."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bayes_alliance.diagnose.calibration import INTERVALS, Calibration
from bayes_alliance.errors import SpecError
from bayes_alliance.fit.provenance import Plain, versions
from bayes_alliance.fit.store import replace_file
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.registry import models_folder
from bayes_alliance.spec.toml import write_model

FOLDER = Path(__file__).resolve().parent / "studies"

ENDING = ".card.json"

TABLES = ("layout", "variables", "columns", "reference", "truth")


@dataclass(frozen=True)
class StudyFile:
    """A layout for calibration as its file holds it, with what the model's variables are called and drawn from."""

    layout: Mapping[str, object]
    variables: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    reference: Mapping[str, str] = field(default_factory=dict)
    truth: Mapping[str, float] = field(default_factory=dict)


def default_study(name: str) -> StudyFile:
    """Return the study that a registered model is calibrated on.

    Raises
    ------
    SpecError
        If it has none: models with latent means or lags of the outcome are not simulated.
    """
    path = FOLDER / f"{name.replace('/', '--')}.toml"
    if not path.exists():
        raise SpecError(
            f"{name!r} comes without a study to calibrate it on; state one with --layout FILE. Models with latent "
            f"means or lags of the outcome cannot be simulated yet."
        )
    return read_study(path)


def read_study(path: Path) -> StudyFile:
    """Read a layout file: tables ``layout``, ``variables``, ``columns``, ``reference`` and ``truth``.

    Raises
    ------
    SpecError
        If it cannot be read or has other tables.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"Layout file {str(path)!r} cannot be read: {error}.") from None
    odd = [key for key in content if key not in TABLES]
    if odd or "layout" not in content:
        found = ", ".join(content) or "none"
        raise SpecError(f"Layout file {path.name!r}: tables are {', '.join(TABLES)}, layout required; found {found}.")
    return StudyFile(**content)


def make_card(name: str, spec: ModelSpec, study: StudyFile, calibration: Calibration) -> dict[str, Plain]:
    """Return a card as plain data; it is about the model as it is now, by the digest of its text."""
    table = calibration.table()
    covers = [f"cover{100 * prob:.0f}" for prob in INTERVALS]
    quantities: dict[str, Plain] = {
        str(row["quantity"]): {column: round(float(row[column]), 4) for column in ("p_uniform", "mean_rank", *covers)}
        for _, row in table.iterrows()
    }
    return {
        "model": name,
        "digest": spec_digest(spec),
        "synthetic": True,
        "study": {key: _plain(getattr(study, key)) for key in TABLES if getattr(study, key)},
        "priors": dict(calibration.priors),
        "studies": len(calibration),
        "lost": dict(calibration.lost),
        "seed": calibration.seed,
        "engine": calibration.engine,
        "passed": calibration.passed,
        "smallest_p": round(calibration.smallest, 4),
        "quantities": quantities,
        "minutes": round(calibration.seconds / 60, 1),
        **{key: value for key, value in versions().items() if key != "code"},
    }


def spec_digest(spec: ModelSpec) -> str:
    """Return a digest of a model's text."""
    return hashlib.sha256(write_model(spec).encode()).hexdigest()


def card_path(name: str) -> Path:
    """Return where a registered model's card is, beside its file."""
    return models_folder() / f"{name}{ENDING}"


def write_card(card: Mapping[str, Plain], path: Path) -> None:
    """Write a card."""
    replace_file(path, (json.dumps(card, indent=1, ensure_ascii=False) + "\n").encode())


def read_card(name: str) -> dict[str, Plain] | None:
    """Return a registered model's card, None where it has none."""
    path = card_path(name)
    return dict(json.loads(path.read_bytes())) if path.exists() else None


def _plain(value: object) -> Plain:
    content: Plain = json.loads(json.dumps(value))
    return content
