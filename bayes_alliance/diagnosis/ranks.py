"""Ranks of a study's truths among the draws of its posterior."""

from __future__ import annotations

import numpy as np
import xarray as xr

from bayes_alliance._messages import first_few
from bayes_alliance.design.design import Design
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.linear import stack_draws
from bayes_alliance.expectation.outcomes import row_densities
from bayes_alliance.fit.checks import entry_name
from bayes_alliance.names import COEF, RESIDUAL, SIGMA_COEF, THRESHOLD_COEF, by_dim, cor_name, second_dim, shape_dim
from bayes_alliance.simulate.outcome import residual_correlations
from bayes_alliance.simulate.studies import SimulatedStudy

KEPT = 99
"""Draws of each posterior that a truth is ranked among, evenly spaced over its chains: 100 possible ranks."""

LOG_LIKELIHOOD = "log-likelihood"
"""Name of the extra quantity: it reads the data, and so sees faults that leave every parameter's ranks alone."""

type Ranked = tuple[tuple[str, ...], np.ndarray, np.ndarray]
"""Quantities, ranks of their truths, shares of draws below them."""


def rank_study(study: SimulatedStudy, posterior: xr.Dataset) -> Ranked:
    """Return quantities, the ranks of their truths among kept draws, and the share of all draws below them."""
    flat = stack_draws(posterior)
    size = flat.sizes["sample"]
    kept = np.linspace(0, size - 1, KEPT).astype(int)
    names, ranks, levels = [], [], []
    for variable in flat.data_vars:
        array = flat[variable]
        for index in np.ndindex(array.shape[1:]):
            name = entry_name(str(variable), array.isel(sample=0), index)
            if name in study.truth:
                values = array.values[(slice(None), *index)]
                names.append(name)
                ranks.append(int((values[kept] < study.truth[name]).sum()))
                levels.append(float((values < study.truth[name]).mean()))
    lacking = sorted(set(study.truth) - set(names))
    if lacking:
        raise FitError(f"The posterior has no {first_few(lacking)}.")
    true = log_likelihood(study.design, _as_draw(study))[0]
    values = log_likelihood(study.design, flat.isel(sample=kept))
    names.append(LOG_LIKELIHOOD)
    ranks.append(int((values < true).sum()))
    levels.append(float((values < true).mean()))
    return tuple(names), np.array(ranks), np.array(levels)


def log_likelihood(design: Design, draws: xr.Dataset) -> np.ndarray:
    """Return the log-likelihood of all rows given coefficients, effects and residual SDs, shape (sample,).

    Residuals that correlate are taken one by one, and observed means in place of latent ones: the quantity serves for
    ranks whatever it leaves out.
    """
    return np.asarray(sum(rows.sum(axis=1) for rows in row_densities(design, draws, latent=False).values()))


def _as_draw(study: SimulatedStudy) -> xr.Dataset:
    """Return a truth as the one draw of a posterior."""
    labels = [label for own in study.design.linear_predictors for label in own.coef_labels]
    sigma = [label for e in study.design.equations if e.kind.spread for label in e.sigma_coef]
    data = {"b": ((COEF,), np.array([study.truth[f"b[{label}]"] for label in labels]))}
    if sigma:
        data["sigma"] = ((SIGMA_COEF,), np.array([study.truth[f"sigma[{label}]"] for label in sigma]))
    coords = {COEF: labels} | ({SIGMA_COEF: sigma} if sigma else {})
    thresholds = [label for e in study.design.equations for label in e.threshold_labels]
    if thresholds:
        coords[THRESHOLD_COEF] = thresholds
        data["threshold"] = ((THRESHOLD_COEF,), np.array([study.truth[f"threshold[{label}]"] for label in thresholds]))
    for shape in study.design.priors.shapes:
        dim = shape_dim(shape)
        coords[dim] = [e.outcome for e in study.design.equations if shape in e.shapes]
        data[shape] = ((dim,), np.array([study.truth[f"{shape}[{outcome}]"] for outcome in coords[dim]]))
    whole = xr.Dataset(data, coords=coords)
    residual = study.design.residual
    if residual is not None:
        over = (by_dim(RESIDUAL), RESIDUAL, second_dim(RESIDUAL))
        whole = whole.merge({cor_name(RESIDUAL): (over, residual_correlations(residual, study.truth))})
    return whole.merge(study.effects).expand_dims("sample")
