"""The sampled parameters: where each stands, what point of the kernel a vector is, and its log prior density."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayes_alliance.design.design import Design
from bayes_alliance.design.priors.density import log_density
from bayes_alliance.names import INTERCEPT
from bayes_alliance.outcome.curves import NORMAL, curve_of
from bayes_alliance.quadrature.stack import Stacked
from bayes_alliance.spec.priors import Distribution

FLAT = 1e-300
"""Least share of a category whose logarithm is taken."""


@dataclass(frozen=True, eq=False)
class Parameters:
    """Parameters in the order in which they are sampled.

    First SDs: of the inner factor's effects by stratum, then of the outer one's; each is a logarithm or, of either
    sign, as it is. Then correlations by stratum, as inverse hyperbolic tangents; coefficients, intercepts at the
    centring constants; thresholds there, the first and the logarithms of the steps between them; logarithms of shapes
    and of residual SDs. ``probit`` says whether thresholds are probits, ``lifted`` whether they count from the
    intercept.
    """

    sd: tuple[Distribution, ...]
    strata: int
    effects: int
    outer: bool
    cor: Distribution | None
    coef: tuple[Distribution, ...]
    thresholds: int
    alpha: float
    probit: bool
    lifted: bool
    shapes: tuple[Distribution, ...]

    @property
    def cors(self) -> int:
        """Return the number of correlations."""
        return 0 if self.cor is None else self.strata

    @property
    def size(self) -> int:
        """Return the number of parameters."""
        return len(self.sd) + self.cors + len(self.coef) + self.thresholds + len(self.shapes)

    @property
    def above_zero(self) -> np.ndarray:
        """Return which SDs have a prior without density at 0."""
        return np.array([prior.family == "lognormal" for prior in self.sd], dtype=bool)

    @property
    def starts(self) -> tuple[int, int, int, int]:
        """Return where correlations, coefficients, thresholds and shapes start."""
        first = len(self.sd)
        second = first + self.cors
        third = second + len(self.coef)
        return first, second, third, third + self.thresholds

    def turns(self, logs: np.ndarray) -> np.ndarray:
        """Return every way to turn signs of SDs that have one, shape (turn, parameter); correlations turn along."""
        turns = np.ones((1, self.size))
        for sd in np.flatnonzero(~logs):
            turns = np.concatenate([turns, turns * self._turn(int(sd))])
        return turns

    def _turn(self, sd: int) -> np.ndarray:
        signs = np.ones(self.size)
        signs[sd] = -1.0
        if self.cor is not None and sd < self.strata * self.effects:
            signs[len(self.sd) + sd // self.effects] = -1.0
        return signs

    def plain(self, values: np.ndarray, logs: np.ndarray) -> np.ndarray:
        """Return vectors with SDs as positive numbers, correlations turned with them; parameters are the last axis."""
        found = values.copy()
        for sd in range(len(self.sd)):
            if logs[sd]:
                found[..., sd] = np.exp(values[..., sd])
            else:
                negative = found[..., sd] < 0
                found = np.where(negative[..., None], found * self._turn(sd), found)
        return found

    def kernel_points(self, points: np.ndarray, logs: np.ndarray) -> np.ndarray:
        """Return vectors as the kernel reads them: coefficients, thresholds, shapes, SDs, correlations, outer SD.

        Parameters
        ----------
        points : ndarray, shape (point, parameter)
        logs : ndarray of bool, shape (sd,)
        """
        cors, coef, cut, shape = self.starts
        sds = np.where(logs, np.exp(np.where(logs, points[:, :cors], 0.0)), points[:, :cors])
        inner = self.strata * self.effects
        correlations = np.tanh(points[:, cors:coef])
        if self.effects == 2 and self.cor is None:
            correlations = np.zeros((len(points), self.strata))
        cuts = self.cut(points) + (points[:, [coef]] if self.lifted else 0.0)
        parts = [points[:, coef:cut], cuts, np.exp(points[:, shape:]), sds[:, :inner], correlations]
        return np.ascontiguousarray(np.concatenate([*parts, sds[:, inner:]], axis=1))

    def cut(self, points: np.ndarray) -> np.ndarray:
        """Return thresholds at the centring constants, shape (point, threshold)."""
        cut = self.starts[2]
        if not self.thresholds:
            return np.empty((len(points), 0))
        steps = np.exp(points[:, cut + 1 : cut + self.thresholds])
        return np.cumsum(np.concatenate([points[:, [cut]], steps], axis=1), axis=1)

    def shares(self, points: np.ndarray) -> np.ndarray:
        """Return the shares of categories at average predictors, shape (point, category)."""
        curve = curve_of("probit" if self.probit else "logit")
        ends = np.full((len(points), 1), np.inf)
        edges = np.concatenate([-ends, self.cut(points), ends], axis=1)
        return np.exp(curve.log_between(edges[:, :-1], edges[:, 1:]))

    def log_prior(self, points: np.ndarray, logs: np.ndarray) -> np.ndarray:
        """Return the log prior density of sampled vectors, with the changes of volume to their scales."""
        cors, coef, cut, shape = self.starts
        total = np.zeros(len(points))
        for sd, prior in enumerate(self.sd):
            value = np.exp(points[:, sd]) if logs[sd] else np.abs(points[:, sd])
            total += log_density(prior, value) + (points[:, sd] if logs[sd] else 0.0)
        if self.cor is not None:  # LKJ of a 2 x 2 matrix: (1 - r^2)^(eta - 1), and the slope of tanh
            inside = -2 * (np.abs(points[:, cors:coef]) + np.log1p(np.exp(-2 * np.abs(points[:, cors:coef]))))
            total += self.cor.value("eta") * (inside + 2 * np.log(2)).sum(axis=1)
        for i, prior in enumerate(self.coef):
            total += log_density(prior, points[:, coef + i])
        if self.thresholds:
            total += self._log_shares(points) + points[:, cut + 1 : cut + self.thresholds].sum(axis=1)
        for i, prior in enumerate(self.shapes):
            total += log_density(prior, np.exp(points[:, shape + i])) + points[:, shape + i]
        return total

    def _log_shares(self, points: np.ndarray) -> np.ndarray:
        """Return the Dirichlet density of shares times the slopes of shares in thresholds (Betancourt 2019)."""
        inside = (self.alpha - 1) * np.log(np.maximum(self.shares(points), FLAT)).sum(axis=1)
        cuts = self.cut(points)
        if self.probit:
            return np.asarray(inside - 0.5 * (cuts**2).sum(axis=1))
        return np.asarray(inside - (np.abs(cuts) + 2 * np.log1p(np.exp(-np.abs(cuts)))).sum(axis=1))


def list_parameters(design: Design, stacked: Stacked) -> Parameters:
    """Return the parameters of a design that the engine can fit."""
    e, priors = design.equation, design.priors
    inner, outer = stacked.inner, stacked.outer
    strata = 1 if inner is None or inner.by is None else len(inner.by.levels)
    sd = [] if inner is None else [prior.distribution for prior in priors.sd[inner.factor]] * strata
    if outer is not None:
        sd += [prior.distribution for prior in priors.sd[outer.factor]]
    correlated = inner is not None and any(len(block.members) > 1 for block in inner.blocks)
    share = priors.shares.get(e.outcome)
    shapes = [prior.distribution for name in e.shapes for prior in priors.shapes.get(name, ())]
    return Parameters(
        tuple(sd),
        strata,
        stacked.effects,
        outer is not None,
        priors.cor[inner.factor][0].distribution if correlated and inner is not None else None,
        tuple(prior.distribution for prior in priors.coef),
        len(e.scale.thresholds) if e.kind.thresholds else 0,
        1.0 if share is None else share.distribution.value("alpha"),
        e.kind.thresholds and e.kind.link == "probit",
        e.kind.thresholds and e.coef.labels[:1] == (INTERCEPT,),
        (*shapes, *(prior.distribution for prior in priors.sigma)),
    )


def _first_sd(prior: Distribution) -> float:
    """Return the logarithm of an SD that a prior finds likely."""
    match prior.family:
        case "flat_positive":
            return -0.7
        case "lognormal":
            return float(np.log(prior.value("median")))
        case "exponential":
            return float(np.log(0.5 * prior.value("mean")))
        case _:
            return float(np.log(0.5 * prior.value("sigma")))


def first_guess(design: Design, parameters: Parameters) -> np.ndarray:
    """Return a vector to look for the mode from, SDs as logarithms: average outcomes, SDs from their priors' scales."""
    e = design.equation
    cors, coef, cut, shape = parameters.starts
    start = np.zeros(parameters.size)
    start[:cors] = [_first_sd(prior) for prior in parameters.sd]
    labels = e.coef.labels
    start[coef:cut] = [prior.value("mu") if "normal" in prior.family else 0.0 for prior in parameters.coef]
    if labels[:1] == (INTERCEPT,):
        start[coef] = e.kind.linear_level(e.y, e.scale)[0]
    if parameters.thresholds:
        counts = np.bincount(e.scale.category(e.y), minlength=parameters.thresholds + 1) + 0.5
        below = np.cumsum(counts / counts.sum())[:-1]
        curve = NORMAL if parameters.probit else curve_of("logit")
        cuts = curve.quantile(below)
        start[cut] = cuts[0]
        start[cut + 1 : shape] = np.log(np.maximum(np.diff(cuts), 1e-3))
    for i, prior in enumerate(parameters.shapes):
        start[shape + i] = _first_sd(prior) + 0.5
    return start
