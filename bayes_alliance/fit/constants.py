"""Entries of a posterior that a model fixes: they never vary, and nothing that does may pass for one of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayes_alliance.design.design import Design
from bayes_alliance.names import RESIDUAL, cor_name, local_name, unit_means_name

type Constants = Mapping[str, np.ndarray]
"""Which entries of a variable are fixed, by its name: True there, of the variable's shape without chain and draw."""


def find_constants(design: Design, posterior: xr.Dataset) -> dict[str, np.ndarray]:
    """Return which entries of a posterior the design fixes.

    These are the diagonals of correlation matrices, correlations between blocks that do not correlate, stated
    correlations, the observed mean of a unit all of whose members were observed (``means="finite"``), and the share of
    a shrinkage prior's only coefficient. What is fixed follows from the design, never from the draws: a chain that does
    not move is not constant by construction.

    Parameters
    ----------
    design : Design
        Of the fit.
    posterior : Dataset over (chain, draw, …)
        Its draws, by either engine.

    Returns
    -------
    dict of str to ndarray of bool
        A variable without fixed entries is left out.
    """
    found = dict(_correlations(design)) | dict(_residual(design)) | dict(_means(design)) | dict(_shares(design))
    return {
        name: np.broadcast_to(fixed, posterior[name].shape[2:]).copy()
        for name, fixed in found.items()
        if name in posterior and fixed.any()
    }


def constants_record(constants: Constants) -> dict[str, list[int]]:
    """Return constants as plain data: places in each variable's flattened entries."""
    return {name: np.flatnonzero(fixed).tolist() for name, fixed in constants.items()}


def read_constants(record: Mapping[str, list[int]], draws: xr.Dataset) -> dict[str, np.ndarray]:
    """Return constants from plain data, for variables that draws have."""
    found = {}
    for name, places in record.items():
        if name in draws:
            fixed = np.zeros(draws[name].transpose("chain", "draw", ...).shape[2:], dtype=bool)
            fixed.reshape(-1)[places] = True
            found[name] = fixed
    return found


def _correlations(design: Design) -> list[tuple[str, np.ndarray]]:
    found = []
    for factor in design.factors:
        fixed = np.ones((len(factor.effects), len(factor.effects)), dtype=bool)
        correlated = [block.members for block in factor.blocks if len(block.members) > 1]
        for members, prior in zip(correlated, design.priors.cor.get(factor.factor, ()), strict=bool(correlated)):
            if prior.distribution.family != "equal":
                fixed[np.ix_(members, members)] = np.eye(len(members), dtype=bool)
        found.append((cor_name(factor.factor), fixed))
    return found


def _residual(design: Design) -> list[tuple[str, np.ndarray]]:
    if design.residual is None:
        return []
    size = len(design.residual.labels)
    fixed = np.eye(size, dtype=bool) if design.residual.fixed is None else np.ones((size, size), dtype=bool)
    return [(cor_name(RESIDUAL), fixed)]


def _means(design: Design) -> list[tuple[str, np.ndarray]]:
    return [
        (unit_means_name(measured.label, measured.factors[-1]), np.asarray(measured.count == measured.size))
        for measured in design.measured
    ]


def _shares(design: Design) -> list[tuple[str, np.ndarray]]:
    groups = [group for group in design.priors.shrunk if group.distribution.family == "r2d2"]
    return [(local_name(group.name), np.full(1, len(group.labels) == 1)) for group in groups]
