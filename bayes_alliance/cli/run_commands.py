"""run and rerun: an analysis file answered, and asked again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_alliance.cli.console import err, heading, line, out
from bayes_alliance.cli.interruption import on_stop
from bayes_alliance.report.terminal import estimands_table

if TYPE_CHECKING:
    from bayes_alliance.run.record import Run


def run(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="An analysis file (.toml); its paths lie in its folder.")
    ],
    out_folder: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder of the run; FILE-run beside the file.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a run of another analysis there; fits still asked for are kept.")
    ] = False,
    key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the key from codes to ids here, readable by you alone; else nowhere."),
    ] = None,
    cache: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of fits that several runs share.")] = None,
) -> None:
    """Run an analysis file: fit, check, compare, and keep everything a rerun and a report need."""
    from bayes_alliance.run.execution import default_folder, run_analysis

    place = out_folder if out_folder is not None else default_folder(file)
    with on_stop(f"fits that were finished are stored in {str(place)!r}; run the same command to go on from there."):
        found = run_analysis(file, folder=place, replace_old=replace, key=key, cache=cache, tell=line)
    _say(found)
    line(f"\nWritten to {found.folder}. Ids are codes there{'' if key is None else f'; the key is {key}'}.")
    line(f"Read it:        bayes-alliance report {found.folder}")
    line(f"Fit it again:   bayes-alliance rerun {found.folder}")
    if not found.passed:
        raise typer.Exit(1)


def rerun(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder that the analysis file's paths lie in; the one that holds RUN."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Another seed.")] = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Keep the new run in this empty folder.")
    ] = None,
) -> None:
    """Fit a run again and say whether the draws are bit-identical, statistically identical, or different.

    Ends with 0 where they are identical in either sense, else with 1.
    """
    from bayes_alliance.run.rerun import rerun as again

    kept = f"the run in {str(folder)!r} is as it was, and nothing else was stored; run the same command to begin again."
    if out_folder is not None:
        kept = f"fits that were finished are stored in {str(out_folder)!r}; run the same command to go on from there."
    with on_stop(kept):
        found = again(folder, data=data, seed=seed, out=out_folder, tell=line)
    style = "bold red" if found.level == "different" else "green"
    first, *rest = repr(found).splitlines()
    line(first, style)
    for text in rest:
        line(text)
    if found.level == "different":
        raise typer.Exit(1)


def _say(found: Run) -> None:
    """Print what each model says."""
    import pandas as pd

    if sys.stderr.isatty():
        err.print()  # the sampler's bar ends without a new line
    for label, model in found.record["models"].items():
        facts = model["facts"]
        heading(f"{label}: {facts['question'] or facts['title']}")
        line(facts["verdict"], "green" if facts["passed"] else "bold red")
        if facts["estimands"]:
            out.print(estimands_table(pd.DataFrame(facts["estimands"]).fillna(float("nan"))))
    for number, comparison in enumerate(found.record["comparisons"], start=1):
        heading(f"Comparison {number}, by {comparison['unit']}")
        line(pd.DataFrame(comparison["table"]).to_string(index=False, float_format=lambda v: f"{v:.2f}"))
