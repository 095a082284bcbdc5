"""calibrate: studies from the priors of a model, fitted, and truths ranked."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_alliance._messages import count_of
from bayes_alliance.cli.console import err, line, out
from bayes_alliance.cli.fit_commands import prepare
from bayes_alliance.cli.interruption import on_stop
from bayes_alliance.cli.options import Course, ModelName, PriorOption, pairs
from bayes_alliance.errors import SpecError

if TYPE_CHECKING:
    from bayes_alliance.diagnosis.calibration import Calibration


def calibrate(
    name: ModelName,
    n: Annotated[int, typer.Option(min=1, help="Studies; 200 find what 20 cannot.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same studies.")] = 1,
    layout: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A .toml file of your own with tables layout, variables, truth.")
    ] = None,
    prior: PriorOption = None,
    course: Course = "linear",
    draws: Annotated[int, typer.Option(min=50, help="Draws per chain of each fit.")] = 250,
    chains: Annotated[int, typer.Option(min=1, help="Chains of each fit.")] = 4,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; as many as there are cores.")] = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for ranks.csv, table.csv, ranks.png.")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder that keeps studies as they are done; what was stopped goes on."),
    ] = None,
    card: Annotated[bool, typer.Option("--card", help="Write the card beside the registered model.")] = False,
) -> None:
    """Check by simulation that a model, its priors and its engine recover what studies were drawn from."""
    from bayes_alliance.diagnosis import cards
    from bayes_alliance.diagnosis.calibration import DEFAULTS
    from bayes_alliance.diagnosis.calibration import calibrate as run
    from bayes_alliance.simulate.files import read_study
    from bayes_alliance.spec.course import COURSES
    from bayes_alliance.spec.registry import load_model, model_names

    spec = load_model(name, course=course)
    if card and name not in model_names():
        raise SpecError(f"--card is for registered models; {name!r} is a file of its own.")
    if card and course not in COURSES:
        raise SpecError(f"--card is for courses without numbers of their own; {course!r} has them.")
    study = cards.default_study(name) if layout is None else read_study(layout)
    if card and (study.truth or prior):
        raise SpecError("--card is for studies from the model's own priors: leave [truth] and --prior out.")
    if out_folder is not None:
        prepare(out_folder)
    kept = "nothing was stored; with --cache DIR a calibration that is stopped goes on from there."
    if cache is not None:
        kept = f"studies that were done are stored in {str(cache)!r}; run the same command to go on from there."
    with on_stop(kept):
        found = run(
            spec,
            study.layout,
            n=n,
            seed=seed,
            variables=study.variables,
            columns=study.columns,
            reference=study.reference,
            priors=pairs(prior, "--prior", split=False),
            truth=study.truth or None,
            settings=replace(DEFAULTS, draws=draws, chains=chains),
            cache=cache,
            workers=workers,
        )
    _say(found)
    if out_folder is not None:
        _write(found, out_folder)
    if card:
        path = cards.card_path(name, course)
        cards.write_card(cards.make_card(name, course, spec, study, found), path)
        line(f"Card: {path.name}")
    if not found.passed:
        err.print("Not calibrated.", style="bold red")
        sys.exit(1)


def _say(found: Calibration) -> None:
    """Print what a calibration found."""
    from bayes_alliance.report.terminal import calibration_table

    out.print(found.verdict, style="green" if found.passed else "bold red", highlight=False)
    line(f"{len(found)} SYNTHETIC studies, {found.engine} engine, {found.seconds / 60:.1f} minutes of one core.")
    if found.from_cache:
        line(f"- {count_of(found.from_cache, 'study was', 'studies were')} in the cache.")
    for why, count in found.lost.items():
        line(f"- {count} could not be fitted: {why}")
    out.print(calibration_table(found.table()))


def _write(found: Calibration, folder: Path) -> None:
    """Write the table, the ranks and their picture."""
    import pandas as pd

    from bayes_alliance.fit.spreadsheet import csv_bytes
    from bayes_alliance.fit.store import write_artefact
    from bayes_alliance.plot.pictures import picture_bytes

    files = {
        "table.csv": csv_bytes(found.table()),
        "ranks.csv": csv_bytes(pd.DataFrame(found.ranks, columns=list(found.quantities))),
    }
    if found.at_prior:
        from bayes_alliance.plot.calibration import plot_calibration

        files["ranks.png"] = picture_bytes(plot_calibration(found))
    write_artefact(folder, files, known=re.compile(r"(table|ranks)\.csv|ranks\.png"))
    line(f"Written to {folder}: {', '.join(files)}")
