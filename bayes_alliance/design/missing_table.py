"""The missing values of every equation as a table."""

from __future__ import annotations

import pandas as pd

from bayes_alliance.design.design import Design


def missing_table(design: Design) -> pd.DataFrame:
    """Return what every equation lacks, by variable and by arm.

    Parameters
    ----------
    design : Design
        Of a model and a table.

    Returns
    -------
    DataFrame
        One line per equation and variable: ``outcome, variable, rows`` of its unit, ``missing`` values, how many of how
        many in each arm (``missing in <arm>``), and ``treated``: ``nothing missing``, ``rows left out``, ``modelled``,
        or ``other ratings used``. Rows that lack several things count in each line.
    """
    lines = []
    for gap in (gap for equation in design.equations for gap in equation.gaps):
        line: dict[str, object] = {"outcome": gap.outcome, "variable": gap.variable, "rows": gap.rows}
        line |= {"missing": gap.missing} | {f"missing in {level}": f"{n} of {rows}" for level, n, rows in gap.by_arm}
        lines.append(line | {"treated": gap.treated})
    table = pd.DataFrame(lines)
    return table[[*(c for c in table.columns if c != "treated"), "treated"]].fillna("")
