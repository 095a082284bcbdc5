"""All variants of the exact engine's compiled functions, built beforehand and kept on disk."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed

from bayes_alliance.collapse.density import VARIANTS, Variant, density_callback
from bayes_alliance.collapse.nuts import draw_callback


def describe_variant(variant: Variant) -> str:
    """Return what a variant is for, in words."""
    crossed, joint, slopes = variant
    parts = [
        "with slopes" if slopes else "values alone",
        *(["factors that cross"] if crossed else []),
        *(["residuals that correlate"] if joint else []),
    ]
    return ", ".join(parts)


def compile_all(done: Callable[[int], None], *, cores: int | None = None) -> dict[Variant, float]:
    """Compile every variant in processes of their own; what is on disk is only read.

    Parameters
    ----------
    done : callable
        Called with how many are finished.
    cores : int, optional
        Processes; as many as there are cores.

    Returns
    -------
    dict
        Seconds by variant.
    """
    workers = min(cores or os.cpu_count() or 1, len(VARIANTS))
    # a fork would take over threads of compilers and samplers that it cannot continue
    context = multiprocessing.get_context("spawn")
    seconds: dict[Variant, float] = {}
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        tasks: dict[Future[float], Variant] = {pool.submit(_compile, variant): variant for variant in VARIANTS}
        for task in as_completed(tasks):
            seconds[tasks[task]] = task.result()
            done(len(seconds))
    return {variant: seconds[variant] for variant in VARIANTS}


def _compile(variant: Variant) -> float:
    """Compile one variant and return the seconds it took."""
    begun = time.perf_counter()
    density_callback(*variant)
    draw_callback()
    return time.perf_counter() - begun
