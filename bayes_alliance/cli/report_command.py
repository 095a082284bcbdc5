"""report: what a run found, as a page people read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from bayes_alliance.cli.console import line

if TYPE_CHECKING:
    from bayes_alliance.report.report_files import Format


def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    out_folder: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder of the report; RUN-report beside the run.")
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="FORMAT", help="html, md, docx, pdf (the last two by pandoc). Repeatable."),
    ] = None,
) -> None:
    """Write the report of a run: one HTML page, and Markdown."""
    from bayes_alliance.report.report_files import write_report

    chosen = tuple(cast("list[Format]", formats or ["html", "md"]))
    for path in write_report(folder, folder=out_folder, formats=chosen).values():
        line(f"Written: {path}")
