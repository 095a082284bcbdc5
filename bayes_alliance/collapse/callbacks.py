"""The compiled C functions: values at points, slopes and effects on top of these; compiled once, then found on disk."""

from __future__ import annotations

import time
from functools import cache
from typing import Any, Literal, assert_never

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic
from nutpie.compile_pymc import address_as_void_pointer

from bayes_alliance.collapse.kernel.compiled import compiled, kernel_text, light_optimisation
from bayes_alliance.collapse.kernel.log_likelihood import effects_of, framed_density, framed_slope
from bayes_alliance.collapse.shape import Shape

types: Any = numba.types

NOT_FINITE = 3
"""What nutpie reads as a point to step back from."""

RECORD = 19
"""Numbers of a record: address and length of integers, floats, frame, working memory, normals, draws, unpooled integers
and floats; then the number of points, the address of the function of values, and the length of working memory."""

type Part = Literal["values", "slopes", "effects"]
type Variant = tuple[bool | None, bool | None, Part]
"""Whether factors cross and residuals correlate (parts that are None are not compiled), and what is worked out."""

VARIANTS: tuple[Variant, ...] = (
    *((crossed, joint, "values") for crossed in (None, True) for joint in (None, True)),
    *((crossed, joint, "slopes") for crossed in (None, True) for joint in (None, True)),
    *((crossed, None, "effects") for crossed in (None, True)),
)
"""All there are, the commonest first."""

_COMPILED: dict[Variant, float] = {}
"""Seconds by what this process has compiled, or read from disk."""

_DOUBLES = types.CPointer(types.double)
_SIGNATURE = types.int64(types.uint64, _DOUBLES, _DOUBLES, _DOUBLES, types.voidptr)


def variant_of(shape: Shape, part: Part) -> Variant:
    """Return which of the compiled functions a shape of model needs."""
    return True if shape.crossed else None, True if shape.joint and part != "effects" else None, part


def seconds_compiling() -> float:
    """Return how long this process has compiled for so far, in seconds."""
    return sum(_COMPILED.values())


def is_loaded(variant: Variant) -> bool:
    """Return whether this process has a compiled function already."""
    return variant in _COMPILED


@cache
def density_callback(crossed: bool | None, joint: bool | None, part: Part) -> Any:
    """Return the C function (size, z, slopes, log-density, record).

    That of values also draws coefficients. Those of slopes and of effects call it, by the address in the record, and go
    on from the working memory that it leaves: the three are compiled side by side.
    """
    begun = time.perf_counter()
    match part:
        case "values":
            function = _values(crossed, joint)
        case "slopes":
            function = _slopes(crossed, joint)
        case "effects":
            function = _effects(crossed)  # of residuals only weights are read
        case _:
            assert_never(part)
    with light_optimisation():
        made = numba.cfunc(_SIGNATURE, cache=True)(function)
    _COMPILED[crossed, joint, part] = time.perf_counter() - begun
    return made


@compiled
def _integers(head, at):  # type: ignore[no-untyped-def]
    """Return the integers whose address and number stand in a record."""
    return numba.carray(address_as_void_pointer(head[at]), (head[at + 1],), np.int64)


@compiled
def _floats(head, at):  # type: ignore[no-untyped-def]
    """Return the floats whose address and number stand in a record."""
    return numba.carray(address_as_void_pointer(head[at]), (head[at + 1],), np.float64)


@compiled
def _lines(head, at):  # type: ignore[no-untyped-def]
    """Return floats of which every point has so many."""
    return numba.carray(address_as_void_pointer(head[at]), (head[16], head[at + 1]), np.float64)


def _values(crossed: bool | None, joint: bool | None) -> Any:
    text = kernel_text()

    def values(size, z, gradient, value, record):  # type: ignore[no-untyped-def]
        text  # noqa: B018  # a new text of the kernel is a new function on disk
        head = numba.carray(record, (RECORD,), np.int64)
        integers = _integers(head, 0)
        floats = _floats(head, 2)
        frame = _floats(head, 4)
        state = _floats(head, 6)
        points = head[16]
        normals = _lines(head, 8)
        coefs = _lines(head, 10)
        where, found = numba.carray(z, (points, np.int64(size))), numba.carray(value, (points,))
        for i in range(points):
            found[i] = framed_density(integers, floats, frame, where[i], state, normals[i], coefs[i], crossed, joint)
        return 0 if np.isfinite(found[points - 1]) else NOT_FINITE

    return values


def _slopes(crossed: bool | None, joint: bool | None) -> Any:
    text = kernel_text()

    def slopes(size, z, gradient, value, record):  # type: ignore[no-untyped-def]
        text  # noqa: B018
        head = numba.carray(record, (RECORD,), np.int64)
        where, slope = numba.carray(z, (np.int64(size),)), numba.carray(gradient, (np.int64(size),))
        found = numba.carray(value, (1,))
        own, state = head.copy(), np.empty(head[18])  # chains share the record, not what they work in
        own[6], own[7] = state.ctypes.data, len(state)
        told = _call(head[17], np.int64(size), where.ctypes.data, found.ctypes.data, own.ctypes.data)
        if told != 0:
            slope[:] = 0.0
            return told
        integers = _integers(head, 0)
        floats = _floats(head, 2)
        frame = _floats(head, 4)
        framed_slope(integers, floats, frame, where, state, slope, crossed, joint)
        return 0

    return slopes


def _effects(crossed: bool | None) -> Any:
    text = kernel_text()

    def effects(size, z, gradient, value, record):  # type: ignore[no-untyped-def]
        text  # noqa: B018
        head = numba.carray(record, (RECORD,), np.int64)
        integers = _integers(head, 0)
        floats = _floats(head, 2)
        state = _floats(head, 6)
        points = head[16]
        normals = _lines(head, 8)
        drawn = _lines(head, 10)
        units = _integers(head, 12)
        tables = _floats(head, 14)
        where, found = numba.carray(z, (points, np.int64(size))), numba.carray(value, (points,))
        own = head.copy()
        own[9], own[11], own[16] = 0, 0, 1  # one point at a time, and its coefficients are given
        for i in range(points):
            one, at = where[i], found[i : i + 1]
            _call(head[17], np.int64(size), one.ctypes.data, at.ctypes.data, own.ctypes.data)
            effects_of(integers, floats, state, units, tables, normals[i], drawn[i], crossed)
        return 0

    return effects


@intrinsic
def _call(_typing, address, size, z, value, record):  # type: ignore[no-untyped-def]
    """Call the function of values by its address; the others are addresses too, but for the size."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        del context, signature
        number, double, byte = ir.IntType(64), ir.DoubleType().as_pointer(), ir.IntType(8).as_pointer()
        kind = ir.FunctionType(number, [number, double, double, double, byte])
        function, size, z, value, record = arguments
        z, value = (builder.inttoptr(one, double) for one in (z, value))
        return builder.call(
            builder.inttoptr(function, kind.as_pointer()), [size, z, value, value, builder.inttoptr(record, byte)]
        )

    return types.int64(*(types.int64,) * 5), code
