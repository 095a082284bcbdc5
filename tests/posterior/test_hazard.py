"""Chances to leave at each session, where the alliance has stated values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.figure import Figure

import bayes_alliance as ba
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.simulate.prior import draw_parameters
from bayes_alliance.simulate.studies import plan_studies
from tests.truth.fits import make_fit


@pytest.fixture(scope="module")
def fit() -> ba.Fit:
    """Return a fit of leaving after a weak alliance. SYNTHETIC."""
    rng = np.random.default_rng(1)
    rows = []
    for i in range(60):
        level, last = rng.normal(5, 1), 5
        for session in range(1, 6):
            rows.append((f"P{i}", f"T{i % 6}", session, level + rng.normal(0, 0.3)))
            if session > 1 and rng.random() < 1 - np.exp(-np.exp(-1.5 - 0.8 * (level - 5))):
                last = session
                break
        for row in range(len(rows)):
            if rows[row][0] == f"P{i}" and len(rows[row]) == 4:
                rows[row] = (*rows[row], last, float(last < 5))
    frame = pd.DataFrame(rows, columns=["patient", "therapist", "session", "alliance", "last_session", "dropout"])
    roles = {"patient": "patient", "therapist": "therapist", "session": "session"}
    return ba.fit_model(
        ba.load_model("dropout/hazard"),
        ba.read_sessions(frame, roles),
        seed=1,
        settings=ba.SamplerSettings(draws=200, tune=300, chains=2, progress="off"),
    )


def test_hazards_of_those_observed_at_risk(fit: ba.Fit) -> None:
    """Worked out again by hand, therapists' effects included; there is no survival curve of those who stayed."""
    found = ba.predict_hazard(fit, "lag(alliance)", values=(4.0, 6.0), draws=None, at_risk="observed")
    assert fit.design is not None
    equation = fit.design.find("leaving")
    posterior = with_effects(fit).stack(sample=("chain", "draw"))
    b, u = posterior["b"].values.T, posterior["u_therapist"].values[:, 0].T
    x = equation.coef.values.copy()
    x[:, list(equation.coef.labels).index("lag(alliance)")] = 4.0
    linear = b @ x.T + u[:, equation.groups[0].code]
    at = equation.session == 3
    by_hand = (1 - np.exp(-np.exp(linear)))[:, at].mean(axis=1)
    np.testing.assert_allclose(found["hazard"].sel(value=4.0, session=3.0), by_hand)
    weak, strong = (found["hazard"].sel(value=value).mean("draw") for value in (4.0, 6.0))
    assert (weak > strong).all()
    assert int(found["rows"].sel(session=3.0)) == at.sum()
    assert "staying" not in found


def test_survival_is_that_of_all_who_were_there_at_first(fit: ba.Fit) -> None:
    """A patient's chances to stay are multiplied before they are averaged; hazards are what the curve loses."""
    found = ba.predict_hazard(fit, "lag(alliance)", values=(4.0, 6.0), draws=None)
    assert fit.design is not None
    e = fit.design.find("leaving")
    flat = with_effects(fit).stack(sample=("chain", "draw"))
    b = {str(label): flat["b"].sel(coef=label).values for label in flat["coef"].values}
    u = flat["u_therapist"].values[:, 0].T
    there = e.groups[0].code[e.session == 2]
    staying = np.ones((len(u), len(there)))
    for session in (2.0, 3.0, 4.0, 5.0):
        linear = b["leaving, Intercept"] + b["leaving, log(session)"] * np.log(session)
        linear = (linear + 6.0 * b["leaving, lag(alliance)"])[:, None] + u[:, there]
        before, staying = staying, staying * np.exp(-np.exp(linear))
        np.testing.assert_allclose(found["staying"].sel(value=6.0, session=session), staying.mean(axis=1), rtol=1e-9)
        lost = 1 - staying.mean(axis=1) / before.mean(axis=1)
        np.testing.assert_allclose(found["hazard"].sel(value=6.0, session=session), lost, rtol=1e-6)


def test_the_picture_has_hazard_and_staying(fit: ba.Fit) -> None:
    """Two panels, a line per value under its name."""
    draws = ba.predict_hazard(fit, "lag(alliance)", values=(4.0, 6.0))
    figure = ba.plot_hazard(draws, names=("weak", "strong"))
    assert isinstance(figure, Figure)
    left, right = figure.axes
    assert [line.get_label() for line in left.get_lines()] == ["weak", "strong"]
    np.testing.assert_allclose(right.get_lines()[0].get_ydata(), draws["staying"].isel(value=0).mean("draw"))


def test_what_is_not_there(fit: ba.Fit, small_fit: ba.Fit) -> None:
    """An unknown term, and a model without leaving."""
    with pytest.raises(ba.FitError, match=r"Did you mean 'lag\(alliance\)'"):
        ba.predict_hazard(fit, "lag(aliance)", values=(4.0,))
    with pytest.raises(ba.FitError, match="no outcome of leaving"):
        ba.predict_hazard(small_fit, "week", values=(4.0,))
    with pytest.raises(ba.FitError, match="outcome of leaving"):
        ba.predict_hazard(fit, "lag(alliance)", values=(4.0,), outcome="dropout")


def test_a_current_value_that_is_set_takes_the_patients_effects_with_it() -> None:
    """At a stated value of the alliance it does not matter whose alliance it is: chances worked out by hand."""
    spec = ba.load_model("dropout/joint-value")
    layout = {"patients": 24, "sessions": [1, 2, 3, 4], "arms": {"TAU": 12, "MBCT": 12}, "therapists": 4}
    studies = plan_studies(spec, layout, seed=1)
    made = studies.draw(np.random.default_rng(1)).design
    posterior, effects = draw_parameters(made, draws=4, seed=1), xr.Dataset(coords={"chain": [0], "draw": range(4)})
    rng = np.random.default_rng(2)
    for factor in made.factors:
        dims = ("chain", "draw", factor.factor, f"{factor.factor}_effect")
        coords = {factor.factor: list(factor.levels), dims[3]: list(factor.effects)}
        size = (1, 4, len(factor.levels), len(factor.effects))
        effects[f"u_{factor.factor}"] = xr.DataArray(rng.normal(size=size), dims=dims, coords=coords)
    data = xr.DataTree.from_dict({"posterior": posterior, "effects": effects})
    fit = ba.Fit(made.spec, data, {"messages": []}, (), made)
    found = ba.predict_hazard(fit, "value(alliance)", values=(1.5,), draws=None, at_risk="observed")
    e = made.equations[1]
    flat = with_effects(fit).stack(sample=("chain", "draw"))
    b = {label: flat["b"].sel(coef=label).values for label in e.coef_labels}
    v = flat["u_therapist"].sel(therapist_effect="leaving, Intercept").transpose("sample", "therapist").values
    for session in (1.0, 3.0):
        at = e.session == session
        linear = b["leaving, Intercept"] + b["leaving, log(session)"] * np.log(session)
        linear = linear + 1.5 * b["leaving, value(alliance)"]
        arm = e.coef.values[at, list(e.coef.labels).index("condition[MBCT]")]
        whole = linear[:, None] + b["leaving, condition[MBCT]"][:, None] * arm + v[:, e.groups[0].code[at]]
        by_hand = (1 - np.exp(-np.exp(whole))).mean(axis=1)
        np.testing.assert_allclose(found["hazard"].sel(value=1.5, session=session), by_hand, rtol=1e-9)
    everybody = ba.predict_hazard(fit, "value(alliance)", values=(1.5,), draws=None)
    np.testing.assert_allclose(
        everybody["hazard"].sel(session=1.0), found["hazard"].sel(session=1.0), rtol=1e-9
    )  # all are at risk at first
    with pytest.raises(ba.FitError, match=r"reads value\(alliance\), what the equation of alliance says"):
        ba.predict_hazard(fit, "condition", values=("TAU", "MBCT"))


def leaving(formula: str, late: int = 0, early: int = 0) -> ba.Fit:
    """Return a fit with stated parameters: 40 patients, five sessions; ``late`` begin at session 3, ``early`` at 0."""
    rows = [
        (f"P{i:02d}", s, s - 1.0, f"s{s}", "AB"[i % 2], float(s == 5 and i % 4 == 0))
        for i in range(40)
        for s in range(0 if i < early else 3 if i >= 40 - late else 1, 6)
    ]
    frame = pd.DataFrame(rows, columns=["pid", "s", "time", "sess", "arm", "dropped"])
    text = (
        'title = "t"\nquestion = "q?"\n[[equation]]\noutcome = "dropped"\nunit = "session"\nfamily = "bernoulli"\n'
        f'formula = "{formula}"\n'
    )
    factors = {"arm": "A"} | ({"sess": "s1"} if "sess" in formula else {})
    table = ba.read_sessions(frame, {"patient": "pid", "session": "s"})
    return make_fit(ba.make_design(ba.parse_model(text), ba.Study(table, reference=factors)))


@pytest.mark.parametrize("formula", ["sess + arm", "time + arm"])
def test_what_is_a_function_of_the_session_is_set_with_it(formula: str) -> None:
    """A chance for every session, or a column of time: 1 - product of expit, in every draw."""
    fit = leaving(formula)
    found = ba.predict_hazard(fit, "arm", values=["A", "B"], draws=None)["staying"]
    own = fit.data["posterior"]["b"]
    b = {str(c).split(", ")[1]: own.sel(coef=c).values.ravel() for c in own["coef"].values}
    for arm in ("A", "B"):
        staying = np.ones_like(b["Intercept"])
        for s in range(1, 6):
            at = (s - 1) * b["time"] if "time" in b else b.get(f"sess[s{s}]", 0.0)
            linear = b["Intercept"] + at + (b["arm[B]"] if arm == "B" else 0.0)
            staying = staying * (1 - 1 / (1 + np.exp(-linear)))
            np.testing.assert_allclose(found.sel(value=arm, session=s), staying)


def test_survival_says_whose_it_is() -> None:
    """Some who enter late are named; where one patient alone has the first session, there is no survival from there."""
    with pytest.warns(ba.AllianceWarning, match="Survival is that of the 30 of 40 patients .* session 1"):
        ba.predict_hazard(leaving("time + arm", late=10), "arm", values=["A", "B"])
    with pytest.raises(ba.FitError, match="Session 0, the first, is in the rows of 1 of 40 patients"):
        ba.predict_hazard(leaving("time + arm", early=1), "arm", values=["A", "B"])
