"""Sampling of variances, and of coefficients given them: independent proposals where these are good, else NUTS."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats
from scipy.linalg import solve_triangular
from scipy.special import gammaln

from bayes_alliance.collapse.density import Density
from bayes_alliance.collapse.effect_draws import draw_coefs
from bayes_alliance.collapse.frame import Frame
from bayes_alliance.collapse.laplace import HEAVY, find_frame
from bayes_alliance.collapse.nuts import sample_nuts
from bayes_alliance.collapse.target import Target

DEGREES, MANY_DEGREES = 5.0, 30.0
"""Degrees of freedom of proposals: few at first, more where the posterior turns out to be near a normal."""

GOOD = 0.65
"""Efficiency of heavy-tailed proposals from which lighter tails are tried: a normal posterior has about this."""

DEFENSIVE, WIDER = 0.1, 2.0
"""Share of proposals that are spread wider, and how much: they bound weights where the fit is off (Hesterberg 1995)."""

PILOT, SHORT_PILOT, PILOTS = 600, 240, 4
"""Points of a pilot run, where an evaluation takes little and where it takes long; how many runs there are."""

MANY_POINTS = 60
"""Points of a pilot run per parameter, where an evaluation takes little."""

MORE_PILOTS, BARELY = 3, 3.0
"""How many runs more there are where a proposal is bad at first, and effective points below which it is hopeless."""

PARETO_K = 0.7
"""Shape of the largest weights up to which averages over them are dependable (Vehtari et al. 2024, section 3.2.4)."""

MOST_TURNS = 64
"""Turns of signs, two per SD that may be 0, up to which proposals are folded."""

TOLD = 5.0
"""Seconds from which it is said how long sampling takes."""

LIGHT = 50_000
"""Statistics of so few numbers are read so fast that draws are made of twice as many effective proposals."""

EFFICIENCY = 0.2
"""Share of proposals that must be worth an independent draw."""


@dataclass(frozen=True, eq=False)
class Draws:
    """Sampled parameters: ``values`` of shape (chain, draw, parameter) with SDs as ``logs`` says, and statistics.

    ``coef``, shape (chain x draw, coef), is drawn given them. ``method`` is ``"independent"`` or ``"nuts"``, ``why`` a
    sentence on what spoke for it.
    """

    values: np.ndarray
    logs: np.ndarray
    coef: np.ndarray
    statistics: xr.Dataset
    method: str
    why: str


def sample_parameters(
    density: Density,
    start: np.ndarray,
    *,
    draws: int,
    tune: int,
    chains: int,
    cores: int | None,
    target_accept: float,
    max_treedepth: int,
    seed: int | np.random.SeedSequence,
    coef_seed: int | np.random.SeedSequence,
    independent: bool = True,
    told: Callable[[float], None] | None = None,
) -> Draws:
    """Sample the few variances and correlations.

    Proposals from a multivariate t distribution, fitted to the posterior in pilot runs, are kept as often as their
    weights say (importance resampling, systematic; Rubin 1988, Carpenter et al. 1999), and coefficients are drawn in
    the evaluation that weighs them. A proposal that is kept twice stands twice in a row, so that autocorrelation shows
    what it costs. Where the weights' Pareto shape or their efficiency is bad, NUTS samples in the same coordinates.

    Parameters
    ----------
    density : Density
        Of the data.
    start : ndarray, shape (parameter,)
        A rough guess, all SDs as logarithms.
    draws, tune, chains, cores, target_accept, max_treedepth
        As in ``SamplerSettings``.
    seed, coef_seed : int or SeedSequence
        For the sampler alone, and for coefficients.
    independent : bool
        Whether independent proposals may be used.
    told : callable, optional
        Called with how many seconds are left, where it is more than a few.
    """
    workers = cores or os.cpu_count() or 1
    rng, coef_rng = np.random.default_rng(seed), np.random.default_rng(coef_seed)
    frame = find_frame(density, start, workers)
    why = "Independent proposals were not asked for."
    if independent:

        def draw(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return draw_coefs(density, points, frame.logs, coef_rng, cores=workers)

        done = sample_independently(density, draw, frame, rng, size=(chains, draws), workers=workers, told=told)
        if isinstance(done, Draws):
            return done
        why = done
    tree = sample_nuts(
        density,
        frame,
        0.5 * rng.normal(size=(16, density.size)),
        seed=int(rng.integers(2**31)),
        draws=draws,
        tune=tune,
        chains=chains,
        cores=min(workers, chains),
        target_accept=target_accept,
        maxdepth=max_treedepth,
        progress_bar=False,
    )
    z = tree["posterior"]["z"].transpose("chain", "draw", "parameter").to_numpy()
    values = frame.centre + z @ frame.scale.T
    _, coef = draw_coefs(density, values.reshape(-1, values.shape[-1]), frame.logs, coef_rng, cores=workers)
    return Draws(values, frame.logs, coef, tree["sample_stats"].to_dataset(), "nuts", why)


def sample_independently(
    target: Target,
    draw: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    frame: Frame,
    rng: np.random.Generator,
    *,
    size: tuple[int, int],
    workers: int,
    told: Callable[[float], None] | None = None,
) -> Draws | str:
    """Sample by independent proposals; where these are not good enough, return in what way.

    Parameters
    ----------
    target : Target
        The log-density.
    draw : callable
        Takes points, shape (point, parameter); returns their log-density, and what is drawn given each, (point, coef).
    frame : Frame
        Around the mode.
    rng : Generator
        Of proposals.
    size : tuple of int
        Chains and draws.
    workers : int
        Threads.
    told : callable, optional
        As in ``sample_parameters``.
    """
    turns = target.turns(frame.logs)
    if len(turns) > MOST_TURNS:
        return f"Signs of SDs that may be 0 have {len(turns):,} combinations, more than {MOST_TURNS}."
    found = _pilot(target, _Proposal(frame, turns), rng, workers)
    why = "Independent proposals missed the posterior."
    for pilot in [] if found is None else _tails(found):
        done = _weigh(target, draw, pilot, rng, size, workers, told)
        if isinstance(done, Draws):
            return done
        why = done
    return why


@dataclass(frozen=True, eq=False)
class _Proposal:
    """Two multivariate t in a frame, one wider, folded over the signs of SDs.

    ``turns`` has shape (turn, parameter), entries -1 and 1; the density is the same at all turns of a point.
    """

    frame: Frame
    turns: np.ndarray
    degrees: float = DEGREES

    def draw(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return points, shape (size, parameter), and their log-density."""
        d = len(self.frame.centre)
        z = rng.normal(size=(size, d)) * np.sqrt(self.degrees / rng.chisquare(self.degrees, size))[:, None]
        z *= np.where(rng.uniform(size=size) < DEFENSIVE, WIDER, 1.0)[:, None]
        points = self.frame.centre + z @ self.frame.scale.T
        return points, self.log_density(points)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Return the log-density at points, averaged over turns."""
        d, degrees = points.shape[1], self.degrees
        constant = gammaln((degrees + d) / 2) - gammaln(degrees / 2) - d / 2 * np.log(degrees * np.pi)
        constant -= np.log(np.diag(self.frame.scale)).sum()
        each = []
        for turn in self.turns:
            z = solve_triangular(self.frame.scale, (points * turn - self.frame.centre).T, lower=True)
            square = (z**2).sum(axis=0) / degrees
            near = np.log1p(-DEFENSIVE) - (degrees + d) / 2 * np.log1p(square)
            wide = np.log(DEFENSIVE) - d * np.log(WIDER) - (degrees + d) / 2 * np.log1p(square / WIDER**2)
            each.append(constant + np.logaddexp(near, wide))
        return np.asarray(np.logaddexp.reduce(each) - np.log(len(each)))

    def fitted(self, points: np.ndarray, weights: np.ndarray) -> _Proposal:
        """Return the proposal fitted to weighted points, turned to positive SDs."""
        d = points.shape[1]
        signs = np.ones((len(points), d))
        for turn, name in zip(self.turns, self._names(), strict=True):
            chosen = (points[:, : len(self.frame.logs)] < 0) & ~self.frame.logs
            signs[(chosen == name).all(axis=1)] = turn
        turned = points * signs
        centre = weights @ turned
        apart = turned - centre
        covariance = (apart * weights[:, None]).T @ apart
        effective = 1 / (weights**2).sum()
        share = effective / (effective + 5 * d)
        covariance = share * covariance + (1 - share) * self.frame.scale @ self.frame.scale.T
        covariance *= (self.degrees - 2) / self.degrees * 1.1
        return replace(self, frame=Frame(self.frame.logs, centre, np.linalg.cholesky(covariance)))

    def _names(self) -> np.ndarray:
        """Return per turn which SDs it turns, shape (turn, sd)."""
        return np.asarray((self.turns[:, : len(self.frame.logs)] < 0) & ~self.frame.logs)


def _pilot(
    target: Target, proposal: _Proposal, rng: np.random.Generator, workers: int
) -> tuple[_Proposal, np.ndarray] | None:
    """Fit the proposal to weighted points, a few times; return it with log weights, None if it is hopeless.

    Many parameters take many points: where few of them are worth much at first, four times as many are tried, if an
    evaluation takes little.
    """
    d, best = len(proposal.frame.centre), None
    heavy = target.numbers >= HEAVY
    size = max(SHORT_PILOT, 30 * d) if heavy else max(PILOT, MANY_POINTS * d)
    spare = 0 if heavy else MORE_PILOTS
    for _ in range(PILOTS + spare):
        points, proposed = proposal.draw(rng, size)
        log_weights = target.values(points, proposal.frame.logs, workers) - proposed
        weights = np.exp(log_weights - log_weights.max())
        weights /= weights.sum()
        effective = 1 / (weights**2).sum()
        if effective < 4 * d:
            if best is not None or spare == 0 or effective < BARELY:
                return best[1:] if best is not None else None
            spare, size = spare - 1, max(size, 4 * MANY_POINTS * d)
            proposal = proposal.fitted(points, weights)
            continue
        if best is None or effective > best[0]:
            best = (effective, proposal, log_weights)
        if effective > 0.9 * size or (effective > GOOD * size and (heavy or best[1].degrees > DEGREES)):
            break  # where an evaluation takes long, lighter tails are worth less than it takes to fit them
        proposal = proposal.fitted(points, weights)
        if effective > GOOD * size:
            proposal = replace(proposal, degrees=MANY_DEGREES)
    return best[1:] if best is not None else None


def _tails(pilot: tuple[_Proposal, np.ndarray]) -> list[tuple[_Proposal, np.ndarray]]:
    """Return a proposal and, where its tails are light, the same with heavy ones, to be tried if they are too light."""
    proposal, log_weights = pilot
    heavy = replace(proposal, degrees=DEGREES)
    return [pilot] if proposal.degrees == DEGREES else [pilot, (heavy, log_weights)]


def _weigh(
    target: Target,
    draw: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    pilot: tuple[_Proposal, np.ndarray],
    rng: np.random.Generator,
    size: tuple[int, int],
    workers: int,
    told: Callable[[float], None] | None,
) -> Draws | str:
    """Weigh proposals and keep so many chains and draws; where weights are not good enough, return in what way."""
    proposal, log_weights = pilot
    frame, wanted = proposal.frame, size[0] * size[1]
    efficiency = effective_count(log_weights) / len(log_weights)
    if efficiency < EFFICIENCY:
        return f"An independent proposal is worth {efficiency:.2f} of an independent draw, less than {EFFICIENCY}."
    count = int(np.ceil(wanted * _proposals(target.numbers, efficiency)))
    points, proposed = proposal.draw(rng, count)
    # the first few say how long the rest takes; every point's value is the same however many go together
    first_few, begun = max(8 * workers, count // 50), time.perf_counter()
    few = draw(points[:first_few])
    left = (time.perf_counter() - begun) / len(few[0]) * (count - len(few[0]))
    if told is not None and left > TOLD:
        told(left)
    rest = draw(points[first_few:])
    log_densities, coef = (np.concatenate(parts) for parts in zip(few, rest, strict=True))
    log_weights = log_densities - proposed
    k = pareto_shape(log_weights)
    if not k < PARETO_K:
        return f"The weights of independent proposals have a Pareto k of {k:.2f}, not below {PARETO_K}."
    kept = resample(log_weights, wanted, rng)
    statistics = xr.Dataset(
        {"lp": (("chain", "draw"), log_densities[kept].reshape(size))},
        attrs={"pareto_k": k, "efficiency": float(efficiency), "proposals": count},
    )
    why = f"An independent proposal is worth {efficiency:.2f} of an independent draw (Pareto k {k:.2f})."
    values = points[kept].reshape(*size, -1)
    return Draws(values, frame.logs, coef[kept], statistics, "independent", why)


def _proposals(numbers: int, efficiency: float) -> float:
    """Return how many proposals a draw takes: one where they take long, else one effective one or two."""
    if numbers >= HEAVY:
        return 1.0
    return max(1.0, (2.0 if numbers < LIGHT else 1.0) / efficiency)


def resample(log_weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return which points are kept, in their order, each as often as its weight says, rounded up or down.

    Systematic resampling: one uniform number and equal steps (Carpenter, Clifford and Fearnhead 1999).
    """
    weights = np.exp(log_weights - log_weights.max())
    edges = np.cumsum(weights)
    edges *= count / edges[-1]
    edges[-1] = count  # rounding leaves no step beyond it
    return np.searchsorted(edges, np.arange(count) + rng.uniform(), side="right")


def effective_count(log_weights: np.ndarray) -> float:
    """Return how many independent draws weighted points are worth (Kish 1965)."""
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / (weights**2).sum())


def pareto_shape(log_weights: np.ndarray) -> float:
    """Return the Pareto shape of the largest weights (Vehtari et al. 2024)."""
    _, k = array_stats.psislw(-log_weights)
    return float(k)
