"""The one builder: every model of the registry goes through it."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.compile.mode import Mode
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.build.groups import Parametrization, build_groups, group_coords
from bayes_alliance.build.means import add_latent, build_measured, measured_coords
from bayes_alliance.build.modelled import build_values, modelled_coords
from bayes_alliance.build.outcomes import build_outcomes, build_parameters
from bayes_alliance.build.parametrization import parametrize
from bayes_alliance.build.priors import build_vector
from bayes_alliance.build.shrinkage import build_shrunk, shrunk_coords
from bayes_alliance.build.steps import step_coords
from bayes_alliance.build.thresholds import build_thresholds, threshold_coords
from bayes_alliance.design.columns.values import LinkedTo
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.predictor import Predictor
from bayes_alliance.errors import FitError
from bayes_alliance.names import (
    COEF,
    INTERCEPT,
    RESIDUAL,
    SIGMA_COEF,
    by_dim,
    coef_dim,
    effect_dim,
    obs_dim,
    second_dim,
    shape_dim,
)
from bayes_alliance.spec.equation_order import sort_modelled
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
        How group effects are written: effect by effect as the data say, or all one way. ``"centred"`` makes
        ``u_<factor>`` free variables, which is what PyMC's predictive functions need to use a Fit's draws.

    Returns
    -------
    pm.Model
        Holds ``b[coef]``, ``sd_<factor>``, ``cor_<factor>``, ``u_<factor>``, ``sigma[sigma_coef]`` and
        ``cor_residual``; every outcome is observed under the study's name for it, over ``obs_<outcome>``.
        ``b_centred`` are the coefficients with the intercept at the predictors' centring constants.

    Raises
    ------
    FitError
        If the design was made from another spec.
    """
    if spec.outcomes != design.spec.outcomes:
        raise FitError("This design was made from another model; make it again with make_design.")
    if parametrization == "chosen":
        design = parametrize(design)
    with pm.Model(coords=model_coords(design)) as model:
        coefficients, vectors = build_coefficients(design, as_data=parametrization == "chosen")
        parts = build_groups(design, coefficients, parametrization)
        levels = build_measured(design)
        values: dict[str, TensorVariable] = {}

        def predict(own: Predictor) -> TensorVariable:
            held = {c.coef for g in own.groups for c in g.carried} if parametrization == "chosen" else set()
            mu = _population(own, coefficients[own.name], vectors, held)
            mu = sum(parts[own.name], start=mu)
            latent = add_latent(own, design, coefficients, levels, values)
            return mu if latent is None else mu + latent

        formulas = {
            (parameter, e.outcome): predict(own) for e in design.equations for parameter, own in e.parameters.items()
        }
        parameters = build_parameters(design, formulas)
        means: dict[str, TensorVariable] = {}
        for outcome in sort_modelled(design.spec):
            equation = next(e for e in design.equations if e.spec.outcome == outcome)
            means[equation.outcome] = predict(equation.mean)
            if equation.modelled is not None:
                values[equation.outcome] = build_values(equation, means[equation.outcome], parameters)
        build_outcomes(design, means, parameters, build_thresholds(design, coefficients))
    if any(isinstance(read, LinkedTo) for equation in design.equations for read in equation.follows):
        _start_near(model)
    return model


def _start_near(model: pm.Model) -> None:
    """State where everything without bounds starts, so that chains start near there (``fit/compilation``).

    Where an equation reads what another implies, the usual noise of one unit in slopes and effects is multiplied by
    sessions and once more by an association: hazards, or what else is read, are astronomical at such a start, and a
    chain may not come back from there.
    """
    for variable in model.free_RVs:
        if model.rvs_to_transforms[variable] is None:
            model.set_initval(variable, "support_point")


def model_coords(design: Design) -> dict[str, list[str] | list[int]]:
    """Return the coords of a design: plain strings, and row positions for the observations."""
    coords: dict[str, list[str] | list[int]] = {
        COEF: [label for own in design.linear_predictors for label in own.coef_labels]
    }
    for equation in design.equations:
        for own in equation.linear_predictors:
            coords[obs_dim(own.name)] = [int(row) for row in equation.row]
            coords[coef_dim(own.name)] = list(own.coef_labels)
            for group in own.groups:
                coords[f"{effect_dim(group.factor)}_{own.name}"] = list(own.effect_labels(group))
    for factor in design.factors:
        coords |= group_coords(factor)
    sigma = [label for e in design.equations if e.kind.spread for label in e.sigma_coef]
    if sigma:
        coords[SIGMA_COEF] = sigma
    for shape in design.priors.shapes:
        coords[shape_dim(shape)] = [e.outcome for e in design.equations if shape in e.shapes]
    coords |= threshold_coords(design)
    if design.residual is not None:
        labels = list(design.residual.labels)
        coords |= {RESIDUAL: labels, second_dim(RESIDUAL): labels}
        if design.residual.by:
            coords[by_dim(RESIDUAL)] = list(design.residual.by)
    return coords | measured_coords(design) | step_coords(design) | modelled_coords(design) | shrunk_coords(design)


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


def build_coefficients(
    design: Design, *, as_data: bool = False
) -> tuple[dict[str, list[TensorVariable]], dict[str, TensorVariable]]:
    """Build ``b``; return each outcome's coefficients, as scalars and as a vector: intercepts at predictors of zero.

    With ``as_data`` the numbers of their priors are data. PyMC's own predictions take a fit's draws of ``b`` as they
    are only where nothing before them is data, so models that are not sampled here go without.
    """
    priors = [prior.distribution for prior in design.priors.coef]
    if not priors:
        return {own.name: [] for own in design.linear_predictors}, {}
    centred = build_vector("b_centred", priors, COEF, given=build_shrunk(design), as_data=as_data)
    coefficients, vectors, start = {}, {}, 0
    for equation in design.linear_predictors:
        size = len(equation.coef.labels)
        own = centred[start : start + size]
        rest = [centred[start + i] for i in range(1, size)]
        if size and equation.coef.labels[0] == INTERCEPT and rest:
            # a container, so that studies with other constants share the compiled model
            constants = pm.Data(f"centre_{equation.name}", equation.centre, dims=coef_dim(equation.name))
            first = centred[start] - (own[1:] * constants[1:]).sum()
            vectors[equation.name] = pt.concatenate([first[None], own[1:]])
            coefficients[equation.name] = [first, *rest]
        else:
            vectors[equation.name] = own
            coefficients[equation.name] = [centred[start + i] for i in range(size)]
        start += size
    pieces = list(vectors.values())
    pm.Deterministic("b", pt.concatenate(pieces) if len(pieces) > 1 else pieces[0], dims=COEF)
    return coefficients, vectors


def _population(
    equation: Predictor,
    coefficients: list[TensorVariable],
    vectors: dict[str, TensorVariable],
    carried: set[int],
) -> TensorVariable:
    """Return what the coefficients that no group effect carries add to the linear predictor."""
    if not coefficients:
        return pt.zeros(())
    rows = np.ascontiguousarray(equation.coef.values.T)
    dims = (coef_dim(equation.name), obs_dim(equation.name))
    predictors = pm.Data(f"predictors_{equation.name}", rows, dims=dims)
    kept = [i for i in range(len(coefficients)) if i not in carried]
    if len(kept) > MANY or (kept and rows.size > WIDE):
        # one vector, not as many scalars as there are predictors: half the time to compile
        vector = vectors[equation.name]
        whole = vector * np.isin(np.arange(len(coefficients)), kept) if carried else vector
        return pt.dot(whole, predictors) if rows.size > WIDE else (predictors * whole[:, None]).sum(axis=0)
    parts = [c if equation.coef.labels[i] == INTERCEPT else predictors[i] * c for i, c in enumerate(coefficients)]
    return sum((parts[i] for i in kept), start=pt.zeros(()))
