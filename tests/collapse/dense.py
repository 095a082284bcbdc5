"""The mixed model as one dense normal distribution: what the exact engine is held to, written row by row."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from scipy import stats

import bayes_alliance as ba
from bayes_alliance.collapse.density import Density
from bayes_alliance.collapse.effect_draws import correlations, effect_sds, residual_correlations
from bayes_alliance.collapse.engine import sum_design
from bayes_alliance.collapse.shape import find_places
from bayes_alliance.collapse.tables import pack_statistics
from bayes_alliance.design.equations.equation import EquationDesign
from tests.build.oracle import density as prior_density
from tests.build.oracle import lkj


@dataclass
class Natural:
    """Parameters on natural scales: SDs and correlations per factor and stratum, residual SDs and correlations."""

    sd: dict[str, np.ndarray]
    cor: dict[str, np.ndarray]
    sigma: np.ndarray
    residual: np.ndarray | None


def engine_of(design: ba.Design, *, pool: bool = True) -> Density:
    """Return the engine's log-density of a design."""
    statistics = sum_design(design)
    return Density(pack_statistics(statistics, pool=pool), statistics.shape)


def to_natural(engine: Density, x: np.ndarray) -> Natural:
    """Return what a sampled vector with positive SDs means."""
    shape, places = engine.shape, find_places(engine.shape)
    sd, cor = {}, {}
    for number, factor in enumerate(shape.factors):
        sd[factor.name] = effect_sds(shape, x[None], number)[0]
        cor[factor.name] = correlations(shape, x[None], number)[0]
    sigma = np.exp(x[places.sigma : places.sigma + len(shape.sigma)])
    return Natural(sd, cor, sigma, residual_correlations(shape, x[None])[0] if shape.joint else None)


class Dense:
    """Columns and covariances of all rows of all equations at given parameters."""

    def __init__(self, design: ba.Design, natural: Natural) -> None:
        self.design, self.natural = design, natural
        self.mean = np.array([p.distribution.value("mu") for p in design.priors.coef])
        self.spread = np.array([p.distribution.value("sigma") for p in design.priors.coef])
        self._columns()
        self._effects()
        self._residuals()

    def _columns(self) -> None:
        rows = sum(len(e.y) for e in self.design.equations)
        self.x, self.y = np.zeros((rows, len(self.mean))), np.zeros(rows)
        first, column = 0, 0
        for e in self.design.equations:
            n, p = e.coef.values.shape
            self.x[first : first + n, column : column + p] = e.coef.values - e.centre
            self.y[first : first + n] = e.y
            first, column = first + n, column + p

    def _effects(self) -> None:
        """Columns of all effects, factor by factor and level by level, and their covariance."""
        blocks, covariances = [], []
        for factor in self.design.factors:
            q = len(factor.effects)
            z = np.zeros((len(self.y), len(factor.levels) * q))
            first = 0
            for e in self.design.equations:
                for group in e.groups:
                    if group.factor == factor.factor:
                        for row in np.flatnonzero(group.inside):
                            at = group.code[row] * q + np.array(factor.places[e.outcome])
                            z[first + row, at] = group.values[row]
                first += len(e.y)
            stratum = np.zeros(len(factor.levels), dtype=int) if factor.by is None else factor.by.code
            for s in stratum:
                sd = self.natural.sd[factor.factor][s]
                covariances.append(self.natural.cor[factor.factor][s] * np.outer(sd, sd))
            blocks.append(z)
        self.z = np.concatenate([np.zeros((len(self.y), 0)), *blocks], axis=1)
        self.g = np.zeros((self.z.shape[1], self.z.shape[1]))
        at = 0
        for covariance in covariances:
            size = len(covariance)
            self.g[at : at + size, at : at + size] = covariance
            at += size

    def _residuals(self) -> None:
        spread: list[float] = []
        start, starts = 0, [0]
        for e in self.design.equations:
            spread += list(self.natural.sigma[start + e.sigma_code])
            start += len(e.sigma_coef)
            starts.append(len(spread))
        cor = np.eye(len(spread))
        every = [(e, i) for e in self.design.equations for i in range(len(e.y))]
        series = [e.outcome for e in self.design.equations if e.series is not None]
        of_unit: dict[str, list[int]] = {}  # rows of different patients never correlate
        for place, (e, i) in enumerate(every if self.natural.residual is not None else []):
            of_unit.setdefault(str(e.patient[i]), []).append(place)
        for places in of_unit.values():
            for a, b in permutations(places, 2):
                cor[a, b] = self._together(every[a], every[b], series)
        self.r = cor * np.outer(spread, spread)

    def _together(self, one: tuple[EquationDesign, int], two: tuple[EquationDesign, int], series: list[str]) -> float:
        """Return the correlation of the residuals of two rows, from patients, sessions and names alone."""
        residual, (e, i), (other, j) = self.design.residual, one, two
        same = e.outcome == other.outcome and e.patient[i] == other.patient[j]
        if e.series is not None and same:
            assert self.natural.residual is not None
            gap = abs(e.session[i] - other.session[j])
            return float(self.natural.residual[series.index(e.outcome)][1, 0] ** gap)
        if residual is None or not {e.outcome, other.outcome} <= set(residual.outcomes):
            return 0.0
        assert self.natural.residual is not None
        if e.spec.residuals == "unstructured":
            visits = [f"week[{own.session[k]:g}]" for own, k in (one, two)]
            by = self.design.spec.residual_by(e.spec)
            stratum = int(e.variables[by].values[i]) if by else 0
            at = [residual.labels.index(visit) for visit in visits]
            return float(self.natural.residual[stratum][at[0], at[1]]) if same else 0.0
        stratum = residual.beside[e.outcome].stratum[i]
        at = [residual.outcomes.index(own.outcome) for own in (e, other)]
        return float(self.natural.residual[stratum][at[0], at[1]]) if e.row[i] == other.row[j] else 0.0

    def marginal(self) -> stats.multivariate_normal:
        """Return the distribution of all outcomes, effects integrated out."""
        covariance = self.r + self.z @ self.g @ self.z.T + self.x @ np.diag(self.spread**2) @ self.x.T
        return stats.multivariate_normal(self.x @ self.mean, covariance, allow_singular=False)

    def log_likelihood(self) -> float:
        """Return the log-likelihood with population and group effects integrated out."""
        return float(self.marginal().logpdf(self.y))

    def log_prior(self, x: np.ndarray) -> float:
        """Return the log prior of a sampled vector with positive SDs on both sides of 0, Jacobians included."""
        assert np.isfinite(x).all()
        return log_prior(self.design, self.natural)

    def posterior(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and covariance of (coefficients, effects) given the outcomes; no SD may be 0."""
        columns = np.concatenate([self.x, self.z], axis=1)
        prior = np.zeros((columns.shape[1], columns.shape[1]))
        p = len(self.mean)
        prior[:p, :p] = np.diag(1 / self.spread**2)
        prior[p:, p:] = np.linalg.inv(self.g) if len(self.g) else 0.0
        weight = np.linalg.inv(self.r)
        covariance = np.linalg.inv(columns.T @ weight @ columns + prior)
        right = columns.T @ weight @ self.y
        right[:p] += self.mean / self.spread**2
        return covariance @ right, covariance


def log_prior(design: ba.Design, natural: Natural) -> float:
    """Return the log prior of SDs and correlations, Jacobians included, SDs positive on both sides of 0."""
    total = 0.0
    for factor in design.factors:
        for s, row in enumerate(natural.sd[factor.factor]):
            priors = design.priors.sd[factor.factor]
            total += sum(prior_density(p.distribution, v) for p, v in zip(priors, row, strict=True))
            correlated = [block for block in factor.blocks if len(block.members) > 1]
            for number, block in enumerate(correlated):
                cor = natural.cor[factor.factor][s][np.ix_(block.members, block.members)]
                eta = design.priors.cor[factor.factor][number].distribution.values[0]
                total += lkj(cor, eta) + log_slope(cor)
    own = [prior.distribution for prior in design.priors.sigma]
    own += [prior.distribution for prior in design.priors.shapes.get("error", ())]
    for measured in design.measured:
        _, *spreads = (prior.distribution for prior in design.priors.measured[measured.name])
        for factor, prior in zip(measured.factors, spreads, strict=False):
            if prior.family == "lognormal":
                own.append(prior)
            else:
                total += prior_density(prior, float(natural.sd[f"mean_{measured.label}_{factor}"][0, 0]))
        own.append(spreads[-1])
    for one, value in zip(own, natural.sigma, strict=True):
        total += prior_density(one, value) + np.log(value)
    if natural.residual is not None and (design.residual is None or design.residual.fixed is None):
        cors = design.priors.cor["residual"] if design.residual is not None else design.priors.shapes["ar"]
        eta = cors[0].distribution.values[0]
        total += sum(lkj(cor, eta) + log_slope(cor) for cor in natural.residual)
    return float(total)


def log_slope(matrix: np.ndarray) -> float:
    """Return log |d correlations / d inverse hyperbolic tangents of partial correlations| by differences."""
    size = len(matrix)
    pairs = [(i, j) for i in range(size) for j in range(i)]

    def partial(m: np.ndarray) -> np.ndarray:
        found = []
        for i, j in pairs:
            precision = np.linalg.inv(m[np.ix_([*range(j), j, i], [*range(j), j, i])])
            found.append(np.arctanh(-precision[-1, -2] / np.sqrt(precision[-1, -1] * precision[-2, -2])))
        return np.array(found)

    slopes = np.empty((len(pairs), len(pairs)))
    for column, (i, j) in enumerate(pairs):
        step = np.zeros_like(matrix)
        step[i, j] = step[j, i] = 1e-6
        slopes[:, column] = (partial(matrix + step) - partial(matrix - step)) / 2e-6
    return float(-np.linalg.slogdet(slopes)[1])
