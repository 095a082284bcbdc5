"""The parameters of an outcome's family, as drawn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.names import THRESHOLD_COEF, shape_dim
from bayes_alliance.outcome.contract import OutcomeRows


def rows_of(equation: EquationDesign, flat: xr.Dataset, of_rows: Mapping[str, np.ndarray]) -> OutcomeRows:
    """Return an equation's rows with its family's parameters from ``stack_draws``.

    ``of_rows`` are those that differ between rows, residual SDs among them, shape (draw, obs).
    """
    given: dict[str, np.ndarray] = dict(of_rows)
    for shape in equation.kind.shapes:
        if shape in given:
            continue
        own = flat[shape].sel({shape_dim(shape): [equation.outcome]})
        given[shape] = np.asarray(own.transpose("sample", ...).values)
    if equation.kind.thresholds:
        cuts = flat["threshold"].sel({THRESHOLD_COEF: list(equation.threshold_labels)})
        given["threshold"] = np.asarray(cuts.transpose("sample", ...).values)
    return OutcomeRows(equation.kind, equation.y, given, equation.scale)
