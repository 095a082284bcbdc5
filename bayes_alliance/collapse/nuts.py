"""The compiled log-density sampled by nutpie through its C callback: no PyTensor, chains on all cores.

Leans on private names of nutpie (pinned below 0.17); ``tests/collapse/test_sampler.py`` holds it to a known posterior.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numba
import numpy as np
import xarray as xr
from nutpie.compile_pymc import CompiledPyMCModel

from bayes_alliance.collapse.chains import run_chains
from bayes_alliance.collapse.density import Density
from bayes_alliance.collapse.frame import Frame

types: Any = numba.types
_DOUBLES = types.CPointer(types.double)


@cache
def draw_callback() -> Any:
    """Return the C callback that stores a draw as it is."""
    signature = types.int64(types.uint64, types.uint64, _DOUBLES, _DOUBLES, types.voidptr)

    @numba.cfunc(signature, cache=True)
    def copy(size, length, x, values, record):  # type: ignore[no-untyped-def]
        source, target = numba.carray(x, (np.int64(size),)), numba.carray(values, (np.int64(length),))
        for i in range(np.int64(length)):
            target[i] = source[i]
        return 0

    return copy


def sample_nuts(density: Density, frame: Frame, start: np.ndarray, *, seed: int, **settings: Any) -> xr.DataTree:
    """Sample z with nutpie.

    Parameters
    ----------
    density : Density
        Of the data.
    frame : Frame
        Where z = 0 is, and the unit of each direction.
    start : ndarray, shape (start, parameter)
        Points in z that chains start from, drawn from at random.
    seed : int
        For the sampler alone.
    **settings
        As in ``run_chains``.

    Returns
    -------
    DataTree
        With ``z`` over (chain, draw, parameter).

    Raises
    ------
    FitError, KeyboardInterrupt
        As in ``run_chains``.
    """
    record = density.record(frame)
    size = density.size

    def start_at(seed: int | None) -> np.ndarray:
        return np.ascontiguousarray(start[np.random.default_rng(seed).integers(len(start))])

    model = CompiledPyMCModel(
        _n_dim=size,
        dims={"z": ("parameter",)},
        _coords={"parameter": np.arange(size)},
        _shapes={"z": (size,)},
        compiled_logp_func=density.callback("slopes"),
        compiled_expand_func=draw_callback(),
        initial_point_func=start_at,
        shared_data={},
        shared_var_keys={},
        user_data=record.numbers,
        n_expanded=size,
        shape_info=(["z"], [slice(0, size)], [(size,)]),
        logp_func=None,
        expand_func=None,
        reparameterized_names=None,
    )
    return run_chains(model, seed=seed, **settings)
