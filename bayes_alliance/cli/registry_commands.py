"""models and show: the registry on the terminal."""

from __future__ import annotations

from rich.table import Column, Table

from bayes_alliance.cli.console import heading, line, out
from bayes_alliance.cli.options import Course, ModelName
from bayes_alliance.names import TIME
from bayes_alliance.report.terminal import scale_text


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
    """Print a model: its question, equations as written and in LaTeX, variables, priors, references."""
    from bayes_alliance.collapse.eligibility import EXACT, find_obstacles, say_obstacles
    from bayes_alliance.spec.defaults import defaults_for
    from bayes_alliance.spec.equations import equation_latex, equation_text
    from bayes_alliance.spec.needed_variables import needed_variables
    from bayes_alliance.spec.registry import load_model

    spec = load_model(name, course=course)
    out.print(spec.title, style="bold")
    out.print(spec.question)
    for equation in spec.equation:
        heading("Equation" if len(spec.equation) == 1 else f"Equation of {equation.outcome}")
        line(equation_text(equation))
        line("\n" + equation_latex(equation))
    heading("Needs")
    for variable in needed_variables(spec):
        played = " (the session, unless a column is named)" if variable == TIME and TIME not in spec.variables else ""
        out.print(f"variable:  {variable}{played}", highlight=False)
    for variable, text in spec.variables.items():
        out.print(f"declared:  {variable} = {text}")
    for factor in spec.factors:
        group = spec.group(factor)
        joined = f"; effects correlate across {', '.join(group.correlate)}" if group.correlate else ""
        joined += f"; rows belong to those of {', '.join(group.members)} by weights" if group.members else ""
        out.print(f"factor:    {factor}{' (optional)' if group.optional else ''}{joined}")
    if spec.residual is not None:
        out.print(f"residuals: of {', '.join(spec.residual.correlate)} correlate within a row")
    if spec.estimands:
        heading("Estimands")
        for name, label in spec.labels.items():
            out.print(f"{name}: {label}", highlight=False)
        for name, estimand in spec.estimands.items():
            out.print(f"{name} = {estimand.value}   ({estimand.unit})", highlight=False)
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
    obstacles = find_obstacles(spec)
    heading("Engine")
    out.print(f"nuts. {say_obstacles(obstacles)}" if obstacles else f"collapsed. {EXACT}")
    heading("References")
    out.print(", ".join(spec.references) or "none")
