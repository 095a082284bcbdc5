"""What has to hold for products of slopes along paths to be effects of a predictor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.related_variables import related_to
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.set_variables import Setting, with_others
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.posterior.moderators import check_held, expression_of, is_rowwise, variables_of
from bayes_alliance.posterior.paths import Edge, Path, changed_by, find_blocked, find_paths
from bayes_alliance.spec.expressions import Call, Name

SAME = 1e-9
"""Relative difference of two means of a moderator that counts as none."""

PATIENT = "patient"


def check_paths(design: Design, paths: Sequence[Path], at: Mapping[str, Setting], predictor: str, outcome: str) -> None:
    """Refuse paths whose products of slopes, or sums of these, are no effects of the predictor.

    Raises
    ------
    FitError
        If ``at`` states what multiplies no slope; a slope depends on the predictor or on an outcome that it changes; a
        moderator of two steps has no one value; or a slope depends on something that differs between sessions and a
        later step reads means over sessions, deviations from them, or an earlier session.
    """
    parts = [(design.find(edge.target), own) for path in paths for edge in path.edges for _, own in edge.columns]
    check_held(parts, at, f"No slope on a path from {predictor!r} to {outcome!r}")
    findings = Findings()
    for path in paths:
        findings.add(_changed(design, path, predictor))
    findings.add(_apart(design, predictor, outcome))
    findings.stop(FitError)
    at = with_others(design, at)
    for path in paths:
        findings.add(_of_two_steps(design, path, at))
        findings.add(_over_sessions(design, path, at))
    for path in find_blocked(design, predictor, outcome):
        findings.add(_over_sessions(design, path, at))
    findings.stop(FitError)


def _changed(design: Design, path: Path, predictor: str) -> Iterator[Problem]:
    """Yield what is wrong with slopes that depend on the predictor or on what it changes."""
    changed = changed_by(design, predictor)
    for edge in path.edges:
        e = design.find(edge.target)
        for part in _moderating(edge):
            read = variables_of(e, part) & changed
            if read:
                why = "the predictor itself" if predictor in read else f"what {predictor!r} changes"
                yield (
                    Problem(
                        f"The slope of {edge.source} in the equation of {edge.target!r} depends on {part!r}, {why}: "
                        f"products of slopes are no effects of {predictor!r} here and do not add up to its total "
                        "effect.",
                        fix=f"Use counterfactual_effects(fit, {predictor!r}, values=...).",
                    )
                )


def _apart(design: Design, predictor: str, outcome: str) -> Iterator[Problem]:
    """Yield variables that change with the predictor and that its paths leave out."""
    for name in related_to(design, predictor):
        try:
            find_paths(design, name, outcome, bent=True)
        except FitError:
            continue  # it does not reach the outcome
        yield (
            Problem(
                f"{name!r} goes with {predictor!r} in the rows and is in the model, too: slopes of "
                f"{predictor!r} alone are no effects of it.",
                fix=(
                    f"Use one of them in all equations, or counterfactual_effects(fit, {predictor!r}, "
                    "values=...), which sets both."
                ),
            )
        )


def _moderating(edge: Edge) -> dict[str, None]:
    """Return the parts that a slope is multiplied by."""
    return dict.fromkeys(part for _, parts in edge.columns for part, _ in parts)


def _stated(e: EquationDesign, part: str, at: Mapping[str, Setting]) -> bool:
    return part in at or (is_rowwise(e, part) and bool(variables_of(e, part) & set(at)))


def _of_two_steps(design: Design, path: Path, at: Mapping[str, Setting]) -> Iterator[Problem]:
    """Yield moderators of several steps whose means are not those at any one value."""
    steps: dict[str, list[EquationDesign]] = {}
    for edge in path.edges:
        e = design.find(edge.target)
        for part in _moderating(edge):
            for name in variables_of(e, part):
                steps.setdefault(name, []).append(e)
    for edge in path.edges:
        e = design.find(edge.target)
        for part in _moderating(edge):
            variable = e.variables.get(part)
            number = isinstance(expression_of(e, part), Name) and variable is not None and variable.levels is None
            shared = [name for name in variables_of(e, part) if len(steps[name]) > 1]
            if shared and not number and not _stated(e, part, at):
                yield (
                    Problem(
                        f"Several steps of {path.name} depend on {shared[0]!r}, in one of them by {part!r}: a product "
                        "of averages is the effect at no value of it.",
                        fix=f"State the value, at={{{shared[0]!r}: ...}}.",
                    )
                )


def _over_sessions(design: Design, path: Path, at: Mapping[str, Setting]) -> Iterator[Problem]:
    """Yield slopes that depend on the session where a later step reads other sessions."""
    for place, edge in enumerate(path.edges):
        e = design.find(edge.target)
        if edge.how == "within" and place == 0:
            continue  # the slope of a deviation at a session is that of the deviation at this session
        for later in path.edges[place + 1 :]:
            for part in _moderating(edge):
                if later.lagged and _differs(e, part, PATIENT):
                    yield _refusal(path, edge, part, f"{later.target} reads {later.source} of an earlier session")
                elif later.how != "itself" and not later.latent and _differs(e, part, later.factor):
                    reader = design.find(later.target)
                    if _stated(e, part, at) or not _balanced(e, reader, part, later):
                        what = f"{later.target} reads {later.how}({later.source}, {later.factor})"
                        yield _refusal(path, edge, part, what)


def _refusal(path: Path, edge: Edge, part: str, what: str) -> Problem:
    return Problem(
        f"The slope of {edge.source} in the equation of {edge.target!r} depends on {part!r}, which differs between "
        f"rows of a unit, and {what}: the effect along {path.name} is no product of slopes at one value.",
        fix=(
            "State it as an estimand of the coefficients (add_estimands), with the mean of "
            f"{part!r} where a mean is read."
        ),
    )


def _numbers(e: EquationDesign, part: str) -> np.ndarray:
    """Return the columns of a moderator over the rows of its equation, shape (obs, column)."""
    variable = e.variables.get(part)
    if variable is not None:
        return variable.values[:, None]
    alone = [i for i, parts in enumerate(e.coef.parts) if len(parts) == 1 and next(iter(parts))[0] == part]
    if alone:
        return np.asarray(e.coef.values[:, alone])
    names = [name for name in variables_of(e, part) if name in e.variables]
    return np.column_stack([e.variables[name].values for name in names])


def _units(e: EquationDesign, factor: str) -> np.ndarray | None:
    """Return the unit of every row by its name, None where the equation does not know it."""
    if factor == PATIENT:
        return e.patient
    group = next((g for g in e.groups if g.factor == factor and g.slot == 0), None)
    return None if group is None else np.array(group.levels, dtype=object)[group.code]


def _differs(e: EquationDesign, part: str, factor: str) -> bool:
    """Return whether a moderator differs between rows of a unit."""
    expression = expression_of(e, part)
    if isinstance(expression, Call) and expression.function == "between" and expression.arguments[1] == Name(factor):
        return False  # a mean of the unit itself
    values, units = _numbers(e, part), _units(e, factor)
    if units is None:
        return bool((np.ptp(values, axis=0) > 0).any())
    return bool((pd.DataFrame(values).groupby(units).nunique() > 1).to_numpy().any())


def _balanced(e: EquationDesign, reader: EquationDesign, part: str, later: Edge) -> bool:
    """Return whether the mean moderator of a unit, averaged over the rows that read it, is that over all rows.

    The average effect is then the slope at the mean for what reads means, and nothing for what reads deviations.
    """
    values, units, readers = _numbers(e, part), _units(e, later.factor), _units(reader, later.factor)
    if units is None or readers is None:
        return False
    means = pd.DataFrame(values).groupby(units).mean()
    if not set(readers) <= set(means.index):
        return False
    read = means.loc[readers].to_numpy().mean(axis=0)
    target = values.mean(axis=0)
    if later.how == "within":
        same_rows = len(e.row) == len(reader.row) and bool((e.row == reader.row).all())
        return same_rows
    variable = reader.variables.get(part)
    held = variable.values.mean() if variable is not None else target
    size = max(1.0, float(np.abs(values).max()))
    return bool(np.allclose(read, target, atol=SAME * size) and np.allclose(held, target, atol=SAME * size))
