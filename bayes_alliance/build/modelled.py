"""Modelled values: missing outcomes and true scores as parameters, and what was measured of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.names import modelled_dim, obs_dim, seen_dim, value_name


def build_values(
    equation: EquationDesign, mean: TensorVariable, parameters: Mapping[tuple[str, str], TensorVariable]
) -> TensorVariable:
    """Build the modelled values of an outcome and observe what was measured of it; return them, shape (modelled,).

    A true value is normal around its linear predictor, and what was measured normal around the true value. Given the
    rest, what was measured is normal with both variances added, and the true value has the precision-weighted mean of
    measurement and predictor: that is how it is sampled, from a standard normal. A value of which nothing was measured
    is the case of weight 0.
    """
    own = equation.modelled
    assert own is not None
    outcome, dim = equation.outcome, modelled_dim(equation.outcome)
    spread = parameters["sigma", outcome]
    of_rows = _error(equation, own.of_rows(), "error", obs_dim(outcome), parameters)
    total = spread if of_rows is None else pt.sqrt(spread**2 + of_rows**2)
    seen = np.flatnonzero(own.seen)
    if len(seen) == len(own.seen):
        observed = pm.Data(f"observed_{outcome}", equation.y, dims=obs_dim(outcome))
        pm.Normal(outcome, mean, total, observed=observed, dims=obs_dim(outcome))
    else:
        place = pm.Data(f"seen_row_{outcome}", seen, dims=seen_dim(outcome))
        observed = pm.Data(f"observed_{outcome}", equation.y[seen], dims=seen_dim(outcome))
        wide = mean + pt.zeros(len(own.seen))
        pm.Normal(outcome, wide[place], _some(total, place), observed=observed, dims=seen_dim(outcome))
    _rate(equation, parameters)

    rows = pm.Data(f"modelled_row_{outcome}", own.rows, dims=dim)
    centre, sd = (mean + pt.zeros(len(own.seen)))[rows], _some(spread, rows)
    z = pm.Normal(f"z_{value_name(outcome)}", 0.0, 1.0, dims=dim)
    error = _error(equation, own.error, "error_of", dim, parameters)
    if error is None:
        value = centre + sd * z
    else:
        measured = pm.Data(f"measured_{outcome}", own.measured.astype(float), dims=dim)
        weight = measured * sd**2 / (sd**2 + error**2)
        score = pm.Data(f"score_{outcome}", equation.y[own.rows], dims=dim)
        value = centre + weight * (score - centre) + sd * pt.sqrt(1 - weight) * z
    return pm.Deterministic(value_name(outcome), value, dims=dim)


def _some(spread: TensorVariable, rows: TensorVariable) -> TensorVariable:
    return spread[rows] if spread.ndim else spread


def _error(
    equation: EquationDesign,
    numbers: np.ndarray,
    name: str,
    dim: str,
    parameters: Mapping[tuple[str, str], TensorVariable],
) -> TensorVariable | None:
    """Return the SDs of errors over ``dim``; None where nothing is measured with error."""
    if not numbers.any():
        return None
    assert equation.modelled is not None
    known = pm.Data(f"{name}_{equation.outcome}", numbers, dims=dim)
    return known if equation.modelled.ratings is None else known * parameters["error", equation.outcome]


def _rate(equation: EquationDesign, parameters: Mapping[tuple[str, str], TensorVariable]) -> None:
    """Count how far raters lie apart; their means, which the true scores follow, are observed with the outcome."""
    ratings = equation.modelled.ratings if equation.modelled is not None else None
    if ratings is None:
        return
    error = parameters["error", equation.outcome]
    squares = pm.Data(f"squares_{equation.outcome}", ratings.squares)
    pm.Potential(f"ratings_{equation.outcome}", -ratings.degrees * pt.log(error) - squares / (2 * error**2))


def modelled_coords(design: Design) -> dict[str, list[str] | list[int]]:
    """Return the coords of modelled values, and of the rows that were seen where some were not."""
    coords: dict[str, list[str] | list[int]] = {}
    for equation in design.equations:
        own = equation.modelled
        if own is None:
            continue
        coords[modelled_dim(equation.outcome)] = list(own.labels)
        if not own.seen.all():
            coords[seen_dim(equation.outcome)] = [int(row) for row in equation.row[own.seen]]
    return coords
