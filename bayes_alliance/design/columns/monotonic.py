"""mo(x): ordered categories as far apart as the outcome says, in one direction (Bürkner and Charpentier 2020)."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from bayes_alliance._messages import count_of, first_few, quote
from bayes_alliance.design.columns.evaluator import Evaluator
from bayes_alliance.design.columns.values import Plugged, StepsOf, Value
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.findings import Problem
from bayes_alliance.spec.expressions import Call, Name, render

MOST: Final = 30
"""Categories above which steps are too many to be told apart."""


def monotone(evaluator: Evaluator, call: Call) -> Value:
    """Return how far every row's category has come from the lowest in equal steps, and that it follows real ones.

    Categories are all whole numbers from the lowest to the highest, or the levels of an ordered column. The column runs
    from 0 to 1, so that its coefficient is the difference between the highest and the lowest category.
    """
    argument = call.arguments[0]
    if not isinstance(argument, Name):
        evaluator.findings.problem("mo() takes a variable, not an expression.", where=render(call))
        return evaluator.nothing()
    variable = evaluator.variables[argument.name]
    found = _categories(evaluator, call, variable)
    if found is None:
        return evaluator.nothing()
    names, code = found
    missing = np.isnan(code)
    key = StepsOf(argument.name, tuple(names))
    share = code / (len(names) - 1)
    evaluator.means[key] = Plugged(share, None, np.where(missing, 0, code).astype(np.int64))
    return Value(share, {key: np.where(missing, 0.0, 1.0)})


def _categories(evaluator: Evaluator, call: Call, variable: Variable) -> tuple[list[str], np.ndarray] | None:
    """Return the names of the categories, lowest first, and each row's place among them, NaN where missing."""
    values, label = variable.values, variable.label
    if variable.levels is not None:
        column = evaluator.rows.source.frame.get(label)
        if column is None or not (isinstance(column.dtype, pd.CategoricalDtype) and column.cat.ordered):
            evaluator.findings.problem(
                f"the levels of {label!r} have no order.",
                where=render(call),
                fix="Store them as whole numbers, or as an ordered categorical column, lowest first.",
            )
            return None
        ordered = [str(c) for c in column.cat.categories if str(c) in variable.levels]
        place = np.array([ordered.index(level) for level in variable.levels], dtype=float)
        known = ~np.isnan(values)
        if not _right_number(evaluator, call, label, ordered, len(ordered)):
            return None
        return ordered, np.where(known, place[np.where(known, values, 0).astype(int)], np.nan)
    present = values[~np.isnan(values)]
    odd = values != np.floor(values)
    odd &= ~np.isnan(values)

    def say(rows: np.ndarray, given: np.ndarray = values) -> Problem:
        shown = first_few([f"{value:g}" for value in np.unique(given[rows])])
        return Problem(
            f"{label!r} has values that are no categories: {shown}.",
            where=render(call),
            allowed="Categories are whole numbers in order.",
            fix="Take the number itself for scores.",
        )

    whole = present[present == np.floor(present)]
    if odd.any() and not 3 <= (np.ptp(whole) + 1 if len(whole) else 0) <= MOST:
        evaluator.findings.add([say(odd)])  # without these there are no categories either
        return None
    filled = evaluator.refuse(odd, say)
    present, values = whole, np.where(odd, np.nan if np.isnan(filled) else np.floor(values), values)
    stated = evaluator.rows.source.bounds.get(label)
    low, high = stated or ((float(present.min()), float(present.max())) if len(present) else (0.0, 0.0))
    if not (float(low).is_integer() and float(high).is_integer()):
        evaluator.findings.problem(
            f"{label!r} has bounds {low:g} and {high:g}; categories end at whole numbers.", where=render(call)
        )
        return None
    names = [f"{value:g}" for value in np.arange(low, high + 1)] if high - low < MOST else [f"{low:g}", f"{high:g}"]
    return (names, values - low) if _right_number(evaluator, call, label, names, int(high - low) + 1) else None


def _right_number(evaluator: Evaluator, call: Call, label: str, names: list[str], number: int) -> bool:
    """Return whether the number of categories suits steps (3 to MOST); report it otherwise."""
    if 3 <= number <= MOST:
        return True
    counted = count_of(number, "category", "categories")
    where = f"runs from {names[0]} to {names[-1]}, {counted}" if names else "has no value"
    evaluator.findings.problem(f"{label!r} {where}; 3 to {MOST} have steps.", where=render(call), fix="Leave mo() out.")
    return False


def say_unused(call: str, categories: tuple[str, ...], code: np.ndarray) -> list[str]:
    """Name the categories that no row used is in."""
    unused = [name for i, name in enumerate(categories) if not (code == i).any()]
    return [f"{call}: no row used is in category {quote(unused)}; the steps around it rest on their prior."] * bool(
        unused
    )
