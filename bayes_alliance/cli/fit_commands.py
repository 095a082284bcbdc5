"""check and fit: a table and a model."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_alliance.cli.console import err, heading, line, out
from bayes_alliance.cli.interruption import on_stop
from bayes_alliance.cli.options import Course, DataPath, EngineName, ModelName, PriorOption, Reference, pairs
from bayes_alliance.cli.table_options import TableGiven, takes
from bayes_alliance.errors import DesignError
from bayes_alliance.report.terminal import claims_table, estimands_table, print_design, print_missing, summary_table

if TYPE_CHECKING:
    import pandas as pd

    from bayes_alliance.design.design import Design
    from bayes_alliance.fit.result import Fit
    from bayes_alliance.spec.model import ModelSpec
    from bayes_alliance.table.sessions import SessionTable


@takes(TableGiven, "table")
def check(
    name: ModelName,
    data: DataPath,
    table: TableGiven,
    reference: Reference = None,
    prior: PriorOption = None,
    course: Course = "linear",
) -> None:
    """Check a table against a model, everything short of sampling, and describe both."""
    from bayes_alliance.build.model import build_model, check_log_density
    from bayes_alliance.posterior.prior import describe_prior
    from bayes_alliance.spec.registry import load_model
    from bayes_alliance.table.description import describe

    sessions, variables = table.read(data), table.variables()
    condition = variables.get("condition", "condition")
    known = condition if condition in sessions.frame.columns else None
    heading("Table")
    line(str(describe(sessions, condition=known)))
    design = _design(load_model(name, course=course), sessions, variables, reference, prior)
    heading("Model")
    print_design(design, out)
    heading("What the priors claim (1,000 draws from them)")
    try:
        out.print(claims_table(describe_prior(design, seed=1)))
    except DesignError as error:
        line(str(error))
    density = check_log_density(build_model(design.spec, design))
    out.print(f"\nReady to fit: the log-density at the starting point is {density:,.1f}.", style="green")


@takes(TableGiven, "table")
def fit(
    name: ModelName,
    data: DataPath,
    out_folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder the results are written to.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same draws.")],
    table: TableGiven,
    reference: Reference = None,
    prior: PriorOption = None,
    course: Course = "linear",
    draws: Annotated[int, typer.Option(help="Draws per chain after tuning.")] = 1000,
    tune: Annotated[int, typer.Option(help="Tuning draws per chain.")] = 1000,
    chains: Annotated[int, typer.Option(help="Chains.")] = 4,
    target_accept: Annotated[
        float | None,
        typer.Option(help="Share of its steps NUTS aims to accept: 0.8, with a horseshoe 0.99, unless given."),
    ] = None,
    engine: Annotated[
        EngineName, typer.Option(help="auto takes the exact engine where there is one.")
    ] = EngineName.auto,
    effects: Annotated[
        bool,
        typer.Option("--effects", help="Store the effects of every unit, so that predict knows the study's units."),
    ] = False,
) -> None:
    """Fit a model; write summary.csv, estimands.csv, the posterior and pictures."""
    from bayes_alliance.fit.fit import fit_model
    from bayes_alliance.fit.settings import SamplerSettings
    from bayes_alliance.posterior.estimands import summarize_estimands
    from bayes_alliance.posterior.summary import summarize
    from bayes_alliance.posterior.surfaces import all_surfaces
    from bayes_alliance.spec.registry import load_model
    from bayes_alliance.study import Study

    spec = load_model(name, course=course)
    prepare(out_folder)
    settings = SamplerSettings(draws=draws, tune=tune, chains=chains, target_accept=target_accept)
    sessions, variables = table.read(data), table.variables()
    if any(equation.modelled for equation in spec.equation):
        print_missing(_design(spec, sessions, variables, reference, prior), out)
    with on_stop(f"{str(out_folder)!r} is as it was; run the same command to begin again."):
        fitted = fit_model(
            spec,
            Study(sessions, variables, pairs(reference, "--reference"), pairs(prior, "--prior", split=False)),
            seed=seed,
            engine=engine.value,
            settings=settings,
        )
        summary = summarize(fitted)
    with on_stop(f"{str(out_folder)!r} holds the earlier results or the new ones, whole; run the same command again."):
        written = write_results(fitted, summary, out_folder, effects=effects or None)
    if sys.stderr.isatty():
        err.print()  # the sampler's bar ends without a new line
    line(fitted.verdict, "green" if fitted.passed else "bold red")
    for message in fitted.messages:
        line(f"- {message}")
    out.print(summary_table(summary))
    estimands = summarize_estimands(fitted)
    if len(estimands):
        heading("Estimands")
        out.print(estimands_table(estimands))
    for label, surface in all_surfaces(fitted).items():
        heading(f"Response surface{f', {label}' if label else ''}")
        line(str(surface))
    line(f"Written to {out_folder}: {', '.join(written)}")


def _design(
    spec: ModelSpec,
    sessions: SessionTable,
    variables: dict[str, str],
    reference: Sequence[str] | None,
    prior: Sequence[str] | None,
) -> Design:
    from bayes_alliance.design.design import make_design
    from bayes_alliance.study import Study

    stated, priors = pairs(reference, "--reference"), pairs(prior, "--prior", split=False)
    return make_design(spec, Study(sessions, variables, stated, priors))


def prepare(folder: Path) -> None:
    """Find out before sampling whether results can be written."""
    from bayes_alliance.errors import FitError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise FitError(f"--out {str(folder)!r} cannot be written: {error.strerror}.") from None


def write_results(fitted: Fit, summary: pd.DataFrame, folder: Path, *, effects: bool | None = None) -> list[str]:
    """Write the fit, its summary and every picture there is, all or nothing; return the names.

    ``effects`` are as in ``Fit.save``.
    """
    from bayes_alliance.fit.result import RESULTS, fit_files
    from bayes_alliance.fit.spreadsheet import csv_bytes
    from bayes_alliance.fit.store import write_artefact
    from bayes_alliance.plot.pictures import draw_pictures
    from bayes_alliance.posterior.estimands import summarize_estimands
    from bayes_alliance.posterior.surfaces import all_surfaces, surface_tables

    files = {**fit_files(fitted, effects=effects), "summary.csv": csv_bytes(summary)}
    estimands = summarize_estimands(fitted)
    if len(estimands):
        files["estimands.csv"] = csv_bytes(estimands)
    files |= {f"{name}.csv": csv_bytes(table) for name, table in surface_tables(all_surfaces(fitted)).items()}
    files |= draw_pictures(fitted)
    # one artefact: posterior and summary are always of one fit
    write_artefact(folder, files, known=RESULTS)
    return list(files)
