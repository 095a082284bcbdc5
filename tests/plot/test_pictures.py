"""Pictures are figures that hold what they say, made without global state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.figure import Figure

import bayes_alliance as ba
from tests.conftest import ROLES


def test_trajectories_show_each_condition(small_fit: ba.Fit) -> None:
    """One labelled line per condition, axes in the study's names, the interval named in the title."""
    figure = ba.plot_trajectories(small_fit)
    assert isinstance(figure, Figure)
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.get_lines()] == ["TAU", "MBCT"]
    assert axes.get_xlabel() == "week"
    assert axes.get_ylabel() == "score (expected)"
    assert "95% equal-tailed" in axes.get_title(loc="left")
    line = axes.get_lines()[0]
    mean = ba.predict_trajectories(small_fit).sel(arm="TAU").mean(("chain", "draw"))
    np.testing.assert_allclose(line.get_ydata(), mean.values)


def test_effects_are_the_numbers_of_the_table(small_fit: ba.Fit) -> None:
    """One row per coefficient in the order of the formula, each at its mean in ``summarize``."""
    (axes,) = ba.plot_effects(small_fit).axes
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ["week:arm[MBCT]", "arm[MBCT]", "week"]
    points = {line.get_ydata()[0]: line.get_xdata()[0] for line in axes.get_lines() if line.get_marker() == "o"}
    table = ba.summarize(small_fit).set_index("name")["mean"]
    for row, label in enumerate(labels):
        np.testing.assert_allclose(points[row], table[f"b[score, {label}]"])
    assert axes.get_xlabel() == "Change in score, points, per unit of each predictor, with 95% CrI"
    assert "Standardised" not in axes.get_title(loc="left")


def test_standardised_effects_say_so(small_fit: ba.Fit) -> None:
    """In the title, and in every label: per how many units, and where moderators are held."""
    (axes,) = ba.plot_effects(small_fit, standardised=True).axes
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert small_fit.design is not None
    spread = small_fit.design.equation.coef.values[:, 1].std(ddof=1)
    assert [label.replace("\n", " ") for label in labels] == [
        f"week:arm[MBCT], per {spread:.3g} (SDs)",
        "arm[MBCT], 1 rather than 0, at mean week",
        f"week, per {spread:.3g} (SD), at mean arm[MBCT]",
    ]
    assert axes.get_title(loc="left").startswith("Standardised coefficients\n")
    assert axes.get_xlabel() == "Change in score, points, with 95% CrI"


def test_no_text_of_the_effects_is_cut_off(sessions: ba.SessionTable) -> None:
    """Long names of predictors and outcomes are broken into lines that lie inside the picture."""
    text = (
        "title = 'x'\nquestion = 'x?'\n[[equation]]\noutcome = 'distress'\nunit = 'session'\n"
        "formula = 'condition * week + alliance * stress'\n"
    )
    fit = ba.fit_model(
        ba.parse_model(text),
        ba.Study(sessions, columns={"distress": "score", "condition": "arm"}, reference={"condition": "TAU"}),
        seed=1,
        settings=ba.SamplerSettings(draws=20, chains=2, progress="off"),
        engine="collapsed",
    )
    figure = ba.plot_effects(fit)
    figure.draw_without_rendering()
    box = figure.bbox
    for text_ in (*figure.axes[0].get_yticklabels(), figure.axes[0].xaxis.label, figure.axes[0].title):
        own = text_.get_window_extent()
        assert own.x0 >= box.x0
        assert own.x1 <= box.x1
        assert own.y0 >= box.y0


def test_effects_of_what_products_modify_are_at_the_mean_moderator(small_fit: ba.Fit) -> None:
    """Standardised, the slope over weeks is that of the average row, the arms' difference that of the average week."""
    (axes,) = ba.plot_effects(small_fit, standardised=True).axes
    points = {line.get_ydata()[0]: line.get_xdata()[0] for line in axes.get_lines() if line.get_marker() == "o"}
    assert small_fit.design is not None
    week, arm = (small_fit.design.equation.coef.values[:, i] for i in (1, 2))
    b = small_fit.data["posterior"]["b"].mean(("chain", "draw")).to_series()
    slope, difference, product = b.to_numpy()[1:]
    np.testing.assert_allclose(points[2], (slope + product * arm.mean()) * week.std(ddof=1))
    np.testing.assert_allclose(points[1], difference + product * week.mean())
    np.testing.assert_allclose(points[0], product * week.std(ddof=1))


def test_pictures_need_rows(small_fit: ba.Fit, tmp_path: object) -> None:
    """A loaded fit without rows says how to bring them back."""
    loaded = ba.load_fit(small_fit.save(f"{tmp_path}/f"))
    for draw in (ba.plot_trajectories, ba.plot_effects):
        with pytest.raises(ba.FitError, match=r"use fit\.with_rows"):
            draw(loaded)


def test_shares_show_each_factor_and_the_residual(small_fit: ba.Fit) -> None:
    """One row per factor and the residual, a marker per stratum at the mean share."""
    (axes,) = ba.plot_variance_shares(small_fit).axes
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ["residual", "therapist", "patient"]
    shares = ba.variance_shares(small_fit)
    markers = [line for line in axes.get_lines() if line.get_linestyle() == "None"]
    assert len(markers) == 3 * shares.sizes["stratum"]
    shown = sorted(float(line.get_xdata()[0]) for line in markers)
    parts = ("share_patient", "share_therapist", "share_residual")
    means = sorted(float(v) for part in parts for v in shares[part].mean(("chain", "draw")).values)
    np.testing.assert_allclose(shown, means)
    assert "95% equal-tailed" in axes.get_title(loc="left")


def test_caterpillar_is_sorted_and_named(small_fit: ba.Fit) -> None:
    """Therapists from the least to the largest mean, each under its id; the unit on the axis."""
    (axes,) = ba.plot_caterpillar(small_fit, "therapist").axes
    effects = small_fit.effects["u_therapist"].mean(("chain", "draw")).to_series()
    expected = [level for level, _ in effects.sort_values().index]
    patients = ba.unit_estimates(small_fit, better="lower").set_index("therapist")["patients"]
    shown = [f"{level} (n = {patients[level]})" for level in expected]
    assert [text.get_text() for text in axes.get_yticklabels()] == shown
    points = axes.collections[-1]
    np.testing.assert_allclose(points.get_offsets()[:, 0], np.sort(effects.to_numpy()))
    sizes = np.asarray(points.get_sizes())
    assert sizes.argmax() in np.flatnonzero(patients[expected] == patients.max())
    assert "points of score" in axes.get_xlabel()


def test_caterpillar_colours_who_is_surely_best_or_worst(small_fit: ba.Fit) -> None:
    """Levels that are in a third with a probability of 80 % or more, explained in the legend."""
    figure = ba.plot_caterpillar(small_fit, "therapist", better="lower")
    (axes,), (legend,) = figure.axes, figure.legends
    assert [text.get_text().split(",")[0] for text in legend.get_texts()] == [
        "best third",
        "worst third",
        "neither is sure",
    ]
    table = ba.unit_estimates(small_fit, better="lower")
    worst = (table["p_worst_third"] >= 0.8).sum()
    drawn = axes.collections[-1].get_facecolors()
    assert (np.abs(drawn[:, :3] - np.array([213, 94, 0]) / 255).max(axis=1) < 0.01).sum() == worst


def test_trajectories_of_every_therapist(small_fit: ba.Fit) -> None:
    """A thin line per therapist beside those of the arms."""
    (axes,) = ba.plot_trajectories(small_fit, by="therapist").axes
    assert sum(line.get_linewidth() < 1 for line in axes.get_lines()) == 6
    with pytest.raises(ba.FitError, match="Did you mean 'therapist'"):
        ba.plot_trajectories(small_fit, by="therapst")


def test_caterpillar_of_a_slope(small_fit: ba.Fit) -> None:
    """A slope is named by its label and its unit says per what."""
    (axes,) = ba.plot_caterpillar(small_fit, "patient", effect="week").axes
    assert axes.get_xlabel().endswith("per unit of week")


def test_long_names_on_a_caterpillar_are_wrapped(small_fit: ba.Fit) -> None:
    """What the axis says stays within the picture."""
    tree = small_fit.data.copy()
    name = "within(mi(alliance_of_the_first_weeks), therapist_of_record, means=latent)"
    moved = [str(label).replace("Intercept", name) for label in tree["posterior"]["therapist_effect"].values]
    tree["posterior"] = xr.DataTree(tree["posterior"].to_dataset().assign_coords(therapist_effect=moved))
    tree["effects"] = xr.DataTree(small_fit.effects.assign_coords(therapist_effect=moved))
    named = {"therapist_effect": moved, "therapist_effect_2": moved}
    tree["variance/score"] = xr.DataTree(tree["variance/score"].to_dataset().assign_coords(named))
    figure = ba.plot_caterpillar(replace(small_fit, data=tree), "therapist")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert axes.get_xlabel().replace("\n", " ").endswith(name)
    assert axes.xaxis.label.get_window_extent().x1 <= figure.bbox.x1


def test_caterpillar_of_residual_sds(small_fit: ba.Fit) -> None:
    """Effects on the log of a residual SD are drawn under their own name and unit."""
    tree = small_fit.data.copy()
    moved = [str(label).replace("score, ", "sigma(score), ") for label in tree["posterior"]["therapist_effect"].values]
    posterior = tree["posterior"].to_dataset().assign_coords(therapist_effect=moved)
    tree["posterior"] = xr.DataTree(posterior)
    tree["effects"] = xr.DataTree(small_fit.effects.assign_coords(therapist_effect=moved))
    moments = tree["variance/score"].to_dataset()
    moments = moments.assign_coords(formula_sigma_therapist_effect=moved, formula=["sigma"])
    tree["variance/score"] = xr.DataTree(moments)
    (axes,) = ba.plot_caterpillar(replace(small_fit, data=tree), "therapist").axes
    assert axes.get_xlabel() == "deviation from the population, log residual SD of score"


@pytest.mark.parametrize(
    ("factor", "effect", "message"),
    [("therapst", None, "Did you mean 'therapist'"), ("patient", "wek", "Did you mean 'week'")],
)
def test_caterpillar_refuses_what_is_not_there(
    small_fit: ba.Fit, factor: str, effect: str | None, message: str
) -> None:
    """Unknown factors and effects name the nearest."""
    with pytest.raises(ba.FitError, match=message):
        ba.plot_caterpillar(small_fit, factor, effect=effect)


def test_estimands_stand_by_unit_on_what_counts_as_none(sessions: ba.SessionTable) -> None:
    """A part per unit; means at the points; the region of equivalence is shaded; ratios only where they are named."""
    text = (
        "title = 'x'\nquestion = 'x?'\n[[equation]]\noutcome = 'score'\nunit = 'session'\n"
        "formula = 'week + stress + (1 | patient)'\n[labels]\na = 'score ~ week'\nb = 'score ~ stress'\n"
        "[estimands.slope]\nvalue = 'a'\nunit = 'points per week'\nrope = [-0.5, 0.25]\n"
        "[estimands.both]\nvalue = 'a + b'\nunit = 'points'\n[estimands.share]\nvalue = 'a / b'\nunit = 'points'\n"
    )
    quick = ba.SamplerSettings(draws=200, chains=2, progress="off")
    fit = ba.fit_model(ba.parse_model(text), sessions, seed=1, settings=quick)
    figure = ba.plot_estimands(fit)
    assert [axes.get_xlabel() for axes in figure.axes] == ["points per week", "points"]
    assert [[t.get_text() for t in axes.get_yticklabels()] for axes in figure.axes] == [["slope"], ["both"]]
    value = fit.data["estimands"].to_dataset()["value"]
    points = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert float(np.asarray(points[0].get_xdata())[0]) == pytest.approx(float(value.sel(estimand="slope").mean()))
    (shade,) = figure.axes[0].collections
    across = shade.get_paths()[0].vertices[:, 0]
    assert (across.min(), across.max()) == pytest.approx((-0.5, 0.25))
    named = ba.plot_estimands(fit.data["estimands"].to_dataset(), names=["share"])
    (point,) = [line for line in named.axes[0].lines if line.get_marker() == "o"]
    assert float(np.asarray(point.get_xdata())[0]) == pytest.approx(float(value.sel(estimand="share").median()))
    with pytest.raises(ba.FitError, match="Unknown estimand 'slop'"):
        ba.plot_estimands(fit, names=["slop"])


def test_models_without_estimands_say_so(sessions: ba.SessionTable) -> None:
    """Nothing to draw is an error with the remedy."""
    text = "title='x'\nquestion='x?'\n[[equation]]\noutcome='score'\nunit='session'\nformula='week'"
    quick = ba.SamplerSettings(draws=50, chains=2, progress="off")
    fit = ba.fit_model(ba.parse_model(text), sessions, seed=1, settings=quick)
    with pytest.raises(ba.FitError, match=r"The model states no estimand. Add \[labels\] and \[estimands\]"):
        ba.plot_estimands(fit)


def test_parts_of_an_association_stand_side_by_side(trial: pd.DataFrame) -> None:
    """Within and between, each with its points, its slope in the title and a line of that slope."""
    frame = trial.assign(alliance=trial.groupby("pid")["alliance"].transform("mean"))
    fit = ba.fit_model(
        ba.load_model("outcome/within-between"),
        ba.Study(ba.read_sessions(frame, ROLES), columns={"outcome_pre": "pre", "outcome_post": "post"}),
        seed=1,
        settings=ba.SamplerSettings(draws=300, progress="off"),
    )
    parts = {"patient": "within_therapists", "therapist": "between_therapists"}
    asked = {"predictor": "alliance", "outcome": "post", "adjust": ["outcome_pre"]}
    figure = ba.plot_within_between(fit, parts=parts, **asked)  # type: ignore[arg-type]
    left, right = figure.axes
    assert (len(left.collections[0].get_offsets()), len(right.collections[0].get_offsets())) == (24, 6)
    x, y = left.get_lines()[0].get_data()
    slope = float(fit.data["estimands"]["value"].sel(estimand="within_therapists").median())
    np.testing.assert_allclose((y[-1] - y[0]) / (x[-1] - x[0]), slope)  # type: ignore[operator]
    assert f"{slope:.2f}" in left.get_title(loc="left")
    for wrong in ({"patient": "nothing"}, {"clinic": "within_therapists"}):
        with pytest.raises(ba.FitError, match="Unknown"):
            ba.plot_within_between(fit, parts=wrong, **asked)  # type: ignore[arg-type]
    with pytest.raises(ba.FitError, match="variable of post"):
        ba.plot_within_between(fit, predictor="allianc", outcome="post", parts=parts)


def answers() -> pd.DataFrame:
    """Return two questions, two analyses each."""
    rows = [
        ("slope", "as printed", -1.2, -2.0, -0.4, "points", -1.8),
        ("slope", "better", -1.7, -2.6, -0.8, "points", -1.8),
        ("odds", "as printed", 0.7, 0.4, 1.2, "times the odds", np.nan),
        ("odds", "better", 0.6, 0.3, 1.1, "times the odds", np.nan),
    ]
    return pd.DataFrame(rows, columns=["question", "analysis", "estimate", "lower", "upper", "unit", "truth"])


def test_answers_stand_side_by_side() -> None:
    """A panel per question, a row per analysis, the truth where it is known; factors on a logarithmic axis."""
    figure = ba.plot_answers(answers(), factors=["odds"])
    slope, odds = figure.axes
    assert [slope.get_title(loc="left"), odds.get_title(loc="left")] == ["slope", "odds"]
    assert [slope.get_xlabel(), odds.get_xlabel()] == ["points", "times the odds"]
    assert (slope.get_xscale(), odds.get_xscale()) == ("linear", "log")
    spans = [list(map(float, line.get_xdata())) for line in slope.get_lines() if line.get_linewidth() == 2]
    assert spans == [[-2.0, -0.4], [-2.6, -0.8]]
    upright = [float(line.get_xdata()[0]) for line in slope.get_lines() if line.get_linewidth() == 1.2]
    assert -1.8 in upright
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["as printed", "better", "truth"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.drop(columns="lower"), "lack the columns 'lower'"),
        (lambda rows: pd.concat([rows, rows.head(1)]), "two answers of one analysis: 'slope'"),
        (lambda rows: rows.assign(unit=list("abcc")), "more than one unit: 'slope'"),
        (lambda rows: rows.assign(lower=-1.0), "Factors are positive; not so: 'odds'"),
        (lambda rows: rows[rows["question"] == "slope"], "No question 'odds'"),
        (lambda rows: rows.assign(estimate=np.nan), "need numbers"),
    ],
)
def test_answers_that_cannot_be_drawn(change: Callable[[pd.DataFrame], pd.DataFrame], message: str) -> None:
    """Each says what is wrong with the table."""
    with pytest.raises(ba.FitError, match=message):
        ba.plot_answers(change(answers()), factors=["odds"])
