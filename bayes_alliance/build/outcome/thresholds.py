"""A logistic variable cut at thresholds: what ordered categories and bounded scores share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

FAR = 1e4
"""Stands for a threshold that is none: beyond it the logistic curve is 0 or 1 to the last digit."""


def edges(category: TensorVariable, cuts: Sequence[TensorVariable]) -> tuple[TensorVariable, TensorVariable]:
    """Return the thresholds below and above every row's category, counted from 0."""
    low: TensorVariable = pt.as_tensor(-FAR)
    high: TensorVariable = pt.as_tensor(FAR)
    for number, cut in enumerate(cuts):
        low = pt.switch(pt.gt(category, number), cut, low)
    for number, cut in reversed(list(enumerate(cuts))):
        high = pt.switch(pt.le(category, number), cut, high)
    return low, high


def log_between(low: TensorVariable, high: TensorVariable) -> TensorVariable:
    """Return the log of the logistic probability between two numbers, without the loss of a difference."""
    return -pt.softplus(-high) - pt.softplus(low) + pt.log(-pt.expm1(low - high))


def draw_category(
    mean: np.ndarray, cuts: Sequence[np.ndarray], rng: np.random.Generator, size: tuple[int, ...] | None
) -> np.ndarray:
    """Draw categories, counted from 0."""
    latent = mean + rng.logistic(size=np.shape(mean) if size is None else size)
    return np.asarray(sum((latent > cut for cut in cuts), start=np.zeros(latent.shape)))
