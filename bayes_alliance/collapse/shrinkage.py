"""Coefficients that share a shrinkage prior: normal given scales, and the scales are sampled.

A *slot* is the place, among the coefficients that are integrated out, of one standardised coefficient of a prior. Each
coefficient is a sum of these times weights: one times 1 where outcomes are shrunk by themselves, a mean and a
difference where two outcomes are contrasted.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit, logit

from bayes_alliance.collapse.shape import HORSESHOE, PARTS, Shape, Shrinkage, find_places
from bayes_alliance.design.design import Design
from bayes_alliance.design.priors.shrinkage import Shrunk
from bayes_alliance.names import global_name, local_name, shrunk_dim, slab_name

type Variable = tuple[tuple[str, ...], np.ndarray]

LEAST = 1e-300
"""Stands for shares that rounding has made 0."""


def prior_moments(design: Design) -> tuple[np.ndarray, np.ndarray]:
    """Return prior means of coefficients and what they are counted in, shape (coef,): SDs of their normal priors.

    One under a shrinkage prior has a mean of 0 and is counted in its weight, SDs of outcome per SD of predictor.
    """
    own = [prior.distribution for prior in design.priors.coef]
    normal = [prior.family == "normal" for prior in own]
    mean = np.array([prior.value("mu") if is_normal else 0.0 for prior, is_normal in zip(own, normal, strict=True)])
    unit = np.array([prior.value("sigma") if is_normal else 1.0 for prior, is_normal in zip(own, normal, strict=True)])
    for group in reversed(design.priors.shrunk):
        unit[group.places] = np.abs(group.weights)
    return mean, unit


def list_shrinkage(design: Design, index: np.ndarray, unit: np.ndarray) -> tuple[tuple[Shrinkage, ...], np.ndarray]:
    """Return the shrinkage priors of a design, and the weights of their slots in coefficients.

    Parameters
    ----------
    design : Design
        Of an eligible model: none of the coefficients is a loading.
    index : ndarray, shape (coef of the design,)
        The place of each coefficient among those that are integrated out.
    unit : ndarray, shape (coef of the design,)
        What each is counted in, from ``prior_moments``.

    Returns
    -------
    tuple of Shrinkage
    ndarray, shape (coef, coef)
        Of those that are integrated out; the identity where nothing is shrunk.
    """
    mix, taken, found = np.eye(int(index.max(initial=-1)) + 1), set[int](), []
    for group in design.priors.shrunk:
        places = next(line for line in group.places if not taken & set(line.tolist()))
        taken |= set(places.tolist())
        mix[:, index[places]] = 0.0
        for line, weights in zip(group.places, group.weights, strict=True):
            mix[index[line], index[places]] = weights / unit[line]
        found.append(Shrinkage(group.name, index[places], *_numbers(group)))
    return tuple(found), mix


def _numbers(group: Shrunk) -> tuple[int, tuple[float, float, float]]:
    value = group.distribution.value
    if group.distribution.family == "horseshoe":
        return HORSESHOE, (group.tau, value("slab_df"), value("slab"))
    mean, precision = value("mean"), value("precision")
    return PARTS, (mean * precision, (1 - mean) * precision, value("concentration"))


def first_scales(shape: Shape) -> np.ndarray:
    """Return where to look for the mode of the scales: what priors have in their middle, parts all equal."""
    starts = [np.zeros(0)]
    for one in shape.shrunk:
        start = np.zeros(one.parameters)
        if one.kind != HORSESHOE:
            alpha, beta, _ = one.values
            start[0] = np.log(alpha / beta)
            start[1:] = -np.log(np.arange(len(one.slots) - 1, 0, -1))
        starts.append(start)
    return np.concatenate(starts)


def slot_sds(shape: Shape, points: np.ndarray) -> np.ndarray:
    """Return the SDs of standardised coefficients, shape (draw, coef), 1 where a coefficient has a prior of its own."""
    sds = np.ones((len(points), len(shape.equation)))
    for one, first in zip(shape.shrunk, find_places(shape).shrunk, strict=True):
        own = points[:, first : first + one.parameters]
        if one.kind == HORSESHOE:
            tau, _, slab = one.values
            wide = 2 * np.log(tau) + 2 * (own[:, [0]] + own[:, 2:])  # log of (global x local)^2
            squared = 2 * np.log(slab) + own[:, [1]]
            sds[:, one.slots] = np.exp(0.5 * (wide + squared - np.logaddexp(wide, squared)))
        else:
            sds[:, one.slots] = np.exp(0.5 * (_log_expit(own[:, [0]]) + _log_parts(own[:, 1:])))
    return sds


def prior_covariance(shape: Shape, points: np.ndarray) -> np.ndarray:
    """Return the prior covariance of coefficients in units of their scale, shape (draw, coef, coef)."""
    root = shape.mix * slot_sds(shape, points)[:, None, :]
    return np.asarray(root @ root.transpose(0, 2, 1))


def name_scales(
    design: Design, shape: Shape, points: np.ndarray, coords: dict[str, list[str] | np.ndarray]
) -> dict[str, Variable]:
    """Return what a posterior has of the scales, by name; ``coords`` get theirs."""
    found: dict[str, Variable] = {}
    for group, one, first in zip(design.priors.shrunk, shape.shrunk, find_places(shape).shrunk, strict=True):
        own, dim = points[:, first : first + one.parameters], shrunk_dim(group.name)
        coords[dim] = list(group.labels)
        if one.kind == HORSESHOE:
            tau, _, slab = one.values
            found[global_name(group.name)] = ((), tau * np.exp(own[:, 0]))
            found[slab_name(group.name)] = ((), slab * np.exp(0.5 * own[:, 1]))
            found[local_name(group.name)] = ((dim,), np.exp(own[:, 2:]))
        else:
            found[global_name(group.name)] = ((), expit(own[:, 0]))
            found[local_name(group.name)] = ((dim,), np.exp(_log_parts(own[:, 1:])))
    return found


def read_scales(shape: Shape, values: Callable[[str], np.ndarray], points: np.ndarray) -> None:
    """Write the scales of draws by name to sampled vectors, whose other places are left alone."""
    for one, first in zip(shape.shrunk, find_places(shape).shrunk, strict=True):
        own = points[:, first : first + one.parameters]
        whole, parts = values(global_name(one.name)), values(local_name(one.name))
        if one.kind == HORSESHOE:
            tau, _, slab = one.values
            own[:, 0] = np.log(whole / tau)
            own[:, 1] = 2 * np.log(values(slab_name(one.name)) / slab)
            own[:, 2:] = np.log(parts)
        else:
            own[:, 0] = logit(whole)
            left = np.cumsum(parts[:, ::-1], axis=1)[:, ::-1]
            own[:, 1:] = np.log(np.maximum(parts[:, :-1], LEAST)) - np.log(np.maximum(left[:, 1:], LEAST))


def _log_expit(x: np.ndarray) -> np.ndarray:
    return np.asarray(-np.logaddexp(0.0, -x))


def _log_parts(x: np.ndarray) -> np.ndarray:
    """Return logarithms of parts of a whole, shape (draw, part), each of what those before it leave."""
    left = np.cumsum(np.concatenate([np.zeros((len(x), 1)), -np.logaddexp(0.0, x)], axis=1), axis=1)
    return np.asarray(left + np.concatenate([_log_expit(x), np.zeros((len(x), 1))], axis=1))
