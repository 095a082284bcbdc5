"""A design fitted by the engine that can: collapsed, quadrature, or NUTS where neither can or their checks fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, assert_never

import numpy as np
import xarray as xr

from bayes_alliance.collapse.eligibility import find_design_obstacles, say_obstacles
from bayes_alliance.collapse.loadings import is_split
from bayes_alliance.design.design import Design
from bayes_alliance.design.posterior_variables import list_variables
from bayes_alliance.errors import FitError
from bayes_alliance.findings import Problem
from bayes_alliance.fit.assembly import assemble_fit, judged_constants, judged_draws, rows_of
from bayes_alliance.fit.checks import diagnose_draws, flatten
from bayes_alliance.fit.exact import constant_data, sample_exact
from bayes_alliance.fit.integrated import sample_quadrature
from bayes_alliance.fit.result import Fit, constants_of, variables_of
from bayes_alliance.fit.seeds import spread_seed
from bayes_alliance.fit.settings import TARGET_ACCEPT, Engine, SamplerSettings
from bayes_alliance.names import BLOCK
from bayes_alliance.quadrature.choice import choose_engine
from bayes_alliance.quadrature.eligibility import find_quadrature_design_obstacles, say_quadrature_obstacles

if TYPE_CHECKING:
    import pymc as pm

INDEPENDENT_FAILED = "Independent proposals of the variances mixed badly; they were sampled by NUTS."

WORTH = 0.1
"""Effective draws per draw below which chains of an engine that integrates are not believed."""

QUADRATURE_FAILED = "Fitted by NUTS, because the quadrature engine fell short:"

EXACT_FAILED = "Fitted by NUTS, because the collapsed engine's chains of the variances failed their checks:"


def fit_design(design: Design, *, seed: int, settings: SamplerSettings, engine: Engine = "auto") -> Fit:
    """Fit a design; what ``fit_model`` does after the design is made."""
    if engine == "collapsed":
        _refuse(find_design_obstacles(design), say_obstacles)
    if engine == "quadrature":
        _refuse(find_quadrature_design_obstacles(design), say_quadrature_obstacles)
    chosen, why = choose_engine(design) if engine == "auto" else (engine, "")
    (sampler_seed,) = spread_seed(seed, 1)
    match chosen:
        case "collapsed":
            return _fit_collapsed(design, settings, seed, sampler_seed, stated=engine == chosen)
        case "quadrature":
            return _fit_by_quadrature(design, settings, seed, sampler_seed, stated=engine == chosen)
        case "nuts":
            notes = [f"Fitted by NUTS. {why}"] if why else []
            return _fit_by_nuts(design, settings, seed, sampler_seed, notes)
        case _:
            assert_never(chosen)


def _refuse(obstacles: list[str], say: Callable[[list[str]], str]) -> None:
    if obstacles:
        raise FitError(say(obstacles))


def _fit_collapsed(design: Design, settings: SamplerSettings, seed: int, sampler_seed: int, *, stated: bool) -> Fit:
    """Fit by the collapsed engine, and by NUTS where its checks fail, unless it was asked for."""
    fit = _fit_exactly(design, settings, seed, sampler_seed, [])
    if _mixed_badly(fit) and fit.data["posterior"].attrs["sampler"] == "independent":
        fit = _fit_exactly(design, settings, seed, sampler_seed, [INDEPENDENT_FAILED], independent=False)
    if stated or not _mixed_badly(fit):
        return fit
    return _fit_by_nuts(design, settings, seed, sampler_seed, [f"{EXACT_FAILED} {_failed(fit)}"])


def _fit_by_quadrature(design: Design, settings: SamplerSettings, seed: int, sampler_seed: int, *, stated: bool) -> Fit:
    """Fit with effects integrated out by quadrature, and by NUTS where that fails, unless it was asked for."""
    settings = settings.for_design(design)
    sampled = sample_quadrature(design, settings, sampler_seed)
    if isinstance(sampled, str):
        if stated:
            raise FitError(
                Problem(f"The quadrature engine did not fit this model. {sampled}", fix="Ask for engine auto or nuts.")
            )
        return _fit_by_nuts(design, settings, seed, sampler_seed, [f"{QUADRATURE_FAILED} {sampled}"])
    fit = assemble_fit(design, sampled, rows_of(design, constant_data(design)), "quadrature", settings, seed, [])
    if stated or not _mixed_badly(fit):
        return fit
    return _fit_by_nuts(design, settings, seed, sampler_seed, [f"{QUADRATURE_FAILED} {_failed(fit)}"])


def _failed(fit: Fit) -> str:
    return " ".join(check.sentence for check in fit.checks if not check.passed)


def _mixed_badly(fit: Fit) -> bool:
    """Return whether a fit failed checks for another reason than that few draws were asked for."""
    failed = {check.name for check in fit.checks if not check.passed}
    if not failed:
        return False
    draws, constants = (
        judged_draws(fit.data, str(fit.provenance["engine"]), variables_of(fit)),
        judged_constants(fit.data, constants_of(fit)),
    )
    found, least = diagnose_draws(draws), WORTH * draws.sizes["chain"] * draws.sizes["draw"]
    both = (flatten(found[name], constants).values() for name in ("ess_bulk", "ess_tail"))
    enough = all(value >= least for values in both for value in values)
    return bool(failed - {"r_hat", "ess_bulk", "ess_tail"}) or not enough


def _fit_exactly(
    design: Design,
    settings: SamplerSettings,
    seed: int,
    sampler_seed: int,
    notes: list[str],
    *,
    independent: bool = True,
) -> Fit:
    """Fit with the collapsed engine; effects of units are drawn when a fit is asked for them."""
    settings, notes = settings.for_design(design), list(notes)
    sampled = sample_exact(design, settings, sampler_seed, independent=independent)
    if sampled.posterior.attrs["sampler"] == "nuts" and independent:
        notes.append(f"NUTS sampled the variances, effects integrated out. {sampled.posterior.attrs['why']}")
    constant = nuts_constant_data(design) if is_split(design) else constant_data(design)
    return assemble_fit(design, sampled, rows_of(design, constant), "collapsed", settings, seed, notes)


def _fit_by_nuts(design: Design, settings: SamplerSettings, seed: int, sampler_seed: int, notes: list[str]) -> Fit:
    # PyMC takes seconds to import, and the collapsed engine does without
    from bayes_alliance.build.model import build_model, check_log_density
    from bayes_alliance.fit.nuts import sample_nuts

    model = build_model(design.spec, design)
    check_log_density(model)
    asked, settings = settings, settings.for_design(design)
    if asked.target_accept is None and settings.target_accept != TARGET_ACCEPT:
        notes = [*notes, f"target_accept is {settings.target_accept}: a horseshoe wants small steps."]
    sampled = sample_nuts(model, list_variables(design), settings, sampler_seed)
    return assemble_fit(design, sampled, rows_of(design, _constant(model)), "nuts", settings, seed, notes)


def nuts_constant_data(design: Design) -> xr.Dataset:
    """Return the arrays that the nuts engine's likelihood reads, without sampling."""
    from bayes_alliance.build.model import build_model

    return _constant(build_model(design.spec, design))


def _constant(model: pm.Model) -> xr.Dataset:
    """Return the data containers the likelihood reads, as the model holds them, so that PyMC finds them unchanged."""
    containers = {variable.name: variable for variable in model.data_vars if BLOCK not in variable.name}
    dims = {name: model.named_vars_to_dims.get(name, ()) for name in containers}
    used = {dim for names in dims.values() for dim in names}
    coords = {str(dim): np.asarray(values) for dim, values in model.coords.items() if dim in used}
    return xr.Dataset({name: (dims[name], value.get_value()) for name, value in containers.items()}, coords=coords)
