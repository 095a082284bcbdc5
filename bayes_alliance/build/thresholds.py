"""Thresholds of outcomes with categories, from the shares of the categories at average predictors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.build.outcome.curves import curve_of
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.names import INTERCEPT, THRESHOLD_COEF, category_dim, coef_dim, share_name


def build_thresholds(
    design: Design, coefficients: Mapping[str, Sequence[TensorVariable]]
) -> dict[str, list[TensorVariable]]:
    """Build ``threshold`` and return every outcome's thresholds, lowest first, each a scalar.

    The shares of the categories at predictors at their centring constants have the prior (Betancourt 2019, "Ordinal
    regression": an induced Dirichlet); a threshold is the logit or probit of the share below it, moved from there to
    predictors of zero.
    """
    found: dict[str, list[TensorVariable]] = {}
    for equation in design.equations:
        if not equation.kind.thresholds:
            continue
        dim = category_dim(equation.outcome)
        alpha = design.priors.shares[equation.outcome].distribution.value("alpha")
        shares = pm.Dirichlet(share_name(equation.outcome), np.full(len(equation.scale.categories), alpha), dims=dim)
        count = len(equation.scale.thresholds)
        below = [shares[: i + 1].sum() for i in range(count)]
        beyond = [shares[i + 1 :].sum() for i in range(count)]
        centre = _centre(equation, coefficients[equation.outcome])
        curve = curve_of(equation.kind.link)
        found[equation.outcome] = [curve.quantile(low, high) + centre for low, high in zip(below, beyond, strict=True)]
    if found:
        whole = pt.stack([threshold for own in found.values() for threshold in own])
        pm.Deterministic("threshold", whole, dims=THRESHOLD_COEF)
    return found


def _centre(equation: EquationDesign, coefficients: Sequence[TensorVariable]) -> TensorVariable:
    """Return the linear predictor at the centring constants."""
    first: TensorVariable = pt.zeros(())
    rest = list(coefficients)
    if equation.kind.intercept and equation.coef.labels[:1] == (INTERCEPT,):
        first, *rest = rest
    if not rest:
        return first
    name = f"centre_{equation.outcome}"
    known = pm.modelcontext(None).named_vars
    constants = known[name] if name in known else pm.Data(name, equation.centre, dims=coef_dim(equation.outcome))
    start = len(coefficients) - len(rest)
    return first + sum((constants[start + i] * one for i, one in enumerate(rest)), start=pt.zeros(()))


def threshold_coords(design: Design) -> dict[str, list[str]]:
    """Return the coords of thresholds and of the categories they lie between."""
    having = [equation for equation in design.equations if equation.kind.thresholds]
    coords = {category_dim(equation.outcome): list(equation.scale.categories) for equation in having}
    if having:
        coords[THRESHOLD_COEF] = [label for equation in having for label in equation.threshold_labels]
    return coords
