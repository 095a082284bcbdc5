"""A latent variable cut at thresholds: what ordered categories and bounded scores share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.build.outcome.curves import CurveGraph

FAR = 1e4
"""Stands for a threshold that is none: beyond it a curve is 0 or 1 to the last digit."""


def edges(category: TensorVariable, cuts: Sequence[TensorVariable]) -> tuple[TensorVariable, TensorVariable]:
    """Return the thresholds below and above every row's category, counted from 0."""
    low: TensorVariable = pt.as_tensor(-FAR)
    high: TensorVariable = pt.as_tensor(FAR)
    for number, cut in enumerate(cuts):
        low = pt.switch(pt.gt(category, number), cut, low)
    for number, cut in reversed(list(enumerate(cuts))):
        high = pt.switch(pt.le(category, number), cut, high)
    return low, high


def draw_category(
    curve: CurveGraph,
    mean: np.ndarray,
    cuts: Sequence[np.ndarray],
    rng: np.random.Generator,
    size: tuple[int, ...] | None,
) -> np.ndarray:
    """Draw categories, counted from 0."""
    latent = mean + curve.numbers.draw(np.shape(mean) if size is None else size, rng)
    return np.asarray(sum((latent > cut for cut in cuts), start=np.zeros(latent.shape)))
