"""The exact engine from a design to draws of every parameter."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayes_alliance.collapse.density import Density, seconds_compiling
from bayes_alliance.collapse.effect_draws import Recovered, count_effects, recover
from bayes_alliance.collapse.patterns import NOT_POOLED
from bayes_alliance.collapse.sampler import sample_parameters
from bayes_alliance.collapse.shape import Shape, find_places
from bayes_alliance.collapse.sign_flips import take_off_signs
from bayes_alliance.collapse.stack import stack_rows
from bayes_alliance.collapse.statistics import Statistics, sum_rows
from bayes_alliance.collapse.tables import pack_statistics, prior_numbers
from bayes_alliance.design.design import Design

MOST_EFFECTS = 10_000_000
"""Numbers of group effects, over all draws, up to which they are drawn with the fit."""


@dataclass(frozen=True, eq=False)
class Collapsed:
    """Draws by the exact engine.

    ``points`` has shape (chain, draw, parameter): SDs as positive numbers, correlations as inverse hyperbolic tangents
    of partial ones, logarithms of residual SDs. ``recovered`` holds coefficients and effects over chain x draw;
    ``statistics`` what the sampler says of itself; ``method`` how it sampled, and ``why`` so, a sentence.
    """

    shape: Shape
    points: np.ndarray
    recovered: Recovered
    statistics: xr.Dataset
    method: str
    why: str
    seconds: dict[str, float]


def sum_design(design: Design) -> Statistics:
    """Return the sufficient statistics of a design."""
    return sum_rows(stack_rows(design))


def sample_collapsed(
    statistics: Statistics,
    *,
    draws: int,
    tune: int,
    chains: int,
    cores: int | None,
    target_accept: float,
    max_treedepth: int,
    seed: int,
    effects: bool | None = None,
    independent: bool = True,
    told: Callable[[float], None] | None = None,
) -> Collapsed:
    """Sample variances and correlations, then draw coefficients and effects given them.

    Parameters
    ----------
    statistics : Statistics
        Of the data.
    draws, tune, chains, cores, target_accept, max_treedepth
        As in ``SamplerSettings``; ``tune`` and those after ``cores`` hold where NUTS samples.
    seed : int
        Chains and effects have streams of their own.
    effects : bool, optional
        Whether group effects are drawn; None draws them where they are no more than ten million numbers, and always
        where some of them are latent means or modelled values.
    independent : bool
        Whether independent proposals may be used; else NUTS samples.
    told : callable, optional
        Called with the seconds left, as of ``sample_parameters``.
    """
    begun, compiled = time.perf_counter(), seconds_compiling()
    shape, workers = statistics.shape, cores or os.cpu_count() or 1
    density = Density(pack_statistics(statistics), shape)
    chain_seed, effect_seed = np.random.SeedSequence(seed).spawn(2)
    sampled = sample_parameters(
        density,
        first_guess(shape, statistics),
        draws=draws,
        tune=tune,
        chains=chains,
        cores=cores,
        target_accept=target_accept,
        max_treedepth=max_treedepth,
        seed=chain_seed,
        independent=independent,
        told=told,
    )
    points = take_off_signs(shape, sampled.values, sampled.logs)
    sampled_at, compiling = time.perf_counter(), seconds_compiling() - compiled
    if effects is None:  # means and values are what other rows follow: a fit holds them, as one by NUTS does
        private = any(factor.private for factor in shape.factors)
        effects = private or count_effects(shape) * chains * draws <= MOST_EFFECTS
    flat = points.reshape(-1, points.shape[-1])
    recovered = recover_effects(statistics, density, flat, effect_seed, workers, effects=effects)
    seconds = {"sample": sampled_at - begun - compiling, "recover": time.perf_counter() - sampled_at}
    if compiling > 0:
        seconds = {"compile": compiling, **seconds}
    return Collapsed(shape, points, recovered, sampled.statistics, sampled.method, sampled.why, seconds)


def recover_effects(
    statistics: Statistics,
    density: Density,
    points: np.ndarray,
    seed: np.random.SeedSequence,
    cores: int,
    *,
    effects: bool = True,
) -> Recovered:
    """Draw coefficients and, if asked, group effects given variances; coefficients are the same either way."""
    units = None
    if effects and statistics.shape.chain:
        pooled = (density.packed.pattern != NOT_POOLED).any()
        units = pack_statistics(statistics, pool=False) if pooled else density.packed
    return recover(density, units, points, np.random.default_rng(seed), cores=cores)


def draw_again(design: Design, points: np.ndarray, seed: int, cores: int | None = None) -> Recovered:
    """Draw the group effects of a fit that was made without them.

    Parameters
    ----------
    design : Design
        That of the fit.
    points : ndarray, shape (draw, parameter)
        Its sampled vectors, in order.
    seed : int
        Its sampler's seed: coefficients then come out as they are in the fit, and effects belong to them.
    cores : int, optional
        Threads.
    """
    statistics = sum_design(design)
    density = Density(pack_statistics(statistics), statistics.shape)
    _, effect_seed = np.random.SeedSequence(seed).spawn(2)
    return recover_effects(statistics, density, points, effect_seed, cores or os.cpu_count() or 1)


def first_guess(shape: Shape, statistics: Statistics) -> np.ndarray:
    """Return a point to look for the mode from: SDs from priors' scales, residual SDs from the outcomes' spread."""
    places = find_places(shape)
    start = np.zeros(places.size)
    for factor, first in zip(shape.factors, places.sd, strict=True):
        for i in range(factor.sds):
            prior = factor.sd[i % factor.effects]
            start[first + i] = np.log(0.3 * prior.values[-1]) if prior.values else 0.0
    for number in range(len(shape.sigma)):
        square, count = 0.0, 0
        for product, table in zip(statistics.products, statistics.root, strict=True):
            part, rows = statistics.classes[product.part], int(statistics.clusters[product.part])
            at = range(len(part.equations)) if product.places is None else sorted(set(product.places))
            if product.places is not None and (len(at) > 1 or (part.gap and part.parts[at[0]].place > 0)):
                continue  # of two rows, or of one that stands for the row before
            for piece in (part.parts[i] for i in at):
                if part.sigma[piece.place] == number and not piece.loadings:
                    own = len(shape.equation) + (0 if shape.split else part.equations[piece.place])
                    square, count = square + table[own, own], count + rows
        if not count:  # of values that no row is: they are all modelled
            square, count = prior_numbers(shape.sigma[number])[1] ** 2, 1
        start[places.sigma + number] = 0.5 * np.log(0.5 * max(square / count, 1e-300))
    return start
