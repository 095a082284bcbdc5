"""Families in NumPy, draw by draw: densities of rows, their slopes, expected outcomes, and outcomes drawn anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import xarray as xr
from scipy import special

from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.outcome_scale import OutcomeScale
from bayes_alliance.names import THRESHOLD_COEF, shape_dim
from bayes_alliance.spec.families import FamilyName

FAR: Final = 500.0
"""Linear predictors are taken no larger where their exponential is needed: it would overflow."""

REACH: Final = 6.0
"""SDs of a normal effect that are integrated over: 2e-9 of it lies further out."""

STEP: Final = 0.7
"""Distance of the points of the trapezoidal rule, in units of the linear predictor.

A link with its nearest pole pi / 2 away (cloglog; pi for logit) is integrated with an error of about
exp(-pi^2 / STEP) = 8e-7 (Trefethen and Weideman 2014)."""

MOST_NODES: Final = 2000
"""Points of the rule at most, which is enough for effects with an SD of 100 on the scale of the link."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Outcomes of some rows with what their family needs beside the linear predictor, as drawn.

    ``y`` has shape (obs,); ``given`` maps ``sigma`` to shape (draw, obs), further parameters to (draw, 1) and
    ``threshold`` to (draw, threshold). ``scale`` says what values the outcome can have.
    """

    family: FamilyName
    y: np.ndarray
    given: Mapping[str, np.ndarray]
    scale: OutcomeScale = field(default_factory=OutcomeScale)

    def chosen(self, rows: np.ndarray) -> Rows:
        """Return some of the rows."""
        given = {name: values[:, rows] if name == "sigma" else values for name, values in self.given.items()}
        return Rows(self.family, self.y[rows], given, self.scale.rows(rows))

    def drawn(self, draws: slice) -> Rows:
        """Return some of the draws."""
        return replace(self, given={name: values[draws] for name, values in self.given.items()})

    def at_points(self) -> Rows:
        """Return the same for linear predictors of shape (draw, point, obs)."""
        return replace(self, given={name: values[:, None] for name, values in self.given.items()})


def rows_of(equation: EquationDesign, flat: xr.Dataset, spread: np.ndarray | None) -> Rows:
    """Return an equation's rows with its family's parameters from ``stack_draws``; ``spread`` has shape (draw, obs)."""
    given: dict[str, np.ndarray] = {} if spread is None else {"sigma": spread}
    for shape in equation.shapes:
        given[shape] = np.asarray(
            flat[shape].sel({shape_dim(shape): [equation.outcome]}).transpose("sample", ...).values
        )
    if equation.kind.thresholds:
        own = flat["threshold"].sel({THRESHOLD_COEF: list(equation.threshold_labels)})
        given["threshold"] = np.asarray(own.transpose("sample", ...).values)
    return Rows(equation.family, equation.y, given, equation.scale)


def log_density(rows: Rows, linear: np.ndarray) -> np.ndarray:
    """Return the log-density of every row given its linear predictor, of the same shape."""
    y, given = rows.y, rows.given
    match rows.family:
        case "bernoulli":
            return np.asarray(special.log_expit(np.where(y > 0, linear, -linear)))
        case "binomial":
            trials = _trials(rows)
            ways = special.gammaln(trials + 1) - special.gammaln(y + 1) - special.gammaln(trials - y + 1)
            return np.asarray(ways + y * special.log_expit(linear) + (trials - y) * special.log_expit(-linear))
        case "hazard":
            hazard = np.exp(np.minimum(linear, FAR))
            with np.errstate(divide="ignore"):
                return np.asarray(np.where(y > 0, np.log(-np.expm1(-hazard)), -hazard))
        case "negative_binomial":
            size = given["shape"]
            total = np.logaddexp(np.log(size), linear)
            counted = special.gammaln(y + size) - special.gammaln(size) - special.gammaln(y + 1)
            return np.asarray(counted + size * (np.log(size) - total) + y * (linear - total))
        case "student_t":
            nu, z = given["nu"], (y - linear) / given["sigma"]
            constant = special.gammaln((nu + 1) / 2) - special.gammaln(nu / 2) - 0.5 * np.log(nu * np.pi)
            return np.asarray(constant - np.log(given["sigma"]) - (nu + 1) / 2 * np.log1p(z**2 / nu))
        case "cumulative":
            return _log_between(*_edges(rows, linear))
        case "ordered_beta":
            place = _log_between(*_edges(rows, linear))
            return np.asarray(np.where(rows.scale.category(y) == 1, place + _log_beta(rows, linear), place))
    z = (y - linear) / given["sigma"]
    inside = -0.5 * z**2 - np.log(given["sigma"]) - 0.5 * np.log(2 * np.pi)
    if rows.family == "censored":
        side = _side(rows)
        return np.asarray(np.where(side == 0, inside, special.log_ndtr(-side * z)))
    return np.asarray(inside)


def slopes(rows: Rows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the slope of every row's log-density in its linear predictor, and a positive measure of its curvature.

    The latter is the information observed where it is positive everywhere, else the information expected.
    """
    y, given = rows.y, rows.given
    match rows.family:
        case "bernoulli" | "binomial":
            p, trials = special.expit(linear), _trials(rows) if rows.family == "binomial" else 1.0
            return y - trials * p, trials * p * (1 - p)
        case "hazard":
            hazard = np.exp(np.clip(linear, -FAR, FAR / 10))
            grows = hazard / np.expm1(np.minimum(hazard, FAR))
            return np.where(y > 0, grows, -hazard), np.maximum(hazard * grows, np.finfo(float).tiny)
        case "negative_binomial":
            # size / (size + mean), without overflow
            rest = special.expit(np.log(given["shape"]) - linear)
            mean = np.exp(np.minimum(linear, FAR))
            return (y - mean) * rest, mean * rest
        case "student_t":
            nu, variance = given["nu"], given["sigma"] ** 2
            left = y - linear
            return (nu + 1) * left / (nu * variance + left**2), np.broadcast_to(
                (nu + 1) / (nu + 3) / variance, left.shape
            )
        case "cumulative" | "ordered_beta":
            low, high = _edges(rows, linear)
            slope = special.expit(low) - special.expit(-high)
            bend = special.expit(low) * special.expit(-low) + special.expit(high) * special.expit(-high)
            if rows.family == "cumulative":
                return slope, bend
            further, more = _beta_slopes(rows, linear)
            inside = rows.scale.category(y) == 1
            return np.where(inside, slope + further, slope), np.where(inside, bend + more, bend)
    sigma = given["sigma"]
    slope, information = (y - linear) / sigma**2, np.broadcast_to(1 / sigma**2, linear.shape)
    if rows.family == "censored":
        side = _side(rows)
        z = np.where(side == 0, 0.0, -side * (y - linear) / sigma)
        mills = np.exp(-0.5 * z**2 - 0.5 * np.log(2 * np.pi) - special.log_ndtr(z))
        slope = np.where(side == 0, slope, side * mills / sigma)
        information = np.where(side == 0, information, np.maximum(mills * (z + mills), 1e-12) / sigma**2)
    return slope, information


def expected(rows: Rows, linear: np.ndarray) -> np.ndarray:
    """Return the expected outcome at linear predictors, of the same shape; of successes their share of the trials."""
    match rows.family:
        case "bernoulli" | "binomial":
            return np.asarray(special.expit(linear))
        case "hazard":
            return np.asarray(-np.expm1(-np.exp(np.minimum(linear, FAR))))
        case "negative_binomial":
            return np.asarray(np.exp(linear))
        case "cumulative":
            above = [special.expit(linear - rows.given["threshold"][..., [k]]) for k in range(_cuts(rows))]
            return np.asarray(rows.scale.bounds[0] + sum(above, start=np.zeros_like(linear)))
        case "ordered_beta":
            floor, ceiling = (special.expit(linear - rows.given["threshold"][..., [k]]) for k in range(2))
            share = ceiling + (floor - ceiling) * special.expit(linear)
            return np.asarray(rows.scale.bounds[0] + rows.scale.width * share)
        case "censored":
            return _expected_censored(rows, linear)
    return linear


def expected_over(rows: Rows, linear: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return the expected outcome with a normal effect of mean 0 added to the linear predictor.

    Closed forms where there are any: the mean of a lognormal variable behind a log link, and a censored normal score
    with both variances added. Else the trapezoidal rule over the effect, with points as close as the link asks for.

    Parameters
    ----------
    rows : Rows
        As in ``expected``.
    linear, variance : ndarray, shape (draw, obs)
        The linear predictor, and the variance of the effect.
    """
    match rows.family:
        case "gaussian" | "student_t":
            return linear
        case "negative_binomial":
            return np.asarray(np.exp(linear + variance / 2))
        case "censored":
            sigma = np.sqrt(rows.given["sigma"] ** 2 + variance)
            return expected(replace(rows, given={**rows.given, "sigma": sigma}), linear)
    sd = np.sqrt(variance)
    total = np.zeros_like(linear)
    for node, weight in normal_rule(float(sd.max(initial=0.0))):
        total += weight * expected(rows, linear + node * sd)
    return total


def normal_rule(sd: float) -> Iterator[tuple[float, float]]:
    """Yield points and weights that integrate over a standard normal variable, multiplied by up to ``sd``."""
    if sd == 0:
        yield 0.0, 1.0
        return
    step = min(0.5, STEP / sd)
    half = min(int(np.ceil(REACH / step)), MOST_NODES // 2)
    nodes = np.linspace(-REACH, REACH, 2 * half + 1)
    weights = np.exp(-0.5 * nodes**2)
    yield from zip(nodes.tolist(), (weights / weights.sum()).tolist(), strict=True)


def draw(rows: Rows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the outcome of every row anew, of the shape of the linear predictor."""
    scale = rows.scale
    match rows.family:
        case "bernoulli":
            return np.asarray(rng.random(linear.shape) < special.expit(linear), dtype=float)
        case "binomial":
            trials = np.broadcast_to(_trials(rows), linear.shape).astype(np.int64)
            return np.asarray(rng.binomial(trials, special.expit(linear)), dtype=float)
        case "hazard":
            return np.asarray(rng.random(linear.shape) < expected(rows, linear), dtype=float)
        case "negative_binomial":
            size = np.broadcast_to(rows.given["shape"], linear.shape)
            return np.asarray(rng.poisson(rng.gamma(size) * np.exp(linear) / size), dtype=float)
        case "student_t":
            nu = np.broadcast_to(rows.given["nu"], linear.shape)
            return np.asarray(linear + rows.given["sigma"] * rng.standard_t(nu))
        case "cumulative" | "ordered_beta":
            category = _draw_category(rows, linear, rng)
            if rows.family == "cumulative":
                return scale.bounds[0] + category
            # kept off the bounds, where a beta variable of small parameters rounds to
            share = special.expit(linear)
            phi = rows.given["phi"]
            least = 1e-9
            inside = rng.beta(np.maximum(share * phi, least), np.maximum((1 - share) * phi, least))
            inside = np.clip(inside, least, 1 - least)
            return scale.bounds[0] + scale.width * np.where(category == 1, inside, category / 2)
    drawn = linear + rows.given["sigma"] * rng.normal(size=linear.shape)
    return np.asarray(np.clip(drawn, *scale.bounds) if rows.family == "censored" else drawn)


def _trials(rows: Rows) -> np.ndarray:
    assert rows.scale.trials is not None
    return rows.scale.trials


def _side(rows: Rows) -> np.ndarray:
    """Return -1 for rows at the lowest value, 1 for those at the highest, 0 for the others."""
    low, high = rows.scale.bounds
    return np.where(rows.y <= low, -1, np.where(rows.y >= high, 1, 0))


def _cuts(rows: Rows) -> int:
    return int(rows.given["threshold"].shape[-1])


def _edges(rows: Rows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance of every row's predictor to the thresholds below and above its category."""
    cuts = rows.given["threshold"]
    open_end = np.full((*cuts.shape[:-1], 1), np.inf)
    edges = np.concatenate([-open_end, cuts, open_end], axis=-1)
    code = rows.scale.category(rows.y)
    return edges[..., code] - linear, edges[..., code + 1] - linear


def _log_between(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the log of the logistic probability between two numbers, without the loss of a difference."""
    return np.asarray(special.log_expit(high) + special.log_expit(-low) + np.log(-np.expm1(low - high)))


def _beta_of(rows: Rows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return both parameters of the beta distribution between the bounds, and scores as shares (half at a bound)."""
    # shares so near to 0 or 1 that their logarithm is lost
    share = special.expit(np.clip(linear, -30.0, 30.0))
    y = np.where(rows.scale.category(rows.y) == 1, rows.scale.share(rows.y), 0.5)
    return share * rows.given["phi"], special.expit(-np.clip(linear, -30.0, 30.0)) * rows.given["phi"], y


def _log_beta(rows: Rows, linear: np.ndarray) -> np.ndarray:
    a, b, y = _beta_of(rows, linear)
    return np.asarray((a - 1) * np.log(y) + (b - 1) * np.log1p(-y) - special.betaln(a, b) - np.log(rows.scale.width))


def _beta_slopes(rows: Rows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b, y = _beta_of(rows, linear)
    step = a * b / rows.given["phi"]
    slope = step * (special.logit(y) - special.digamma(a) + special.digamma(b))
    return slope, np.asarray(step**2 * (special.polygamma(1, a) + special.polygamma(1, b)))


def _expected_censored(rows: Rows, linear: np.ndarray) -> np.ndarray:
    """Return the mean of a normal score cut off at its bounds (Tobin 1958)."""
    sigma, total, inside = rows.given["sigma"], np.zeros_like(linear), np.ones_like(linear)
    for bound, sign in zip(rows.scale.bounds, (1.0, -1.0), strict=True):
        if np.isfinite(bound):
            z = (bound - linear) / sigma
            beyond = special.ndtr(sign * z)
            inside = inside - beyond
            total = total + bound * beyond + sign * sigma * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return np.asarray(total + linear * inside)


def _draw_category(rows: Rows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    latent = linear + rng.logistic(size=linear.shape)
    above = [latent > rows.given["threshold"][..., [k]] for k in range(_cuts(rows))]
    return np.asarray(sum(above, start=np.zeros(linear.shape)), dtype=float)
