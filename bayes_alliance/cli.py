"""The command line: models, show, check, fit."""

from __future__ import annotations

import io
import sys
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from bayes_alliance.errors import AllianceError, AllianceWarning, SpecError
from bayes_alliance.names import ROLES
from bayes_alliance.report.terminal import print_design, scale_text, summary_table

if TYPE_CHECKING:
    import pandas as pd

    from bayes_alliance.design.design import Design
    from bayes_alliance.fit.result import Fit
    from bayes_alliance.table.sessions import SessionTable

app = typer.Typer(
    name="bayes-alliance",
    help="Bayesian models of psychotherapy process: alliance, outcome, growth, dropout. Start with 'models', then "
    "'check' your table against one, then 'fit'.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console(width=None if sys.stdout.isatty() else 120)
err = Console(stderr=True)


class EngineName(StrEnum):
    """Engines of the command line."""

    auto = "auto"
    nuts = "nuts"


class TransfersName(StrEnum):
    """What a patient id under two therapists means."""

    ask = "ask"
    transferred = "transferred"
    reused = "reused"


ModelName = Annotated[str, typer.Argument(metavar="NAME", help="A model of the list, or the path of a .toml file.")]
DataPath = Annotated[Path, typer.Argument(metavar="DATA", help="CSV or parquet: one row per patient and session.")]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ROLE=COLUMN,…",
        help="Which column plays a role (patient, therapist, group, site, session) or a variable of the model; "
        "'in_group=arm[MBCT]' is 1 for that level. Repeatable.",
    ),
]
Reference = Annotated[
    list[str] | None,
    typer.Option(metavar="FACTOR=LEVEL", help="Level the others are compared with, such as condition=TAU. Repeatable."),
]
Minimum = Annotated[
    list[str] | None, typer.Option("--min", metavar="ROLE=VALUE", help="Smallest value kept, such as session=1.")
]
Maximum = Annotated[
    list[str] | None, typer.Option("--max", metavar="ROLE=VALUE", help="Largest value kept, such as session=12.")
]
Only = Annotated[list[str] | None, typer.Option(metavar="COLUMN=LEVEL", help="The one level kept, such as arm=MBCT.")]
PriorOption = Annotated[
    list[str] | None,
    typer.Option(
        "--prior", metavar="TARGET=DIST", help="A prior in place of the default: 'sd therapist=half_normal(1)'."
    ),
]
Missing = Annotated[
    list[str] | None, typer.Option(metavar="COLUMN=CODE", help="A further code that means missing, such as phq9=-9.")
]
Transfers = Annotated[TransfersName, typer.Option(help="What a patient id under two therapists means.")]
Ignore = Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="A column to leave unread. Repeatable.")]
Side = Annotated[
    Path | None, typer.Option(metavar="DATA", help="Table with what is measured once per unit, joined by id.")
]


@app.command()
def models() -> None:
    """List the models and the question each answers."""
    from bayes_alliance.spec.registry import list_models

    table = Table(
        Column("Model", no_wrap=True),
        "Question",
        "Tags",
        box=None,
        pad_edge=False,
        header_style="bold",
        row_styles=["", "dim"],
    )
    for entry in list_models():
        table.add_row(entry.name, entry.question, ", ".join(entry.tags))
    out.print(table)
    out.print("\n'bayes-alliance show NAME' prints a model's equation and priors.", style="italic")


@app.command()
def show(name: ModelName) -> None:
    """Print a model: its question, equations as written and in LaTeX, variables, priors, references."""
    from bayes_alliance.spec.defaults import DEFAULT_PRIORS, kinds_for
    from bayes_alliance.spec.equations import equation_latex, equation_text
    from bayes_alliance.spec.registry import load_model

    spec = load_model(name)
    out.print(spec.title, style="bold")
    out.print(spec.question)
    for equation in spec.equation:
        _heading("Equation")
        out.print(equation_text(equation), markup=False, highlight=False, soft_wrap=True)
        out.print("\n" + equation_latex(equation), markup=False, highlight=False, soft_wrap=True)
        _heading("Needs")
        needs = [variable for variable in equation.variables if variable not in spec.variables]
        out.print(f"variables: {', '.join(needs)}", markup=False)
        for variable, text in spec.variables.items():
            out.print(f"declared:  {variable} = {text}", markup=False)
        for factor in equation.factors:
            group = spec.group(factor)
            out.print(f"factor:    {factor}{' (optional)' if group.optional else ''}", markup=False)
        _heading("Priors (scaled to the data; 'check' prints the numbers)")
        table = Table("On", "Distribution", "Times", "Reason", box=None, pad_edge=False, header_style="bold")
        for prior in spec.prior:
            table.add_row(prior.on, prior.dist, scale_text(prior.scale), f"{prior.reason} (this model's own)")
        for kind, on in kinds_for(equation.family, equation.factors):
            default = DEFAULT_PRIORS[kind]
            if on not in {prior.on for prior in spec.prior}:
                table.add_row(on, default.dist, scale_text(default.scale), default.reason)
        out.print(table)
    _heading("References")
    out.print(", ".join(spec.references) or "none")


@app.command()
def check(
    name: ModelName,
    data: DataPath,
    columns: Columns = None,
    reference: Reference = None,
    minimum: Minimum = None,
    maximum: Maximum = None,
    only: Only = None,
    prior: PriorOption = None,
    missing: Missing = None,
    transfers: Transfers = TransfersName.ask,
    ignore: Ignore = None,
    patients: Side = None,
    therapists: Side = None,
    groups: Side = None,
) -> None:
    """Check a table against a model, everything short of sampling, and describe both."""
    from bayes_alliance.build.model import build_model, check_log_density
    from bayes_alliance.table.describe import describe

    sessions, variables = _read(
        data, columns, minimum, maximum, only, missing, transfers, ignore, patients, therapists, groups
    )
    condition = variables.get("condition", "condition")
    known = condition if condition in sessions.frame.columns else None
    _heading("Table")
    out.print(str(describe(sessions, condition=known)), markup=False, highlight=False, soft_wrap=True)
    design = _design(name, sessions, variables, reference, prior)
    _heading("Model")
    print_design(design, out)
    density = check_log_density(build_model(design.spec, design))
    out.print(f"\nReady to fit: the log-density at the starting point is {density:,.1f}.", style="green")


@app.command()
def fit(
    name: ModelName,
    data: DataPath,
    out_folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder the results are written to.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same draws.")],
    columns: Columns = None,
    reference: Reference = None,
    minimum: Minimum = None,
    maximum: Maximum = None,
    only: Only = None,
    prior: PriorOption = None,
    draws: Annotated[int, typer.Option(help="Draws per chain after tuning.")] = 1000,
    tune: Annotated[int, typer.Option(help="Tuning draws per chain.")] = 1000,
    chains: Annotated[int, typer.Option(help="Chains.")] = 4,
    engine: Annotated[
        EngineName, typer.Option(help="auto takes the exact engine where there is one.")
    ] = EngineName.auto,
    missing: Missing = None,
    transfers: Transfers = TransfersName.ask,
    ignore: Ignore = None,
    patients: Side = None,
    therapists: Side = None,
    groups: Side = None,
) -> None:
    """Fit a model; write summary.csv, the posterior and a picture."""
    from bayes_alliance.fit.fit import fit_model
    from bayes_alliance.fit.settings import SamplerSettings
    from bayes_alliance.posterior.summarize import summarize
    from bayes_alliance.spec.registry import load_model

    spec = load_model(name)
    _prepare(out_folder)
    settings = SamplerSettings(draws=draws, tune=tune, chains=chains)
    sessions, variables = _read(
        data, columns, minimum, maximum, only, missing, transfers, ignore, patients, therapists, groups
    )
    fitted = fit_model(
        spec,
        sessions,
        columns=variables,
        reference=_pairs(reference, "--reference"),
        priors=_pairs(prior, "--prior", split=False),
        seed=seed,
        engine=engine.value,
        settings=settings,
    )
    summary = summarize(fitted)
    written = _write(fitted, summary, out_folder)
    if sys.stderr.isatty():
        err.print()  # the sampler's bar ends without a new line
    out.print(fitted.verdict, style="green" if fitted.passed else "bold red", highlight=False)
    for message in fitted.messages:
        out.print(f"- {message}", markup=False, highlight=False, soft_wrap=True)
    out.print(summary_table(summary))
    out.print(f"Written to {out_folder}: {', '.join(written)}", markup=False, highlight=False, soft_wrap=True)


def main() -> None:
    """Run the command line; bad input ends with exit code 2 and the collected problems, never a traceback."""
    warnings.simplefilter("ignore", AllianceWarning)
    try:
        app(standalone_mode=True)
    except AllianceError as error:
        err.print(f"{type(error).__name__}: ", style="bold red", end="")
        err.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)


def _read(
    data: Path,
    columns: Sequence[str] | None,
    minimum: Sequence[str] | None,
    maximum: Sequence[str] | None,
    only: Sequence[str] | None,
    missing: Sequence[str] | None,
    transfers: TransfersName,
    ignore: Sequence[str] | None,
    patients: Path | None,
    therapists: Path | None,
    groups: Path | None,
) -> tuple[SessionTable, dict[str, str]]:
    """Read the table and split the column mapping into roles and variables of the model."""
    from bayes_alliance.table.select import select_rows
    from bayes_alliance.table.sessions import read_sessions

    mapping = _pairs(columns, "--columns")
    codes: dict[str, list[str | float]] = {}
    for text in missing or []:
        for name, code in _pairs([text], "--missing", split=False).items():
            codes.setdefault(name, []).append(code)
    sessions = read_sessions(
        data,
        roles={name: column for name, column in mapping.items() if name in ROLES},
        patients=patients,
        therapists=therapists,
        groups=groups,
        missing=codes,
        transfers=transfers.value,
        ignore=ignore or (),
    )
    limits = [_numbers(_pairs(texts, option), option) for texts, option in ((minimum, "--min"), (maximum, "--max"))]
    chosen = select_rows(sessions, minimum=limits[0], maximum=limits[1], only=_pairs(only, "--only"))
    return chosen, {name: column for name, column in mapping.items() if name not in ROLES}


def _design(
    name: str,
    sessions: SessionTable,
    variables: dict[str, str],
    reference: Sequence[str] | None,
    prior: Sequence[str] | None,
) -> Design:
    from bayes_alliance.design.design import make_design
    from bayes_alliance.spec.registry import load_model

    return make_design(
        load_model(name),
        sessions,
        columns=variables,
        reference=_pairs(reference, "--reference"),
        priors=_pairs(prior, "--prior", split=False),
    )


def _pairs(texts: Iterable[str] | None, option: str, *, split: bool = True) -> dict[str, str]:
    """Read ``name=value`` texts, several in one where split by commas; a name given twice is an error."""
    found: dict[str, str] = {}
    problems = []
    for text in texts or ():
        parts = text.split(",")
        for part in parts if split and all("=" in piece for piece in parts) else [text]:
            name, sign, value = (piece.strip() for piece in part.partition("="))
            if not (name and sign and value):
                problems.append(f"{option} {part!r} is not written as name=value.")
            elif found.get(name, value) != value:
                problems.append(f"{option} names {name!r} twice: {found[name]!r} and {value!r}.")
            else:
                found[name] = value
    if problems:
        raise SpecError(problems)
    return found


def _numbers(pairs: dict[str, str], option: str) -> dict[str, float]:
    numbers = {}
    for name, value in pairs.items():
        try:
            numbers[name] = float(value)
        except ValueError:
            raise SpecError(f"{option} {name}={value!r}: a number is needed.") from None
    return numbers


def _heading(text: str) -> None:
    out.print(f"\n{text}", style="bold", markup=False)


def _prepare(folder: Path) -> None:
    """Find out before sampling whether results can be written."""
    from bayes_alliance.errors import FitError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise FitError(f"--out {str(folder)!r} cannot be written: {error.strerror}.") from None


def _write(fitted: Fit, summary: pd.DataFrame, folder: Path) -> list[str]:
    from bayes_alliance.fit.store import write_artefact

    fitted.save(folder / "fit")
    files = {"summary.csv": summary.to_csv(index=False).encode()}
    picture = _picture(fitted)
    if picture is not None:
        files[picture[0]] = picture[1]
    write_artefact(folder, files)
    return [*files, "fit/"]


def _picture(fitted: Fit) -> tuple[str, bytes] | None:
    """Return the name and bytes of the picture: trajectories, else effects, none for a model without predictors."""
    from bayes_alliance.plot.effects import has_effects, plot_effects
    from bayes_alliance.plot.trajectories import plot_trajectories
    from bayes_alliance.posterior.predict import has_trajectories

    buffer = io.BytesIO()
    if has_trajectories(fitted):
        plot_trajectories(fitted).savefig(buffer, format="png")
        return "trajectories.png", buffer.getvalue()
    if has_effects(fitted):
        plot_effects(fitted).savefig(buffer, format="png")
        return "effects.png", buffer.getvalue()
    return None


if __name__ == "__main__":
    main()
