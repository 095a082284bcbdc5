"""Tables and lists for the terminal."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd

    from bayes_alliance.design.design import Design

LONG = 24
"""Letters of an estimand's name from which a terminal would cut it."""


def scale_text(scale: str) -> str:
    """Return a prior's scale in words."""
    return {"none": "1", "outcome_sd": "outcome SD", "outcome_sd/predictor_sd": "outcome SD / predictor SD"}[scale]


def print_design(design: Design, out: Console) -> None:
    """Print the equation, the rows used, every message, and the priors as a table."""
    for equation in design.equations:
        out.print(f"{equation.outcome} ~ {equation.spec.formula}", highlight=False, soft_wrap=True)
        levels = "".join(f", {len(group.levels)} {group.factor} levels" for group in equation.groups)
        out.print(f"{len(equation.y):,} of {equation.rows_read:,} rows{levels}")
    for message in design.messages:
        out.print(f"- {message}", highlight=False, soft_wrap=True)
    print_missing(design, out)
    table = Table("Parameter", "Prior", "From", "Reason", box=None, pad_edge=False, header_style="bold")
    for prior in design.priors.table():
        table.add_row(prior.parameter, str(prior.distribution), prior.source, prior.reason)
    out.print("\nPriors", style="bold")
    out.print(table)


def print_missing(design: Design, out: Console) -> None:
    """Print what is missing by variable and arm; nothing where nothing is."""
    from bayes_alliance.design.missing_table import missing_table  # which needs pandas, and help texts do not

    missing = missing_table(design)
    missing = missing[missing["missing"] > 0]
    if missing.empty:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in missing.columns:
        table.add_column(str(column), justify="left" if column in ("outcome", "variable", "treated") else "right")
    for row in missing.itertuples(index=False):
        table.add_row(*(str(cell) for cell in row))
    out.print("\nMissing values", style="bold")
    out.print(table)


def claims_table(claims: pd.DataFrame) -> Table:
    """Return what priors claim on known scales as a terminal table."""
    table = Table("Quantity", "Scale", box=None, pad_edge=False, header_style="bold")
    for column in ("Median", "5 %", "95 %"):
        table.add_column(column, justify="right")
    for row in claims.itertuples(index=False):
        table.add_row(str(row.name), str(row.scale), f"{row.median:.2f}", f"{row.q5:.2f}", f"{row.q95:.2f}")
    return table


def estimands_table(estimands: pd.DataFrame) -> Table:
    """Return estimands as a terminal table; a ratio is given by its median; what did not mix is marked."""
    bounds = [str(column) for column in estimands.columns if str(column).endswith(("_lb", "_ub"))]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "unit"):
        table.add_column(column, overflow="fold")
    for column in ("mean or median", *bounds, "P(above)", "p_rope", "r_hat", "ess_bulk"):
        table.add_column(column, justify="right")
    for _, row in estimands.iterrows():
        middle = row["median"] if isnan(row["mean"]) else row["mean"]
        numbers = [middle, *(row[bound] for bound in bounds), row["p_positive"], row["p_rope"], row["r_hat"]]
        cells = ["-" if isnan(number) else f"{number:.3f}" for number in numbers]
        name = str(row["name"]) if row["mixed"] else f"{row['name']} (chains NOT MIXED)"
        if len(name) > LONG:  # where it is stands on a line of its own
            name = name.replace("[", "\n[", 1)
        table.add_row(name, str(row["unit"]), *cells, f"{row['ess_bulk']:.0f}")
    return table


def summary_table(summary: pd.DataFrame) -> Table:
    """Return a summary as a terminal table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in summary.columns:
        table.add_column(column, justify="left" if column == "name" else "right", overflow="fold")
    for row in summary.itertuples(index=False):
        cells = []
        for column, value in zip(summary.columns, row, strict=True):
            style = ".0f" if column.startswith("ess") else ".3f"
            cells.append(str(value) if column == "name" else format(value, style))
        table.add_row(*cells)
    return table


def calibration_table(table: pd.DataFrame) -> Table:
    """Return what a calibration found as a terminal table."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in table.columns:
        shown.add_column(column, justify="left" if column == "quantity" else "right", overflow="fold")
    for row in table.itertuples(index=False):
        cells = [str(v) if c == "quantity" else format(v, ".3f") for c, v in zip(table.columns, row, strict=True)]
        shown.add_row(*cells)
    return shown
