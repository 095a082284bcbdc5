"""Shares of variance and intraclass correlations, as draws."""

from __future__ import annotations

import numpy as np
import xarray as xr

from bayes_alliance.design.moments import variance_moments
from bayes_alliance.errors import FitError
from bayes_alliance.fit.result import Fit
from bayes_alliance.names import cor_name, effect_dim, factor_key, sd_name, second_dim

LATENT_LOGISTIC = np.pi**2 / 3
"""Residual variance of a logit model on the latent scale (Snijders and Bosker 2012)."""


def fitted_factors(fit: Fit) -> list[str]:
    """Return the grouping factors of a fit's model, in the order of its formula."""
    variance = fit.data["variance"].to_dataset()
    return [str(factor) for factor in variance["factor"].values] if "factor" in variance.coords else []


def variance_shares(fit: Fit, *, session: float | None = None) -> xr.Dataset:
    """Return shares of the outcome's variance and ICCs per grouping factor, every draw kept.

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
        Shares of all factors and of the residual add up to 1 in every draw.

    Raises
    ------
    FitError
        If another session is asked for and the fit has no rows.
    """
    moments = fit.data["variance"].to_dataset()
    if session is not None:
        if fit.design is None:
            raise FitError("Variance shares at another session need the rows; use fit.with_rows(sessions).")
        moments = variance_moments(fit.design.equation, session)
    draws = fit.data["posterior"].to_dataset()
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
    shares["share_residual"] = residual / total
    return xr.Dataset(shares, attrs={"scale": moments.attrs["scale"]})


def _factor_variance(draws: xr.Dataset, moments: xr.Dataset, factor: str) -> xr.DataArray:
    """Return sum over effects of mean(z z') times their covariance, over (chain, draw, stratum)."""
    dim = effect_dim(factor)
    second = second_dim(dim)
    sd = draws[sd_name(factor)]
    product = sd * sd.rename({dim: second})
    name = cor_name(factor)
    identity = xr.DataArray(np.eye(sd.sizes[dim]), dims=(dim, second))
    covariance = product * (draws.get(name, identity))
    return (covariance * moments[f"zz_{factor_key(factor)}"]).sum((dim, second))


def _residual_variance(draws: xr.Dataset, moments: xr.Dataset) -> xr.DataArray:
    if "sigma_share" not in moments:
        return xr.full_like(moments["stratum"], LATENT_LOGISTIC, dtype=float)
    return (draws["sigma"] ** 2 * moments["sigma_share"]).sum("sigma_coef")
