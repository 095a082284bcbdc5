"""warm: the exact engine's compiled functions, built before they are needed."""

from __future__ import annotations

import time

from rich.table import Table

from bayes_alliance.cli.console import line, out
from bayes_alliance.cli.interruption import on_stop


def warm() -> None:
    """Compile all of the exact engine beforehand: else the first fit of a kind takes half a minute longer."""
    with on_stop("what was compiled stays; run the same command to compile the rest."):
        from bayes_alliance.collapse.callbacks import VARIANTS
        from bayes_alliance.collapse.warm import compile_all, describe_variant
        from bayes_alliance.fit.progress import counter

        begun = time.perf_counter()
        with counter("Compiling the exact engine", len(VARIANTS), "auto") as advance:
            seconds = compile_all(advance)
        table = Table("compiled function", "seconds")
        for variant, spent in seconds.items():
            table.add_row(describe_variant(variant), f"{spent:.1f}")
        out.print(table)
        line(f"Ready after {time.perf_counter() - begun:.0f} s. What was on disk was only read.")
