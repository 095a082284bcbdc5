"""Values that are missing: counted by variable and arm; and rows that are left out, under one reason each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bayes_alliance._messages import are, count_of
from bayes_alliance.design.columns.arms import Arms
from bayes_alliance.design.columns.terms import Columns
from bayes_alliance.design.columns.variables import Variable


@dataclass(frozen=True)
class Gap:
    """How many values of a variable an equation lacks, in all and by arm (missing, rows), and what becomes of them."""

    outcome: str
    variable: str
    rows: int
    missing: int
    by_arm: tuple[tuple[str, int, int], ...]
    treated: str


def find_gaps(
    outcome: str,
    variables: Mapping[str, Variable],
    modelled: Collection[str],
    raters: Collection[str],
    arms: Arms | None,
) -> tuple[Gap, ...]:
    """Count the missing values of every variable of an equation, before rows are left out."""
    gaps = []
    for name, variable in variables.items():
        absent = np.isnan(variable.values)
        by_arm: tuple[tuple[str, int, int], ...] = ()
        if arms is not None:
            inside = [arms.code == i for i in range(len(arms.levels))]
            by_arm = tuple(
                (level, int((absent & here).sum()), int(here.sum()))
                for level, here in zip(arms.levels, inside, strict=True)
            )
        treated = "nothing missing"
        if absent.any():
            treated = "modelled" if name in modelled else "other ratings used" if name in raters else "rows left out"
        gaps.append(Gap(outcome, variable.label, len(absent), int(absent.sum()), by_arm, treated))
    return tuple(gaps)


def missing_reasons(
    outcome: Variable,
    coef: Columns,
    coded: Mapping[str, tuple[Columns, object]],
    others: Sequence[Variable],
    *,
    modelled: bool = False,
) -> list[tuple[str, np.ndarray]]:
    """Return what can be missing, in the order in which it is counted; not the outcome, where that is modelled."""
    reasons = [] if modelled else [(f"outcome {outcome.label} missing", np.isnan(outcome.values))]
    for columns in (coef, *(group for group, _ in coded.values())):
        for i, term in enumerate(columns.terms):
            absent = np.isnan(columns.values[:, i])
            if ":" in term:
                continue
            why = " (no such session, or no value in it)" if "lag(" in term else ""
            reasons.append((f"predictor {columns.labels[i]} missing{why}", absent))
    reasons += [("a product missing", np.isnan(coef.values).any(axis=1))]
    reasons += [("a group-level predictor missing", np.isnan(c.values).any(axis=1)) for c, _ in coded.values()]
    reasons += [(f"{variable.label} missing", np.isnan(variable.values)) for variable in others]
    return reasons


def keep_rows(reasons: Sequence[tuple[str, np.ndarray]], total: int) -> tuple[np.ndarray, dict[str, int]]:
    """Return which of ``total`` rows lack nothing; each other is counted under the first reason that holds."""
    keep = np.ones(total, dtype=bool)
    ledger: dict[str, int] = {}
    for reason, absent in reasons:
        new = keep & absent
        if new.any():
            ledger[reason] = ledger.get(reason, 0) + int(new.sum())
            keep &= ~absent
    return keep, ledger


def count_gone(key: np.ndarray, keep: np.ndarray) -> int:
    """Return how many patients (therapists, …) have no row left."""
    return len(set(key)) - len(set(key[keep]))


def say_left_out(
    outcome: str, several: bool, ledger: Mapping[str, int], total: int, gone: int, role: str = "patient"
) -> list[str]:
    """Return how many rows were left out and why, and how many patients (therapists, …) are gone.

    Where a model has several equations the messages say which outcome they are about.
    """
    where = f"{outcome}: " if several else ""
    messages = [f"{where}{count_of(count, 'row')} of {total:,} left out: {reason}." for reason, count in ledger.items()]
    if gone:
        messages.append(f"{where}{count_of(gone, role)} {are(gone, 'has', 'have')} no row left.")
    return messages
