"""warm: the compiled functions of engines that integrate, built before they are needed."""

from __future__ import annotations

import time

from rich.table import Table

from bayes_alliance.cli.console import line, out
from bayes_alliance.cli.interruption import on_stop


def warm() -> None:
    """Compile the engines that integrate beforehand: else the first fit of a kind takes half a minute longer."""
    with on_stop("what was compiled stays; run the same command to compile the rest."):
        from bayes_alliance.collapse.callbacks import VARIANTS
        from bayes_alliance.collapse.warm import compile_all, describe_variant
        from bayes_alliance.fit.progress import counter
        from bayes_alliance.quadrature.compilation import EFFECTS, VALUES, load

        begun = time.perf_counter()
        with counter("Compiling the engines", len(VARIANTS) + 2, "auto") as advance:
            seconds = {describe_variant(variant): spent for variant, spent in compile_all(advance).items()}
            for number, what in enumerate((VALUES, EFFECTS), start=1):
                seconds[f"quadrature, {what}"] = load(what)
                advance(len(VARIANTS) + number)
        table = Table("compiled function", "seconds")
        for name, spent in seconds.items():
            table.add_row(name, f"{spent:.1f}")
        out.print(table)
        line(f"Ready after {time.perf_counter() - begun:.0f} s. What was on disk was only read.")
