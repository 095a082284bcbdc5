"""A latent variable cut at thresholds: what ordered categories and bounded scores share."""

from __future__ import annotations

import numpy as np

from bayes_alliance.outcome.contract import OutcomeRows
from bayes_alliance.outcome.curves import Curve


def edges(rows: OutcomeRows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance of every row's predictor to the thresholds below and above its category."""
    cuts = rows.given["threshold"]
    open_end = np.full((*cuts.shape[:-1], 1), np.inf)
    ends = np.concatenate([-open_end, cuts, open_end], axis=-1)
    code = rows.scale.category(rows.y)
    return ends[..., code] - linear, ends[..., code + 1] - linear


def thresholds_of(rows: OutcomeRows) -> list[np.ndarray]:
    """Return the thresholds, lowest first, each of a shape that goes with linear predictors."""
    cuts = rows.given["threshold"]
    return [cuts[..., [k]] for k in range(cuts.shape[-1])]


def draw_category(curve: Curve, rows: OutcomeRows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the category of every row, counted from 0 for the lowest."""
    latent = linear + curve.draw(linear.shape, rng)
    above = [latent > cut for cut in thresholds_of(rows)]
    return np.asarray(sum(above, start=np.zeros(linear.shape)), dtype=float)


def category_at(curve: Curve, rows: OutcomeRows, linear: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the category, counted from 0, that is reached with probability ``p``."""
    above = [p > curve.cdf(cut - linear) for cut in thresholds_of(rows)]
    return np.asarray(sum(above, start=np.zeros(linear.shape)), dtype=float)
