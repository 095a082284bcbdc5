"""Group effects, residuals and outcomes, drawn from a stated truth."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import xarray as xr

from bayes_alliance.design.columns.values import Hidden
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.factors import FactorDesign, find_factor
from bayes_alliance.design.equations.latent_columns import FollowModelled, FollowSteps, FollowValue
from bayes_alliance.design.equations.predictor import Predictor
from bayes_alliance.design.equations.residual import ResidualDesign, Residuals
from bayes_alliance.design.equations.visits import VisitResiduals
from bayes_alliance.design.groups.groups import GroupDesign
from bayes_alliance.errors import SpecError
from bayes_alliance.names import RESIDUAL, effect_dim, effects_name, factor_key, sd_name
from bayes_alliance.outcome.contract import OutcomeRows
from bayes_alliance.simulate.truth import correlation_name, entry_of


def draw_outcomes(
    design: Design, truth: Mapping[str, float], rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], xr.Dataset]:
    """Draw group effects and the outcome of every row of every equation, given the predictors of the design.

    Parameters
    ----------
    design : Design
        Coded predictors and groups; its outcomes are read only where they predict others.
    truth : mapping of str to float
        Checked by ``check_truth``.
    rng : Generator
        Draws levels in the order of the design, so permuting rows of the table changes nothing.

    Returns
    -------
    outcomes : dict of str to ndarray, shape (obs,)
        In outcome units: points, 0 and 1, counts, categories.
    effects : Dataset
        ``u_<factor>[<factor>, <factor>_effect]``, as in posteriors.
    """
    effects = draw_effects(design, truth, rng)
    noise = draw_noise(design, truth, rng)
    linear = {e.outcome: predict(e.mean, truth, effects) + predict_steps(e, truth, effects) for e in design.equations}
    drawn = {e.outcome: realise(e, linear[e.outcome], truth, effects, noise[e.outcome]) for e in design.equations}
    return drawn, effects


def draw_effects(design: Design, truth: Mapping[str, float], rng: np.random.Generator) -> xr.Dataset:
    """Draw the effects of every level of every factor."""
    effects = {}
    for factor in design.factors:
        dims = (factor_key(factor.factor), effect_dim(factor.factor))
        coords = {dims[0]: list(factor.levels), dims[1]: list(factor.effects)}
        effects[effects_name(factor.factor)] = xr.DataArray(_draw(factor, truth, rng), coords=coords, dims=dims)
    return xr.Dataset(effects)


def draw_noise(design: Design, truth: Mapping[str, float], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw what is left to chance in every row: standard normal residuals, or uniform numbers where not normal."""
    noise = {}
    joint: dict[str, np.ndarray] = {}
    if isinstance(design.residual, VisitResiduals):
        joint = {design.residual.outcome: _draw_visits(design.residual, truth, rng)}
    elif design.residual is not None:
        joint = _draw_joint(design, design.residual, truth, rng)
    for equation in design.equations:
        size = len(equation.y)
        if equation.outcome in joint:
            noise[equation.outcome] = joint[equation.outcome]
        elif equation.series is not None:
            noise[equation.outcome] = _in_series(equation, truth[f"ar[{equation.outcome}]"], rng.normal(size=size))
        else:
            noise[equation.outcome] = rng.normal(size=size) if equation.kind.normal else rng.random(size)
    return noise


def predict(predictor: Predictor, truth: Mapping[str, float], effects: xr.Dataset) -> np.ndarray:
    """Return the linear predictor of every row, shape (obs,), with observed means in place of latent ones."""
    linear = predictor.coef.values @ np.array([truth[f"b[{label}]"] for label in predictor.coef_labels])
    for group in predictor.groups:
        linear = linear + (_effects_of(predictor, group, effects) * group.values).sum(axis=1)
    return np.asarray(linear)


def _in_series(equation: EquationDesign, ar: float, noise: np.ndarray) -> np.ndarray:
    """Return standard residuals of which each follows that of the session before, the less the longer ago that was."""
    drawn, series = noise.copy(), equation.series
    assert series is not None
    for row in np.argsort(equation.session, kind="stable"):
        if series.distance[row]:
            own = ar ** series.distance[row]
            drawn[row] = own * drawn[series.before[row]] + np.sqrt(1 - own**2) * noise[row]
    return drawn


def predict_steps(equation: EquationDesign, truth: Mapping[str, float], effects: xr.Dataset) -> np.ndarray:
    """Return what true steps between categories, in place of equal ones, add to a linear predictor, shape (obs,)."""
    return _add_apart(equation, truth, effects, _apart_steps(equation, truth))


def _apart_steps(equation: EquationDesign, truth: Mapping[str, float]) -> dict[Hidden, np.ndarray]:
    apart: dict[Hidden, np.ndarray] = {}
    for key, follow in equation.follows.items():
        if isinstance(follow, FollowSteps):
            apart[key] = _way(follow, truth)[follow.code] - follow.plugged
    return apart


def _way(follow: FollowSteps, truth: Mapping[str, float]) -> np.ndarray:
    """Return how far each category lies on the way from the lowest to the highest, shape (category,)."""
    return np.cumsum([0.0, *(truth[entry_of(follow.name, step)] for step in follow.steps)])


def predict_latent(
    design: Design,
    equation: EquationDesign,
    truth: Mapping[str, float],
    effects: xr.Dataset,
    values: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Return what the truth, in place of what is plugged in for it, adds to a linear predictor, shape (obs,).

    ``values`` holds, by outcome, those of its modelled rows as they are, shape (modelled,).
    """
    apart = _apart_steps(equation, truth)
    for mean, follow in equation.follows.items():
        if isinstance(follow, FollowModelled):
            apart[mean] = _implied(design, follow, truth, effects, values) - follow.plugged
        elif isinstance(follow, FollowValue) and follow.outcome in values:
            apart[mean] = values[follow.outcome][follow.code] - follow.plugged
    return _add_apart(equation, truth, effects, apart)


def _add_apart(
    equation: EquationDesign, truth: Mapping[str, float], effects: xr.Dataset, apart: Mapping[Hidden, np.ndarray]
) -> np.ndarray:
    added = np.zeros(len(equation.y))
    for label, weights in zip(equation.coef_labels, equation.coef.latent, strict=True):
        for mean in weights.keys() & apart.keys():
            added += truth[f"b[{label}]"] * weights[mean] * apart[mean]
    for group in equation.groups:
        own = _effects_of(equation.mean, group, effects)
        for member, weights in enumerate(group.columns.latent):
            for mean in weights.keys() & apart.keys():
                added += np.where(group.inside, own[:, member] * weights[mean], 0.0) * apart[mean]
    return added


def _effects_of(predictor: Predictor, group: GroupDesign, effects: xr.Dataset) -> np.ndarray:
    """Return the effects of every row's level, shape (obs, effect)."""
    key, dim = factor_key(group.factor), effect_dim(group.factor)
    own = effects[effects_name(group.factor)].sel({dim: list(predictor.effect_labels(group))})
    return np.asarray(own.sel({key: list(group.levels)}).transpose(key, dim).values[group.code])


def _implied(
    design: Design,
    follow: FollowModelled,
    truth: Mapping[str, float],
    effects: xr.Dataset,
    values: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Return the mean that an outcome's equation implies at the rows that are followed, shape (obs,)."""
    b = np.array([truth[f"b[{label}]"] for label in design.find(follow.outcome).coef_labels])
    mean = follow.coef @ b
    for column, weight, inner in follow.inner:
        if isinstance(inner, FollowSteps):
            estimated = _way(inner, truth)
        elif isinstance(inner, FollowValue) and inner.outcome in values:
            estimated = values[inner.outcome]
        else:
            continue
        mean = mean + b[column] * weight * (estimated[inner.code] - inner.plugged)
    for name, code, covariates in follow.groups:
        factor = find_factor(design.factors, name)
        own = effects[effects_name(name)].sel(
            {effect_dim(name): [factor.effects[i] for i in factor.places[follow.outcome]]}
        )
        own = own.sel({factor_key(name): list(factor.levels)}).transpose(factor_key(name), effect_dim(name))
        mean = mean + (own.values[code] * covariates).sum(axis=1)
    return np.asarray(mean)


def realise(
    equation: EquationDesign,
    linear: np.ndarray,
    truth: Mapping[str, float],
    effects: xr.Dataset,
    noise: np.ndarray,
) -> np.ndarray:
    """Return the outcome of every row from its linear predictor and noise, shape (obs,)."""
    given: dict[str, np.ndarray] = {}
    for parameter in equation.kind.parameters:
        own = equation.parameters.get(parameter.name)
        if own is not None:
            given[parameter.name] = parameter.inverse(predict(own, truth, effects))
        elif parameter.name == "sigma":
            sigma = np.array([truth[f"sigma[{label}]"] for label in equation.sigma_coef])
            given["sigma"] = sigma[equation.sigma_code]
        else:
            given[parameter.name] = np.array([truth[f"{parameter.name}[{equation.outcome}]"]])
    if equation.kind.thresholds:
        given["threshold"] = np.array([truth[f"threshold[{label}]"] for label in equation.threshold_labels])
    if equation.kind.normal:  # noise is normal, and correlated where residuals are
        return np.asarray(linear + given["sigma"] * noise)
    rows = OutcomeRows(equation.kind, equation.y, given, equation.scale)
    return rows.quantile(linear, 1 - noise if equation.kind.binary else noise)


def _draw(factor: FactorDesign, truth: Mapping[str, float], rng: np.random.Generator) -> np.ndarray:
    """Draw the effects of every level of a factor, shape (level, effect)."""
    strata = ("",) if factor.by is None else factor.by.labels
    code = np.zeros(len(factor.levels), dtype=int) if factor.by is None else factor.by.code
    standard = rng.normal(size=(len(factor.levels), len(factor.effects)))
    drawn = np.empty_like(standard)
    for number, stratum in enumerate(strata):
        sd = np.array([truth[entry_of(sd_name(factor.factor), stratum, label)] for label in factor.effects])
        correlation = np.eye(len(factor.effects))
        for block in factor.blocks:
            for i, j in combinations(block.members, 2):
                name = correlation_name(factor.factor, stratum, factor.effects[i], factor.effects[j])
                correlation[i, j] = correlation[j, i] = truth[name]
        rows = code == number
        drawn[rows] = standard[rows] @ root_of(correlation, factor.factor).T * sd
    return drawn


def root_of(correlation: np.ndarray, what: str) -> np.ndarray:
    """Return a square root of a correlation matrix.

    Raises
    ------
    SpecError
        If the correlations stated together are those of no distribution.
    """
    values, vectors = np.linalg.eigh(correlation)
    if values.min() < -1e-9:
        raise SpecError(
            f"truth: the correlations of {what} contradict each other (least eigenvalue {values.min():.3f}); "
            f"bring them closer to 0."
        )
    return np.asarray(vectors * np.sqrt(np.clip(values, 0.0, None)))


def _draw_joint(
    design: Design, residual: ResidualDesign, truth: Mapping[str, float], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draw correlated standard residuals for every row any of the outcomes has."""
    chosen = [design.find(outcome) for outcome in residual.outcomes]
    rows = np.unique(np.concatenate([equation.row for equation in chosen]))
    standard = rng.normal(size=(len(rows), len(chosen)))
    stratum = np.zeros(len(rows), dtype=int)
    for equation in chosen:
        stratum[np.searchsorted(rows, equation.row)] = residual.beside[equation.outcome].stratum
    mixed = _correlate(residual, truth, standard, stratum)
    return {e.outcome: mixed[np.searchsorted(rows, e.row), i] for i, e in enumerate(chosen)}


def _draw_visits(visits: VisitResiduals, truth: Mapping[str, float], rng: np.random.Generator) -> np.ndarray:
    """Draw correlated standard residuals for every patient and visit, and return those there are, shape (obs,)."""
    mixed = _correlate(visits, truth, rng.normal(size=visits.place.shape), visits.stratum)
    return np.asarray(mixed[visits.patient, visits.visit])


def _correlate(
    residual: Residuals, truth: Mapping[str, float], standard: np.ndarray, stratum: np.ndarray
) -> np.ndarray:
    """Return standard residuals, shape (row or patient, label), as correlated as the truth says in their strata."""
    mixed = np.empty_like(standard)
    for number, correlation in enumerate(residual_correlations(residual, truth)):
        mixed[stratum == number] = standard[stratum == number] @ root_of(correlation, "residuals").T
    return mixed


def residual_correlations(residual: Residuals, truth: Mapping[str, float]) -> np.ndarray:
    """Return correlations of residuals as the model or the truth states them, shape (stratum, label, label)."""
    matrices = np.array([np.eye(len(residual.labels))] * max(len(residual.by), 1))
    for correlation, label in zip(matrices, residual.by or ("",), strict=True):
        for i, j in combinations(range(len(residual.labels)), 2):
            if residual.fixed is None:
                stated = truth[correlation_name(RESIDUAL, label, residual.labels[i], residual.labels[j])]
            else:
                stated = float(residual.fixed[i, j])
            correlation[i, j] = correlation[j, i] = stated
    return matrices
