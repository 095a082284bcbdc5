"""The exact engine's compiled functions: all of them beforehand, or those that a fit needs, side by side."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed

from bayes_alliance.collapse.callbacks import VARIANTS, Part, Variant, density_callback, is_loaded, variant_of
from bayes_alliance.collapse.density import Density
from bayes_alliance.collapse.nuts import draw_callback

SLOW = 2.0
"""Seconds after which a function is being compiled: reading it from disk takes less than one."""

_LEFT: list[subprocess.Popen[bytes]] = []
"""Processes that compile what is needed later; this one's end is theirs."""


def needed_variants(density: Density) -> list[Variant]:
    """Return which compiled functions sampling a density takes, and this process has not loaded."""
    parts: list[Part] = ["values", "slopes"] if density.exact_slopes else ["values"]
    needed = [variant_of(density.shape, part) for part in parts]
    return [variant for variant in needed if not is_loaded(variant)]


def later_variants(density: Density) -> list[Variant]:
    """Return which compiled functions are needed once effects are asked for."""
    return [variant_of(density.shape, "effects")] if density.shape.factors else []


def load_variants(variants: Sequence[Variant], later: Sequence[Variant] = ()) -> None:
    """Load compiled functions, or compile them: the first here, the others meanwhile in another process, one by one.

    The process begins only once the first has taken so long that it must be compiling. If it fails it is made up for
    here. Those needed ``later`` are compiled behind the others, and neither waited for nor loaded.
    """
    if not variants:
        return
    begun: list[subprocess.Popen[bytes]] = []
    others = [*variants[1:], *later]
    timer = threading.Timer(SLOW, lambda: begun.append(_begin(others)) if others else None)
    timer.daemon = True
    timer.start()
    try:
        density_callback(*variants[0])
        timer.cancel()
        timer.join()
        for process in begun:
            _wait(process, len(variants) - 1)
    except BaseException:
        timer.cancel()
        for process in begun:
            process.terminate()
            leave_beside(process)
        raise
    for variant in variants[1:]:
        density_callback(*variant)


def _begin(variants: Sequence[Variant]) -> subprocess.Popen[bytes]:
    """Start compiling in another process, which leaves what it made on disk and writes a line for each."""
    code = "from bayes_alliance.collapse.callbacks import density_callback as compiled"
    return begin_beside(code + "".join(f"; compiled(*{variant!r}); print(flush=True)" for variant in variants))


def begin_beside(code: str) -> subprocess.Popen[bytes]:
    """Start a process of Python that compiles beside this one."""
    nothing = subprocess.DEVNULL
    return subprocess.Popen([sys.executable, "-c", code], stdin=nothing, stdout=subprocess.PIPE, stderr=nothing)


def _wait(process: subprocess.Popen[bytes], lines: int) -> None:
    """Wait until a process has written so many lines, or has ended; what it does after them is not waited for."""
    assert process.stdout is not None
    for _ in range(lines):
        if not process.stdout.readline():
            break
    leave_beside(process)


def leave_beside(process: subprocess.Popen[bytes]) -> None:
    """Let a process go on, at most until this one ends; what more it writes is not read."""
    if process.stdout is not None:
        process.stdout.close()
    if process.poll() is None:
        if not _LEFT:
            atexit.register(_end)
        _LEFT.append(process)


def _end() -> None:
    for process in _LEFT:
        process.kill()
        process.wait()


def describe_variant(variant: Variant) -> str:
    """Return what a variant is for, in words."""
    crossed, joint, part = variant
    parts = [
        part,
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
