"""Smoothed weights of many units at once against ArviZ, one at a time."""

from __future__ import annotations

import numpy as np
import pytest
from arviz_stats.base import array_stats

from bayes_alliance.comparison.pareto import smooth_weights


@pytest.mark.parametrize(("draws", "efficiency"), [(100, 1.0), (400, 0.3), (2000, 1.0)])
def test_agrees_with_arviz(draws: int, efficiency: float) -> None:
    """Light tails, heavy ones, and k on either side of 0, to rounding."""
    rng = np.random.default_rng(draws)
    ratios = np.stack([scale * rng.standard_t(df, draws) for scale in (1e-6, 0.1, 1.0, 4.0) for df in (3, 30)])
    ratios = np.concatenate([ratios, -rng.exponential(1, (2, draws)), rng.uniform(0, 2, (2, draws))])
    weights, k = smooth_weights(ratios, efficiency)
    expected, shapes = (np.asarray(part) for part in array_stats.psislw(-ratios, r_eff=efficiency, axis=-1))
    np.testing.assert_allclose(k, shapes, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(weights, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.exp(weights).sum(axis=1), 1.0)
    assert k.min() < 0 < 0.7 < k.max()


def test_a_tail_that_is_no_tail_is_left_as_it_is() -> None:
    """Where most of the largest ratios are equal there is nothing to fit, and nothing is smoothed."""
    ratios = np.zeros((1, 200))
    ratios[0, :3] = [3.0, 1.0, 2.0]
    weights, k = smooth_weights(ratios, 1.0)
    assert np.isnan(k).all()
    np.testing.assert_allclose(weights, ratios - np.log(np.exp(ratios).sum()))
