"""Whether two models imply the same distributions: systems of linear Gaussian equations, told by their moments."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.optimize import least_squares

from bayes_alliance.design.design import Design

TRUTHS = 2
"""Random parameters of one model that the other is asked to reproduce."""

SAME = 1e-6
"""Largest deviation of moments, in units of outcomes with SDs near 1, that counts as none."""


@dataclass(frozen=True, eq=False)
class _System:
    """A recursive system: which outcomes and predictors each equation has, and what varies with what.

    ``paths`` are pairs (outcome, outcome that predicts it), ``slopes`` pairs (outcome, predictor), ``effects`` per
    factor pairs (outcome, covariate), ``pairs`` those that correlate; all as positions in common lists.
    """

    outcomes: int
    predictors: int
    paths: tuple[tuple[int, int], ...]
    slopes: tuple[tuple[int, int], ...]
    residual: tuple[tuple[int, int], ...]
    effects: tuple[tuple[tuple[int, int], ...], ...]
    pairs: tuple[tuple[tuple[int, int], ...], ...]
    covariates: tuple[int, ...]

    @property
    def size(self) -> int:
        """Return the number of parameters."""
        own = len(self.paths) + len(self.slopes) + self.outcomes + len(self.residual)
        return own + sum(len(e) + len(p) for e, p in zip(self.effects, self.pairs, strict=True))

    def moments(self, values: np.ndarray) -> np.ndarray:
        """Return means by predictor, covariances of residuals and of effects, as outcomes have them in the end."""
        rest = iter(np.split(values, np.cumsum(self._sizes())[:-1]))
        b = np.zeros((self.outcomes, self.outcomes))
        b[tuple(np.array(self.paths, dtype=int).reshape(-1, 2).T)] = next(rest)
        total = np.linalg.inv(np.eye(self.outcomes) - b)
        gamma = np.zeros((self.outcomes, self.predictors))
        gamma[tuple(np.array(self.slopes, dtype=int).reshape(-1, 2).T)] = next(rest)
        found = [(total @ gamma).ravel()]
        psi = _covariance(next(rest), next(rest), self.residual)
        found.append((total @ psi @ total.T).ravel())
        for effects, pairs, covariates in zip(self.effects, self.pairs, self.covariates, strict=True):
            omega = _covariance(next(rest), next(rest), pairs)
            carried = np.zeros((self.outcomes * covariates, len(effects)))
            for i, (outcome, covariate) in enumerate(effects):
                carried[np.arange(self.outcomes) * covariates + covariate, i] = total[:, outcome]
            found.append((carried @ omega @ carried.T).ravel())
        return np.concatenate(found)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Return random parameters: slopes, logarithms of SDs, inverse hyperbolic tangents of correlations."""
        return rng.normal(0.0, 0.5, self.size)

    def _sizes(self) -> list[int]:
        sizes = [len(self.paths), len(self.slopes), self.outcomes, len(self.residual)]
        for effects, pairs in zip(self.effects, self.pairs, strict=True):
            sizes += [len(effects), len(pairs)]
        return sizes


def same_distribution(one: Design, other: Design) -> bool:
    """Return whether two models imply the same distributions of the same outcomes.

    Each is given random parameters, and the other's are sought that imply the same moments. False also where it cannot
    be told: outcomes that are not Gaussian, products of outcomes, latent means, variances by condition.
    """
    if {e.outcome for e in one.equations} != {e.outcome for e in other.equations}:
        return False
    systems = _systems(one, other)
    if systems is None:
        return False
    first, second = systems
    return first.size == second.size and _reproduces(first, second) and _reproduces(second, first)


def _reproduces(one: _System, other: _System) -> bool:
    """Return whether the second can imply what the first does at random parameters."""
    rng = np.random.default_rng(1)
    for _ in range(TRUTHS):
        target = one.moments(one.draw(rng))
        best = np.inf
        for _ in range(3):
            found = least_squares(
                lambda v, t=target: other.moments(v) - t, 0.3 * other.draw(rng), xtol=1e-12, gtol=1e-12
            )
            best = min(best, float(np.abs(found.fun).max()))
            if best < SAME:
                break
        if best >= SAME:
            return False
    return True


def _covariance(log_sd: np.ndarray, cor: np.ndarray, pairs: tuple[tuple[int, int], ...]) -> np.ndarray:
    matrix = np.eye(len(log_sd))
    for (i, j), value in zip(pairs, np.tanh(cor), strict=True):
        matrix[i, j] = matrix[j, i] = value
    sd = np.exp(log_sd)
    return np.asarray(matrix * np.outer(sd, sd))


def _systems(one: Design, other: Design) -> tuple[_System, _System] | None:
    outcomes = sorted(e.outcome for e in one.equations)
    predictors: list[str] = []
    covariates: dict[str, list[str]] = {}
    factors = sorted({f.factor for design in (one, other) for f in design.factors})
    for design in (one, other):
        for e in design.equations:
            plain = e.kind.normal and not e.follows and len(e.sigma_coef) == 1
            plain = plain and e.modelled is None and not e.serial and all(g.weight is None for g in e.groups)
            if not plain or not np.array_equal(e.row, one.equations[0].row):
                return None
            reading = {name for name in design.spec.outcomes if name in e.spec.predictors}
            own = {design.find(name).outcome for name in reading if name in e.coef.terms}
            if len(own) < len(reading):
                return None
            predictors += [x for x in e.coef.labels if x not in own and x not in predictors]
            for group in e.groups:
                if any(x in outcomes for x in group.effects):
                    return None
                known = covariates.setdefault(group.factor, [])
                known += [x for x in group.effects if x not in known]
        if any(factor.by is not None for factor in design.factors):
            return None
        if design.residual is not None and (design.residual.by or design.residual.fixed is not None):
            return None
    first, second = (_system(design, outcomes, predictors, factors, covariates) for design in (one, other))
    return first, second


def _system(
    design: Design, outcomes: list[str], predictors: list[str], factors: list[str], covariates: dict[str, list[str]]
) -> _System:
    paths, slopes = [], []
    for e in design.equations:
        for label in e.coef.labels:
            at = outcomes.index(e.outcome)
            if label in outcomes:
                paths.append((at, outcomes.index(label)))
            else:
                slopes.append((at, predictors.index(label)))
    residual: list[tuple[int, int]] = []
    if design.residual is not None:
        residual = list(combinations(sorted(outcomes.index(o) for o in design.residual.outcomes), 2))
    effects, pairs = [], []
    for name in factors:
        factor = next((f for f in design.factors if f.factor == name), None)
        own: list[tuple[int, int]] = []
        for e in design.equations:
            for group in e.groups:
                if group.factor == name:
                    own += [(outcomes.index(e.outcome), covariates[name].index(x)) for x in group.effects]
        effects.append(tuple(own))
        pairs.append(tuple(p for b in factor.blocks for p in combinations(b.members, 2)) if factor is not None else ())
    return _System(
        len(outcomes),
        len(predictors),
        tuple(paths),
        tuple(slopes),
        tuple(residual),
        tuple(effects),
        tuple(pairs),
        tuple(len(covariates[name]) for name in factors),
    )
