"""Terms to columns: treatment contrasts, products, one label per column in the study's own names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bayes_alliance.design.transforms import Evaluator
from bayes_alliance.design.variables import Variable
from bayes_alliance.names import INTERCEPT, level_label
from bayes_alliance.spec.expressions import Call, Name, Term, render, render_term


@dataclass(frozen=True, eq=False)
class Columns:
    """Coded columns: ``values`` has shape (row, column); ``labels`` are in study names, ``terms`` in model names."""

    labels: tuple[str, ...]
    terms: tuple[str, ...]
    values: np.ndarray


def code_terms(intercept: bool, terms: Sequence[Term], evaluator: Evaluator) -> Columns:
    """Code an intercept and terms over the rows of the evaluator.

    A factor inside a term has one column per level but the reference where the term without that factor is in the
    formula too, and one per level where it is not (R's rule), so that ``tx:month`` without ``tx`` gives the effect of
    tx in every month.

    Parameters
    ----------
    intercept : bool
        Whether a column of ones comes first.
    terms : sequence of Term
        Population terms, or those inside a group term.
    evaluator : Evaluator
        Gives the parts' values and collects problems.
    """
    rows = len(evaluator.rows)
    stated = {term.key() for term in terms} | ({frozenset[Name | Call]()} if intercept else set())
    labels = [INTERCEPT] if intercept else []
    names = [INTERCEPT] if intercept else []
    columns = [np.ones(rows)] if intercept else []
    open_slot = not intercept
    for term in terms:
        coded: list[tuple[list[str], np.ndarray]] = [([], np.ones(rows))]
        for part in term.parts:
            has_margin = (term.key() - {part}) in stated
            if open_slot and len(term.parts) == 1 and _levels(part, evaluator.variables):
                has_margin, open_slot = False, False
            pieces = _code_part(part, has_margin, evaluator)
            coded = [([*words, label], values * piece) for words, values in coded for label, piece in pieces]
        for words, values in coded:
            labels.append(":".join(words))
            names.append(render_term(term))
            columns.append(values)
    values = np.column_stack(columns) if columns else np.empty((rows, 0))
    return Columns(tuple(labels), tuple(names), values)


def study_names(variables: Mapping[str, Variable]) -> Mapping[str, str]:
    """Return how the study calls each model variable."""
    return {name: variable.label for name, variable in variables.items()}


def _levels(part: Name | Call, variables: Mapping[str, Variable]) -> tuple[str, ...] | None:
    return variables[part.name].levels if isinstance(part, Name) else None


def _code_part(part: Name | Call, has_margin: bool, evaluator: Evaluator) -> list[tuple[str, np.ndarray]]:
    """Return the columns of one part: a number as it is, a factor as indicators."""
    called = study_names(evaluator.variables)
    label = render(part, lambda name: called.get(name, name))
    levels = _levels(part, evaluator.variables)
    if levels is None:
        return [(label, evaluator.numbers(part))]
    position = evaluator.variables[part.name].values if isinstance(part, Name) else np.empty(0)
    indicators = []
    for i, level in enumerate(levels):
        if i == 0 and has_margin:
            continue
        indicators.append((level_label(label, level), np.where(np.isnan(position), np.nan, position == i)))
    return indicators
