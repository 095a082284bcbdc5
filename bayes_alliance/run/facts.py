"""What a report says of a fit, as plain data: worked out while the rows are at hand, kept without them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from bayes_alliance.design.design import Design
from bayes_alliance.design.missing_table import missing_table
from bayes_alliance.diagnosis.verdict import diagnose
from bayes_alliance.errors import AllianceError
from bayes_alliance.fit.provenance import Plain
from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.posterior.entries import public_entries
from bayes_alliance.posterior.estimands import summarize_estimands
from bayes_alliance.posterior.prior import describe_prior
from bayes_alliance.posterior.summary import summarize
from bayes_alliance.spec.equations import equation_latex, equation_text
from bayes_alliance.spec.null_values import null_value, stated_estimand


def describe_fit(fit: Fit, *, seed: int, checks: bool = True) -> dict[str, Plain]:
    """Return what can be said of a fit, as plain data.

    Parameters
    ----------
    fit : Fit
        With its rows.
    seed : int
        For replicated data and draws from priors.
    checks : bool
        Whether predictions of its own data and the influence of priors are looked at.

    Returns
    -------
    dict
        ``equations`` (text, LaTeX, rows, levels), ``summary``, names of ``coefficients`` in it, ``estimands``,
        ``claims`` of the priors, ``missing``,
        ``checks`` with ``sensitivity`` and ``overlap``, and ``notes`` on what could not be worked out and why.
    """
    design = design_of(fit)
    notes: list[str] = []
    found: dict[str, Plain] = {
        "title": fit.spec.title,
        "question": fit.spec.question,
        "references": list(fit.spec.references),
        "equations": _equations(design),
        "summary": records(summarize(fit)),
        "coefficients": [one.name for one in public_entries(fit) if one.variable.kind == "coefficient"],
        "estimands": _estimands(fit),
        "passed": fit.passed,
        "verdict": fit.verdict,
        "messages": list(fit.messages),
        "missing": _try("missing values", lambda: missing_table(design), notes),
        "claims": _try("what the priors claim", lambda: describe_prior(design, seed=seed), notes),
    }
    found |= _checks(fit, seed, checks, notes)
    return {**found, "notes": list(notes)}


def _estimands(fit: Fit) -> list[Plain]:
    """Return estimands with the value that means no difference, if any, and how much lies above it."""
    lines = records(summarize_estimands(fit))
    if not lines:
        return []
    for line in lines:
        assert isinstance(line, dict)
        name = str(line["name"])
        stated = stated_estimand(fit.spec, name)
        line["null"], line["p_above"] = null_value(fit.spec, name), line["p_positive"]
        line["rope"] = list(stated.rope) if stated is not None and stated.rope is not None else None
        line["reason"] = stated.reason if stated is not None else ""
    return lines


def records(table: pd.DataFrame) -> list[Plain]:
    """Return a table's lines as plain data; what is not a number is None."""
    return [{str(name): _plain(value) for name, value in row.items()} for row in table.to_dict("records")]


def _equations(design: Design) -> list[Plain]:
    return [
        {
            "outcome": e.outcome,
            "unit": e.spec.unit,
            "family": e.spec.family,
            "link": e.spec.link,
            "formula": e.spec.formula,
            "text": equation_text(e.spec),
            "latex": equation_latex(e.spec),
            "rows_read": e.rows_read,
            "rows_used": len(e.y),
            "left_out": {str(why): int(count) for why, count in e.ledger.items()},
            "levels": {group.factor: len(group.levels) for group in e.groups},
            "mean": float(np.mean(e.y)) if len(e.y) else None,
            "sd": float(np.std(e.y, ddof=1)) if len(e.y) > 1 else None,
        }
        for e in design.equations
    ]


def _checks(fit: Fit, seed: int, wanted: bool, notes: list[str]) -> dict[str, Plain]:
    found: dict[str, Plain] = {"sensitivity": [], "overlap": [], "predictive": []}
    results = list(fit.checks)
    if wanted:
        try:
            diagnosis = diagnose(fit, seed=seed)
            results = list(diagnosis.checks)
            found |= {
                "sensitivity": records(diagnosis.sensitivity),
                "overlap": records(diagnosis.overlap),
                "predictive": records(diagnosis.predictive),
            }
        except AllianceError as error:
            notes.append(f"Predictions and priors were not looked at: {error}")
    else:
        notes.append("Predictions and priors were not looked at, as the analysis file asks (report.checks = false).")
    fields = ("name", "passed", "sentence", "remedy")
    found["checks"] = [{name: getattr(check, name) for name in fields} for check in results]
    return found


def _try(what: str, work: Any, notes: list[str]) -> list[Plain]:
    try:
        return records(work())
    except AllianceError as error:
        notes.append(f"Not worked out, {what}: {error}")
        return []


def _plain(value: Any) -> Plain:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return None if value is None or value is pd.NA else str(value)
