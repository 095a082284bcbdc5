"""Fits without sampling: a design and stated parameters, under the names, dims and coords of either engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import xarray as xr

import bayes_alliance as ba
from bayes_alliance.collapse.eligibility import find_design_obstacles
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.factors import FactorDesign
from bayes_alliance.design.equations.latent_columns import FollowSteps
from bayes_alliance.design.equations.predictor import Predictor
from bayes_alliance.design.posterior_variables import list_variables
from bayes_alliance.fit.assembly import rows_of, split_effects
from bayes_alliance.fit.estimands import work_out
from bayes_alliance.fit.exact import constant_data
from bayes_alliance.fit.provenance import record_provenance
from bayes_alliance.fit.result import Fit
from bayes_alliance.names import (
    COEF,
    INTERCEPT,
    RESIDUAL,
    SIGMA_COEF,
    THRESHOLD_COEF,
    by_dim,
    category_dim,
    cor_name,
    effect_dim,
    effects_name,
    factor_key,
    mean_name,
    modelled_dim,
    sd_name,
    second_dim,
    shape_dim,
    share_name,
    spread_name,
    unit_means_name,
    value_name,
)

type Variables = dict[str, tuple[tuple[str, ...], np.ndarray]]
type Coords = dict[str, Sequence[str] | np.ndarray]

CHAINS, DRAWS = 2, 2


def make_fit(design: Design, seed: int = 1, *, size: float = 1.0, engine: str | None = None) -> Fit:
    """Return a fit of a design whose draws are stated parameters, another set of them in every draw.

    Parameters
    ----------
    design : Design
        The rows, which give the names and a size that parameters make sense in.
    seed : int
        Of the stated parameters.
    size : float
        Multiplies coefficients and SDs of group effects.
    engine : {"collapsed", "nuts"}, optional
        Whose fit this looks like; the exact engine's where it can fit the design.
    """
    if engine is None:
        engine = "nuts" if find_design_obstacles(design) else "collapsed"
    sets = [state_parameters(design, np.random.default_rng([seed, i]), size) for i in range(CHAINS * DRAWS)]
    coords: Coords = {"chain": np.arange(CHAINS), "draw": np.arange(DRAWS), **sets[0][1]}
    data = {}
    for name, (dims, first) in sets[0][0].items():
        values = np.array([own[0][name][1] for own in sets]).reshape(CHAINS, DRAWS, *first.shape)
        data[name] = (("chain", "draw", *dims), values)
    used = {dim for dims, _ in data.values() for dim in dims}
    posterior = xr.Dataset(data, coords={dim: values for dim, values in coords.items() if dim in used})
    outcomes = [own.name for own in design.linear_predictors for _ in own.coef.labels]
    effects = [label for own in design.linear_predictors for label in own.coef.labels]
    if COEF in posterior.dims:
        posterior = posterior.assign_coords(equation=(COEF, outcomes), effect=(COEF, effects))
    posterior.attrs = {"inference_library": "stated"}
    return put_together(design, posterior, engine)


def put_together(design: Design, posterior: xr.Dataset, engine: str) -> Fit:
    """Return a fit with these draws; nothing was sampled, so there is nothing to check."""
    rows = rows_of(design, constant_data(design))
    nothing = np.zeros((posterior.sizes["chain"], posterior.sizes["draw"]), dtype=bool)
    variables = list_variables(design)
    posterior, effects = split_effects(posterior, design, variables)
    groups = {
        "posterior": posterior,
        "effects": effects,
        "sample_stats": xr.Dataset({"diverging": (("chain", "draw"), nothing)}),
        "observed_data": rows.observed,
        "constant_data": rows.constant,
    }
    for number, (outcome, moments) in enumerate(rows.moments.items()):
        groups[f"variance/{outcome}"] = moments.assign_attrs(equation=number)
    estimands = work_out(design.estimands, posterior)
    if estimands is not None:
        groups["estimands"] = estimands
    settings = ba.SamplerSettings(draws=max(posterior.sizes["draw"], 1), chains=CHAINS, progress="off")
    provenance = {**record_provenance(design, settings, engine, 1, {}), "constants": {}}
    provenance["variables"] = [asdict(own) for own in variables]
    return Fit(design.spec, xr.DataTree.from_dict(groups), provenance, (), design)


MIDDLES = {"nu": 2.0, "shape": 0.8, "phi": 1.8, "zi": -1.0}
"""Linear predictors of parameters at average predictors."""


def state_parameters(design: Design, rng: np.random.Generator, size: float) -> tuple[Variables, Coords]:
    """Return one set of parameters of a design, each of the size that its columns ask for."""
    found: Variables = {}
    coords: Coords = {COEF: [label for own in design.linear_predictors for label in own.coef_labels]}
    plain, centred = [], []
    for e, part in parts_of(design):
        b = _coefficients(e, part, rng, size)
        plain.append(b)
        own = b.copy()
        if part.coef.labels and part.coef.labels[0] == INTERCEPT:
            own[0] += b[1:] @ part.centre[1:]
        centred.append(own)
    found["b"] = ((COEF,), np.concatenate(plain))
    for factor in design.factors:
        _put_factor(design, factor, rng, size, found, coords)
    _put_residual(design, rng, found, coords)
    _put_spread(design, rng, found, coords)
    _put_thresholds(
        design, dict(zip((own.name for own in design.linear_predictors), plain, strict=True)), rng, found, coords
    )
    for shape in design.priors.shapes:
        having = [e.outcome for e in design.equations if shape in e.shapes]
        low, high = {"nu": (4, 12), "shape": (1, 4), "phi": (3, 9), "ar": (0.2, 0.6), "error": (0.3, 0.8)}[shape]
        coords[shape_dim(shape)] = having
        found[shape] = ((shape_dim(shape),), rng.uniform(low, high, len(having)))
    _put_steps(design, rng, found, coords)
    _put_values(design, rng, found, coords)
    found["b_centred"] = ((COEF,), np.concatenate(centred))
    return found, coords


def parts_of(design: Design) -> list[tuple[EquationDesign, Predictor]]:
    """Return every linear predictor with its equation."""
    return [(e, own) for e in design.equations for own in e.linear_predictors]


def step_of(e: EquationDesign, own: Predictor) -> float:
    """Return the size of one step on the scale of a linear predictor."""
    return outcome_spread(e) if own.of_mean else 0.25


def outcome_spread(e: EquationDesign) -> float:
    """Return the size of one step on the scale of the linear predictor of an equation's mean."""
    return float(e.y[e.seen].std()) if e.kind.link == "identity" else 0.8


def _coefficients(e: EquationDesign, own: Predictor, rng: np.random.Generator, size: float) -> np.ndarray:
    columns = own.coef.values
    b = np.zeros(columns.shape[1])
    step = size * step_of(e, own)
    for i, label in enumerate(own.coef.labels):
        if label != INTERCEPT:
            spread = float(columns[:, i].std()) or 1.0
            b[i] = rng.normal(0.15, 0.45) * step / spread / np.sqrt(max(columns.shape[1] / 4, 1))
    if own.coef.labels and own.coef.labels[0] == INTERCEPT:
        b[0] = _middle(e, own) + 0.2 * step * rng.normal() - b[1:] @ columns[:, 1:].mean(axis=0)
    return b


def _middle(e: EquationDesign, own: Predictor) -> float:
    if not own.of_mean:
        parameter = own.spec.parameter
        return float(np.log(0.6 * (e.y.std() or 1.0))) if parameter == "sigma" else MIDDLES[parameter]
    if e.kind.link == "identity":
        return float(e.y[e.seen].mean())
    return {"logit": -0.4, "probit": -0.25, "cloglog": -1.8, "log": 0.7}[e.kind.link]


def _put_factor(
    design: Design, factor: FactorDesign, rng: np.random.Generator, size: float, found: Variables, coords: Coords
) -> None:
    dim, count = effect_dim(factor.factor), len(factor.effects)
    scale = np.ones(count)
    for e, own in parts_of(design):
        for group in own.groups:
            if group.factor == factor.factor and group.slot == 0:
                rms = np.sqrt((group.values[group.inside] ** 2).mean(axis=0))
                scale[list(factor.places[own.name])] = step_of(e, own) / np.where(rms > 0, rms, 1.0)
    strata = 1 if factor.by is None else len(factor.by.labels)
    sds = size * scale * rng.uniform(0.35, 0.9, (strata, count))
    cors = np.tile(np.eye(count), (strata, 1, 1))
    correlated = False
    for block in factor.blocks:
        if len(block.members) > 1:
            correlated = True
            for s in range(strata):
                cors[s][np.ix_(block.members, block.members)] = random_correlation(rng, len(block.members))
    key, lead = factor_key(factor.factor), () if factor.by is None else (by_dim(factor.factor),)
    coords |= {dim: list(factor.effects), second_dim(dim): list(factor.effects), key: list(factor.levels)}
    if factor.by is not None:
        coords[by_dim(factor.factor)] = list(factor.by.labels)
    found[sd_name(factor.factor)] = ((*lead, dim), sds if factor.by else sds[0])
    if correlated:
        found[cor_name(factor.factor)] = ((*lead, dim, second_dim(dim)), cors if factor.by else cors[0])
    stratum = np.zeros(len(factor.levels), dtype=int) if factor.by is None else factor.by.code
    z = rng.normal(size=(len(factor.levels), count))
    roots = sds[..., None] * np.linalg.cholesky(cors)
    found[effects_name(factor.factor)] = ((key, dim), np.einsum("lij,lj->li", roots[stratum], z))


def random_correlation(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a correlation matrix whose entries are neither 0 nor near 1."""
    a = rng.normal(size=(size, size + 4)) + 0.6
    covariance = a @ a.T
    sd = np.sqrt(np.diag(covariance))
    return np.asarray(0.8 * covariance / np.outer(sd, sd) + 0.2 * np.eye(size))


def _put_residual(design: Design, rng: np.random.Generator, found: Variables, coords: Coords) -> None:
    residual = design.residual
    if residual is None:
        return
    size, strata = len(residual.labels), max(len(residual.by), 1)
    matrices = np.array([random_correlation(rng, size) for _ in range(strata)])
    if residual.fixed is not None:
        matrices = np.broadcast_to(residual.fixed, matrices.shape).copy()
    coords |= {RESIDUAL: list(residual.labels), second_dim(RESIDUAL): list(residual.labels)}
    lead: tuple[str, ...] = ()
    if residual.by:
        lead, coords[by_dim(RESIDUAL)] = (by_dim(RESIDUAL),), list(residual.by)
    found[cor_name(RESIDUAL)] = ((*lead, RESIDUAL, second_dim(RESIDUAL)), matrices if residual.by else matrices[0])


def _put_spread(design: Design, rng: np.random.Generator, found: Variables, coords: Coords) -> None:
    labels, values = [], []
    for e in design.equations:
        if e.kind.spread and "sigma" not in e.parameters:
            labels += list(e.sigma_coef)
            values += list(outcome_spread(e) * rng.uniform(0.4, 1.1, len(e.sigma_coef)))
    if labels:
        coords[SIGMA_COEF] = labels
        found["sigma"] = ((SIGMA_COEF,), np.array(values))


def _put_thresholds(
    design: Design, b: dict[str, np.ndarray], rng: np.random.Generator, found: Variables, coords: Coords
) -> None:
    labels, values = [], []
    for e in design.equations:
        if not e.kind.thresholds:
            continue
        count = len(e.scale.thresholds)
        shares = rng.dirichlet(np.full(count + 1, 4.0))
        below = np.cumsum(shares)[:-1]
        start = float(b[e.outcome] @ e.coef.values.mean(axis=0)) if len(b[e.outcome]) else 0.0
        labels += list(e.threshold_labels)
        values += list(np.log(below / (1 - below)) + start)
        coords[category_dim(e.outcome)] = list(e.scale.categories)
        found[share_name(e.outcome)] = ((category_dim(e.outcome),), shares)
    if labels:
        coords[THRESHOLD_COEF] = labels
        found["threshold"] = ((THRESHOLD_COEF,), np.array(values))


def _put_steps(design: Design, rng: np.random.Generator, found: Variables, coords: Coords) -> None:
    for e in design.equations:
        for follow in e.follows.values():
            if isinstance(follow, FollowSteps):
                dim = f"{follow.name}_steps"
                coords[dim] = list(follow.steps)
                found[follow.name] = ((dim,), rng.dirichlet(np.full(len(follow.steps), 0.8)))


def _put_values(design: Design, rng: np.random.Generator, found: Variables, coords: Coords) -> None:
    """State modelled values and latent means: near what was observed, and not it."""
    for e in design.equations:
        if e.modelled is not None:
            dim = modelled_dim(e.outcome)
            coords[dim] = list(e.modelled.labels)
            spread = outcome_spread(e)
            found[value_name(e.outcome)] = (
                (dim,),
                e.y[e.modelled.rows] + 0.5 * spread * rng.normal(size=len(e.modelled.rows)),
            )
    for m in design.measured:
        coords |= {f"{m.label}_mean": [m.label], f"{m.label}_part": list(m.parts)}
        found[mean_name(m.label)] = ((f"{m.label}_mean",), np.array([m.centre]))
        found[spread_name(m.label)] = ((f"{m.label}_part",), m.spread * rng.uniform(0.4, 0.8, len(m.parts)))
        for factor, levels in zip(m.factors, m.levels, strict=True):
            dim = f"{m.label}_{factor}"
            coords[dim] = list(levels)
            found[unit_means_name(m.label, factor)] = ((dim,), m.centre + 0.5 * m.spread * rng.normal(size=len(levels)))
