"""Outcomes that follow from what is set, beside recursions and simulations written out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import special

import bayes_alliance as ba
from bayes_alliance.expectation import averaging
from tests.posterior.test_setting import draws_of, equation, fit_of, study

ARMS = {"reference": {"arm": "TAU"}}
CHAIN = equation("alliance", "arm + x + (1 | patient)") + equation("y", "alliance + arm + session + (1 | patient)")


def flat(found: ba.Expectations) -> np.ndarray:
    """Return results as drawn, shape (sample, line)."""
    return found.draws["value"].stack(sample=("chain", "draw")).transpose("sample", "estimand").values


def coefs(fit: ba.Fit) -> dict[str, np.ndarray]:
    """Return the draws of every coefficient by its label."""
    b = draws_of(fit)["b"]
    return {str(label): b.sel(coef=label).values for label in b["coef"].values}


def test_totals_of_straight_lines_are_products_of_coefficients() -> None:
    """C' + a b in every draw, to rounding; a variable that the mediator alone reads acts through it."""
    fit = fit_of(CHAIN, **ARMS)
    b = coefs(fit)
    total = flat(ba.comparisons(fit, "arm", outcome="y", propagate=True))
    for place, arm in enumerate(["CBT", "MBCT"]):
        right = b[f"y, arm[{arm}]"] + b["y, alliance"] * b[f"alliance, arm[{arm}]"]
        np.testing.assert_allclose(total[:, place], right, rtol=1e-10, atol=1e-12)
    direct = flat(ba.comparisons(fit, "arm", outcome="y"))
    np.testing.assert_allclose(direct[:, 0], b["y, arm[CBT]"], rtol=1e-10)
    of_x = ba.comparisons(fit, "x", outcome="y", propagate=True)
    np.testing.assert_allclose(flat(of_x)[:, 0], b["y, alliance"] * b["alliance, x"], rtol=1e-9, atol=1e-12)
    steep = flat(ba.slopes(fit, "x", outcome="y", propagate=True))[:, 0]
    np.testing.assert_allclose(steep, b["y, alliance"] * b["alliance, x"], rtol=1e-6, atol=1e-9)


def test_what_the_outcome_does_not_read_changes_nothing_and_that_is_said() -> None:
    """0 in every draw, no direction, and the equation named that does read it."""
    fit = fit_of(CHAIN, **ARMS)
    none = ba.comparisons(fit, "x", outcome="y")
    assert (flat(none) == 0).all()
    assert none.table()["p_direction"].tolist() == [0.0]
    assert "0 by construction: the equation of 'y' does not read 'x'; that of 'alliance' does" in none.messages[0]
    with pytest.raises(ba.FitError, match="0 by construction"):
        ba.slopes(fit, "x", outcome="y")
    with pytest.raises(ba.FitError, match="Unknown predictor 'late'"):
        ba.comparisons(fit, "late", outcome="y")


def test_grids_and_new_rows_follow_too() -> None:
    """The mediator of a made row is what its own equation says there, not the mean of the fit's rows."""
    fit = fit_of(CHAIN, **ARMS)
    b, frame = coefs(fit), study()
    grid = flat(ba.predictions(fit, grid={"arm": ["TAU", "CBT"], "session": [3]}, outcome="y", propagate=True))
    mediator = b["alliance, Intercept"] + b["alliance, x"] * frame["x"].mean()
    base = b["y, Intercept"] + 3 * b["y, session"]
    np.testing.assert_allclose(grid[:, 0], base + b["y, alliance"] * mediator, rtol=1e-9, atol=1e-10)
    treated = base + b["y, arm[CBT]"] + b["y, alliance"] * (mediator + b["alliance, arm[CBT]"])
    np.testing.assert_allclose(grid[:, 1], treated, rtol=1e-9, atol=1e-10)
    new = frame.iloc[:4][["arm", "x", "session", "pid"]]
    found = flat(ba.predictions(fit, new, outcome="y", propagate=True))
    for place, row in enumerate(new.itertuples()):
        arm = [b[f"{of}, arm[{row.arm}]"] if row.arm != "TAU" else 0.0 for of in ("alliance", "y")]
        inner = b["alliance, Intercept"] + b["alliance, x"] * row.x + arm[0]
        right = b["y, Intercept"] + b["y, session"] * row.session + arm[1] + b["y, alliance"] * inner
        np.testing.assert_allclose(found[:, place], right, rtol=1e-9, atol=1e-10)


def test_sessions_follow_the_ones_before() -> None:
    """y_t = a + phi y_{t-1} + gamma m_t, m_t = d + theta y_{t-1}, from what was observed at the first session."""
    text = equation("alliance", "arm + lag(y)") + equation("y", "alliance + arm + lag(y)")
    fit = fit_of(text, **ARMS)
    b, frame = coefs(fit), study()
    found = ba.predictions(fit, at={"arm": ["TAU", "MBCT"]}, outcome="y", propagate=True, by="session")
    values = flat(found).reshape(-1, 2, 5)
    first = frame.loc[frame.session == 1, "y"].to_numpy()
    for place, arm in enumerate(["TAU", "MBCT"]):
        own = [b[f"{of}, arm[{arm}]"] if arm != "TAU" else 0.0 for of in ("alliance", "y")]
        y = np.broadcast_to(first, (len(b["y, alliance"]), len(first)))
        for step in range(5):
            m = (b["alliance, Intercept"] + own[0])[:, None] + b["alliance, lag(y)"][:, None] * y
            y = (b["y, Intercept"] + own[1])[:, None] + b["y, alliance"][:, None] * m + b["y, lag(y)"][:, None] * y
            np.testing.assert_allclose(values[:, place, step], y.mean(axis=1), rtol=1e-9, atol=1e-9)
    # new patients start from what they bring
    rows = pd.DataFrame({"pid": ["a"] * 3, "session": [1, 2, 3], "arm": "CBT", "y": [0.7, np.nan, np.nan]})
    new = ba.predictions(fit, rows, outcome="y", propagate=True)
    y = np.full(len(b["y, alliance"]), 0.7)
    for step in range(2):
        m = b["alliance, Intercept"] + b["alliance, arm[CBT]"] + b["alliance, lag(y)"] * y
        y = b["y, Intercept"] + b["y, arm[CBT]"] + b["y, alliance"] * m + b["y, lag(y)"] * y
        np.testing.assert_allclose(flat(new)[:, step], y, rtol=1e-9, atol=1e-9)
    assert new.messages[0] == "1 row lacks what is read of other rows and is not predicted: row 1."
    with pytest.raises(ba.FitError, match="No row has all that the equation of 'y' and those before it read"):
        ba.predictions(fit, rows.assign(y=np.nan), outcome="y", propagate=True)
    with pytest.raises(ba.DesignError, match=r"Column 'y' is no number in row 1 \('high'\)"):
        ba.predictions(fit, rows.assign(y=["high", "", ""]), outcome="y", propagate=True)


def test_a_yes_or_no_that_follows_itself_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a simulation of 4,000 replicates per draw, new patients' effects the same in all of their sessions."""
    monkeypatch.setattr(averaging, "NOISE", 0.0)
    text = equation("alliance", "arm + lag(better) + (1 | patient)") + equation(
        "better", "alliance + arm + lag(better) + (1 | patient)", extra='family = "bernoulli"'
    )
    fit = fit_of(text, size=0.5, **ARMS)
    b, d, frame = coefs(fit), draws_of(fit), study()
    found = ba.predictions(fit, at={"arm": "CBT"}, outcome="better", propagate=True, by="session")
    rng, first = np.random.default_rng(5), frame.loc[frame.session == 1, "better"].to_numpy()
    sd = d["sd_patient"].transpose("sample", ...).values.reshape(len(b["better, alliance"]), -1)
    names = [str(name) for name in d["patient_effect"].values]
    sigma = d["sigma"].transpose("sample", ...).values[:, 0]
    for draw in range(len(sd)):
        one = {label: values[draw] for label, values in b.items()}
        u = {name: sd[draw, place] * rng.normal(size=(4000, len(first))) for place, name in enumerate(names)}
        y = np.broadcast_to(first, (4000, len(first)))
        for step in range(5):
            m = one["alliance, Intercept"] + one["alliance, arm[CBT]"] + one["alliance, lag(better)"] * y
            m = m + u["alliance, Intercept"] + sigma[draw] * rng.normal(size=y.shape)
            eta = one["better, Intercept"] + one["better, arm[CBT]"] + one["better, alliance"] * m
            p = special.expit(eta + one["better, lag(better)"] * y + u["better, Intercept"])
            each = p.mean(axis=1)
            mine = flat(found)[draw, step]
            error = np.hypot(each.std() / np.sqrt(4000), each.std() / np.sqrt(64))
            assert abs(mine - each.mean()) < 4 * error + 1e-9
            y = (rng.random(p.shape) < p).astype(float)


def test_deviations_from_latent_means_follow() -> None:
    """A lagged deviation starts at 0 and what moves a session moves the next by the carry-over, not by more."""
    text = equation("y", 'session + x + lag(within(y, patient, means="latent")) + (1 | patient)')
    fit = fit_of(text)
    b = coefs(fit)
    found = ba.predictions(fit, at={"x": [0.0, 1.0]}, propagate=True, by="session")
    values = flat(found).reshape(len(b["y, x"]), 2, -1)
    # x is part of the mean that deviations are from, so that it carries over to no later session
    np.testing.assert_allclose(values[:, 1] - values[:, 0], np.tile(b["y, x"][:, None], 6), rtol=1e-9, atol=1e-10)
    assert values.shape[2] == 6


def test_what_does_not_follow_is_refused() -> None:
    """Circles through observed means, amounts in other sessions; see test_linked.py for equations that are read."""
    circle = equation("alliance", "within(y, patient) + arm") + equation("y", "lag(alliance) + session")
    with pytest.raises(ba.FitError, match=r"mean over all sessions of 'y'.*Take latent means"):
        ba.predictions(fit_of(circle, **ARMS), outcome="y", propagate=True)
    lagged = equation("alliance", "lag(x) + x + arm") + equation("y", "alliance + session")
    with pytest.raises(ba.FitError, match=r"'x' in other rows, too: 'lag\(x\)'.*part="):
        ba.comparisons(fit_of(lagged, **ARMS), "x", outcome="y", propagate=True)


def test_a_variable_that_is_set_is_set_in_the_sessions_before() -> None:
    """lag(x) of an x that is set is that x: b_x + b_lag in the mediator, times b in the outcome."""
    fit = fit_of(equation("alliance", "lag(x) + x + arm") + equation("y", "alliance + session"), **ARMS)
    b = coefs(fit)
    found = flat(ba.comparisons(fit, "x", values=[0.0, 2.0], outcome="y", propagate=True))[:, 0]
    right = 2 * b["y, alliance"] * (b["alliance, x"] + b["alliance, lag(x)"])
    used = fit.design.find("alliance").row  # type: ignore[union-attr]
    share = np.isin(fit.design.find("y").row, used).mean()  # type: ignore[union-attr]
    np.testing.assert_allclose(found, share * right, rtol=1e-9, atol=1e-10)


def test_missing_predictors_of_new_rows_are_drawn_where_they_are_modelled() -> None:
    """Where x is stated it is that; where it is missing, and x has an equation, it is what its equation says."""
    frame = study()
    frame.loc[::7, "alliance"] = np.nan
    text = equation("alliance", "arm + x", extra='missing = "model"') + equation("y", "mi(alliance) + session")
    fit = fit_of(text, frame, **ARMS)
    b = coefs(fit)
    rows = pd.DataFrame({"alliance": [5.0, np.nan], "arm": "CBT", "x": [0.3, 0.3], "session": 2})
    found = ba.predictions(fit, rows, outcome="y")
    base = b["y, Intercept"] + 2 * b["y, session"]
    mean = b["alliance, Intercept"] + b["alliance, arm[CBT]"] + 0.3 * b["alliance, x"]
    slope = next(b[label] for label in b if label.startswith("y, mi("))
    np.testing.assert_allclose(flat(found), np.stack([base + 5 * slope, base + mean * slope], axis=1), rtol=1e-9)
    assert found.messages == ("1 row lacks 'alliance', which is drawn from its own equation there: row 2.",)
    with pytest.raises(ba.DesignError, match="'session' is missing in 1 row"):
        ba.predictions(fit, rows.assign(session=[2, np.nan]), outcome="y")
    drawn = ba.predictions(fit, rows, outcome="y", what="drawn", by="row")
    assert (drawn.draws["value"].std(("chain", "draw")) > 0).all()


def test_a_call_is_set_and_moved_in_every_equation() -> None:
    """The deviation acts on the outcome, and through the mediator that reads it, too."""
    text = equation("alliance", "arm + within(x, patient)") + equation("y", "alliance + within(x, patient) + session")
    fit = fit_of(text, **ARMS)
    b = coefs(fit)
    right = b["y, within(x, patient)"] + b["y, alliance"] * b["alliance, within(x, patient)"]
    call = "within(x, patient)"
    ask = {"outcome": "y", "propagate": True}
    at = flat(ba.predictions(fit, at={call: [0.0, 1.0]}, **ask))
    np.testing.assert_allclose(at[:, 1] - at[:, 0], right, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(flat(ba.comparisons(fit, call, **ask))[:, 0], right, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(flat(ba.slopes(fit, call, **ask))[:, 0], right, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(flat(ba.slopes(fit, "x", part="within", **ask))[:, 0], right, rtol=1e-6, atol=1e-9)
    alone = fit_of(equation("alliance", "arm + within(x, patient)") + equation("y", "alliance + session"), **ARMS)
    b = coefs(alone)
    found = flat(ba.slopes(alone, "x", part="within", **ask))[:, 0]
    np.testing.assert_allclose(found, b["y, alliance"] * b["alliance, within(x, patient)"], rtol=1e-6, atol=1e-9)


def test_new_rows_without_an_earlier_value_are_left_out() -> None:
    """A mediator that cannot be worked out in a row is no 0; what new rows state of a call is that."""
    fit = fit_of(equation("alliance", "lag(x) + arm") + equation("y", "alliance + session"), **ARMS)
    rows = pd.DataFrame({"pid": ["a"] * 3, "session": [1, 2, 3], "arm": "CBT", "x": [0.5, 1.0, 2.0]})
    found = ba.predictions(fit, rows, outcome="y", propagate=True)
    assert found.lines["row"].tolist() == [2, 3]
    assert list(found.lines) == ["row", "session"]  # what is drawn is no value of the row
    b = coefs(fit)
    mediator = b["alliance, Intercept"] + b["alliance, arm[CBT]"] + 0.5 * b["alliance, lag(x)"]
    right = b["y, Intercept"] + 2 * b["y, session"] + b["y, alliance"] * mediator
    np.testing.assert_allclose(flat(found)[:, 0], right, rtol=1e-9)
    inner = fit_of(equation("alliance", "x + arm") + equation("y", "within(alliance, patient) + arm"), **ARMS)
    stated = rows.assign(**{"within(alliance, patient)": [1.0, 2.0, 3.0]})
    held = flat(ba.predictions(inner, stated, outcome="y", propagate=True))
    b = coefs(inner)
    np.testing.assert_allclose(held[:, 1] - held[:, 0], b["y, within(alliance, patient)"], rtol=1e-9)
    alone = fit_of(equation("y", "arm + lag(y)"), **ARMS)
    course = ba.predictions(alone, rows.assign(y=[0.7, np.nan, np.nan]), propagate=True)
    b, y = coefs(alone), np.full(4, 0.7)
    for place in range(2):
        y = b["y, Intercept"] + b["y, arm[CBT]"] + b["y, lag(y)"] * y
        np.testing.assert_allclose(flat(course)[:, place], y, rtol=1e-9)


def test_means_of_units_that_the_mediator_does_not_have() -> None:
    """A therapist's mean of a mediator without therapists follows; of units that no equation has it is refused."""
    text = equation("alliance", "x + arm + (1 | patient)")
    text += equation("y", "between(alliance, therapist) + session + (1 | therapist)")
    fit = fit_of(text, **ARMS)
    b = coefs(fit)
    found = flat(ba.comparisons(fit, "x", outcome="y", propagate=True))[:, 0]
    right = b["y, between(alliance, therapist)"] * b["alliance, x"]
    np.testing.assert_allclose(found, right, rtol=1e-9, atol=1e-12)
    bare = fit_of(equation("alliance", "x + arm") + equation("y", "between(alliance, therapist) + session"), **ARMS)
    with pytest.raises(ba.FitError, match="no equation that is drawn says in which therapist a row is"):
        ba.comparisons(bare, "x", outcome="y", propagate=True)


def test_slopes_through_what_is_drawn() -> None:
    """A yes or no on the way: its probability's derivative times the step, within the noise that is left."""
    text = equation("better", "x + arm", extra='family = "bernoulli"') + equation("y", "better + arm")
    fit = fit_of(text, **ARMS)
    b = coefs(fit)
    found = flat(ba.slopes(fit, "x", outcome="y", propagate=True, grid={"x": [0.0], "arm": ["TAU"]}))[:, 0]
    p = special.expit(b["better, Intercept"])
    right = b["y, better"] * b["better, x"] * p * (1 - p)
    np.testing.assert_allclose(found, right, atol=0.03)
    assert (np.sign(found) == np.sign(right)).all()


def test_levels_are_those_of_each_equation() -> None:
    """A level that one equation has no rows of is no other level there."""
    frame = study()
    frame.loc[frame["arm"] == "CBT", "y"] = np.nan
    fit = fit_of(equation("alliance", "arm * lag(alliance)") + equation("y", "alliance + arm"), frame, **ARMS)
    b = coefs(fit)
    found = ba.predictions(fit, at={"arm": "MBCT"}, outcome="y", propagate=True, by="session")
    first = frame.loc[(frame["session"] == 1) & (frame["arm"] != "CBT"), "alliance"].to_numpy()
    m = np.broadcast_to(first, (4, len(first)))
    slope = b["alliance, lag(alliance)"] + b["alliance, arm[MBCT]:lag(alliance)"]
    for step in range(1, 6):
        m = (b["alliance, Intercept"] + b["alliance, arm[MBCT]"])[:, None] + slope[:, None] * m
        y = (b["y, Intercept"] + b["y, arm[MBCT]"])[:, None] + b["y, alliance"][:, None] * m
        np.testing.assert_allclose(flat(found)[:, step], y.mean(axis=1), rtol=1e-8, atol=1e-8)
    assert any("read what was observed" in message for message in found.messages)


def test_what_is_asked_for_is_not_set_and_what_goes_along_goes_everywhere() -> None:
    """The outcome is none of its predictors; late goes with the session in the equation that reads late alone."""
    fit = fit_of(equation("alliance", "arm + lag(y)") + equation("y", "alliance + arm + lag(y)"), **ARMS)
    with pytest.raises(ba.FitError, match="Unknown predictor 'y'"):
        ba.predictions(fit, at={"y": [0, 50]}, outcome="y", propagate=True)
    fit = fit_of(equation("alliance", "session + arm") + equation("y", "alliance + late + arm"), **ARMS)
    b = coefs(fit)
    grid = flat(ba.predictions(fit, grid={"session": [1, 5]}, outcome="y", propagate=True))
    right = b["y, late"] + 4 * b["y, alliance"] * b["alliance, session"]
    np.testing.assert_allclose(grid[:, 1] - grid[:, 0], right, rtol=1e-9, atol=1e-10)
    with pytest.raises(ba.FitError, match="'late' goes with what at= sets"):
        ba.predictions(fit, at={"session": [1, 5]}, by="late", outcome="y", propagate=True)


def test_trials_that_are_set_are_drawn_from() -> None:
    """Successes are out of the number that is set, which is a whole one from 1."""
    frame = study().assign(n=10)
    frame["s"] = frame["wai"].astype(int)
    fit = fit_of(equation("s", "arm + x", extra='family = "binomial"\ntrials = "n"'), frame, **ARMS)
    drawn = flat(ba.predictions(fit, at={"n": [8, 1000]}, what="drawn"))
    share = flat(ba.predictions(fit))[:, 0]
    np.testing.assert_allclose(drawn[:, 1] / 1000, share, atol=0.02)
    assert (drawn[:, 0] <= 8).all()
    with pytest.raises(ba.FitError, match="'n', what successes are out of, is a whole number from 1"):
        ba.predictions(fit, at={"n": [0.5]}, what="drawn")
