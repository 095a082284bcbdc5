"""Draws, rows and provenance put together: the last step of every fit, whichever engine drew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import xarray as xr

from bayes_alliance.design.design import Design
from bayes_alliance.design.moments import variance_moments
from bayes_alliance.design.posterior_variables import UNITS, PosteriorVariable, list_variables
from bayes_alliance.fit.checks import check_sampling
from bayes_alliance.fit.constants import Constants, constants_record, find_constants
from bayes_alliance.fit.engine_output import Sampled
from bayes_alliance.fit.estimands import as_variable, work_out
from bayes_alliance.fit.provenance import record_provenance
from bayes_alliance.fit.result import Fit
from bayes_alliance.fit.settings import SamplerSettings
from bayes_alliance.names import COEF, factor_key, obs_dim


@dataclass(frozen=True, eq=False)
class RowGroups:
    """What a fit keeps of its rows: data as observed, what the likelihood reads, moments for variance shares.

    ``moments`` has one dataset per outcome; ``complete`` is false where the design does not hold the rows.
    """

    observed: xr.Dataset
    constant: xr.Dataset
    moments: Mapping[str, xr.Dataset]
    complete: bool = True


def rows_of(design: Design, constant: xr.Dataset) -> RowGroups:
    """Return what a fit keeps of the rows of a design."""
    moments = {equation.outcome: variance_moments(design, equation) for equation in design.equations}
    return RowGroups(observed_data(design), constant, moments)


def assemble_fit(
    design: Design,
    sampled: Sampled,
    rows: RowGroups,
    engine: str,
    settings: SamplerSettings,
    seed: int,
    notes: Sequence[str],
) -> Fit:
    """Put draws, rows and provenance together, work estimands out, and check the sampling."""
    variables = list_variables(design)
    whole = _with_plain_coords(sampled.posterior, design)
    posterior, effects = split_effects(whole, design, variables)
    constants = find_constants(design, whole)
    estimands = work_out(design.estimands, posterior, constants)
    groups = {
        "posterior": posterior,
        "sample_stats": sampled.sample_stats,
        "observed_data": rows.observed,
        "constant_data": rows.constant,
    }
    if effects.data_vars:
        groups["effects"] = effects
    for number, (outcome, moments) in enumerate(rows.moments.items()):
        groups[f"variance/{outcome}"] = moments.assign_attrs(equation=number)
    if estimands is not None:
        groups["estimands"] = estimands
    data = xr.DataTree.from_dict(groups)
    provenance = record_provenance(design, settings, engine, seed, sampled.seconds)
    provenance["messages"] = [*design.messages, *notes]
    provenance["variables"] = [asdict(own) for own in variables]
    provenance["constants"] = {name: list(places) for name, places in constants_record(constants).items()}
    return Fit(
        spec=design.spec,
        data=data,
        provenance=provenance,
        checks=check_sampling(
            judged_draws(data, engine, variables), sampled.sample_stats, constants=judged_constants(data, constants)
        ),
        design=design if rows.complete else None,
    )


def split_effects(
    draws: xr.Dataset, design: Design, variables: Sequence[PosteriorVariable]
) -> tuple[xr.Dataset, xr.Dataset]:
    """Return the posterior, and what of it every unit has its own of.

    The posterior keeps the levels of grouping factors among its coords.
    """
    own = [variable.name for variable in variables if variable.kind in UNITS and variable.name in draws]
    effects, posterior = draws[own], draws.drop_vars(own)
    used = {"chain", "draw", *(factor_key(factor.factor) for factor in design.factors)}
    used |= {str(dim) for values in posterior.data_vars.values() for dim in values.dims}
    return posterior.drop_dims([dim for dim in posterior.dims if dim not in used]), effects


def judged_draws(data: xr.DataTree, engine: str, variables: Sequence[PosteriorVariable]) -> xr.Dataset:
    """Return what a fit's checks look at: all draws and estimands, but not coefficients that were drawn exactly."""
    posterior = data["posterior"].to_dataset()
    if engine == "collapsed":
        exact = [own.name for own in variables if own.kind == "coefficient at the mean"]
        posterior = posterior.drop_vars(exact, errors="ignore")
    elif "effects" in data:
        posterior = posterior.merge(data["effects"].to_dataset(), join="exact")
    if "estimands" not in data:
        return posterior
    return posterior.assign(estimand=as_variable(data["estimands"].to_dataset()["value"]))


def judged_constants(data: xr.DataTree, constants: Constants) -> Constants:
    """Return which of the entries that a fit's checks look at the model fixes."""
    if "estimands" not in data:
        return constants
    return {**constants, "estimand": data["estimands"].to_dataset()["constant"].values.astype(bool)}


def _with_plain_coords(posterior: xr.Dataset, design: Design) -> xr.Dataset:
    """Say beside each coefficient which equation and which effect it is."""
    if COEF not in posterior.dims:
        return posterior
    outcomes = [own.name for own in design.linear_predictors for _ in own.coef.labels]
    effects = [label for own in design.linear_predictors for label in own.coef.labels]
    return posterior.assign_coords(equation=(COEF, outcomes), effect=(COEF, effects))


def observed_data(design: Design) -> xr.Dataset:
    """Return every outcome as observed, over the rows of its equation."""
    outcomes = {e.outcome: (obs_dim(e.outcome), e.y) for e in design.equations}
    return xr.Dataset(outcomes, coords={obs_dim(e.outcome): e.row for e in design.equations})
