"""Draws with group effects among them, and what each unit says given all others."""

from __future__ import annotations

import numpy as np
import xarray as xr

from bayes_alliance._messages import unknown
from bayes_alliance.collapse.deletion import leave_units_out
from bayes_alliance.collapse.eligibility import find_design_obstacles, say_obstacles
from bayes_alliance.collapse.stack import stack_rows
from bayes_alliance.errors import FitError
from bayes_alliance.fit.exact import read_points
from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.names import factor_key


def integrated_log_likelihood(fit: Fit, *, by: str, draws: int | None = None) -> xr.DataArray:
    """Return log p(y of a unit | y of all others, variances) with population and group effects integrated out.

    What leaving one patient, therapist or group out needs: unlike the log-likelihood given effects, it does not
    condition on the effects of the very unit that is left out.

    Parameters
    ----------
    fit : Fit
        Of a model the collapsed engine can fit, by either engine, with its design.
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
    obstacles = find_design_obstacles(design)
    if obstacles:
        raise FitError(f"Effects cannot be integrated out. {say_obstacles(obstacles)}")
    names = [factor.factor for factor in design.factors]
    if by not in names:
        raise FitError(unknown("grouping factor", by, names))
    posterior = fit.data["posterior"].to_dataset()
    if draws is not None:
        chosen = np.linspace(0, posterior.sizes["draw"] - 1, min(draws, posterior.sizes["draw"])).astype(int)
        posterior = posterior.isel(draw=chosen)
    stacked = stack_rows(design)
    place = names.index(by)
    if place not in stacked.shape.chain:
        finest = names[stacked.shape.chain[0]]
        raise FitError(f"{by!r} crosses {finest!r}: leaving one out cuts through units of the other.")
    values = leave_units_out(stacked, place, read_points(design, posterior)).without
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
