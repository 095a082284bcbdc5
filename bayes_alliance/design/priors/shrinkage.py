"""Coefficients that share a shrinkage prior, in units in which they compare: SDs of outcome per SD of predictor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bayes_alliance._messages import count_of
from bayes_alliance.design.equations.predictor import Predictor
from bayes_alliance.design.priors.scales import Scales
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.spec.model import ModelSpec, ShrinkSpec
from bayes_alliance.spec.priors import Distribution
from bayes_alliance.spec.shrinkage import shrunk_outcomes


@dataclass(frozen=True, eq=False)
class Shrunk:
    """Standardised coefficients under one shrinkage prior, and the coefficients they are parts of.

    ``labels`` name the standardised coefficients. Coefficient ``places[i, j]`` of all gets ``weights[i, j]`` times the
    j-th of them; two lines where mean and difference of two outcomes are shrunk. ``tau`` is the scale of the global
    horseshoe scale: relevant / (others * sqrt(n)), n being the number of different values that predictors take
    together (Piironen and Vehtari 2017, eq. 3.12, with the outcome's SD as the residual's).
    """

    name: str
    distribution: Distribution
    labels: tuple[str, ...]
    places: np.ndarray
    weights: np.ndarray
    tau: float
    reason: str


def resolve_shrinkage(
    spec: ModelSpec,
    equations: Sequence[Predictor],
    scales: Mapping[str, Scales],
    findings: Findings,
) -> tuple[Shrunk, ...]:
    """Return the shrinkage priors of a design with their places among all coefficients.

    Parameters
    ----------
    equations : sequence of Predictor
        In the order of ``b``, those of log residual SDs included.
    """
    found: list[Shrunk] = []
    starts = np.cumsum([0, *(len(e.coef.labels) for e in equations)])
    for name, shrink in spec.shrink.items():
        chosen: Chosen = [
            (e, int(start), _columns(e, shrink))
            for e, start in zip(equations, starts, strict=False)
            if e.of_mean and e.spec.name in shrunk_outcomes(spec, shrink)
        ]
        if not chosen or not all(columns for _, _, columns in chosen):
            continue
        if shrink.contrast:
            chosen = _aligned(chosen)
        if shrink.contrast and not _same_columns(chosen):
            findings.problem(
                f"[shrink.{name}] contrast: the terms have other columns in one outcome's equation than in the other's."
            )
            continue
        if shrink.contrast:
            sds = [scales[e.name].outcome_sd for e, _, _ in chosen]
            if max(sds) > 2 * min(sds):
                shown = " and ".join(f"{sd:.3g}" for sd in sds)
                findings.note(
                    f"shrink {name}: the outcomes have SDs of {shown}; mean and difference of their coefficients mean "
                    f"little unless both are on one scale."
                )
        parts = _contrasts(chosen, scales) if shrink.contrast else _each(chosen, scales)
        for suffix, labels, places, weights in parts:
            distribution = shrink.distribution
            rows = min(_distinct(e, columns) for e, _, columns in chosen)
            tau = 0.0
            if distribution.family == "horseshoe":
                relevant, size = distribution.value("relevant"), places.shape[1]
                tau = relevant / (max(size - relevant, 1.0) * np.sqrt(rows))
                findings.note(
                    f"shrink {name}{suffix}: {relevant:g} of {count_of(size, 'coefficient')} expected to matter, "
                    f"{count_of(rows, 'different value')} of the predictors: global scale {tau:.3g}."
                )
            found.append(Shrunk(name + suffix, distribution, labels, places, weights, float(tau), shrink.reason))
    names = [group.name for group in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    findings.add(
        [
            Problem(f"[shrink] two priors are called {name!r}, with what is put behind names.", fix="Rename one.")
            for name in twice
        ]
    )
    return tuple(found)


def _columns(equation: Predictor, shrink: ShrinkSpec) -> list[int]:
    return [i for i, term in enumerate(equation.coef.terms) if term in shrink.terms]


def _sds(equation: Predictor, columns: Sequence[int]) -> np.ndarray:
    spread = equation.coef.values[:, list(columns)].std(axis=0, ddof=1)
    return np.where(spread > 0, spread, 1.0)


def _distinct(equation: Predictor, columns: Sequence[int]) -> int:
    return len(np.unique(equation.coef.values[:, list(columns)], axis=0))


type Chosen = Sequence[tuple[Predictor, int, list[int]]]
type Part = tuple[str, tuple[str, ...], np.ndarray, np.ndarray]


def _each(chosen: Chosen, scales: Mapping[str, Scales]) -> list[Part]:
    """Shrink the coefficients of every outcome by themselves."""
    parts: list[Part] = []
    for equation, start, columns in chosen:
        weights = scales[equation.name].outcome_sd / _sds(equation, columns)
        labels = tuple(equation.coef_labels[i] for i in columns)
        suffix = f"_{equation.name}" if len(chosen) > 1 else ""
        parts.append((suffix, labels, start + np.array([columns]), weights[None]))
    return parts


def _contrasts(chosen: Chosen, scales: Mapping[str, Scales]) -> list[Part]:
    """Shrink mean and difference of two outcomes' coefficients, in SDs that both have in common."""
    (one, first, ours), (two, second, theirs) = chosen
    common = np.sqrt(np.mean([scales[e.name].outcome_sd ** 2 for e in (one, two)]))
    sds = np.sqrt((_sds(one, ours) ** 2 + _sds(two, theirs) ** 2) / 2)
    places = np.array([first + np.array(ours), second + np.array(theirs)])
    labels = tuple(one.coef.labels[i] for i in ours)
    weight = common / sds
    return [
        ("_mean", tuple(f"mean, {label}" for label in labels), places, np.array([weight, weight])),
        ("_difference", tuple(f"difference, {label}" for label in labels), places, np.array([weight, -weight]) / 2),
    ]


def _aligned(chosen: Chosen) -> Chosen:
    """Return the second equation's columns in the order of the first's, where both have the same."""
    (one, first, ours), (two, second, theirs) = chosen
    places = {two.coef.labels[i]: i for i in theirs}
    labels = [one.coef.labels[i] for i in ours]
    if set(labels) != set(places):
        return chosen
    return [(one, first, ours), (two, second, [places[label] for label in labels])]


def _same_columns(chosen: Chosen) -> bool:
    """Return whether all equations have the same columns under a prior."""
    labels = [[e.coef.labels[i] for i in columns] for e, _, columns in chosen]
    return all(a == b for a, b in pairwise(labels))
