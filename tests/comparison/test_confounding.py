"""Effects under stated correlations of residuals: the closed form, where they vanish, what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

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
        ba.Study(table, priors=WIDE),
        predictor="x",
        outcome="y",
        between=("m", "y"),
        values=(-0.5, 0.0, 0.3, 0.5, 0.6, 0.7, 0.8),
        seed=1,
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

    with pytest.raises(
        ba.FitError, match=r"values = \[0, 1\]: it takes two correlations or more. Each lies between -1 and"
    ):
        ask(values=[0, 1])
    with pytest.raises(ba.SpecError, match="Unknown outcome 'z'"):
        ask(between=("m", "z"))
    with pytest.raises(ba.FitError, match=r"Unknown effect 'indirct'.*Did you mean 'indirect'"):
        ask(effect="indirct", values=[0.0, 0.1])
    own = model(equation("m", "x"), equation("y", "x + m"), residual={"correlate": ["m", "y"], "fixed": 0.1})
    with pytest.raises(ba.FitError, match=r"has \[residual\] correlations of its own"):
        ask(own)


def test_a_correlation_may_have_a_prior(people: pd.DataFrame) -> None:
    """Its posterior is its prior, LKJ(20) with an SD of 1 / sqrt(41), and the effect is less sure by it."""
    table = ba.read_sessions(people, {"patient": "patient"})
    settings = ba.SamplerSettings(draws=2000, progress="off")
    ask = {"predictor": "x", "outcome": "y", "between": ("m", "y"), "values": (0.0, 0.3), "seed": 1}
    found = ba.confounding_sensitivity(
        SPEC, ba.Study(table, priors=WIDE), prior="lkj(20)", settings=settings, progress="off", **ask
    )  # type: ignore[arg-type]
    assert found.under_prior is not None
    effect, correlation = (found.under_prior.iloc[i] for i in (0, 1))
    assert correlation["sd"] == pytest.approx(1 / np.sqrt(41), rel=0.1)
    assert abs(correlation["mean"]) < 0.02
    assert effect["sd"] > 1.1 * found.table["sd"][0]
    assert effect["passed"]
    assert "Under the prior lkj(20)" in repr(found)


@pytest.fixture(scope="module")
def caseloads() -> pd.DataFrame:
    """Return SYNTHETIC patients of 30 therapists, who differ in mediator and outcome; these effects correlate at .8."""
    rng = np.random.default_rng(6)
    n, k = 300, 30
    who, x = np.arange(n) % k, np.repeat([0.0, 1.0], n // 2)
    u = rng.multivariate_normal([0, 0], [[0.49, 0.392], [0.392, 0.49]], k)
    m = 0.6 * x + u[who, 0] + rng.normal(0, 0.8, n)
    y = 0.3 * x + 0.5 * m + u[who, 1] + rng.normal(0, 0.8, n)
    return pd.DataFrame({"patient": [f"p{i}" for i in range(n)], "t": [f"t{i}" for i in who], "x": x, "m": m, "y": y})


BY_THERAPIST = model(equation("m", "x + (1 | therapist)"), equation("y", "x + m + (1 | therapist)"))


def test_therapists_effects_at_a_stated_correlation(caseloads: pd.DataFrame) -> None:
    """The slope at a stated correlation is that of the marginal likelihood, written with dense covariances."""
    table = ba.read_sessions(caseloads, {"patient": "patient", "therapist": "t"})
    found = ba.confounding_sensitivity(
        BY_THERAPIST,
        ba.Study(table, priors=WIDE | {"sd therapist": "half_normal(50)"}),
        predictor="x",
        outcome="y",
        between=("m", "y"),
        factor="therapist",
        values=(-0.5, 0.8),
        seed=1,
        settings=ba.SamplerSettings(draws=1500, tune=800, chains=2, progress="off"),
        progress="off",
    )
    assert found.table["passed"].all()
    assert "therapist effects of m and y" in repr(found)
    assert "taken to be alike" in repr(found)
    for row in found.table.itertuples():
        a, b = largest_likelihood(caseloads, float(row.correlation))
        assert abs(row.mean - a * b) < 0.25 * row.sd, row.correlation
    assert found.table["mean"][0] - found.table["mean"][1] > found.table["sd"][1]
    axes = ba.plot_sensitivity(found).axes[0]
    assert "therapist effects of m and y" in axes.get_xlabel()


def largest_likelihood(frame: pd.DataFrame, correlation: float) -> tuple[float, float]:
    """Return the slopes of m on x and of y on m at their maximum, therapists' effects integrated out."""
    whole = frame.sort_values("t")
    x, m, y = (whole[name].to_numpy().reshape(30, 10) for name in ("x", "m", "y"))
    one, eye = np.ones((10, 10)), np.eye(10)

    def loss(p: np.ndarray) -> float:
        tau, sigma = np.exp(p[5:7]), np.exp(p[7:9])
        residual = np.concatenate([m - p[0] - p[1] * x, y - p[2] - p[3] * x - p[4] * m], axis=1)
        between = np.outer(tau, tau) * np.array([[1, correlation], [correlation, 1]])
        cov = np.kron(between, one) + np.kron(np.diag(sigma**2), eye)
        quadratic = (residual * np.linalg.solve(cov, residual.T).T).sum()
        return float(0.5 * 30 * np.linalg.slogdet(cov)[1] + 0.5 * quadratic)

    start = np.array([0, 0.5, 0, 0.3, 0.5, -0.4, -0.4, -0.2, -0.2])
    best = optimize.minimize(loss, start, method="BFGS", options={"gtol": 1e-3}).x
    return float(best[1]), float(best[4])


def test_levels_and_priors_that_do_not_fit(caseloads: pd.DataFrame) -> None:
    """Levels that are none, slopes that vary there, correlations that are none or cannot all hold."""
    table = ba.read_sessions(caseloads, {"patient": "patient", "therapist": "t"})

    def ask(spec: ba.ModelSpec, level: str) -> None:
        ba.confounding_sensitivity(
            spec, table, predictor="x", outcome="y", between=("m", "y"), factor=level, seed=1, settings=QUICK
        )

    with pytest.raises(ba.FitError, match=r"Unknown factor 'terapist'.*Did you mean 'therapist'"):
        ask(BY_THERAPIST, "terapist")
    slopes = model(equation("m", "x + (1 + x | therapist)"), equation("y", "x + m + (1 | therapist)"))
    with pytest.raises(ba.FitError, match="in the equation of 'm' intercepts, and nothing else, must vary"):
        ask(slopes, "therapist")
    with pytest.raises(ba.DesignError, match="a correlation is between -1 and 1"):
        ba.make_design(slopes, ba.Study(table, priors={"cor therapist": "equal(1.2)"}))
    three = model(equation("y", "x + m + (1 + x + m | therapist)"))
    with pytest.raises(ba.DesignError, match=r"3 effects cannot all correlate at -0.6; it is above -0.5"):
        ba.make_design(three, ba.Study(table, priors={"cor therapist": "equal(-0.6)"}))
    with pytest.raises(ba.DesignError, match=r"'equal\(0.3\)' on 'sigma' cannot describe"):
        ba.make_design(BY_THERAPIST, ba.Study(table, priors={"sigma": "equal(0.3)"}))


def test_stated_correlations_are_drawn_and_calibrated() -> None:
    """Truths drawn from the prior have the stated correlation, and the exact engine hands such models on."""
    spec = model(
        equation("m", "x + (1 | therapist)"),
        equation("y", "x + m + (1 | therapist)"),
        groups={"therapist": {"correlate": ["m", "y"]}},
        prior=[{"on": "cor therapist", "dist": "equal(0.4)", "reason": "Stated."}],
    )
    drawn = ba.simulate_sessions(
        spec,
        ba.Layout(patients=300, therapists=100),
        truth={
            "b[m, Intercept]": 0,
            "b[m, x]": 0,
            "b[y, Intercept]": 0,
            "b[y, x]": 0,
            "b[y, m]": 0,
            "sigma[m]": 1e-6,
            "sigma[y]": 1e-6,
            "sd_therapist[m, Intercept]": 1,
            "sd_therapist[y, Intercept]": 1,
            "cor_therapist[m, Intercept | y, Intercept]": 0.4,
        },
        seed=1,
        variables={"x": {"unit": "patient"}},
    )
    with pytest.raises(ba.FitError, match=r"'cor therapist' is stated, equal\(0.4\)|cor_therapist is stated"):
        ba.fit_model(spec, drawn, seed=1, engine="collapsed", settings=QUICK)
    model_of_it = ba.build_model(spec, ba.make_design(spec, drawn))
    matrix = model_of_it["cor_therapist"].eval()
    np.testing.assert_allclose(matrix, [[1, 0.4], [0.4, 1]])


def test_an_arm_of_three_is_followed() -> None:
    """``level=`` says which arm is compared with the reference; at 0 it is the effect of the model as it stands."""
    rng = np.random.default_rng(4)
    arm = np.tile(["A", "B", "C"], 60)
    m = 0.8 * (arm == "B") + 0.2 * (arm == "C") + rng.normal(0, 1, 180)
    frame = pd.DataFrame({"patient": [f"p{i}" for i in range(180)], "arm": arm, "m": m})
    frame["y"] = 0.5 * m + rng.normal(0, 1, 180)
    spec = model(equation("m", "arm"), equation("y", "arm + m"))
    study = ba.Study(ba.read_sessions(frame, {"patient": "patient"}), reference={"arm": "A"})
    stated = {"predictor": "arm", "outcome": "y", "between": ("m", "y"), "values": (0.0, 0.4), "seed": 1}
    found = {
        level: ba.confounding_sensitivity(spec, study, **stated, level=level, settings=QUICK, progress="off")  # type: ignore[arg-type]
        for level in ("B", "C")
    }
    fit = ba.fit_model(spec, study, seed=1, settings=QUICK)
    for level, own in found.items():
        plain = ba.mediation_effects(fit, "arm", outcome="y", level=level).table().set_index("name")
        assert own.table["mean"][0] == pytest.approx(plain.loc["indirect", "mean"], rel=1e-9)
    assert found["B"].table["mean"][0] > found["C"].table["mean"][0] + 0.1
