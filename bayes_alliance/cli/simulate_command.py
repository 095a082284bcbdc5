"""simulate: a synthetic study from a model, a layout and a stated truth, or a twin of a published one."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_alliance._messages import visible
from bayes_alliance.cli.console import line, out
from bayes_alliance.cli.fit_commands import prepare
from bayes_alliance.cli.interruption import on_stop
from bayes_alliance.cli.options import Course, ModelName
from bayes_alliance.errors import SpecError

if TYPE_CHECKING:
    from bayes_alliance.simulate.simulation import SimulatedTable
    from bayes_alliance.spec.model import ModelSpec


def simulate(
    name: ModelName,
    layout: Annotated[
        str,
        typer.Option(
            metavar="TWIN|FILE", help="A twin of a study, or a .toml file with tables layout, variables, truth."
        ),
    ],
    out_file: Annotated[Path, typer.Option("--out", metavar="CSV", help="File the table is written to.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same table.")] = 1,
    course: Course = "linear",
) -> None:
    """Simulate a synthetic table with known truth; the truth is written beside it."""
    from bayes_alliance.simulate.twins import load_twin, simulate_twin
    from bayes_alliance.spec.registry import load_model

    if layout.endswith(".toml"):
        table, columns = _from_file(Path(layout), load_model(name, course=course), seed)
    else:
        twin = load_twin(layout)
        if course != "linear":
            raise SpecError(f"Twin {layout!r} has the courses of its study; --course is for layouts of your own.")
        if name not in twin.models:
            has = ", ".join(twin.models) or "no registered model"
            raise SpecError(f"Twin {layout!r} has no data for {name!r}; it has them for {has}.")
        table = simulate_twin(layout, seed=seed)
        columns = next(outcome.columns for outcome in twin.generate if outcome.model == name)
    put_table(table, out_file)
    command = f"bayes-alliance fit {shlex.quote(name)} {shlex.quote(str(out_file))}"
    command += "" if course == "linear" else f" --course {shlex.quote(course)}"
    line(f"  {command} {options_text(table, columns, load_model(name))} --seed 1 --out results")


def _from_file(path: Path, spec: ModelSpec, seed: int) -> tuple[SimulatedTable, Mapping[str, str]]:
    """Simulate from a file with a layout, variables and a truth of its own."""
    from bayes_alliance.simulate.files import read_study
    from bayes_alliance.simulate.simulation import simulate_sessions

    study = read_study(path)
    table = simulate_sessions(
        spec,
        study.layout,
        truth=study.truth,
        seed=seed,
        variables=study.variables,
        columns=study.columns,
        reference=study.reference,
    )
    return table, study.columns


def put_table(table: SimulatedTable, path: Path) -> None:
    """Write a table and its truth, say so, and begin the list of what to run next."""
    prepare(path.parent)
    with on_stop(f"{str(path)!r} is the earlier table or the new one, whole; run the same command again."):
        truth_file = write_table(table, path)
    for message in table.messages:
        line(f"- {message}")
    line(f"Written: {path} ({len(table):,} rows) and its truth, {truth_file}")
    out.print("Next:", style="bold")


def write_table(table: SimulatedTable, path: Path) -> Path:
    """Write a table as CSV and its truth beside it; return where the truth is."""
    from bayes_alliance.fit.store import replace_file

    truth_file = path.with_suffix(".truth.toml")
    truth_file.unlink(missing_ok=True)  # a stop never leaves a table with another truth
    replace_file(path, table.frame.to_csv(index=False).encode())
    replace_file(truth_file, truth_text(table).encode())
    return truth_file


def truth_text(table: SimulatedTable) -> str:
    """Return the truth of a table as TOML, labelled synthetic."""
    import tomli_w

    notes = [f"# {line}\n" for message in table.messages for line in visible(message).splitlines()]
    return "".join(notes) + str(tomli_w.dumps({"truth": {name: float(value) for name, value in table.truth.items()}}))


def options_text(table: SimulatedTable, columns: Mapping[str, str], spec: ModelSpec) -> str:
    """Return the options that tell check and fit which column is what, as a shell reads them."""
    mapping = dict(table.roles) | dict(columns)
    reads_condition = any("condition" in spec.variables_of(equation) for equation in spec.equation)
    if reads_condition:
        mapping.setdefault("condition", table.condition)
    text = "--columns " + shlex.quote(",".join(f"{name}={column}" for name, column in mapping.items()))
    if table.reference and reads_condition:
        text += f" --reference {shlex.quote('condition=' + table.reference['condition'])}"
    for column, (low, high) in table.bounds.items():
        text += f" --bounds {shlex.quote(f'{column}={low:g}:{high:g}')}"
    return text
