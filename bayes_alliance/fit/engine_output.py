"""What an engine hands over: whole draws, the sampler's statistics, seconds."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr

from bayes_alliance.collapse.chains import find_gaps
from bayes_alliance.errors import FitError
from bayes_alliance.fit.settings import SamplerSettings

KEPT_STATISTICS = {
    "diverging": "diverging",
    "maxdepth_reached": "reached_max_treedepth",
    "depth": "tree_depth",
    "n_steps": "n_steps",
    "energy": "energy",
    "logp": "lp",
    "lp": "lp",
    "acceptance_rate": "acceptance_rate",
    "mean_tree_accept": "acceptance_rate",
    "step_size": "step_size",
}
"""Names of the statistics that are kept, and ArviZ's."""


@dataclass(frozen=True, eq=False)
class Sampled:
    """Draws of the posterior over (chain, draw, …), the sampler's statistics, and seconds per step."""

    posterior: xr.Dataset
    sample_stats: xr.Dataset
    seconds: dict[str, float]


def whole_draws(
    posterior: xr.Dataset, statistics: xr.Dataset, seconds: dict[str, float], settings: SamplerSettings
) -> Sampled:
    """Return what an engine drew, once it is known to be what was asked for.

    Raises
    ------
    FitError
        If chains or draws are missing, or draws are NaN or infinite.
    """
    problems = find_gaps(posterior, chains=settings.chains, draws=settings.draws)
    if problems:
        advice = "Check priors and outliers of the outcome."
        raise FitError([f"Sampling gave no whole posterior. {problem} {advice}" for problem in problems])
    return Sampled(posterior, keep_statistics(statistics), seconds)


def keep_statistics(statistics: xr.Dataset) -> xr.Dataset:
    """Return the statistics that are kept, under ArviZ's names."""
    kept = {new: statistics[name] for name, new in KEPT_STATISTICS.items() if name in statistics}
    plain = {name: value for name, value in statistics.attrs.items() if name in ("pareto_k", "efficiency", "proposals")}
    return xr.Dataset(kept, attrs=plain)
