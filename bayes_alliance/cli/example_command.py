"""example: synthetic data that a registered model runs on, and the commands that read them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from bayes_alliance.cli.console import line
from bayes_alliance.cli.simulate_command import options_text, put_table


def example(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model of the list.")],
    out_folder: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder that the table and its truth are written to.")
    ] = Path("."),
) -> None:
    """Write synthetic data that a registered model runs on, and print the commands that check and fit them."""
    from bayes_alliance.diagnosis.examples import example_study
    from bayes_alliance.simulate.simulation import SimulatedTable
    from bayes_alliance.spec.registry import load_model

    study = example_study(name)
    table = study.sessions
    assert isinstance(table, SimulatedTable)
    data = out_folder / f"{name.replace('/', '-')}.csv"
    put_table(table, data)
    given = f"{shlex.quote(name)} {shlex.quote(str(data))} "
    given += options_text(table, study.columns, load_model(name))
    line(f"  bayes-alliance check {given}")
    line(f"  bayes-alliance fit {given} --seed 1 --out results")
