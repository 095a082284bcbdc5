"""Group effects and outcomes of one equation, drawn from a stated truth."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import xarray as xr

from bayes_alliance.design.design import EquationDesign
from bayes_alliance.design.groups import GroupDesign
from bayes_alliance.errors import SpecError
from bayes_alliance.names import effect_dim, effects_name, factor_key, sd_name
from bayes_alliance.simulate.truth import correlation_name


def draw_outcome(
    equation: EquationDesign, truth: Mapping[str, float], rng: np.random.Generator
) -> tuple[np.ndarray, xr.Dataset]:
    """Draw group effects and the outcome of every row of an equation.

    Parameters
    ----------
    equation : EquationDesign
        Coded predictors and groups; its outcome is not read.
    truth : mapping of str to float
        Checked by ``check_truth``.
    rng : Generator
        Draws levels in the order of the design, so permuting rows of the table changes nothing.

    Returns
    -------
    outcome : ndarray, shape (obs,)
        In outcome units, or 0 and 1.
    effects : Dataset
        ``u_<factor>[<factor>, <factor>_effect]``, as in posteriors.
    """
    coefficients = np.array([truth[f"b[{label}]"] for label in equation.coef_labels])
    linear = equation.coef.values @ coefficients
    effects = {}
    for group in equation.groups:
        drawn = _draw_effects(equation, group, truth, rng)
        linear = linear + (drawn[group.code] * group.values).sum(axis=1)
        dims = (factor_key(group.factor), effect_dim(group.factor))
        labels = list(equation.effect_labels(group))
        coords = {dims[0]: list(group.levels), dims[1]: labels}
        effects[effects_name(group.factor)] = xr.DataArray(drawn, coords=coords, dims=dims)
    if equation.family == "bernoulli":
        outcome = (rng.random(len(linear)) < 1 / (1 + np.exp(-linear))).astype(float)
    else:
        sigma = np.array([truth[f"sigma[{label}]"] for label in equation.sigma_coef])
        outcome = linear + sigma[equation.sigma_code] * rng.normal(size=len(linear))
    return outcome, xr.Dataset(effects)


def _draw_effects(
    equation: EquationDesign, group: GroupDesign, truth: Mapping[str, float], rng: np.random.Generator
) -> np.ndarray:
    """Draw the effects of every level, shape (level, effect).

    Raises
    ------
    SpecError
        If the correlations stated together are those of no distribution.
    """
    labels = list(equation.effect_labels(group))
    sd = np.array([truth[f"{sd_name(group.factor)}[{label}]"] for label in labels])
    correlation = np.eye(len(labels))
    for block in group.blocks:
        for i, j in combinations(block.members, 2):
            stated = truth[correlation_name(group.factor, labels[i], labels[j])]
            correlation[i, j] = correlation[j, i] = stated
    values, vectors = np.linalg.eigh(correlation)
    if values.min() < -1e-9:
        raise SpecError(
            f"truth: the correlations of {group.factor} contradict each other (least eigenvalue {values.min():.3f}); "
            f"bring them closer to 0."
        )
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    return np.asarray(rng.normal(size=(len(group.levels), len(labels))) @ root.T * sd)
