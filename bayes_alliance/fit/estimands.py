"""Estimands worked out of the draws, every draw kept."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import xarray as xr

from bayes_alliance.design.estimands import EstimandDesign
from bayes_alliance.fit.constants import Constants
from bayes_alliance.names import COEF, cor_name, effect_dim, entry_label, sd_name, second_dim
from bayes_alliance.spec.expressions import Call, Expression, Name, Number, Operation, render


def as_variable(value: xr.DataArray) -> xr.DataArray:
    """Return estimands as a variable of a dataset: one that has the name of its own dim would be taken for a coord."""
    return value.reset_coords(drop=True).rename(estimand="entry")


def work_out(
    estimands: Sequence[EstimandDesign], posterior: xr.Dataset, constants: Constants | None = None
) -> xr.Dataset | None:
    """Work every estimand out of the draws.

    Parameters
    ----------
    estimands : sequence of EstimandDesign
        Resolved; none gives None.
    posterior : Dataset over (chain, draw, …)
        Draws of coefficients, SDs and correlations.
    constants : mapping of str to ndarray of bool, optional
        Entries of these that the model fixes, from ``find_constants``.

    Returns
    -------
    Dataset or None
        ``value[chain, draw, estimand]`` with the coords ``unit``, ``level``, ``rope_lb``, ``rope_ub`` (NaN where none
        was stated), ``ratio`` (whether it divides by a quantity that may be 0, so that it may have no mean) and
        ``constant`` (whether it reads nothing but what the model fixes, so that it never varies). An estimand over SDs
        that differ by stratum has an entry per stratum.
    """
    entries = _entries(estimands, posterior)
    if not entries:
        return None
    with np.errstate(all="ignore"):
        trial = [value.values for _, value, _ in _entries(estimands, _random(posterior, constants or {}))]
    names = [name for name, _, _ in entries]
    values = [value.reset_coords(drop=True) for _, value, _ in entries]
    together = xr.concat(values, dim="estimand").transpose("chain", "draw", "estimand")
    ropes = [estimand.rope or (np.nan, np.nan) for _, _, estimand in entries]
    return xr.Dataset(
        {"value": together},
        coords={
            "estimand": names,
            "unit": ("estimand", [estimand.unit for _, _, estimand in entries]),
            "level": ("estimand", [estimand.level for _, _, estimand in entries]),
            "rope_lb": ("estimand", [low for low, _ in ropes]),
            "rope_ub": ("estimand", [high for _, high in ropes]),
            "ratio": ("estimand", [int(_divides(estimand.value)) for _, _, estimand in entries]),
            "constant": (
                "estimand",
                [int(bool(np.isfinite(values).all() and np.ptp(values) == 0)) for values in trial],
            ),
        },
    )


def _entries(
    estimands: Sequence[EstimandDesign], posterior: xr.Dataset
) -> list[tuple[str, xr.DataArray, EstimandDesign]]:
    """Return name, draws and estimand of every entry."""
    entries: list[tuple[str, xr.DataArray, EstimandDesign]] = []
    for estimand in estimands:
        value = _evaluate(estimand.value, estimand, posterior)
        extra = [dim for dim in value.dims if dim not in ("chain", "draw")]
        if not extra:
            entries.append((estimand.name, value, estimand))
        for label in value[extra[0]].values if extra else ():
            name = entry_label(estimand.name, estimand.strata[str(label)])
            entries.append((name, value.sel({extra[0]: label}, drop=True), estimand))
    return entries


def _random(posterior: xr.Dataset, constants: Constants) -> xr.Dataset:
    """Return a few draws with random numbers for all that may vary: what is the same in all of them is constant."""
    rng = np.random.default_rng(0)
    few = posterior.isel(chain=slice(1), draw=slice(2))
    found = {}
    for name, array in few.data_vars.items():
        values = rng.uniform(0.1, 0.9, array.shape)
        fixed = constants.get(str(name))
        if fixed is not None:
            values[..., fixed] = array.values[..., fixed]
        found[name] = array.copy(data=values)
    return few.assign(found)


def _evaluate(value: Expression, estimand: EstimandDesign, draws: xr.Dataset) -> xr.DataArray:
    labels = estimand.labels
    match value:
        case Number(number):
            return xr.full_like(draws["b"].isel({COEF: 0}, drop=True), number)
        case Name(name):
            return draws["b"].sel({COEF: labels[name]}, drop=True)
        case Operation(operator, left, right):
            one, two = (_evaluate(side, estimand, draws) for side in (left, right))
            return {"+": one + two, "-": one - two, "*": one * two, "/": one / two}[operator]
        case Call(function, arguments, _) if function in ("sqrt", "exp", "log"):
            inner = _evaluate(arguments[0], estimand, draws)
            applied: xr.DataArray = xr.apply_ufunc({"sqrt": np.sqrt, "exp": np.exp, "log": np.log}[function], inner)
            return applied
        case Call("indirect", arguments, _):
            return mean_of_product([labels[render(argument)] for argument in arguments], draws, estimand.factors)
        case Call("sigma", arguments, _):
            return draws["sigma"].sel(sigma_coef=render(arguments[0]), drop=True)
        case Call("sd", (factor, label), _):
            return _sd(render(factor), labels[render(label)], draws)
        case Call(function, (factor, one_label, two_label), _):
            names = labels[render(one_label)], labels[render(two_label)]
            return _together(render(factor), *names, draws, function == "cov")
    raise ValueError(f"{render(value)} is no estimand")


def _sd(factor: str, label: str, draws: xr.Dataset) -> xr.DataArray:
    return draws[sd_name(factor)].sel({effect_dim(factor): label}, drop=True)


def _together(factor: str, one: str, two: str, draws: xr.Dataset, covariance: bool) -> xr.DataArray:
    """Return the correlation or covariance of two effects over the levels of a factor."""
    dim = effect_dim(factor)
    correlation = draws[cor_name(factor)].sel({dim: one, second_dim(dim): two}, drop=True)
    return correlation * _sd(factor, one, draws) * _sd(factor, two, draws) if covariance else correlation


def mean_of_product(labels: Sequence[str], draws: xr.Dataset, factors: Sequence[str]) -> xr.DataArray:
    """Return the mean over units of a product of paths.

    Paths that vary are jointly normal over the levels of each factor, so with means m and covariances s the mean of
    two is m1 m2 + s12, of three m1 m2 m3 + m1 s23 + m2 s13 + m3 s12, and in general the sum over all ways to pair some
    of them (Isserlis 1918); covariances over several factors add up.
    """
    means = {label: draws["b"].sel({COEF: label}, drop=True) for label in labels}
    shared = {pair: _covariance(*pair, draws, factors) for pair in combinations(labels, 2)}

    def mean_of(left: tuple[str, ...]) -> xr.DataArray | float:
        if not left:
            return 1.0
        first, rest = left[0], left[1:]
        total = means[first] * mean_of(rest)
        for other in rest:
            paired = shared[first, other]
            if paired is not None:
                total = total + paired * mean_of(tuple(label for label in rest if label != other))
        return total

    whole = mean_of(tuple(labels))
    assert isinstance(whole, xr.DataArray)
    return whole


def _covariance(one: str, two: str, draws: xr.Dataset, factors: Sequence[str]) -> xr.DataArray | None:
    """Return the covariance of two coefficients over the levels of all factors, None where they vary by none."""
    total: xr.DataArray | None = None
    for factor in factors:
        name, dim = cor_name(factor), effect_dim(factor)
        if name in draws and {one, two} <= set(draws[name][dim].values):
            part = _together(factor, one, two, draws, covariance=True)
            total = part if total is None else total + part
    return total


def _divides(value: Expression) -> bool:
    """Return whether a value divides by something that draws differ in."""
    match value:
        case Operation(operator, left, right):
            return (operator == "/" and not isinstance(right, Number)) or _divides(left) or _divides(right)
        case Call(_, arguments, _):
            return any(_divides(argument) for argument in arguments)
    return False
