"""Compiled log-densities for nutpie that a later process finds on disk.

nutpie's own route compiles two C callbacks around PyTensor's functions in every process, which takes most of the time
a person waits for a small model. Here each PyTensor function gets a guard that writes into the sampler's buffers; the
guard is cached on disk with it, and only a few lines that unpack pointers are compiled anew.

This reads private names of nutpie (pinned below 0.17) and PyTensor, which ``fit/private_names`` looks up. Where one is
missing, models are compiled by nutpie's public route, with a warning. ``tests/fit/test_compile.py`` holds both routes
to the same draws; only variables with a stated start differ from nutpie's own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from threading import Lock
from types import FunctionType
from typing import Any

import numba
import numpy as np
import nutpie
import pymc as pm
from nutpie.compile_pymc import CompiledPyMCModel
from pymc.initial_point import make_initial_point_fn

from bayes_alliance._messages import quote
from bayes_alliance.errors import AllianceWarning
from bayes_alliance.fit import private_names as private

types: Any = numba.types

NOT_FINITE = 3
"""What nutpie reads as a point to step back from."""

CALLBACK_FAILED = 1

NEAR = 0.1
"""How far from a start that is stated chains start: not at 0, for nutpie refuses a gradient with a zero in it."""

function: Any = None
"""The PyTensor function, in the globals of each guard's own; see ``_guarded``."""

unpacked: Any = None
"""The same, taking its data as a tuple."""


def compile_density(model: pm.Model) -> CompiledPyMCModel:
    """Compile a model's log-density, its gradient and its stored variables for nutpie.

    Parameters
    ----------
    model : pm.Model
        Its data containers keep their shapes; ``with_data`` of the result replaces their values without compiling.

    Returns
    -------
    CompiledPyMCModel
        What ``nutpie.sample`` takes; the same draws as from ``nutpie.compile_pymc_model``, to the bit, where no
        variable states a start.
    """
    lacking = private.lacking_names()
    if not lacking:
        try:
            return _compile_cached(model)
        except (AttributeError, TypeError) as error:
            lacking = [str(error)]
    warnings.warn(
        f"This version of nutpie or PyTensor is not one that compiled models are stored for ({quote(lacking)}). Models "
        f"are compiled anew in every process, which takes longer. The versions that were tested are in pyproject.toml.",
        AllianceWarning,
        stacklevel=2,
    )
    return start_anew(nutpie.compile_pymc_model(model), model)


def _compile_cached(model: pm.Model) -> CompiledPyMCModel:
    """Compile a model with functions that a later process finds on disk."""
    start = _starting_points(model)
    size, expanded, logp, expand, start, shape_info, transformed = private.look_up("make_functions")(
        model, mode="NUMBA", compute_grad=True, join_expanded=True, pymc_initial_point_fn=start
    )
    shared = list(dict.fromkeys([*logp.get_shared(), *expand.get_shared()]))
    keys = {variable: f"data_{number}" for number, variable in enumerate(shared)}
    arrays = {key: _frozen(variable.get_value()) for variable, key in keys.items()}
    record = private.look_up("make_user_data")(keys, arrays)
    places = {key: place for place, key in enumerate(arrays)}
    used = [[places[keys[variable]] for variable in function.get_shared()] for function in (logp, expand)]
    dims, coords = private.look_up("prepare_dims_and_coords")(model, shape_info, transformed)
    return CompiledPyMCModel(
        _n_dim=size,
        dims=dims,
        _coords=coords,
        _shapes={name: tuple(shape) for name, _, shape in zip(*shape_info, strict=True)},
        compiled_logp_func=_density_callback(logp.vm.jit_fn, size, list(arrays.values()), used[0]),
        compiled_expand_func=_draw_callback(expand.vm.jit_fn, size, expanded, list(arrays.values()), used[1]),
        initial_point_func=start,
        shared_data=arrays,
        shared_var_keys=keys,
        user_data=record,
        n_expanded=expanded,
        shape_info=shape_info,
        logp_func=logp,
        expand_func=expand,
        reparameterized_names=transformed,
    )


def start_anew(compiled: CompiledPyMCModel, model: pm.Model) -> CompiledPyMCModel:
    """Return a compiled model that starts its chains where a model of the same graph starts its own.

    Starting points lie near the middles of priors, whose numbers are data, and nutpie's ``with_data`` leaves them.
    """
    draw = _starting_points(model)
    names = [model.rvs_to_values[variable].name for variable in model.free_RVs]

    def start(seed: int) -> np.ndarray:
        point = draw(seed)
        return np.concatenate([np.asarray(point[name], dtype=np.float64).ravel() for name in names])

    return replace(compiled, initial_point_func=start)


def _starting_points(model: pm.Model) -> Callable[[int], dict[str, np.ndarray]]:
    """Return a function from a seed to a starting point: nutpie's own, but near the start a variable states."""
    still = [variable for variable in model.free_RVs if model.rvs_to_initial_values.get(variable) is not None]
    draw: Callable[[int], dict[str, np.ndarray]] = make_initial_point_fn(
        model=model,
        default_strategy="support_point",
        jitter_rvs=set(model.free_RVs) - set(still),
        return_transformed=True,
    )
    names = [model.rvs_to_values[variable].name for variable in still]

    def start(seed: int) -> dict[str, np.ndarray]:
        point, noise = draw(seed), np.random.default_rng(seed)
        for name in names:
            point[name] = point[name] + noise.uniform(-NEAR, NEAR, np.shape(point[name]))
        return point

    chosen, lock = start if names else draw, Lock()

    def locked(seed: int) -> dict[str, np.ndarray]:
        with lock:  # chains ask from threads of their own, and PyTensor functions are not for several at once
            return chosen(seed)

    return locked


def _frozen(value: np.ndarray) -> np.ndarray:
    array = np.array(value, order="C", copy=True)
    array.flags.writeable = False
    return array


def _unpack(x: np.ndarray, data: tuple[np.ndarray, ...]) -> Any:
    """Call a PyTensor function with its data; numba cannot unpack inside ``try``."""
    return function(x, *data)


def _guard_density(x: np.ndarray, gradient: np.ndarray, logp: np.ndarray, data: tuple[np.ndarray, ...]) -> int:
    """Write log-density and gradient; a density that raises or is not finite is a code, never an exception."""
    try:
        value, slope = unpacked(x, data)
        logp[0] = value[()]
        finite = np.isfinite(logp[0])
        for i in range(len(gradient)):
            gradient[i] = slope[i]
            finite = finite and np.isfinite(gradient[i])
    except Exception:
        return CALLBACK_FAILED
    return 0 if finite else NOT_FINITE


def _guard_draw(x: np.ndarray, values: np.ndarray, data: tuple[np.ndarray, ...]) -> int:
    """Write the stored variables of one draw."""
    try:
        (stored,) = unpacked(x, data)
        for i in range(len(values)):
            values[i] = stored[i]
    except Exception:
        return CALLBACK_FAILED
    return 0


class _Compiled(numba.types.WrapperAddressProtocol):  # type: ignore[misc]
    """A compiled function as numba calls it by address, so that nothing of it is compiled again."""

    def __init__(self, dispatcher: Any, arguments: tuple[Any, ...]) -> None:
        dispatcher.compile(arguments)
        self._result = dispatcher.overloads[arguments]

    def __wrapper_address__(self) -> int:
        return int(self._result.library.get_pointer_to_function(self._result.fndesc.llvm_cfunc_wrapper_name))

    def signature(self) -> Any:
        return self._result.signature


def _guarded(template: Any, inner: Any) -> Any:
    """Return the guard around a PyTensor function, cached beside it where that is cached.

    Numba does not cache functions with closures over others; so the function is a global of the guard's own.
    """
    graph = inner.py_func.__globals__.get("jitable_func", inner)  # what ``inner`` only hands on to
    unpack = numba.njit(inline="always")(_with_globals(_unpack, function=graph))
    guard = _with_globals(template, np=np, unpacked=unpack, CALLBACK_FAILED=CALLBACK_FAILED, NOT_FINITE=NOT_FINITE)
    cached = private.look_up("cached_functions")
    key = cached.get(inner.py_func)
    if key is not None:
        code = template.__code__
        version = sha256(code.co_code + repr((code.co_consts, code.co_names, CALLBACK_FAILED, NOT_FINITE)).encode())
        cached[guard] = f"{template.__name__}_{version.hexdigest()[:16]}_{key}"
    return numba.njit(guard, cache=key is not None)


def _with_globals(template: Any, **names: object) -> FunctionType:
    return FunctionType(template.__code__, {"__name__": __name__, **names}, template.__name__)


def _density_callback(inner: Any, size: int, arrays: list[np.ndarray], used: Sequence[int]) -> Any:
    vector = types.Array(types.float64, 1, "C")
    guard: Any = _Compiled(_guarded(_guard_density, inner), (vector, vector, vector, _data_type(arrays, used)))
    collect = _collector(arrays, used)
    count = len(arrays)

    def callback(dim, x, gradient, logp, record):  # type: ignore[no-untyped-def]
        if dim != size:
            return -1
        data = collect(numba.carray(record, (count,), np.uint64))
        return guard(numba.carray(x, (size,)), numba.carray(gradient, (size,)), numba.carray(logp, (1,)), data)

    doubles = types.CPointer(types.double)
    return numba.cfunc(types.int64(types.uint64, doubles, doubles, doubles, types.voidptr))(callback)


def _draw_callback(inner: Any, size: int, expanded: int, arrays: list[np.ndarray], used: Sequence[int]) -> Any:
    vector = types.Array(types.float64, 1, "C")
    guard: Any = _Compiled(_guarded(_guard_draw, inner), (vector, vector, _data_type(arrays, used)))
    collect = _collector(arrays, used)
    count = len(arrays)

    def callback(dim, length, x, values, record):  # type: ignore[no-untyped-def]
        if dim != size or length != expanded:
            return -1
        data = collect(numba.carray(record, (count,), np.uint64))
        return guard(numba.carray(x, (size,)), numba.carray(values, (expanded,)), data)

    doubles = types.CPointer(types.double)
    return numba.cfunc(types.int64(types.uint64, types.uint64, doubles, doubles, types.voidptr))(callback)


def _data_type(arrays: list[np.ndarray], used: Sequence[int]) -> Any:
    members = [types.Array(numba.from_dtype(arrays[i].dtype), arrays[i].ndim, "C") for i in used]
    return types.Tuple.from_types(members)


def _collector(arrays: list[np.ndarray], used: Sequence[int]) -> Any:
    """Return a function from the record's addresses to a tuple of arrays of the shapes at hand.

    nutpie's record of the data starts with one address per array, in order.
    """
    if not used:

        @numba.njit(inline="always")
        def nothing(_):  # type: ignore[no-untyped-def]
            return ()

        return nothing
    before = _collector(arrays, used[:-1])
    as_pointer = private.look_up("address_as_void_pointer")
    place, shape, kind = used[-1], arrays[used[-1]].shape, arrays[used[-1]].dtype

    @numba.njit(inline="always")
    def collect(addresses):  # type: ignore[no-untyped-def]
        array = numba.carray(as_pointer(addresses[place]), shape, kind)
        return before(addresses) + (array,)  # noqa: RUF005  numba cannot unpack here

    return collect
