"""Densities with effects integrated out: against dense normals, and fine grids."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from scipy.special import expit, log_expit

import bayes_alliance as ba
from bayes_alliance.comparison.integrate import average_density, integrated_density, integrated_factors
from bayes_alliance.comparison.units import find_units
from bayes_alliance.outcome.contract import OutcomeRows
from bayes_alliance.outcome.families import FAMILY
from bayes_alliance.posterior.linear import stack_draws
from tests.build.test_equations import HEAD, TWO, equation
from tests.conftest import ROLES

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
    flat = stack_draws(fit.data["posterior"].to_dataset(), 2)
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


def test_latent_means_of_predictors_are_refused(trial: pd.DataFrame) -> None:
    """A unit's own values inform its latent mean: said, with what to do."""
    text = HEAD + equation("score", 'within(alliance, patient, means="latent") + (1 | patient)')
    made = ba.make_design(ba.parse_model(text), ba.read_sessions(trial, roles=ROLES))
    nothing = xr.Dataset(coords={"sample": [0]})
    with pytest.raises(ba.FitError, match="follow latent means of alliance"):
        integrated_density(made, find_units(made, "patient"), nothing)
