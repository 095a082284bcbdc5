"""Modelled values of an equation's outcome: missing ones, and true scores behind errors of measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, first_few
from bayes_alliance.design.columns.arms import Arms, count_by_arm
from bayes_alliance.design.columns.modelled_values import WIDTH, unit_keys
from bayes_alliance.design.columns.rows import Rows
from bayes_alliance.design.columns.values import Modelled
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.equations.complete_rows import Source
from bayes_alliance.design.equations.score_errors import named_error
from bayes_alliance.design.groups.groups import GroupDesign
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.spec.model import EquationSpec, Unit


@dataclass(frozen=True, eq=False)
class Ratings:
    """What the ratings of several raters say of their error: squared deviations from the means they agree on."""

    squares: float
    degrees: int


@dataclass(frozen=True, eq=False)
class ModelledRows:
    """Rows of an equation whose true outcome is a parameter.

    ``rows`` are their places among the equation's rows, with ``labels``; ``seen`` of shape (obs,) says which rows have
    a measured value. ``error`` of shape (modelled,) is the SD of its error, 0 where nothing was measured; where there
    are ``ratings`` it counts in SDs of one rating, which are estimated.
    """

    rows: np.ndarray
    labels: tuple[str, ...]
    seen: np.ndarray
    error: np.ndarray
    ratings: Ratings | None = None

    @property
    def measured(self) -> np.ndarray:
        """Return which of the modelled rows have a measured value, shape (modelled,)."""
        return np.asarray(self.seen[self.rows])

    def of_rows(self) -> np.ndarray:
        """Return the SD of the error of every row of the equation, 0 where it has none, shape (obs,)."""
        whole = np.zeros(len(self.seen))
        whole[self.rows] = self.error
        return whole


def find_modelled(
    equation: EquationSpec,
    rows: Rows,
    keep: np.ndarray,
    values: np.ndarray,
    variables: Mapping[str, Variable],
    groups: Sequence[GroupDesign],
    arms: Arms | None,
    source: Source,
    findings: Findings,
) -> ModelledRows | None:
    """Find the rows of an equation whose outcome is a parameter, and say how many there are.

    Parameters
    ----------
    values : ndarray, shape (obs,)
        Outcomes of the rows kept, NaN where missing.

    Returns
    -------
    ModelledRows or None
        None where every outcome counts as it was observed.
    """
    if not equation.modelled:
        return None
    seen = ~np.isnan(values)
    label = variables[equation.outcome].label
    if not seen.any():
        findings.problem(f"Outcome {label!r} has no value in any row used; nothing says what its missing values are.")
        return None
    missing = int((~seen).sum())
    if equation.missing == "model":
        by_arm = "" if arms is None else count_by_arm(~seen, arms.levels, arms.code)
        findings.note(
            f"{label}: {count_of(missing, 'value')} of {len(values):,} {are(missing, 'is', 'are')} missing and modelled"
            f"{by_arm}."
        )
    if equation.measured:
        findings.add(_alike_in_wider_units(equation, rows, keep, values, label))
    if isinstance(equation.reliability, str):
        error, ratings = named_error(equation, rows, keep, source, groups, findings), None
    else:
        error, ratings = _error(equation, rows, keep, values, variables, groups, findings)
    chosen = np.ones(len(values), dtype=bool) if equation.measured else ~seen
    if not chosen.any():
        return None
    places = np.flatnonzero(chosen)
    keys = unit_keys(rows, rows.unit)[keep]
    labels = tuple(str(key) for key in keys[places])
    if rows.unit == "session":
        labels = tuple(f"{p}, {s:g}" for p, s in zip(rows.key[keep][places], rows.session[keep][places], strict=True))
    return ModelledRows(places, labels, seen, np.where(seen, error, 0.0)[places], ratings)


def _alike_in_wider_units(
    equation: EquationSpec, rows: Rows, keep: np.ndarray, values: np.ndarray, label: str
) -> list[Problem]:
    """Report a score that is one of a wider unit: its error would count anew in every row."""
    for unit in ("site", "group", "therapist", "patient"):
        if unit not in rows.source.roles or WIDTH[unit] <= WIDTH[rows.unit]:
            continue
        ignored = Findings()  # what is wrong with columns is reported where they are coded
        frame = pd.DataFrame({"unit": rows.ids(unit, {}, ignored)[keep], "y": values}).dropna()
        own = frame[frame.unit != ""].groupby("unit").y
        if (own.size() > 1).any() and (own.nunique() == 1).all():
            return [
                Problem(
                    f"{label!r} has one value per {unit}, and a row of its equation is a {rows.unit}, so that "
                    "one error would count as many.",
                    fix=f'State unit = "{unit}" in its equation (unit={unit} in me()).',
                )
            ]
    return []


def _error(
    equation: EquationSpec,
    rows: Rows,
    keep: np.ndarray,
    values: np.ndarray,
    variables: Mapping[str, Variable],
    groups: Sequence[GroupDesign],
    findings: Findings,
) -> tuple[np.ndarray, Ratings | None]:
    """Return the SD of every row's error, shape (obs,), and what ratings say where it is to be estimated."""
    label = variables[equation.outcome].label
    if equation.raters:
        return _ratings(equation, keep, variables, label, findings)
    if isinstance(equation.error, str):
        stated = variables[equation.error]
        bad = ~np.isnan(values) & ~(stated.values[keep] > 0)
        if bad.any():
            shown = first_few([repr(str(key)) for key in rows.key[keep][bad]])
            findings.problem(
                f"column {stated.label!r} is the SD of the error of {label!r} and is missing or not above 0 "
                f"in {count_of(int(bad.sum()), 'row')} ({rows.unit} {shown}).",
                where=f"error = {equation.error!r}",
            )
        return np.nan_to_num(stated.values[keep]), None
    if equation.error is not None:
        return np.full(len(values), equation.error), None
    if equation.reliability is None:
        return np.zeros(len(values)), None
    assert not isinstance(equation.reliability, str)  # worked out from items: find_modelled
    spread, where = reliability_spread(values, groups, rows.unit)
    sd = float(np.sqrt(1 - equation.reliability) * spread)
    findings.note(
        f"{label}: a reliability of {equation.reliability:g} is an error of measurement with SD {sd:.4g} ({where} "
        f"{spread:.4g})."
    )
    return np.full(len(values), sd), None


def reliability_spread(values: np.ndarray, groups: Sequence[GroupDesign], unit: Unit) -> tuple[float, str]:
    """Return the SD that a reliability is about: of sessions within patients that have effects, else of all values."""
    finest = next((group for group in groups if "patient" in group.factor.split(":") and unit == "session"), None)
    if finest is not None:
        frame = pd.DataFrame({"level": np.where(finest.inside, finest.code, -1), "y": values}).dropna()
        own = frame.groupby("level").y
        degrees = len(frame) - own.ngroups
        if degrees > 0:
            squares = float(((frame.y - own.transform("mean")) ** 2).sum())
            return float(np.sqrt(squares / degrees)), "scores vary within a patient by"
    return float(np.nanstd(values, ddof=1)), "the SD of the scores is"


def _ratings(
    equation: EquationSpec,
    keep: np.ndarray,
    variables: Mapping[str, Variable],
    label: str,
    findings: Findings,
) -> tuple[np.ndarray, Ratings | None]:
    table = np.column_stack([variables[name].values[keep] for name in equation.raters])
    count = (~np.isnan(table)).sum(axis=1)
    mean = np.nansum(table, axis=1) / np.maximum(count, 1)
    squares = float(np.nansum((table - mean[:, None]) ** 2))
    degrees = int(np.maximum(count - 1, 0).sum())
    if degrees < 1:
        findings.problem(
            f"no {equation.unit} has two ratings, so that their agreement tells no error.",
            where=f"raters of {label!r}",
            fix="State reliability or error.",
        )
        return np.zeros(len(table)), None
    if squares <= 0:
        findings.problem(
            f"all ratings of one {equation.unit} are the same.",
            where=f"raters of {label!r}",
            fix="Leave all but one out.",
        )
    each = ", ".join(
        f"{variables[name].label} {int((~np.isnan(table[:, i])).sum()):,}" for i, name in enumerate(equation.raters)
    )
    findings.note(
        f"{label}: {count_of(int(count.sum()), 'rating')} of {count_of(int((count > 0).sum()), equation.unit)} "
        f"({each}); one rating lies {np.sqrt(squares / degrees):.4g} from the mean of all raters' ratings (SD)."
    )
    return np.where(count > 0, 1 / np.sqrt(np.maximum(count, 1)), 0.0), Ratings(squares, degrees)


def read_modelled(
    equation: EquationSpec, rows: Rows, keep: np.ndarray, modelled: ModelledRows | None, y: np.ndarray
) -> Modelled:
    """Return an outcome as other equations read it."""
    keys = unit_keys(rows, rows.unit)[keep]
    place = np.full(len(keys), -1)
    if modelled is not None:
        place[modelled.rows] = np.arange(len(modelled.rows))
    places = dict(zip(map(str, keys), map(int, place), strict=True))
    return Modelled(equation.unit, places, float(np.nanmean(y)), equation.measured)
