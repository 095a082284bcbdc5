"""How functions are compiled: without Python's lock, division by 0 as in NumPy, kept on disk by the kernel's text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numba

compiled: Any = numba.njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For functions that only compiled ones call. Only the outermost is kept on disk: see ``kernel_text``."""


@cache
def kernel_text() -> str:
    """Return a digest of the kernel's text, to be part of what a compiled function is found by on disk.

    Numba looks only at the file of a function itself. Without this, a change in a file that it calls into would go on
    being answered by what was compiled before.
    """
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@contextmanager
def light_optimisation() -> Iterator[None]:
    """Compile with LLVM's first level inside: three quarters of the time, and loops over a few effects run as fast."""
    before = numba.config.OPT
    numba.config.OPT = type(before)(1)
    try:
        yield
    finally:
        numba.config.OPT = before
