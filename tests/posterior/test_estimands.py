"""Estimands: brute force against formulas, tables, regions, and questions asked afterwards."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
import xarray as xr

import bayes_alliance as ba
from bayes_alliance._terminal import PlainConsole
from bayes_alliance.design.estimands import EstimandDesign
from bayes_alliance.fit.estimands import work_out
from bayes_alliance.report.terminal import estimands_table
from bayes_alliance.spec.labels import parse_estimand

LABELS = {"a": "m, x", "d": "w, m", "b": "y, w", "c": "y, x"}


def draws(by: bool = False) -> xr.Dataset:
    """Return made-up draws of four coefficients and the covariance of three of them over patients."""
    rng = np.random.default_rng(1)
    shape = (2, 50)
    effects = ["m, x", "w, m", "y, w"]
    lead = ("chain", "draw", "patient_by") if by else ("chain", "draw")
    size = (*shape, 2) if by else shape
    raw = rng.normal(size=(*size, 3, 5))
    covariance = raw @ np.swapaxes(raw, -1, -2) / 5
    sd = np.sqrt(np.einsum("...ii->...i", covariance))
    cor = covariance / (sd[..., :, None] * sd[..., None, :])
    coords = {"coef": list(LABELS.values()), "patient_effect": effects, "patient_effect_2": effects}
    if by:
        coords["patient_by"] = ["arm[TAU]", "arm[MBCT]"]
    return xr.Dataset(
        {
            "b": (("chain", "draw", "coef"), rng.normal(size=(*shape, 4))),
            "sd_patient": ((*lead, "patient_effect"), sd),
            "cor_patient": ((*lead, "patient_effect", "patient_effect_2"), cor),
            "sigma": (("chain", "draw", "sigma_coef"), rng.uniform(1, 2, (*shape, 1))),
        },
        coords={**coords, "sigma_coef": ["y"]},
    )


def value(text: str, drawn: xr.Dataset) -> xr.Dataset:
    """Work one estimand out."""
    strata = {"arm[TAU]": "arm = TAU", "arm[MBCT]": "arm = MBCT"}
    asked = EstimandDesign(
        "e", parse_estimand(text), LABELS, "points", "population", factors=("patient",), strata=strata
    )
    worked = work_out([asked], drawn)
    assert worked is not None
    return worked


@pytest.mark.parametrize("paths", [("a", "d"), ("a", "d", "b")])
def test_indirect_is_the_mean_of_the_product_over_units(paths: tuple[str, ...]) -> None:
    """Brute force: the mean product of paths drawn for a million units is the formula's value."""
    drawn = draws().isel(draw=slice(0, 2))
    got = value(f"indirect({', '.join(paths)})", drawn)["value"].values.squeeze(-1)
    rng = np.random.default_rng(2)
    labels = [LABELS[path] for path in paths]
    for chain in range(2):
        for draw in range(2):
            one = drawn.isel(chain=chain, draw=draw)
            sd = one["sd_patient"].sel(patient_effect=labels).values
            cor = one["cor_patient"].sel(patient_effect=labels, patient_effect_2=labels).values
            units = rng.multivariate_normal(one["b"].sel(coef=labels).values, cor * np.outer(sd, sd), 1_000_000)
            product = units.prod(axis=1)
            assert got[chain, draw] == pytest.approx(product.mean(), abs=6 * product.std() / 1000)


def test_arithmetic_is_numpys() -> None:
    """Precedence, brackets, powers of functions, draws kept one by one."""
    drawn = draws()
    a, b, c = (drawn["b"].sel(coef=LABELS[name]).values for name in "abc")
    for text, expected in {
        "a + b * 2 - c / 4": a + b * 2 - c / 4,
        "(a - b) * (a + b)": (a - b) * (a + b),
        "a - (b - c)": a - (b - c),
        "-a": -a,
        "exp(a) + sqrt(b * b) - log(exp(c))": np.exp(a) + np.abs(b) - c,
        "3": np.full_like(a, 3),
        "sigma(y) * a": drawn["sigma"].values[..., 0] * a,
    }.items():
        np.testing.assert_allclose(value(text, drawn)["value"].values[..., 0], expected, rtol=1e-12)


def test_covariances_by_stratum_are_entries_of_their_own() -> None:
    """Where arms have covariances of their own, so have the estimands over them."""
    drawn = draws(by=True)
    got = value("cov(patient, a, d)", drawn)
    assert list(got["estimand"].values) == ["e[arm = TAU]", "e[arm = MBCT]"]
    sd = drawn["sd_patient"].isel(patient_by=1)
    expected = drawn["cor_patient"].isel(patient_by=1)[..., 0, 1] * sd[..., 0] * sd[..., 1]
    np.testing.assert_allclose(got["value"].values[..., 1], expected.values)


def test_ratios_have_no_mean_in_the_table(small_fit: ba.Fit) -> None:
    """A quotient of posterior quantities is given by its median, with the error of the median."""
    asked = ba.add_estimands(
        small_fit,
        {
            "share": {"value": "slope / more", "unit": "share"},
            "slope_in_arm": {"value": "slope + more", "unit": "points per week", "rope": [-0.5, 0.5]},
        },
        labels={"slope": "outcome ~ session", "more": "outcome ~ session:condition"},
    )
    table = ba.summarize_estimands(asked).set_index("name")
    assert np.isnan(table.loc["share", ["mean", "sd", "p_rope"]].astype(float)).all()
    assert np.isfinite(float(table.loc["share", "mcse"]))
    b = small_fit.data["posterior"]["b"]
    total = (b.sel(coef="score, week") + b.sel(coef="score, week:arm[MBCT]")).values
    assert table.loc["slope_in_arm", "mean"] == pytest.approx(total.mean())
    assert table.loc["slope_in_arm", "p_rope"] == pytest.approx(np.mean(np.abs(total) < 0.5))
    assert table.loc["slope_in_arm", "r_hat"] < 1.1
    assert "slope_in_arm" in asked.spec.estimands
    assert "estimands" not in small_fit.data.children


def test_positive_means_above_what_means_no_difference(small_fit: ba.Fit) -> None:
    """A factor is compared with 1, so that its probability is its coefficient's; an SD has none to be compared with."""
    asked = ba.add_estimands(
        small_fit,
        {
            "slope": {"value": "growing", "unit": "points per week"},
            "factor": {"value": "exp(growing)", "unit": "times per week"},
            "spread": {"value": "sd(patient, level)", "unit": "points"},
        },
        labels={"growing": "outcome ~ session:condition", "level": "outcome ~ 1"},
    )
    table = ba.summarize_estimands(asked).set_index("name")
    b = small_fit.data["posterior"]["b"].sel(coef="score, week:arm[MBCT]").values
    assert 0 < (b > 0).mean() < 1
    assert table.loc["slope", "p_positive"] == table.loc["factor", "p_positive"] == (b > 0).mean()
    assert np.isnan(table.loc["spread", "p_positive"])
    figure = ba.plot_estimands(asked, names=["slope", "factor"])
    lines = [line.get_xdata()[0] for axes in figure.axes for line in axes.lines if line.get_linestyle() == "--"]
    assert sorted(lines) == [0.0, 1.0]


def test_the_terminal_shows_estimands_with_their_units(small_fit: ba.Fit) -> None:
    """One line per estimand: a ratio by its median, a missing region as a dash, brackets as they are."""
    asked = ba.add_estimands(
        small_fit,
        {
            "share": {"value": "slope / more", "unit": "share"},
            "at": {"value": "slope + w * more", "unit": "points per week", "at": {"w": [1]}, "rope": [-0.5, 0.5]},
        },
        labels={"slope": "outcome ~ session", "more": "outcome ~ session:condition"},
    )
    table = ba.summarize_estimands(asked).set_index("name")
    console = PlainConsole(file=StringIO(), width=200)
    console.print(estimands_table(table.reset_index()))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    share = next(line for line in lines if line.startswith("share"))
    assert f"{table.loc['share', 'median']:.3f}" in share
    assert " - " in share
    at = next(line for line in lines if line.startswith("at[w = 1]"))
    assert f"{table.loc['at[w = 1]', 'mean']:.3f}" in at
    assert f"{table.loc['at[w = 1]', 'p_rope']:.3f}" in at


def test_estimands_whose_chains_did_not_mix_are_marked(small_fit: ba.Fit) -> None:
    """Chains that disagree on one of two estimands: it alone is marked, in the table and in the terminal."""
    asked = ba.add_estimands(
        small_fit,
        {"rate": {"value": "slope", "unit": "points"}, "more": {"value": "slope + slope", "unit": "points"}},
        labels={"slope": "outcome ~ session"},
    )
    values = asked.data["estimands"]["value"].copy(deep=True)
    noise = xr.DataArray(np.random.default_rng(1).normal(size=(2, 4000, 2)), dims=("chain", "draw", "estimand"))
    chain = xr.DataArray([0.0, 1.0], dims="chain")
    apart = xr.DataArray([1.0, 0.0], dims="estimand", coords={"estimand": values["estimand"]})
    drawn = noise.assign_coords(estimand=values["estimand"]) + 5 * chain * apart
    data = asked.data.copy()
    data["estimands"] = xr.DataTree(asked.data["estimands"].to_dataset().drop_dims("draw").assign(value=drawn))
    table = ba.summarize_estimands(replace(asked, data=data))
    assert list(table["mixed"]) == [False, True]
    console = PlainConsole(file=StringIO(), width=200)
    console.print(estimands_table(table))
    assert "rate (chains NOT MIXED)" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "more (chains" not in console.file.getvalue()  # type: ignore[attr-defined]


def test_regions_of_equivalence_have_no_default(small_fit: ba.Fit) -> None:
    """Without a stated region there is no probability of equivalence; one may be given in the call."""
    asked = ba.add_estimands(
        small_fit, {"slope": {"value": "s", "unit": "points per week"}}, labels={"s": "outcome ~ session"}
    )
    with pytest.raises(ba.FitError, match=r"'slope' \(points per week\) has no region of practical equivalence"):
        ba.probability_in_rope(asked, "slope")
    inside = ba.probability_in_rope(asked, "slope", rope=(-0.9, -0.7))
    draws_of = asked.data["posterior"]["b"].sel(coef="score, week").values
    assert inside == pytest.approx(np.mean((draws_of > -0.9) & (draws_of < -0.7)))
    with pytest.raises(ba.FitError, match="the lower bound comes first"):
        ba.probability_in_rope(asked, "slope", rope=(1, 0))
    with pytest.raises(ba.FitError, match=r"Unknown estimand 'slop'.*Did you mean 'slope'"):
        ba.probability_in_rope(asked, "slop")


def test_estimands_of_a_fit_without_any(small_fit: ba.Fit) -> None:
    """An empty table with the columns, not an error."""
    table = ba.summarize_estimands(small_fit)
    assert len(table) == 0
    assert list(table.columns[:3]) == ["name", "level", "unit"]


def test_new_estimands_are_checked_like_those_of_a_file(small_fit: ba.Fit) -> None:
    """Unknown terms and misspelt keys are named; a fit without rows says what to do."""
    with pytest.raises(ba.SpecError, match="Unknown term 'sesion'"):
        ba.add_estimands(small_fit, {"e": {"value": "s", "unit": "u"}}, labels={"s": "outcome ~ sesion"})
    with pytest.raises(ValueError, match="unit"):
        ba.add_estimands(small_fit, {"e": {"value": "s"}}, labels={"s": "outcome ~ session"})


def test_labels_of_time_are_those_of_what_plays_it(small_fit: ba.Fit) -> None:
    """The model file's time:condition and the fit's session:condition are one coefficient."""
    stated = {"e": {"value": "s", "unit": "points"}}
    one, two = (
        ba.add_estimands(small_fit, stated, labels={"s": f"outcome ~ {clock}:condition"})
        for clock in ("time", "session")
    )
    assert one.spec == two.spec
    assert ba.summarize_estimands(one).equals(ba.summarize_estimands(two))


def test_estimands_survive_the_disk(small_fit: ba.Fit, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """A stored fit gives the same table, without rows and without its design."""
    asked = ba.add_estimands(
        small_fit, {"e": {"value": "s * 2", "unit": "points", "rope": [-1, 1]}}, labels={"s": "outcome ~ session"}
    )
    asked.save(tmp_path / "fit")
    loaded = ba.load_fit(tmp_path / "fit")
    one, two = ba.summarize_estimands(asked), ba.summarize_estimands(loaded)
    assert one.equals(two)
    assert loaded.spec == asked.spec
    assert "e" in loaded.spec.estimands


def test_a_model_without_coefficients_claims_shares_alone(sessions: ba.SessionTable) -> None:
    """Group effects around zero have a share of variance, and nothing fails for want of a coefficient."""
    text = (
        'title = "t"\nquestion = "q?"\n[[equation]]\noutcome = "score"\nunit = "session"\nformula = "0 + (1 | patient)"'
    )
    table = ba.describe_prior(ba.make_design(ba.parse_model(text), sessions), draws=20, seed=1)
    assert set(table["scale"]) == {"share of variance"}


def test_what_priors_claim_on_known_scales(sessions: ba.SessionTable) -> None:
    """Standardised effects follow their priors, shares lie between 0 and 1 and add up in the middle."""
    made = ba.make_design(
        ba.load_model("growth/treatment"),
        ba.Study(sessions, columns={"outcome": "score", "condition": "arm"}, reference={"condition": "TAU"}),
    )
    table = ba.describe_prior(made, draws=4000, seed=3).set_index("name")
    slope = table.loc["b[score, week]"]
    assert slope["scale"] == "outcome SDs per predictor SD"
    assert slope["q95"] == pytest.approx(2.5 * 1.645, rel=0.08)  # normal(0, 2.5) outcome SDs per SD
    assert table.loc["b[score, arm[MBCT]]", "scale"] == "outcome SDs per step"
    shares = table[table["scale"] == "share of variance"]
    assert ((shares[["q5", "q95"]] >= 0) & (shares[["q5", "q95"]] <= 1)).all().all()
    assert table.loc["share_therapist[rows]", "median"] < 0.1  # half-t(3, .3 SD) on therapists
    again = ba.describe_prior(made, draws=4000, seed=3).set_index("name")
    assert table.equals(again)
