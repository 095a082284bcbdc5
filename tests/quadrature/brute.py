"""Integrated log-likelihoods worked out apart: families' own densities on a grid of effects."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import logsumexp

from bayes_alliance.design.design import Design
from bayes_alliance.outcome.contract import OutcomeRows

WIDE, POINTS = 9.0, 241
"""How far a grid of standard normals reaches, and its points."""


def grid(size: int, points: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Return points of standard normal effects, shape (point, effect), and logs of their weights (trapezoidal)."""
    one = np.linspace(-WIDE, WIDE, points)
    log_weight = -0.5 * one**2 - 0.5 * np.log(2 * np.pi) + np.log(one[1] - one[0])
    if size == 1:
        return one[:, None], log_weight
    first, second = np.meshgrid(one, one, indexing="ij")
    both = np.column_stack([first.ravel(), second.ravel()])
    return both, np.add.outer(log_weight, log_weight).ravel()


def row_densities(design: Design, linear: np.ndarray, given: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return log-densities of rows at linear predictors, shape (point, row)."""
    e = design.equation
    one = {name: np.asarray(value, dtype=float)[None] for name, value in given.items()}
    return OutcomeRows(e.kind, e.y, one, e.scale).log_density(linear)


def log_likelihood(
    design: Design,
    population: np.ndarray,
    given: Mapping[str, np.ndarray],
    root: np.ndarray,
    outer_sd: float | None = None,
    points: int = POINTS,
) -> float:
    """Return the log-likelihood with effects of patients, and an intercept of therapists, integrated out.

    Parameters
    ----------
    design : Design
        With an equation, patients and perhaps therapists.
    population : ndarray, shape (obs,)
        Linear predictors without effects.
    given : mapping
        Parameters of the family, each of shape (1,) or (obs,); thresholds of shape (threshold,).
    root : ndarray, shape (effect, effect)
        Lower triangular root of the covariance of patients' effects.
    outer_sd : float, optional
        SD of therapists' intercepts.
    """
    groups = {group.factor: group for group in design.equation.groups}
    patient = groups["patient"]
    effects, log_weight = grid(patient.values.shape[1], points)
    shifts = np.array([0.0])
    outer_weight = np.array([0.0])
    home = np.zeros(len(population), dtype=int)
    if outer_sd is not None:
        outer, outer_weight = grid(1, points)
        shifts, home = outer_sd * outer[:, 0], groups["therapist"].code
    linear = population + effects @ root.T @ patient.values.T
    total = 0.0
    inside = np.zeros((len(shifts), home.max() + 1))
    for place, shift in enumerate(shifts):
        density = row_densities(design, linear + shift, given)
        for unit in np.unique(patient.code):
            rows = patient.code == unit
            inside[place, home[rows][0]] += logsumexp(density[:, rows].sum(axis=1) + log_weight)
    for group in range(inside.shape[1]):
        total += float(logsumexp(inside[:, group] + outer_weight))
    return total
