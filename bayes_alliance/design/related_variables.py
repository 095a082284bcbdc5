"""Variables over the same rows, and which of them the rows join: functions, factors, columns of one factor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import comb

import numpy as np
import pandas as pd

from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.names import SESSION, level_label

FIRST = 500
"""Rows that are looked at before all are."""

CHANCE = 0.01
"""Probability that one variable is a function of another by chance, above which it counts as none."""


@dataclass(frozen=True, eq=False)
class Together:
    """Variables over the same rows, by the model's names, and what groups the rows: patients, therapists and so on.

    ``known`` keeps which variables are functions of others, by both names: it is asked for every value that is set.
    """

    variables: Mapping[str, Variable]
    units: Sequence[np.ndarray]
    known: dict[tuple[str, str], pd.Series | None] = field(default_factory=dict, repr=False)


def rows_together(equation: EquationDesign) -> Together:
    """Return the variables of an equation over its rows; made rows tell nothing of what goes with what."""
    if equation.outlined is not None:
        return _untold(equation.variables)
    groups = [group.code for group in equation.groups if group.slot == 0]
    return Together(equation.variables, [pd.factorize(equation.patient)[0], *groups])


def join_rows(own: EquationDesign, other: EquationDesign, name: str) -> Together:
    """Return a variable and those of another equation over rows, or else patients, that both equations have."""
    if other.outlined is not None:
        return _untold({**other.variables, name: own.variables[name]})
    if name in other.variables:
        return rows_together(other)
    here, there = pd.Index(own.row), pd.Index(other.row)
    common = here.intersection(there)
    if own.spec.unit == other.spec.unit and len(common):
        mine, its = here.get_indexer(common), there.get_indexer(common)
        keep = list(other.variables)
    else:
        first, second = (
            pd.Series(np.arange(len(e.row)), index=e.patient).groupby(level=0).first() for e in (own, other)
        )
        patients = first.index.intersection(second.index)
        mine, its = first[patients].to_numpy(), second[patients].to_numpy()
        if not _constant(own, name):
            return Together({}, [])
        keep = [one for one in other.variables if _constant(other, one)]
    if not len(mine):
        return Together({}, [])
    variables = {one: replace(other.variables[one], values=other.variables[one].values[its]) for one in keep}
    variables[name] = replace(own.variables[name], values=own.variables[name].values[mine])
    return Together(variables, [units[its] for units in rows_together(other).units])


def _untold(variables: Mapping[str, Variable]) -> Together:
    return Together(variables, [], {(one, other): None for one in variables for other in variables})


def _constant(e: EquationDesign, name: str) -> bool:
    return bool((pd.Series(e.variables[name].values).groupby(e.patient).nunique(dropna=False) <= 1).all())


def stands_for(dummy: Variable, factor: Variable) -> bool:
    """Return whether a 0/1 variable is declared as a level of a factor."""
    return dummy.label in [level_label(factor.label, level) for level in factor.levels or ()]


def function_of(rows: Together, name: str, other: str) -> pd.Series | None:
    """Return the value of another variable at each value of one, None where it is no function of it, or one by chance.

    Levels of factors, two values and sessions repeat by design. Other numbers repeat where units (patients, or the
    widest units that the variable is constant in) happen to have the same; the chance that all of these are alike in
    the other variable has to be small.
    """
    if (name, other) not in rows.known:
        rows.known[name, other] = _function_of(rows, name, other)
    return rows.known[name, other]


def _function_of(rows: Together, name: str, other: str) -> pd.Series | None:
    own, its = rows.variables[name], rows.variables[other]
    if (
        np.isnan(its.values).any()
        or np.ptp(its.values) == 0
        or _is_none_at_once(own.values[:FIRST], its.values[:FIRST])
    ):
        return None
    frame = pd.DataFrame({"own": own.values, "its": its.values})
    by = frame.groupby("own")["its"].agg(["min", "max", "size"])
    if (by["min"] != by["max"]).any():
        return None
    if name == SESSION:
        return by["min"] if by["size"].max() > 1 else None
    if own.levels is None and len(by) > 2:
        frame["unit"] = _units_of(rows, own)
        repeats = len(frame[["unit", "own"]].dropna().drop_duplicates()) - len(by)
        shares = frame[["unit", "its"]].drop_duplicates()["its"].value_counts(normalize=True)
        if float((shares**2).sum()) ** repeats > CHANCE:
            return None
    return by["min"]


def _is_none_at_once(own: np.ndarray, its: np.ndarray) -> bool:
    """Return whether rows with one value of a variable have several of another; cheap, for the first rows of many."""
    order = np.lexsort((its, own))
    own, its = own[order], its[order]
    return bool(((own[1:] == own[:-1]) & (its[1:] != its[:-1])).any())


def parent_of(rows: Together, name: str, other: str) -> pd.Series | None:
    """Return the value of a variable at each level of a factor that it is a function of, None where it is of none."""
    own, its = rows.variables[name], rows.variables[other]
    if own.levels is not None or its.levels is None or np.isnan(own.values).any():
        return None
    return function_of(rows, other, name)


def _units_of(rows: Together, variable: Variable) -> np.ndarray:
    """Return the widest units that a variable is constant in, else patients."""
    fitting = [
        units for units in rows.units if (pd.Series(variable.values).groupby(units).nunique(dropna=False) <= 1).all()
    ]
    return min(fitting, key=lambda units: len(np.unique(units))) if fitting else rows.units[0]


def is_excluded(rows: Together, name: str, number: float, other: str) -> bool:
    """Return whether another 0/1 variable is 0 wherever this one is 1, as with levels of one factor, not by chance."""
    own, its = rows.variables[name], rows.variables[other]
    if number != 1.0 or own.levels is not None or its.levels is not None:
        return False
    if not (np.isin(own.values, (0.0, 1.0)).all() and np.isin(its.values, (0.0, 1.0)).all()):
        return False
    if ((own.values == 1) & (its.values == 1)).any() or function_of(rows, name, other) is not None:
        return False
    units = rows.units[0]
    ones = [pd.Series(v.values == 1).groupby(units).max() for v in (own, its)]
    count, mine, theirs = len(ones[0]), int(ones[0].sum()), int(ones[1].sum())
    if (ones[0] & ones[1]).any():
        return False  # of sessions and not of patients
    return theirs > 0 and comb(count - mine, theirs) / comb(count, theirs) < CHANCE


def related_to(design: Design, name: str) -> tuple[str, ...]:
    """Return variables of all equations that cannot be set apart from one: functions of it, or factors it is one of."""
    found: dict[str, None] = {}
    for rows, other in beside(design, name):
        one, two = rows.variables[name], rows.variables[other]
        declared = stands_for(one, two) or stands_for(two, one)
        if declared or function_of(rows, name, other) is not None or parent_of(rows, name, other) is not None:
            found[other] = None
    return tuple(found)


def beside(design: Design, name: str) -> Iterator[tuple[Together, str]]:
    """Yield the predictors of every equation beside one of them, over rows that have both."""
    apart = {name, *(one for e in design.equations for one in (e.spec.outcome, *e.spec.raters))}
    for own in (e for e in design.equations if name in e.variables):
        for e in design.equations:
            rows = join_rows(own, e, name)
            for other in rows.variables:
                if other not in apart:
                    yield rows, other
