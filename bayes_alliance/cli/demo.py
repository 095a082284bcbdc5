"""demo: a synthetic trial of known truth, two questions, what was found, and what to run next."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table

from bayes_alliance.cli.console import err, heading, line, out
from bayes_alliance.cli.fit_commands import prepare, write_results
from bayes_alliance.cli.interruption import on_stop
from bayes_alliance.cli.simulate_command import options_text, write_table

if TYPE_CHECKING:
    import pandas as pd

    from bayes_alliance.simulate.simulation import SimulatedTable
    from bayes_alliance.simulate.twins import Generated, Twin

TWIN: Final = "embct-mbct"
MODELS: Final = ("growth/treatment", "outcome/two-outcomes")
SEED: Final = 1
ANALYSIS: Final = "analysis.toml"


def demo(
    out_folder: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder the table, summaries and pictures are written to.")
    ] = Path("bayes-alliance-demo"),
) -> None:
    """Simulate a trial of known truth, ask it two questions, and show what to run next."""
    with on_stop(f"what was written to {str(out_folder)!r} stays; run the same command to write all of it again."):
        _show(out_folder)


def _show(out_folder: Path) -> None:
    """Simulate, fit, write and print."""
    start = time.perf_counter()
    prepare(out_folder)
    out.print("A synthetic trial", style="bold")
    from bayes_alliance.simulate.twins import load_twin, simulate_twin

    twin = load_twin(TWIN)
    table = simulate_twin(TWIN, seed=SEED)
    data = out_folder / "trial.csv"
    write_table(table, data)
    line(f"Design of {twin.title!r} ({', '.join(twin.references)}): patients, arms and waves are the study's,")
    line("every number is ours, drawn from a truth that is written beside the table.")
    for message in table.messages:
        line(f"- {message}")
    passed = True
    asked = [outcome for outcome in twin.generate if outcome.model in MODELS]
    _load(table, asked)
    for outcome in asked:
        passed &= _ask(table, outcome, out_folder)
    _write_analysis(table, twin, data, out_folder)
    _next(table, next(outcome for outcome in twin.generate if outcome.model == MODELS[1]), data, out_folder)
    line(f"\nDone in {time.perf_counter() - start:.0f} seconds.")
    if not passed:
        raise typer.Exit(1)


def _load(table: SimulatedTable, asked: Sequence[Generated]) -> None:
    """Load all that the exact engine has compiled for these models, or compile it side by side."""
    from bayes_alliance.design.design import make_design
    from bayes_alliance.fit.exact import load_engine
    from bayes_alliance.spec.registry import load_model
    from bayes_alliance.study import Study

    made = [make_design(load_model(str(o.model)), Study(table, o.columns, table.reference)) for o in asked]
    load_engine(made, "auto")


def _ask(table: SimulatedTable, outcome: Generated, folder: Path) -> bool:
    """Fit one model, print what was found beside the truth, write its results; return whether sampling passed."""
    from bayes_alliance.fit.fit import fit_model
    from bayes_alliance.fit.settings import SamplerSettings
    from bayes_alliance.posterior.recovery import compare_with_truth
    from bayes_alliance.posterior.summary import summarize
    from bayes_alliance.spec.registry import load_model
    from bayes_alliance.study import Study

    spec = load_model(str(outcome.model))
    heading(spec.question)
    for equation in spec.equation:
        line(f"{outcome.model}: {equation.outcome} ~ {equation.formula}")
    fitted = fit_model(
        spec,
        Study(table, outcome.columns, table.reference),
        seed=SEED,
        settings=SamplerSettings(draws=1500, target_accept=0.95),
    )
    if sys.stderr.isatty():
        err.print()  # the sampler's bar ends without a new line
    where = folder / str(outcome.model).replace("/", "-")
    written = write_results(fitted, summarize(fitted), where)
    line(fitted.verdict, "green" if fitted.passed else "bold red")
    found = compare_with_truth(fitted, table.truth)
    out.print(_found(found))
    inside = int(found["inside"].sum())
    line(f"{inside} of {len(found)} intervals of 95% hold the truth. Over many trials 95% do; in one, a few may not.")
    line(f"Written to {where}: {', '.join(written)}")
    return fitted.passed


def _write_analysis(table: SimulatedTable, twin: Twin, data: Path, folder: Path) -> None:
    """Write an analysis file that asks the trial how the alliance grows, for run, report and rerun."""
    import hashlib

    import tomli_w

    from bayes_alliance.fit.store import replace_file

    grown = next(outcome for outcome in twin.generate if outcome.model == MODELS[0])
    content = {
        "title": "How the alliance grows, online and in a group (SYNTHETIC)",
        "question": "Does the alliance grow faster in one of the two conditions?",
        "seed": SEED,
        "data": {
            "path": data.name,
            "sha256": hashlib.sha256(data.read_bytes()).hexdigest(),
            "roles": dict(table.roles),
        },
        "columns": dict(grown.columns),
        "reference": dict(table.reference),
        "sampling": {"draws": 1500, "target_accept": 0.95},
        "model": [
            {
                "name": "growth/treatment",
                "label": "straight",
                "labels": {"faster": "outcome ~ time:condition"},
                "estimands": {
                    "difference_in_growth": {
                        "value": "faster",
                        "unit": "points of alliance per week, online minus in a group",
                        "rope": [-0.02, 0.02],
                        "reason": "Over the seven weeks measured .02 a week is a seventh of a point, on a scale to 7.",
                    }
                },
            },
            {"name": "growth/treatment", "course": "log", "label": "quick-at-first"},
        ],
        "comparison": [{"models": ["straight", "quick-at-first"]}],
    }
    replace_file(folder / ANALYSIS, tomli_w.dumps(content).encode())


def _found(found: pd.DataFrame) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Parameter", "Truth", "Mean", "95% interval", ""):
        table.add_column(column, justify="left" if column == "Parameter" else "right")
    for row in found.itertuples(index=False):
        name, truth, mean, low, high, inside = row
        table.add_row(
            str(name),
            f"{truth:.2f}",
            f"{mean:.2f}",
            f"{low:.2f} to {high:.2f}",
            "" if inside else "missed",
        )
    return table


def _next(table: SimulatedTable, outcome: Generated, data: Path, folder: Path) -> None:
    heading("Next")
    line(f"Look at the pictures in {folder}, then ask the same table with other priors:")
    from bayes_alliance.spec.registry import load_model

    options = options_text(table, outcome.columns, load_model(str(outcome.model)))
    line(f"  bayes-alliance fit {outcome.model} {data} {options} --prior 'b=normal(0, 2)' --seed 2 --out results")
    line("Ask it everything an analysis file asks, read the report, and fit it all again:")
    line(f"  bayes-alliance run {folder / ANALYSIS}")
    line(f"  bayes-alliance report {folder / 'analysis-run'}")
    line(f"  bayes-alliance rerun {folder / 'analysis-run'}")
    line("See which questions there are, and what each model needs:")
    line("  bayes-alliance models")
    line("  bayes-alliance show growth/treatment")
    line("Then your own table; check says everything that is wrong with it before anything is sampled:")
    line("  bayes-alliance check growth/treatment your.csv --columns patient=…,session=…,outcome=…,condition=… \\")
    line("      --reference condition=…")
