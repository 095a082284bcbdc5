"""Model files: TOML text to records and back."""

from __future__ import annotations

import tomllib
from pathlib import Path

import tomli_w

from bayes_alliance.errors import SpecError
from bayes_alliance.spec.make import make_model
from bayes_alliance.spec.model import ModelSpec

MAX_BYTES = 1_000_000


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
        With every problem found: TOML syntax, unknown keys (and the nearest valid one), formulas, priors.
    """
    if len(text.encode()) > MAX_BYTES:
        raise SpecError(f"A model file may have {MAX_BYTES:,} bytes; this one has {len(text.encode()):,}.", where)
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SpecError(f"Not valid TOML: {error}.", where) from None
    return make_model(content, where)


def write_model(spec: ModelSpec) -> str:
    """Write a model as TOML text, defaults left out."""
    return str(tomli_w.dumps(spec.model_dump(mode="json", exclude_defaults=True)))


def read_model(path: Path) -> ModelSpec:
    """Read a model file.

    Raises
    ------
    SpecError
        If the file cannot be read as UTF-8 text, or for anything ``parse_model`` refuses.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SpecError(f"A model file may have {MAX_BYTES:,} bytes; {path.name} has {path.stat().st_size:,}.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"Model file {str(path)!r} cannot be read: {error}.") from None
    return parse_model(text, where=path.name)
