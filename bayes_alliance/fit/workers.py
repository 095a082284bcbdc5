"""Tasks on processes of this machine or on an executor, in the order of their places whatever comes back first."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from bayes_alliance.fit.threads import one_blas_thread

AHEAD = 4
"""Tasks handed out per worker before the first is back: enough to keep all busy, few enough to hold in memory."""


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
        is tried once more; an executor minds its own workers, and one that breaks loses what was not done.
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
        _run(function, tasks, range(len(tasks)), given, 64, found, advance)
        for i in set(range(len(tasks))) - set(found):
            found[i] = Lost("a worker of the executor died, and it takes no more work; out of memory, or killed.")
    return [found[i] for i in range(len(tasks))]


def _run_here[T, R](
    function: Callable[[T], R], tasks: Sequence[T], workers: int, found: dict[int, R | Lost], advance: Any
) -> None:
    """Run on spawned processes; where one dies, all that were out go again, one by one."""
    rest = list(range(len(tasks)))
    while rest:
        alone = _run_pool(function, tasks, rest, min(workers, len(rest)), AHEAD, found, advance)
        while alone:
            # a pool that breaks does not say whose process died: one at a time, each speaks for itself
            for i in _run_pool(function, tasks, alone, 1, 1, found, advance):
                found[i] = Lost("its process died twice; out of memory, or killed.")
                advance(len(found))
            alone = [i for i in alone if i not in found]
        rest = [i for i in rest if i not in found]


def _run_pool[T, R](
    function: Callable[[T], R],
    tasks: Sequence[T],
    places: Sequence[int],
    workers: int,
    ahead: int,
    found: dict[int, R | Lost],
    advance: Any,
) -> list[int]:
    """Run tasks, so many per worker ahead, until all are done or the pool breaks; return those that were out then."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_leave_with, initargs=(os.getpid(),)) as pool:
        return _run(function, tasks, places, pool, ahead * workers, found, advance)


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
    function: Callable[[T], R],
    tasks: Sequence[T],
    places: Sequence[int],
    executor: Executor,
    ahead: int,
    found: dict[int, R | Lost],
    advance: Any,
) -> list[int]:
    rest, waiting = iter(places), dict[Future[R], int]()
    try:
        while True:
            while len(waiting) < ahead and (i := next(rest, None)) is not None:
                waiting[executor.submit(function, tasks[i])] = i
            if not waiting:
                return []
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                failure = future.exception()
                if isinstance(failure, BrokenProcessPool):
                    raise failure
                i = waiting.pop(future)
                found[i] = future.result() if failure is None else Lost(f"{type(failure).__name__}: {failure}")
                advance(len(found))
    except BrokenProcessPool:
        return [i for i in waiting.values() if i not in found]
