"""The test of uniformity: right size, and power against what goes wrong."""

from __future__ import annotations

import numpy as np
import pytest

from bayes_alliance.diagnosis.uniformity import simultaneous_band, uniformity


def test_p_values_of_uniform_numbers_are_hardly_too_small() -> None:
    """Of 400 uniform samples about 5 % have a p-value below .05 (within four standard errors)."""
    rng = np.random.default_rng(1)
    small = np.mean([uniformity(rng.random(100)) < 0.05 for _ in range(400)])
    assert 0.005 < small < 0.094


@pytest.mark.parametrize("fault", ["shifted", "too narrow", "too wide", "one side"])
def test_what_goes_wrong_is_seen(fault: str) -> None:
    """Shifts and wrong widths of a moderate size, in 200 numbers."""
    rng = np.random.default_rng(2)
    u = rng.random(200)
    spoiled = {
        "shifted": u**1.5,
        "too narrow": np.where(u < 0.5, 2 * u**2, 1 - 2 * (1 - u) ** 2) * -1 % 1,
        "too wide": 0.5 + 0.7 * (u - 0.5),
        "one side": np.where(rng.random(200) < 0.2, 0.0, u),
    }[fault]
    assert uniformity(spoiled) < 0.01


def test_the_band_holds_nineteen_of_twenty_curves() -> None:
    """Curves of uniform samples leave a 95 % band in about 5 % of cases, and the band is symmetric."""
    places, low, high = simultaneous_band(150)
    np.testing.assert_allclose(low, 1 - high[::-1], atol=0.02)
    rng = np.random.default_rng(3)
    curves = (rng.random((2000, 150))[:, :, None] <= places).mean(axis=1)
    outside = ((curves < low) | (curves > high)).any(axis=1).mean()
    assert 0.01 < outside < 0.075
