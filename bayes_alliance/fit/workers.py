"""Tasks on processes of this machine or on an executor, in the order of their places whatever comes back first."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayes_alliance.fit.threads import one_blas_thread

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

AHEAD = 64
"""Tasks an executor has before the first is back: enough to keep all its workers busy, few enough to hold in memory."""

GROWTH = 500_000_000
"""Bytes that a process may add to those of its first task before another takes its place, if it then has more than its
part of a quarter of the memory. Compiled models are never freed, and each makes the next slower to compile."""


@dataclass(frozen=True)
class Lost:
    """A task without a result, and why."""

    why: str


def run_tasks[T, R](
    function: Callable[[T], R],
    tasks: Sequence[T],
    *,
    executor: Executor | Any | None,
    workers: int | None,
    advance: Callable[[int], None],
) -> list[R | Lost]:
    """Run a function of a module on every task.

    Parameters
    ----------
    function, tasks
        What to run on what.
    executor : Executor or dask.distributed.Client, optional
        Where; spawned processes of this machine unless stated. There a process that dies takes one task with it, which
        is tried once more, and one whose memory grew is replaced (not on Windows, which does not tell); an executor
        minds its own workers, and one that breaks loses what was not done.
    workers : int, optional
        Processes of this machine; as many as it has cores unless stated.
    advance : callable
        Told how many tasks are done.
    """
    found: dict[int, R | Lost] = {}
    if executor is None:
        _run_here(function, tasks, workers or os.cpu_count() or 1, found, advance)
    else:
        given = executor.get_executor() if hasattr(executor, "get_executor") else executor
        _run(function, tasks, given, found, advance)
    return [found[i] for i in range(len(tasks))]


def _run_here[T, R](
    function: Callable[[T], R], tasks: Sequence[T], workers: int, found: dict[int, R | Lost], advance: Any
) -> None:
    """Run on spawned processes, each a pool of its own: one that breaks says by that which task it was at."""
    rest, again = deque(range(len(tasks))), deque[int]()
    tried = set[int]()
    idle, waiting = list[Desk](), dict[Future[tuple[R, int]], tuple[int, Desk]]()
    limit = _memory() // 4 // workers
    try:
        while rest or waiting or again:
            if again and not rest and not waiting:
                # what died may have been too large beside others, or killed for them: it goes again alone
                rest.append(again.popleft())
            while rest and len(waiting) < workers:
                desk = idle.pop() if idle else Desk(_pool())
                try:
                    waiting[desk.pool.submit(_measured, function, tasks[rest[0]])] = rest[0], desk
                    rest.popleft()
                except BrokenProcessPool:  # it was killed while it had nothing to do
                    desk.pool.shutdown()
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                i, desk = waiting.pop(future)
                failure, full = future.exception(), False
                died = isinstance(failure, BrokenProcessPool)
                if died and i not in tried:
                    tried.add(i)
                    again.append(i)
                elif died:
                    found[i] = Lost("its process died twice; out of memory, or killed.")
                elif failure is not None:
                    found[i] = Lost(f"{type(failure).__name__}: {failure}")
                else:
                    found[i], peak = future.result()
                    desk.first = desk.first or peak
                    full = peak > max(limit, desk.first + GROWTH)
                if died or full:
                    desk.pool.shutdown(wait=False)
                else:
                    idle.append(desk)
                advance(len(found))
    finally:
        for desk in (*idle, *(desk for _, desk in waiting.values())):
            desk.pool.shutdown(cancel_futures=True)


@dataclass(eq=False)
class Desk:
    """One process to work on, and the most memory it had taken after its first task."""

    pool: ProcessPoolExecutor
    first: int = 0


def _pool() -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, context, initializer=_leave_with, initargs=(os.getpid(),))


def _measured[T, R](function: Callable[[T], R], task: T) -> tuple[R, int]:
    """Run a task; return what it gives and the most bytes this process ever took, 0 where that is not told."""
    return function(task), _peak()


def _peak() -> int:
    """Return the most bytes this process ever took; on Linux its own alone, where rusage starts from its parent's."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration, ValueError):
        if resource is None:
            return 0
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _memory() -> int:
    """Return the bytes of memory that this machine has, 0 where it does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 0


def _leave_with(parent: int) -> None:
    """Have this process end when the one that started it is gone: idle workers of a killed run would stay for ever.

    Its linear algebra takes one thread, as there are as many processes as cores.
    """
    # loaded first, so that there is something to limit
    import scipy.linalg  # noqa: F401

    one_blas_thread()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    if os.name == "posix":
        threading.Thread(target=watch, daemon=True).start()


def _run[T, R](
    function: Callable[[T], R], tasks: Sequence[T], executor: Executor, found: dict[int, R | Lost], advance: Any
) -> None:
    """Run on an executor, so many tasks ahead, until all are done or it breaks."""
    rest, waiting, broken = iter(range(len(tasks))), dict[Future[R], int](), False
    while not broken:
        try:
            while len(waiting) < AHEAD and (i := next(rest, None)) is not None:
                waiting[executor.submit(function, tasks[i])] = i
        except BrokenProcessPool:
            broken = True
        if not waiting:
            break
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            i, failure = waiting.pop(future), future.exception()
            if isinstance(failure, BrokenProcessPool):
                broken = True
                continue
            found[i] = future.result() if failure is None else Lost(f"{type(failure).__name__}: {failure}")
            advance(len(found))
    for i in set(range(len(tasks))) - set(found):
        found[i] = Lost("a worker of the executor died, and it takes no more work; out of memory, or killed.")
