"""All response surfaces of a fit: of every equation and call, and of every level of a factor that moderates one."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from bayes_alliance.design.columns.surfaces import surface_calls
from bayes_alliance.errors import FitError
from bayes_alliance.fit.result import Fit
from bayes_alliance.posterior.response_surface import response_surface
from bayes_alliance.posterior.surface import Surface


def all_surfaces(fit: Fit, *, seed: int = 1) -> dict[str, Surface]:
    """Return every response surface of a fit, by what tells it from the others.

    Parameters
    ----------
    fit : Fit
        Without its design there is none.
    seed : int
        For draws from the priors.

    Returns
    -------
    dict of str to Surface
        By outcome and call where there are several, and by level where a factor moderates it; one that cannot be worked
        out (it stands in products only) is left out.
    """
    found: dict[str, Surface] = {}
    every = [
        (e, call)
        for e in (fit.design.equations if fit.design is not None else ())
        for call in dict.fromkeys(surface_calls(e.mean.spec.parsed))
        if e.variables
    ]
    for e, call in every:
        name = f"{e.outcome}, {call}" if len(every) > 1 else ""
        beside = {part for parts in e.coef.parts if call in dict(parts) for part, _ in parts} - {call}
        factors = [v for v in e.variables.values() if v.name in beside and v.levels]
        where = [(factors[0], level) for level in factors[0].levels or ()] if len(factors) == 1 else [None]
        for one in where:
            at = {} if one is None else {one[0].name: one[1]}
            label = ", ".join([*([name] if name else []), *([f"{one[0].label} = {one[1]}"] if one else [])])
            try:
                found[label] = response_surface(fit, outcome=e.spec.outcome, which=call, at=at, seed=seed)
            except FitError:
                continue
    return found


def surface_tables(surfaces: Mapping[str, Surface]) -> dict[str, pd.DataFrame]:
    """Return parameters of surfaces, and the published checklist of congruence where it applies, one below the other.

    Returns
    -------
    dict of str to DataFrame
        ``surface`` and, where some surface has one, ``congruence-checklist``; the column ``surface`` tells them apart.
    """
    tables = {
        "surface": [one.table().assign(surface=name) for name, one in surfaces.items()],
        "congruence-checklist": [],
    }
    for name, one in surfaces.items():
        try:
            tables["congruence-checklist"].append(one.checklist().assign(surface=name))
        except FitError:  # no checklist of a cubic form, nor of a link that is not linear
            continue
    return {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items() if parts}
