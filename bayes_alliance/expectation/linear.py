"""Linear predictors of rows, draw by draw: what coefficients give, and which group effects are added how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np
import xarray as xr

from bayes_alliance.design.columns.values import Hidden, LinkedTo, MeanOf
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.factors import find_factor
from bayes_alliance.design.equations.latent_columns import (
    Follow,
    FollowMeasured,
    FollowModelled,
    FollowSteps,
    FollowValue,
)
from bayes_alliance.design.equations.predictor import Predictor
from bayes_alliance.design.groups.groups import GroupDesign
from bayes_alliance.errors import FitError
from bayes_alliance.names import (
    COEF,
    RESIDUAL,
    cor_name,
    effect_dim,
    effects_name,
    factor_key,
    sd_name,
    unit_means_name,
    value_name,
)


@dataclass(frozen=True, eq=False)
class Entry:
    """Group effects that enter an equation: each row's level, and weights of some of its effects.

    ``code`` has shape (obs,), ``effects`` index the factor's effects, ``values`` has shape (obs, effect), or
    (draw, obs, effect) where effects enter through latent means. Rows outside the factor have values 0.
    """

    factor: str
    code: np.ndarray
    effects: tuple[int, ...]
    values: np.ndarray

    def levels(self, rows: np.ndarray) -> np.ndarray:
        """Return the levels that some of the rows are inside."""
        inside = (self.values[..., rows, :] != 0).any(axis=-1)
        return np.unique(self.code[rows][inside.reshape(-1, len(rows)).any(axis=0)])


@dataclass(frozen=True, eq=False)
class Linear:
    """The linear predictor of an equation: ``population`` of shape (draw, obs), and what effects add."""

    population: np.ndarray
    entries: tuple[Entry, ...]


def stack_draws(posterior: xr.Dataset, draws: int | None = None) -> xr.Dataset:
    """Return draws of all chains along ``sample``, evenly thinned to at most ``draws`` in all."""
    each = posterior.sizes["draw"]
    if draws is not None and draws < posterior.sizes["chain"] * each:
        count = max(1, draws // posterior.sizes["chain"])
        posterior = posterior.isel(draw=np.linspace(0, each - 1, count).astype(int))
    stacked = posterior.stack(sample=("chain", "draw"), create_index=False)
    return stacked.drop_vars(["chain", "draw"], errors="ignore").transpose("sample", ...)


def linear_parts(design: Design, predictor: Predictor, flat: xr.Dataset, *, latent: bool = True) -> Linear:
    """Return the linear predictor of an equation's rows in parts.

    Rows that follow something estimated get what was drawn: means of outcomes through coefficients and effects, means
    of other variables, modelled values and steps between categories as drawn.

    Parameters
    ----------
    design, predictor
        The rows.
    flat : Dataset over (sample, …)
        From ``stack_draws``.
    latent : bool
        False leaves what is plugged in where something estimated stands.
    """
    b = _coefficients(predictor, flat)
    population = b @ predictor.coef.values.T
    entries = [
        Entry(g.factor, g.code, find_factor(design.factors, g.factor).places[predictor.name], g.values)
        for g in predictor.groups
    ]
    if not latent:
        return Linear(population, tuple(entries))
    apart = {key: _apart(follow, flat) for key, follow in predictor.follows.items()}
    entries = [_moved(g, entry, apart) for g, entry in zip(predictor.groups, entries, strict=True)]
    weights = {key: _weight_of(predictor, key, b) for key in predictor.follows}
    for mean, follow in predictor.follows.items():
        weight = weights[mean]
        if isinstance(follow, FollowValue | FollowSteps):
            population = population + weight * apart[mean]
            continue
        if isinstance(follow, FollowMeasured):
            population = population + weight * follow_rows(design, follow, flat)
            continue
        assert isinstance(follow, FollowModelled)
        population = population + weight * (_implied(design, follow, flat) - follow.plugged)
        for factor, code, values in follow.groups:
            places = find_factor(design.factors, factor).places[follow.outcome]
            entries.append(Entry(factor, code, places, weight[:, :, None] * values))
    return Linear(population, tuple(entries))


def add_effects(linear: Linear, flat: xr.Dataset, factors: Sequence[str]) -> np.ndarray:
    """Return the linear predictor with drawn effects of some factors, shape (draw, obs)."""
    total = linear.population
    for entry in linear.entries:
        if entry.factor in factors:
            drawn = effects_of(flat, entry.factor)[:, :, list(entry.effects)]
            total = total + (drawn[:, entry.code] * entry.values).sum(axis=2)
    return total


def effects_of(flat: xr.Dataset, factor: str) -> np.ndarray:
    """Return a factor's drawn effects, shape (draw, level, effect)."""
    name = effects_name(factor)
    if name not in flat:
        raise FitError(f"The fit holds no effects of {factor}; they are in fit.effects.")
    return np.asarray(flat[name].transpose("sample", factor_key(factor), effect_dim(factor)).values)


def strata_roots(design: Design, factor: str, flat: xr.Dataset) -> np.ndarray:
    """Return lower roots of the covariance of a factor's effects, shape (draw, stratum, effect, effect).

    There is one stratum where all levels share a covariance matrix.
    """
    made = find_factor(design.factors, factor)
    sd = flat[sd_name(factor)].transpose("sample", ..., effect_dim(factor)).values
    size = len(made.effects)
    if cor_name(factor) in flat:
        cor = flat[cor_name(factor)].transpose("sample", ..., effect_dim(factor), f"{effect_dim(factor)}_2").values
    else:
        cor = np.broadcast_to(np.eye(size), (*sd.shape, size))
    root = sd[..., :, None] * np.linalg.cholesky(cor)
    return np.asarray(root[:, None] if made.by is None else root)


def effect_roots(design: Design, factor: str, flat: xr.Dataset) -> np.ndarray:
    """Return lower roots of the covariance of a factor's effects, shape (draw, level, effect, effect)."""
    made, root = find_factor(design.factors, factor), strata_roots(design, factor, flat)
    if made.by is None:
        return np.broadcast_to(root, (len(root), len(made.levels), *root.shape[2:]))
    return np.asarray(root[:, made.by.code])


def residual_cor(design: Design, flat: xr.Dataset) -> np.ndarray:
    """Return correlations of residuals, shape (draw, stratum, outcome, outcome), outcomes as the residual has them."""
    residual = design.residual
    assert residual is not None
    size, strata = len(residual.labels), max(len(residual.by), 1)
    if residual.fixed is not None:
        return np.broadcast_to(residual.fixed, (flat.sizes["sample"], strata, size, size))
    values = flat[cor_name(RESIDUAL)].transpose("sample", ..., RESIDUAL, f"{RESIDUAL}_2").values
    return np.asarray(values.reshape(len(values), strata, size, size))


def _coefficients(predictor: Predictor, flat: xr.Dataset) -> np.ndarray:
    return np.asarray(flat["b"].sel({COEF: list(predictor.coef_labels)}).transpose("sample", COEF).values)


def _apart(follow: Follow, flat: xr.Dataset) -> np.ndarray | None:
    """Return modelled values, or ways along steps, less what is plugged in, shape (draw, obs); None of means."""
    if isinstance(follow, FollowValue | FollowSteps):
        return np.asarray(drawn_values(follow, flat)[:, follow.code] - follow.plugged)
    return None


def drawn_values(follow: FollowValue | FollowSteps, flat: xr.Dataset) -> np.ndarray:
    """Return modelled values, or how far each category has come along the steps, shape (draw, value)."""
    if isinstance(follow, FollowValue):
        return np.asarray(flat[value_name(follow.outcome)].transpose("sample", ...).values)
    way = np.cumsum(flat[follow.name].transpose("sample", ...).values, axis=1)
    return np.asarray(np.pad(way, ((0, 0), (1, 0))))


def follow_rows(design: Design, follow: Follow, flat: xr.Dataset) -> np.ndarray:
    """Return what is estimated less what is plugged in for it, with effects as drawn, shape (draw, obs)."""
    match follow:
        case FollowValue() | FollowSteps():
            return np.asarray(drawn_values(follow, flat)[:, follow.code] - follow.plugged)
        case FollowMeasured():
            return np.asarray(_measured_means(design, follow, flat)[:, follow.code] - follow.plugged)
        case FollowModelled():
            total = _implied(design, follow, flat) - follow.plugged
            for factor, code, values in follow.groups:
                places = list(find_factor(design.factors, factor).places[follow.outcome])
                total = total + (effects_of(flat, factor)[:, :, places][:, code] * values).sum(axis=2)
            return np.asarray(total)
        case _:
            assert_never(follow)


def follow_mean(design: Design, follow: Follow, weight: np.ndarray, flat: xr.Dataset) -> np.ndarray:
    """Return the mean over rows of ``weight`` times ``follow_rows``, shape (draw,), without a number per row."""
    plugged = (weight * follow.plugged).mean()
    match follow:
        case FollowValue() | FollowSteps():
            drawn = drawn_values(follow, flat)
            return np.asarray(drawn @ np.bincount(follow.code, weight, drawn.shape[1]) / len(weight) - plugged)
        case FollowMeasured():
            drawn = _measured_means(design, follow, flat)
            return np.asarray(drawn @ np.bincount(follow.code, weight, drawn.shape[1]) / len(weight) - plugged)
        case FollowModelled():
            b = _coefficients(design.find(follow.outcome).mean, flat)
            total = b @ (weight[:, None] * follow.coef).mean(axis=0) - plugged
            for factor, code, values in follow.groups:
                places = list(find_factor(design.factors, factor).places[follow.outcome])
                drawn = effects_of(flat, factor)[:, :, places]
                pooled = np.zeros(drawn.shape[1:])
                np.add.at(pooled, code, weight[:, None] * values / len(weight))
                total = total + np.einsum("sle,le->s", drawn, pooled)
            for column, own, inner in follow.inner:
                total = total + b[:, column] * follow_mean(design, inner, weight * own, flat)
            return np.asarray(total)
        case _:
            assert_never(follow)


def _implied(design: Design, follow: FollowModelled, flat: xr.Dataset) -> np.ndarray:
    """Return the mean that an outcome's equation implies without group effects, shape (draw, obs)."""
    b = _coefficients(design.find(follow.outcome).mean, flat)
    total = b @ follow.coef.T
    for column, weight, inner in follow.inner:
        total = total + b[:, column, None] * weight * follow_rows(design, inner, flat)
    return np.asarray(total)


def _measured_means(design: Design, follow: FollowMeasured, flat: xr.Dataset) -> np.ndarray:
    """Return drawn means of a variable without an equation, shape (draw, level)."""
    label = next(m.label for m in design.measured if m.name == follow.measured)
    return np.asarray(flat[unit_means_name(label, follow.factor)].transpose("sample", ...).values)


def _moved(group: GroupDesign, entry: Entry, apart: Mapping[Hidden, np.ndarray | None]) -> Entry:
    """Return a factor's effects with covariates that follow modelled values or steps as drawn."""
    moves = [
        (member, np.where(group.inside, weight, 0.0) * drawn)
        for member, weights in enumerate(group.columns.latent)
        for key, weight in weights.items()
        if (drawn := apart.get(key)) is not None
    ]
    if not moves:
        return entry
    values = np.repeat(entry.values[None], len(moves[0][1]), axis=0)
    for member, shift in moves:
        values[:, :, member] += shift
    return replace(entry, values=values)


def _weight_of(predictor: Predictor, mean: Hidden, b: np.ndarray) -> np.ndarray:
    """Return how far the predictor moves with something estimated, shape (draw, obs)."""
    followed = any(mean in weights for group in predictor.groups for weights in group.columns.latent)
    if followed and isinstance(mean, MeanOf | LinkedTo):
        what = "latent means" if isinstance(mean, MeanOf) else f"the {mean.kind}"
        raise FitError(
            f"Effects of {predictor.name} vary with {what} of {mean.variable!r}; its rows cannot be worked "
            f"out with effects integrated."
        )
    total = np.zeros((len(b), len(predictor.coef.values)))
    for column, weights in enumerate(predictor.coef.latent):
        if mean in weights:
            total = total + b[:, column, None] * weights[mean]
    return total
