"""Sufficient statistics of rows that come in pieces, of a design that does not hold them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayes_alliance.collapse.rows import ClassRows, equation_rows, make_shape, order_factors
from bayes_alliance.collapse.shape import Residuals
from bayes_alliance.collapse.statistics import Statistics, make_accumulator
from bayes_alliance.design.design import Design


class Pieces:
    """Sums rows of equations with one residual SD each, whose residuals do not correlate.

    Parameters
    ----------
    design : Design
        Names columns, resolves priors and holds the levels.
    links : ndarray, shape (link, factor)
        Levels that meet in some row, -1 outside a factor.
    """

    def __init__(self, design: Design, links: np.ndarray) -> None:
        levels = [len(factor.levels) for factor in design.factors]
        self.shape = make_shape(design, *order_factors(levels, links))
        self._classes = [Residuals((number,), (number,)) for number in range(len(design.equations))]
        self._sums = make_accumulator(self.shape, self._classes, links)

    def add(
        self, number: int, coef: np.ndarray, y: np.ndarray, codes: Sequence[np.ndarray], values: Sequence[np.ndarray]
    ) -> None:
        """Add rows of an equation: columns, outcome, and per factor levels and covariates; see ``equation_rows``."""
        rows = equation_rows(self.shape, number, coef, y, codes, values)
        equations = [rows] * (number + 1)  # classes name equations by their place
        self._sums.add(equations, [ClassRows(self._classes[number], (np.arange(len(y)),))])

    def finish(self) -> Statistics:
        """Return the sums."""
        return self._sums.finish()
