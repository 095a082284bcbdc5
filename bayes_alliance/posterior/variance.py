"""Shares of variance and intraclass correlations, as draws."""

from __future__ import annotations

import numpy as np
import xarray as xr

from bayes_alliance.design.moments import variance_moments
from bayes_alliance.errors import FitError
from bayes_alliance.fit.result import Fit
from bayes_alliance.names import (
    COEF,
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
from bayes_alliance.outcome.families import FAMILY


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
    outcomes the scale is the latent logit.

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
    names = dict.fromkeys(str(name) for own in labelled for name in own.data_vars)
    nothing = [own["share_residual"] * 0.0 for own in labelled]
    joined = {
        name: xr.concat([own.get(name, zero) for own, zero in zip(labelled, nothing, strict=True)], dim="stratum")
        for name in sorted(names, key=lambda name: ("share", "icc").index(name.split("_")[0]))
    }
    residual = joined.pop("share_residual")
    scales = dict.fromkeys(str(own.attrs["scale"]) for own in labelled)
    return xr.Dataset({**joined, "share_residual": residual}, attrs={"scale": "; ".join(scales)})


def shares_of(draws: xr.Dataset, moments: xr.Dataset) -> xr.Dataset:
    """Return the shares and ICCs of one outcome from draws of SDs, correlations and residual SDs."""
    factors = [str(factor) for factor in moments["factor"].values]
    variance = {factor: _factor_variance(draws, moments, factor) for factor in factors}
    residual = _residual_variance(draws, moments)
    total = sum(variance.values(), start=residual)
    shares = {}
    for factor in factors:
        shares[f"share_{factor_key(factor)}"] = variance[factor] / total
    for factor in factors:
        above = moments[f"above_{factor_key(factor)}"].values
        nesting = [variance[other] for other, is_above in zip(factors, above, strict=True) if is_above]
        shares[f"icc_{factor_key(factor)}"] = sum(nesting, start=variance[factor]) / total
    # not residual / total: a t with two degrees of freedom or fewer has no variance, and takes all of it
    shares["share_residual"] = 1.0 - sum(
        (variance[factor] / total for factor in factors), start=xr.zeros_like(residual)
    )
    return xr.Dataset(shares, attrs={"scale": moments.attrs["scale"]})


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
    family, outcome = FAMILY[moments.attrs["family"]], moments.attrs["outcome"]
    given: dict[str, xr.DataArray] = {
        shape: draws[shape].sel({shape_dim(shape): outcome}, drop=True) for shape in family.shapes
    }
    if family.spread:
        square = _mean_square(draws, moments)
        given["sigma"] = square.copy(data=np.sqrt(square.values))
    names = list(given)
    parts = xr.broadcast(*given.values(), moments["stratum"])[:-1] if given else ()
    values = {name: part.values for name, part in zip(names, parts, strict=True)}
    variance = family.latent_variance(values, float(moments["level"]))
    return parts[0].copy(data=variance) if parts else xr.full_like(moments["stratum"], variance, dtype=float)


def _mean_square(draws: xr.Dataset, moments: xr.Dataset) -> xr.DataArray:
    """Return the mean of squared residual SDs over the rows of every stratum."""
    if "spread_rows" in moments:
        return _spread_variance(draws, moments)
    own = moments["sigma_share"][SIGMA_COEF].values
    return (draws["sigma"].sel({SIGMA_COEF: own}) ** 2 * moments["sigma_share"]).sum(SIGMA_COEF)


def _spread_variance(draws: xr.Dataset, moments: xr.Dataset) -> xr.DataArray:
    """Return the mean of squared residual SDs whose log follows predictors and units, over (chain, draw, stratum).

    A unit's effect on the log SD is normal, so its square has the mean of a lognormal variable: exp of twice the
    variance.
    """
    b = draws["b"].sel({COEF: moments["spread_coef"].values}).rename({COEF: "spread_coef"})
    log_square = 2 * (b * moments["spread_rows"]).sum("spread_coef").transpose("chain", "draw", "spread_row")
    for factor in (str(name).removeprefix("spread_z_") for name in moments.data_vars if str(name)[:9] == "spread_z_"):
        dim, own = f"{factor}_effect", moments[f"spread_effect_{factor}"].values
        sd = draws[f"sd_{factor}"].sel({dim: own}).transpose("chain", "draw", dim).values
        cor = np.eye(len(own))
        if f"cor_{factor}" in draws:
            chosen = draws[f"cor_{factor}"].sel({dim: own, second_dim(dim): own})
            cor = chosen.transpose("chain", "draw", dim, second_dim(dim)).values
        covariance = sd[..., :, None] * sd[..., None, :] * cor
        z = moments[f"spread_z_{factor}"].values
        log_square = log_square + 2 * xr.DataArray(
            np.einsum("re,cdef,rf->cdr", z, covariance, z), dims=("chain", "draw", "spread_row")
        )
    square: xr.DataArray = log_square.copy(data=np.exp(log_square.values))
    return (square * moments["spread_share"]).sum("spread_row")
