"""Densities with effects integrated out: against dense normals, and fine grids."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from scipy.special import expit, log_expit

import bayes_alliance as ba
from bayes_alliance.comparison.integration import integrated_density, integrated_factors
from bayes_alliance.comparison.quadrature import average_density
from bayes_alliance.comparison.units import find_units
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.expectation.linear import stack_draws
from bayes_alliance.outcome.contract import OutcomeRows
from bayes_alliance.outcome.families import FAMILY
from tests.build.test_equations import HEAD, TWO, equation
from tests.conftest import ROLES
from tests.truth.fits import make_fit

FEW = ba.SamplerSettings(draws=40, chains=2, progress="off")
GRID = np.linspace(-9, 9, 601)
LOADS = [np.array([[1.3], [1.3], [0.7]]), np.array([[1.0, 0.4], [1.0, -0.6], [1.0, 1.5]])]


@pytest.mark.parametrize("load", LOADS, ids=["one effect", "two effects"])
def test_quadrature_agrees_with_a_fine_grid(load: np.ndarray) -> None:
    """Three 0/1 outcomes that share one or two normals, against a fine grid, at small and large SDs."""
    eta, y = np.array([0.3, -1.0, 2.0]), np.array([1.0, 0.0, 1.0])
    sign = 2 * y - 1
    for scale in (0.3, 1.0, 3.0):
        got = float(average_density(eta[None], scale * load[None], [OutcomeRows(FAMILY["bernoulli"], y, {})])[0])

        z = np.stack(np.meshgrid(*[GRID] * load.shape[1], indexing="ij"), axis=-1).reshape(-1, load.shape[1])
        inside = log_expit(sign * (eta + scale * z @ load.T)).sum(axis=1) + stats.norm.logpdf(z).sum(axis=1)
        expected = np.logaddexp.reduce(inside) + load.shape[1] * np.log(GRID[1] - GRID[0])
        assert got == pytest.approx(float(expected), abs=2e-4)


def test_importance_sampling_agrees_with_separate_integrals() -> None:
    """Five normals that are nobody's in common: the integral is a product of one-dimensional ones."""
    rng = np.random.default_rng(1)
    eta, y, sd = rng.normal(size=5), np.array([1.0, 0.0, 1.0, 1.0, 0.0]), np.array([0.5, 1.0, 1.5, 2.0, 0.0])
    got = float(average_density(eta[None], np.diag(sd)[None], [OutcomeRows(FAMILY["bernoulli"], y, {})])[0])
    z = np.linspace(-9, 9, 4001)
    each = [
        np.trapezoid(expit((2 * one - 1) * (e + s * z)) * stats.norm.pdf(z), z)
        for e, one, s in zip(eta, y, sd, strict=True)
    ]
    assert got == pytest.approx(float(np.log(each).sum()), abs=0.02)


def test_gaussian_units_against_dense_normals(trial: pd.DataFrame) -> None:
    """Two outcomes with correlated residuals and effects, therapists left out: SciPy's normal of all their rows."""
    text = TWO.replace("| patient)", "| patient) + (1 | therapist)") + '[residual]\ncorrelate = ["score", "alliance"]\n'
    table = ba.read_sessions(trial, roles={k: v for k, v in ROLES.items() if k != "group"})
    fit = ba.fit_model(ba.parse_model(HEAD + text), table, seed=3, settings=FEW, engine="collapsed")
    assert fit.design is not None
    flat = stack_draws(with_effects(fit), 2)
    units = find_units(fit.design, "therapist")
    assert set(integrated_factors(fit.design, units)) == {"patient", "therapist"}
    got = integrated_density(fit.design, units, flat)
    for draw in range(flat.sizes["sample"]):
        one = flat.isel(sample=draw)
        for unit in range(len(units)):
            mean, y, loads, noise, rows = [], [], [], [], []
            for e in fit.design.equations:
                at = np.flatnonzero(units.codes[e.outcome] == unit)
                mean.append(e.coef.values[at] @ one["b"].sel(coef=list(e.coef_labels)).values)
                y.append(e.y[at])
                load = np.zeros((len(at), 0))
                for name in ("patient", "therapist"):
                    group = next(g for g in e.groups if g.factor == name)
                    sd, labels = one[f"sd_{name}"], list(one[f"{name}_effect"].values)
                    cor = one[f"cor_{name}"].values if f"cor_{name}" in one else np.eye(len(labels))
                    root = sd.values[:, None] * np.linalg.cholesky(cor)
                    own = [labels.index(label) for label in e.effect_labels(group)]
                    wide = np.zeros((len(at), len(group.levels), len(labels)))
                    wide[range(len(at)), group.code[at]] = group.values[at] @ root[own]
                    load = np.column_stack([load, wide.reshape(len(at), -1)])
                loads.append(load)
                noise.append(np.full(len(at), float(one["sigma"].sel(sigma_coef=e.outcome))))
                rows.append(e.row[at])
            spread, row = np.concatenate(noise), np.concatenate(rows)
            outcome = np.repeat([0, 1], [len(r) for r in rows])
            rho = np.where(outcome[:, None] == outcome, 1.0, float(one["cor_residual"][0, 1]))
            cov = np.where(row[:, None] == row, rho * np.outer(spread, spread), 0.0)
            load = np.concatenate(loads)
            expected = stats.multivariate_normal(np.concatenate(mean), cov + load @ load.T).logpdf(np.concatenate(y))
            assert got[draw, unit] == pytest.approx(float(expected), rel=1e-8)


def test_series_against_dense_normals(trial: pd.DataFrame) -> None:
    """Patients left out whose residuals are a series with gaps: the normal of their rows, effects integrated out."""
    text = equation("score", "week + (1 + week | patient)", extra='residuals = "ar1"')
    fit = make_fit(ba.make_design(ba.parse_model(HEAD + text), ba.read_sessions(trial, ROLES)), seed=2)
    assert fit.design is not None
    e, flat = fit.design.equation, stack_draws(with_effects(fit)).isel(sample=slice(2))
    units = find_units(fit.design, "patient")
    got = integrated_density(fit.design, units, flat)
    (group,) = e.groups
    for draw in range(2):
        one = flat.isel(sample=draw)
        sd, sigma, ar = one["sd_patient"].to_numpy(), float(one["sigma"][0]), float(one["ar"][0])
        between = one["cor_patient"].to_numpy() * np.outer(sd, sd)
        for unit in range(len(units)):
            at = np.flatnonzero(units.codes[e.outcome] == unit)
            gaps = np.abs(e.session[at][:, None] - e.session[at])
            cov = sigma**2 * ar**gaps + group.values[at] @ between @ group.values[at].T
            mean = e.coef.values[at] @ one["b"].sel(coef=list(e.coef_labels)).to_numpy()
            expected = stats.multivariate_normal(mean, cov).logpdf(e.y[at])
            assert got[draw, unit] == pytest.approx(float(expected), rel=1e-8)


def test_latent_means_of_predictors_are_refused(trial: pd.DataFrame) -> None:
    """A unit's own values inform its latent mean: said, with what to do."""
    text = HEAD + equation("score", 'within(alliance, patient, means="latent") + (1 | patient)')
    made = ba.make_design(ba.parse_model(text), ba.read_sessions(trial, roles=ROLES))
    nothing = xr.Dataset(coords={"sample": [0]})
    with pytest.raises(ba.FitError, match="follow latent means of alliance"):
        integrated_density(made, find_units(made, "patient"), nothing)


LOCATION_SCALE = (
    equation("score", "week + (1 | patient)", extra='sigma = "1 + week + (1 | patient)"\n')
    + '[groups.patient]\ncorrelate = ["score", "sigma(score)"]\n'
)


def test_patients_with_residual_sds_of_their_own_against_a_fine_grid(trial: pd.DataFrame) -> None:
    """A location-scale model: level and log SD of a patient correlate, and both are integrated out."""
    made = ba.make_design(ba.parse_model(HEAD + LOCATION_SCALE), ba.read_sessions(trial, roles=ROLES))
    posterior = with_effects(make_fit(made, size=0.8))
    flat = stack_draws(posterior.drop_vars("u_patient"), 2)
    units = find_units(made, "patient")
    got = integrated_density(made, units, flat, chosen=range(4))
    e, grid = made.equation, np.linspace(-8, 8, 801)
    a, b = np.meshgrid(grid, grid, indexing="ij")
    for draw in range(flat.sizes["sample"]):
        one = flat.isel(sample=draw)
        labels = ["score, Intercept", "sigma(score), Intercept"]
        sd = one["sd_patient"].sel(patient_effect=labels).values
        rho = float(one["cor_patient"].sel(patient_effect=labels[0], patient_effect_2=labels[1]))
        location, scale = sd[0] * a, sd[1] * (rho * a + np.sqrt(1 - rho**2) * b)
        sigma = e.parameters["sigma"]
        for unit in range(4):
            at = np.flatnonzero(units.codes["score"] == unit)
            total = stats.norm.logpdf(a) + stats.norm.logpdf(b)
            for row in at:
                mu = e.coef.values[row] @ one["b"].sel(coef=list(e.coef_labels)).values
                log_sd = sigma.coef.values[row] @ one["b"].sel(coef=list(sigma.coef_labels)).values
                total = total + stats.norm.logpdf(e.y[row], mu + location, np.exp(log_sd + scale))
            expected = np.logaddexp.reduce(total, axis=None) + 2 * np.log(grid[1] - grid[0])
            assert got[draw, unit] == pytest.approx(float(expected), abs=1e-6)


def test_parameters_of_other_families_against_a_fine_grid(trial: pd.DataFrame) -> None:
    """Counts whose evenness differs between patients, beside their means: two effects that do not correlate."""
    frame = trial.assign(events=np.floor(trial["stress"].abs()))
    text = equation(
        "events",
        "week + (1 | patient)",
        extra='family = "negative_binomial"\nshape = "1 + week + (1 | patient)"\n',
    )
    made = ba.make_design(ba.parse_model(HEAD + text), ba.read_sessions(frame, roles=ROLES))
    flat = stack_draws(with_effects(make_fit(made, size=0.8)).drop_vars("u_patient"), 2)
    units = find_units(made, "patient")
    got = integrated_density(made, units, flat, chosen=range(3))
    e, grid = made.equation, np.linspace(-8, 8, 301)
    a, b = np.meshgrid(grid, grid, indexing="ij")
    for draw in range(flat.sizes["sample"]):
        one = flat.isel(sample=draw)
        sd = one["sd_patient"].values
        for unit in range(3):
            total = stats.norm.logpdf(a) + stats.norm.logpdf(b)
            for row in np.flatnonzero(units.codes["events"] == unit):
                eta = e.coef.values[row] @ one["b"].sel(coef=list(e.coef_labels)).values + sd[0] * a
                own = e.parameters["shape"]
                size = np.exp(own.coef.values[row] @ one["b"].sel(coef=list(own.coef_labels)).values + sd[1] * b)
                total = total + stats.nbinom.logpmf(e.y[row], size, size / (size + np.exp(eta)))
            expected = np.logaddexp.reduce(total, axis=None) + 2 * np.log(grid[1] - grid[0])
            assert got[draw, unit] == pytest.approx(float(expected), abs=2e-3)
