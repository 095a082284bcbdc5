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

_BORROWING = {
    "nogil": True,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "_nrt": False,
}

borrowing: Any = numba.njit(**_BORROWING)
"""For functions that make and return no arrays: those handed to them are not counted, which threads wait for."""

inlined: Any = numba.njit(**_BORROWING, forceinline=True)
"""The same, for functions so small that a call takes as long as what they do."""


@cache
def kernel_text(folder: Path = Path(__file__).parent) -> str:
    """Return a digest of the text of a folder's kernel, to be part of what compiled functions are found by on disk.

    Numba looks only at the file of a function itself. Without this, a change in a file that it calls into would go on
    being answered by what was compiled before.
    """
    files = sorted(folder.glob("*.py"))
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
