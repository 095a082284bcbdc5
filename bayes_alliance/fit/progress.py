"""What is shown while a fit runs: the compile step by name, then the sampler's bar."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Final

from bayes_alliance._messages import visible
from bayes_alliance.fit.settings import Progress

VARIABLE = "BAYES_ALLIANCE_PROGRESS"
"""Environment variable that turns ``progress="auto"`` off, for runs whose output is kept."""

DESCRIPTION: Final = "{task.description}"


def is_watched(progress: Progress) -> bool:
    """Return whether someone can see a bar: a terminal, or a notebook."""
    if progress == "off" or os.environ.get(VARIABLE, "").casefold() == "off":
        return False
    return sys.stderr.isatty() or _in_notebook()


@contextmanager
def step(text: str, progress: Progress) -> Iterator[Callable[[str], None]]:
    """Show a step's name and the time it takes, where someone can see it; what it yields puts other words there."""
    if not is_watched(progress):
        yield lambda text: None
    elif _in_notebook():
        with _notebook_line(text) as say:
            yield say
    else:
        with _spinner(text) as say:
            yield say


@contextmanager
def counter(text: str, total: int, progress: Progress) -> Iterator[Callable[[int], None]]:
    """Show a bar that the function it yields moves to how much is done, where someone can see it."""
    if not is_watched(progress):
        yield lambda done: None
        return
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from bayes_alliance._terminal import PlainConsole

    shown = (TextColumn(DESCRIPTION, markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Bar(*shown, console=None if _in_notebook() else PlainConsole(stderr=True)) as bar:
        task = bar.add_task(visible(text), total=total)
        yield lambda done: bar.update(task, completed=done)


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules


@contextmanager
def _notebook_line(text: str) -> Iterator[Callable[[str], None]]:
    """Show one line of output that is replaced by itself and the seconds; widgets are not needed."""
    from IPython.display import HTML, display

    start, text = time.perf_counter(), escape(visible(text))
    line = display(HTML(f"<small>{text} …</small>"), display_id=True)

    def say(words: str) -> None:
        if line is not None:
            line.update(HTML(f"<small>{escape(visible(words))} …</small>"))

    yield say
    if line is not None:
        line.update(HTML(f"<small>{text}: {time.perf_counter() - start:.1f} s</small>"))


@contextmanager
def _spinner(text: str) -> Iterator[Callable[[str], None]]:
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    from bayes_alliance._terminal import PlainConsole

    columns = (SpinnerColumn(), TextColumn(DESCRIPTION, markup=False), TimeElapsedColumn())
    with Bar(*columns, console=PlainConsole(stderr=True), transient=False) as bar:
        task = bar.add_task(visible(text), total=1)
        yield lambda words: bar.update(task, description=visible(words))
        bar.update(task, completed=1)
