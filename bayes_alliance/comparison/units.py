"""What is left out: the rows of a session, patient, therapist or group, in all equations of a model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd

from bayes_alliance._messages import count_of, quote, unknown
from bayes_alliance.collapse.eligibility import find_design_obstacles
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.errors import FitError
from bayes_alliance.spec.expressions import calls_in
from bayes_alliance.spec.variables_read import values_in

type UnitName = Literal["session", "patient", "therapist", "group", "site"]

UNITS: Final = ("session", "patient", "therapist", "group", "site")

AROUND: Final = ("lag", "within", "between", "others")
"""Functions of a formula that read other rows."""


@dataclass(frozen=True, eq=False)
class Units:
    """What is left out, one at a time: ``codes`` of shape (obs,) per outcome point into ``labels``.

    ``factor`` is the grouping factor whose levels these are, None for sessions and for patients without effects of
    their own. ``messages`` say what is not as one would think.
    """

    name: UnitName
    labels: tuple[str, ...]
    codes: Mapping[str, np.ndarray]
    factor: str | None
    messages: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def count_rows(self, outcomes: Sequence[str]) -> np.ndarray:
        """Return each unit's number of rows of some outcomes, shape (unit,)."""
        return np.asarray(sum(np.bincount(self.codes[o], minlength=len(self)) for o in outcomes))


def find_units(design: Design, unit: UnitName, outcomes: Sequence[str] | None = None) -> Units:
    """Return what is left out one at a time.

    Rows without a therapist, group or site (an arm without groups) are left out by patient. An equation without the
    factor follows its patients, where each has one level in the other equations.

    Parameters
    ----------
    design : Design
        Of the fit.
    unit : {"session", "patient", "therapist", "group", "site"}
        What a prediction is for.
    outcomes : sequence of str, optional
        Whose rows are scored, for the check of lagged outcomes.

    Raises
    ------
    FitError
        If the model has no such unit, or rows depend on others that would be left out before them.
    """
    if unit not in UNITS:
        raise FitError(unknown("unit", str(unit), UNITS))
    _refuse_unsupported(design, unit)
    if unit == "session":
        return _sessions(design, outcomes)
    if unit == "patient":
        labels = sorted({str(p) for e in design.equations for p in e.patient})
        index = {label: i for i, label in enumerate(labels)}
        codes = {e.outcome: np.array([index[str(p)] for p in e.patient]) for e in design.equations}
        return Units(unit, tuple(labels), codes, _factor(design, "patient"))
    return _levels(design, unit)


def _refuse_unsupported(design: Design, unit: UnitName) -> None:
    """Refuse units whose rows cannot be told from those of others, or be integrated over by themselves."""
    wide = [e.outcome for e in design.equations if e.spec.unit not in ("session", "patient")]
    modelled = [e.outcome for e in design.equations if e.modelled is not None]
    modelled = modelled if modelled and find_design_obstacles(design) else []
    serial = [e.outcome for e in design.equations if e.serial]
    shared = [name for name, group in design.spec.groups.items() if group.members]
    why = ""
    if modelled or wide:
        why = f"values of {quote(modelled or wide)} are modelled and shared with other rows"
    elif serial and unit == "session":
        why = f"residuals of {quote(serial)} correlate over sessions"
    elif unit in shared:
        why = f"rows belong to several levels of {unit} at once"
    if why:
        raise FitError(
            f"Leaving out by {unit} is not worked out for this model: {why}. diagnose() compares its predictions with "
            f"the rows it was fitted to."
        )


def fingerprint(design: Design, units: Units, outcomes: Sequence[str]) -> str:
    """Return a digest of what is predicted: which unit's outcomes, with which values.

    Two models predict the same things if, and only if, their fingerprints are equal, whatever predicts them.
    """
    digest = hashlib.sha256(units.name.encode())
    for outcome in sorted(outcomes):
        equation = design.find(outcome)
        order = np.lexsort([np.nan_to_num(equation.session, nan=-np.inf), equation.patient.astype(str)])
        order = order[equation.seen[order]]
        digest.update("\x1f".join([outcome, equation.kind.measure, *equation.patient[order].astype(str)]).encode())
        digest.update(np.ascontiguousarray(equation.session[order], dtype=float).tobytes())
        digest.update(np.ascontiguousarray(equation.y[order] + equation.offset, dtype=float).tobytes())
        labels = np.array(units.labels, dtype=object)[units.codes[outcome][order]]
        digest.update("\x1f".join(map(str, labels)).encode())
    return digest.hexdigest()


def _factor(design: Design, name: str) -> str | None:
    return name if name in {factor.factor for factor in design.factors} else None


def _sessions(design: Design, outcomes: Sequence[str] | None) -> Units:
    others = [e.outcome for e in design.equations if e.spec.unit != "session"]
    if others:
        raise FitError(f"{quote(others)} has one row per patient, so sessions cannot be left out; take unit='patient'.")
    chosen = {e.spec.outcome for e in design.equations if outcomes is None or e.outcome in outcomes}
    lagged = [
        f"{e.outcome} follows earlier values of {', '.join(sorted(chosen & _looking_back(design, e)))}"
        for e in design.equations
        if chosen & _looking_back(design, e)
    ]
    if lagged:
        raise FitError(
            f"Sessions cannot be left out one at a time: {'; '.join(lagged)}, so a session's value stands in the rows "
            f"after it. Predict the next session instead: leave_future_out(fit, sessions)."
        )
    rows = np.unique(np.concatenate([e.row for e in design.equations]))
    codes = {e.outcome: np.searchsorted(rows, e.row) for e in design.equations}
    labels = dict.fromkeys(range(len(rows)), "")
    for e in design.equations:
        for code, patient, session in zip(codes[e.outcome], e.patient, e.session, strict=True):
            labels[int(code)] = f"{patient}, session {session:g}"
    return Units("session", tuple(labels.values()), codes, None)


def _looking_back(design: Design, equation: EquationDesign) -> set[str]:
    """Return the outcomes whose values at other sessions an equation reads: by lags, or by means over sessions."""
    terms = equation.spec.parsed.every_term
    calls = [call for term in terms for part in term.parts for call in calls_in(part)]
    read = {name for call in calls if call.function in AROUND for name in values_in(call)}
    return read & set(design.spec.outcomes)


def _levels(design: Design, unit: UnitName) -> Units:
    if _factor(design, unit) is None:
        have = [name for name in UNITS if name in ("session", "patient") or _factor(design, name)]
        raise FitError(f"The model has no effects of {unit}s; it has {quote(have)}.")
    found = {e.outcome: _level_of_rows(e, unit) for e in design.equations}
    messages: list[str] = []
    lacking = [outcome for outcome, levels in found.items() if levels is None]
    if lacking:
        homes = _homes(design, found)
        for outcome in lacking:
            found[outcome] = np.array([homes.get(str(p), "") for p in design.find(outcome).patient], dtype=object)
        messages.append(f"{quote(lacking)} has no effects of {unit}s; its rows go with their patient's {unit}.")
    texts, alone, split = {}, 0, set()
    for e in design.equations:
        levels = found[e.outcome]
        assert levels is not None
        outside = levels == ""
        alone += int(outside.sum())
        texts[e.outcome] = np.where(outside, [f"patient {p}" for p in e.patient], levels)
        together = pd.DataFrame({"patient": e.patient, "level": levels})[~outside]
        several = together.groupby("patient")["level"].nunique()
        split |= set(several.index[several > 1])
    if alone:
        messages.append(f"{count_of(alone, 'row')} without a {unit} left out by patient.")
    if split:
        messages.append(
            f"{count_of(len(split), 'patient')} with rows of several {unit}s: the rows are split, and the patient's "
            f"other rows stay."
        )
    labels = sorted({str(text) for own in texts.values() for text in own})
    index = {label: i for i, label in enumerate(labels)}
    codes = {outcome: np.array([index[str(text)] for text in own]) for outcome, own in texts.items()}
    return Units(unit, tuple(labels), codes, unit, tuple(messages))


def _level_of_rows(equation: EquationDesign, factor: str) -> np.ndarray | None:
    """Return the level of every row as text, empty outside; None where the equation lacks the factor."""
    group = next((g for g in equation.groups if g.factor == factor), None)
    if group is None:
        return None
    return np.where(group.inside, np.array(group.levels, dtype=object)[group.code], "")


def _homes(design: Design, found: Mapping[str, np.ndarray | None]) -> dict[str, str]:
    """Return the one level that each patient has in the equations with the factor; those with several have none."""
    levels: dict[str, set[str]] = {}
    for e in design.equations:
        own = found[e.outcome]
        for patient, level in zip(e.patient, own, strict=True) if own is not None else ():
            if level:
                levels.setdefault(str(patient), set()).add(str(level))
    return {patient: next(iter(own)) for patient, own in levels.items() if len(own) == 1}
