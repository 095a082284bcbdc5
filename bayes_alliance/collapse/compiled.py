"""How functions are compiled: cached on disk, without Python's lock, division by 0 as in NumPy."""

from __future__ import annotations

from typing import Any

import numba

compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True)
"""For functions that only compiled ones call; half the time to compile."""

compiled_entry: Any = numba.njit(cache=True, nogil=True, error_model="numpy")
"""For functions that Python calls."""
