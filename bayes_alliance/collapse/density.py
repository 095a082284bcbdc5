"""The log-density of packed statistics as Python and samplers call it: the same compiled C functions for both."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from bayes_alliance.collapse.callbacks import Part, density_callback, variant_of
from bayes_alliance.collapse.frame import Frame
from bayes_alliance.collapse.shape import Shape
from bayes_alliance.collapse.sign_flips import find_turns
from bayes_alliance.collapse.tables import Packed

FEW = 12
"""Parameters up to which slopes are differences of values: there is then no gradient to compile, for half a minute."""

LEAST, LEAST_NUMBERS = 8, 100_000
"""Points that a thread is worth; one point is, where it reads so many numbers."""

AT_ONCE = 4_000_000
"""Numbers that one call of the compiled function reads at most, over its points: a stop waits for one call."""


@dataclass(frozen=True, eq=False)
class Density:
    """Log-likelihood with effects integrated out, plus log prior, at sampled parameters.

    Correlations are inverse hyperbolic tangents of partial correlations; residual SDs are logarithms; SDs of effects
    are logarithms or, of either sign, as they are, as ``logs`` says.
    """

    packed: Packed
    shape: Shape

    @property
    def size(self) -> int:
        """Return the number of sampled parameters."""
        return self.packed.size

    @property
    def sds(self) -> int:
        """Return the number of SDs of group effects."""
        return sum(factor.sds for factor in self.shape.factors)

    @property
    def above_zero(self) -> np.ndarray:
        """Return which SDs have a prior without density at 0, shape (sd,)."""
        return self.shape.above_zero

    @property
    def numbers(self) -> int:
        """Return how many numbers an evaluation reads."""
        return len(self.packed.floats)

    @property
    def exact_slopes(self) -> bool:
        """Return whether slopes are exact ones; else they are differences of values, where these cost little."""
        return self.packed.size > FEW

    def turns(self, logs: np.ndarray) -> np.ndarray:
        """Return every way to turn the signs of SDs that have one."""
        return find_turns(self.shape, logs)

    def callback(self, part: Part) -> Any:
        """Return a compiled C function for this shape of model."""
        return density_callback(*variant_of(self.shape, part))

    def record(self, frame: Frame) -> Record:
        """Return what the C function of slopes reads."""
        none = np.empty(0)
        return self._record((*self._parts(frame), none, none, none, np.empty(0, dtype=np.int64), none), 1)

    def _record(self, parts: tuple[np.ndarray, ...], points: int) -> Record:
        """Return the record of arrays; the length of one with a row per point is that of a row."""
        numbers = [number for part in parts for number in (part.ctypes.data, part.shape[-1])]
        numbers += [points, self.callback("values").address, self.packed.working]
        return Record(np.array(numbers, dtype=np.int64), parts)

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
        self.callback("slopes").ctypes(len(x), _pointer(point), _pointer(slope), _pointer(value), record.address)
        return float(value[0]), slope

    def values(self, points: np.ndarray, logs: np.ndarray, cores: int) -> np.ndarray:
        """Return the log-density at points of shape (point, parameter), on several threads."""
        nothing = np.empty((len(points), 0))
        return self._run(points, logs, None, nothing, cores)[0]

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
        return self._run(points, logs, None, normals, cores)

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
        return self._run(points, logs, units, normals, cores)[1]

    def _run(
        self, points: np.ndarray, logs: np.ndarray, units: Packed | None, normals: np.ndarray, cores: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return values at points and what is drawn there, on several threads."""
        call, size = self.callback("values" if units is None else "effects").ctypes, points.shape[1]
        found, drawn = np.empty(len(points)), np.empty_like(normals)
        own = self._parts(_plain(logs, size))
        theirs = (np.empty(0, dtype=np.int64), np.empty(0)) if units is None else (units.integers, units.floats)

        def run(part: slice) -> None:
            block, values = np.ascontiguousarray(points[part], dtype=float), np.empty(part.stop - part.start)
            state = np.empty(self.packed.working)
            record = self._record((*own, state, normals[part], drawn[part], *theirs), len(block))
            call(size, _pointer(block), _pointer(values), _pointer(values), record.address)
            found[part] = values

        read = len(self.packed.floats) + len(theirs[1]) + 1
        least = LEAST if read < LEAST_NUMBERS else 1
        share_points(run, len(points), min(cores, len(points) // least), max(1, AT_ONCE // read))
        return found, drawn


@dataclass(frozen=True, eq=False)
class Record:
    """Addresses for the C function, and the arrays they are of, which must outlive its call."""

    numbers: np.ndarray
    parts: tuple[np.ndarray, ...]

    @property
    def address(self) -> int:
        """Return where the record is."""
        return int(self.numbers.ctypes.data)


def share_points(run: Callable[[slice], None], count: int, threads: int, block: int) -> None:
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
