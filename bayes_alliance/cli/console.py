"""Where text goes: results to standard output, problems and progress to standard error."""

from __future__ import annotations

import sys

from rich.console import Console

out = Console(width=None if sys.stdout.isatty() else 120)
err = Console(stderr=True)


def heading(text: str) -> None:
    """Print a line that starts a part of the output."""
    out.print(f"\n{text}", style="bold", markup=False)


def line(text: str, style: str | None = None) -> None:
    """Print a line as it is: no markup, no colours of its own, no breaks."""
    out.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
