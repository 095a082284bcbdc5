"""describe: a table in figures, before any model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayes_alliance.cli.console import line
from bayes_alliance.cli.options import (
    Accept,
    BoundsOption,
    Columns,
    DataPath,
    Decimal,
    Encoding,
    FileGiven,
    Header,
    Labels,
    Missing,
    Scores,
    Separator,
    Sheet,
    codes_by_column,
    pairs,
    ranges,
    scores_of,
    values_by_column,
)
from bayes_alliance.errors import FitError
from bayes_alliance.names import ROLES


def describe(
    data: DataPath,
    columns: Columns = None,
    condition: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of the treatment arm, to count by.")
    ] = None,
    missing: Missing = None,
    accept: Accept = None,
    score: Scores = None,
    bounds: BoundsOption = None,
    separator: Separator = None,
    decimal: Decimal = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
    header: Header = None,
    labels: Labels = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the description as a page, too.")] = None,
) -> None:
    """Describe a table: what every column was read as, its figures, missing values, and values that look odd."""
    from bayes_alliance.findings import Findings
    from bayes_alliance.report.description_page import description_page
    from bayes_alliance.table.description import describe as describe_table
    from bayes_alliance.table.description import describe_rows
    from bayes_alliance.table.file_reading import read_frame
    from bayes_alliance.table.files.options import FileOptions
    from bayes_alliance.table.sessions import read_sessions

    given = FileGiven(separator, decimal, encoding, sheet, header, labels).arguments()
    roles = {name: column for name, column in pairs(columns, "--columns").items() if name in ROLES}
    if roles:
        table = read_sessions(
            data,
            roles,
            missing=codes_by_column(missing),
            accept=values_by_column(accept, "--accept"),
            scores=scores_of(score),
            bounds=ranges(pairs(bounds, "--bounds"), "--bounds"),
            **given,
        )
        found = describe_table(table, condition=condition)
    else:
        findings = Findings()
        found = describe_rows(read_frame(data, FileOptions(**given), findings), tuple(findings.messages), condition)
    line(str(found))
    if html is None:
        return
    try:
        html.write_text(description_page(found, data.name), encoding="utf-8")
    except OSError as error:
        raise FitError(f"--html {str(html)!r} cannot be written: {error.strerror}.") from None
    line(f"\nWritten: {html}")
