"""The collapsed engine's draws of what is estimated beside coefficients and effects: means, values, their SDs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from bayes_alliance.collapse.engine import Collapsed
from bayes_alliance.collapse.loadings import Form, Forms, Linear, add, make_index
from bayes_alliance.collapse.shape import find_places
from bayes_alliance.collapse.split_rows import Sigmas, list_sigmas
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.measured_means import Measured
from bayes_alliance.names import (
    ERROR,
    mean_name,
    modelled_dim,
    sd_name,
    shape_dim,
    spread_name,
    unit_means_name,
    value_name,
)

type Variable = tuple[tuple[str, ...], np.ndarray]


def name_estimated(
    design: Design, collapsed: Collapsed, points: np.ndarray, coords: dict[str, list[str] | np.ndarray]
) -> dict[str, Variable]:
    """Return what the PyMC model has of estimated means and values, by name; ``coords`` get theirs.

    Means of units and values are left out where effects were not drawn.
    """
    sigmas, found = list_sigmas(design), dict[str, Variable]()
    spread = points[:, find_places(collapsed.shape).sigma :]
    if sigmas.error:
        dim = shape_dim(ERROR)
        coords[dim] = list(sigmas.error)
        found[ERROR] = ((dim,), np.exp(spread[:, list(sigmas.error.values())]))
    for number, measured in enumerate(design.measured):
        label = measured.label
        coords[f"{label}_mean"], coords[f"{label}_part"] = [label], list(measured.parts)
        mean = collapsed.recovered.coef[:, len(design.priors.coef) + number]
        found[mean_name(label)] = ((f"{label}_mean",), mean[:, None])
        found[spread_name(label)] = ((f"{label}_part",), _spreads(measured, sigmas, collapsed, points))
    drawn = collapsed.recovered.effects
    if all(factor.name in drawn for factor in collapsed.shape.factors):
        found |= _name_units(design, collapsed, coords)
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


def _name_units(design: Design, collapsed: Collapsed, coords: dict[str, list[str] | np.ndarray]) -> dict[str, Variable]:
    index = make_index(design)
    forms, found = Forms(design, index), dict[str, Variable]()
    for measured in design.measured:
        for factor, levels in zip(measured.factors, measured.levels, strict=True):
            dim = f"{measured.label}_{factor}"
            coords[dim] = list(levels)
            linear = forms.unit_mean(measured, factor, np.arange(len(levels)), len(levels))
            found[unit_means_name(measured.label, factor)] = ((dim,), _evaluate({(): linear}, collapsed))
    for e in design.equations:
        if e.modelled is not None:
            coords[modelled_dim(e.outcome)] = list(e.modelled.labels)
            form: Form = {product: linear.rows(e.modelled.rows) for product, linear in forms.of(e).items()}
            add(form, {(): forms.deviation(e, np.arange(len(e.modelled.rows)))})
            found[value_name(e.outcome)] = ((modelled_dim(e.outcome),), _evaluate(form, collapsed))
    return found


def _evaluate(form: Form, collapsed: Collapsed) -> np.ndarray:
    """Return a linear predictor at every draw, shape (draw, row)."""
    shape, recovered = collapsed.shape, collapsed.recovered
    loadings = recovered.coef[:, shape.loading]
    behind = np.arange(len(shape.loading) + len(shape.coef), recovered.coef.shape[1])
    coef = recovered.coef[:, np.concatenate([shape.coef, behind])].copy()
    for place, number, by in shape.shifts:  # rows count intercepts where predictors with loadings are 0
        coef[:, place] -= by * loadings[:, number]
    total: np.ndarray | float = 0.0
    for product, linear in form.items():
        total = total + loadings[:, list(product)].prod(axis=1)[:, None] * _linear(linear, coef, collapsed)
    return np.asarray(total)


def _linear(linear: Linear, coef: np.ndarray, collapsed: Collapsed) -> np.ndarray:
    total = linear.known + coef @ linear.coef.T
    for factor, (code, values) in linear.effects.items():
        effects = collapsed.recovered.effects[collapsed.shape.factors[factor].name]
        held = np.maximum(code, 0)
        for effect in range(values.shape[1]):
            if values[:, effect].any():
                total = total + effects[:, held, effect] * np.where(code >= 0, values[:, effect], 0.0)
    return np.asarray(total)


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
