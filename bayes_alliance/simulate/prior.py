"""What the priors claim before any outcome is seen: parameters and outcomes drawn from them, in plain NumPy."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import xarray as xr

from bayes_alliance._messages import quote
from bayes_alliance.design.design import Design, EquationDesign
from bayes_alliance.errors import DesignError
from bayes_alliance.names import INTERCEPT, obs_dim, sd_name
from bayes_alliance.simulate.outcome import draw_outcome
from bayes_alliance.simulate.truth import correlation_name
from bayes_alliance.spec.priors import Distribution


def predict_prior(design: Design, *, draws: int = 200, seed: int) -> xr.Dataset:
    """Draw outcomes as the priors of a design would have them.

    Parameters
    ----------
    design : Design
        Its predictors, groups and priors; its outcomes are not read beyond the scale of the priors.
    draws : int
        Studies drawn, each with parameters of its own.
    seed : int
        The same seed gives the same draws.

    Returns
    -------
    Dataset
        The outcome over (draw, obs_<outcome>), in its units or 0 and 1; and the coefficients ``b[draw, coef]``.

    Raises
    ------
    DesignError
        If a prior is improper (``flat_positive``), so that nothing can be drawn from it.
    """
    equation = design.equation
    improper = [p.parameter for p in equation.priors.table() if p.distribution.family == "flat_positive"]
    if improper:
        raise DesignError(f"Nothing can be drawn from the flat prior of {quote(improper)}; state a proper one.")
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    outcomes, coefficients = [], []
    for _ in range(draws):
        truth = draw_truth(equation, rng)
        outcomes.append(draw_outcome(equation, truth, rng)[0])
        coefficients.append([truth[f"b[{label}]"] for label in equation.coef_labels])
    dim = obs_dim(equation.outcome)
    return xr.Dataset(
        {equation.outcome: (("draw", dim), np.array(outcomes)), "b": (("draw", "coef"), np.array(coefficients))},
        coords={dim: equation.row, "coef": list(equation.coef_labels)},
    )


def draw_truth(equation: EquationDesign, rng: np.random.Generator) -> dict[str, float]:
    """Draw every parameter from its prior, named as in summaries; the intercept is at predictors of zero."""
    priors = equation.priors
    coefficients = np.array([_draw(prior.distribution, rng) for prior in priors.coef])
    if equation.coef.labels and equation.coef.labels[0] == INTERCEPT:
        coefficients[0] -= coefficients[1:] @ equation.centre[1:]
    truth = {f"b[{label}]": float(value) for label, value in zip(equation.coef_labels, coefficients, strict=True)}
    for group in equation.groups:
        labels = list(equation.effect_labels(group))
        for label, prior in zip(labels, priors.sd[group.factor], strict=True):
            truth[f"{sd_name(group.factor)}[{label}]"] = _draw(prior.distribution, rng)
        correlated = [block for block in group.blocks if len(block.members) > 1]
        for block, prior in zip(correlated, priors.cor.get(group.factor, ()), strict=True):
            matrix = _draw_correlation(prior.distribution.value("eta"), len(block.members), rng)
            for (row, i), (column, j) in combinations(enumerate(block.members), 2):
                truth[correlation_name(group.factor, labels[i], labels[j])] = float(matrix[row, column])
    residual = equation.sigma_coef if priors.sigma else ()
    for label, prior in zip(residual, priors.sigma, strict=True):
        truth[f"sigma[{label}]"] = _draw(prior.distribution, rng)
    return truth


def _draw(prior: Distribution, rng: np.random.Generator) -> float:
    value = prior.value
    match prior.family:
        case "normal":
            return float(rng.normal(value("mu"), value("sigma")))
        case "student_t":
            return float(value("mu") + value("sigma") * rng.standard_t(value("nu")))
        case "half_normal":
            return float(abs(rng.normal(0.0, value("sigma"))))
        case "half_student_t":
            return float(abs(value("sigma") * rng.standard_t(value("nu"))))
        case "exponential":
            return float(rng.exponential(value("mean")))
    raise ValueError(f"nothing can be drawn from {prior}")


def _draw_correlation(eta: float, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a correlation matrix from LKJ(eta) by the onion method (Lewandowski, Kurowicka and Joe 2009, section 3.2).

    Another route than the partial correlations of ``build``, so that the two can be held against each other.
    """
    matrix = np.eye(size)
    beta = eta + (size - 2) / 2
    if size > 1:
        matrix[0, 1] = matrix[1, 0] = 2 * rng.beta(beta, beta) - 1
    for k in range(2, size):
        beta -= 0.5
        direction = rng.normal(size=k)
        point = np.sqrt(rng.beta(k / 2, beta)) * direction / np.linalg.norm(direction)
        matrix[k, :k] = matrix[:k, k] = np.linalg.cholesky(matrix[:k, :k]) @ point
    return matrix
