"""Calls that read other rows: set by their name, moved with their variable, and worked out over new rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import special

import bayes_alliance as ba
from tests.posterior.test_propagation import coefs, flat
from tests.posterior.test_setting import draws_of, equation, fit_of, study

ARMS = {"reference": {"arm": "TAU"}}
BOTH = (
    "arm * between(alliance, patient) + within(alliance, patient) + session + (1 + within(alliance, patient) | patient)"
)
X, W = np.polynomial.hermite_e.hermegauss(101)
W = W / W.sum()


@pytest.fixture(scope="module")
def both() -> ba.Fit:
    """Return a fit with both parts of the alliance, the second with a condition; nothing is sampled."""
    return fit_of(equation("y", BOTH), **ARMS)


def test_an_arm_is_set_beside_a_patients_mean(both: ba.Fit) -> None:
    """Means that do not read the arm stay as observed in its product: b_arm + b_product times the mean of means."""
    b, mean = coefs(both), study().groupby("pid")["alliance"].transform("mean").mean()
    found = flat(ba.comparisons(both, "arm"))[:, 0]
    right = b["y, arm[CBT]"] + b["y, arm[CBT]:between(alliance, patient)"] * mean
    np.testing.assert_allclose(found, right, rtol=1e-10)


def test_slopes_of_a_variable_with_two_parts(both: ba.Fit) -> None:
    """One session moves the deviation, all of a patient the mean; bare is refused, and the parts are named."""
    b = coefs(both)
    within = flat(ba.slopes(both, "alliance", part="within"))[:, 0]
    np.testing.assert_allclose(within, b["y, within(alliance, patient)"], rtol=1e-7)
    every = flat(ba.slopes(both, "alliance", part="all sessions", at={"arm": ["TAU", "MBCT"]}))
    between = b["y, between(alliance, patient)"]
    np.testing.assert_allclose(every[:, 0], between, rtol=1e-6)
    np.testing.assert_allclose(every[:, 1], between + b["y, arm[MBCT]:between(alliance, patient)"], rtol=1e-6)
    named = flat(ba.slopes(both, "within(alliance, patient)"))[:, 0]
    np.testing.assert_allclose(named, within)
    larger = ba.comparisons(both, "alliance", part="within")
    np.testing.assert_allclose(flat(larger)[:, 0], b["y, within(alliance, patient)"], rtol=1e-10)
    assert larger.lines["comparison"].tolist() == ["alliance + 1 (within)"]
    for ask in (lambda: ba.slopes(both, "alliance"), lambda: ba.comparisons(both, "alliance")):
        with pytest.raises(ba.FitError, match=r"'alliance' in other rows, too.*part=\"within\" for one session"):
            ask()
    with pytest.raises(ba.FitError, match=r"part='between' is none. One of 'within', 'all sessions'"):
        ba.slopes(both, "alliance", part="between")  # type: ignore[arg-type]
    with pytest.raises(ba.FitError, match=r"'session' in a row's own session alone. Leave part= out"):
        ba.slopes(both, "session", part="within")
    with pytest.raises(ba.FitError, match=r"a call is one part. Leave part= out"):
        ba.slopes(both, "within(alliance, patient)", part="within")
    with pytest.raises(ba.FitError, match=r"values of 'alliance' are stated. Leave values= out"):
        ba.comparisons(both, "alliance", values=[4, 5], part="within")


def test_raw_values_beside_means_and_lags() -> None:
    """A session more moves x and not the session after; all sessions move x, its mean and its lag."""
    fit = fit_of(equation("y", "x + between(x, patient) + lag(x) + (1 | patient)"))
    b = coefs(fit)
    within = flat(ba.slopes(fit, "x", part="within"))[:, 0]
    np.testing.assert_allclose(within, b["y, x"], rtol=1e-7, atol=1e-10)
    every = flat(ba.slopes(fit, "x", part="all sessions"))[:, 0]
    np.testing.assert_allclose(every, b["y, x"] + b["y, between(x, patient)"] + b["y, lag(x)"], rtol=1e-6, atol=1e-9)


def test_slopes_that_vary_are_set_with_their_call(both: ba.Fit) -> None:
    """A probability at a deviation of 1: the variance is that of intercept and slope there, integrated."""
    text = equation(
        "better", "within(alliance, patient) + (1 + within(alliance, patient) | patient)", extra='family = "bernoulli"'
    )
    fit = fit_of(text)
    found = flat(ba.predictions(fit, at={"within(alliance, patient)": [0.0, 1.5]}))
    b, d = coefs(fit), draws_of(fit)
    sd = d["sd_patient"].transpose("sample", ...).values
    cor = d["cor_patient"].transpose("sample", ...).values[:, 0, 1]
    for place, x in enumerate([0.0, 1.5]):
        spread = np.sqrt(sd[:, 0] ** 2 + (x * sd[:, 1]) ** 2 + 2 * x * cor * sd[:, 0] * sd[:, 1])
        eta = b["better, Intercept"] + x * b["better, within(alliance, patient)"]
        np.testing.assert_allclose(found[:, place], special.expit(eta[:, None] + spread[:, None] * X) @ W, atol=1e-6)


def test_grids_of_calls(both: ba.Fit) -> None:
    """Calls that are not stated are at their mean over rows; a variable that calls read cannot be stated alone."""
    found = flat(ba.predictions(both, grid={"within(alliance, patient)": [-1, 1], "arm": ["CBT"]}))
    b = coefs(both)
    np.testing.assert_allclose(found[:, 1] - found[:, 0], 2 * b["y, within(alliance, patient)"], rtol=1e-9)
    with pytest.raises(ba.FitError, match=r"'within.alliance, patient.' read 'alliance' in other rows"):
        ba.predictions(both, grid={"alliance": [4, 5]})
    with pytest.raises(ba.FitError, match=r"between\(alliance, patient\) reads other rows .*Set 'between"):
        ba.predictions(both, at={"alliance": 4})


def test_new_rows_bring_their_own_means_and_lags() -> None:
    """Lags and means over the new rows alone: the same table as new rows gives the fit's own columns."""
    fit = fit_of(equation("y", "within(alliance, patient) + lag(y) + centred(x) + (1 | patient)"))
    own = flat(ba.predictions(fit, by="row", groups="zero"))
    found = ba.predictions(fit, study(), groups="zero")
    np.testing.assert_allclose(flat(found), own, rtol=1e-9, atol=1e-9)
    assert found.lines["row"].tolist() == [row + 1 for row in range(180) if row % 6]
    assert "30 rows have no value of 'lag(y)' and are not predicted: row 1, row 7" in found.messages[0]
    stated = study().iloc[:2].assign(**{"lag(y)": [0.5, 0.25], "within(alliance, patient)": [1.0, -1.0]})
    b = coefs(fit)
    right = b["y, Intercept"] + b["y, lag(y)"] * 0.5 + b["y, within(alliance, patient)"]
    right = right + b["y, centred(x)"] * (stated["x"].iloc[0] - study()["x"].mean())
    np.testing.assert_allclose(flat(ba.predictions(fit, stated, groups="zero"))[:, 0], right, rtol=1e-9, atol=1e-9)


def test_new_rows_that_do_not_tell_a_call() -> None:
    """Which call, what it needs and what its column is called."""
    fit = fit_of(equation("y", "within(alliance, patient) + lag(y) + (1 | patient)"))
    rows = study().iloc[:4]
    with pytest.raises(
        ba.DesignError, match=r"within\(alliance, patient\) needs a column 'patient'.*Give it as a column"
    ):
        ba.predictions(fit, rows.drop(columns="pid"))
    with pytest.raises(ba.DesignError, match=r"no column 'y', of which 'lag\(y\)' reads earlier values"):
        ba.predictions(fit, rows.drop(columns="y"))
    with pytest.raises(ba.DesignError, match="same patient and session: row 1, row 2"):
        ba.predictions(fit, rows.assign(session=[1, 1, 2, 3]))
    with pytest.raises(ba.DesignError, match=r"No row has a value of 'lag\(y\)'"):
        ba.predictions(fit, rows.iloc[:1])
    latent = fit_of(equation("y", 'within(alliance, patient, means="latent") + (1 | patient)'))
    with pytest.raises(ba.DesignError, match=r"needs means that are estimated.*Give it as a column"):
        ba.predictions(latent, rows)


def test_surfaces_are_set_by_their_ratings() -> None:
    """The slope of a rating on a polynomial is its derivative at the other one; new rows take the fitted constant."""
    fit = fit_of(equation("y", "surface(alliance, wai) + (1 | patient)"))
    b, frame = coefs(fit), study()
    centre = (frame["alliance"].mean() + frame["wai"].mean()) / 2
    found = flat(ba.slopes(fit, "alliance", at={"alliance": [4.0], "wai": [6.0]}))[:, 0]
    part = "y, surface(alliance, wai)"
    right = b[f"{part}[x]"] + 2 * b[f"{part}[x^2]"] * (4 - centre) + b[f"{part}[x*y]"] * (6 - centre)
    np.testing.assert_allclose(found, right, rtol=1e-6, atol=1e-8)
    own = flat(ba.predictions(fit, by="row", groups="zero"))[:, :3]
    new = flat(ba.predictions(fit, pd.DataFrame(frame.iloc[:3][["alliance", "wai"]]), groups="zero"))
    np.testing.assert_allclose(new, own, rtol=1e-10)


def test_latent_means_are_set_and_moved() -> None:
    """A latent mean that is set is that value, whatever was estimated; moved by 1 it is 1 more than that."""
    fit = fit_of(equation("y", 'between(alliance, patient, means="latent") + session + (1 | patient)'))
    call = 'between(alliance, patient, means="latent")'
    b = coefs(fit)
    at = flat(ba.predictions(fit, at={call: [4.0, 5.0]}))
    np.testing.assert_allclose(at[:, 1] - at[:, 0], b[f"y, {call}"], rtol=1e-9)
    base = b["y, Intercept"] + b["y, session"] * 3.5 + 4 * b[f"y, {call}"]
    np.testing.assert_allclose(at[:, 0], base, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(flat(ba.slopes(fit, call))[:, 0], b[f"y, {call}"], rtol=1e-6)
