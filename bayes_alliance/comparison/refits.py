"""Fits without some units, and what they predict for these."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_alliance.collapse.density import Density
from bayes_alliance.collapse.engine import sum_design
from bayes_alliance.collapse.shape import find_places
from bayes_alliance.collapse.tables import pack_statistics
from bayes_alliance.comparison.integration import scored_density
from bayes_alliance.comparison.units import Units
from bayes_alliance.design.design import Design
from bayes_alliance.design.subset import keep_rows
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.expectation.linear import effect_roots, stack_draws
from bayes_alliance.fit.engines import fit_design
from bayes_alliance.fit.exact import read_points
from bayes_alliance.fit.many_fits import FitJob, ManyFits, fit_many
from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.fit.settings import Progress, SamplerSettings
from bayes_alliance.fit.threads import one_blas_thread
from bayes_alliance.fit.workers import Here
from bayes_alliance.names import effect_dim, effects_name, factor_key


def leave_out(design: Design, units: Units, numbers: Sequence[int]) -> Design:
    """Return the design without the rows of some units; numbers of priors and centring constants stay."""
    return keep_rows(design, {o: ~np.isin(code, list(numbers)) for o, code in units.codes.items()})


def refit_job(fit: Fit, name: str, design: Design) -> FitJob:
    """Return a job that fits a design as another fit was fitted."""
    stored = fit.provenance["settings"]
    assert isinstance(stored, dict)
    settings = replace(SamplerSettings(**stored), progress="off")  # type: ignore[arg-type]
    return FitJob(name, design, "nuts" if fit.provenance["engine"] == "nuts" else "auto", settings)


def refit_without(fit: Fit, left: Design, seed: int) -> Fit:
    """Fit what is left, as the fit was fitted."""
    job = refit_job(fit, "", left)
    return fit_design(left, seed=seed, settings=job.settings, engine=job.engine)


@contextmanager
def kept_fits(
    jobs: Sequence[FitJob],
    *,
    folder: str | Path | None,
    seed: int,
    executor: Executor | Any | None,
    progress: Progress,
) -> Iterator[ManyFits]:
    """Fit jobs on disk, one after the other in this process unless an executor is stated.

    Without a folder the fits stay for as long as the context.
    """
    kept = tempfile.TemporaryDirectory() if folder is None else nullcontext(str(folder))
    with kept as place:
        yield fit_many(jobs, folder=place, seed=seed, executor=executor or Here(), progress=progress)


def fit_jobs(
    jobs: Sequence[FitJob], seed: int, folder: str | Path | None, executor: Executor | Any | None, progress: Progress
) -> list[Fit]:
    """Fit jobs as ``kept_fits`` does and return the fits with their designs.

    Raises
    ------
    FitError
        If a job could not be fitted, with every reason.
    """
    with kept_fits(jobs, folder=folder, seed=seed, executor=executor, progress=progress) as found:
        if found.failed:
            raise FitError([f"{answer.name}: {answer.error}" for answer in found.failed])
        return [replace(found[job.name], design=job.design) for job in jobs]


def score_unseen(
    own: Fit,
    design: Design,
    units: Units,
    numbers: Sequence[int],
    wanted: tuple[str, ...],
    *,
    given_others: bool = False,
) -> np.ndarray:
    """Return log-densities of units by a fit that has not seen them, shape (draw, unit).

    Effects that the fit has no level for are those of units left out with all their rows: they are integrated out, or
    drawn from their distribution where they belong to a wider unit that is left without rows.
    """
    flat = unseen_draws(own, design)
    return scored_density(design, units, flat, wanted, given_others=given_others, chosen=numbers)[1]


def score_exactly(
    own: Fit, design: Design, units: Units, one: int, wanted: Sequence[str], *, given_others: bool = False
) -> np.ndarray:
    """Return a unit's log-density by a fit without it, coefficients and all effects integrated out, shape (draw,).

    For models that the collapsed engine fits: the log-likelihood of all rows less that of those that are known.
    """
    points = read_points(design_of(own), own.data["posterior"].to_dataset())

    def log_density(left: Sequence[str]) -> np.ndarray:
        kept = {o: (code != one) | (o not in left) for o, code in units.codes.items()}
        statistics = sum_design(keep_rows(design, kept))
        density = Density(pack_statistics(statistics), statistics.shape)
        # of the priors, which are the same, only the difference remains
        if find_places(statistics.shape).size != points.shape[1]:
            raise FitError(f"Without {units.name} {units.labels[one]!r} the model has fewer parameters; refit=False.")
        with one_blas_thread():
            return np.asarray(density.values(points, np.zeros(density.sds, dtype=bool), os.cpu_count() or 1))

    rest = [outcome for outcome in units.codes if outcome not in wanted]
    if given_others:
        return np.asarray(log_density([]) - log_density(wanted))
    return np.asarray(log_density(rest) - log_density([*rest, *wanted]))


def unseen_draws(own: Fit, design: Design) -> xr.Dataset:
    """Return a fit's draws with effects for every level of a design."""
    return with_levels(stack_draws(with_effects(own)), design)


def with_levels(flat: xr.Dataset, design: Design) -> xr.Dataset:
    """Return draws with effects for every level of a design; those of levels a fit has not seen are drawn as new."""
    found = {}
    for number, factor in enumerate(design.factors):
        name, key, dim = effects_name(factor.factor), factor_key(factor.factor), effect_dim(factor.factor)
        seen = flat[name].transpose("sample", key, dim)
        known = {str(level): i for i, level in enumerate(seen[key].values)}
        values = np.empty((flat.sizes["sample"], len(factor.levels), len(factor.effects)))
        new = [i for i, level in enumerate(factor.levels) if level not in known]
        old = [i for i in range(len(factor.levels)) if i not in set(new)]
        values[:, old] = seen.values[:, [known[factor.levels[i]] for i in old]]
        if new:
            z = np.random.default_rng(number).normal(size=(len(values), len(new), len(factor.effects)))
            values[:, new] = (effect_roots(design, factor.factor, flat)[:, new] @ z[..., None])[..., 0]
        coords = {key: list(factor.levels), dim: list(factor.effects)}
        found[name] = xr.DataArray(values, dims=("sample", key, dim), coords=coords)
    lost = [dim for factor in design.factors for dim in (factor_key(factor.factor),) if dim in flat.dims]
    return flat.drop_dims(lost).merge(xr.Dataset(found), compat="override", join="override")
