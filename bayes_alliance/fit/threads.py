"""BLAS on one thread: chains and processes are what runs side by side."""

from __future__ import annotations

from threadpoolctl import threadpool_limits


def one_blas_thread() -> threadpool_limits:
    """Return a context in which linear algebra takes one thread, or set it for good where it is not used as one.

    Matrices of a sampler are small: threads of BLAS that wait for each other cost two thirds of a fit, more where
    several chains or processes share the cores; and sums in another order on other machines cost equal bits.
    """
    return threadpool_limits(limits=1, user_api="blas")
