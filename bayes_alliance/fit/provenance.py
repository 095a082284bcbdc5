"""Where a fit comes from: everything needed to ask the same question again, and nothing about who asked."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version

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
        "packages": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
