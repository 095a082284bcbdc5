"""The same question asked again is answered from disk: spec, rows, priors, settings, seed and versions in one key."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import xarray as xr

from bayes_alliance.design.design import Design
from bayes_alliance.errors import FitError
from bayes_alliance.fit.assembly import observed_data
from bayes_alliance.fit.engines import fit_design, nuts_constant_data
from bayes_alliance.fit.exact import constant_data
from bayes_alliance.fit.provenance import versions
from bayes_alliance.fit.result import Fit, load_fit
from bayes_alliance.fit.settings import Engine, SamplerSettings
from bayes_alliance.fit.store import MANIFEST, locked
from bayes_alliance.spec.toml import write_model

ANSWERED = "Answered from the cache: the same question was fitted before."
DAMAGED = "The stored answer to this question was damaged; it was fitted anew."

NOT_ASKED = ("cores", "progress")
"""Settings that change no draw."""


def question_key(design: Design, *, seed: int, settings: SamplerSettings, engine: Engine) -> str:
    """Return a sha256 over everything a posterior depends on.

    Invariant: permuting the rows of the table's source changes nothing; changing a number of the table, a prior, a
    setting that draws depend on, a package or the code of this one gives another key.
    """
    question = {**describe_question(design, settings.for_design(design)), "engine": engine, "seed": seed}
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()


def describe_question(design: Design, settings: SamplerSettings) -> dict[str, object]:
    """Return as plain data what draws depend on but engine and seed: model, priors, rows, settings, versions."""
    priors = [[p.parameter, p.distribution.family, *map(repr, p.distribution.values)] for p in design.priors.table()]
    return {
        "spec": write_model(design.spec),
        "columns": dict(sorted(design.columns.items())),
        "reference": dict(sorted(design.reference.items())),
        "priors": priors,
        "rows": design.fingerprint,
        "settings": {name: value for name, value in settings.as_dict().items() if name not in NOT_ASKED},
        "versions": versions(),
    }


def fit_cached(
    design: Design, *, seed: int, settings: SamplerSettings, engine: Engine, folder: Path, key: str | None = None
) -> Fit:
    """Fit a design, or return what was stored for the same question; of several processes that ask, one fits.

    Parameters
    ----------
    design, seed, settings, engine
        As in ``fit_design``.
    folder : Path
        Holds a folder per question, without rows.
    key : str, optional
        The question's ``question_key``, where it is known.
    """
    key = key or question_key(design, seed=seed, settings=settings, engine=engine)
    place = folder / key
    fit, _ = read_answer(place, design)
    if fit is not None:
        return fit
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FitError(f"cache {str(folder)!r} cannot be written: {error.strerror}.") from None
    with locked(folder / f"{key}.lock"):
        fit, damaged = read_answer(place, design)
        if fit is not None:
            return fit
        fit = fit_design(design, seed=seed, settings=settings, engine=engine)
        fit.save(place)
    return with_message(fit, DAMAGED) if damaged else fit


def with_message(fit: Fit, message: str) -> Fit:
    """Return a fit with one more message."""
    return replace(fit, provenance={**fit.provenance, "messages": [*fit.messages, message]})


def read_answer(place: Path, design: Design) -> tuple[Fit | None, bool]:
    """Return the stored answer with the rows of the question, and whether there was one that is damaged."""
    if not (place / MANIFEST).exists():
        return None, place.exists() and any(place.glob("[!.]*"))
    try:
        fit = load_fit(place)
    except FitError:
        return None, True
    if fit.provenance.get("fingerprint") != design.fingerprint:
        return None, True
    nuts = fit.provenance["engine"] == "nuts"
    constant = nuts_constant_data(design) if nuts else constant_data(design)
    data = xr.DataTree.from_dict(
        {path: node.to_dataset() for path, node in fit.data.subtree_with_keys if node.has_data}
        | {"observed_data": observed_data(design), "constant_data": constant}
    )
    return with_message(replace(fit, data=data, design=design), ANSWERED), False
