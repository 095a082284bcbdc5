"""What is shown while a fit runs: the compile step by name, then the sampler's bar."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bayes_alliance.fit.settings import Progress


def is_watched(progress: Progress) -> bool:
    """Return whether someone can see a bar: a terminal, or a notebook."""
    if progress == "off":
        return False
    return sys.stderr.isatty() or "ipykernel" in sys.modules


@contextmanager
def step(text: str, progress: Progress) -> Iterator[None]:
    """Show a spinner with the step's name and the time it takes, where someone can see it."""
    if not is_watched(progress):
        yield
        return
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=False) as bar:
        task = bar.add_task(text, total=1)
        yield
        bar.update(task, completed=1)
