"""Means of the others: what the other patients of a group have in the row's session, the row's own left out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, quote
from bayes_alliance.design.columns.evaluator import Evaluator
from bayes_alliance.design.columns.values import Value
from bayes_alliance.spec.expressions import Call, Name, calls_in, render
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.variables_read import values_in


def others(evaluator: Evaluator, call: Call) -> Value:
    """Return the mean over the other patients of the row's unit, in equations of sessions of the same session number.

    Rows outside the factor, and those whose others have no observed value, are missing. ``n`` times the unit's mean
    is the row's own value plus ``n - 1`` times this one.
    """
    rows, factor = evaluator.rows, call.arguments[1]
    if not isinstance(factor, Name) or factor.name == "patient":
        evaluator.findings.problem(
            "the second argument names a unit of several patients, such as group.", where=render(call)
        )
        return evaluator.nothing()
    if rows.unit not in ("session", "patient"):
        evaluator.findings.problem(
            f"a row of this equation is a {rows.unit}, which has no others in its unit.", where=render(call)
        )
        return evaluator.nothing()
    inner = evaluator.whole.value(call.arguments[0])
    if inner.latent:
        evaluator.findings.problem(
            "others() takes means of observed values.", where=render(call), fix="Leave mi() and latent means out."
        )
    unit = evaluator.factor_ids(factor.name)
    session = np.where(np.isnan(rows.session), 0.0, rows.session) if rows.unit == "session" else np.zeros(len(rows))
    frame = pd.DataFrame({"unit": unit, "session": session, "value": inner.numbers})
    together = frame.groupby(["unit", "session"])["value"]
    observed = frame["value"].notna().to_numpy()
    count = together.transform("count").to_numpy() - observed
    total = together.transform("sum").to_numpy() - np.where(observed, frame["value"].to_numpy(), 0.0)
    inside = unit != ""
    found = inside & (count > 0)
    if found.any():
        least, most = int(count[found].min()), int(count[found].max())
        size = f"{least}" if least == most else f"{least} to {most}"
        alone = int((inside & ~found).sum())
        lone = f"; {count_of(alone, 'row')} {are(alone, 'has', 'have')} none" if alone else ""
        when = " in the same session" if rows.unit == "session" else ""
        evaluator.findings.note(f"{render(call)}: the mean of {size} other patients of the {factor.name}{when}{lone}.")
    return Value(np.where(found, total / np.where(found, count, 1), np.nan))


def say_others(spec: ModelSpec) -> list[str]:
    """Say of outcomes that predict each other within a unit that no joint distribution stands behind it."""
    return [
        f"{outcome}: others() reads {quote(own)}, so that members of a unit predict one another at once. Every row's "
        f"density is taken given the others (a pseudo-likelihood, as in the published form): intervals are those of a "
        f"regression on a given predictor, and no study can be simulated."
        for outcome, own in outcomes_of_others(spec).items()
    ]


def outcomes_of_others(spec: ModelSpec) -> dict[str, list[str]]:
    """Return, by outcome, the outcomes of other patients of the same unit that its equation reads."""
    found = {}
    for equation in spec.equation:
        calls = [c for t in equation.parsed.every_term for p in t.parts for c in calls_in(p) if c.function == "others"]
        own = sorted({name for call in calls for name in values_in(call) if name in spec.outcomes})
        if own:
            found[equation.outcome] = own
    return found
