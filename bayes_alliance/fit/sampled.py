"""What an engine hands over: draws, the sampler's statistics, seconds."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr

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


def keep_statistics(statistics: xr.Dataset) -> xr.Dataset:
    """Return the statistics that are kept, under ArviZ's names."""
    kept = {new: statistics[name] for name, new in KEPT_STATISTICS.items() if name in statistics}
    plain = {name: value for name, value in statistics.attrs.items() if name in ("pareto_k", "efficiency", "thin")}
    return xr.Dataset(kept, attrs=plain)
