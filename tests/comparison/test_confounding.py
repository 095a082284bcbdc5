"""Effects under stated correlations of residuals: the closed form, where they vanish, what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from tests.design.test_modelled import equation, model

WIDE = {"b": "normal(0, 50)", "intercept": "normal(0, 100)", "sigma": "half_normal(50)"}
SPEC = model(equation("m", "x"), equation("y", "x + m"))
QUICK = ba.SamplerSettings(draws=500, progress="off")


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    """Return SYNTHETIC patients whose mediator and outcome share an unmeasured cause: residuals correlate at .36."""
    rng = np.random.default_rng(4)
    n = 300
    x, cause = np.tile([0.0, 1.0], n // 2), rng.normal(size=n)
    m = 0.6 * x + 0.6 * cause + rng.normal(0, 0.8, n)
    y = 0.3 * x + 0.5 * m + 0.6 * cause + rng.normal(0, 0.8, n)
    return pd.DataFrame({"patient": [f"p{i}" for i in range(n)], "x": x, "m": m, "y": y})


@pytest.fixture(scope="module")
def found(people: pd.DataFrame) -> ba.Sensitivity:
    """Return the indirect effect at seven correlations."""
    table = ba.read_sessions(people, {"patient": "patient"})
    return ba.confounding_sensitivity(
        SPEC,
        table,
        predictor="x",
        outcome="y",
        between=("m", "y"),
        values=(-0.5, 0.0, 0.3, 0.5, 0.6, 0.7, 0.8),
        seed=1,
        priors=WIDE,
        settings=QUICK,
        progress="off",
    )


def test_effects_are_those_of_the_closed_form(found: ba.Sensitivity, people: pd.DataFrame) -> None:
    """The slope at correlation r is least squares' less r / sqrt(1 - r^2) times the ratio of residual SDs."""
    n = len(people)
    first = np.column_stack([np.ones(n), people["x"]])
    a, left = np.linalg.lstsq(first, people["m"], rcond=None)[:2]
    sd_m = np.sqrt(left[0] / (n - 2))
    second = np.column_stack([first, people["m"]])
    b, rest = np.linalg.lstsq(second, people["y"], rcond=None)[:2]
    sd_y = np.sqrt(rest[0] / (n - 3))
    for row in found.table.itertuples():
        r = row.correlation
        expected = a[1] * (b[2] - r / np.sqrt(1 - r**2) * sd_y / sd_m)
        assert abs(row.mean - expected) < 0.15 * row.sd, r
    ratio = b[2] * sd_m / sd_y
    assert found.tipping[0] == pytest.approx(ratio / np.sqrt(1 + ratio**2), abs=0.03)


def test_it_says_what_the_data_do_not(found: ba.Sensitivity) -> None:
    """The verdict names where the effect vanishes, and that no data tell the correlation; the picture shows both."""
    assert "The data say nothing of this correlation" in repr(found)
    assert f"its mean is 0 at {found.tipping[0]:.2f}" in repr(found)
    assert found.table["passed"].all()
    axes = ba.plot_sensitivity(found).axes[0]
    assert "stated, not estimated" in axes.get_xlabel()
    assert any(text.get_text() == f"{found.tipping[0]:.2f}" for text in axes.texts)


def test_what_cannot_be_asked(people: pd.DataFrame) -> None:
    """Values outside -1 to 1, outcomes that are none, effects that are none, models with correlations of their own."""
    table = ba.read_sessions(people, {"patient": "patient"})

    def ask(spec: ba.ModelSpec = SPEC, **changes: object) -> None:
        stated: dict[str, object] = {"between": ("m", "y"), "seed": 1, "settings": QUICK, "progress": "off"}
        ba.confounding_sensitivity(spec, table, predictor="x", outcome="y", **(stated | changes))  # type: ignore[arg-type]

    with pytest.raises(ba.FitError, match=r"values = \[0, 1\]: two correlations or more, between -1 and 1"):
        ask(values=[0, 1])
    with pytest.raises(ba.SpecError, match="Unknown outcome 'z'"):
        ask(between=("m", "z"))
    with pytest.raises(ba.FitError, match=r"Unknown effect 'indirct'.*Did you mean 'indirect'"):
        ask(effect="indirct", values=[0.0, 0.1])
    own = model(equation("m", "x"), equation("y", "x + m"), residual={"correlate": ["m", "y"], "fixed": 0.1})
    with pytest.raises(ba.FitError, match=r"has \[residual\] correlations of its own"):
        ask(own)
