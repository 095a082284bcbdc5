"""Held associations: how far a conclusion hangs on what leaving hangs on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.comparison.confounding import tipping_points, unclear_points
from bayes_alliance.comparison.missing_not_at_random import Sweep
from bayes_alliance.spec.model_parsing import make_model
from tests.conftest import ROLES
from tests.design.test_current import model

SPEC = ba.alter_model(
    model("value(alliance)", growth="session * arm + (1 | patient)"),
    labels={
        "current": "leaving ~ value(alliance)",
        "faster": "alliance ~ session:arm",
    },
)


@pytest.fixture(scope="module")
def sweep(trial: pd.DataFrame) -> ba.Sweep:
    """Return a sweep over two values, in short chains."""
    content = SPEC.model_dump(mode="json", exclude_defaults=True)
    content["estimands"] = {"growth": {"value": "faster", "unit": "points per week"}}
    spec = make_model(content)
    table = ba.read_sessions(trial.assign(last=trial.groupby("pid")["week"].transform("max")), ROLES)
    return ba.delta_sweep(
        spec,
        ba.Study(table, reference={"arm": "TAU"}),
        hold="current",
        values=(1.0, 0.0),
        estimand="growth",
        seed=1,
        settings=ba.SamplerSettings(draws=150, tune=250, chains=2, progress="off"),
    )


def test_a_line_per_value_and_the_estimated_one(sweep: ba.Sweep) -> None:
    """Values in order, the estimand's unit, the coefficient by its name in the study."""
    assert list(sweep.table["held"]) == [0.0, 1.0]
    assert sweep.coefficient == "b[leaving, value(alliance)]"
    assert sweep.unit == "points per week"
    assert len(sweep.estimated) == 1
    assert "held at stated values" in repr(sweep)
    (axes,) = ba.plot_sensitivity(sweep).axes
    assert axes.get_xlabel() == "b[leaving, value(alliance)] (held, not estimated)"
    marks = [y for line in axes.get_lines() if line.get_marker() in ("o", "x") for y in line.get_ydata()]
    np.testing.assert_allclose(sorted(marks), sorted(sweep.table["mean"]))


def test_where_the_sign_changes() -> None:
    """By interpolation; the nearest values on either side whose interval holds 0."""
    table = pd.DataFrame(
        {
            "held": [-2.0, -1.0, 0.0, 1.0],
            "mean": [-1.0, 1.0, 2.0, 3.0],
            "eti95_lb": [-2.0, -0.5, 1.0, 2.0],
            "eti95_ub": [0.5, 2.0, 3.0, 4.0],
        }
    )
    assert tipping_points(table["held"], table["mean"]) == (-1.5,)
    assert unclear_points(table, "held") == (-1.0,)


def test_a_factor_is_compared_with_one() -> None:
    """A hazard ratio never reaches 0: its sweep tips where it passes 1, and an SD's nowhere."""
    table = pd.DataFrame(
        {"held": [-1.0, 0.0, 1.0], "mean": [0.5, 0.8, 1.2], "eti95_lb": [0.3, 0.6, 0.9], "eti95_ub": [0.7, 1.1, 1.5]}
    ).assign(r_hat=1.0, passed=True)
    sweep = Sweep("hold", "b[y, value(x)]", "ratio", "times", table, table.iloc[:1], 1.0)
    assert sweep.tipping == pytest.approx((0.5,))
    assert sweep.unclear == (0.0,)
    assert "its mean is 1 at 0.50" in repr(sweep)
    assert ba.plot_sensitivity(sweep).axes[0].lines[1].get_ydata()[0] == 1.0
    assert "its mean never passes 1" in repr(replace(sweep, table=table.iloc[:2]))
    assert replace(sweep, null=None).tipping == replace(sweep, null=None).unclear == ()


def test_fits_whose_chains_disagree_tip_nothing() -> None:
    """They stand in the table, and are named."""
    table = pd.DataFrame(
        {"held": [-1.0, 0.0, 1.0], "mean": [-9.0, 0.8, 1.2], "eti95_lb": [-20.0, 0.6, 0.9], "eti95_ub": [2.0, 1.1, 1.5]}
    ).assign(r_hat=[2.1, 1.0, 1.001])
    sweep = Sweep("hold", "b[y, value(x)]", "growth", "points", table, table.iloc[1:2])
    assert sweep.tipping == sweep.unclear == ()
    assert "its mean keeps its sign throughout (without -1, where chains did NOT agree" in repr(sweep)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hold": "curent"}, "Did you mean 'current'"),
        ({"values": (1.0,)}, "two values or more"),
    ],
)
def test_bad_input(sessions: ba.SessionTable, change: dict, message: str) -> None:
    """Unknown labels and a single value, before anything is fitted."""
    given = {"hold": "current", "values": (0.0, 1.0), "estimand": "growth", "seed": 1} | change
    with pytest.raises(ba.AllianceError, match=message):
        ba.delta_sweep(SPEC, sessions, **given)


def test_a_single_term_is_held(sessions: ba.SessionTable) -> None:
    """An intercept is refused before anything is fitted."""
    spec = ba.alter_model(SPEC, labels={"base": "leaving ~ 1"})
    with pytest.raises(ba.SpecError, match="hold the coefficient of a term"):
        ba.delta_sweep(spec, sessions, hold="base", values=(0.0, 1.0), estimand="growth", seed=1)


def test_a_sweep_says_why_it_does_not_tip() -> None:
    """One chain has no R-hat and counts for nothing; a quotient has no mean, an SD nothing it is compared with."""
    table = pd.DataFrame(
        {"held": [0.0, 1.0], "mean": [-0.5, 0.5], "eti95_lb": [-1.0, 0.1], "eti95_ub": [-0.1, 1.0], "r_hat": 1.0}
    ).assign(passed=True)
    sweep = Sweep("hold", "b[y, value(x)]", "growth", "points", table, table.iloc[:1])
    assert sweep.tipping == (0.5,)
    alone = replace(sweep, table=table.assign(r_hat=np.nan, passed=False))
    assert alone.tipping == alone.unclear == ()
    assert "not known (without 0, 1, where" in repr(alone)
    assert "where its mean would turn is not known" in repr(replace(sweep, table=table.assign(mean=np.nan)))
    assert "it has no value that means no difference" in repr(replace(sweep, null=None))
    apart = replace(sweep, table=table.assign(r_hat=[1.0, 2.0], passed=[False, False]))
    assert "not known (without 1, where" in repr(apart)
    drawn = [ba.plot_sensitivity(one).axes[0].get_legend_handles_labels()[1] for one in (sweep, apart)]
    assert drawn[0] == ["mean is 0, between fits", "estimated"]
    assert drawn[1] == ["a sampling check failed", "chains did not agree", "estimated"]
