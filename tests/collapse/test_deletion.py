"""Log-likelihood of one unit given the others, against dense conditional normals and against refitted statistics."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayes_alliance as ba
from bayes_alliance.collapse.deletion import leave_units_out
from bayes_alliance.collapse.rows import add_units
from bayes_alliance.collapse.stack import stack_rows
from tests.collapse.dense import Dense, engine_of, to_natural
from tests.collapse.test_density import design_of, random_point

CASES = [
    ("one patient-level outcome on another", "therapist", None),
    ("three levels and site", "patient", None),
    ("three levels and site", "therapist", None),
    ("three levels and site", "site", None),
    ("effects and residuals", "patient", None),
    ("effects and residuals", "patient", "alliance"),
    ("joint residuals and therapists", "patient", "score"),
    ("joint residuals and therapists", "therapist", "alliance"),
    ("covariances by arm", "therapist", None),
    ("partial nesting", "group", None),
    ("crossed", "patient", None),
    ("residual SDs that vary within patients", "patient", None),
    ("series", "patient", None),
    ("series, residual SDs by room", "patient", None),
    ("two series", "patient", "alliance"),
    ("visits", "therapist", None),
    ("visits beside another outcome", "therapist", "score"),
]


def rows_of(design: ba.Design, factor: str, level: int) -> np.ndarray:
    """Return which stacked rows belong to a level of a factor, through their patient where their equation lacks it."""
    chosen = []
    for e in design.equations:
        group = next((g for g in e.groups if g.factor == factor), None)
        chosen.append(np.zeros(len(e.y), dtype=bool) if group is None else group.inside & (group.code == level))
    return np.concatenate(chosen)


def test_cases_cover_units_of_two_outcomes() -> None:
    """Scoring fewer outcomes than are left out is part of what is tested."""
    one, series = ("effects and residuals", "joint residuals and therapists"), "two series"
    assert {name for name, _, scored in CASES if scored} == {*one, series, "visits beside another outcome"}


@pytest.mark.parametrize(("name", "factor", "scored"), CASES)
def test_agrees_with_dense_conditionals(name: str, factor: str, scored: str | None, trial: pd.DataFrame) -> None:
    """For every unit: the normal density of its rows given all other rows, and given all, at two points."""
    made = design_of(name, trial)
    engine = engine_of(made)
    rng = np.random.default_rng(2)
    points = np.array([random_point(engine.packed.size, engine.sds, rng) for _ in range(2)])
    place = [f.factor for f in made.factors].index(factor)
    got = leave_units_out(stack_rows(made), place, points, None if scored is None else [scored])
    levels = next(f.levels for f in made.factors if f.factor == factor)
    assert got.without.shape == got.within.shape == (2, len(levels))
    of_outcome = np.concatenate([np.full(len(e.y), scored in (None, e.outcome)) for e in made.equations])
    for draw, x in enumerate(points):
        dense = Dense(made, to_natural(engine, x))
        whole = dense.marginal()
        cov, left = whole.cov_object.covariance, dense.y - whole.mean

        def given(rest: np.ndarray, target: np.ndarray, cov: np.ndarray = cov, left: np.ndarray = left) -> float:
            slope = np.linalg.solve(cov[np.ix_(rest, rest)], cov[np.ix_(rest, target)])
            spread = cov[np.ix_(target, target)] - cov[np.ix_(target, rest)] @ slope
            return float(stats.multivariate_normal(left[rest] @ slope, spread).logpdf(left[target]))

        for level in range(len(levels)):
            unit = rows_of(made, factor, level)
            expected = given(~unit, unit & of_outcome)
            assert got.without[draw, level] == pytest.approx(expected, rel=1e-7, abs=1e-7)
            everything = expected if scored is None else given(~unit, unit)
            assert got.all_outcomes[draw, level] == pytest.approx(everything, rel=1e-7, abs=1e-7)


SESSIONS = ("three levels and site", "joint residuals and therapists", "crossed", "one level")


@pytest.mark.parametrize("name", SESSIONS)
def test_units_without_effects_of_their_own(name: str, trial: pd.DataFrame) -> None:
    """Single sessions, with all their outcomes, against dense conditional normals."""
    made = design_of(name, trial)
    engine = engine_of(made)
    x = random_point(engine.packed.size, engine.sds, np.random.default_rng(4))
    rows = np.unique(np.concatenate([e.row for e in made.equations]))
    added = add_units(stack_rows(made), [np.searchsorted(rows, e.row) for e in made.equations])
    assert added is not None
    got = leave_units_out(*added, x[None]).without
    dense = Dense(made, to_natural(engine, x))
    whole = dense.marginal()
    precision = np.linalg.inv(whole.cov_object.covariance)
    pulled = precision @ (dense.y - whole.mean)
    stacked = np.concatenate([e.row for e in made.equations])
    for unit, row in enumerate(rows):
        own = stacked == row
        spread = np.linalg.inv(precision[np.ix_(own, own)])
        left = spread @ pulled[own]
        expected = stats.multivariate_normal(np.zeros(own.sum()), spread).logpdf(left)
        assert got[0, unit] == pytest.approx(float(expected), rel=1e-7, abs=1e-7)


def test_units_that_cut_through_a_factor_are_not_added(trial: pd.DataFrame) -> None:
    """Rooms cut through patients: there is no order in which both can be eliminated."""
    made = design_of("crossed", trial)
    rooms = next(g for g in made.equation.groups if g.factor == "group").code
    assert add_units(stack_rows(made), [rooms]) is None
