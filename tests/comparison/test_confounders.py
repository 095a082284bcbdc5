"""Effects under several stated correlations at once: the moments they solve, what cannot hold, what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

import bayes_alliance as ba
from tests.comparison.test_confounding import WIDE
from tests.design.test_modelled import equation, model

SPEC = model(equation("m", "x"), equation("w", "x + m"), equation("y", "x + m + w"))
PAIRS = {("m", "w"): (0.0, 0.3), ("m", "y"): (0.4,), ("w", "y"): (-0.9, 0.0, 0.8)}
QUICK = ba.SamplerSettings(draws=500, progress="off")


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    """Return SYNTHETIC patients with two mediators in a row and a cause of all three outcomes that is not measured."""
    rng = np.random.default_rng(9)
    n = 400
    x, cause = np.tile([0.0, 1.0], n // 2), rng.normal(size=n)
    m = 0.6 * x + 0.5 * cause + rng.normal(0, 0.8, n)
    w = 0.2 * x + 0.4 * m + 0.5 * cause + rng.normal(0, 0.8, n)
    y = 0.3 * x + 0.2 * m + 0.5 * w + 0.5 * cause + rng.normal(0, 0.8, n)
    return pd.DataFrame({"patient": [f"p{i}" for i in range(n)], "x": x, "m": m, "w": w, "y": y})


@pytest.fixture(scope="module")
def found(people: pd.DataFrame) -> ba.SensitivityGrid:
    """Return the path through both mediators at six combinations."""
    table = ba.read_sessions(people, {"patient": "patient"})
    return ba.confounding_grid(
        SPEC,
        ba.Study(table, priors=WIDE),
        predictor="x",
        outcome="y",
        correlations=PAIRS,
        effect="x -> m -> w -> y",
        prior="lkj(10)",
        seed=1,
        settings=QUICK,
        progress="off",
    )


def moments(frame: pd.DataFrame, correlations: tuple[float, float, float]) -> float:
    """Return x -> m -> w -> y where residuals have these correlations: six covariances given x, six unknowns."""
    design = np.column_stack([np.ones(len(frame)), frame["x"]])
    coefficients, *_ = np.linalg.lstsq(design, frame[["m", "w", "y"]].to_numpy(), rcond=None)
    rest = frame[["m", "w", "y"]].to_numpy() - design @ coefficients
    covariance = rest.T @ rest / (len(frame) - 2)
    one, two, three = correlations
    correlation = np.array([[1, one, two], [one, 1, three], [two, three, 1]])

    def gap(p: np.ndarray) -> np.ndarray:
        back = np.linalg.inv(np.eye(3) - np.array([[0, 0, 0], [p[0], 0, 0], [p[1], p[2], 0]]))
        spread = np.diag(np.exp(p[3:]))
        implied = back @ spread @ correlation @ spread @ back.T
        return np.asarray((implied - covariance)[np.tril_indices(3)])

    best, _, flag, text = optimize.fsolve(gap, np.array([0.3, 0.2, 0.4, -0.2, -0.2, -0.2]), full_output=True)
    assert flag == 1, text
    return float(coefficients[1, 0] * best[0] * best[2])


def test_effects_are_those_the_moments_give(found: ba.SensitivityGrid, people: pd.DataFrame) -> None:
    """At every combination the posterior mean is the solution of the moments, to sampling error."""
    assert len(found.table) == 5
    for row in found.table.itertuples(index=False):
        expected = moments(people, (row[0], row[1], row[2]))
        assert abs(row.mean - expected) < 0.2 * row.sd, row
    assert found.table["passed"].all()


def test_combinations_that_cannot_hold_are_counted(found: ba.SensitivityGrid) -> None:
    """Of .3, .4 and -.9 there is no matrix; the verdict says so, and that the data say nothing."""
    assert found.left_out == 1
    text = repr(found)
    assert "1 combination left out: no such correlations can hold together" in text
    assert "The data say nothing of these correlations" in text
    assert len(found.turned)
    assert (found.turned["mean"] < 0).all()
    assert f"changes its sign in {len(found.turned)} of 5 combinations (the smallest: m | w: " in text


def test_the_whole_matrix_may_have_a_prior(found: ba.SensitivityGrid) -> None:
    """Under LKJ(10) of three outcomes a correlation has an SD of 1 / sqrt(2 * 10 + 2), and the data leave it so."""
    assert found.under_prior is not None
    own = found.under_prior.set_index("name")
    for label in found.labels:
        assert own["sd"][f"correlation {label}"] == pytest.approx(1 / np.sqrt(22), rel=0.2)
    assert own["sd"]["x -> m -> w -> y"] > 1.2 * found.table["sd"].min()


def test_the_picture_has_a_panel_per_value_of_the_third_pair(found: ba.SensitivityGrid) -> None:
    """Panels name the third pair, the legend the second, and the axis that nothing is estimated."""
    figure = ba.plot_sensitivity(found)
    assert [axes.get_title() for axes in figure.axes] == ["w | y: -0.9", "w | y: 0", "w | y: 0.8"]
    assert figure.legends[0].get_title().get_text() == "m | y"
    assert "stated, not estimated" in figure.get_supxlabel()


def test_what_cannot_be_asked(people: pd.DataFrame) -> None:
    """One pair, values outside -1 to 1, too many fits, correlations that cannot hold, models with their own."""
    table = ba.read_sessions(people, {"patient": "patient"})

    def ask(correlations: dict[tuple[str, str], tuple[float, ...]], spec: ba.ModelSpec = SPEC) -> None:
        ba.confounding_grid(spec, table, predictor="x", correlations=correlations, seed=1, settings=QUICK)

    with pytest.raises(ba.FitError, match=r"'m \| w': there are fewer than two different pairs. Name two or more"):
        ask({("m", "w"): (0.1,)})
    with pytest.raises(ba.FitError, match=r"there are fewer than two different pairs. Name two or more"):
        ask({("m", "w"): (0.1,), ("w", "m"): (0.1,)})
    with pytest.raises(ba.FitError, match=r"correlations of m \| y: \[1.0\] are no correlations. One or more, between"):
        ask({("m", "w"): (0.1,), ("m", "y"): (1.0,)})
    many = tuple(np.linspace(-0.5, 0.5, 15))
    with pytest.raises(ba.FitError, match="ask for 225 fits; at most 200"):
        ask({("m", "w"): many, ("m", "y"): many})
    with pytest.raises(ba.FitError, match="No combination of these correlations can hold together"):
        ask({("m", "w"): (0.9,), ("m", "y"): (0.9,), ("w", "y"): (-0.9,)})
    with pytest.raises(ba.SpecError, match="Unknown outcome 'v'"):
        ask({("m", "w"): (0.1,), ("m", "v"): (0.1,)})
    own = model(equation("m", "x"), equation("y", "x + m"), residual={"correlate": ["m", "y"], "fixed": 0.1})
    with pytest.raises(ba.FitError, match=r"has \[residual\] correlations of its own"):
        ask(PAIRS, own)
