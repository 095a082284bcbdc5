"""The log-density of packed statistics as Python and samplers call it: one compiled C function for both."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, product
from typing import Any

import numba
import numpy as np
from nutpie.compile_pymc import address_as_void_pointer

from bayes_alliance.collapse.kernel.compiled import kernel_text, light_optimisation
from bayes_alliance.collapse.kernel.log_likelihood import framed_density
from bayes_alliance.collapse.shape import Shape
from bayes_alliance.collapse.tables import Packed

types: Any = numba.types

NOT_FINITE = 3
"""What nutpie reads as a point to step back from."""

LEAST, LEAST_NUMBERS = 8, 100_000
"""Points that a thread is worth; one point is, where it reads so many numbers."""

AT_ONCE = 4_000_000
"""Numbers that one call of the compiled function reads at most, over its points: a stop waits for one call."""

RECORD = 16
"""Numbers of a record: address and length of integers, floats, frame, unpooled integers and floats, normals, effects;
then the number of points, and how many levels of the chain are drawn (0: coefficients only, -1: nothing)."""


@dataclass(frozen=True, eq=False)
class Frame:
    """Coordinates: parameters are ``centre + scale z``; ``logs`` says which SDs are logarithms, the rest have signs."""

    logs: np.ndarray
    centre: np.ndarray
    scale: np.ndarray


type Variant = tuple[bool | None, bool | None, bool | None]
"""Whether factors cross, residuals correlate and gradients are wanted; parts that are None are not compiled."""

VARIANTS: tuple[Variant, ...] = tuple(product((None, True), (None, True), (None, True)))
"""All there are, the commonest first."""

_COMPILED: dict[Variant, float] = {}
"""Seconds by what this process has compiled, or read from disk."""


def seconds_compiling() -> float:
    """Return how long this process has compiled for so far, in seconds."""
    return sum(_COMPILED.values())


def is_loaded(variant: Variant) -> bool:
    """Return whether this process has a compiled function already."""
    return variant in _COMPILED


@cache
def density_callback(crossed: bool | None, joint: bool | None, slopes: bool | None) -> Any:
    """Return the C function (size, z, gradient, log-density, record); compiled once, then found on disk.

    Parts that are None are not compiled: half the time where gradients are not wanted.
    """
    begun = time.perf_counter()
    made = _make_callback(crossed, joint, slopes)
    _COMPILED[crossed, joint, slopes] = time.perf_counter() - begun
    return made


def _make_callback(crossed: bool | None, joint: bool | None, slopes: bool | None) -> Any:
    doubles, text = types.CPointer(types.double), kernel_text()
    signature = types.int64(types.uint64, doubles, doubles, doubles, types.voidptr)

    def density(size, z, gradient, value, record):  # type: ignore[no-untyped-def]
        text  # noqa: B018  # a new text of the kernel is a new function on disk
        head = numba.carray(record, (RECORD,), np.int64)
        integers = numba.carray(address_as_void_pointer(head[0]), (head[1],), np.int64)
        floats = numba.carray(address_as_void_pointer(head[2]), (head[3],), np.float64)
        frame = numba.carray(address_as_void_pointer(head[4]), (head[5],), np.float64)
        units = numba.carray(address_as_void_pointer(head[6]), (head[7],), np.int64)
        tables = numba.carray(address_as_void_pointer(head[8]), (head[9],), np.float64)
        points, depth = head[14], head[15]
        normals = numba.carray(address_as_void_pointer(head[10]), (points, head[11]), np.float64)
        effects = numba.carray(address_as_void_pointer(head[12]), (points, head[13]), np.float64)
        width = np.int64(size)
        slope = numba.carray(gradient, (width,))
        where, found = numba.carray(z, (points, width)), numba.carray(value, (points,))
        for i in range(points):
            found[i] = framed_density(
                integers,
                floats,
                frame,
                where[i],
                slope,
                units,
                tables,
                depth,
                normals[i],
                effects[i],
                crossed,
                joint,
                slopes,
            )
        return 0 if np.isfinite(found[points - 1]) else NOT_FINITE

    with light_optimisation():
        return numba.cfunc(signature, cache=True)(density)


def variant_of(shape: Shape, *, slopes: bool) -> Variant:
    """Return which of the compiled functions a shape of model needs."""
    return True if shape.crossed else None, True if shape.joint else None, slopes or None


@dataclass(frozen=True, eq=False)
class Density:
    """Log-likelihood with effects integrated out, plus log prior, at sampled parameters.

    Correlations are inverse hyperbolic tangents of partial correlations; residual SDs are logarithms; SDs of effects
    are logarithms or, of either sign, as they are, as ``logs`` says.
    """

    packed: Packed
    shape: Shape

    @property
    def sds(self) -> int:
        """Return the number of SDs of group effects."""
        return sum(factor.sds for factor in self.shape.factors)

    def callback(self, *, slopes: bool) -> Any:
        """Return the compiled C function for this shape of model."""
        shape = self.shape
        return density_callback(*variant_of(shape, slopes=slopes))

    def record(self, frame: Frame, points: int = 1) -> Record:
        """Return what the C function reads."""
        nothing, none = np.empty(0, dtype=np.int64), np.empty(0)
        return Record.of((*self._parts(frame), nothing, none, none, none), points, -1)

    def _parts(self, frame: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        flat = np.concatenate([[len(frame.logs)], frame.logs, frame.centre, frame.scale.reshape(-1)]).astype(float)
        return self.packed.integers, self.packed.floats, flat

    def value(self, x: np.ndarray, logs: np.ndarray) -> float:
        """Return the log-density at a point."""
        return float(self.values(x[None], logs, 1)[0])

    def gradient(self, x: np.ndarray, logs: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the log-density and its gradient."""
        record = self.record(_plain(logs, len(x)))
        point, slope, value = np.array(x, dtype=float), np.empty(len(x)), np.empty(1)
        self.callback(slopes=True).ctypes(len(x), _pointer(point), _pointer(slope), _pointer(value), record.address)
        return float(value[0]), slope

    def values(self, points: np.ndarray, logs: np.ndarray, cores: int) -> np.ndarray:
        """Return the log-density at points of shape (point, parameter), on several threads."""
        nothing = np.empty((len(points), 0))
        return self._run(points, logs, None, nothing, -1, cores)[0]

    def draw_coefs(
        self, points: np.ndarray, logs: np.ndarray, normals: np.ndarray, cores: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the log-density at points, and a draw of coefficients given each, in the same evaluation.

        Parameters
        ----------
        points : ndarray, shape (point, parameter)
            SDs as ``logs`` says.
        normals : ndarray, shape (point, coef)
            Standard normals.

        Returns
        -------
        ndarray, shape (point,)
        ndarray, shape (point, coef)
            Coefficients over their prior SDs and less their prior means.
        """
        return self._run(points, logs, None, normals, 0, cores)

    def draw_effects(self, points: np.ndarray, units: Packed, normals: np.ndarray, cores: int) -> np.ndarray:
        """Draw effects given parameters, shape (point, parameter), all SDs as they are, and given coefficients.

        Parameters
        ----------
        points : ndarray
            Sampled vectors with positive SDs.
        units : Packed
            The same statistics, not pooled.
        normals : ndarray, shape (point, effect)
            Coefficients as ``draw_coefs`` returns them; then standard normals for crossed effects, and for those of the
            levels of the chain, outermost first.
        cores : int
            Threads.

        Returns
        -------
        ndarray, shape (point, effect)
            In the order of the normals: coefficients as they are given, group effects in the basis of their factor.
        """
        logs = np.zeros(self.sds, dtype=bool)
        return self._run(points, logs, units, normals, len(self.shape.chain), cores)[1]

    def _run(
        self, points: np.ndarray, logs: np.ndarray, units: Packed | None, normals: np.ndarray, depth: int, cores: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return values at points and what is drawn there, on several threads."""
        call, size = self.callback(slopes=False).ctypes, points.shape[1]
        found, drawn = np.empty(len(points)), np.empty_like(normals)
        own = self._parts(_plain(logs, size))
        theirs = (np.empty(0, dtype=np.int64), np.empty(0)) if units is None else (units.integers, units.floats)

        def run(part: slice) -> None:
            block, values = np.ascontiguousarray(points[part], dtype=float), np.empty(part.stop - part.start)
            record = Record.of((*own, *theirs, normals[part], drawn[part]), len(block), depth)
            call(size, _pointer(block), _pointer(values), _pointer(values), record.address)
            found[part] = values

        read = len(self.packed.floats) + len(theirs[1]) + 1
        least = LEAST if read < LEAST_NUMBERS else 1
        _share(run, len(points), min(cores, len(points) // least), max(1, AT_ONCE // read))
        return found, drawn


@dataclass(frozen=True, eq=False)
class Record:
    """Addresses for the C function, and the arrays they are of, which must outlive its call."""

    numbers: np.ndarray
    parts: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, parts: tuple[np.ndarray, ...], points: int, depth: int) -> Record:
        """Return the record of arrays; the length of one with a row per point is that of a row."""
        numbers = [number for part in parts for number in (part.ctypes.data, part.shape[-1])]
        return cls(np.array([*numbers, points, depth], dtype=np.int64), parts)

    @property
    def address(self) -> int:
        """Return where the record is."""
        return int(self.numbers.ctypes.data)


def _share(run: Callable[[slice], None], count: int, threads: int, block: int) -> None:
    """Run over parts of a range, on several threads and in blocks of so many; a stop ends all of them."""
    edges = np.linspace(0, count, max(threads, 1) + 1).astype(int)
    parts = [range(int(start), int(stop)) for start, stop in pairwise(edges)]
    stopped = threading.Event()

    def work(part: range) -> None:
        for start in part[::block]:
            if stopped.is_set():
                return
            run(slice(start, min(start + block, part.stop)))

    if len(parts) == 1:
        work(parts[0])
        return
    with ThreadPoolExecutor(len(parts)) as pool:
        try:
            list(pool.map(work, parts))
        except BaseException:  # Ctrl-C reaches this thread alone, and the pool would wait for the others
            stopped.set()
            raise


def _plain(logs: np.ndarray, size: int) -> Frame:
    return Frame(logs, np.zeros(size), np.eye(size))


def _pointer(array: np.ndarray) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
