"""The product algebra of mediation beside the evaluator's steps: the same in every draw, on many models."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bayes_alliance as ba
from tests.posterior.test_propagation import flat
from tests.posterior.test_setting import equation, fit_of
from tests.truth.cases import NAMES, registry_case

MODELS = [name for name in NAMES if name.startswith("mediation/") or name in ("outcome/within-between",)]
APART = ("mediation/latent-growth", "mediation/within-person")
"""Models that read another equation's slope, or whose slopes vary together: the truth table holds these to worlds."""


def effects_of(mediation: ba.Mediation, name: str) -> np.ndarray:
    """Return the draws of an effect, shape (sample,)."""
    return mediation.draws["value"].sel(estimand=name).stack(sample=("chain", "draw")).values


@pytest.mark.parametrize("name", [name for name in MODELS if name not in APART])
def test_registered_models(name: str) -> None:
    """Direct effects are comparisons with mediators as they are, totals comparisons with mediators following."""
    case = registry_case(name)
    spec = case.design.spec
    predictor = "condition" if any("condition" in e.predictors for e in spec.equation) else "outcome_pre"
    outcome = [e.outcome for e in spec.equation][-1]
    variable = next(e.variables[predictor] for e in case.design.equations if predictor in e.variables)
    levels = variable.levels
    held: list[dict[str, float]] = [{}]
    if name == "mediation/moderated":
        held = [{"depression_pre": value} for value in (-1.0, 2.0)]
    for at in held:
        for level in (levels or ("", ""))[1:]:
            found = ba.mediation_effects(case.fit, predictor, outcome=outcome, at=at, level=level or None)
            values = [levels[0], level] if levels else [0.0, 1.0]
            ask = {"values": values, "at": at or None, "outcome": outcome}
            total = flat(ba.comparisons(case.fit, predictor, **ask, propagate=True))[:, 0]
            np.testing.assert_allclose(effects_of(found, "total"), total, rtol=1e-9, atol=1e-9)
            names = [str(one) for one in found.draws["estimand"].values]
            if "direct" in names:
                direct = flat(ba.comparisons(case.fit, predictor, **ask))[:, 0]
                np.testing.assert_allclose(effects_of(found, "direct"), direct, rtol=1e-9, atol=1e-9)


def patients() -> pd.DataFrame:
    """Return SYNTHETIC patients in three arms with four scores."""
    rng = np.random.default_rng(2)
    size = 60
    return pd.DataFrame(
        {
            "pid": [f"p{i}" for i in range(size)],
            "tid": [f"t{i % 6}" for i in range(size)],
            "session": 1,
            "arm": np.array(["TAU", "CBT", "MBCT"])[np.arange(size) % 3],
            "x": rng.normal(size=size),
            "wai": rng.integers(1, 8, size),
            **{f"y{k}": rng.normal(size=size) for k in range(4)},
        }
    )


edges = st.lists(st.booleans(), min_size=6, max_size=6)
arms = st.lists(st.booleans(), min_size=4, max_size=4)


@given(edges=edges, arms=arms, product=st.booleans())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_models(edges: list[bool], arms: list[bool], product: bool) -> None:
    """Any system of four linear equations, one perhaps with a moderator: products of slopes are the steps' totals."""
    there, text = dict(zip([(i, j) for j in range(4) for i in range(j)], edges, strict=True)), ""
    there[2, 3] = arms[2] = True  # so that there is a path
    for j in range(4):
        parts = [f"y{i}" for i in range(j) if there[i, j]] + (["arm"] if arms[j] else []) + ["x"]
        if product and j == 3:
            parts.append("y2:x")
        text += equation(f"y{j}", " + ".join([*parts, "(1 | therapist)"]), unit="patient")
    fit = fit_of(text, patients(), reference={"arm": "TAU"})
    at = {"x": 0.7} if product else {}
    for arm in ("CBT", "MBCT"):
        found = ba.mediation_effects(fit, "arm", outcome="y3", level=arm, at=at)
        asked = {"values": ["TAU", arm], "outcome": "y3", "at": at or None}
        total = flat(ba.comparisons(fit, "arm", **asked, propagate=True))[:, 0]
        np.testing.assert_allclose(effects_of(found, "total"), total, rtol=1e-9, atol=1e-10)
        if arms[3]:
            direct = flat(ba.comparisons(fit, "arm", **asked))[:, 0]
            np.testing.assert_allclose(effects_of(found, "direct"), direct, rtol=1e-9, atol=1e-10)


def test_three_arms_at_once_or_two_of_them() -> None:
    """All beside the reference under their names, a stated pair, and slopes of one level alone."""
    text = equation("y0", "arm + x", unit="patient") + equation("y1", "y0 + arm", unit="patient")
    fit = fit_of(text, patients(), reference={"arm": "TAU"})
    every = ba.mediation_effects(fit, "arm")
    names = [str(name) for name in every.draws["estimand"].values]
    assert names[:2] == ["arm[CBT] -> y0 -> y1", "direct [CBT]"]
    assert "arm[MBCT] -> y0 -> y1" in names
    for level in ("CBT", "MBCT"):
        one = ba.mediation_effects(fit, "arm", level=level)
        np.testing.assert_allclose(effects_of(every, f"total [{level}]"), effects_of(one, "total"))
    pair = ba.mediation_effects(fit, "arm", level=("CBT", "MBCT"))
    asked = {"values": ["CBT", "MBCT"], "outcome": "y1"}
    np.testing.assert_allclose(
        effects_of(pair, "total"), flat(ba.comparisons(fit, "arm", **asked, propagate=True))[:, 0], rtol=1e-9
    )
    np.testing.assert_allclose(effects_of(pair, "direct"), flat(ba.comparisons(fit, "arm", **asked))[:, 0], rtol=1e-9)
    assert "arm[MBCT rather than CBT] -> y0 -> y1" in pair.draws["estimand"].values
    back = ba.mediation_effects(fit, "arm", level=("CBT", "TAU"))
    cbt = ba.mediation_effects(fit, "arm", level="CBT")
    np.testing.assert_allclose(effects_of(back, "total"), -effects_of(cbt, "total"))
    for several in (every, pair):
        with pytest.raises(ba.FitError, match=r"slopes are those of one\. State level="):
            ba.plot_paths(fit, several)
    with pytest.raises(ba.FitError, match="Unknown level of 'arm': 'ABC'"):
        ba.mediation_effects(fit, "arm", level="ABC")
    with pytest.raises(ba.FitError, match="two levels of 'arm' are compared"):
        ba.mediation_effects(fit, "arm", level=("CBT", "CBT"))
