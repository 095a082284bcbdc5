"""The collapsed engine's draws of estimated means and of SDs beside those of effects; where a posterior has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from bayes_alliance.collapse.engine import Collapsed
from bayes_alliance.collapse.shape import find_places
from bayes_alliance.collapse.split_rows import Sigmas, list_sigmas
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.measured_means import Measured
from bayes_alliance.names import (
    ERROR,
    mean_name,
    sd_name,
    shape_dim,
    spread_name,
    unit_means_name,
)

type Variable = tuple[tuple[str, ...], np.ndarray]


def name_estimated(
    design: Design, collapsed: Collapsed, points: np.ndarray, coords: dict[str, list[str] | np.ndarray]
) -> dict[str, Variable]:
    """Return what the PyMC model has of estimated means: the overall ones and SDs, by name; ``coords`` get theirs."""
    sigmas, found = list_sigmas(design), dict[str, Variable]()
    spread = points[:, find_places(collapsed.shape).sigma :]
    if sigmas.error:
        dim = shape_dim(ERROR)
        coords[dim] = list(sigmas.error)
        found[ERROR] = ((dim,), np.exp(spread[:, list(sigmas.error.values())]))
    for number, measured in enumerate(design.measured):
        label = measured.label
        coords[f"{label}_mean"], coords[f"{label}_part"] = [label], list(measured.parts)
        mean = collapsed.coef[:, len(design.priors.coef) + number]
        found[mean_name(label)] = ((f"{label}_mean",), mean[:, None])
        found[spread_name(label)] = ((f"{label}_part",), _spreads(measured, sigmas, collapsed, points))
    return found


def _spreads(measured: Measured, sigmas: Sigmas, collapsed: Collapsed, points: np.ndarray) -> np.ndarray:
    """Return the SDs of a measured variable, widest unit first, then within units, shape (draw, part)."""
    places, names = find_places(collapsed.shape), [factor.name for factor in collapsed.shape.factors]
    columns = []
    for factor in measured.factors:
        shared = sigmas.unit.get((measured.name, factor))
        if shared is None:
            columns.append(points[:, places.sd[names.index(unit_means_name(measured.label, factor))]])
        else:
            columns.append(np.exp(points[:, places.sigma + shared]))
    columns.append(np.exp(points[:, places.sigma + sigmas.within[measured.name]]))
    return np.column_stack(columns)


def read_sigmas(design: Design, values: Callable[[str], np.ndarray], count: int) -> np.ndarray:
    """Return the SDs that are sampled by their logarithms, shape (draw, sd), from draws by name."""
    sigmas = list_sigmas(design)
    found = np.empty((count, len(sigmas.priors)))
    if design.priors.sigma:
        found[:, : len(design.priors.sigma)] = values("sigma")
    if sigmas.error:
        found[:, list(sigmas.error.values())] = values(ERROR)
    for measured in design.measured:
        spread = values(spread_name(measured.label))
        found[:, sigmas.within[measured.name]] = spread[:, -1]
        for level, factor in enumerate(measured.factors):
            if (measured.name, factor) in sigmas.unit:
                found[:, sigmas.unit[measured.name, factor]] = spread[:, level]
    return found


def sd_sources(design: Design) -> Mapping[str, tuple[str, int | None]]:
    """Return which variable holds the SDs of each factor, and which of its entries; None for all of them."""
    found: dict[str, tuple[str, int | None]] = {f.factor: (sd_name(f.factor), None) for f in design.factors}
    for measured in design.measured:
        for level, factor in enumerate(measured.factors):
            found[unit_means_name(measured.label, factor)] = (spread_name(measured.label), level)
    return found
