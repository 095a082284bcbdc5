"""The climb to the mode: steep slopes and regions where numbers break down."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bayes_alliance.collapse import laplace


class Hill:
    """A log-density that is a steep hill around ``top``, and breaks down farther than 3 from it."""

    size, sds = 3, 2
    above_zero = np.zeros(2, dtype=bool)

    def __init__(self, steepness: float, numbers: int, exact_slopes: bool, height: float = 0.0) -> None:
        self.steepness, self.height, self.top = steepness, height, np.array([1.0, -0.5, 2.0])
        self.numbers, self.exact_slopes, self.calls = numbers, exact_slopes, 0

    def values(self, points: np.ndarray, logs: np.ndarray, cores: int) -> np.ndarray:
        """Return the log-density at points."""
        self.calls += len(points)
        apart = np.abs(points - self.top).max(axis=1)
        return np.where(apart < 3, self.height - self.steepness * ((points - self.top) ** 2).sum(axis=1), -np.inf)

    def gradient(self, x: np.ndarray, logs: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the log-density and its slope."""
        return float(self.values(x[None], logs, 1)[0]), -2 * self.steepness * (x - self.top)


WAYS = {"both sides": (10, False), "one side": (laplace.HEAVY + 1, False), "gradients": (10, True)}
"""How slopes are found: numbers that an evaluation reads, and whether it has slopes of its own."""


@pytest.mark.parametrize(("numbers", "exact"), WAYS.values(), ids=list(WAYS))
@pytest.mark.parametrize("steepness", [1.0, 1e3, 1e6])
def test_the_mode_is_found_however_steep(steepness: float, numbers: int, exact: bool) -> None:
    """Slopes of thousands of patients do not send the first step to where the log-density is minus infinity."""
    hill: Any = Hill(steepness, numbers, exact)
    frame = laplace.find_frame(hill, np.zeros(3))
    np.testing.assert_allclose(frame.scale @ frame.scale.T, np.eye(3) / (2 * steepness), rtol=1e-3, atol=1e-9)
    if frame.logs.all():
        np.testing.assert_allclose(frame.centre, hill.top, atol=1e-3)


@pytest.mark.parametrize(("numbers", "exact"), WAYS.values(), ids=list(WAYS))
@pytest.mark.parametrize("height", [-1e8, 0.0, 1e8])
def test_a_climb_that_starts_at_the_mode_ends_there_at_once(numbers: int, exact: bool, height: float) -> None:
    """However large the value is there: of 284,000 rows a search without slopes took a minute for nothing."""
    hill: Any = Hill(1e4, numbers, exact, height)
    target = laplace._Target(hill, np.ones(2, dtype=bool), np.ones(3), 1)
    for start in (hill.top, hill.top + 1e-4):
        hill.calls = 0
        np.testing.assert_allclose(laplace._climb(target, start), hill.top, atol=1e-4)
        assert hill.calls < 400


def test_a_search_without_slopes_evaluates_single_points() -> None:
    """Where slopes mislead, values alone find the top, and no slope is worked out on the way."""
    hill: Any = Hill(1.0, laplace.HEAVY + 1, exact_slopes=True)
    hill.gradient = lambda x, logs: (float(hill.values(x[None], logs, 1)[0]), np.full(3, 5.0))
    target = laplace._Target(hill, np.ones(2, dtype=bool), np.ones(3), 1)
    np.testing.assert_allclose(laplace._climb(target, np.zeros(3)), hill.top, atol=0.02)


def test_a_covariance_that_rounding_has_bent_still_has_a_root() -> None:
    """Directions whose widths differ by more digits than numbers have: the wide ones are kept, nothing is raised.

    A residual SD ten thousand times smaller than the outcome's made such a frame: the fit ended in an error of numpy.
    """
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    wide = np.array([1e8, 1.0, 1e-2, -1e-3])  # the last one below 0, as rounding leaves it
    bent = (turn * wide) @ turn.T
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.cholesky(bent)
    root = laplace._root(bent)
    assert np.array_equal(root, np.tril(root))
    assert (np.diag(root) > 0).all()
    np.testing.assert_allclose(root @ root.T, bent, atol=2e-3)
    plain = np.array([[2.0, 0.3], [0.3, 1.0]])
    np.testing.assert_array_equal(laplace._root(plain), np.linalg.cholesky(plain))
