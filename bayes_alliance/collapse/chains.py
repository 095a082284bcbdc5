"""Chains of NUTS by nutpie, whole or not at all: a stop is raised and never answered with the draws so far."""

from __future__ import annotations

from typing import Any

import numpy as np
import nutpie
import xarray as xr
from nutpie.compile_pymc import CompiledPyMCModel

from bayes_alliance._messages import first_few
from bayes_alliance.errors import FitError


def run_chains(compiled: CompiledPyMCModel, *, draws: int, chains: int, **settings: Any) -> xr.DataTree:
    """Sample with NUTS until every chain is complete.

    ``nutpie.sample`` answers Ctrl-C with the draws it has. Here the sampler runs in the background, so that the
    interrupt reaches the caller and the chains end at once.

    Parameters
    ----------
    compiled : CompiledPyMCModel
        What is sampled.
    draws, chains : int
        Draws per chain after tuning, and chains.
    **settings
        Further ones of ``nutpie.sample``.

    Returns
    -------
    DataTree
        Groups ``posterior`` and ``sample_stats`` over (chain, draw, …), without tuning draws.

    Raises
    ------
    FitError
        If the sampler finds no point to start from, or hands back fewer chains or draws than asked for, or draws that
        are not finite.
    KeyboardInterrupt
        If the process is stopped meanwhile.
    """
    try:
        started: Any = nutpie.sample(
            compiled, draws=draws, chains=chains, save_warmup=False, blocking=False, **settings
        )
        tree = started if isinstance(started, xr.DataTree) else _wait(started)
    except RuntimeError as error:
        why = " ".join(str(error).split("Stack backtrace")[0].split()).rstrip(".")
        raise FitError(f"The sampler could not run: {why}. Check priors and outliers of the outcome.") from error
    problems = find_gaps(tree["posterior"].to_dataset(), chains=chains, draws=draws)
    if problems:
        raise FitError([f"The sampler stopped early or failed. {problem}" for problem in problems])
    return tree


def _wait(sampler: Any) -> xr.DataTree:
    try:
        tree: xr.DataTree = sampler.wait()
    except BaseException:
        sampler.cancel()  # chains run on threads that would go on
        raise
    return tree


def find_gaps(posterior: xr.Dataset, *, chains: int, draws: int) -> list[str]:
    """Report what keeps draws from being whole: missing chains or draws, and numbers that are not finite.

    Parameters
    ----------
    posterior : Dataset
        Every variable over (chain, draw, …).
    chains, draws : int
        What was asked for.

    Returns
    -------
    list of str
        One sentence per problem; empty where the draws are whole.
    """
    found = {dim: posterior.sizes.get(dim, 0) for dim in ("chain", "draw")}
    if found != {"chain": chains, "draw": draws}:
        return [
            f"It has {found['chain']} chains of {found['draw']:,} draws, not the {chains} chains of {draws:,} draws "
            f"that were asked for."
        ]
    without = [str(name) for name, values in posterior.data_vars.items() if values.dims[:2] != ("chain", "draw")]
    if without:
        return [f"{first_few(without)} are not over chains and draws."]
    odd = [str(name) for name, values in posterior.data_vars.items() if values.dtype.kind not in "fiub"]
    if odd:
        return [f"{first_few(odd)} are not numbers."]
    broken = [
        f"{name} ({count:,} of {values.size:,} numbers)"
        for name, values in posterior.data_vars.items()
        if values.dtype.kind == "f" and (count := values.size - int(np.isfinite(values.values).sum()))
    ]
    return [f"Draws are NaN or infinite: {first_few(broken)}."] if broken else []
