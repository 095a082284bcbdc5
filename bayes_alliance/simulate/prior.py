"""What the priors claim before any outcome is seen: parameters and outcomes drawn from them, in plain NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import numpy as np
import xarray as xr

from bayes_alliance._messages import quote
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.latent_columns import FollowSteps
from bayes_alliance.design.priors.shrinkage import Shrunk
from bayes_alliance.errors import DesignError
from bayes_alliance.names import (
    COEF,
    INTERCEPT,
    RESIDUAL,
    SIGMA_COEF,
    THRESHOLD_COEF,
    by_dim,
    cor_name,
    effect_dim,
    global_name,
    obs_dim,
    sd_name,
    second_dim,
    shape_dim,
    slab_name,
)
from bayes_alliance.outcome.curves import curve_of
from bayes_alliance.simulate.outcome import draw_outcomes
from bayes_alliance.simulate.truth import correlation_name, entry_of
from bayes_alliance.spec.priors import Distribution


def predict_prior(design: Design, *, draws: int = 200, seed: int) -> xr.Dataset:
    """Draw outcomes as the priors of a design would have them.

    Parameters
    ----------
    design : Design
        Its predictors, groups and priors; its outcomes are read where they predict others, and for the scale of the
        priors. Latent means stay at the observed ones.
    draws : int
        Studies drawn, each with parameters of its own.
    seed : int
        The same seed gives the same draws.

    Returns
    -------
    Dataset
        Each outcome over (draw, obs_<outcome>), in its units or 0 and 1; and the coefficients ``b[draw, coef]``.

    Raises
    ------
    DesignError
        If a prior is improper (``flat_positive``), so that nothing can be drawn from it.
    """
    check_proper(design)
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    labels = [label for own in design.linear_predictors for label in own.coef_labels]
    outcomes: dict[str, list[np.ndarray]] = {equation.outcome: [] for equation in design.equations}
    coefficients = []
    for _ in range(draws):
        truth = draw_truth(design, rng)
        for outcome, drawn in draw_outcomes(design, truth, rng)[0].items():
            outcomes[outcome].append(drawn)
        coefficients.append([truth[f"b[{label}]"] for label in labels])
    data = {outcome: (("draw", obs_dim(outcome)), np.array(drawn)) for outcome, drawn in outcomes.items()}
    return xr.Dataset(
        {**data, "b": (("draw", COEF), np.array(coefficients))},
        coords={**{obs_dim(e.outcome): e.row for e in design.equations}, COEF: labels},
    )


def draw_parameters(design: Design, *, draws: int, seed: int) -> xr.Dataset:
    """Draw parameters from their priors, in the form a posterior has: over (chain, draw, …), one chain.

    Raises
    ------
    DesignError
        If a prior is improper.
    """
    check_proper(design)
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    truths = [draw_truth(design, rng) for _ in range(draws)]

    def column(name: str) -> np.ndarray:
        return np.array([truth[name] for truth in truths])

    data: dict[str, xr.DataArray] = {}

    def put(variable: str, dims: tuple[str, ...], coords: dict[str, list[str]], values: np.ndarray) -> None:
        whole = {dim: coords[dim] for dim in dims}
        data[variable] = xr.DataArray(values[None], dims=("chain", "draw", *dims), coords=whole)

    labels = [label for own in design.linear_predictors for label in own.coef_labels]
    if labels:
        put("b", (COEF,), {COEF: labels}, np.column_stack([column(f"b[{label}]") for label in labels]))
    for factor in design.factors:
        blocks = [block.members for block in factor.blocks]
        by = None if factor.by is None else factor.by.labels
        _put_covariance(put, column, factor.factor, list(factor.effects), blocks, by, effect_dim(factor.factor))
    sigma = [label for e in design.equations if e.kind.spread for label in e.sigma_coef]
    if sigma:
        put("sigma", (SIGMA_COEF,), {SIGMA_COEF: sigma}, np.column_stack([column(f"sigma[{s}]") for s in sigma]))
    thresholds = [label for e in design.equations for label in e.threshold_labels]
    if thresholds:
        values = np.column_stack([column(f"threshold[{label}]") for label in thresholds])
        put("threshold", (THRESHOLD_COEF,), {THRESHOLD_COEF: thresholds}, values)
    for shape in design.priors.shapes:
        having = [e.outcome for e in design.equations if shape in e.shapes]
        put(
            shape,
            (shape_dim(shape),),
            {shape_dim(shape): having},
            np.column_stack([column(f"{shape}[{o}]") for o in having]),
        )
    for e in design.equations:
        for follow in e.follows.values():
            if isinstance(follow, FollowSteps):
                dim, steps = f"{follow.name}_steps", list(follow.steps)
                drawn = np.column_stack([column(entry_of(follow.name, step)) for step in steps])
                put(follow.name, (dim,), {dim: steps}, drawn)
    return xr.Dataset(data)


def _put_covariance(
    put: Callable[..., None],
    column: Callable[[str], np.ndarray],
    factor: str,
    effects: list[str],
    blocks: Sequence[Sequence[int]],
    by: tuple[str, ...] | None,
    dim: str,
) -> None:
    """Put a factor's SDs and correlations together from their entries."""
    strata = by or ("",)
    sds = np.stack([np.column_stack([column(entry_of(sd_name(factor), s, e)) for e in effects]) for s in strata], 1)
    draws, size = sds.shape[0], len(effects)
    cors = np.tile(np.eye(size), (draws, len(strata), 1, 1))
    correlated = False
    for number, stratum in enumerate(strata):
        for i, j in (pair for block in blocks for pair in combinations(block, 2)):
            drawn = column(correlation_name(factor, stratum, effects[i], effects[j]))
            cors[:, number, i, j] = cors[:, number, j, i] = drawn
            correlated = True
    coords = {dim: effects, second_dim(dim): effects, by_dim(factor): list(strata)}
    lead = () if by is None else (by_dim(factor),)
    put(sd_name(factor), (*lead, dim), coords, sds if by else sds[:, 0])
    if correlated:
        put(cor_name(factor), (*lead, dim, second_dim(dim)), coords, cors if by else cors[:, 0])


def check_proper(design: Design) -> None:
    """Raise unless every prior can be drawn from.

    Raises
    ------
    DesignError
        If one is flat.
    """
    improper = [p.parameter for p in design.priors.table() if p.distribution.family == "flat_positive"]
    if improper:
        raise DesignError(f"Nothing can be drawn from the flat prior of {quote(improper)}; state a proper one.")


def draw_truth(design: Design, rng: np.random.Generator) -> dict[str, float]:
    """Draw every parameter from its prior, named as in summaries; intercepts are at predictors of zero."""
    priors = design.priors
    truth: dict[str, float] = {}
    shared = _draw_shrunk(priors.shrunk, truth, rng)
    start = 0
    for part in design.linear_predictors:
        labels = part.coef_labels
        own = priors.coef[start : start + len(labels)]
        coefficients = np.array(
            [shared[start + i] if start + i in shared else _draw(p.distribution, rng) for i, p in enumerate(own)]
        )
        start += len(labels)
        if labels and part.coef.labels[0] == INTERCEPT:
            coefficients[0] -= coefficients[1:] @ part.centre[1:]
        truth |= {f"b[{label}]": float(value) for label, value in zip(labels, coefficients, strict=True)}
    for factor in design.factors:
        correlated = [block for block in factor.blocks if len(block.members) > 1]
        for stratum in ("",) if factor.by is None else factor.by.labels:
            for label, prior in zip(factor.effects, priors.sd[factor.factor], strict=True):
                truth[entry_of(sd_name(factor.factor), stratum, label)] = _draw(prior.distribution, rng)
            for block, prior in zip(correlated, priors.cor.get(factor.factor, ()), strict=True):
                effects = [factor.effects[member] for member in block.members]
                truth |= _correlations(factor.factor, stratum, effects, prior.distribution, rng)
    labels = tuple(label for e in design.equations if e.kind.spread for label in e.sigma_coef)
    for label, prior in zip(labels, priors.sigma, strict=True):
        truth[f"sigma[{label}]"] = _draw(prior.distribution, rng)
    for equation in design.equations:
        if equation.kind.thresholds:
            truth |= _thresholds(equation, priors.shares[equation.outcome].distribution, truth, rng)
    for shapes in priors.shapes.values():
        truth |= {prior.parameter: _draw(prior.distribution, rng) for prior in shapes}
    for e in design.equations:
        for follow in e.follows.values():
            if isinstance(follow, FollowSteps):
                shares = rng.dirichlet(
                    np.full(len(follow.steps), priors.steps[follow.name].distribution.value("alpha"))
                )
                truth |= {entry_of(follow.name, step): float(s) for step, s in zip(follow.steps, shares, strict=True)}
    if design.residual is not None and design.residual.fixed is None:
        labels, prior = design.residual.labels, priors.cor[RESIDUAL][0]
        for stratum in design.residual.by or ("",):
            truth |= _correlations(RESIDUAL, stratum, labels, prior.distribution, rng)
    return truth


def _draw_shrunk(groups: Sequence[Shrunk], truth: dict[str, float], rng: np.random.Generator) -> dict[int, float]:
    """Draw coefficients that share a prior, by place; what they have in common is noted in the truth."""
    found: dict[int, float] = {}
    for group in groups:
        value, size = group.distribution.value, len(group.labels)
        if group.distribution.family == "horseshoe":
            whole = group.tau * abs(rng.standard_cauchy())
            own = np.abs(rng.standard_cauchy(size))
            slab = np.sqrt(value("slab_df") * value("slab") ** 2 / rng.chisquare(value("slab_df")))
            truth[slab_name(group.name)] = float(slab)
            spread = whole * own * slab / np.sqrt(slab**2 + whole**2 * own**2)
        else:
            whole = rng.beta(value("mean") * value("precision"), (1 - value("mean")) * value("precision"))
            spread = np.sqrt(whole * rng.dirichlet(np.full(size, value("concentration"))))
        truth[global_name(group.name)] = float(whole)
        standard = rng.normal(0.0, spread)
        for line, weights in zip(group.places, group.weights, strict=True):
            for place, part in zip(line, weights * standard, strict=True):
                found[int(place)] = found.get(int(place), 0.0) + float(part)
    return found


def _thresholds(
    equation: EquationDesign, prior: Distribution, truth: Mapping[str, float], rng: np.random.Generator
) -> dict[str, float]:
    """Draw the shares of the categories at average predictors, and return the thresholds that give them."""
    shares = rng.dirichlet(np.full(len(equation.scale.categories), prior.value("alpha")))
    below = np.clip(np.cumsum(shares)[:-1], 1e-12, 1 - 1e-12)
    found = curve_of(equation.kind.link).quantile(below) + at_centre(equation, truth)
    return {f"threshold[{label}]": float(value) for label, value in zip(equation.threshold_labels, found, strict=True)}


def at_centre(equation: EquationDesign, truth: Mapping[str, float]) -> float:
    """Return the linear predictor of an average patient at the centring constants."""
    coefficients = np.array([truth[f"b[{label}]"] for label in equation.coef_labels])
    constants = np.where([label == INTERCEPT for label in equation.coef.labels], 1.0, equation.centre)
    return float(coefficients @ constants)


def _correlations(
    factor: str, stratum: str, labels: Sequence[str], prior: Distribution, rng: np.random.Generator
) -> dict[str, float]:
    if prior.family == "equal":
        matrix = np.full((len(labels), len(labels)), prior.value("correlation"))
    else:
        matrix = _draw_correlation(prior.value("eta"), len(labels), rng)
    return {
        correlation_name(factor, stratum, labels[i], labels[j]): float(matrix[i, j])
        for i, j in combinations(range(len(labels)), 2)
    }


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
        case "lognormal":
            return float(value("median") * np.exp(rng.normal(0.0, value("spread"))))
        case "beta":
            return float(rng.beta(value("alpha"), value("beta")))
        case "lkj":
            return float(2 * rng.beta(value("eta"), value("eta")) - 1)
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
