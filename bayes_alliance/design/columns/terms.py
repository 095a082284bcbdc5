"""Terms to columns: treatment contrasts, products, one label per column in the study's own names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bayes_alliance._messages import count_of
from bayes_alliance.design.columns.evaluator import Evaluator
from bayes_alliance.design.columns.values import Hidden, Value
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.errors import DesignError
from bayes_alliance.names import INTERCEPT, level_label
from bayes_alliance.spec.expressions import Call, Name, Term, render, render_term
from bayes_alliance.spec.variables_read import is_dynamic

MOST_COLUMNS = 1_000
"""Columns that the terms of an equation, or of a group term, are coded into."""


@dataclass(frozen=True, eq=False)
class Columns:
    """Coded columns: ``values`` has shape (row, column), with observed means in place of latent ones.

    ``labels`` are in study names, ``terms`` in model names; ``parts`` are what a label of the model is matched with:
    each part of the term in model names and the level or piece of it the column stands for. ``latent`` gives per
    column the weights, shape (row,), by which it follows latent means. ``dynamic`` marks columns that are about
    deviations or earlier sessions, not about a unit's mean.
    """

    labels: tuple[str, ...]
    terms: tuple[str, ...]
    values: np.ndarray
    parts: tuple[frozenset[tuple[str, str]], ...] = ()
    latent: tuple[Mapping[Hidden, np.ndarray], ...] = ()
    dynamic: tuple[bool, ...] = ()

    def rows(self, keep: np.ndarray) -> Columns:
        """Return the columns over some of their rows."""
        latent = tuple({mean: weight[keep] for mean, weight in column.items()} for column in self.latent)
        return Columns(self.labels, self.terms, self.values[keep], self.parts, latent, self.dynamic)

    def with_values(self, values: np.ndarray) -> Columns:
        """Return the columns with other values."""
        return replace(self, values=values)

    def beside(self, other: Columns) -> Columns:
        """Return these columns and then the other ones."""
        return Columns(
            (*self.labels, *other.labels),
            (*self.terms, *other.terms),
            np.column_stack([self.values, other.values]),
            (*self.parts, *other.parts),
            (*self.latent, *other.latent),
            (*self.dynamic, *other.dynamic),
        )

    def opened(self, starts: np.ndarray) -> Columns:
        """Return the columns with what is dynamic set to 0 in rows that start a series."""
        if not starts.any():
            return self
        still = ~np.array(self.dynamic, dtype=bool)
        values = np.where(starts[:, None] & ~still, 0.0, self.values)
        latent = tuple(
            {mean: np.where(starts, 0.0, weight) for mean, weight in column.items()} if moves else column
            for column, moves in zip(self.latent, self.dynamic, strict=True)
        )
        return replace(self, values=values, latent=latent)

    @property
    def means(self) -> tuple[Hidden, ...]:
        """Return the latent means that columns follow, each once."""
        return tuple(dict.fromkeys(mean for column in self.latent for mean in column))


@dataclass(eq=False)
class _Coded:
    """One column while its parts are multiplied."""

    value: Value
    words: list[str] = field(default_factory=list)
    parts: list[tuple[str, str]] = field(default_factory=list)


def code_terms(intercept: bool, terms: Sequence[Term], evaluator: Evaluator, *, column: bool = True) -> Columns:
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
    column : bool
        Whether an intercept has its column; without one terms are coded as beside it, and thresholds stand for it.
    """
    rows = len(evaluator.rows)
    ones = Value(np.ones(rows))
    stated = {term.key() for term in terms} | ({frozenset[Name | Call]()} if intercept else set())
    done = [(INTERCEPT, _Coded(ones, [INTERCEPT]), False)] if intercept and column else []
    open_slot = not intercept
    for term in terms:
        coded = [_Coded(ones)]
        for part in term.parts:
            has_margin = (term.key() - {part}) in stated
            if open_slot and len(term.parts) == 1 and _levels(part, evaluator.variables):
                has_margin, open_slot = False, False
            levels = _levels(part, evaluator.variables)
            _check_number(len(done) + len(coded) * len(levels or ("",)), term, evaluator)
            pieces = _code_part(part, has_margin, evaluator)
            coded = [_multiply(one, piece, term, evaluator) for one in coded for piece in pieces]
        done += [(render_term(term), one, is_dynamic(term)) for one in coded]
    values = np.column_stack([c.value.numbers for _, c, _ in done]) if done else np.empty((rows, 0))
    return Columns(
        tuple(":".join(column.words) for _, column, _ in done),
        tuple(name for name, _, _ in done),
        values,
        tuple(frozenset(column.parts) for _, column, _ in done),
        tuple(column.value.latent for _, column, _ in done),
        tuple(dynamic for _, _, dynamic in done),
    )


def _check_number(columns: int, term: Term, evaluator: Evaluator) -> None:
    """Raise before more columns are made than a model can have: a term has the product of its factors' levels."""
    if columns > MOST_COLUMNS:
        levels = {part: _levels(part, evaluator.variables) for part in term.parts}
        sizes = [f"{render(part)} ({len(own)} levels)" for part, own in levels.items() if own]
        raise DesignError(
            f"With {render_term(term)} an equation has {columns:,} columns or more; up to {MOST_COLUMNS:,} are "
            f"coded. Its factors: {', '.join(sizes) or 'none'}. Write a factor of many levels (persons, dates) as a "
            f"grouping factor, (1 | factor), or leave the term out.",
            count_of(len(evaluator.rows), "row"),
        )


def study_names(evaluator: Evaluator) -> Mapping[str, str]:
    """Return how the study calls each model variable, averaged ones included."""
    finer = evaluator.finer.variables if evaluator.finer is not None else {}
    return {name: variable.label for name, variable in {**finer, **evaluator.variables}.items()}


def _multiply(column: _Coded, piece: tuple[str, str, str, Value], term: Term, evaluator: Evaluator) -> _Coded:
    label, part, inside, value = piece
    if column.value.latent and value.latent:
        evaluator.findings.problem(
            "a product of two latent parts is not known.",
            where=f"{render_term(term)}",
            fix="Take one of them observed.",
        )
    product = value.times(column.value.numbers) if value.latent else column.value.times(value.numbers)
    return _Coded(product, [*column.words, label], [*column.parts, (part, inside)])


def _levels(part: Name | Call, variables: Mapping[str, Variable]) -> tuple[str, ...] | None:
    return variables[part.name].levels if isinstance(part, Name) else None


def _code_part(part: Name | Call, has_margin: bool, evaluator: Evaluator) -> list[tuple[str, str, str, Value]]:
    """Return per column of one part: label, the part in model names, its level or piece, and the value."""
    called = study_names(evaluator)
    label = render(part, lambda name: called.get(name, name))
    levels = _levels(part, evaluator.variables)
    if levels is None:
        columns = evaluator.columns(part)
        if isinstance(part, Call):
            evaluator.calls[render(part)] = tuple(columns)
        return [(level_label(label, piece) if piece else label, render(part), piece, value) for piece, value in columns]
    position = evaluator.variables[part.name].values if isinstance(part, Name) else np.empty(0)
    indicators = []
    for i, level in enumerate(levels):
        if i == 0 and has_margin:
            continue
        numbers = np.where(np.isnan(position), np.nan, position == i)
        indicators.append((level_label(label, level), render(part), level, Value(numbers)))
    return indicators
