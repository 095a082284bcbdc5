"""predict: what a saved fit expects of new rows, or of rows that are made."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_alliance.cli.console import line
from bayes_alliance.cli.options import pairs
from bayes_alliance.cli.table_options import FileGiven, takes
from bayes_alliance.errors import FitError, SpecError
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.names import SESSION

if TYPE_CHECKING:
    from bayes_alliance.design.design import Design
    from bayes_alliance.expectation.questions import Values


class WhatName(StrEnum):
    """What is predicted."""

    expected = "expected"
    linear = "linear"
    drawn = "drawn"
    probability = "probability"
    survival = "survival"


@takes(FileGiven, "file")
def predict(
    fit: Annotated[Path, typer.Argument(metavar="FIT", help="Folder of a fit, as 'fit' writes it.")],
    file: FileGiven,
    rows: Annotated[
        Path | None,
        typer.Argument(
            metavar="ROWS",
            help="A file of new rows, as 'fit' reads them: predictors, called as in the fitted table or in the model, "
            "and ids. No outcome is needed. Ids that were not fitted are new patients, therapists and so on.",
        ),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE,…",
            help="Without ROWS: a row per combination of these values, such as --grid condition=TAU,CBT --grid "
            "session=1,8; all else at its mean or most frequent value. A level with a comma stands in double quotes. "
            "Repeatable.",
        ),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE,…", help="Set a predictor to these values in every row. Repeatable."),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Average rows by a predictor, a factor such as therapist, or session."),
    ] = None,
    groups: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOW",
            help="Whose effects: new (of new units, averaged over), own (of the rows' units, by their ids) or zero; of "
            "one factor as therapist=own. Repeatable.",
        ),
    ] = None,
    what: Annotated[
        WhatName,
        typer.Option(
            help="The expected outcome, the linear predictor, outcomes drawn with residuals, the probability of each "
            "category, or the chance to be still there."
        ),
    ] = WhatName.expected,
    outcome: Annotated[str | None, typer.Option(metavar="NAME", help="Which outcome, where there are several.")] = None,
    propagate: Annotated[
        bool, typer.Option("--propagate", help="Let outcomes that this one reads follow from their own equations.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="For what is drawn.")] = 1,
    ci_prob: Annotated[float, typer.Option(help="Probability of the intervals that are written.")] = 0.95,
    out_file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the table as CSV, every line of it.")
    ] = None,
) -> None:
    """Predict new rows, or rows of stated values, by a saved fit; the rows it was fitted to are not needed."""
    from bayes_alliance.fit.result import design_for_rows, load_fit
    from bayes_alliance.fit.spreadsheet import csv_bytes
    from bayes_alliance.posterior.predictions import predictions
    from bayes_alliance.posterior.summary import check_interval
    from bayes_alliance.table.file_reading import read_frame

    if (rows is None) == (not grid):
        raise SpecError(
            Problem(
                "Which rows are meant is stated twice." if grid else "Which rows are meant is not stated.",
                fix="Give a file of new rows, or --grid NAME=VALUE,…",
            )
        )
    check_interval(ci_prob, "eti")
    loaded = load_fit(fit)
    findings = Findings()
    options = replace(file.file_options(), numbers=_numbers(design_for_rows(loaded)))
    new = None if rows is None else read_frame(rows, options, findings)
    for message in findings.messages:
        line(message)
    found = predictions(
        loaded,
        new,
        grid=_values(grid, "--grid") or None,
        at=_values(at, "--at") or None,
        by=by or None,
        groups=_groups(groups),
        what=what.value,
        propagate=propagate,
        outcome=outcome,
        seed=seed,
    )
    if not loaded.passed:
        line(loaded.verdict, "bold red")
    table = found.table(ci_prob=ci_prob)
    if out_file is None:
        line(str(found))
        return
    try:
        out_file.write_bytes(csv_bytes(table))
    except OSError as error:
        raise FitError(f"--out {str(out_file)!r} cannot be written: {error.strerror}.") from None
    for message in found.messages:
        line(f"- {message}")
    line(f"Written to {out_file}: {len(table):,} lines.")


def _numbers(design: Design) -> tuple[str, ...]:
    """Return what the fit read as numbers, under the names of its table and of its model: labels explain these."""
    own = [v for e in design.equations for v in e.variables.values() if v.levels is None]
    names = {name for variable in own for name in (variable.name, variable.label)}
    return tuple(sorted(map(escape, {*names, SESSION, design.roles.get(SESSION, SESSION)})))


def _values(texts: Sequence[str] | None, option: str) -> dict[str, Values]:
    """Return the values of every name, numbers where they are."""
    stated = pairs(texts, option, split=False)
    return {
        name: [_number(value.strip()) for value in next(csv.reader([text], skipinitialspace=True))]
        for name, text in stated.items()
    }


def _number(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _groups(texts: Sequence[str] | None) -> Any:
    """Return what is done with effects: of all factors, or by factor."""
    by_factor = [text for text in texts or () if "=" in text]
    whole = [text for text in texts or () if "=" not in text]
    if (by_factor and whole) or len(whole) > 1:
        raise SpecError("--groups is one of new, own and zero for all factors, or NAME=HOW for each.")
    if whole:
        return whole[0]
    return pairs(by_factor, "--groups") if by_factor else "new"
