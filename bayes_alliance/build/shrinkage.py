"""Shrinkage priors: standardised coefficients from a scale they share and scales of their own."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.design.design import Design
from bayes_alliance.design.priors.shrinkage import Shrunk
from bayes_alliance.names import global_name, local_name, shrunk_dim, slab_name


def build_shrunk(design: Design) -> tuple[np.ndarray, TensorVariable] | None:
    """Build all coefficients that share a prior; return their places among all, rising, and one vector of them."""
    groups = design.priors.shrunk
    if not groups:
        return None
    places = np.unique(np.concatenate([group.places.ravel() for group in groups]))
    total: TensorVariable = pt.zeros(len(places))
    for group in groups:
        standard = _horseshoe(group) if group.distribution.family == "horseshoe" else _r2d2(group)
        for line, weights in zip(group.places, group.weights, strict=True):
            # a line has every place once; places of other groups and lines get nothing from it
            number, weight = np.zeros(len(places), dtype=np.int64), np.zeros(len(places))
            at = np.searchsorted(places, line)
            number[at], weight[at] = np.arange(len(line)), weights
            total = total + standard[number] * weight
    return places, total


def _horseshoe(group: Shrunk) -> TensorVariable:
    """Build a regularised horseshoe (Piironen and Vehtari 2017, section 2.3).

    Half-Cauchy scales are written as a half-normal over the root of a gamma, their representation with light tails.
    """
    value, name, dim = group.distribution.value, group.name, shrunk_dim(group.name)
    own = pm.Deterministic(local_name(name), _half_cauchy(f"z_{local_name(name)}", dim), dims=dim)
    whole = pm.Deterministic(global_name(name), group.tau * _half_cauchy(f"z_{global_name(name)}", None))
    df, slab = value("slab_df"), value("slab")
    squared = pm.InverseGamma(f"z_{slab_name(name)}_squared", df / 2, df / 2 * slab**2)
    pm.Deterministic(slab_name(name), pt.sqrt(squared))
    local = pt.sqrt(squared * own**2 / (squared + whole**2 * own**2))
    z = pm.Normal(f"z_{shrunk_dim(name)}", 0.0, 1.0, dims=dim)
    return z * whole * local


def _half_cauchy(name: str, dim: str | None) -> TensorVariable:
    size = pm.HalfNormal(f"{name}_size", 1.0, dims=dim)
    return size / pt.sqrt(pm.Gamma(f"{name}_rate", 0.5, 0.5, dims=dim))


def _r2d2(group: Shrunk) -> TensorVariable:
    """Build coefficients that explain a beta-distributed share of the variance, divided by a Dirichlet.

    As Zhang, Naughton, Bondell and Reich (2022), with the outcome's variance in place of the residual's.
    """
    value, name, dim = group.distribution.value, group.name, shrunk_dim(group.name)
    mean, precision = value("mean"), value("precision")
    whole = pm.Beta(global_name(name), mean * precision, (1 - mean) * precision)
    parts = pm.Dirichlet(local_name(name), np.full(len(group.labels), value("concentration")), dims=dim)
    z = pm.Normal(f"z_{shrunk_dim(name)}", 0.0, 1.0, dims=dim)
    return z * pt.sqrt(whole * parts)


def shrunk_coords(design: Design) -> dict[str, list[str]]:
    """Return the coords of standardised coefficients."""
    return {shrunk_dim(group.name): list(group.labels) for group in design.priors.shrunk}
