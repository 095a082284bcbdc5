"""Families in NumPy, draw by draw: densities of rows, their slopes, expected outcomes, and outcomes drawn anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy import special

from bayes_alliance.design.equation import EquationDesign
from bayes_alliance.names import SIGMA_COEF, shape_dim
from bayes_alliance.spec.families import FamilyName


@dataclass(frozen=True, eq=False)
class Rows:
    """Outcomes of some rows with what their family needs beside the linear predictor, as drawn.

    ``y`` has shape (obs,); ``given`` maps ``sigma`` to shape (draw, obs) and further parameters to (draw, 1).
    """

    family: FamilyName
    y: np.ndarray
    given: Mapping[str, np.ndarray]

    def chosen(self, rows: np.ndarray) -> Rows:
        """Return some of the rows."""
        return Rows(self.family, self.y[rows], {n: v[:, rows] if n == "sigma" else v for n, v in self.given.items()})

    def drawn(self, draws: slice) -> Rows:
        """Return some of the draws."""
        return Rows(self.family, self.y, {name: values[draws] for name, values in self.given.items()})

    def at_points(self) -> Rows:
        """Return the same for linear predictors of shape (draw, point, obs)."""
        return Rows(self.family, self.y, {name: values[:, None] for name, values in self.given.items()})


def rows_of(equation: EquationDesign, flat: xr.Dataset) -> Rows:
    """Return an equation's rows with its family's parameters from ``stack_draws``."""
    given: dict[str, np.ndarray] = {}
    if equation.kind.spread:
        given["sigma"] = residual_spread(equation, flat)
    for shape in equation.kind.shapes:
        given[shape] = np.asarray(
            flat[shape].sel({shape_dim(shape): [equation.outcome]}).transpose("sample", ...).values
        )
    return Rows(equation.family, equation.y, given)


def residual_spread(equation: EquationDesign, flat: xr.Dataset) -> np.ndarray:
    """Return every row's residual SD (the scale, where residuals are t), shape (draw, obs)."""
    sigma = flat["sigma"].sel({SIGMA_COEF: list(equation.sigma_coef)}).transpose("sample", SIGMA_COEF).values
    return np.asarray(sigma[:, equation.sigma_code])


def log_density(rows: Rows, linear: np.ndarray) -> np.ndarray:
    """Return the log-density of every row given its linear predictor, of the same shape."""
    y, given = rows.y, rows.given
    match rows.family:
        case "bernoulli":
            return np.asarray(special.log_expit(np.where(y > 0, linear, -linear)))
        case "negative_binomial":
            size = given["shape"]
            total = np.logaddexp(np.log(size), linear)
            counted = special.gammaln(y + size) - special.gammaln(size) - special.gammaln(y + 1)
            return np.asarray(counted + size * (np.log(size) - total) + y * (linear - total))
        case "student_t":
            nu, z = given["nu"], (y - linear) / given["sigma"]
            constant = special.gammaln((nu + 1) / 2) - special.gammaln(nu / 2) - 0.5 * np.log(nu * np.pi)
            return np.asarray(constant - np.log(given["sigma"]) - (nu + 1) / 2 * np.log1p(z**2 / nu))
    z = (y - linear) / given["sigma"]
    return np.asarray(-0.5 * z**2 - np.log(given["sigma"]) - 0.5 * np.log(2 * np.pi))


def slopes(rows: Rows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the slope of every row's log-density in its linear predictor, and the information expected of it."""
    y, given = rows.y, rows.given
    match rows.family:
        case "bernoulli":
            p = special.expit(linear)
            return y - p, p * (1 - p)
        case "negative_binomial":
            # size / (size + mean), without overflow
            rest = special.expit(np.log(given["shape"]) - linear)
            mean = np.exp(np.minimum(linear, 500.0))
            return (y - mean) * rest, mean * rest
        case "student_t":
            nu, variance = given["nu"], given["sigma"] ** 2
            left = y - linear
            return (nu + 1) * left / (nu * variance + left**2), np.broadcast_to(
                (nu + 1) / (nu + 3) / variance, left.shape
            )
    variance = given["sigma"] ** 2
    return (y - linear) / variance, np.broadcast_to(1 / variance, linear.shape)


def expected(family: FamilyName, linear: np.ndarray) -> np.ndarray:
    """Return the expected outcome at a linear predictor."""
    match family:
        case "bernoulli":
            return np.asarray(special.expit(linear))
        case "negative_binomial":
            return np.asarray(np.exp(linear))
    return linear


def draw(rows: Rows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the outcome of every row anew, of the shape of the linear predictor."""
    match rows.family:
        case "bernoulli":
            return np.asarray(rng.random(linear.shape) < special.expit(linear), dtype=float)
        case "negative_binomial":
            size = np.broadcast_to(rows.given["shape"], linear.shape)
            return np.asarray(rng.poisson(rng.gamma(size) * np.exp(linear) / size), dtype=float)
        case "student_t":
            nu = np.broadcast_to(rows.given["nu"], linear.shape)
            return np.asarray(linear + rows.given["sigma"] * rng.standard_t(nu))
    return np.asarray(linear + rows.given["sigma"] * rng.normal(size=linear.shape))
