"""The collapsed engine's draws of what units have of their own: effects, latent means, modelled values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_alliance.collapse.engine import draw_units
from bayes_alliance.collapse.loadings import Form, Forms, Linear, add, make_index
from bayes_alliance.collapse.shape import Shape
from bayes_alliance.collapse.stack import stack_rows
from bayes_alliance.collapse.statistics import sum_rows
from bayes_alliance.design.design import Design
from bayes_alliance.fit.exact import read_points
from bayes_alliance.fit.threads import one_blas_thread
from bayes_alliance.names import (
    effect_dim,
    effects_name,
    factor_key,
    mean_name,
    modelled_dim,
    unit_means_name,
    value_name,
)

type Variable = tuple[tuple[str, ...], np.ndarray]


@dataclass(frozen=True, eq=False)
class Drawn:
    """Coefficients, shape (draw, coef), and effects by factor, shape (draw, level, effect), at the same draws."""

    shape: Shape
    coef: np.ndarray
    effects: dict[str, np.ndarray]


def draw_own_effects(design: Design, posterior: xr.Dataset, seed: int, cores: int | None = None) -> xr.Dataset:
    """Draw group effects, latent means of units and modelled values given a posterior of everything else.

    Parameters
    ----------
    design : Design
        Of a model the collapsed engine can fit.
    posterior : Dataset over (chain, draw, …)
        As that engine's, with the SDs, correlations and coefficients of every draw.
    seed : int
        That of the sampler: the same draws come out every time.
    cores : int, optional
        Threads.

    Returns
    -------
    Dataset
        Over (chain, draw, …), under the names, dims and coords of the nuts engine.
    """
    stacked, coef = stack_rows(design), _read_coefs(design, posterior)
    points = read_points(design, posterior, stacked.shape)
    with one_blas_thread():
        effects = draw_units(sum_rows(stacked), points, coef, seed, cores)
    return name_units(design, Drawn(stacked.shape, coef, effects), posterior)


def name_units(design: Design, drawn: Drawn, posterior: xr.Dataset) -> xr.Dataset:
    """Return what is drawn for units as a dataset over the chains and draws of a posterior."""
    coords: dict[str, Any] = {"chain": posterior["chain"].values, "draw": posterior["draw"].values}
    found: dict[str, Variable] = {}
    for factor in design.factors:
        key, dim = factor_key(factor.factor), effect_dim(factor.factor)
        coords |= {key: list(factor.levels), dim: list(factor.effects)}
        found[effects_name(factor.factor)] = ((key, dim), drawn.effects[factor.factor])
    if drawn.shape.split:
        found |= _name_estimated(design, drawn, coords)
    size = (posterior.sizes["chain"], posterior.sizes["draw"])
    data = {
        name: (("chain", "draw", *dims), values.reshape(*size, *values.shape[1:]))
        for name, (dims, values) in found.items()
    }
    return xr.Dataset(data, coords=coords)


def _read_coefs(design: Design, posterior: xr.Dataset) -> np.ndarray:
    """Return coefficients at the centring constants and overall means of measured variables, shape (draw, coef)."""
    names = [*(["b_centred"] if "b_centred" in posterior else []), *(mean_name(own.label) for own in design.measured)]
    count = posterior.sizes["chain"] * posterior.sizes["draw"]
    arrays = [posterior[name].transpose("chain", "draw", ...).to_numpy().reshape(count, -1) for name in names]
    return np.concatenate([np.empty((count, 0)), *arrays], axis=1)


def _name_estimated(design: Design, drawn: Drawn, coords: dict[str, Any]) -> dict[str, Variable]:
    """Return latent means of units and modelled values by name; ``coords`` get theirs."""
    forms, found = Forms(design, make_index(design, drawn.shape.together)), dict[str, Variable]()
    for measured in design.measured:
        for factor, levels in zip(measured.factors, measured.levels, strict=True):
            dim = f"{measured.label}_{factor}"
            coords[dim] = list(levels)
            linear = forms.unit_mean(measured, factor, np.arange(len(levels)), len(levels))
            found[unit_means_name(measured.label, factor)] = ((dim,), _evaluate({(): linear}, drawn))
    for e in design.equations:
        if e.modelled is not None:
            coords[modelled_dim(e.outcome)] = list(e.modelled.labels)
            form: Form = {product: linear.rows(e.modelled.rows) for product, linear in forms.of(e).items()}
            add(form, {(): forms.deviation(e, np.arange(len(e.modelled.rows)))})
            found[value_name(e.outcome)] = ((modelled_dim(e.outcome),), _evaluate(form, drawn))
    return found


def _evaluate(form: Form, drawn: Drawn) -> np.ndarray:
    """Return a linear predictor at every draw, shape (draw, row)."""
    shape = drawn.shape
    loadings = drawn.coef[:, shape.loading]
    behind = np.arange(len(shape.loading) + len(shape.coef), drawn.coef.shape[1])
    coef = drawn.coef[:, np.concatenate([shape.coef, behind])].copy()
    for place, number, by in shape.shifts:  # rows count intercepts where predictors with loadings are 0
        coef[:, place] -= by * loadings[:, number]
    total: np.ndarray | float = 0.0
    for product, linear in form.items():
        total = total + loadings[:, list(product)].prod(axis=1)[:, None] * _linear(linear, coef, drawn)
    return np.asarray(total)


def _linear(linear: Linear, coef: np.ndarray, drawn: Drawn) -> np.ndarray:
    total = linear.known + coef @ linear.coef.T
    for factor, (code, values) in linear.effects.items():
        effects = drawn.effects[drawn.shape.factors[factor].name]
        held = np.maximum(code, 0)
        for effect in range(values.shape[1]):
            if values[:, effect].any():
                total = total + effects[:, held, effect] * np.where(code >= 0, values[:, effect], 0.0)
    return np.asarray(total)
