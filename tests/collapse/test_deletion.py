"""Log-likelihood of one unit given the others, against dense conditional normals and against refitted statistics."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayes_alliance as ba
from bayes_alliance.collapse.deletion import unit_log_likelihood
from bayes_alliance.collapse.rows import stack_rows
from tests.collapse.dense import Dense, engine_of, to_natural
from tests.collapse.test_density import design_of, random_point

CASES = [
    ("one patient-level outcome on another", "therapist"),
    ("three levels and site", "patient"),
    ("three levels and site", "therapist"),
    ("three levels and site", "site"),
    ("effects and residuals", "patient"),
    ("covariances by arm", "therapist"),
    ("partial nesting", "group"),
    ("crossed", "patient"),
    ("residual SDs that vary within patients", "patient"),
]


def rows_of(design: ba.Design, factor: str, level: int) -> np.ndarray:
    """Return which stacked rows belong to a level of a factor, through their patient where their equation lacks it."""
    chosen = []
    for e in design.equations:
        group = next((g for g in e.groups if g.factor == factor), None)
        chosen.append(np.zeros(len(e.y), dtype=bool) if group is None else group.inside & (group.code == level))
    return np.concatenate(chosen)


@pytest.mark.parametrize(("name", "factor"), CASES)
def test_agrees_with_dense_conditionals(name: str, factor: str, trial: pd.DataFrame) -> None:
    """For every unit: the normal density of its rows given all other rows, at two points."""
    made = design_of(name, trial)
    engine = engine_of(made)
    rng = np.random.default_rng(2)
    points = np.array([random_point(engine.packed.size, engine.sds, rng) for _ in range(2)])
    got = unit_log_likelihood(stack_rows(made), factor, points)
    levels = next(f.levels for f in made.factors if f.factor == factor)
    assert got.shape == (2, len(levels))
    for draw, x in enumerate(points):
        dense = Dense(made, to_natural(engine, x))
        whole = dense.marginal()
        for level in range(len(levels)):
            one = rows_of(made, factor, level)
            rest = ~one
            cov, left = whole.cov_object.covariance, dense.y - whole.mean
            slope = np.linalg.solve(cov[np.ix_(rest, rest)], cov[np.ix_(rest, one)])
            spread = cov[np.ix_(one, one)] - cov[np.ix_(one, rest)] @ slope
            expected = stats.multivariate_normal(left[rest] @ slope, spread).logpdf(left[one])
            assert got[draw, level] == pytest.approx(float(expected), rel=1e-7, abs=1e-7)


def test_a_crossed_factor_is_refused(trial: pd.DataFrame) -> None:
    """Leaving out a level that cuts through patients is refused by name."""
    made = design_of("crossed", trial)
    with pytest.raises(ValueError, match="'group' crosses 'patient'"):
        unit_log_likelihood(stack_rows(made), "group", np.zeros((1, engine_of(made).packed.size)))
