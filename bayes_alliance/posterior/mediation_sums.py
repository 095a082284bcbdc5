"""Effects of paths added up: direct, indirect, total and the share that is mediated; and what they are in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from bayes_alliance.design.design import Design
from bayes_alliance.names import COEF
from bayes_alliance.posterior.paths import WHOLE, Path

type Entry = tuple[str, str, str, bool, xr.DataArray]
"""Name, level of variation, unit, whether it is a ratio, and draws of an effect."""


def entries_of(effects: Mapping[Path, xr.DataArray], unit: str, draws: xr.Dataset, of: str = "") -> list[Entry]:
    """Return an entry per path with mediators, and sums per level of variation; ``of`` ends the names of sums."""
    entries: list[Entry] = []
    scopes = list(dict.fromkeys(path.scope for path in effects))
    apart = [scope for scope in scopes if scope != WHOLE]
    for scope in scopes:
        own = {path: effect for path, effect in effects.items() if path.scope == scope}
        entries += [(path.name, scope, unit, False, effect) for path, effect in own.items() if len(path.edges) > 1]
        if scope == WHOLE and apart:
            continue  # what is read as it is carries every level, and is part of the sums of each
        whole = {path: effect for path, effect in effects.items() if path.scope in (scope, WHOLE)}
        sums = _sums(whole, scope, unit, draws)
        entries += [(f"{name}{of}", where, own_unit, ratio, value) for name, where, own_unit, ratio, value in sums]
    return entries


def _sums(own: Mapping[Path, xr.DataArray], scope: str, unit: str, draws: xr.Dataset) -> list[Entry]:
    """Return direct, indirect and total effects of one level of variation, and the share that is mediated."""
    nothing = xr.zeros_like(draws["b"].isel({COEF: 0}, drop=True)).reset_coords(drop=True)
    direct = sum((e for path, e in own.items() if len(path.edges) == 1), start=nothing)
    indirect = sum((e for path, e in own.items() if len(path.edges) > 1), start=nothing)
    total = direct + indirect
    found = [("direct", scope, unit, False, direct)] if any(len(path.edges) == 1 for path in own) else []
    mediated = any(len(path.edges) > 1 for path in own)
    if mediated:
        found.append(("indirect", scope, unit, False, indirect))
    found.append(("total", scope, unit, False, total))
    if mediated:
        found.append(("share mediated", scope, "share of the total effect", True, indirect / total))
    return found


def dataset_of(entries: Sequence[Entry]) -> xr.Dataset:
    """Return effects as draws, as estimands of fits are; levels of variation are named where there are several."""
    scopes = dict.fromkeys(scope for _, scope, _, _, _ in entries)
    names = [name if len(scopes) == 1 else f"{name} ({scope})" for name, scope, _, _, _ in entries]
    values = xr.concat([value for *_, value in entries], dim="estimand").transpose("chain", "draw", "estimand")
    nan = np.full(len(entries), np.nan)
    return xr.Dataset(
        {"value": values},
        coords={
            "estimand": names,
            "unit": ("estimand", [unit for _, _, unit, _, _ in entries]),
            "level": ("estimand", [scope for _, scope, _, _, _ in entries]),
            "rope_lb": ("estimand", nan),
            "rope_ub": ("estimand", nan),
            "ratio": ("estimand", [int(ratio) for _, _, _, ratio, _ in entries]),
        },
    )


def scale_of(design: Design, predictor: str, outcome: str) -> float:
    """Return SD of the predictor (1 for a step) over that of the outcome, each over the rows of its equation."""
    equation = design.find(outcome)
    spread = float(equation.y[equation.seen].std(ddof=1))
    variable = next(e.variables[predictor] for e in design.equations if predictor in e.variables)
    known = variable.values[~np.isnan(variable.values)]
    step = variable.levels is not None or bool(np.isin(known, (0.0, 1.0)).all())
    return (1.0 if step else float(known.std(ddof=1))) / spread


def unit_of(design: Design, predictor: str, outcome: str, standardised: bool) -> str:
    """Return what effects are in."""
    label = design.find(outcome).outcome
    return f"SDs of {label}" if standardised else f"points of {label} per unit of {predictor}"
