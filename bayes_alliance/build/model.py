"""The one builder: every model of the registry goes through it."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.compile.mode import Mode
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.build.groups import Parametrization, build_groups
from bayes_alliance.build.priors import build_vector
from bayes_alliance.design.design import Design, EquationDesign
from bayes_alliance.errors import FitError
from bayes_alliance.names import COEF, INTERCEPT, SIGMA_COEF, effect_dim, factor_key, obs_dim, second_dim
from bayes_alliance.spec.model import ModelSpec

CHECKED = Mode(linker="py", optimizer="fast_compile")
"""PyTensor's plain Python mode: NumPy checks every index, and no compiler is needed."""

WIDE = 500_000
"""Cells of a matrix of predictors above which BLAS is worth its compilation: a minute with cold caches."""

MANY = 12
"""Predictors up to which each is a term of its own, fused with the likelihood into one loop over rows."""


def build_model(spec: ModelSpec, design: Design, *, parametrization: Parametrization = "chosen") -> pm.Model:
    """Build the PyMC model of a design.

    Parameters
    ----------
    spec : ModelSpec
        The model; what of it holds for this study is in ``design.spec``.
    design : Design
        Made from the same spec.
    parametrization : {"chosen", "centred", "non-centred"}
        How group effects are written: as the design chose from the data, or all one way. ``"centred"`` makes
        ``u_<factor>`` free variables, which is what PyMC's predictive functions need to use a Fit's draws.

    Returns
    -------
    pm.Model
        Holds ``b[coef]``, ``sd_<factor>``, ``cor_<factor>``, ``u_<factor>``,
        ``sigma[sigma_coef]``; the outcome is observed under the study's name for it, over ``obs_<outcome>``.
        ``b_centred`` are the coefficients with the intercept at the predictors' centring constants.

    Raises
    ------
    FitError
        If the design was made from another spec.
    """
    if [e.outcome for e in spec.equation] != [e.outcome for e in design.spec.equation]:
        raise FitError("This design was made from another model; make it again with make_design.")
    equation = design.equation
    with pm.Model(coords=model_coords(equation)) as model:
        coefficients = build_coefficients(equation)
        carried = parametrization == "chosen"
        mu = _population(
            equation, coefficients, {c.coef for g in equation.groups for c in g.carried} if carried else set()
        )
        for part in build_groups(equation, coefficients, parametrization):
            mu = mu + part
        _likelihood(equation, mu)
    return model


def model_coords(equation: EquationDesign) -> dict[str, list[str] | list[int]]:
    """Return the coords of an equation: plain strings, and row positions for the observations."""
    coords: dict[str, list[str] | list[int]] = {
        COEF: list(equation.coef_labels),
        obs_dim(equation.outcome): [int(row) for row in equation.row],
    }
    for group in equation.groups:
        dim = effect_dim(group.factor)
        labels = list(equation.effect_labels(group))
        coords |= {factor_key(group.factor): list(group.levels), dim: labels, second_dim(dim): labels}
    if equation.family == "gaussian":
        coords[SIGMA_COEF] = list(equation.sigma_coef)
    return coords


def check_log_density(model: pm.Model) -> float:
    """Evaluate the log-density once in a mode that checks array bounds, and return it.

    Raises
    ------
    FitError
        If it is not finite at the starting point; the terms that are not are named.
    """
    point = model.initial_point()
    value = float(model.compile_logp(mode=CHECKED)(point))
    if not np.isfinite(value):
        terms = _term_densities(model, point)
        bad = [f"{name} ({term})" for name, term in terms.items() if not np.isfinite(term)]
        raise FitError(f"The log-density is not finite at the starting point, because of: {', '.join(bad)}.")
    return value


def _term_densities(model: pm.Model, point: dict[str, np.ndarray]) -> dict[str, float]:
    variables = [*model.free_RVs, *model.observed_RVs, *model.potentials]
    values = model.compile_logp(vars=variables, sum=False, mode=CHECKED)(point)
    return {variable.name: float(np.sum(value)) for variable, value in zip(variables, values, strict=True)}


def build_coefficients(equation: EquationDesign) -> list[TensorVariable]:
    """Build ``b`` and return each coefficient as a scalar, the intercept at predictors of zero."""
    if not equation.coef.labels:
        return []
    centred = build_vector("b_centred", [prior.distribution for prior in equation.priors.coef], COEF)
    rest = [centred[i] for i in range(1, len(equation.coef.labels))]
    if equation.coef.labels[0] != INTERCEPT or not rest:
        pm.Deterministic("b", centred, dims=COEF)
        return [centred[0], *rest]
    start = centred[0] - (centred[1:] * equation.centre[1:]).sum()
    pm.Deterministic("b", pt.concatenate([start[None], centred[1:]]), dims=COEF)
    return [start, *rest]


def _population(equation: EquationDesign, coefficients: list[TensorVariable], carried: set[int]) -> TensorVariable:
    """Return what the coefficients that no group effect carries add to the linear predictor."""
    if not coefficients:
        return pt.zeros(())
    rows = np.ascontiguousarray(equation.coef.values.T)
    predictors = pm.Data(f"predictors_{equation.outcome}", rows, dims=(COEF, obs_dim(equation.outcome)))
    kept = [i for i in range(len(coefficients)) if i not in carried]
    if len(kept) > MANY or (kept and rows.size > WIDE):
        whole = pt.stack([coefficients[i] if i in kept else pt.zeros(()) for i in range(len(coefficients))])
        return pt.dot(whole, predictors) if rows.size > WIDE else (predictors * whole[:, None]).sum(axis=0)
    parts = [c if equation.coef.labels[i] == INTERCEPT else predictors[i] * c for i, c in enumerate(coefficients)]
    return sum((parts[i] for i in kept), start=pt.zeros(()))


def _likelihood(equation: EquationDesign, mu: TensorVariable) -> None:
    dim = obs_dim(equation.outcome)
    integer = equation.family == "bernoulli"
    observed = pm.Data(f"observed_{equation.outcome}", equation.y.astype(np.int64) if integer else equation.y, dims=dim)
    match equation.family:
        case "gaussian":
            sigma = build_vector("sigma", [prior.distribution for prior in equation.priors.sigma], SIGMA_COEF)
            spread = sigma[0]
            if len(equation.sigma_coef) > 1:
                spread = sigma[pm.Data(f"sigma_code_{equation.outcome}", equation.sigma_code, dims=dim)]
            pm.Normal(equation.outcome, mu, spread, observed=observed, dims=dim)
        case "bernoulli":
            pm.Bernoulli(equation.outcome, logit_p=mu, observed=observed, dims=dim)
