"""Where text goes: results to standard output, problems and progress to standard error."""

from __future__ import annotations

import sys

from bayes_alliance._terminal import PlainConsole

out = PlainConsole(width=None if sys.stdout.isatty() else 120)
err = PlainConsole(stderr=True)


def heading(text: str) -> None:
    """Print a line that starts a part of the output."""
    out.print(f"\n{text}", style="bold")


def line(text: str, style: str | None = None) -> None:
    """Print a line as it is: no colours of its own, no breaks."""
    out.print(text, style=style, highlight=False, soft_wrap=True)
