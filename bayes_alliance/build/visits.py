"""Residuals of a patient's visits, with a correlation of their own for every pair of visits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.build.outcome.gaussian import observe_normal
from bayes_alliance.build.outcome.given import row_data
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.visits import VisitResiduals
from bayes_alliance.names import BLOCK


def observe_visits(
    equation: EquationDesign,
    visits: VisitResiduals,
    correlations: Sequence[Sequence[Sequence[TensorVariable]]],
    mean: TensorVariable,
    spread: TensorVariable,
) -> None:
    """Observe an outcome, each row given the patient's visits before it.

    The product over a patient's rows is the multivariate normal density of the visits that the patient has. Its
    Cholesky factor is worked out once per pattern of visits and stratum: an absent visit has a row and a column of the
    identity matrix, which takes it out.

    Parameters
    ----------
    equation, visits
        The rows.
    correlations : sequence of matrices, each visit by visit
        Per stratum.
    mean, spread : TensorVariable, shape (obs,)
        Linear predictor and residual SD of each row.
    """
    strata, kept, pattern = visits.patterns()
    name, size = equation.outcome, len(visits.labels)
    code = pm.Data(f"pattern{BLOCK}{name}", pattern)
    held = pm.Data(f"held{BLOCK}{name}", kept.T.astype(float))
    place = pm.Data(f"place{BLOCK}{name}", np.maximum(visits.place, 0).T)
    present = pm.Data(f"present{BLOCK}{name}", visits.held.T.astype(float))
    apart = (row_data(equation, "visits", equation.y) - mean) / spread
    stratum = pm.Data(f"stratum{BLOCK}{name}", strata)
    lower = _factors(correlations, stratum, held)
    given: list[TensorVariable] = []
    left: list[TensorVariable] = []
    standard: list[TensorVariable] = []
    for i in range(size):
        shift = sum((lower[i][j][code] * standard[j] for j in range(i)), start=pt.zeros_like(present[0]))
        scale = lower[i][i][code]
        standard.append(present[i] * (apart[place[i]] - shift) / scale)
        given.append(shift)
        left.append(scale)
    own = row_data(equation, "patient", visits.patient), row_data(equation, "visit", visits.visit)
    shifts, scales = pt.stack(given, axis=1)[own], pt.stack(left, axis=1)[own]
    observe_normal(equation, mean + spread * shifts, spread * scales)


def _factors(
    correlations: Sequence[Sequence[Sequence[TensorVariable]]], stratum: TensorVariable, held: TensorVariable
) -> list[list[TensorVariable]]:
    """Return the lower Cholesky factor of the visits of each pattern, its entries over patterns."""
    size, none = len(correlations[0]), pt.zeros_like(held[0])

    def entry(i: int, j: int) -> TensorVariable:
        if len(correlations) == 1:
            return correlations[0][i][j]
        return pt.stack([matrix[i][j] for matrix in correlations])[stratum]

    lower: list[list[TensorVariable]] = []
    for i in range(size):
        row: list[TensorVariable] = []
        for j in range(i + 1):
            before = row if i == j else lower[j]
            known = sum((row[k] * before[k] for k in range(j)), start=none)
            if i == j:
                row.append(pt.sqrt(1.0 - known))
            else:
                row.append((held[i] * held[j] * entry(i, j) - known) / before[j])
        lower.append(row)
    return lower
