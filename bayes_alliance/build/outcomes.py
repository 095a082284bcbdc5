"""Outcomes given their linear predictors: parameters of families, residuals that correlate within a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.build.outcome.gaussian import observe_normal
from bayes_alliance.build.outcome.given import Given
from bayes_alliance.build.outcome.observe import observe
from bayes_alliance.build.priors import build_correlation, build_partial, build_vector
from bayes_alliance.build.visits import observe_visits
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.residual import Beside, ResidualDesign, Residuals
from bayes_alliance.design.equations.visits import VisitResiduals
from bayes_alliance.names import RESIDUAL, SIGMA_COEF, by_dim, cor_name, obs_dim, second_dim, shape_dim

type Matrix = Sequence[Sequence[TensorVariable]]


def build_outcomes(
    design: Design,
    means: Mapping[str, TensorVariable],
    parameters: Mapping[tuple[str, str], TensorVariable],
    cuts: Mapping[str, Sequence[TensorVariable]],
) -> None:
    """Observe every outcome around its linear predictor; those with modelled values are observed with these.

    Outcomes whose residuals correlate are written one after the other, each given those of its row before it: the
    product is the multivariate normal density of what a row has, whatever it lacks.

    Parameters
    ----------
    design : Design
        Says families and which residuals correlate.
    means : mapping of str to TensorVariable
        Linear predictor per outcome, shape (obs,) or a scalar.
    parameters : mapping
        Parameters by name and outcome, each a scalar or of shape (obs,).
    cuts : mapping of str to sequence of TensorVariable
        Thresholds per outcome.
    """
    residual = design.residual
    joint = residual.outcomes if residual is not None else ()
    for equation in design.equations:
        outcome = equation.outcome
        if outcome in joint or equation.modelled is not None:
            continue
        own = {name: value for (name, owner), value in parameters.items() if owner == outcome}
        observe(equation, Given(means[outcome], own, cuts.get(outcome, ())))
    if residual is None:
        return
    spreads = {outcome: parameters["sigma", outcome] for outcome in joint}
    correlations = _correlations(design, residual)
    if isinstance(residual, VisitResiduals):
        (outcome,) = joint
        observe_visits(design.find(outcome), residual, correlations, means[outcome], spreads[outcome])
    else:
        _build_joint(design, residual, correlations, means, spreads)


def build_parameters(
    design: Design, formulas: Mapping[tuple[str, str], TensorVariable]
) -> dict[tuple[str, str], TensorVariable]:
    """Build the parameters of families and return them by name and outcome, each a scalar or of shape (obs,).

    ``formulas`` are the linear predictors of those that have a formula.
    """
    found: dict[tuple[str, str], TensorVariable] = {}
    for equation in design.equations:
        for parameter in equation.kind.parameters:
            own = formulas.get((parameter.name, equation.outcome))
            if own is not None:
                found[parameter.name, equation.outcome] = pt.exp(own) if parameter.link == "log" else pt.sigmoid(own)
    return found | _build_spreads(design) | _build_shapes(design)


def _build_spreads(design: Design) -> dict[tuple[str, str], TensorVariable]:
    """Build ``sigma`` and return residual SDs, each a scalar or of shape (obs,)."""
    spreads: dict[tuple[str, str], TensorVariable] = {}
    if not design.priors.sigma:
        return spreads
    sigma = build_vector("sigma", [prior.distribution for prior in design.priors.sigma], SIGMA_COEF)
    start = 0
    for equation in design.equations:
        if not equation.sigma_coef or not equation.kind.spread:
            continue
        size = len(equation.sigma_coef)
        own = sigma[start]
        if size > 1:
            code = pm.Data(f"sigma_code_{equation.outcome}", equation.sigma_code, dims=obs_dim(equation.outcome))
            own = sigma[start : start + size][code]
        spreads["sigma", equation.outcome] = own
        start += size
    return spreads


def _build_shapes(design: Design) -> dict[tuple[str, str], TensorVariable]:
    """Build further parameters that outcomes have one of, each a scalar."""
    found: dict[tuple[str, str], TensorVariable] = {}
    for shape, priors in design.priors.shapes.items():
        distributions = [prior.distribution for prior in priors]
        if shape == "ar":
            vector = build_partial(shape, distributions, shape_dim(shape))
        else:
            vector = build_vector(shape, distributions, shape_dim(shape))
        having = [equation.outcome for equation in design.equations if shape in equation.shapes]
        found |= {(shape, outcome): vector[i] for i, outcome in enumerate(having)}
    return found


def _build_joint(
    design: Design,
    residual: ResidualDesign,
    correlations: Sequence[Matrix],
    means: Mapping[str, TensorVariable],
    spreads: Mapping[str, TensorVariable],
) -> None:
    standard: list[TensorVariable] = []
    for number, outcome in enumerate(residual.outcomes):
        equation = design.find(outcome)
        mean, spread = means[outcome], spreads[outcome]
        beside = residual.beside[outcome]
        shift, scale = _given_earlier(equation, number, beside, correlations, standard)
        drawn = observe_normal(equation, mean + spread * shift, spread * scale)
        standard.append((drawn - mean) / spread)


def _correlations(design: Design, residual: Residuals) -> list[Matrix]:
    """Build one correlation matrix per stratum and register them; return their entries."""
    size = len(residual.labels)
    name = cor_name(RESIDUAL)
    matrices = []
    for number in range(max(len(residual.by), 1)):
        if residual.fixed is not None:
            matrices.append(pt.as_tensor(residual.fixed))
            continue
        prior = design.priors.cor[RESIDUAL][0].distribution
        matrix, _ = build_correlation(f"{name}_{number + 1}" if residual.by else name, prior, size)
        matrices.append(matrix)
    square = (RESIDUAL, second_dim(RESIDUAL))
    if residual.by:
        pm.Deterministic(name, pt.stack(matrices), dims=(by_dim(RESIDUAL), *square))
    else:
        pm.Deterministic(name, matrices[0], dims=square)
    return [[[matrix[i, j] for j in range(size)] for i in range(size)] for matrix in matrices]


def _given_earlier(
    equation: EquationDesign,
    number: int,
    beside: Beside,
    correlations: Sequence[Matrix],
    standard: Sequence[TensorVariable],
) -> tuple[TensorVariable, TensorVariable]:
    """Return mean and SD of an outcome's standardised residual given those before it, each a scalar or (obs,)."""
    if number == 0:
        return pt.zeros(()), pt.ones(())
    weights, scales = [], []
    for matrix in correlations:
        for pattern in beside.patterns:
            regression, scale = _regress(matrix, number, pattern)
            row = dict(zip(pattern, regression, strict=True))
            weights.append(pt.stack([row.get(i, pt.zeros(())) for i in range(number)]))
            scales.append(scale)
    dim = obs_dim(equation.outcome)
    table, spread = pt.stack(weights), pt.stack(scales)
    codes = beside.stratum * len(beside.patterns) + beside.pattern
    code = pm.Data(f"beside_{equation.outcome}", codes, dims=dim)
    shift: TensorVariable = pt.zeros(())
    for earlier in range(number):
        place = pm.Data(f"beside_{equation.outcome}_{earlier + 1}", beside.places[earlier], dims=dim)
        shift = shift + table[code, earlier] * standard[earlier][place]
    return shift, spread[code]


def _regress(matrix: Matrix, number: int, given: Sequence[int]) -> tuple[list[TensorVariable], TensorVariable]:
    """Return the regression weights of one variable on others under a correlation matrix, and the SD left.

    Written out by Cholesky factor and back substitution: with two or three outcomes a few products.
    """
    order = [*given, number]
    lower: list[list[TensorVariable]] = []
    for i, one in enumerate(order):
        row: list[TensorVariable] = []
        for j, two in enumerate(order[: i + 1]):
            before = row if i == j else lower[j]
            left = matrix[one][two] - sum((row[k] * before[k] for k in range(j)), start=pt.zeros(()))
            row.append(pt.sqrt(left) if i == j else left / lower[j][j])
        lower.append(row)
    last, size = lower[-1], len(given)
    weights: list[TensorVariable] = [pt.zeros(())] * size
    for i in reversed(range(size)):
        rest = sum((lower[k][i] * weights[k] for k in range(i + 1, size)), start=pt.zeros(()))
        weights[i] = (last[i] - rest) / lower[i][i]
    return weights, last[size]
