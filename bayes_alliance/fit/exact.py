"""The collapsed engine's draws under the names, dims and coords of the nuts engine."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayes_alliance.collapse.density import Density
from bayes_alliance.collapse.effect_draws import correlations, residual_correlations, to_partial
from bayes_alliance.collapse.engine import Collapsed, density_of, sample_collapsed, sum_design
from bayes_alliance.collapse.shape import Shape, find_places, pairs_of
from bayes_alliance.collapse.shrinkage import name_scales, read_scales
from bayes_alliance.collapse.stack import stack_rows
from bayes_alliance.collapse.statistics import Statistics
from bayes_alliance.collapse.warm import later_variants, load_variants, needed_variants
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.visits import VisitResiduals
from bayes_alliance.fit.engine_output import Sampled, whole_draws
from bayes_alliance.fit.exact_estimated import name_estimated, read_sigmas, sd_sources
from bayes_alliance.fit.progress import step
from bayes_alliance.fit.settings import Progress, SamplerSettings
from bayes_alliance.fit.threads import one_blas_thread
from bayes_alliance.names import (
    COEF,
    INTERCEPT,
    RESIDUAL,
    SIGMA_COEF,
    by_dim,
    coef_dim,
    cor_name,
    effect_dim,
    factor_key,
    obs_dim,
    partial_name,
    sd_name,
    second_dim,
    shape_dim,
)
from bayes_alliance.spec.parameters import AUTOCORRELATION

COMPILED = "Loading the exact engine (half a minute for the first fit of a kind on this machine, to compile)"

SHOWN = "Fitting with effects integrated out"

STEADY = 0.95
"""Least share of steps that NUTS is to accept: with effects integrated out smaller steps cost little."""

MANY = 25
"""Sampled parameters above which steps are as long as elsewhere: two thirds of the time for more effective draws."""

type Variable = tuple[tuple[str, ...], np.ndarray]


def sample_exact(design: Design, settings: SamplerSettings, seed: int, *, independent: bool = True) -> Sampled:
    """Fit a design with the collapsed engine.

    Parameters
    ----------
    design : Design
        Of an eligible model.
    settings : SamplerSettings
        Draws per chain, chains, cores; ``tune``, ``target_accept`` and ``max_treedepth`` hold where NUTS samples.
    seed : int
        For the sampler alone.
    independent : bool
        Whether variances may be sampled by independent proposals where these are good enough.

    Raises
    ------
    FitError
        If chains or draws are missing, or draws are NaN or infinite.
    """
    return sample_statistics(design, sum_design(design), settings, seed, independent=independent)


def load_engine(designs: Sequence[Design], progress: Progress) -> None:
    """Load what is compiled for designs of eligible models; what is not on disk is compiled, side by side."""
    _load([density_of(sum_design(design)) for design in designs], progress)


def _load(densities: Sequence[Density], progress: Progress) -> float:
    """Load what is compiled for densities, and return the seconds that took; 0 where it was loaded before."""
    needed = list(dict.fromkeys(variant for density in densities for variant in needed_variants(density)))
    if not needed:
        return 0.0
    begun = time.perf_counter()
    with step(COMPILED, progress):
        load_variants(
            needed, list(dict.fromkeys(variant for density in densities for variant in later_variants(density)))
        )
    return time.perf_counter() - begun


def sample_statistics(
    design: Design, statistics: Statistics, settings: SamplerSettings, seed: int, *, independent: bool = True
) -> Sampled:
    """Fit sufficient statistics; the design names the draws."""
    density = density_of(statistics)
    accept = settings.target_accept or STEADY
    loading = _load([density], settings.progress)
    with step(SHOWN, settings.progress) as say, one_blas_thread():
        collapsed = sample_collapsed(
            statistics,
            density,
            draws=settings.draws,
            tune=settings.tune,
            chains=settings.chains,
            cores=settings.cores,
            target_accept=accept if density.packed.size > MANY else max(accept, STEADY),
            max_treedepth=settings.max_treedepth,
            seed=seed,
            independent=independent,
            told=lambda left: say(f"{SHOWN}, about {left:.0f} s"),
        )
    if loading:
        collapsed.seconds["compile"] = collapsed.seconds.get("compile", 0.0) + loading
    posterior = name_draws(design, collapsed)
    posterior.attrs = {"inference_library": "bayes_alliance", "sampler": collapsed.method, "why": collapsed.why}
    return whole_draws(posterior, collapsed.statistics, collapsed.seconds, settings)


def name_draws(design: Design, collapsed: Collapsed) -> xr.Dataset:
    """Return draws as a dataset over (chain, draw, …); effects of units are not among them, their levels are."""
    chains, draws = collapsed.points.shape[:2]
    flat = collapsed.points.reshape(chains * draws, -1)
    shape, places = collapsed.shape, find_places(collapsed.shape)
    coef = collapsed.coef[:, : len(design.priors.coef)]
    coords: dict[str, list[str] | np.ndarray] = {
        "chain": np.arange(chains),
        "draw": np.arange(draws),
        COEF: [label for e in design.equations for label in e.coef_labels],
    }
    found: dict[str, Variable] = {"b": ((COEF,), uncentred(design, coef))}
    for number, factor in enumerate(design.factors):
        dim, own = effect_dim(factor.factor), shape.factors[number]
        coords |= {dim: list(factor.effects), factor_key(factor.factor): list(factor.levels)}
        strata: tuple[str, ...] = ()
        if factor.by is not None:
            strata = (by_dim(factor.factor),)
            coords[strata[0]] = list(factor.by.labels)
        values = flat[:, places.sd[number] : places.sd[number] + own.sds]
        found[sd_name(factor.factor)] = ((*strata, dim), _by_stratum(values, own.strata, bool(strata)))
    for number, factor in enumerate(design.factors):
        if shape.factors[number].blocks:
            dim = effect_dim(factor.factor)
            coords[second_dim(dim)] = list(factor.effects)
            matrices = correlations(shape, flat, number)
            strata = (by_dim(factor.factor),) if factor.by is not None else ()
            cor = matrices if strata else matrices[:, 0]
            found[cor_name(factor.factor)] = ((*strata, dim, second_dim(dim)), cor)
            found |= _units(factor.factor, number, collapsed, flat, coords)
    found |= _residual(design, collapsed, flat, coords)
    if design.priors.sigma:
        coords[SIGMA_COEF] = [label for e in design.equations for label in e.sigma_coef]
        found["sigma"] = ((SIGMA_COEF,), np.exp(flat[:, places.sigma : places.sigma + len(design.priors.sigma)]))
    found["b_centred"] = ((COEF,), coef)
    found |= name_scales(design, shape, flat, coords)
    if shape.split:
        found |= name_estimated(design, collapsed, flat, coords)
    data = {
        name: (("chain", "draw", *dims), values.reshape(chains, draws, *values.shape[1:]))
        for name, (dims, values) in found.items()
    }
    return xr.Dataset(data, coords=coords)


def read_points(design: Design, posterior: xr.Dataset, shape: Shape | None = None) -> np.ndarray:
    """Return the sampled vectors of a fit's draws, shape (chain x draw, parameter), whichever engine drew them.

    ``shape`` is that of the design's rows, where it is known.
    """
    shape = shape or stack_rows(design).shape
    places, count = find_places(shape), posterior.sizes["chain"] * posterior.sizes["draw"]
    points = np.empty((count, places.size))

    def values(name: str) -> np.ndarray:
        array = posterior[name].transpose("chain", "draw", ...).to_numpy()
        return np.asarray(array.reshape(count, *array.shape[2:]))

    sources = sd_sources(design)
    for number, factor in enumerate(shape.factors):
        first = places.sd[number]
        if factor.sds:
            name, entry = sources[factor.name]
            sds = values(name).reshape(count, -1)
            points[:, first : first + factor.sds] = sds if entry is None else sds[:, [entry]]
        for block, start in zip(factor.blocks, places.cor[number], strict=True):
            matrices = values(cor_name(factor.name)).reshape(count, factor.strata, factor.effects, factor.effects)
            for stratum in range(factor.strata):
                partial = to_partial(matrices[:, stratum][:, np.array(block)[:, None], np.array(block)])
                at = start + stratum * partial.shape[1]
                points[:, at : at + partial.shape[1]] = partial
    points[:, places.sigma : places.residual] = np.log(read_sigmas(design, values, count))
    if len(shape.loading):
        loadings = values("b_centred")[:, shape.loading]
        held = slice(places.loading, places.loading + len(shape.loading))
        points[:, held] = (loadings - shape.loading_mean) / shape.loading_scale
    read_scales(shape, values, points)
    residual = slice(places.residual, places.loading)
    if shape.joint and design.residual is None:
        points[:, residual] = np.arctanh(values(AUTOCORRELATION))
    elif shape.joint and shape.fixed is None:
        size = shape.joint
        matrices = values(cor_name(RESIDUAL)).reshape(count, shape.joint_strata, size, size)
        points[:, residual] = np.concatenate(
            [to_partial(matrices[:, stratum]) for stratum in range(shape.joint_strata)], axis=1
        )
    return points


def uncentred(design: Design, centred: np.ndarray) -> np.ndarray:
    """Return coefficients with each intercept where its predictors are 0."""
    plain, start = centred.copy(), 0
    for e in design.equations:
        size = len(e.coef.labels)
        if size and e.coef.labels[0] == INTERCEPT:
            plain[:, start] -= centred[:, start + 1 : start + size] @ e.centre[1:]
        start += size
    return plain


def _by_stratum(values: np.ndarray, strata: int, several: bool) -> np.ndarray:
    return values.reshape(len(values), strata, -1) if several else values


def _units(
    name: str, number: int, collapsed: Collapsed, flat: np.ndarray, coords: dict[str, list[str] | np.ndarray]
) -> dict[str, Variable]:
    """Return partial correlations between 0 and 1, which the PyMC model has as free variables."""
    places, own = find_places(collapsed.shape), collapsed.shape.factors[number]
    found: dict[str, Variable] = {}
    for block, (members, start) in enumerate(zip(own.blocks, places.cor[number], strict=True)):
        pairs = pairs_of(len(members))
        for stratum in range(own.strata):
            several = block if len(own.blocks) > 1 else None
            variable = partial_name(name, several, stratum if own.strata > 1 else None)
            first = start + stratum * pairs
            found |= _unit(variable, flat[:, first : first + pairs], coords)
    return found


def _unit(name: str, values: np.ndarray, coords: dict[str, list[str] | np.ndarray]) -> dict[str, Variable]:
    dim = f"{name}_dim_0"
    coords[dim] = np.arange(values.shape[1])
    return {name: ((dim,), (np.tanh(values) + 1) / 2)}


def _residual(
    design: Design, collapsed: Collapsed, flat: np.ndarray, coords: dict[str, list[str] | np.ndarray]
) -> dict[str, Variable]:
    residual, shape, places = design.residual, collapsed.shape, find_places(collapsed.shape)
    if residual is None and shape.joint:
        dim = shape_dim(AUTOCORRELATION)
        coords[dim] = [e.outcome for e in design.equations if e.series is not None]
        return {AUTOCORRELATION: ((dim,), np.tanh(flat[:, places.residual : places.loading]))}
    if residual is None:
        return {}
    coords |= {RESIDUAL: list(residual.labels), second_dim(RESIDUAL): list(residual.labels)}
    matrices, found = residual_correlations(shape, flat), {}
    strata = (by_dim(RESIDUAL),) if residual.by else ()
    if strata:
        coords[strata[0]] = list(residual.by)
    values = matrices if strata else matrices[:, 0]
    found[cor_name(RESIDUAL)] = ((*strata, RESIDUAL, second_dim(RESIDUAL)), values)
    if shape.fixed is None:
        pairs, first = pairs_of(shape.joint), places.residual
        for stratum in range(shape.joint_strata):
            name = partial_name(RESIDUAL, stratum=stratum if strata else None)
            found |= _unit(name, flat[:, first + stratum * pairs : first + (stratum + 1) * pairs], coords)
    return found


def constant_data(design: Design) -> xr.Dataset:
    """Return the arrays the likelihood reads, under the names the PyMC model has for them, codes as PyMC holds them."""
    data: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    coords: dict[str, list[str] | np.ndarray] = {}
    for e in design.equations:
        rows = obs_dim(e.outcome)
        coords[rows] = np.asarray(e.row)
        if e.coef.labels:
            coords[coef_dim(e.outcome)] = list(e.coef_labels)
            data[f"predictors_{e.outcome}"] = ((coef_dim(e.outcome), rows), np.ascontiguousarray(e.coef.values.T))
            if e.coef.labels[0] == INTERCEPT and len(e.coef.labels) > 1:
                data[f"centre_{e.outcome}"] = ((coef_dim(e.outcome),), e.centre)
        for group in e.groups:
            key, dim = factor_key(group.factor), f"{effect_dim(group.factor)}_{e.outcome}"
            data[f"{key}_code_{e.outcome}"] = ((rows,), group.code.astype(np.int32))
            if not (group.values == 1).all():
                coords[dim] = list(e.effect_labels(group))
                data[f"{key}_covariates_{e.outcome}"] = ((dim, rows), np.ascontiguousarray(group.values.T))
        if len(e.sigma_coef) > 1:
            data[f"sigma_code_{e.outcome}"] = ((rows,), e.sigma_code.astype(np.int32))
        data[f"observed_{e.outcome}"] = ((rows,), e.y)
        if e.scale.trials is not None:
            data[f"trials_{e.outcome}"] = ((rows,), e.scale.trials.astype(np.int64))
        data |= {f"{what}_{e.outcome}": ((rows,), values) for what, values in _serial_data(design, e).items()}
    return xr.Dataset(data, coords=coords)


def _serial_data(design: Design, e: EquationDesign) -> dict[str, np.ndarray]:
    """Return what the likelihood reads of rows whose residuals correlate over a patient's sessions."""
    if e.series is not None:
        codes = {"gap": e.series.gap, "before": e.series.before}
        return {"series": e.y, **{name: code.astype(np.int32) for name, code in codes.items()}}
    if isinstance(design.residual, VisitResiduals) and design.residual.outcome == e.outcome:
        codes = {"patient": design.residual.patient, "visit": design.residual.visit}
        return {"visits": e.y, **{name: code.astype(np.int32) for name, code in codes.items()}}
    return {}
