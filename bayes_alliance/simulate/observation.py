"""What is observed of true outcomes: with errors of measurement, by several raters, with values missing by chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.modelled_values import reliability_spread
from bayes_alliance.errors import SpecError
from bayes_alliance.simulate.layout import Layout
from bayes_alliance.spec.model import EquationSpec, ModelSpec


@dataclass(frozen=True, eq=False)
class Chance:
    """What chance does to observed values, per row of a table, alike in all rows of a unit.

    ``noise`` holds standard normal errors by column, ``missing`` which values are not there.
    """

    noise: Mapping[str, np.ndarray]
    missing: Mapping[str, np.ndarray]


def draw_chance(
    frame: pd.DataFrame,
    spec: ModelSpec,
    layout: Layout,
    names: Mapping[str, str],
    rng: np.random.Generator,
    missing: Mapping[str, np.ndarray] | None = None,
) -> Chance:
    """Draw errors, and unless stated which values are missing, for the outcomes of a model that have either.

    Raises
    ------
    SpecError
        If values of something that is no modelled outcome are to be missing.
    """
    noise: dict[str, np.ndarray] = {}
    gone: dict[str, np.ndarray] = dict(missing or {})
    modelled = {names[e.outcome]: e for e in spec.equation if e.missing == "model"}
    unknown = [column for column in layout.missing if column not in modelled]
    if unknown:
        raise SpecError(
            f'layout: missing = {{ {unknown[0]} = ... }} is for outcomes whose equation says missing = "model": '
            f"{', '.join(map(repr, modelled)) or 'none'}."
        )
    for equation in spec.equation:
        for column in _observed(equation, names) if equation.measured else ():
            noise[column] = _per_unit(frame, equation, layout, rng.normal)
        share = layout.missing.get(names[equation.outcome], 0.0)
        if share and missing is None:
            gone |= dict.fromkeys(_observed(equation, names), _per_unit(frame, equation, layout, rng.random) < share)
    return Chance(noise, gone)


def observe(
    frame: pd.DataFrame,
    design: Design,
    names: Mapping[str, str],
    chance: Chance,
    truth: Mapping[str, float],
) -> pd.DataFrame:
    """Return true outcomes as they are observed."""
    columns = {}
    for e in design.equations:
        spec = e.spec
        if not spec.modelled:
            continue
        true = frame[names[spec.outcome]].to_numpy(float)
        for column in _observed(spec, names):
            error = _error_sd(e, frame, names, truth) * chance.noise[column] if spec.measured else 0.0
            columns[column] = np.where(chance.missing.get(column, False), np.nan, true + error)
    return frame.assign(**columns)


def true_values(made: Design, frame: pd.DataFrame, names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return the true outcomes of the rows of a design that are modelled, by outcome, shape (modelled,)."""
    return {
        e.outcome: frame[names[e.spec.outcome]].to_numpy(float)[e.row[e.modelled.rows]]
        for e in made.equations
        if e.modelled is not None
    }


def with_known_errors(spec: ModelSpec, design: Design) -> ModelSpec:
    """Return a model whose reliabilities are the SDs of errors they are in a design, fixed for all studies."""
    equations = []
    for equation in spec.equation:
        own = next(e for e in design.equations if e.spec.outcome == equation.outcome).modelled
        if equation.reliability is not None and own is not None:
            sd = float(own.error.max())
            update = {"reliability": None, "error": sd} if sd > 0 else {"reliability": None}
            equation = equation.model_copy(update=update)
        equations.append(equation)
    return spec.model_copy(update={"equation": tuple(equations)})


def _observed(equation: EquationSpec, names: Mapping[str, str]) -> tuple[str, ...]:
    """Return the columns that hold what is observed of an outcome."""
    return tuple(names.get(rater, rater) for rater in equation.raters) or (names[equation.outcome],)


def _error_sd(
    e: EquationDesign, frame: pd.DataFrame, names: Mapping[str, str], truth: Mapping[str, float]
) -> float | np.ndarray:
    """Return the SD of the error; of a reliability r, sqrt((1 - r) / r) times that of the true scores it is about."""
    equation = e.spec
    if equation.raters:
        return truth[f"error[{e.outcome}]"]
    if isinstance(equation.error, str):
        return frame[names[equation.error]].to_numpy(float)
    assert not isinstance(equation.reliability, str)  # simulated rows have no items: their design is refused
    if equation.reliability is not None:
        true = frame[names[equation.outcome]].to_numpy(float)[e.row]
        return float(
            np.sqrt((1 - equation.reliability) / equation.reliability)
            * reliability_spread(true, e.groups, equation.unit)[0]
        )
    return equation.error or 0.0


def _per_unit(frame: pd.DataFrame, equation: EquationSpec, layout: Layout, draw) -> np.ndarray:  # type: ignore[no-untyped-def]
    if equation.unit == "session":
        return np.asarray(draw(size=len(frame)))
    levels, code = np.unique(frame[layout.name(equation.unit)].to_numpy(dtype=str), return_inverse=True)
    return np.asarray(draw(size=len(levels))[code])
