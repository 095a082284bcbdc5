"""The exact engine from a design to draws of every parameter."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayes_alliance.collapse.callbacks import seconds_compiling
from bayes_alliance.collapse.density import Density
from bayes_alliance.collapse.effect_draws import draw_effects
from bayes_alliance.collapse.sampler import sample_parameters
from bayes_alliance.collapse.shape import Shape, find_places
from bayes_alliance.collapse.shrinkage import first_scales
from bayes_alliance.collapse.sign_flips import take_off_signs
from bayes_alliance.collapse.stack import stack_rows
from bayes_alliance.collapse.statistics import Statistics, sum_rows
from bayes_alliance.collapse.tables import PRIOR_CODES, pack_statistics, prior_numbers
from bayes_alliance.design.design import Design
from bayes_alliance.spec.priors import Distribution


@dataclass(frozen=True, eq=False)
class Collapsed:
    """Draws by the exact engine, effects integrated out.

    ``points`` has shape (chain, draw, parameter): SDs as positive numbers, correlations as inverse hyperbolic tangents
    of partial ones, logarithms of residual SDs. ``coef``, shape (chain x draw, coef), holds intercepts at the centring
    constants, then means of variables whose means of units are latent; ``statistics`` is what the sampler says of
    itself; ``method`` how it sampled, and ``why`` so, a sentence.
    """

    shape: Shape
    points: np.ndarray
    coef: np.ndarray
    statistics: xr.Dataset
    method: str
    why: str
    seconds: dict[str, float]


def sum_design(design: Design) -> Statistics:
    """Return the sufficient statistics of a design."""
    return sum_rows(stack_rows(design))


def density_of(statistics: Statistics) -> Density:
    """Return the log-density of statistics."""
    return Density(pack_statistics(statistics), statistics.shape)


def sample_collapsed(
    statistics: Statistics,
    density: Density | None = None,
    *,
    draws: int,
    tune: int,
    chains: int,
    cores: int | None,
    target_accept: float,
    max_treedepth: int,
    seed: int,
    independent: bool = True,
    told: Callable[[float], None] | None = None,
) -> Collapsed:
    """Sample variances and correlations, and coefficients given them.

    Parameters
    ----------
    statistics : Statistics
        Of the data.
    density : Density, optional
        Theirs, where it is made already.
    draws, tune, chains, cores, target_accept, max_treedepth
        As in ``SamplerSettings``; ``tune`` and those after ``cores`` hold where NUTS samples.
    seed : int
        Variances, coefficients and effects have streams of their own.
    independent : bool
        Whether independent proposals may be used; else NUTS samples.
    told : callable, optional
        Called with the seconds left, as of ``sample_parameters``.
    """
    begun, compiled = time.perf_counter(), seconds_compiling()
    shape, density = statistics.shape, density or density_of(statistics)
    chain_seed, coef_seed, _ = np.random.SeedSequence(seed).spawn(3)
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
        coef_seed=coef_seed,
        independent=independent,
        told=told,
    )
    points = take_off_signs(shape, sampled.values, sampled.logs)
    compiling = seconds_compiling() - compiled
    seconds = {"sample": time.perf_counter() - begun - compiling}
    if compiling > 0:
        seconds = {"compile": compiling, **seconds}
    return Collapsed(shape, points, sampled.coef, sampled.statistics, sampled.method, sampled.why, seconds)


def draw_units(
    statistics: Statistics, points: np.ndarray, coef: np.ndarray, seed: int, cores: int | None = None
) -> dict[str, np.ndarray]:
    """Draw the group effects that belong to draws of variances and coefficients.

    Parameters
    ----------
    statistics : Statistics
        Of the data.
    points : ndarray, shape (draw, parameter)
        Sampled vectors, SDs as positive numbers.
    coef : ndarray, shape (draw, coef)
        As in ``Collapsed``.
    seed : int
        The sampler's: effects come out the same every time.
    cores : int, optional
        Threads.

    Returns
    -------
    dict of str to ndarray
        By factor, shape (draw, level, effect).
    """
    if not statistics.shape.factors:
        return {}
    density = density_of(statistics)
    units = pack_statistics(statistics, pool=False)
    rng = np.random.default_rng(np.random.SeedSequence(seed).spawn(3)[2])
    return draw_effects(density, units, points, coef, rng, cores=cores or os.cpu_count() or 1)


def _first_sd(prior: Distribution) -> float:
    """Return the logarithm of an SD that a prior finds likely: its median, or a third of its scale."""
    code, scale, _ = prior_numbers(prior)
    if code == PRIOR_CODES["flat_positive"]:
        return 0.0
    return float(np.log(scale if code == PRIOR_CODES["lognormal"] else 0.3 * scale))


def first_guess(shape: Shape, statistics: Statistics) -> np.ndarray:
    """Return a point to look for the mode from: SDs from priors' scales, residual SDs from the outcomes' spread."""
    places = find_places(shape)
    start = np.zeros(places.size)
    for factor, first in zip(shape.factors, places.sd, strict=True):
        for i in range(factor.sds):
            start[first + i] = _first_sd(factor.sd[i % factor.effects])
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
    scales = first_scales(shape)
    start[places.size - len(scales) :] = scales
    return start
