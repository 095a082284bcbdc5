"""Roots of covariance matrices that may be singular."""

from __future__ import annotations

import numpy as np


def lower_root(covariance: np.ndarray) -> np.ndarray:
    """Return lower roots of covariance matrices, the last two axes; rows of variables without variance are 0."""
    size = covariance.shape[-1]
    root = np.zeros_like(covariance)
    for i in range(size):
        for j in range(i + 1):
            left = covariance[..., i, j] - (root[..., i, :j] * root[..., j, :j]).sum(axis=-1)
            if i == j:
                root[..., i, i] = np.sqrt(np.maximum(left, 0.0))
            else:
                root[..., i, j] = np.divide(left, root[..., j, j], out=np.zeros_like(left), where=root[..., j, j] > 0)
    return root
