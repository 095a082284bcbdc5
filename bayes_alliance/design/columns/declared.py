"""Declared variables, worked out per patient: at(), first(), last(), window(), change()."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bayes_alliance._messages import (
    are,
    count_of,
    first_few,
)
from bayes_alliance.design.columns.rows import Rows
from bayes_alliance.findings import Findings
from bayes_alliance.spec.expressions import Call, Name, Number, render
from bayes_alliance.spec.model import ModelSpec


def declared_values(
    name: str,
    spec: ModelSpec,
    rows: Rows,
    columns: Mapping[str, str],
    findings: Findings,
) -> tuple[np.ndarray, tuple[float, float] | None]:
    """Work out a declared variable per patient and say which sessions it used and who has none."""
    call = spec.declared[name]
    table = rows.source
    base = summarised(call)
    column = table.roles.get(base, columns.get(base, base))
    series = table.frame[column]
    number = table.roles.get("session")
    if number is None or series.dtype != np.float64:
        what = "needs a column that plays 'session'" if number is None else f"needs numbers in column {column!r}"
        held = f"Where a column holds it, state columns={{{name!r}: ...}}." if number is None else ""
        findings.problem(f"[variables] {name} = {spec.variables[name]} {what}.", fix=held)
        return np.full(len(rows), np.nan), None
    long = pd.DataFrame(
        {"patient": table.ids("patient"), "session": table.frame[number].to_numpy(), "value": series.to_numpy()}
    ).dropna(subset=["value"])
    per_patient, used = _reduce(call, long, name, findings)
    found = per_patient.reindex(np.unique(rows.key))
    sessions = f"sessions {used.min():g} to {used.max():g}" if len(used) else "no session"
    written = render(call, lambda n: column if n == base else n)
    findings.note(
        f"{name} = {written}: {count_of(int(found.notna().sum()), 'patient')} "
        f"{are(int(found.notna().sum()), 'has', 'have')} it, from {sessions}; "
        f"{count_of(int(found.isna().sum()), 'patient')} {are(int(found.isna().sum()), 'has', 'have')} none."
    )
    if not found.notna().any():
        findings.problem(
            f"[variables] {name} = {spec.variables[name]} has no value in any patient.",
            fix=f"Where a column holds it, state columns={{{name!r}: ...}}.",
        )
    between = (float(used.min()), float(used.max())) if len(used) else None
    return per_patient.reindex(rows.key).to_numpy(float), between


def _reduce(call: Call, long: pd.DataFrame, name: str, findings: Findings) -> tuple[pd.Series, np.ndarray]:
    """Return the value per patient and the session numbers that were used."""
    keywords = dict(call.keywords)
    match call.function:
        case "first" | "last":
            return _at(long, call.function)
        case "at":
            where = keywords.get("session")
            if isinstance(where, Number):
                return _at(long, where.value)
            findings.problem("at() is written at(alliance, session=3).", where=f"[variables] {name}")
        case "window":
            low, high = call.arguments[1:]
            if isinstance(low, Number) and isinstance(high, Number) and low.value <= high.value:
                inside = long[long.session.between(low.value, high.value)]
                return inside.groupby("patient").value.mean(), inside.session.to_numpy()
            findings.problem(
                "window() is written window(alliance, 1, 5), the first session first.", where=f"[variables] {name}"
            )
        case "change":
            ends = [end.value if isinstance(end, Number) else getattr(end, "name", "") for end in call.arguments[1:]]
            if all(isinstance(end, float) or end in ("first", "last") for end in ends):
                return _change(long, ends[0], ends[1])
            shown = first_few([render(end) for end in call.arguments[1:]])
            findings.problem(
                f"the ends of change() are first, last or a session number, not {shown}.", where=f"[variables] {name}"
            )
    return pd.Series(dtype=float), np.array([])


def _at(long: pd.DataFrame, where: str | float) -> tuple[pd.Series, np.ndarray]:
    if isinstance(where, str):
        chosen = getattr(long.groupby("patient"), "head" if where == "first" else "tail")(1)
    else:
        chosen = long[long.session == where]
    return chosen.set_index("patient").value, chosen.session.to_numpy()


def _change(long: pd.DataFrame, start: str | float, end: str | float) -> tuple[pd.Series, np.ndarray]:
    """Subtract the earlier from the later value; a patient whose two ends are one session has no change."""
    sides = []
    for where, suffix in ((start, "start"), (end, "end")):
        if isinstance(where, str):
            chosen = getattr(long.groupby("patient"), "head" if where == "first" else "tail")(1)
        else:
            chosen = long[long.session == where]
        sides.append(chosen.set_index("patient").add_suffix(f"_{suffix}"))
    both = sides[0].join(sides[1], how="inner")
    both = both[both.session_end > both.session_start]
    used = np.concatenate([both.session_start, both.session_end])
    return both.value_end - both.value_start, used


def summarised(call: Call) -> str:
    """Return the variable that a declared one is a summary of."""
    argument = call.arguments[0]
    return argument.name if isinstance(argument, Name) else render(argument)
