"""How functions are compiled: cached on disk, without Python's lock, division by 0 as in NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numba

compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True)
"""For functions that only compiled ones call."""


@contextmanager
def light_optimisation() -> Iterator[None]:
    """Compile with LLVM's first level inside: three quarters of the time, and loops over a few effects run as fast."""
    before = numba.config.OPT
    numba.config.OPT = type(before)(1)
    try:
        yield
    finally:
        numba.config.OPT = before
