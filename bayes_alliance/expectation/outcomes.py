"""Outcomes given their linear predictors, draw by draw: parameters of families, densities of rows, new outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.series import Series
from bayes_alliance.design.equations.visits import VisitResiduals
from bayes_alliance.expectation.linear import add_effects, linear_parts, residual_cor
from bayes_alliance.names import SIGMA_COEF, THRESHOLD_COEF, shape_dim
from bayes_alliance.outcome.contract import OutcomeRows


def rows_of(equation: EquationDesign, flat: xr.Dataset, of_rows: Mapping[str, np.ndarray]) -> OutcomeRows:
    """Return an equation's rows with its family's parameters from ``stack_draws``.

    ``of_rows`` are those that differ between rows, residual SDs among them, shape (draw, obs).
    """
    given: dict[str, np.ndarray] = dict(of_rows)
    for shape in equation.kind.shapes:
        if shape in given:
            continue
        own = flat[shape].sel({shape_dim(shape): [equation.outcome]})
        given[shape] = np.asarray(own.transpose("sample", ...).values)
    if equation.kind.thresholds:
        cuts = flat["threshold"].sel({THRESHOLD_COEF: list(equation.threshold_labels)})
        given["threshold"] = np.asarray(cuts.transpose("sample", ...).values)
    return OutcomeRows(equation.kind, equation.y, given, equation.scale)


def drawn_rows(
    design: Design, equation: EquationDesign, flat: xr.Dataset, *, factors: Sequence[str] | None = None
) -> OutcomeRows:
    """Return an equation's rows with the parameters of its family, as drawn.

    The SD around the linear predictor includes errors of measurement. ``factors`` are those whose effects on
    parameters are added; all unless stated.
    """
    given = {}
    for parameter in equation.kind.parameters:
        own = equation.parameters.get(parameter.name)
        if own is not None:
            added = [g.factor for g in own.groups if factors is None or g.factor in factors]
            given[parameter.name] = parameter.inverse(add_effects(linear_parts(design, own, flat), flat, added))
    if equation.kind.spread:
        sigma = given["sigma"] if "sigma" in given else residual_spread(equation, flat)
        given["sigma"] = _with_error(equation, sigma, flat)
    return rows_of(equation, flat, given)


def residual_spread(equation: EquationDesign, flat: xr.Dataset) -> np.ndarray:
    """Return every row's residual SD (the scale, where residuals are t) without a formula, shape (draw, obs)."""
    sigma = flat["sigma"].sel({SIGMA_COEF: list(equation.sigma_coef)}).transpose("sample", SIGMA_COEF).values
    return np.asarray(sigma[:, equation.sigma_code])


def _with_error(equation: EquationDesign, spread: np.ndarray, flat: xr.Dataset) -> np.ndarray:
    """Return every row's SD around its linear predictor with errors of measurement, shape (draw, obs)."""
    own = equation.modelled
    if own is None or not own.error.any():
        return spread
    error = np.broadcast_to(own.of_rows(), spread.shape)
    if own.ratings is not None:
        estimated = flat["error"].sel({shape_dim("error"): [equation.outcome]}).transpose("sample", ...).values
        error = error * estimated
    return np.asarray(np.sqrt(spread**2 + error**2))


def row_densities(design: Design, flat: xr.Dataset, *, latent: bool = True) -> dict[str, np.ndarray]:
    """Return each row's log-density given coefficients and effects, shape (draw, obs), by outcome.

    Outcomes of a row whose residuals correlate are taken one by one, residuals that follow the session before given
    that one, visits given those before; rows without an observed outcome have 0. ``latent`` as in ``linear_parts``.
    """
    found = {}
    for e in design.equations:
        mean = add_effects(linear_parts(design, e.mean, flat, latent=latent), flat, [f.factor for f in design.factors])
        rows = drawn_rows(design, e, flat)
        if e.series is not None:
            own = _autocorrelation(e, flat)
            spread = rows.given["sigma"]
            mean = mean + spread * own * ((e.y - mean) / spread)[:, e.series.before]
            rows = replace(rows, given={**rows.given, "sigma": spread * np.sqrt(1 - own**2)})
        elif e.spec.residuals == "unstructured" and isinstance(design.residual, VisitResiduals):
            spread = rows.given["sigma"]
            shift, scale = given_earlier_visits(design.residual, residual_cor(design, flat), (e.y - mean) / spread)
            mean, rows = mean + spread * shift, replace(rows, given={**rows.given, "sigma": spread * scale})
        found[e.outcome] = np.where(e.seen, rows.log_density(mean), 0.0)
    return found


def rating_densities(design: Design, flat: xr.Dataset) -> np.ndarray:
    """Return what the agreement of raters says of their error, up to a constant, shape (draw,)."""
    total = np.zeros(flat.sizes["sample"])
    for e in design.equations:
        ratings = e.modelled.ratings if e.modelled is not None else None
        if ratings is not None:
            error = flat["error"].sel({shape_dim("error"): e.outcome}).values
            total += -ratings.degrees * np.log(error) - ratings.squares / (2 * error**2)
    return total


def autocorrelation(equation: EquationDesign, flat: xr.Dataset) -> np.ndarray:
    """Return the correlation of the residuals of neighbouring session numbers, shape (draw,)."""
    return np.asarray(flat["ar"].sel({shape_dim("ar"): equation.outcome}).transpose("sample").values)


def _autocorrelation(equation: EquationDesign, flat: xr.Dataset) -> np.ndarray:
    """Return the correlation of every row's residual with that of the session before, shape (draw, obs)."""
    assert equation.series is not None
    distance = equation.series.distance
    return np.where(distance > 0, autocorrelation(equation, flat)[:, None] ** np.maximum(distance, 1), 0.0)


def given_earlier_visits(visits: VisitResiduals, cor: np.ndarray, apart: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and SD of every row's standardised residual given those of the patient's visits before.

    Parameters
    ----------
    visits : VisitResiduals
        The rows.
    cor : ndarray, shape (draw, stratum, visit, visit)
        Correlations between visits.
    apart : ndarray, shape (draw, obs)
        Standardised residuals.

    Returns
    -------
    mean, sd : ndarray, shape (draw, obs)
    """
    shift, scale = np.zeros_like(apart), np.ones_like(apart)
    strata, held, pattern = visits.patterns()
    for number, stratum in enumerate(strata):
        kept = np.flatnonzero(held[number])
        rows = visits.place[pattern == number][:, kept]
        lower = np.linalg.cholesky(cor[:, stratum][:, kept[:, None], kept])
        z = np.linalg.solve(lower, apart[:, rows].transpose(0, 2, 1))
        own = np.diagonal(lower, axis1=1, axis2=2)
        shift[:, rows] = (lower @ z - own[..., None] * z).transpose(0, 2, 1)
        scale[:, rows] = own[:, None, :]
    return shift, scale


def replicate(design: Design, flat: xr.Dataset, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw every outcome anew for the same patients, shape (draw, obs), predictors as observed.

    Outcomes of a row whose residuals correlate are drawn together.
    """
    found, standard = {}, standard_residuals(design, flat, rng)
    for e in design.equations:
        mean = add_effects(linear_parts(design, e.mean, flat), flat, [f.factor for f in design.factors])
        if e.outcome in standard:
            found[e.outcome] = mean + drawn_rows(design, e, flat).given["sigma"] * standard[e.outcome]
        else:
            found[e.outcome] = drawn_rows(design, e, flat).draw(mean, rng)
    return found


def follow_series(noise: np.ndarray, own: np.ndarray, series: Series, session: np.ndarray) -> np.ndarray:
    """Return standard residuals each of which follows that of the session before.

    ``noise`` is standard normal and ``own`` the correlation with the session before, both of shape (draw, obs).
    """
    drawn = noise * np.sqrt(1 - own**2)
    for number in np.unique(session):
        rows = np.flatnonzero((session == number) & (series.gap > 0))
        drawn[:, rows] += own[:, rows] * drawn[:, series.before[rows]]
    return drawn


def standard_residuals(design: Design, flat: xr.Dataset, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw residuals of SD 1 of normal outcomes, shape (draw, obs), by outcome.

    Those of a row or of a patient's visits correlate, and those of a series follow each other, as the model says.
    """
    draws = flat.sizes["sample"]
    standard = {e.outcome: rng.normal(size=(draws, len(e.y))) for e in design.equations if e.kind.normal}
    for e in design.equations:
        if e.series is not None:
            standard[e.outcome] = follow_series(standard[e.outcome], _autocorrelation(e, flat), e.series, e.session)
    residual = design.residual
    if residual is None:
        return standard
    outcomes = residual.outcomes
    roots = np.linalg.cholesky(residual_cor(design, flat))
    if isinstance(residual, VisitResiduals):
        z = rng.normal(size=(draws, *residual.place.shape))
        whole = (roots[:, residual.stratum] @ z[..., None])[..., 0]
        return {**standard, residual.outcome: whole[:, residual.patient, residual.visit]}
    rows = np.unique(np.concatenate([design.find(outcome).row for outcome in outcomes]))
    z = rng.normal(size=(draws, len(rows), len(outcomes)))
    for number, outcome in enumerate(outcomes):
        at = np.searchsorted(rows, design.find(outcome).row)
        root = roots[:, residual.beside[outcome].stratum, number]
        standard[outcome] = (root * z[:, at]).sum(axis=2)
    return standard
