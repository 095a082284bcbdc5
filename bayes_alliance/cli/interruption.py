"""How a command ends that is stopped: one sentence on what is stored and how to go on, and an exit code of its own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Final

import typer

from bayes_alliance.cli.console import err

INTERRUPTED: Final = 128 + signal.SIGINT
"""Exit code after Ctrl-C (SIGINT): 130, as shells have it."""

TERMINATED: Final = 128 + signal.SIGTERM
"""Exit code after SIGTERM: 143."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends the work as Ctrl-C does."""


@contextmanager
def termination_heeded() -> Iterator[None]:
    """Have SIGTERM raise ``Terminated`` in the main thread, so that workers end and the command says what is stored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise Terminated

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if before[signal.SIGTERM] is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def report_stop(stopped: KeyboardInterrupt, sentence: str) -> int:
    """Print what a stop leaves and return the exit code; further signals are ignored while the process ends."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    err.print(f"Stopped: {sentence}", style="bold", markup=False, highlight=False, soft_wrap=True)
    return TERMINATED if isinstance(stopped, Terminated) else INTERRUPTED


@contextmanager
def on_stop(sentence: str) -> Iterator[None]:
    """End the command with a sentence on what is stored and how to go on, where it is stopped inside.

    Raises
    ------
    typer.Exit
        With 130 after Ctrl-C, 143 after SIGTERM.
    """
    try:
        yield
    except KeyboardInterrupt as stopped:
        raise typer.Exit(report_stop(stopped, sentence)) from None


def stoppable(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command that says, where it is stopped before it wrote anything, that nothing was written."""

    @wraps(command)
    def run(*args: Any, **named: Any) -> Any:
        with on_stop("nothing was written; run the same command to begin again."):
            return command(*args, **named)

    return run
