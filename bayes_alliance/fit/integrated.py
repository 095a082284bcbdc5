"""The quadrature engine's draws under the names, dims and coords of the nuts engine."""

from __future__ import annotations

import os

import numpy as np
import xarray as xr

from bayes_alliance.design.design import Design
from bayes_alliance.fit.engine_output import Sampled, whole_draws
from bayes_alliance.fit.exact import uncentred
from bayes_alliance.fit.progress import step
from bayes_alliance.fit.settings import Progress, SamplerSettings
from bayes_alliance.fit.threads import one_blas_thread
from bayes_alliance.names import (
    COEF,
    INTERCEPT,
    SIGMA_COEF,
    THRESHOLD_COEF,
    by_dim,
    category_dim,
    cor_name,
    effect_dim,
    effects_name,
    factor_key,
    partial_name,
    sd_name,
    second_dim,
    shape_dim,
    share_name,
)
from bayes_alliance.quadrature.compilation import load_quadrature
from bayes_alliance.quadrature.effect_draws import densities_given_others, draw_effects
from bayes_alliance.quadrature.engine import Integrated, density_of, sample_integrated
from bayes_alliance.quadrature.parameters import Parameters

COMPILED = "Loading the quadrature engine (a quarter of a minute for the first fit on this machine, to compile)"

SHOWN = "Fitting with effects integrated out by quadrature"

type Variable = tuple[tuple[str, ...], np.ndarray]


def load_integrated(progress: Progress) -> float:
    """Load what is compiled, and return the seconds that took; 0 where it was loaded before."""
    with step(COMPILED, progress):
        return load_quadrature()


def sample_quadrature(design: Design, settings: SamplerSettings, seed: int) -> Sampled | str:
    """Fit a design with the quadrature engine; where it cannot, return in what way.

    Parameters
    ----------
    design : Design
        Of an eligible model.
    settings : SamplerSettings
        Draws per chain, chains, cores.
    seed : int
        For the sampler alone.

    Raises
    ------
    FitError
        If chains or draws are missing, or draws are NaN or infinite.
    """
    loading = load_integrated(settings.progress)
    with step(SHOWN, settings.progress) as say, one_blas_thread():
        done = sample_integrated(
            design,
            draws=settings.draws,
            chains=settings.chains,
            cores=settings.cores,
            seed=seed,
            told=lambda left: say(f"{SHOWN}, about {left:.0f} s"),
        )
    if isinstance(done, str):
        return done
    seconds = {"sample": done.seconds}
    if loading:
        seconds = {"compile": loading, **seconds}
    posterior = name_draws(design, done)
    posterior.attrs = {"inference_library": "bayes_alliance", "sampler": "independent", "why": done.why}
    posterior.attrs["rung"] = done.rung
    return whole_draws(posterior, done.statistics, seconds, settings)


def name_draws(design: Design, done: Integrated) -> xr.Dataset:
    """Return draws as a dataset over (chain, draw, …); effects of units are not among them, their levels are."""
    chains, draws = done.points.shape[:2]
    flat, own = done.points.reshape(chains * draws, -1), done.parameters
    _, coef, cut, shape = own.starts
    e = design.equation
    coords: dict[str, list[str] | np.ndarray] = {
        "chain": np.arange(chains),
        "draw": np.arange(draws),
        COEF: list(e.coef_labels),
    }
    found: dict[str, Variable] = {}
    centred = flat[:, coef:cut]
    if own.coef:
        found["b"] = ((COEF,), uncentred(design, centred))
    found |= _spreads(design, own, flat, coords)
    sigma = len(design.priors.sigma)
    shapes = np.exp(flat[:, shape:])
    if sigma:
        coords[SIGMA_COEF] = list(e.sigma_coef)
        found["sigma"] = ((SIGMA_COEF,), shapes[:, -sigma:])
    for number, name in enumerate(e.shapes):
        coords[shape_dim(name)] = [e.outcome]
        found[name] = ((shape_dim(name),), shapes[:, [number]])
    if own.thresholds:
        coords[THRESHOLD_COEF] = list(e.threshold_labels)
        coords[category_dim(e.outcome)] = list(e.scale.categories)
        found["threshold"] = ((THRESHOLD_COEF,), own.cut(flat) + _at_centre(design, centred)[:, None])
        found[share_name(e.outcome)] = ((category_dim(e.outcome),), own.shares(flat))
    if own.coef:
        found["b_centred"] = ((COEF,), centred)
    data = {
        name: (("chain", "draw", *dims), values.reshape(chains, draws, *values.shape[1:]))
        for name, (dims, values) in found.items()
    }
    return xr.Dataset(data, coords=coords)


def _spreads(
    design: Design, own: Parameters, flat: np.ndarray, coords: dict[str, list[str] | np.ndarray]
) -> dict[str, Variable]:
    """Return SDs and correlations of effects."""
    found: dict[str, Variable] = {}
    start = {}
    at = 0
    for factor in sorted(design.factors, key=lambda one: len(one.levels), reverse=True):
        start[factor.factor] = at
        at += len(factor.effects) * (1 if factor.by is None else len(factor.by.levels))
    for factor in design.factors:
        name, dim, size = factor.factor, effect_dim(factor.factor), len(factor.effects)
        coords |= {dim: list(factor.effects), factor_key(name): list(factor.levels)}
        strata = () if factor.by is None else (by_dim(name),)
        if factor.by is not None:
            coords[by_dim(name)] = list(factor.by.labels)
        count = 1 if factor.by is None else len(factor.by.levels)
        sds = flat[:, start[name] : start[name] + size * count]
        found[sd_name(name)] = ((*strata, dim), sds.reshape(len(sds), count, size) if strata else sds)
        if own.cor is None or not any(len(block.members) > 1 for block in factor.blocks):
            continue
        coords[second_dim(dim)] = list(factor.effects)
        r = np.tanh(flat[:, len(own.sd) : len(own.sd) + count])
        matrix = np.ones((len(flat), count, 2, 2))
        matrix[:, :, 0, 1] = matrix[:, :, 1, 0] = r
        found[cor_name(name)] = ((*strata, dim, second_dim(dim)), matrix if strata else matrix[:, 0])
        for stratum in range(count):
            unit = partial_name(name, None, stratum if count > 1 else None)
            coords[f"{unit}_dim_0"] = np.arange(1)
            found[unit] = ((f"{unit}_dim_0",), (r[:, [stratum]] + 1) / 2)
    return found


def _at_centre(design: Design, coef: np.ndarray) -> np.ndarray:
    """Return the linear predictor at the centring constants, which thresholds are moved by."""
    e = design.equation
    if e.coef.labels[:1] == (INTERCEPT,):
        return np.asarray(coef[:, 0])
    return np.asarray(coef @ e.centre)


def draw_quadrature_effects(design: Design, posterior: xr.Dataset, seed: int, cores: int | None = None) -> xr.Dataset:
    """Draw group effects given a posterior of everything else.

    Parameters
    ----------
    design : Design
        Of a model the quadrature engine can fit.
    posterior : Dataset over (chain, draw, …)
        As that engine's; ``rung`` among its attributes says how many nodes integrals take.
    seed : int
        That of the sampler: the same draws come out every time.
    cores : int, optional
        Threads.

    Returns
    -------
    Dataset
        Over (chain, draw, …), under the names, dims and coords of the nuts engine.
    """
    points = read_points(design, posterior)
    effects = draw_effects(design, points, int(posterior.attrs.get("rung", 1)), seed, cores or os.cpu_count() or 1)
    size = (posterior.sizes["chain"], posterior.sizes["draw"])
    coords: dict[str, list[str] | np.ndarray] = {dim: posterior[dim].values for dim in ("chain", "draw")}
    data = {}
    for factor in design.factors:
        key, dim, own = factor_key(factor.factor), effect_dim(factor.factor), effects[factor.factor]
        coords |= {key: list(factor.levels), dim: list(factor.effects)}
        data[effects_name(factor.factor)] = (("chain", "draw", key, dim), own.reshape(*size, *own.shape[1:]))
    return xr.Dataset(data, coords=coords)


def read_points(design: Design, posterior: xr.Dataset) -> np.ndarray:
    """Return the sampled vectors of a fit's draws, shape (chain x draw, parameter), whichever engine drew them."""
    own = density_of(design).parameters
    count = posterior.sizes["chain"] * posterior.sizes["draw"]

    def values(name: str) -> np.ndarray:
        array = posterior[name].transpose("chain", "draw", ...).to_numpy()
        return np.asarray(array.reshape(count, -1))

    e, cors, coef, cut, shape = design.equation, *own.starts
    points = np.empty((count, own.size))
    factors = sorted(design.factors, key=lambda one: len(one.levels), reverse=True)
    points[:, :cors] = np.concatenate([np.empty((count, 0)), *(values(sd_name(f.factor)) for f in factors)], axis=1)
    if own.cor is not None:
        points[:, cors:coef] = np.arctanh(values(cor_name(factors[0].factor)).reshape(count, -1, 4)[:, :, 1])
    if own.coef:
        points[:, coef:cut] = values("b_centred")
    if own.thresholds:
        cuts = values("threshold") - _at_centre(design, points[:, coef:cut])[:, None]
        points[:, cut] = cuts[:, 0]
        points[:, cut + 1 : shape] = np.log(np.diff(cuts, axis=1))
    names = [*e.shapes, *(["sigma"] if design.priors.sigma else [])]
    points[:, shape:] = np.log(np.concatenate([np.empty((count, 0)), *(values(name) for name in names)], axis=1))
    return points


def level_densities(design: Design, posterior: xr.Dataset, factor: str, cores: int | None = None) -> np.ndarray:
    """Return the log-density of every level of a factor given all others and each draw, shape (draw, level)."""
    rung = int(posterior.attrs.get("rung", 2))
    return densities_given_others(design, read_points(design, posterior), rung, factor, cores or os.cpu_count() or 1)
