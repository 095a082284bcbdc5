"""The log-density of sampled parameters with effects integrated out, as the sampler calls it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from bayes_alliance.collapse.density import share_points
from bayes_alliance.quadrature.kernel.evaluate import evaluator, scanner
from bayes_alliance.quadrature.nodes import Nodes, make_nodes
from bayes_alliance.quadrature.parameters import Parameters
from bayes_alliance.quadrature.stack import Stacked

READ = 4
"""Numbers that are read in the time that a row takes at one node."""

AT_ONCE = 80_000_000
"""Rows times nodes that one call reads at most: a stop waits for one call."""


@dataclass(frozen=True, eq=False)
class Density:
    """Log-likelihood with effects integrated out at so many nodes, plus log prior.

    ``modes``, shape (unit, effect), and ``outer_modes``, shape (group,), are where modes of standardised effects are
    looked for; values do not depend on them but for rounding.
    """

    stacked: Stacked
    parameters: Parameters
    rung: int = 0
    modes: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    outer_modes: np.ndarray = field(default_factory=lambda: np.empty(0))

    @property
    def size(self) -> int:
        """Return the number of parameters."""
        return self.parameters.size

    @property
    def sds(self) -> int:
        """Return the number of SDs."""
        return len(self.parameters.sd)

    @property
    def above_zero(self) -> np.ndarray:
        """Return which SDs must be logarithms."""
        return self.parameters.above_zero

    @property
    def nodes(self) -> Nodes:
        """Return the rule."""
        return make_nodes(self.rung, self.stacked.effects)

    @property
    def numbers(self) -> int:
        """Return how many numbers an evaluation reads: rows by nodes."""
        outer = len(self.nodes.outer_logs) + 3 if self.stacked.outer is not None else 1
        return READ * len(self.stacked.rows.y) * (len(self.nodes.logs) + 3) * outer

    @property
    def at_once(self) -> int:
        """Return how many points one call of the kernel takes at most."""
        return max(1, AT_ONCE // max(self.numbers, 1))

    @property
    def sizes(self) -> np.ndarray:
        """Return what the kernel reads a point by; see ``read_point``."""
        own, parameters = self.stacked.kind, self.parameters
        counts = (len(parameters.coef), parameters.thresholds, len(parameters.shapes), parameters.strata)
        return np.array([own.rows, own.flavour, *counts, int(parameters.outer)])

    @property
    def exact_slopes(self) -> bool:
        """Return False: slopes are differences of values."""
        return False

    def gradient(self, x: np.ndarray, logs: np.ndarray) -> tuple[float, np.ndarray]:
        """Raise: slopes are differences of values."""
        raise NotImplementedError("slopes of integrals are differences of values")

    def turns(self, logs: np.ndarray) -> np.ndarray:
        """Return every way to turn signs of SDs that have one."""
        return self.parameters.turns(logs)

    def values(self, points: np.ndarray, logs: np.ndarray, cores: int) -> np.ndarray:
        """Return the log-density at points, shape (point, parameter), SDs as ``logs`` says."""
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            prior = self.parameters.log_prior(points, logs)
            whole = self.parameters.kernel_points(points, logs)
        total = prior + self.log_likelihood(whole, cores)
        return np.asarray(np.where(np.isfinite(total), total, -np.inf))

    def log_likelihood(self, whole: np.ndarray, cores: int = 1) -> np.ndarray:
        """Return the log-likelihood at points as the kernel reads them."""
        found = np.full(len(whole), -np.inf)
        finite = np.flatnonzero(np.isfinite(whole).all(axis=1))
        points = whole[finite]
        values = np.empty(len(points))

        def run(part: slice) -> None:
            self._call(points[part], values[part], self.modes, self.outer_modes, keep=False)

        share_points(run, len(points), cores, self.at_once)
        found[finite] = values + self.stacked.constant
        return found

    def heights(self, point: np.ndarray, logs: np.ndarray, grid: np.ndarray) -> np.ndarray:
        """Return units' log-densities times priors of standardised effects on a grid, shape (unit, grid ** effect).

        Outer effects are at their modes.
        """
        size = self.stacked.effects
        whole = self.parameters.kernel_points(point[None], logs)[0]
        both = np.stack(np.meshgrid(*(grid,) * size, indexing="ij"), axis=-1).reshape(-1, size)
        found = np.empty((len(self.stacked.rows.weight), len(both)))
        scanner()(self.sizes, self.stacked.rows, whole, self.outer_modes, both, found)
        return found - 0.5 * (both**2).sum(axis=1)

    def near(self, point: np.ndarray, logs: np.ndarray) -> Density:
        """Return the density with modes looked for where they are at a point."""
        modes, outer = self.modes.copy(), self.outer_modes.copy()
        whole = self.parameters.kernel_points(point[None], logs)
        self._call(whole, np.empty(1), modes, outer, keep=True)
        if not (np.isfinite(modes).all() and np.isfinite(outer).all()):
            return self
        return replace(self, modes=modes, outer_modes=outer)

    def at_rung(self, rung: int) -> Density:
        """Return the density at other nodes."""
        return replace(self, rung=rung)

    def _call(self, points: np.ndarray, found: np.ndarray, modes: np.ndarray, outer: np.ndarray, *, keep: bool) -> None:
        nodes = self.nodes
        evaluator()(
            self.sizes, self.stacked.rows, points, found, modes, outer, nodes.inner, nodes.logs, nodes.outer,
            nodes.outer_logs, keep,
        )  # fmt: skip


def make_density(stacked: Stacked, parameters: Parameters) -> Density:
    """Return the log-density of stacked rows, modes looked for from 0."""
    units, groups = len(stacked.rows.weight), len(stacked.rows.group) - 1
    return Density(stacked, parameters, 0, np.zeros((units, 2)), np.zeros(groups))
