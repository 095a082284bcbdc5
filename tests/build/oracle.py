"""Log-densities by SciPy, and a model's own at a point on natural scales: what oracle tests share."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pymc as pm
from pytensor.tensor import TensorVariable
from scipy import special, stats

from bayes_alliance.build.model import CHECKED
from bayes_alliance.spec.priors import Distribution


def density(prior: Distribution, x: float) -> float:
    """Return a prior's log-density by SciPy."""
    v = prior.values
    match prior.family:
        case "normal":
            return float(stats.norm.logpdf(x, *v))
        case "student_t":
            return float(stats.t.logpdf(x, v[0], v[1], v[2]))
        case "half_normal":
            return float(stats.halfnorm.logpdf(x, scale=v[0]))
        case "half_student_t":
            return float(np.log(2) + stats.t.logpdf(x, v[0], 0, v[1]))
        case "exponential":
            return float(stats.expon.logpdf(x, scale=v[0]))
        case "lognormal":
            return float(stats.lognorm.logpdf(x, v[1], scale=v[0]))
    raise AssertionError(prior)


def lkj(matrix: np.ndarray, eta: float) -> float:
    """Return the LKJ log-density of a correlation matrix (Lewandowski, Kurowicka and Joe 2009, eq. 16)."""
    d = len(matrix)
    constant = 0.0
    for k in range(1, d):
        beta = eta + (d - 1 - k) / 2
        constant += (2 * eta - 2 + d - k) * (d - k) * np.log(2) + (d - k) * special.betaln(beta, beta)
    return float((eta - 1) * np.linalg.slogdet(matrix)[1] - constant)


def to_unit(matrix: np.ndarray) -> np.ndarray:
    """Return partial correlations of a matrix, mapped to 0 to 1, by regression (not by the model's recursion)."""
    precision = [
        np.linalg.inv(matrix[np.ix_(p, p)]) for p in ([*range(j), j, i] for i in range(len(matrix)) for j in range(i))
    ]
    partial = [-p[-1, -2] / np.sqrt(p[-1, -1] * p[-2, -2]) for p in precision]
    return (np.array(partial) + 1) / 2


def log_jacobian(matrix: np.ndarray) -> float:
    """Return log |d correlations / d units| by central differences."""
    places = [(i, j) for i in range(len(matrix)) for j in range(i)]
    inverse = np.empty((len(places), len(places)))
    for column, (i, j) in enumerate(places):
        step = np.zeros_like(matrix)
        step[i, j] = step[j, i] = 1e-6
        inverse[:, column] = (to_unit(matrix + step) - to_unit(matrix - step)) / 2e-6
    return float(-np.linalg.slogdet(inverse)[1])


def evaluate(model: pm.Model, values: Mapping[str, np.ndarray]) -> float:
    """Return the model's log-density at free variables on their natural scales, without Jacobians of transforms."""
    return evaluate_terms(model, model.logp(jacobian=False, sum=True), values)


def evaluate_terms(model: pm.Model, terms: TensorVariable, values: Mapping[str, np.ndarray]) -> float:
    """Return terms of the log-density at variables on their natural scales."""
    function = model.compile_fn(terms, inputs=model.value_vars, mode=CHECKED, on_unused_input="ignore")
    unconstrained = {}
    for name, number in values.items():
        variable = model[name]
        transform = model.rvs_to_transforms[variable]
        moved = number if transform is None else transform.forward(number, *variable.owner.inputs).eval(mode=CHECKED)
        unconstrained[model.rvs_to_values[variable].name] = np.asarray(moved)
    return float(function(unconstrained))
