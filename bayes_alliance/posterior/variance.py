"""Shares of variance and intraclass correlations, as draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Final

import numpy as np
import xarray as xr

from bayes_alliance.design.moments import variance_moments
from bayes_alliance.design.posterior_variables import PosteriorVariable
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.roots import lower_root
from bayes_alliance.fit.result import Fit
from bayes_alliance.names import (
    COEF,
    RESIDUAL,
    SIGMA_COEF,
    by_dim,
    coef_label,
    cor_name,
    effect_dim,
    factor_key,
    sd_name,
    second_dim,
    shape_dim,
)
from bayes_alliance.outcome.contract import Outcome
from bayes_alliance.outcome.families import find_family

NODES, FEWER_NODES = 15, 7
"""Points per parameter that unit effects are integrated over; of three parameters or more."""

RESIDUAL_SHARE: Final = PosteriorVariable("share_residual", "variance share", RESIDUAL)
"""What no factor accounts for."""


def fitted_factors(fit: Fit) -> list[str]:
    """Return the grouping factors of a fit's model, in the order of its formula."""
    factors = [str(factor) for moments in fitted_moments(fit).values() for factor in moments["factor"].values]
    return list(dict.fromkeys(factors))


def fitted_moments(fit: Fit) -> dict[str, xr.Dataset]:
    """Return what variance shares need of the rows, per outcome in the order of the equations."""
    stored = {str(name): node.to_dataset() for name, node in fit.data["variance"].children.items()}
    return dict(sorted(stored.items(), key=lambda item: int(item[1].attrs["equation"])))


def variance_shares(fit: Fit, *, session: float | None = None) -> xr.Dataset:
    """Return shares of each outcome's variance and ICCs per grouping factor, every draw kept.

    ``share_<factor>`` is the variance between the factor's levels over the total variance that the predictors leave.
    ``icc_<factor>`` is the correlation of two rows of one level that share no lower level: the share of the factor
    and of the factors it is nested in. With random slopes both depend on the covariates of a row, so they are given
    averaged over rows and at a session; by arm where a factor or a residual SD belongs to some arms only. For 0/1
    outcomes the scale is that of the latent variable: the latent logit, or probit.

    Parameters
    ----------
    fit : Fit
        With one grouping factor or more.
    session : float, optional
        Session number for the second set; None keeps the earliest one. Another one needs the rows
        (``fit.with_rows``).

    Returns
    -------
    Dataset over (chain, draw, stratum)
        Shares of all factors and of the residual add up to 1 in every draw. Where a model has several outcomes the
        strata begin with their names, and a factor that an outcome's equation lacks has share 0 there.

    Raises
    ------
    FitError
        If the model has no grouping factor, or another session is asked for and the fit has no rows.
    """
    moments = fitted_moments(fit)
    if session is not None:
        if fit.design is None:
            raise FitError("Variance shares at another session need the rows; use fit.with_rows(sessions).")
        moments = {
            equation.outcome: variance_moments(
                fit.design, equation, session if equation.spec.unit == "session" else None
            )
            for equation in fit.design.equations
        }
    draws = fit.data["posterior"].to_dataset()
    shares = {outcome: shares_of(draws, own) for outcome, own in moments.items() if own.sizes.get("factor")}
    if not shares:
        raise FitError("The model has no grouping factor, so its variance has no shares between units.")
    return join_shares(shares)


def join_shares(shares: dict[str, xr.Dataset]) -> xr.Dataset:
    """Put the shares of several outcomes one below the other."""
    if len(shares) == 1:
        return next(iter(shares.values()))
    labelled = []
    for outcome, own in shares.items():
        strata = [coef_label(outcome, str(stratum)) for stratum in own["stratum"].values]
        labelled.append(own.assign_coords(stratum=strata))
    nothing = [own["share_residual"] * 0.0 for own in labelled]
    names = dict.fromkeys(one for own in labelled for one in share_variables(own) if one.owner != RESIDUAL)
    joined = {
        one: xr.concat([own.get(one.name, zero) for own, zero in zip(labelled, nothing, strict=True)], dim="stratum")
        for kind in ("variance share", "intraclass correlation")
        for one in names
        if one.kind == kind
    }
    joined[RESIDUAL_SHARE] = xr.concat([own["share_residual"] for own in labelled], dim="stratum")
    scales = dict.fromkeys(str(own.attrs["scale"]) for own in labelled)
    return _as_dataset(joined, "; ".join(scales))


def share_variables(shares: xr.Dataset) -> tuple[PosteriorVariable, ...]:
    """Return what the variables of ``variance_shares`` are: shares and ICCs, each with its factor."""
    return tuple(
        PosteriorVariable(str(name), own.attrs["kind"], own.attrs["factor"]) for name, own in shares.data_vars.items()
    )


def _as_dataset(shares: Mapping[PosteriorVariable, xr.DataArray], scale: str) -> xr.Dataset:
    """Return shares and ICCs as a dataset whose variables say what they are."""
    named = {one.name: values.assign_attrs(kind=one.kind, factor=one.owner) for one, values in shares.items()}
    return xr.Dataset(named, attrs={"scale": scale})


def shares_of(draws: xr.Dataset, moments: xr.Dataset) -> xr.Dataset:
    """Return the shares and ICCs of one outcome from draws of SDs, correlations and residual SDs."""
    factors = [str(factor) for factor in moments["factor"].values]
    variance = {factor: _factor_variance(draws, moments, factor) for factor in factors}
    residual = _residual_variance(draws, moments)
    total = sum(variance.values(), start=residual)
    shares = {}
    for factor in factors:
        name = f"share_{factor_key(factor)}"
        shares[PosteriorVariable(name, "variance share", factor)] = variance[factor] / total
    for factor in factors:
        above = moments[f"above_{factor_key(factor)}"].values
        nesting = [variance[other] for other, is_above in zip(factors, above, strict=True) if is_above]
        name = f"icc_{factor_key(factor)}"
        shares[PosteriorVariable(name, "intraclass correlation", factor)] = sum(nesting, start=variance[factor]) / total
    # not residual / total: a t with two degrees of freedom or fewer has no variance, and takes all of it
    shares[RESIDUAL_SHARE] = 1.0 - sum((variance[factor] / total for factor in factors), start=xr.zeros_like(residual))
    return _as_dataset(shares, moments.attrs["scale"])


def _factor_variance(draws: xr.Dataset, moments: xr.Dataset, factor: str) -> xr.DataArray:
    """Return sum over effects of mean(z z') times their covariance, over (chain, draw, stratum)."""
    dim = effect_dim(factor)
    second = second_dim(dim)
    products = moments[f"zz_{factor_key(factor)}"]
    own = products[dim].values
    sd = draws[sd_name(factor)].sel({dim: own})
    covariance = sd * sd.rename({dim: second})
    if cor_name(factor) in draws:
        covariance = covariance * draws[cor_name(factor)].sel({dim: own, second: own})
    else:
        covariance = covariance * xr.DataArray(np.eye(len(own)), coords={dim: own, second: own}, dims=(dim, second))
    summed = [name for name in (dim, second, by_dim(factor)) if name in products.dims]
    return (covariance * products).sum(summed)


def _residual_variance(draws: xr.Dataset, moments: xr.Dataset) -> xr.DataArray:
    """Return the variance of rows around their linear predictors, over (chain, draw, stratum) or fewer of them."""
    family, outcome, formulas = _family_of(moments), moments.attrs["outcome"], formulas_of(moments)
    level = float(moments["level"])
    given: dict[str, xr.DataArray] = {
        shape: draws[shape].sel({shape_dim(shape): outcome}, drop=True)
        for shape in family.shapes
        if shape not in formulas
    }
    if family.spread and "sigma" not in formulas:
        own = moments["sigma_share"][SIGMA_COEF].values
        square = (draws["sigma"].sel({SIGMA_COEF: own}) ** 2 * moments["sigma_share"]).sum(SIGMA_COEF)
        given["sigma"] = square.copy(data=np.sqrt(square.values))
    if formulas:
        return _over_formulas(draws, moments, given)
    if not given:
        return xr.full_like(moments["stratum"], family.latent_variance({}, level), dtype=float)
    *parts, _ = xr.broadcast(*given.values(), moments["stratum"])
    values = {name: part.values for name, part in zip(given, parts, strict=True)}
    return parts[0].copy(data=family.latent_variance(values, level))


def _family_of(moments: xr.Dataset) -> Outcome:
    """Return the family of an outcome, with its link."""
    return find_family(moments.attrs["family"], moments.attrs.get("link"))


def formulas_of(moments: xr.Dataset) -> list[str]:
    """Return the parameters of an outcome's family that have a formula."""
    return [str(name) for name in moments["formula"].values] if "formula" in moments.coords else []


def _over_formulas(draws: xr.Dataset, moments: xr.Dataset, given: dict[str, xr.DataArray]) -> xr.DataArray:
    """Return the variance averaged over rows, and over units' effects, where parameters have formulas.

    Effects on the parameters' predictors are jointly normal in every row. They are integrated out by Gauss-Hermite
    quadrature.
    """
    family, formulas = _family_of(moments), formulas_of(moments)
    dims = ("chain", "draw", "formula_row")
    links = {parameter.name: parameter for parameter in family.parameters}
    middle = {
        name: (draws["b"].sel({COEF: own.values}).rename({COEF: f"formula_{name}_coef"}) * moments[f"formula_{name}"])
        .sum(f"formula_{name}_coef")
        .transpose(*dims)
        .values
        for name in formulas
        for own in [moments[f"formula_{name}_coef"]]
    }
    root = lower_root(_effect_covariance(draws, moments, formulas))
    varying = [place for place in range(len(formulas)) if root[..., place, :].any()]
    x, w = np.polynomial.hermite_e.hermegauss(NODES if len(varying) < 3 else FEWER_NODES)
    plain = {name: own.transpose("chain", "draw", ...).values for name, own in given.items()}
    plain = {name: values.reshape(*values.shape[:2], -1) for name, values in plain.items()}
    total: np.ndarray | float = 0.0
    for chosen in product(range(len(x)), repeat=len(varying)):
        node = np.zeros(len(formulas))
        node[varying] = x[list(chosen)]
        at = {name: links[name].inverse(middle[name] + root[..., i, :] @ node) for i, name in enumerate(formulas)}
        # a residual SD per stratum beside formulas of other parameters: the mean over strata stands for it in rows
        at |= {name: values.mean(axis=-1, keepdims=True) for name, values in plain.items()}
        weight = float(np.prod(w[list(chosen)])) / (2 * np.pi) ** (len(varying) / 2)
        total = total + weight * np.asarray(family.latent_variance(at, float(moments["level"])))
    return (xr.DataArray(total, dims=dims) * moments["formula_share"]).sum("formula_row")


def _effect_covariance(draws: xr.Dataset, moments: xr.Dataset, formulas: Sequence[str]) -> np.ndarray:
    """Return the covariance of units' effects on the predictors of parameters in every row.

    Shape (chain, draw, row, parameter, parameter).
    """
    shape = (draws.sizes["chain"], draws.sizes["draw"], moments.sizes["formula_row"], len(formulas), len(formulas))
    total = np.zeros(shape)
    for factor in map(str, moments["formula_factor"].values):
        key = factor_key(factor)
        parts = [(i, f"formula_{p}_{key}") for i, p in enumerate(formulas) if f"formula_{p}_{key}" in moments]
        labels = [label for _, name in parts for label in moments[f"{name}_effect"].values]
        z = np.zeros((len(formulas), shape[2], len(labels)))
        start = 0
        for i, name in parts:
            size = moments.sizes[f"{name}_effect"]
            z[i, :, start : start + size] = moments[name].values
            start += size
        dim = effect_dim(factor)
        sd = draws[sd_name(factor)].sel({dim: labels}).transpose("chain", "draw", dim).values
        cor = np.eye(len(labels))
        if cor_name(factor) in draws:
            chosen = draws[cor_name(factor)].sel({dim: labels, second_dim(dim): labels})
            cor = chosen.transpose("chain", "draw", dim, second_dim(dim)).values
        covariance = sd[..., :, None] * sd[..., None, :] * cor
        total += np.einsum("pre,cdef,qrf->cdrpq", z, covariance, z)
    return total
