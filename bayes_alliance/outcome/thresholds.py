"""A logistic variable cut at thresholds: what ordered categories and bounded scores share."""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy

from bayes_alliance.outcome.contract import OutcomeRows

LOGISTIC_VARIANCE: Final = np.pi**2 / 3
"""Variance of a standard logistic variable (Snijders and Bosker 2012)."""


def edges(rows: OutcomeRows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance of every row's predictor to the thresholds below and above its category."""
    cuts = rows.given["threshold"]
    open_end = np.full((*cuts.shape[:-1], 1), np.inf)
    ends = np.concatenate([-open_end, cuts, open_end], axis=-1)
    code = rows.scale.category(rows.y)
    return ends[..., code] - linear, ends[..., code + 1] - linear


def log_between(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the log of the logistic probability between two numbers, without the loss of a difference."""
    return np.asarray(scipy.special.log_expit(high) + scipy.special.log_expit(-low) + np.log(-np.expm1(low - high)))


def derivatives_between(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return first and second derivative of ``log_between`` in a predictor that both distances fall with."""
    first = scipy.special.expit(low) - scipy.special.expit(-high)
    return first, -(
        scipy.special.expit(low) * scipy.special.expit(-low) + scipy.special.expit(high) * scipy.special.expit(-high)
    )


def thresholds_of(rows: OutcomeRows) -> list[np.ndarray]:
    """Return the thresholds, lowest first, each of a shape that goes with linear predictors."""
    cuts = rows.given["threshold"]
    return [cuts[..., [k]] for k in range(cuts.shape[-1])]


def draw_category(rows: OutcomeRows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the category of every row, counted from 0 for the lowest."""
    latent = linear + rng.logistic(size=linear.shape)
    above = [latent > cut for cut in thresholds_of(rows)]
    return np.asarray(sum(above, start=np.zeros(linear.shape)), dtype=float)


def category_at(rows: OutcomeRows, linear: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the category, counted from 0, that is reached with probability ``p``."""
    above = [p > scipy.special.expit(cut - linear) for cut in thresholds_of(rows)]
    return np.asarray(sum(above, start=np.zeros(linear.shape)), dtype=float)
