"""What the priors decide: power scaling block by block, and parameters the data say nothing about."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import arviz_stats as azs
import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance.design.design import Design
from bayes_alliance.design.posterior_variables import PosteriorVariable
from bayes_alliance.design.priors.density import log_density
from bayes_alliance.diagnosis.predictive import draws_with_effects
from bayes_alliance.expectation.outcomes import rating_densities, row_densities
from bayes_alliance.fit.estimands import as_variable
from bayes_alliance.fit.result import Fit, design_of, variables_of
from bayes_alliance.names import (
    INTERCEPT,
    RESIDUAL,
    SIGMA_COEF,
    category_dim,
    coef_label,
    cor_name,
    effect_dim,
    sd_name,
    shape_dim,
    share_name,
)
from bayes_alliance.posterior.entries import Entry, entries_of, public_entries
from bayes_alliance.simulate.prior import draw_parameters
from bayes_alliance.spec.priors import Distribution

SENSITIVE = 0.05
"""Distance per doubling of the prior's weight from which a posterior counts as sensitive (Kallioinen et al. 2024)."""

DRAWS = 4000
"""Draws that are weighted, at most."""

BINS = 40
"""Bins of pooled draws in which prior and posterior are compared."""


def prior_sensitivity(fit: Fit) -> pd.DataFrame:
    """Return how far estimands, coefficients and SDs move when a block of priors counts a little more or less.

    Parameters
    ----------
    fit : Fit
        With its design.

    Returns
    -------
    DataFrame
        A line per block and quantity: ``block`` (``intercepts``, ``coefficients``, ``sd <factor>``, ``cor <factor>``,
        ``sigma``), ``quantity``, ``prior`` and ``likelihood`` (sensitivities; 0.05 and more counts) and ``reading``.

    References
    ----------
    kallioinen2024
    """
    design, flat = draws_with_effects(fit, DRAWS)
    blocks = log_prior(design, flat)
    draws = _quantities(fit, flat)
    likelihood = sum(density.sum(axis=1) for density in row_densities(design, flat).values())
    likelihood = likelihood + rating_densities(design, flat)
    whole = _sensitivity(draws, np.asarray(likelihood))
    rows = []
    for block, values in blocks.items():
        own = _sensitivity(draws, values)
        for name in draws:
            reading = _reading(own[name], whole[name])
            rows.append(
                {"block": block, "quantity": name, "prior": own[name], "likelihood": whole[name], "reading": reading}
            )
    return pd.DataFrame(rows)


def _sensitivity(draws: Mapping[str, np.ndarray], log_density: np.ndarray) -> dict[str, float]:
    """Return how far draws move when a log-density of shape (draw,) is raised to a power near 1."""
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({name: (("chain", "draw"), own[None]) for name, own in draws.items()}),
            "log_prior": xr.Dataset({"prior": (("chain", "draw"), log_density[None])}),
        }
    )
    with warnings.catch_warnings():
        # Pareto k of weights this near to 1 is of no concern
        warnings.simplefilter("ignore")
        found = azs.psense(tree, group="prior")
    return {name: float(found[name]) for name in draws}


def prior_overlap(fit: Fit, *, seed: int = 1) -> pd.DataFrame:
    """Return how much of each parameter's prior its posterior still covers: 1 where the data say nothing.

    Parameters
    ----------
    fit : Fit
        With its design.
    seed : int
        For draws from the priors.

    Returns
    -------
    DataFrame
        ``quantity`` and ``overlap``, the shared area of the two densities, 0 to 1.

    Raises
    ------
    DesignError
        If a prior is improper.
    """
    rows = []
    for name, (prior, posterior) in prior_and_posterior(fit, seed=seed).items():
        edges = np.unique(np.quantile(np.concatenate([prior, posterior]), np.linspace(0, 1, BINS + 1)))
        shares = [np.histogram(own, edges)[0] / len(own) for own in (prior, posterior)]
        rows.append({"quantity": name, "overlap": float(np.minimum(*shares).sum())})
    return pd.DataFrame(rows, columns=["quantity", "overlap"])


def prior_and_posterior(fit: Fit, *, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return draws of prior and posterior, each of shape (draw,), of every parameter that has both.

    Raises
    ------
    FitError
        If the fit has no design.
    DesignError
        If a prior is improper.
    """
    before = draw_parameters(design_of(fit), draws=2000, seed=seed)
    drawn = _vary(before, entries_of(before, [own for own in variables_of(fit) if own.listed]))
    posterior = _vary(fit.data["posterior"].to_dataset(), public_entries(fit))
    return {name: (drawn[name], own) for name, own in posterior.items() if name in drawn}


def log_prior(design: Design, flat: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the log prior density of every block of parameters, shape (draw,).

    Flat priors, and those that coefficients share to be shrunk, are left out.
    """
    blocks: dict[str, np.ndarray] = {}

    def add(block: str, values: np.ndarray) -> None:
        blocks[block] = blocks.get(block, np.zeros(flat.sizes["sample"])) + values

    labels = [label for own in design.linear_predictors for label in own.coef_labels]
    intercepts = _intercepts(design)
    centred = flat["b_centred"].transpose("sample", ...).values if labels else np.zeros((flat.sizes["sample"], 0))
    for i, (label, prior) in enumerate(zip(labels, design.priors.coef, strict=True)):
        if prior.distribution.support == "shrunk":
            continue
        block = "intercepts" if label in intercepts else "coefficients"
        add(block, log_density(prior.distribution, centred[:, i]))
    for factor in design.factors:
        sd = flat[sd_name(factor.factor)].transpose("sample", ..., effect_dim(factor.factor)).values
        for i, prior in enumerate(design.priors.sd[factor.factor]):
            each = log_density(prior.distribution, sd[..., i])
            add(f"sd {factor.factor}", each.reshape(len(each), -1).sum(axis=1))
        blocks_of = [block.members for block in factor.blocks if len(block.members) > 1]
        for members, prior in zip(blocks_of, design.priors.cor.get(factor.factor, ()), strict=True):
            cor = (
                flat[cor_name(factor.factor)].transpose("sample", ...).values[..., np.array(members)[:, None], members]
            )
            add(f"cor {factor.factor}", _log_lkj(prior.distribution, cor))
    if design.residual is not None and design.residual.fixed is None:
        cor = flat[cor_name(RESIDUAL)].transpose("sample", ...).values
        add("cor residual", _log_lkj(design.priors.cor[RESIDUAL][0].distribution, cor))
    if design.priors.sigma:
        sigma = flat["sigma"].transpose("sample", SIGMA_COEF).values
        for i, prior in enumerate(design.priors.sigma):
            add("sigma", log_density(prior.distribution, sigma[:, i]))
    for outcome, prior in design.priors.shares.items():
        shares = flat[share_name(outcome)].transpose("sample", category_dim(outcome)).values
        alpha = prior.distribution.value("alpha")
        add("thresholds", ((alpha - 1) * np.log(shares)).sum(axis=1))
    for steps, prior in design.priors.steps.items():
        shares = flat[steps].transpose("sample", ...).values
        add("steps", ((prior.distribution.value("alpha") - 1) * np.log(shares)).sum(axis=1))
    for shape, priors in design.priors.shapes.items():
        values = flat[shape].transpose("sample", shape_dim(shape)).values
        for i, prior in enumerate(priors):
            add(shape, log_density(prior.distribution, values[:, i]))
    return {block: values for block, values in blocks.items() if np.ptp(values) > 0}


def _log_lkj(prior: Distribution, cor: np.ndarray) -> np.ndarray:
    """Return (eta - 1) log |R|, summed over strata; the constant does not matter to weights, nor a stated matrix."""
    if prior.family == "equal":
        return np.zeros(len(cor))
    log_det = np.linalg.slogdet(cor)[1]
    return np.asarray((prior.value("eta") - 1) * log_det.reshape(len(cor), -1).sum(axis=1))


def _reading(prior: float, likelihood: float) -> str:
    if not prior >= SENSITIVE:
        return ""
    return "prior and data disagree" if likelihood >= SENSITIVE else "prior strong, data weak"


def _quantities(fit: Fit, flat: xr.Dataset) -> dict[str, np.ndarray]:
    """Return estimands where there are any, coefficients without intercepts, and SDs, each of shape (draw,)."""
    each = fit.data["posterior"].sizes["draw"]
    count = flat.sizes["sample"] // fit.data["posterior"].sizes["chain"]
    chosen = np.linspace(0, each - 1, count).astype(int)
    found: dict[str, np.ndarray] = {}
    if "estimands" in fit.data:
        values = xr.Dataset({"estimand": as_variable(fit.data["estimands"].to_dataset()["value"]).isel(draw=chosen)})
        found |= _vary(values, entries_of(values, [PosteriorVariable("estimand", "estimand")]))
    intercepts = _intercepts(design_of(fit))
    wanted = [
        entry
        for entry in public_entries(fit)
        if entry.variable.kind != "correlation"
        and not (entry.variable.kind == "coefficient" and entry.labels[0] in intercepts)
    ]
    return found | _vary(fit.data["posterior"].to_dataset().isel(draw=chosen), wanted)


def _intercepts(design: Design) -> set[str]:
    """Return the labels of the intercepts among coefficients."""
    return {coef_label(own.name, INTERCEPT) for own in design.linear_predictors if own.spec.parsed.intercept}


def _vary(draws: xr.Dataset, entries: Sequence[Entry]) -> dict[str, np.ndarray]:
    """Return the draws of entries that vary, by name, shape (draw,)."""
    every = {entry.name: entry.draws(draws).reshape(-1) for entry in entries}
    return {name: own for name, own in every.items() if np.isfinite(own).all() and np.ptp(own) > 0}
