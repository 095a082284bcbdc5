"""Tasks on processes of this machine or on an executor, in the order of their places whatever comes back first."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import SpawnContext, SpawnProcess
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
        is tried once more, and one whose memory grew is replaced (not on Windows, which does not tell). An executor
        minds its own workers, and one that breaks loses what was not done. ``Here`` runs tasks in this thread.
    workers : int, optional
        Processes of this machine; as many as it has cores unless stated.
    advance : callable
        Told how many tasks are done.

    Raises
    ------
    KeyboardInterrupt
        If the process is stopped meanwhile. Processes started here have ended by then; tasks that an executor has
        not begun are cancelled.
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
    desks, idle, waiting = list[Desk](), list[Desk](), dict[Future[tuple[R, int]], tuple[int, Desk]]()
    limit = _memory() // 4 // workers
    try:
        while rest or waiting or again:
            if again and not rest and not waiting:
                # what died may have been too large beside others, or killed for them: it goes again alone
                rest.append(again.popleft())
            while rest and len(waiting) < workers:
                if not idle:
                    desks.append(Desk())
                desk = idle.pop() if idle else desks[-1]
                try:
                    with _interrupts_held():
                        future = desk.pool.submit(_measured, function, tasks[rest[0]])
                    waiting[future] = rest[0], desk
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
    except BaseException:
        # what they are at would be waited for, and go on being stored after this process has gone
        for desk in desks:
            desk.kill()
        raise
    finally:
        for desk in desks:
            desk.pool.shutdown(cancel_futures=True)


class _Recorded(SpawnContext):
    """Starts processes as the spawn context does, and knows them."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[SpawnProcess] = []

    def Process(self, *args: Any, **named: Any) -> SpawnProcess:  # type: ignore[override]
        """Return a process that is spawned when it starts."""
        self.started.append(SpawnProcess(*args, **named))
        return self.started[-1]


@dataclass(eq=False)
class Desk:
    """One process to work on, and the most memory it had taken after its first task."""

    context: _Recorded = field(default_factory=_Recorded)
    first: int = 0

    def __post_init__(self) -> None:
        """Make the pool of one process; the process starts with its first task."""
        self.pool = ProcessPoolExecutor(1, self.context, initializer=_leave_with, initargs=(os.getpid(),))

    def kill(self) -> None:
        """End the process at once, whatever it is at: what it stores is whole or not there."""
        for process in self.context.started:
            try:
                process.kill()
            except (ValueError, AttributeError):  # it has ended, or has not begun
                continue


class Here(Executor):
    """Runs tasks in the caller's thread, one after the other, where a stop reaches what they do."""

    def submit[**P, R](self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run a task; an error is in what comes back, a stop is raised."""
        future = Future[R]()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back while a process starts, which inherits that: stopping it is left to this one.

    A terminal sends Ctrl-C to all processes, and each worker would answer with a traceback of its own.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
    waiting = dict[Future[R], int]()
    try:
        _feed(function, tasks, executor, waiting, found, advance)
    except BaseException:
        for future in waiting:
            future.cancel()
        raise
    for i in set(range(len(tasks))) - set(found):
        found[i] = Lost("a worker of the executor died, and it takes no more work; out of memory, or killed.")


def _feed[T, R](
    function: Callable[[T], R],
    tasks: Sequence[T],
    executor: Executor,
    waiting: dict[Future[R], int],
    found: dict[int, R | Lost],
    advance: Any,
) -> None:
    rest, broken = iter(range(len(tasks))), False
    ahead = 1 if isinstance(executor, Here) else AHEAD
    while not broken:
        try:
            while len(waiting) < ahead and (i := next(rest, None)) is not None:
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
            if isinstance(failure, KeyboardInterrupt):  # a terminal sends Ctrl-C to the executor's processes, too
                raise failure
            found[i] = future.result() if failure is None else Lost(f"{type(failure).__name__}: {failure}")
            advance(len(found))
