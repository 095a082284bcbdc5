"""The geometry of a response surface: stationary point, principal axes, and how far rows reach along its lines."""

from __future__ import annotations

import numpy as np
import xarray as xr

type Matrix = np.ndarray

SINGULAR = 1e-12
"""Determinant, as a share of what it could be, of a surface that is level along a line."""


def principal_axes(b: xr.DataArray) -> dict[str, Matrix]:
    """Return point, axes and ridge of every draw, from eigenvectors; nothing is left out where they are unstable.

    ``b`` is ``[chain, draw, monomial]`` of x, y, x^2, x*y and y^2. A surface that is level along its ridge by its form
    has no stationary point, and a plane none of them.
    """
    b1, b2, b3, b4, b5 = np.moveaxis(b.values, -1, 0)
    matrix = np.stack([np.stack([b3, b4 / 2], -1), np.stack([b4 / 2, b5], -1)], -2)
    size = (matrix**2).sum(axis=(-2, -1))
    if not size.any():
        return {}
    values, vectors = np.linalg.eigh(matrix)
    first, second = vectors[..., :, 1], vectors[..., :, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        p11, p21 = first[..., 1] / first[..., 0], second[..., 1] / second[..., 0]
        from_first, from_second = (
            _apart(-(e[..., 0] * b1 + e[..., 1] * b2), 2 * values[..., i]) for i, e in ((0, second), (1, first))
        )
        p10, p20 = from_first / second[..., 1], from_second / first[..., 1]
        det = 4 * b3 * b5 - b4**2
        x0, y0 = (b2 * b4 - 2 * b1 * b5) / det, (b1 * b4 - 2 * b2 * b3) / det
    # the second axis points above the line of congruence, so that the ridge's side has a sign
    ridge = np.where(second[..., 1] < second[..., 0], -from_first, from_first)
    angle = np.degrees(np.arctan2(first[..., 1], first[..., 0])) - 45
    found = {"p10": p10, "p11": p11, "angle": (angle + 90) % 180 - 90, "ridge": ridge}
    if (np.abs(det) <= SINGULAR * size).all():
        return found
    return {"x0": x0, "y0": y0, **found, "p20": p20, "p21": p21}


def _apart(slope: Matrix, curvature: Matrix) -> Matrix:
    """Return how far an axis passes from the centre; through it, where nothing slopes there, level or not."""
    return np.where(slope == 0, 0.0, slope / curvature)


def lines_of(points: Matrix) -> tuple[Matrix, Matrix]:
    """Return how far rows lie along the lines of congruence (x = y) and incongruence (x = -y), in rating points."""
    return (points[:, 0] + points[:, 1]) / 2, (points[:, 0] - points[:, 1]) / 2


def hull_of(points: Matrix) -> Matrix:
    """Return the corners of the smallest convex area that holds all rows, shape (corner, 2)."""
    from scipy.spatial import ConvexHull

    return np.asarray(points[ConvexHull(points).vertices])


def reach(points: Matrix) -> dict[str, tuple[float, float]]:
    """Return from where to where the lines run inside the area that holds all rows, 0 to 0 where they miss it."""
    corners = hull_of(points)
    along, across = lines_of(corners)
    found = {}
    for name, on, off in (("congruence", along, across), ("incongruence", across, along)):
        crossings = []
        for i in range(len(on)):
            j = (i + 1) % len(on)
            if off[i] * off[j] <= 0 and off[i] != off[j]:
                crossings.append(on[i] + (on[j] - on[i]) * off[i] / (off[i] - off[j]))
        low, high = (min(crossings), max(crossings)) if crossings else (0.0, 0.0)
        found[name] = (float(min(low, 0.0)), float(max(high, 0.0)))
    return found
