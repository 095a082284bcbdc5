"""The matched twin: each printed statistic comes out of its own classical analysis on its own rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import bayes_alliance as ba
from tests.build.test_equations import HEAD, equation


@pytest.fixture(scope="module", params=[1, 2, 3, 4, 5, 6])
def table(request: pytest.FixtureRequest) -> ba.SessionTable:
    """Return a matched table."""
    return ba.simulate_matched(seed=request.param)


def patients(table: ba.SessionTable, *needed: str) -> pd.DataFrame:
    """Return the rows of week 2 that lack none of some columns: listwise deletion."""
    early = table.frame[table.frame["week"] == 2].dropna(subset=list(needed))
    return early.assign(online=(early["arm"] == "eMBCT").astype(float))


def least_squares(y: pd.Series, *columns: pd.Series) -> tuple[float, float, int]:
    """Return the last coefficient, its t, and the degrees of freedom."""
    x = np.column_stack([np.ones(len(y)), *columns])
    inverse = np.linalg.inv(x.T @ x)
    b = inverse @ x.T @ y.to_numpy()
    degrees = len(y) - x.shape[1]
    variance = float(((y.to_numpy() - x @ b) ** 2).sum()) / degrees
    return float(b[-1]), float(b[-1] / np.sqrt(variance * inverse[-1, -1])), degrees


def test_regressions_print_what_was_printed(table: ba.SessionTable) -> None:
    """B, t and degrees of freedom of three regressions, to the printed digits."""
    p = patients(table, "hads_post", "alliance")
    b, t, degrees = least_squares(p["hads_post"], p["hads_pre"], p["online"], p["alliance"])
    assert (round(b, 2), round(t, 3), degrees) == (-0.12, -2.656, 114)
    b, t, degrees = least_squares(
        p["hads_post"], p["hads_pre"], p["online"], p["alliance"], p["online"] * p["alliance"]
    )
    assert (round(b, 2), round(t, 3), degrees) == (0.22, 2.261, 113)
    assert round(2 * stats.t.sf(t, degrees), 2) == 0.03
    p = patients(table, "mhc_post", "alliance")
    b, t, degrees = least_squares(p["mhc_post"], p["mhc_pre"], p["online"], p["alliance"])
    assert (round(b, 2), round(t, 3), degrees) == (0.23, 2.651, 113)


def test_growth_prints_what_was_printed(table: ba.SessionTable) -> None:
    """Wilks' lambda by eigenvalues, and the linear contrast as a t test of two groups."""
    waves = table.frame.pivot(index="patient", columns="week", values="alliance").dropna()
    arm = table.frame.groupby("patient")["arm"].first()[waves.index]
    assert len(waves) == 93
    changes = waves.to_numpy()[:, 1:] - waves.to_numpy()[:, :1]
    groups = [changes[(arm == name).to_numpy()] for name in ("MBCT", "eMBCT")]
    error = sum((g - g.mean(axis=0)).T @ (g - g.mean(axis=0)) for g in groups)
    middle = sum(g.mean(axis=0) for g in groups) / 2
    effect = np.outer(middle, middle) / sum(0.25 / len(g) for g in groups)
    wilks = float(np.prod(1 / (1 + np.linalg.eigvals(np.linalg.solve(error, effect)).real)))
    assert round(wilks, 3) == 0.732
    assert round((1 - wilks) / wilks * 90 / 2, 2) == 16.46
    contrast = stats.ttest_ind(groups[0][:, 1], groups[1][:, 1])
    assert round(contrast.statistic**2, 3) == 0.114
    assert round(contrast.pvalue, 2) == 0.74


def logistic(y: pd.Series, column: pd.Series) -> tuple[float, float]:
    """Return a slope's maximum-likelihood estimate by a general optimiser, and its SE from the information there."""
    x = np.column_stack([np.ones(len(y)), column - column.mean()])

    def loss(b: np.ndarray) -> float:
        return float(np.logaddexp(0, x @ b).sum() - y.to_numpy() @ x @ b)

    found = optimize.minimize(loss, np.zeros(2), method="BFGS", options={"gtol": 1e-8})
    chance = 1 / (1 + np.exp(-x @ found.x))
    return float(found.x[1]), float(np.sqrt(np.linalg.inv(x.T @ np.diag(chance * (1 - chance)) @ x)[1, 1]))


def test_dropout_prints_what_was_printed(table: ba.SessionTable) -> None:
    """B and P of a logistic regression, to the printed digits."""
    p = patients(table, "alliance_mean")
    b, se = logistic(p["dropout"].astype(float), p["alliance_mean"])
    assert round(b, 2) == -0.39
    assert round(2 * stats.norm.sf(abs(b / se)), 2) == 0.21


def test_it_says_what_it_is(table: ba.SessionTable) -> None:
    """SYNTHETIC, with what was matched and assumed; 245 patients as randomised."""
    assert table.messages[0].startswith("SYNTHETIC")
    assert sum(text.startswith("Matched: ") for text in table.messages) == 6
    assert any(text.startswith("Assumed: ") for text in table.messages)
    assert table.frame.groupby("patient")["arm"].first().value_counts().to_dict() == {"MBCT": 120, "eMBCT": 125}
    again = ba.simulate_matched(seed=1)
    pd.testing.assert_frame_equal(again.frame, ba.simulate_matched(seed=1).frame)


def near_flat(formula: str, *, early: str = "alliance", family: str = "gaussian") -> ba.ModelSpec:
    """Return a printed regression of patients with near-flat priors."""
    priors = {"intercept": "normal(0, 1000)", "b": "normal(0, 1000)"}
    if family == "gaussian":
        priors["sigma"] = "flat_positive()"
    stated = "".join(f"[[prior]]\non = '{on}'\ndist = '{dist}'\nreason = 'Near-flat.'\n" for on, dist in priors.items())
    variables = f"[variables]\nearly = 'at({early}, session=2)'\n"
    return ba.parse_model(HEAD + variables + equation("post", formula, "patient", f"family = '{family}'") + stated)


@pytest.mark.parametrize(
    ("formula", "outcome", "pre", "term", "b", "t", "degrees"),
    [
        ("pre + arm + early", "hads_post", "hads_pre", "early", -0.12, -2.656, 114),
        ("pre + arm + early", "mhc_post", "mhc_pre", "early", 0.23, 2.651, 113),
        ("pre + arm * early", "hads_post", "hads_pre", "arm[eMBCT]:early", 0.22, 2.261, 113),
    ],
)
def test_near_flat_priors_give_the_same(
    formula: str, outcome: str, pre: str, term: str, b: float, t: float, degrees: int
) -> None:
    """Posterior means within .005 of B and SDs within 2 % of the standard error."""
    fit = ba.fit_model(
        near_flat(formula),
        ba.Study(ba.simulate_matched(seed=1), columns={"post": outcome, "pre": pre}, reference={"arm": "MBCT"}),
        seed=2,
        settings=ba.SamplerSettings(draws=4000, progress="off"),
    )
    row = ba.summarize(fit).set_index("name").loc[f"b[{outcome}, {term}]"]
    assert abs(row["mean"] - b) < 0.005
    assert abs(row["sd"] / (b / t) - 1) < 0.02


def test_near_flat_priors_give_the_same_logistic_regression() -> None:
    """Posterior mean within .1 standard errors of the maximum-likelihood estimate of the slope, SD within 5 %."""
    spec = near_flat("early", early="alliance_mean", family="bernoulli")
    table = ba.simulate_matched(seed=1)
    p = patients(table, "alliance_mean")
    b, se = logistic(p["dropout"].astype(float), p["alliance_mean"])
    settings = ba.SamplerSettings(draws=4000, progress="off")
    fit = ba.fit_model(spec, ba.Study(table, columns={"post": "dropout"}), seed=1, settings=settings)
    row = ba.summarize(fit).set_index("name").loc["b[dropout, early]"]
    assert fit.passed, fit.verdict
    assert abs(row["mean"] - b) < 0.1 * se
    assert abs(row["sd"] / se - 1) < 0.05
