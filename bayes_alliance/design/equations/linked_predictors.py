"""The rows of an equation whose linear predictor another one reads, lined up with the rows that read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bayes_alliance._messages import count_of, first_few, unknown
from bayes_alliance.design.columns.rows import Rows
from bayes_alliance.design.columns.terms import Columns
from bayes_alliance.design.columns.values import CallColumns, LinkedTo, Plugged
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.equations.complete_rows import Groups
from bayes_alliance.design.equations.equation import EquationDesign, subset_variable
from bayes_alliance.design.equations.factors import FactorDesign
from bayes_alliance.design.equations.latent_columns import FollowModelled, ReadRows
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.names import SESSION, TIME, clock_of

STEP = 1e-4
"""Sessions to either side between which a slope is taken: exact for lines, to eight digits for curves."""


@dataclass(frozen=True, eq=False)
class Target:
    """An equation whose linear predictor others read, over all of its rows.

    ``at`` codes its columns with other times in place of the rows' own (the session's number, or the time that a column
    says); ``ids`` are levels of its factors; ``variables`` and ``calls`` are what its columns are worked out of;
    ``timed`` says whether it reads time, ``fixed`` names a call that does so over all rows.
    """

    outcome: str
    rows: Rows
    at: Callable[[np.ndarray | None], tuple[Columns, Groups]]
    ids: Mapping[str, np.ndarray]
    variables: Mapping[str, Variable]
    calls: Mapping[str, CallColumns]
    timed: bool
    fixed: str = ""

    @property
    def clock(self) -> str:
        """Return which variable its course runs along."""
        return clock_of(self.variables)

    @property
    def times(self) -> np.ndarray:
        """Return the time of every row, NaN where it is missing or not read."""
        clock = self.clock
        return self.variables[clock].values if clock in self.variables else self.rows.session


def follow_linked(
    key: LinkedTo,
    plugged: Plugged,
    reader: str,
    rows: Rows,
    place: np.ndarray,
    target: Target,
    factors: Sequence[FactorDesign],
    findings: Findings,
) -> FollowModelled | None:
    """Line up the columns of an outcome's equation with the rows that read its linear predictor.

    Parameters
    ----------
    key, plugged
        What is read, and what stands in for it.
    reader : str
        Outcome that reads it, for messages.
    rows, place
        Its rows, and which of them are used.
    target : Target
        The equation that is read.
    factors : sequence of FactorDesign
        With the levels of all equations.
    """
    if target.rows.unit == rows.unit:
        at = place if plugged.source is None else plugged.source[place]
    else:
        at = _first_rows(target.rows, rows.key[place])
        apart = _of_patients(key, target)
        if apart:
            findings.add([apart.under(f"Outcome {reader!r} reads {key.kind}({target.outcome})")])
            return None
    shown = f"{key.kind}({target.outcome})" if not key.factor else f"effect({target.outcome}, {key.factor})"
    coef, groups, problem = _columns(key, target, at)
    if problem:
        findings.add([problem.under(f"Outcome {reader!r} reads {shown}")])
        return None
    every = [coef, *(columns for columns, _ in groups.values())]
    if any(part.latent[i] for part in every for i in range(len(part.labels)) if not part.dynamic[i]):
        findings.problem(
            f"Outcome {reader!r} reads {shown}, and {target.outcome} reads something that is estimated itself.",
            allowed="An equation whose values are read has observed predictors.",
        )
        return None
    values = np.where(~np.array(coef.dynamic, dtype=bool), coef.values[at], 0.0)
    if key.factor:
        values = np.zeros_like(values)
    found, units, absent = [], {}, np.isnan(values).any(axis=1)
    for factor, (columns, _) in groups.items():
        levels = {level: i for i, level in enumerate(next(f.levels for f in factors if f.factor == factor))}
        ids = target.ids[factor][at]
        code = units[factor] = np.array([levels.get(level, -1) for level in ids], dtype=np.int64)
        own = np.where(~np.array(columns.dynamic, dtype=bool), columns.values[at], 0.0)
        if key.factor:
            chosen = np.array([factor == key.factor and is_it for is_it in _called(columns, key.effect)])
            own = np.broadcast_to(chosen.astype(float), own.shape).copy()
        own[ids == ""] = 0.0
        absent |= np.isnan(own).any(axis=1) | ((code < 0) & (own != 0).any(axis=1))
        found.append((factor, np.maximum(code, 0), own))
    if absent.any():
        who = list(dict.fromkeys(f"{rows.role} {key!r}" for key in rows.key[place][absent]))
        findings.problem(
            f"Outcome {reader!r} reads {shown} in {count_of(int(absent.sum()), 'row')} in which a predictor "
            f"of {target.outcome} is missing, or whose unit has no row of it: {first_few(who)}.",
            fix="Complete it or leave them out.",
        )
        return None
    same = np.ptp(values, axis=0) <= 1e-9 * np.abs(values).max(axis=0)
    varying = not same.all() or any(own.any() for _, _, own in found)
    if not varying:
        findings.problem(
            f"Outcome {reader!r} reads {shown}, which is the same in all rows.",
            fix=f"Give {target.outcome} a group effect or a predictor that makes it differ.",
        )
        return None
    read = _read_rows(key, target, at, units)
    return FollowModelled(target.outcome, values, tuple(found), np.nan_to_num(plugged.numbers[place]), read=read)


def _read_rows(key: LinkedTo, target: Target, at: np.ndarray, units: Mapping[str, np.ndarray]) -> ReadRows:
    """Return the rows that are read, in the session in which they are."""
    session, variables = target.rows.session[at], target.variables
    if key.session is not None:
        session = np.full(len(at), key.session)
    coef, groups = target.at(None if key.session is None else np.full(len(target.rows), key.session))
    own = {name: subset_variable(variable, at) for name, variable in variables.items()}
    if key.session is not None and SESSION in own:
        own[SESSION] = replace(own[SESSION], values=session)
    return ReadRows(
        coef.values[at],
        {factor: (units[factor], columns.values[at]) for factor, (columns, _) in groups.items()},
        own,
        {text: columns.rows(at) for text, columns in target.calls.items()},
        session,
    )


def seen_after_leaving(leaving: EquationDesign, measured: EquationDesign) -> list[Problem]:
    """Report patients who were measured in sessions after the one at which they left.

    A joint model takes what a patient would have had after leaving as unobserved because of it.
    """
    if not leaving.kind.binary or leaving.spec.unit != SESSION or measured.spec.unit != SESSION:
        return []
    gone = leaving.y == 1
    left = dict(zip(leaving.patient[gone], leaving.session[gone], strict=True))
    late = [
        f"patient {person!r} session {session:g} (left at {left[person]:g})"
        for person, session in zip(measured.patient[measured.seen], measured.session[measured.seen], strict=True)
        if session > left.get(person, np.inf)
    ]
    if not late:
        return []
    return [
        Problem(
            f"{measured.outcome} was measured after dropout in {count_of(len(late), 'row')}: {first_few(late)}. A "
            f"joint model of dropout and {measured.outcome} has no such rows.",
            fix="Leave them out (select_rows), or correct who dropped out when.",
        )
    ]


def _of_patients(key: LinkedTo, target: Target) -> Problem | None:
    """Return why what is read is not one number per patient, None where it is."""
    if target.rows.unit != SESSION:
        return Problem(f"its rows are {target.rows.unit}s.", allowed="An equation of sessions is read.")
    if key.kind == "effect" or not target.timed or target.fixed:
        return None
    stated = key.session if key.session is not None else float(np.nanmin(target.times)) + 1.0
    fixed = np.full(len(target.rows), stated)
    coef, groups = target.at(fixed)
    if key.kind == "slope" and key.session is None and not _is_line(target):
        return Problem(
            "its course is no line.", fix=f"State the session of the slope, as in slope({key.variable}, session=9)."
        )
    for columns in (coef, *(part for part, _ in groups.values())):
        frame = pd.DataFrame(columns.values).groupby(target.rows.key)
        spread, size = (frame.max() - frame.min()).max(), np.nanmax(np.abs(columns.values), axis=0, initial=0.0)
        moves = [
            label
            for label, own, gone, whole in zip(columns.labels, spread, columns.dynamic, size, strict=True)
            if own > 1e-9 * whole and not gone
        ]
        if moves:
            return Problem(f"{moves[0]} varies within patients, and which of its values is meant is not said.")
    return None


def _is_line(target: Target) -> bool:
    """Return whether a course has the same slope at all times."""
    start = np.full(len(target.rows), float(np.nanmin(target.times)) + 1.0)
    level = target.at(start)[0].values
    steps = [target.at(start + step)[0].values - level for step in (1.0, 2.0)]
    return bool(np.allclose(2 * steps[0], steps[1], equal_nan=True))


def _columns(key: LinkedTo, target: Target, rows: np.ndarray) -> tuple[Columns, Groups, Problem | None]:
    """Return the columns that are read, over all rows of the target, and what is wrong in the rows that are read."""
    session = None if key.session is None else np.full(len(target.rows), key.session)
    coef, groups = target.at(None)
    if target.fixed and (session is not None or key.kind == "slope"):
        fixed = f"{target.fixed} is worked out over all rows, and cannot be moved in time."
        return coef, groups, Problem(fixed, fix=f"Write {target.clock}.")
    if session is not None and target.clock == TIME:
        apart = f"its course runs along {target.variables[TIME].label!r}, which the number of a session does not say."
        fix = f"Leave session={key.session:g} out of a slope; for a value let the course run along the session."
        return coef, groups, Problem(apart, fix=fix)
    if session is not None:
        coef, groups = target.at(session)
    if key.kind == "effect":
        if key.factor not in groups:
            return coef, groups, unknown("grouping factor", key.factor, groups)
        labels = groups[key.factor][0].labels
        called = sum(_called(groups[key.factor][0], key.effect))
        if called > 1:
            several = f"{key.effect!r} is {called} effects of {key.factor} ({', '.join(labels)})."
            return coef, groups, Problem(several, fix="Name one.")
        return coef, groups, None if called else unknown(f"effect of {key.factor}", key.effect, labels)
    if key.kind == "value":
        return coef, groups, None
    if not target.timed:
        return coef, groups, Problem(f"{target.outcome} does not change with {target.clock}: its slope is 0.")
    own = target.times if session is None else session
    if np.isnan(own).any() and _is_line(target):  # sessions at risk that nobody attended have no time, and this slope
        own = np.where(np.isnan(own), np.nanmin(own), own)
    before, after = target.at(own - STEP), target.at(own + STEP)
    if np.isnan(before[0].values[rows]).any() or np.isnan(after[0].values[rows]).any():
        return coef, groups, Problem("its slope is not defined in all rows, as that of log or sqrt at 0.")
    slope = coef.with_values((after[0].values - before[0].values) / (2 * STEP))
    changed = {
        factor: (columns.with_values((after[1][factor][0].values - before[1][factor][0].values) / (2 * STEP)), blocks)
        for factor, (columns, blocks) in groups.items()
    }
    return slope, changed, None


def _called(columns: Columns, effect: str) -> list[bool]:
    """Return which columns are meant by a name, the study's or the model's."""
    return [effect in pair for pair in zip(columns.labels, columns.terms, strict=True)]


def _first_rows(rows: Rows, patients: np.ndarray) -> np.ndarray:
    """Return a row of each patient among those of another equation."""
    first = pd.Series(np.arange(len(rows)), index=rows.key)
    first = first[~first.index.duplicated()]
    return np.asarray(first.loc[patients].to_numpy(dtype=np.int64))
