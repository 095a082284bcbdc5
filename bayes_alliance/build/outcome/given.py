"""What an outcome is observed with: its linear predictor, the parameters of its family, its thresholds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.names import obs_dim


@dataclass(frozen=True, eq=False)
class Given:
    """The linear predictor of every row, the parameters of the family, and the thresholds, lowest first.

    ``linear`` has shape (obs,). ``parameters`` are scalars or of shape (obs,), each by its name; ``ar`` is
    among them where residuals are autocorrelated. Thresholds are scalars.
    """

    linear: TensorVariable
    parameters: Mapping[str, TensorVariable]
    thresholds: Sequence[TensorVariable] = ()


def row_data(equation: EquationDesign, what: str, values: np.ndarray) -> TensorVariable:
    """Make a data container with a value per row."""
    return pm.Data(f"{what}_{equation.outcome}", values, dims=obs_dim(equation.outcome))


def observe_custom(
    equation: EquationDesign,
    logp: Callable[..., TensorVariable],
    random: Callable[..., Any],
    *given: TensorVariable,
) -> None:
    """Observe an outcome under a density of our own."""
    observed = row_data(equation, "observed", equation.y)
    pm.CustomDist(equation.outcome, *given, logp=logp, random=random, observed=observed, dims=obs_dim(equation.outcome))
