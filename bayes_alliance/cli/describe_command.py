"""describe: a table in figures, before any model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayes_alliance._messages import are
from bayes_alliance.cli.console import line
from bayes_alliance.cli.options import DataPath
from bayes_alliance.cli.table_options import TableGiven, takes
from bayes_alliance.errors import FitError, SpecError
from bayes_alliance.findings import Findings, Problem


@takes(TableGiven, "table")
def describe(
    data: DataPath,
    table: TableGiven,
    condition: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of the treatment arm, to count by.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the description as a page, too.")] = None,
) -> None:
    """Describe a table: what every column was read as, its figures, missing values, and values that look odd."""
    from bayes_alliance.report.description_page import description_page
    from bayes_alliance.table.description import describe as describe_table
    from bayes_alliance.table.description import describe_rows
    from bayes_alliance.table.file_reading import read_frame

    if table.roles() or table.each_row == "patient":
        found = describe_table(table.read(data), condition=condition)
    elif table.without_roles():
        raise SpecError(
            Problem(
                f"{', '.join(table.without_roles())} {are(len(table.without_roles()), 'needs', 'need')} the column of "
                "patients.",
                fix="Name it: --columns patient=COLUMN.",
            )
        )
    else:
        findings = Findings()
        found = describe_rows(read_frame(data, table.file_options(), findings), tuple(findings.messages), condition)
    line(str(found))
    if html is None:
        return
    try:
        html.write_text(description_page(found, data.name), encoding="utf-8")
    except OSError as error:
        raise FitError(f"--html {str(html)!r} cannot be written: {error.strerror}.") from None
    line(f"\nWritten: {html}")
