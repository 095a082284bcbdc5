"""The entries of a posterior: which there are, what each is called, and which of them readers see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayes_alliance.design.posterior_variables import PosteriorVariable
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.fit.checks import entry_name
from bayes_alliance.fit.constants import Constants
from bayes_alliance.fit.result import Fit, constants_of, variables_of

SAMPLE_DIMS = ("chain", "draw")


@dataclass(frozen=True)
class Entry:
    """One number of every draw: its variable, its place there (without chain and draw), and its name in tables."""

    variable: PosteriorVariable
    index: tuple[int, ...]
    labels: tuple[str, ...]
    name: str

    def draws(self, posterior: xr.Dataset) -> np.ndarray:
        """Return its draws, shape (chain, draw)."""
        array = posterior[self.variable.name].transpose(*SAMPLE_DIMS, ...)
        place: tuple[slice | int, ...] = (slice(None), slice(None), *self.index)
        return np.asarray(array.values[place])


def public_entries(fit: Fit, *, group_effects: bool = False) -> list[Entry]:
    """Return the entries of a fit's posterior that tables list.

    These are coefficients, SDs, correlations, residual SDs, thresholds and parameters of families; on request also the
    effects of every patient, therapist and so on. What the model fixes is left out, and a correlation is listed once.
    """
    chosen = [own for own in variables_of(fit) if own.listed or (group_effects and own.kind == "group effect")]
    draws = with_effects(fit) if group_effects else fit.data["posterior"].to_dataset()
    return entries_of(draws, chosen, constants_of(fit))


def entries_of(
    draws: xr.Dataset, variables: Iterable[PosteriorVariable], constants: Constants | None = None
) -> list[Entry]:
    """Return the entries of variables that are among draws, without those that the model fixes."""
    found = []
    for variable in variables:
        if variable.name not in draws:
            continue
        array = draws[variable.name].transpose(*SAMPLE_DIMS, ...)
        fixed = (constants or {}).get(variable.name)
        for index in np.ndindex(array.shape[2:]):
            if variable.lists(index) and (fixed is None or not fixed[index]):
                name = entry_name(variable.name, array[0, 0], index)
                found.append(Entry(variable, index, _labels(array, index), name))
    return found


def _labels(array: xr.DataArray, index: Sequence[int]) -> tuple[str, ...]:
    dims = [dim for dim in array.dims if dim not in SAMPLE_DIMS]
    return tuple(
        str(array[dim].values[i]) if dim in array.coords else str(i) for dim, i in zip(dims, index, strict=True)
    )
