"""``fit_model``: table, spec and settings in, Fit out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pymc as pm
import xarray as xr

from bayes_alliance._messages import unknown
from bayes_alliance.build.model import build_model, check_log_density
from bayes_alliance.design.design import Design, PriorStatements, make_design
from bayes_alliance.design.moments import variance_moments
from bayes_alliance.errors import FitError
from bayes_alliance.fit.checks import check_sampling
from bayes_alliance.fit.estimands import work_out
from bayes_alliance.fit.nuts import sample_nuts, spread_seed
from bayes_alliance.fit.provenance import record_provenance
from bayes_alliance.fit.result import Fit
from bayes_alliance.fit.settings import ENGINES, Engine, SamplerSettings
from bayes_alliance.names import COEF, obs_dim
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.table.sessions import SessionTable


def fit_model(
    spec: ModelSpec,
    sessions: SessionTable,
    *,
    columns: Mapping[str, str] | None = None,
    reference: Mapping[str, str] | None = None,
    priors: PriorStatements = (),
    seed: int,
    engine: Engine = "auto",
    settings: SamplerSettings | None = None,
) -> Fit:
    """Fit a model to a table of sessions.

    Parameters
    ----------
    spec : ModelSpec
        From ``load_model`` or ``parse_model``.
    sessions : SessionTable
        From ``read_sessions``.
    columns : mapping of str to str
        Model variable to column of the table, such as ``{"outcome": "phq9", "condition": "arm"}``.
    reference : mapping of str to str
        Factor to the level the others are compared with.
    priors : mapping of str to str, or sequence of PriorSpec
        Priors in place of the defaults, such as ``{"sd therapist": "half_normal(1)"}``.
    seed : int
        The same seed on the same machine and packages gives the same draws, with cold or warm caches.
    engine : {"auto", "nuts"}
        ``"auto"`` takes the exact engine where there is one for the model, and nuts otherwise; for now it is nuts.
    settings : SamplerSettings, optional
        Draws, chains, cores.

    Returns
    -------
    Fit
        Its checks have been run; ``fit.verdict`` says how they came out.

    Raises
    ------
    DesignError
        With everything that does not fit together, before anything is compiled.
    FitError
        If the settings, the engine's name or the starting point cannot be used.
    """
    if engine not in ENGINES:
        raise FitError(unknown("engine", str(engine), ENGINES))
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise FitError(f"seed must be a whole number of 0 or more; it is {seed!r}.")
    settings = settings or SamplerSettings()
    design = make_design(spec, sessions, columns=columns, reference=reference, priors=priors)
    return fit_design(design, seed=seed, settings=settings)


def fit_design(design: Design, *, seed: int, settings: SamplerSettings) -> Fit:
    """Fit a design with the nuts engine; what ``fit_model`` does after the design is made."""
    model = build_model(design.spec, design)
    check_log_density(model)
    (sampler_seed,) = spread_seed(seed, 1)
    sampled = sample_nuts(model, settings, sampler_seed)
    posterior = _with_plain_coords(sampled.posterior, design)
    estimands = work_out(design.estimands, posterior)
    groups = {
        "posterior": posterior,
        "sample_stats": sampled.sample_stats,
        "observed_data": _observed(design),
        "constant_data": _constant(model),
    }
    for number, equation in enumerate(design.equations):
        moments = variance_moments(design, equation).assign_attrs(equation=number)
        groups[f"variance/{equation.outcome}"] = moments
    if estimands is not None:
        groups["estimands"] = estimands
    judged = posterior if estimands is None else posterior.assign(estimand=estimands["value"])
    return Fit(
        spec=design.spec,
        data=xr.DataTree.from_dict(groups),
        provenance=record_provenance(design, settings, "nuts", seed, sampled.seconds),
        checks=check_sampling(judged, sampled.sample_stats),
        design=design,
    )


def _with_plain_coords(posterior: xr.Dataset, design: Design) -> xr.Dataset:
    """Say beside each coefficient which equation and which effect it is."""
    if COEF not in posterior.dims:
        return posterior
    outcomes = [equation.outcome for equation in design.equations for _ in equation.coef.labels]
    effects = [label for equation in design.equations for label in equation.coef.labels]
    return posterior.assign_coords(equation=(COEF, outcomes), effect=(COEF, effects))


def _observed(design: Design) -> xr.Dataset:
    outcomes = {e.outcome: (obs_dim(e.outcome), e.y) for e in design.equations}
    return xr.Dataset(outcomes, coords={obs_dim(e.outcome): e.row for e in design.equations})


def _constant(model: pm.Model) -> xr.Dataset:
    """Return the data containers the likelihood reads, as the model holds them, so that PyMC finds them unchanged."""
    containers = {variable.name: variable for variable in model.data_vars}
    dims = {name: model.named_vars_to_dims.get(name, ()) for name in containers}
    used = {dim for names in dims.values() for dim in names}
    coords = {str(dim): np.asarray(values) for dim, values in model.coords.items() if dim in used}
    return xr.Dataset({name: (dims[name], value.get_value()) for name, value in containers.items()}, coords=coords)
