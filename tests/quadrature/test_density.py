"""Integrals over effects against sums over a fine grid, family by family."""

from __future__ import annotations

import numpy as np
import pytest

from bayes_alliance.design.design import Design
from bayes_alliance.design.subset import keep_rows
from bayes_alliance.quadrature.density import Density, make_density
from bayes_alliance.quadrature.effect_draws import densities_given_others
from bayes_alliance.quadrature.engine import density_of
from bayes_alliance.quadrature.parameters import first_guess, list_parameters
from bayes_alliance.quadrature.stack import centred_columns, stack_units
from tests.quadrature.brute import log_likelihood
from tests.quadrature.tables import FAMILIES, make

TWO, APART, OUTER = "week + (1 + week | patient)", "week + (1 | patient)", "week + (1 | patient) + (1 | therapist)"


def point_of(design: Design, density: Density, seed: int, sd: float = 1.0) -> np.ndarray:
    """Return a vector near the first guess, SDs as they are."""
    rng = np.random.default_rng(seed)
    x = first_guess(design, density.parameters) + 0.3 * rng.normal(size=density.size)
    x[: density.sds] = sd * np.exp(0.3 * rng.normal(size=density.sds))
    return x


def by_brute_force(design: Design, density: Density, x: np.ndarray, points: int = 241) -> float:
    """Return the log-likelihood at a vector by sums over a grid."""
    own, e = density.parameters, design.equation
    whole = own.kernel_points(x[None], np.zeros(density.sds, dtype=bool))[0]
    coefs, cuts = len(own.coef), own.thresholds
    given: dict[str, np.ndarray] = {"threshold": whole[coefs : coefs + cuts]}
    shapes = whole[coefs + cuts : coefs + cuts + len(own.shapes)]
    given |= {name: shapes[[i]] for i, name in enumerate(e.shapes)}
    if design.priors.sigma:
        given["sigma"] = shapes[-len(design.priors.sigma) :][e.sigma_code]
    sds = np.abs(x[: own.effects])
    root = np.diag(sds)
    if own.cor is not None:
        r = np.tanh(x[density.sds])
        root = sds[:, None] * np.array([[1.0, 0.0], [r, np.sqrt(1 - r**2)]])
    outer = float(abs(x[density.sds - 1])) if own.outer else None
    return log_likelihood(design, centred_columns(e) @ whole[:coefs], given, root, outer, points)


@pytest.mark.parametrize("formula", [APART, TWO, OUTER], ids=["intercept", "slope", "therapists"])
@pytest.mark.parametrize("kind", FAMILIES)
def test_integrals_are_those_of_a_grid(kind: str, formula: str) -> None:
    """At 31 nodes to 2e-6 (1e-5 with two effects, on a coarser grid), equal units counted once or not."""
    design = make(kind, formula)
    density = density_of(design)
    x = point_of(design, density, 3, 0.7)
    wanted = by_brute_force(design, density, x, 121 if formula != APART else 481)
    plain = np.zeros(density.sds, dtype=bool)
    whole = density.parameters.kernel_points(x[None], plain)
    found = density.at_rung(2).log_likelihood(whole)[0]
    assert found == pytest.approx(wanted, abs=2e-6 if formula != TWO else 1e-5)
    apart = stack_units(design, pool=False)
    assert len(apart.rows.weight) >= len(density.stacked.rows.weight)
    alone = make_density(apart, list_parameters(design, apart))
    assert alone.log_likelihood(whole)[0] == pytest.approx(density.log_likelihood(whole)[0], abs=1e-9)


@pytest.mark.parametrize("formula", [APART, OUTER], ids=["intercept", "therapists"])
@pytest.mark.parametrize("kind", FAMILIES)
def test_units_given_all_others(kind: str, formula: str) -> None:
    """Therapists (or patients alone) add up to all rows; a patient of a therapist is the whole less the rest."""
    design = make(kind, formula)
    density = density_of(design).at_rung(3)
    x = point_of(design, density, 4, 0.7)[None]
    whole = density.parameters.kernel_points(x, np.zeros(density.sds, dtype=bool))
    total = density.log_likelihood(whole)[0]
    last = "therapist" if formula == OUTER else "patient"
    found = densities_given_others(design, x, 3, last)
    assert found.sum() == pytest.approx(total, abs=1e-6)
    if formula == OUTER:
        patients = densities_given_others(design, x, 3, "patient")[0]
        e = design.equation
        code = next(group for group in e.groups if group.factor == "patient").code
        for patient in (0, 5):
            rest = keep_rows(design, {e.outcome: code != patient})
            other = make_density(stack_units(rest), density.parameters).at_rung(3)
            assert patients[patient] == pytest.approx(total - other.log_likelihood(whole)[0], abs=1e-5)
