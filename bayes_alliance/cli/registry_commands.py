"""models and show: the registry on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Column, Table

from bayes_alliance.cli.console import heading, line, out
from bayes_alliance.cli.options import Course, ModelName
from bayes_alliance.names import TIME
from bayes_alliance.report.terminal import scale_text

if TYPE_CHECKING:
    from bayes_alliance.spec.model import ModelSpec


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


def show(name: ModelName, course: Course = "linear") -> None:
    """Print a model: its question, equations as written and in LaTeX, what it needs, estimands, priors, references."""
    from bayes_alliance.quadrature.choice import say_engine
    from bayes_alliance.spec.defaults import defaults_for
    from bayes_alliance.spec.equations import equation_latex, equation_text
    from bayes_alliance.spec.references import find_references
    from bayes_alliance.spec.registry import load_model

    spec = load_model(name, course=course)
    out.print(spec.title, style="bold")
    out.print(spec.question)
    for equation in spec.equation:
        heading("Equation" if len(spec.equation) == 1 else f"Equation of {equation.outcome}")
        line(equation_text(equation))
        line("\n" + equation_latex(equation))
    _print_needs(spec)
    if spec.estimands:
        _print_estimands(spec)
    heading("Priors (scaled to the data; 'check' prints the numbers)")
    table = Table("On", "Distribution", "Times", "Reason", box=None, pad_edge=False, header_style="bold")
    for prior in spec.prior:
        table.add_row(prior.on, prior.dist, scale_text(prior.scale), f"{prior.reason} (this model's own)")
    for shrink in spec.shrink.values():
        what = "mean and difference of " if shrink.contrast else ""
        table.add_row(
            f"{what}b {', '.join(shrink.terms)}", shrink.dist, "standardised", f"{shrink.reason} (this model's own)"
        )
    for on, default in defaults_for(spec):
        if on not in {prior.on for prior in spec.prior}:
            table.add_row(on, default.dist, scale_text(default.scale), default.reason)
    out.print(table)
    heading("Engine")
    out.print(say_engine(spec))
    heading("References")
    for reference in find_references(spec.references):
        line(f"- {reference.text}")
    if not spec.references:
        out.print("none")


def _print_needs(spec: ModelSpec) -> None:
    """Print the columns that a model reads, and what it makes of them."""
    from bayes_alliance.spec.needs import list_needs

    heading("Needs")
    table = Table(
        Column("Column", no_wrap=True),
        "One value per",
        "Holds",
        "Meaning",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    for need in list_needs(spec):
        table.add_row(f"{need.name}{' (optional)' if need.optional else ''}", need.unit, need.holds, need.text)
    out.print(table, highlight=False)
    for variable, text in spec.variables.items():
        line(f"computed:  {variable} = {text}, unless a column is named for it")
    for factor in spec.factors:
        group = spec.group(factor)
        joined = f"effects of {factor} correlate across {', '.join(group.correlate)}" if group.correlate else ""
        if joined:
            line(f"groups:    {joined}")
        if group.members:
            line(f"groups:    rows belong to those of {', '.join(group.members)} by weights")
    if spec.residual is not None and spec.residual.correlate:
        line(f"residuals: of {', '.join(spec.residual.correlate)} correlate within a row")
    for equation in spec.equation:
        if equation.residuals == "unstructured":
            by = spec.residual_by(equation)
            own = f", by {by}" if by else ""
            line(f"residuals: of {equation.outcome} have an SD for every visit, a correlation for every pair{own}")


def _print_estimands(spec: ModelSpec) -> None:
    """Print what a model answers: each estimand with its arithmetic, its unit and its meaning."""
    from bayes_alliance.spec.course import name_time

    heading("Estimands")
    for name, label in spec.labels.items():
        line(f"{name}: {label}")
    for name, estimand in name_time(spec, f"unit of {TIME}", TIME).estimands.items():
        line(f"{name} = {estimand.value}   ({estimand.unit})")
        if estimand.meaning:
            line(f"    {estimand.meaning}")
