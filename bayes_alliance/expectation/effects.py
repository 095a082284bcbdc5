"""Draws with group effects among them, and what each unit says given all others."""

from __future__ import annotations

import numpy as np
import xarray as xr

from bayes_alliance._messages import unknown
from bayes_alliance.collapse.deletion import leave_units_out
from bayes_alliance.collapse.stack import stack_rows
from bayes_alliance.design.design import Design
from bayes_alliance.errors import FitError
from bayes_alliance.fit.exact import read_points
from bayes_alliance.fit.integrated import level_densities
from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.names import factor_key
from bayes_alliance.quadrature.choice import choose_engine


def integrated_log_likelihood(fit: Fit, *, by: str, draws: int | None = None) -> xr.DataArray:
    """Return log p(y of a unit | y of all others, parameters) with group effects integrated out.

    Parameters are variances where the collapsed engine can fit the model, coefficients being integrated out, too; all
    but effects where the quadrature engine can.

    What leaving one patient, therapist or group out needs: unlike the log-likelihood given effects, it does not
    condition on the effects of the very unit that is left out.

    Parameters
    ----------
    fit : Fit
        Of a model that the collapsed or the quadrature engine can fit, by any engine, with its design.
    by : str
        Grouping factor whose levels are left out one at a time.
    draws : int, optional
        Use so many draws per chain, evenly spread; None uses all.

    Returns
    -------
    DataArray
        ``log_likelihood[chain, draw, <by>]``.

    Raises
    ------
    FitError
        If the fit has no design, the model does not qualify, or the factor crosses another one with more levels.

    Notes
    -----
    The sum over units is not the log-likelihood of all rows: units share effects.
    """
    design = design_of(fit)
    engine, obstacle = choose_engine(design)
    if engine == "nuts":
        raise FitError(f"Effects cannot be integrated out. {obstacle}")
    names = [factor.factor for factor in design.factors]
    if by not in names:
        raise FitError(unknown("grouping factor", by, names))
    posterior = fit.data["posterior"].to_dataset()
    if draws is not None:
        chosen = np.linspace(0, posterior.sizes["draw"] - 1, min(draws, posterior.sizes["draw"])).astype(int)
        posterior = posterior.isel(draw=chosen)
    if engine == "quadrature":
        values = level_densities(design, posterior, by)
        return _as_array(design, posterior, by, values)
    stacked = stack_rows(design)
    place = names.index(by)
    if place not in stacked.shape.chain:
        finest = names[stacked.shape.chain[0]]
        raise FitError(f"{by!r} crosses {finest!r}: leaving one out cuts through units of the other.")
    return _as_array(design, posterior, by, leave_units_out(stacked, place, read_points(design, posterior)).without)


def _as_array(design: Design, posterior: xr.Dataset, by: str, values: np.ndarray) -> xr.DataArray:
    """Return values of shape (draw, level) over chains and draws."""
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], -1)
    levels = next(factor.levels for factor in design.factors if factor.factor == by)
    return xr.DataArray(
        values.reshape(shape),
        dims=("chain", "draw", factor_key(by)),
        coords={"chain": posterior["chain"], "draw": posterior["draw"], factor_key(by): list(levels)},
        name="log_likelihood",
    )


def with_effects(fit: Fit) -> xr.Dataset:
    """Return a fit's posterior with what every unit has its own of; raises as ``Fit.effects``."""
    return fit.data["posterior"].to_dataset().merge(fit.effects, join="exact")
