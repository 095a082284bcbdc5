"""Where a fit comes from: everything needed to ask the same question again, and nothing about who asked."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from bayes_alliance.design.design import Design
from bayes_alliance.fit.settings import SamplerSettings
from bayes_alliance.spec.toml import write_model

PACKAGES = (
    "bayes-alliance",
    "pymc",
    "pytensor",
    "nutpie",
    "numba",
    "arviz-stats",
    "arviz-base",
    "numpy",
    "scipy",
    "pandas",
    "xarray",
)

type Plain = str | int | float | bool | list[Plain] | dict[str, Plain] | None


@cache
def code_digest() -> str:
    """Return a digest of the package's own text: between releases its version says too little."""
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@cache
def versions() -> dict[str, Plain]:
    """Return what a posterior's digits may depend on beside the question: packages, BLAS, Python, platform."""
    found = np.show_config(mode="dicts")
    blas = found["Build Dependencies"]["blas"] if isinstance(found, dict) else {}
    return {
        "packages": {name: version(name) for name in PACKAGES},
        "code": code_digest(),
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def record_provenance(
    design: Design, settings: SamplerSettings, engine: str, seed: int, seconds: Mapping[str, float]
) -> dict[str, Plain]:
    """Return the record of a fit as plain data: no host, user or path names, no rows."""
    priors: list[Plain] = [
        {"parameter": p.parameter, "distribution": str(p.distribution), "source": p.source, "reason": p.reason}
        for p in design.priors.table()
    ]
    return {
        "spec": write_model(design.spec),
        "columns": dict(design.columns),
        "reference": dict(design.reference),
        "priors": priors,
        "rows_read": {e.outcome: e.rows_read for e in design.equations},
        "rows_used": {e.outcome: len(e.y) for e in design.equations},
        "rows_left_out": {e.outcome: dict(e.ledger) for e in design.equations},
        "messages": list(design.messages),
        "fingerprint": design.fingerprint,
        "engine": engine,
        "settings": dict(settings.as_dict()),
        "seed": seed,
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        **versions(),
    }
