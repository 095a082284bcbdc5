"""Show that a change of the code leaves every registered model as it is.

    python -m tests.same write before.json      # in a checkout of the code as it was
    python -m tests.same compare before.json    # in the changed one

For each model of the registry, on its small study of the contract tests: the log-density at five points, the names of
all variables, their dims, and the coords. Densities agree to 1e-10 of their size.
"""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm

import bayes_alliance as ba
from bayes_alliance.spec.registry import model_names
from tests.conftest import make_trial
from tests.contracts.test_registry import table_for

POINTS = 5
CLOSE = 1e-10


def describe_model(name: str) -> dict[str, Any]:
    """Return what is compared of one model, as plain data."""
    table, columns, reference = table_for(name, make_trial())
    design = ba.make_design(ba.load_model(name), ba.Study(table, columns=columns, reference=reference))
    model = ba.build_model(design.spec, design)
    density = model.compile_logp(mode="FAST_COMPILE")
    return {
        "density": [float(density(point)) for point in points_of(model)],
        "dims": {variable: [str(dim) for dim in dims] for variable, dims in model.named_vars_to_dims.items()},
        "variables": sorted(model.named_vars),
        "coords": {dim: [str(value) for value in values] for dim, values in model.coords.items() if values is not None},
        "priors": sorted(str(prior) for prior in design.priors.table()),
        "messages": list(design.messages),
        "fingerprint": design.fingerprint,
    }


def points_of(model: pm.Model) -> list[dict[str, np.ndarray]]:
    """Return points near the start; each variable's steps depend on its name alone, not on its place."""
    start = model.initial_point()
    points = []
    for number in range(POINTS):
        point = {}
        for name, value in start.items():
            rng = np.random.default_rng([number, zlib.crc32(name.encode())])
            point[name] = np.asarray(value + 0.2 * rng.normal(size=np.shape(value)))
        points.append(point)
    return points


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return what differs between two descriptions of a model."""
    found = [what for what in before if what != "density" and before[what] != after[what]]
    if not np.allclose(before["density"], after["density"], rtol=CLOSE, atol=CLOSE):
        found.append(f"density {before['density']} {after['density']}")
    return found


def main() -> None:
    """Write or compare; exit with 1 where something differs."""
    what, path = sys.argv[1], Path(sys.argv[2])
    described = {name: describe_model(name) for name in model_names()}
    if what == "write":
        path.write_text(json.dumps(described))
        return
    before = json.loads(path.read_text())
    found = {name: differences(old, described[name]) for name, old in before.items()}
    for name, changed in found.items():
        if changed:
            print(name, *changed, sep="\n    ")
    same = sum(not changed for changed in found.values())
    print(f"{same} of {len(found)} models are the same.")
    sys.exit(same < len(found))


if __name__ == "__main__":
    main()
