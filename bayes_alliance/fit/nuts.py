"""The nuts engine: any model, compiled once by numba and sampled by nutpie."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence

import nutpie
import pymc as pm
import xarray as xr
from nutpie.compile_pymc import CompiledPyMCModel

from bayes_alliance.collapse.chains import run_chains
from bayes_alliance.design.posterior_variables import PosteriorVariable
from bayes_alliance.fit.compiled_models import compile_once
from bayes_alliance.fit.engine_output import Sampled, whole_draws
from bayes_alliance.fit.progress import is_watched
from bayes_alliance.fit.settings import TARGET_ACCEPT, SamplerSettings
from bayes_alliance.fit.threads import one_blas_thread


def sample_nuts(
    model: pm.Model, variables: Sequence[PosteriorVariable], settings: SamplerSettings, seed: int
) -> Sampled:
    """Compile and sample a model.

    Fast-math is off, so that cold and warm compiler caches, one core or several give the same bits.

    Parameters
    ----------
    model : pm.Model
        With named dims.
    variables : sequence of PosteriorVariable
        Those that are kept, in this order; helpers of the sampler are not.
    settings : SamplerSettings
        Draws per chain, chains, cores.
    seed : int
        For the sampler alone.

    Raises
    ------
    FitError, KeyboardInterrupt
        As in ``run_chains``.
    """
    compiled, seconds = compile_once(model, settings)
    return sample_compiled(compiled, variables, settings, seed, {"compile": seconds})


def sample_compiled(
    compiled: CompiledPyMCModel,
    variables: Sequence[PosteriorVariable],
    settings: SamplerSettings,
    seed: int,
    before: Mapping[str, float],
) -> Sampled:
    """Sample what was compiled; ``before`` are seconds of earlier steps.

    Raises
    ------
    FitError, KeyboardInterrupt
        As in ``run_chains``.
    """
    start = time.perf_counter()
    with one_blas_thread():
        tree = run_chains(
            compiled,
            draws=settings.draws,
            tune=settings.tune,
            chains=settings.chains,
            cores=settings.cores or min(settings.chains, os.cpu_count() or 1),
            seed=seed,
            progress_bar=is_watched(settings.progress),
            target_accept=settings.target_accept or TARGET_ACCEPT,
            maxdepth=settings.max_treedepth,
        )
    seconds = {**before, "sample": time.perf_counter() - start}
    posterior = _tidy(tree["posterior"].to_dataset(), variables)
    return whole_draws(posterior, tree["sample_stats"].to_dataset(), seconds, settings)


def _tidy(draws: xr.Dataset, variables: Sequence[PosteriorVariable]) -> xr.Dataset:
    """Keep the variables of the model, in their order."""
    kept = [own.name for own in variables if own.name in draws]
    used = {dim for name in kept for dim in draws[name].dims}
    spare = [name for name in draws.coords if name not in used]
    tidy = draws[kept].drop_vars(spare, errors="ignore")
    words = {str(name): values.astype("str") for name, values in tidy.coords.items() if values.dtype == object}
    tidy = tidy.assign_coords(words)
    tidy.attrs = {"inference_library": "nutpie", "inference_library_version": nutpie.__version__}
    return tidy
