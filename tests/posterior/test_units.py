"""Therapists one by one: shrunken estimates, ranks and thirds, worked out draw by draw."""

from __future__ import annotations

import numpy as np
import pytest

import bayes_alliance as ba
from bayes_alliance.expectation.effects import with_effects


def test_estimates_count_caseloads_and_ranks(small_fit: ba.Fit) -> None:
    """Means are those of the draws, patients those of the rows, thirds add up to their size."""
    table = ba.unit_estimates(small_fit, better="lower").set_index("therapist")
    assert small_fit.design is not None
    equation = small_fit.design.equation
    group = next(g for g in equation.groups if g.factor == "therapist")
    draws = small_fit.effects["u_therapist"].stack(sample=("chain", "draw")).isel(therapist_effect=0)
    for code, level in enumerate(group.levels):
        own = group.code == code
        assert table.loc[level, "patients"] == len(set(equation.patient[own]))
        assert table.loc[level, "rows"] == own.sum()
        np.testing.assert_allclose(table.loc[level, "mean"], draws.sel(therapist=level).mean())
    third = len(table) // 3
    np.testing.assert_allclose(table[["p_best_third", "p_worst_third"]].sum(), third)
    assert table["mean"].is_monotonic_increasing
    best = draws.argsort(axis=draws.dims.index("therapist"))
    first = np.bincount(np.asarray(best.isel(therapist=slice(0, third))).ravel(), minlength=len(table))
    shares = first / draws.sizes["sample"]
    np.testing.assert_allclose(table.loc[list(group.levels), "p_best_third"], shares)


def test_the_other_direction_swaps_best_and_worst(small_fit: ba.Fit) -> None:
    """What is best when lower is better is worst when higher is."""
    low = ba.unit_estimates(small_fit, better="lower").set_index("therapist")
    high = ba.unit_estimates(small_fit, better="higher").set_index("therapist").loc[low.index]
    np.testing.assert_allclose(low["p_best_third"], high["p_worst_third"])
    assert list(high.index) == list(low.index)
    assert list(ba.unit_estimates(small_fit, better="higher")["therapist"]) == list(low.index[::-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"better": "up"}, "state which direction"),
        ({"better": "lower", "factor": "therapst"}, "Did you mean 'therapist'"),
        ({"better": "lower", "factor": "patient", "effect": "weak"}, "Did you mean 'week'"),
        ({"better": "lower", "ci_prob": 2.0}, "ci_prob"),
    ],
)
def test_bad_input(small_fit: ba.Fit, arguments: dict, message: str) -> None:
    """A direction that is none, and names that are not there."""
    with pytest.raises(ba.FitError, match=message):
        ba.unit_estimates(small_fit, **arguments)


def test_lines_of_therapists_average_to_the_population(small_fit: ba.Fit) -> None:
    """A therapist's line is the population's for its patients plus its own effect."""
    lines = ba.predict_unit_trajectories(small_fit, "therapist", points=3)
    assert lines.dims == ("chain", "draw", "therapist", "session")
    assert small_fit.design is not None
    equation = small_fit.design.equation
    group = next(g for g in equation.groups if g.factor == "therapist")
    posterior = with_effects(small_fit)
    own = group.code == 1
    share = equation.arms.code[own].mean()  # type: ignore[union-attr]
    week = float(lines["session"][2])
    b = posterior["b"].values
    expected = b @ np.array([1.0, week, share, week * share])
    expected = expected + posterior["u_therapist"].isel(therapist=1, therapist_effect=0).values
    np.testing.assert_allclose(lines.isel(therapist=1, session=2), expected, rtol=1e-10)
