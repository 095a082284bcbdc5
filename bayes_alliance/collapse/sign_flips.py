"""Signs of SDs: which parameters change theirs together without changing a covariance."""

from __future__ import annotations

import numpy as np

from bayes_alliance.collapse.shape import Shape, find_places, pairs_of


def find_turns(shape: Shape, logs: np.ndarray) -> np.ndarray:
    """Return every way to turn the signs of SDs that have one, shape (turn, parameter), entries -1 and 1.

    An effect whose sign turns takes its partial correlations along: the covariance stays as it is (Cholesky factors
    of D R D are D L D).
    """
    single = np.array([turn_of(shape, int(sd)) for sd in np.flatnonzero(~logs)]).reshape(-1, find_places(shape).size)
    turns = np.ones((1, single.shape[1]))
    for one in single:
        turns = np.concatenate([turns, turns * one])
    return turns


def turn_of(shape: Shape, sd: int) -> np.ndarray:
    """Return the signs that turn with one SD, shape (parameter,)."""
    places = find_places(shape)
    signs = np.ones(places.size)
    signs[sd] = -1.0
    factor = next(f for f, own in enumerate(shape.factors) if places.sd[f] <= sd < places.sd[f] + own.sds)
    own = shape.factors[factor]
    stratum, effect = divmod(sd - places.sd[factor], own.effects)
    for block, start in zip(own.blocks, places.cor[factor], strict=True):
        first = start + stratum * pairs_of(len(block))
        pairs = [(block[i], block[j]) for i in range(len(block)) for j in range(i)]
        for number, pair in enumerate(pairs):
            if effect in pair:
                signs[first + number] = -1.0
    return signs


def take_off_signs(shape: Shape, values: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Return parameters with SDs as positive numbers and correlations turned with them; the last axis is parameters."""
    plain = values.copy()
    for sd in range(len(logs)):
        if logs[sd]:
            plain[..., sd] = np.exp(values[..., sd])
        else:
            negative = plain[..., sd] < 0
            plain = np.where(negative[..., None], plain * turn_of(shape, sd), plain)
    return plain
