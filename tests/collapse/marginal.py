"""The PyMC model with all that is normal integrated out: what the exact engine is held to where rows are split.

Given SDs, correlations and loadings the log-density of the PyMC model is quadratic in everything else, so that its
value, slope and second derivatives at one point give the integral, the mean and the covariance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytensor
import xarray as xr
from scipy import stats

import bayes_alliance as ba
from bayes_alliance.build.model import CHECKED
from bayes_alliance.collapse.density import Density
from bayes_alliance.collapse.effect_draws import (
    correlations,
    draw_coefs,
    draw_effects,
    effect_sds,
    residual_correlations,
)
from bayes_alliance.collapse.engine import Collapsed
from bayes_alliance.collapse.shape import find_places
from bayes_alliance.collapse.tables import Packed
from bayes_alliance.fit.exact import name_draws
from bayes_alliance.fit.exact_estimated import sd_sources
from bayes_alliance.fit.exact_units import Drawn, name_units
from bayes_alliance.names import spread_name
from tests.build.oracle import to_unit
from tests.collapse.dense import engine_of


@dataclass
class Marginal:
    """Log-density with all that is normal integrated out; means of named quantities given the outcomes."""

    log_density: float
    means: Mapping[str, np.ndarray]


def natural_values(design: ba.Design, engine: Density, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return what a sampled vector with positive SDs means to the PyMC model, by the names of its free variables."""
    shape, places = engine.shape, find_places(engine.shape)
    values: dict[str, np.ndarray] = {}
    sources, spreads = sd_sources(design), {}
    for number, factor in enumerate(shape.factors):
        if factor.private:
            if factor.sds:
                spreads[sources[factor.name]] = effect_sds(shape, x[None], number)[0, 0, 0]
            continue
        sd = effect_sds(shape, x[None], number)[0]
        values[f"sd_{factor.name}"] = sd if factor.strata > 1 else sd[0]
        for block, members in enumerate(factor.blocks):
            suffix = f"_{block + 1}" if len(factor.blocks) > 1 else ""
            for s in range(factor.strata):
                cor = correlations(shape, x[None], number)[0, s][np.ix_(members, members)]
                values[f"cor_{factor.name}{suffix}{f'_{s + 1}' if factor.strata > 1 else ''}_unit"] = to_unit(cor)
    sigma = np.exp(x[places.sigma : places.residual])
    count = len(design.priors.sigma)
    families = [prior.distribution.family for prior in design.priors.sigma]
    for family in dict.fromkeys(families):
        own = np.array([one == family for one in families])
        values["sigma" if own.all() else f"sigma_{family}"] = sigma[:count][own]
    rest = list(sigma[count:])
    errors = [e.outcome for e in design.equations if "error" in e.shapes]
    if errors:
        values["error"] = np.array([rest.pop(0) for _ in errors])
    for measured in design.measured:
        name = spread_name(measured.label)
        own_sds = [
            spreads[name, level] if (name, level) in spreads else rest.pop(0) for level in range(len(measured.factors))
        ]
        values[name] = np.array([*own_sds, rest.pop(0)])
    if shape.joint and design.residual is None:
        values["ar_unit"] = (np.tanh(x[places.residual : places.loading]) + 1) / 2
    elif shape.joint and shape.fixed is None:
        for s, cor in enumerate(residual_correlations(shape, x[None])[0]):
            several = design.residual is not None and design.residual.by
            values[f"cor_residual{f'_{s + 1}' if several else ''}_unit"] = to_unit(cor)
    return values | scale_values(design, engine, x)


def scale_values(design: ba.Design, engine: Density, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return the same of scales of shrinkage priors, half-Cauchy ones as sizes whose rates are 1."""
    values: dict[str, np.ndarray] = {}
    for group, first in zip(design.priors.shrunk, find_places(engine.shape).shrunk, strict=True):
        own, size, name = x[first:], len(group.labels), group.name
        if group.distribution.family == "horseshoe":
            values[f"z_global_{name}_size"], values[f"z_global_{name}_rate"] = np.exp(own[0]), np.array(1.0)
            values[f"z_slab_{name}_squared"] = np.exp(own[1]) * group.distribution.value("slab") ** 2
            values[f"z_local_{name}_size"], values[f"z_local_{name}_rate"] = np.exp(own[2 : 2 + size]), np.ones(size)
        else:
            values[f"global_{name}"] = 1 / (1 + np.exp(-own[0]))
            shares = 1 / (1 + np.exp(-own[1:size]))
            values[f"local_{name}"] = np.append(shares, 1.0) * np.cumprod(np.append(1.0, 1 - shares))
    return values


def scale_prior(design: ba.Design, engine: Density, x: np.ndarray) -> float:
    """Return the log prior of scales by SciPy, on natural scales, times how these change with what is sampled."""
    values, total = scale_values(design, engine, x), 0.0
    for group, first in zip(design.priors.shrunk, find_places(engine.shape).shrunk, strict=True):
        name, value, size = group.name, group.distribution.value, len(group.labels)
        if group.distribution.family == "horseshoe":
            scales = np.append(values[f"z_local_{name}_size"], values[f"z_global_{name}_size"])
            slab = values[f"z_slab_{name}_squared"]
            total += float((stats.halfcauchy.logpdf(scales) + np.log(scales)).sum())
            half = value("slab_df") / 2
            total += float(stats.invgamma.logpdf(slab, half, scale=half * value("slab") ** 2) + np.log(slab))
            continue
        share, mean, precision = values[f"global_{name}"], value("mean"), value("precision")
        total += float(stats.beta.logpdf(share, mean * precision, (1 - mean) * precision))
        total += float(np.log(share * (1 - share)))
        total += float(stats.dirichlet.logpdf(values[f"local_{name}"], np.full(size, value("concentration"))))
        cut = 1 / (1 + np.exp(-x[first + 1 : first + size]))
        left = np.cumprod(np.append(1.0, 1 - cut))[:-1]  # of the whole, before each part is taken
        total += float(np.log(cut * (1 - cut) * left).sum())
    return total


def integrate(design: ba.Design, engine: Density, x: np.ndarray, named: tuple[str, ...]) -> Marginal:
    """Integrate all that is normal out of the PyMC model at a sampled vector.

    Parameters
    ----------
    named : tuple of str
        Variables of the model whose means given the outcomes are wanted.
    """
    model = ba.build_model(design.spec, design, parametrization="centred")
    fixed = natural_values(design, engine, x)
    shape, places = engine.shape, find_places(engine.shape)
    start: dict[str, np.ndarray] = {}
    for name, number in fixed.items():
        variable = model[name]
        transform = model.rvs_to_transforms[variable]
        moved = number if transform is None else transform.forward(number, *variable.owner.inputs).eval(mode=CHECKED)
        start[model.rvs_to_values[variable].name] = np.asarray(moved)
    free = [rv for rv in model.free_RVs if rv.name not in fixed]
    initial = model.initial_point()
    for rv in free:
        start[rv.name] = np.zeros_like(initial[rv.name])
    loadings = shape.loading_mean + shape.loading_scale * x[places.loading : places.loading + len(shape.loading)]
    normal = [prior.distribution.family == "normal" for prior in design.priors.coef]
    coefs, held = "b_centred" if all(normal) else "b_centred_normal", np.cumsum(normal)[shape.loading] - 1
    start[coefs][held] = loadings
    terms = model.logp(vars=[*free, *model.observed_RVs, *model.potentials], jacobian=False, sum=True)
    variables = [model.rvs_to_values[rv] for rv in free]
    outputs = [terms, *pytensor.grad(terms, variables)]
    function = model.compile_fn(outputs, inputs=model.value_vars, mode=CHECKED, on_unused_input="ignore")
    moving = [np.ones(start[v.name].size, dtype=bool) for v in variables]
    moving[[v.name for v in variables].index(coefs)][held] = False
    keep = np.concatenate(moving)

    def place(step: np.ndarray) -> dict[str, np.ndarray]:
        whole = np.zeros(len(keep))
        whole[keep] = step
        point, at = dict(start), 0
        for v in variables:
            size = start[v.name].size
            point[v.name] = start[v.name] + whole[at : at + size].reshape(start[v.name].shape)
            at += size
        return point

    def slope(step: np.ndarray) -> tuple[float, np.ndarray]:
        value, *slopes = function(place(step))
        return float(value), np.concatenate([np.ravel(one) for one in slopes])[keep]

    size = int(keep.sum())
    value, first = slope(np.zeros(size))
    second = np.array([slope(step)[1] - first for step in np.eye(size)])
    second = -(second + second.T) / 2
    mode = np.linalg.solve(second, first)
    at_mode = slope(mode)[0]
    prior = loading_prior(engine, x) - float(np.log(shape.loading_scale).sum())
    log_density = at_mode + 0.5 * size * np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(second)[1] - prior
    assert np.isfinite(value)
    shown = model.compile_fn(
        model.replace_rvs_by_values([model[name] for name in named]),
        inputs=model.value_vars,
        mode=CHECKED,
        on_unused_input="ignore",
    )
    return Marginal(log_density, dict(zip(named, shown(place(mode)), strict=True)))


def loading_prior(engine: Density, x: np.ndarray) -> float:
    """Return the log prior of loadings, which are sampled in SDs of it."""
    first = find_places(engine.shape).loading
    loadings = x[first : first + len(engine.shape.loading)]
    return float(-0.5 * (loadings**2).sum() - 0.5 * len(loadings) * np.log(2 * np.pi))


@dataclass(frozen=True, eq=False)
class Recovered:
    """Coefficients, shape (draw, coef), and effects by factor, shape (draw, level, effect)."""

    coef: np.ndarray
    effects: dict[str, np.ndarray]


def recover(engine: Density, units: Packed, points: np.ndarray, rng: np.random.Generator) -> Recovered:
    """Return coefficients drawn at sampled vectors with positive SDs, and effects drawn given them."""
    _, coef = draw_coefs(engine, points, np.zeros(engine.sds, dtype=bool), rng, cores=2)
    return Recovered(coef, draw_effects(engine, units, points, coef, rng, cores=2) if engine.shape.chain else {})


class Zeros:
    """A generator whose normals are 0, so that what is drawn is the mean."""

    def normal(self, size: tuple[int, int]) -> np.ndarray:
        """Return zeros of the shape asked for."""
        return np.zeros(size)


def collapsed_at(design: ba.Design, points: np.ndarray, *, chains: int) -> xr.Dataset:
    """Return what a fit would hold at sampled vectors, effects too, everything else at its mean given the outcomes."""
    engine, units = engine_of(design), engine_of(design, pool=False).packed
    recovered = recover(engine, units, points, Zeros())  # type: ignore[arg-type]
    shaped = points.reshape(chains, -1, points.shape[1])
    named = name_draws(design, Collapsed(engine.shape, shaped, recovered.coef, xr.Dataset(), "independent", "", {}))
    own = name_units(design, Drawn(engine.shape, recovered.coef, recovered.effects), named)
    return named.merge(own, join="exact")


def drawn_at_mode(design: ba.Design, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return every variable of a posterior at a sampled vector, by name."""
    named = collapsed_at(design, x[None], chains=1)
    return {str(name): values.to_numpy()[0, 0] for name, values in named.data_vars.items()}
