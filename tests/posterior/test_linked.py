"""What one equation reads of another one, by value(), slope() or effect(), or in rows of another unit, followed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import special

import bayes_alliance as ba
from tests.fit.test_outline import without_rows
from tests.posterior.test_propagation import coefs, flat
from tests.posterior.test_results import with_dropout
from tests.posterior.test_setting import GATED, draws_of, equation, fit_of, study

ARMS = {"reference": {"arm": "TAU"}}
GROWTH = equation("alliance", "session * arm + (1 + session | patient)")


def of_patients() -> pd.DataFrame:
    """Return the SYNTHETIC study with an outcome, and a yes or no, of every patient."""
    frame = study()
    first = frame.groupby("pid")[["better", "x", "mood"]].transform("first")
    return frame.assign(better=first["better"], x=first["x"], post=10 + first["mood"])


def roots(fit: ba.Fit) -> np.ndarray:
    """Return lower roots of the patients' covariance matrix, shape (draw, effect, effect)."""
    d = draws_of(fit)
    sd = d["sd_patient"].transpose("sample", ...).values
    cor = d["cor_patient"].transpose("sample", ...).values
    return np.linalg.cholesky(sd[:, :, None] * cor * sd[:, None, :])


def test_a_total_through_the_slope_is_the_product_of_coefficients() -> None:
    """C + a b in every draw, as mediation_effects has it; new rows and grids say the same."""
    text = GROWTH + equation("post", "slope(alliance) + arm + x", unit="patient")
    fit = fit_of(text, of_patients(), **ARMS)
    b = coefs(fit)
    through = b["post, slope(alliance)"]
    found = flat(ba.comparisons(fit, "arm", outcome="post", propagate=True))
    for place, arm in enumerate(["CBT", "MBCT"]):
        right = b[f"post, arm[{arm}]"] + through * b[f"alliance, session:arm[{arm}]"]
        np.testing.assert_allclose(found[:, place], right, rtol=1e-7, atol=1e-9)
    rows = pd.DataFrame({"arm": ["CBT", "TAU"], "x": [0.5, -1.0]})
    new = flat(ba.predictions(fit, rows, outcome="post", propagate=True))
    slope = b["alliance, session"] + b["alliance, session:arm[CBT]"]
    right = b["post, Intercept"] + b["post, arm[CBT]"] + 0.5 * b["post, x"] + through * slope
    np.testing.assert_allclose(new[:, 0], right, rtol=1e-7, atol=1e-9)
    grid = flat(ba.predictions(fit, grid={"arm": ["CBT"], "x": [0.5]}, outcome="post", propagate=True))
    np.testing.assert_allclose(grid[:, 0], right, rtol=1e-7, atol=1e-9)
    # of the patients who were fitted: their own slopes
    own = flat(ba.predictions(fit, outcome="post", groups="own", propagate=True, by="row"))
    d, e = draws_of(fit), fit.design.find("post")  # type: ignore[union-attr]
    u = d["u_patient"].sel(patient_effect="alliance, session").transpose("sample", "patient").values
    place = [list(map(str, d["patient"].values)).index(str(one)) for one in e.patient]
    arms = {"TAU": 0.0, **{arm: b[f"alliance, session:arm[{arm}]"] for arm in ("CBT", "MBCT")}}
    of_arm = {"TAU": 0.0, **{arm: b[f"post, arm[{arm}]"] for arm in ("CBT", "MBCT")}}
    frame = of_patients().groupby("pid").first().loc[list(map(str, e.patient))]
    for row, (arm, x) in enumerate(zip(frame["arm"], frame["x"], strict=True)):
        slope = b["alliance, session"] + arms[arm] + u[:, place[row]]
        right = b["post, Intercept"] + of_arm[arm] + x * b["post, x"] + through * slope
        np.testing.assert_allclose(own[:, row], right, rtol=1e-7, atol=1e-8)


def test_an_effect_of_patients_is_0_on_average_and_their_own_where_wanted() -> None:
    """effect(alliance, patient, "Intercept") of new patients has a mean of 0; nothing that is set moves it."""
    text = GROWTH + equation("post", 'effect(alliance, patient, "Intercept") + x', unit="patient")
    fit = fit_of(text, of_patients(), **ARMS)
    b = coefs(fit)
    new = flat(ba.predictions(fit, pd.DataFrame({"x": [2.0], "arm": "TAU"}), outcome="post", propagate=True))
    np.testing.assert_allclose(new[:, 0], b["post, Intercept"] + 2 * b["post, x"], rtol=1e-9)
    of_arm = flat(ba.comparisons(fit, "arm", outcome="post", propagate=True))
    np.testing.assert_allclose(of_arm, 0.0, atol=1e-9)
    own = flat(ba.predictions(fit, outcome="post", groups="own", propagate=True, by="row"))
    d, e = draws_of(fit), fit.design.find("post")  # type: ignore[union-attr]
    u = d["u_patient"].sel(patient_effect="alliance, Intercept", patient=list(map(str, e.patient)))
    through = next(b[label] for label in b if label.startswith("post, effect("))
    x = of_patients().groupby("pid")["x"].first().loc[list(map(str, e.patient))].to_numpy()
    right = b["post, Intercept"][:, None] + b["post, x"][:, None] * x + through[:, None] * u.transpose("sample", ...)
    np.testing.assert_allclose(own, right, rtol=1e-8, atol=1e-9)


def test_survival_where_the_hazard_reads_the_alliance_of_every_session() -> None:
    """Products over sessions inside the mean over new patients: beside 20,000 patients drawn by hand for every draw."""
    text = equation("alliance", "arm + session + (1 + session | patient)") + equation(
        "leaving", "value(alliance) + arm", extra='family = "hazard"'
    )
    fit = fit_of(text, with_dropout(), size=0.3, **ARMS)
    settings = {"what": "survival", "outcome": "leaving", "propagate": True}
    found = [flat(ba.predictions(fit, at={"arm": ["TAU", "CBT"]}, seed=seed, **settings)) for seed in range(6)]
    mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    assert found[0].shape == (4, 12)
    b, root, rng = coefs(fit), roots(fit), np.random.default_rng(2)
    for draw in range(4):
        z = rng.normal(size=(20_000, 2))
        u = np.concatenate([z, -z]) @ root[draw].T
        for place, arm in enumerate(["TAU", "CBT"]):
            own = [b[f"{of}, arm[{arm}]"][draw] if arm != "TAU" else 0.0 for of in ("alliance", "leaving")]
            stay = np.ones(len(u))
            for step, session in enumerate(range(1, 7)):
                value = b["alliance, Intercept"][draw] + own[0] + u[:, 0]
                value = value + session * (b["alliance, session"][draw] + u[:, 1])
                eta = b["leaving, Intercept"][draw] + own[1] + b["leaving, value(alliance)"][draw] * value
                stay = stay * np.exp(-np.exp(eta))
                mine, se = mean[draw, place * 6 + step], error[draw, place * 6 + step]
                assert abs(mine - stay.mean()) < 4 * np.hypot(se, stay.std() / 200) + 1e-6
    rows = pd.DataFrame({"pid": ["a", "b", "a"], "session": [1, 1, 2], "arm": "CBT"})
    new = flat(ba.predictions(fit, rows, **settings))
    spread = np.hypot(error[:, [6, 6, 7]], error[:, [6, 6, 7]])
    assert (np.abs(new - mean[:, [6, 6, 7]]) < 0.03 + 4 * spread).all()
    assert (new[:, 2] <= new[:, 0]).all()


def test_survival_that_would_need_values_of_sessions_that_were_not() -> None:
    """A hazard of the rated alliance itself; a predictor that nobody has after leaving."""
    rated = equation("alliance", "arm + (1 | patient)") + equation(
        "leaving", "alliance + arm", extra='family = "hazard"'
    )
    with pytest.raises(ba.FitError, match=r"reads 'alliance', which is drawn session by session.*value\(\) or slope"):
        ba.predictions(fit_of(rated, with_dropout(), **ARMS), what="survival", outcome="leaving", propagate=True)
    moving = equation("alliance", "arm + session + (1 | patient)") + equation(
        "leaving", "value(alliance) + x", extra='family = "hazard"'
    )
    with pytest.raises(ba.FitError, match=r"'x' changes over a patient's sessions"):
        ba.predictions(fit_of(moving, with_dropout(), **ARMS), what="survival", outcome="leaving", propagate=True)


def test_rows_of_other_units() -> None:
    """A mean of sessions in a patient's equation, a patient's outcome in sessions; a unit that is not said."""
    frame = of_patients()
    frame["skill"] = frame.groupby("tid")["mood"].transform("first")
    fit = fit_of(GROWTH + equation("post", "between(alliance, patient) + arm", unit="patient"), frame, **ARMS)
    b = coefs(fit)
    found = flat(ba.comparisons(fit, "arm", outcome="post", propagate=True))[:, 0]
    middle = frame["session"].mean()  # the same sessions in every patient
    right = b["post, arm[CBT]"] + b["post, between(alliance, patient)"] * (
        b["alliance, arm[CBT]"] + middle * b["alliance, session:arm[CBT]"]
    )
    np.testing.assert_allclose(found, right, rtol=1e-9)
    with pytest.raises(ba.DesignError, match=r"between\(alliance, patient\) needs values of every session"):
        ba.predictions(fit, pd.DataFrame({"arm": ["TAU"], "session": 1}), outcome="post", propagate=True)
    skill = equation("skill", "1", unit="therapist")
    said = fit_of(skill + equation("post", "skill + arm + (1 | therapist)", unit="patient"), frame, **ARMS)
    b = coefs(said)
    values = flat(ba.predictions(said, at={"arm": "TAU"}, outcome="post", propagate=True))[:, 0]
    np.testing.assert_allclose(values, b["post, Intercept"] + b["post, skill"] * b["skill, Intercept"], rtol=1e-9)
    unsaid = fit_of(skill + equation("post", "skill + arm", unit="patient"), frame, **ARMS)
    with pytest.raises(
        ba.FitError, match=r"does not say in which therapist a row is\. Give it a term \(1 \| therapist"
    ):
        ba.predictions(unsaid, at={"arm": "TAU"}, outcome="post", propagate=True)


def test_what_is_read_and_cannot_follow_is_refused() -> None:
    """A linked equation that reads what follows itself; without propagate= the remedy is named."""
    text = equation("x", "arm", unit="session") + equation("alliance", "x + session + (1 | patient)")
    fit = fit_of(text + equation("y", "value(alliance) + arm"), **ARMS)
    with pytest.raises(ba.FitError, match=r"reads value\(alliance\), in which 'x' reads other rows or outcomes that"):
        ba.predictions(fit, at={"arm": "TAU"}, outcome="y", propagate=True)
    plain = fit_of(equation("alliance", "session + (1 | patient)") + equation("y", "value(alliance) + arm"), **ARMS)
    with pytest.raises(ba.FitError, match=r"Let it follow \(propagate=True"):
        ba.predictions(plain, at={"arm": "TAU"}, outcome="y")
    lagged = equation("alliance", "session + (1 | patient)") + equation("y", "lag(value(alliance)) + arm")
    with pytest.raises(ba.AllianceError, match=r"lag\(value\(alliance\)\)"):
        ba.predictions(fit_of(lagged, **ARMS), at={"arm": "TAU"}, outcome="y", propagate=True)


def test_a_product_with_the_slope_in_a_yes_or_no() -> None:
    """E of the logistic curve over new patients' slopes, in the arm that is set."""
    text = GROWTH + equation("better", "slope(alliance) * arm", unit="patient", extra='family = "bernoulli"')
    fit = fit_of(text, of_patients(), size=0.6, **ARMS)
    b, root = coefs(fit), roots(fit)
    seeds = [flat(ba.predictions(fit, at={"arm": "CBT"}, outcome="better", propagate=True, seed=s)) for s in range(6)]
    mean, error = np.mean(seeds, axis=0)[:, 0], np.std(seeds, axis=0, ddof=1)[:, 0] / np.sqrt(6)
    z, w = np.polynomial.hermite_e.hermegauss(101)
    for draw in range(4):
        sd = np.sqrt((root[draw] @ root[draw].T)[1, 1])
        slope = b["alliance, session"][draw] + b["alliance, session:arm[CBT]"][draw] + sd * z
        through = b["better, slope(alliance)"][draw] + b["better, slope(alliance):arm[CBT]"][draw]
        eta = b["better, Intercept"][draw] + b["better, arm[CBT]"][draw] + through * slope
        right = special.expit(eta) @ (w / w.sum())
        assert abs(mean[draw] - right) < 4 * error[draw] + 1e-4


def test_own_residuals_are_what_these_sessions_would_have_been() -> None:
    """Moved where nothing is set: the scores that were observed. Set: those, and what the paths add to them."""
    text = equation("alliance", "arm + x + (1 | patient)") + equation(
        "y", "alliance + alliance:x + session + (1 | patient)"
    )
    fit = fit_of(text, **ARMS)
    b, frame = coefs(fit), study()
    own = {"outcome": "y", "groups": "own", "propagate": True, "residuals": "own", "by": "row"}
    seen = flat(ba.predictions(fit, what="drawn", **own))
    np.testing.assert_allclose(seen, np.broadcast_to(frame["y"], seen.shape), atol=1e-9)
    moved = flat(ba.predictions(fit, at={"x": 0.5}, what="drawn", **own))
    shift = b["alliance, x"][:, None] * (0.5 - frame["x"].to_numpy())
    before, after = frame["alliance"].to_numpy(), frame["alliance"].to_numpy() + shift
    right = frame["y"].to_numpy() + b["y, alliance"][:, None] * shift
    right = right + b["y, alliance:x"][:, None] * (0.5 * after - frame["x"].to_numpy() * before)
    # x itself is in the product alone
    right = right + b.get("y, x", np.zeros(len(right)))[:, None] * (0.5 - frame["x"].to_numpy())
    np.testing.assert_allclose(moved, right, rtol=1e-8, atol=1e-8)
    expected = flat(ba.predictions(fit, at={"x": 0.5}, **own))
    e = fit.design.find("y")  # type: ignore[union-attr]
    u = draws_of(fit)["u_patient"].sel(patient_effect="y, Intercept", patient=list(map(str, e.patient)))
    eta = b["y, Intercept"][:, None] + b["y, session"][:, None] * e.session + u.transpose("sample", ...).values
    eta = eta + (b["y, alliance"] + 0.5 * b["y, alliance:x"])[:, None] * after
    np.testing.assert_allclose(expected, eta, rtol=1e-8, atol=1e-8)


def test_own_residuals_that_rows_do_not_have() -> None:
    """All at once: nothing follows, new rows, other units; and a yes or no has none."""
    fit = fit_of(equation("alliance", "arm + (1 | patient)") + equation("y", "alliance + session"), **ARMS)
    with pytest.raises(ba.FitError) as caught:
        ba.predictions(fit, grid={"session": [1]}, outcome="y", residuals="own")
    assert [problem.fix for problem in caught.value.problems] == [
        "State propagate=True, or leave it out.",
        "Use the fit's own rows (at=).",
    ]
    with pytest.raises(ba.FitError, match=r"effects of their own 'patient'\. State groups='own'"):
        ba.comparisons(fit, "arm", outcome="y", residuals="own", propagate=True)
    with pytest.raises(ba.FitError, match=r"Unknown residuals 'old'"):
        ba.comparisons(fit, "arm", outcome="y", residuals="old", propagate=True)  # type: ignore[arg-type]
    yes = equation("better", "arm + (1 | patient)", extra='family = "bernoulli"') + equation("y", "better + session")
    with pytest.raises(ba.FitError, match=r"'better' \(bernoulli\) has no residuals that rows could keep"):
        ba.comparisons(fit_of(yes, **ARMS), "arm", outcome="y", groups="own", residuals="own", propagate=True)


def test_rows_are_averaged_by_what_a_mediator_reads() -> None:
    """By x, which the mediator's equation alone reads: at 1 and at 0; rows of which it has none are named."""
    frame = of_patients().assign(x=lambda own: (own["x"] > 0).astype(int))
    text = equation("alliance", "arm + x + (1 | patient)") + equation("y", "alliance + session")
    fit = fit_of(text, frame, **ARMS)
    b = coefs(fit)
    found = ba.predictions(fit, at={"arm": "TAU"}, outcome="y", propagate=True, by="x")
    assert found.lines["x"].tolist() == [0.0, 1.0]
    values = flat(found)
    np.testing.assert_allclose(values[:, 1] - values[:, 0], b["y, alliance"] * b["alliance, x"], rtol=1e-8, atol=1e-10)
    rows = pd.DataFrame({"arm": "TAU", "x": [1, 0, 1], "session": 3})
    new = flat(ba.predictions(fit, rows, outcome="y", propagate=True, by="x"))
    np.testing.assert_allclose(new[:, 1] - new[:, 0], b["y, alliance"] * b["alliance, x"], rtol=1e-8, atol=1e-10)
    frame.loc[3, "x"] = np.nan
    with pytest.raises(
        ba.FitError, match=r"by='x' is a predictor of 'alliance', whose equation lacks 1 row of 'y': row 4"
    ):
        ba.predictions(fit_of(text, frame, **ARMS), at={"arm": "TAU"}, outcome="y", propagate=True, by="x")
    with pytest.raises(ba.FitError, match="Unknown variable or grouping factor 'mood'"):
        ba.predictions(fit, at={"arm": "TAU"}, outcome="y", propagate=True, by="mood")


def test_new_ids_that_look_like_others_and_several_rows_of_one_patient_are_told() -> None:
    """P01 beside the fitted p01; a patient twice in an equation of patients."""
    fit = fit_of(equation("post", "arm + (1 | therapist)", unit="patient"), of_patients(), **ARMS)
    rows = pd.DataFrame({"pid": ["a", "a", "b"], "tid": ["T0", "t1", "t 0"], "arm": "TAU"})
    found = ba.predictions(fit, rows.rename(columns={"pid": "patient"}))
    assert found.messages[0] == (
        "New therapist ids differ from others only in blanks, case, leading zeros, invisible characters or Unicode "
        "form: 't0', 'T0', 't 0'. They are taken as new units; correct the rows if they are the same."
    )
    assert found.messages[1] == (
        "'post' has a row per patient, and 1 of 2 patients have several: 'a' (2). Each row is predicted by itself."
    )
    frame = study()
    session = fit_of(equation("y", "arm + (1 | patient)"), frame, **ARMS)
    rows = pd.DataFrame({"patient": ["p01", "P01"], "arm": "TAU"})
    assert "'p01', 'P01'" in ba.predictions(session, rows).messages[0]
    with pytest.raises(ba.DesignError, match="The outcome has a row per session: say which one every row is"):
        ba.predictions(fit_of(equation("y", "arm + session"), frame, **ARMS), pd.DataFrame({"arm": ["TAU"]}))


def test_a_summary_of_an_outcome_stays_and_that_is_said() -> None:
    """The mean of sessions 1 to 3 is a column of the table: what follows does not reach it."""
    declared = '[variables]\nearly = "window(alliance, 1, 3)"\n'
    text = declared + equation("alliance", "session + arm") + equation("post", "early + arm", unit="patient")
    found = ba.predictions(fit_of(text, of_patients(), **ARMS), at={"arm": "TAU"}, outcome="post", propagate=True)
    assert found.messages[-1] == "'early' is worked out of 'alliance' before the fit and stays as it was observed."


def test_rows_in_no_group_get_no_effect_of_one() -> None:
    """effect() of groups in one arm: 0 in the others, as in the model; new ones where the arm is set."""
    text = equation("alliance", "condition + session + (0 + in_group | group)") + equation(
        "y", 'effect(alliance, group, "in_group") + condition + session'
    )
    fit = fit_of(text, **GATED)
    b, d = coefs(fit), draws_of(fit)
    own = flat(ba.predictions(fit, outcome="y", groups="own", propagate=True, by="row"))
    e, frame = fit.design.find("y"), study()  # type: ignore[union-attr]
    u = d["u_group"].transpose("sample", ...).values[:, :, 0]
    levels = list(map(str, d["group"].values))
    through = next(b[label] for label in b if label.startswith("y, effect("))
    for row in range(0, len(e.y), 7):
        arm, gid = frame["arm"][e.row[row]], frame["gid"][e.row[row]]
        right = b["y, Intercept"] + b["y, session"] * e.session[row]
        right = right + (b[f"y, arm[{arm}]"] if arm != "TAU" else 0.0)
        right = right + (through * u[:, levels.index(gid)] if gid else 0.0)
        np.testing.assert_allclose(own[:, row], right, rtol=1e-9, atol=1e-9)
    yes = text.replace("'y'", "'better'").replace("formula = 'effect", "family = 'bernoulli'\nformula = 'effect")
    fit = fit_of(yes.replace("'better'\nunit", "'better'\nunit"), **GATED)
    b = coefs(fit)
    found = flat(ba.predictions(fit, at={"condition": "TAU", "session": 3}, outcome="better", propagate=True))[:, 0]
    np.testing.assert_allclose(found, special.expit(b["better, Intercept"] + 3 * b["better, session"]), atol=1e-9)


def test_survival_refuses_what_the_other_equation_reads_of_sessions() -> None:
    """Its x after leaving is not known; what is a function of the session's number moves with it."""
    text = equation("alliance", "arm + {} + (1 | patient)") + equation(
        "leaving", "value(alliance) + arm", extra='family = "hazard"'
    )
    settings = {"what": "survival", "outcome": "leaving", "propagate": True, "groups": "zero"}
    with pytest.raises(ba.FitError, match=r"'x' changes over a patient's sessions"):
        ba.predictions(fit_of(text.format("x"), with_dropout(), size=0.3, **ARMS), at={"arm": ["TAU"]}, **settings)
    fit = fit_of(text.format("late"), with_dropout(), size=0.3, **ARMS)
    b = coefs(fit)
    found = flat(ba.predictions(fit, at={"arm": ["TAU"]}, **settings))
    late = np.array([0, 0, 0, 1, 1, 1])
    value = b["alliance, Intercept"][:, None] + b["alliance, late"][:, None] * late
    eta = b["leaving, Intercept"][:, None] + b["leaving, value(alliance)"][:, None] * value
    np.testing.assert_allclose(found, np.cumprod(np.exp(-np.exp(eta)), axis=1), atol=1e-9)


def test_means_of_units_that_the_drawn_equation_does_not_say() -> None:
    """between(alliance, therapist) where alliance has no therapists: refused, and worked out where it has."""
    lacking = equation("alliance", "x + arm + (1 | patient)") + equation(
        "post", "between(alliance, therapist) + arm + (1 | therapist)", unit="patient"
    )
    with pytest.raises(ba.FitError, match=r"'alliance' does not say in which therapist 180 of its 180 rows are"):
        ba.comparisons(fit_of(lacking, of_patients(), **ARMS), "x", outcome="post", propagate=True)
    frame = study()
    frame.loc[frame["session"] < 4, "y"] = np.nan
    own = equation("alliance", "session + (1 | patient) + (1 | therapist)") + equation(
        "y", "between(alliance, therapist) + x + (1 | therapist)"
    )
    fit = fit_of(own, frame)
    b = coefs(fit)
    found = flat(ba.predictions(fit, at={"x": 0.0}, outcome="y", propagate=True))[:, 0]
    mean = b["alliance, Intercept"] + 3.5 * b["alliance, session"]
    right = b["y, Intercept"] + b["y, between(alliance, therapist)"] * mean
    np.testing.assert_allclose(found, right, rtol=1e-9)


def test_new_units_are_the_same_in_every_equation() -> None:
    """Rows set into an arm of groups get one new group each patient, whoever is missing in an equation."""
    text = equation("alliance", "condition + (0 + in_group | group)") + equation(
        "better", "alliance + condition + (0 + in_group | group)", extra='family = "bernoulli"'
    )
    text += '[groups.group]\ncorrelate = ["alliance", "better"]\n'
    frame = study(60).astype({"better": float})
    frame.loc[frame["pid"] == "p00", "better"] = np.nan
    fit = fit_of(text, frame, size=1.5, **GATED)
    b, d = coefs(fit), draws_of(fit)
    sd = d["sd_group"].transpose("sample", ...).values
    cor = d["cor_group"].transpose("sample", ...).values[:, 0, 1]
    sigma = d["sigma"].transpose("sample", ...).values[:, 0]
    settings = {"at": {"condition": "MBCT"}, "outcome": "better", "propagate": True}
    found = [flat(ba.predictions(fit, seed=seed, **settings))[:, 0] for seed in range(6)]
    mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(6)
    z, w = np.polynomial.hermite_e.hermegauss(101)
    inside = b["alliance, Intercept"] + b["alliance, arm[MBCT]"]
    eta = b["better, Intercept"] + b["better, arm[MBCT]"] + b["better, alliance"] * inside
    through = b["better, alliance"]
    variance = (through * sd[:, 0]) ** 2 + sd[:, 1] ** 2 + 2 * through * sd[:, 0] * sd[:, 1] * cor
    variance = variance + (through * sigma) ** 2
    right = special.expit(eta[:, None] + np.sqrt(variance)[:, None] * z) @ (w / w.sum())
    assert (np.abs(mean - right) < 4 * error + 2e-4).all()


def test_settings_that_contradict_one_another() -> None:
    """The rated alliance set where its equation is read; at= beside grid=; a level beside its own 0/1 column."""
    text = equation("alliance", "session + arm + (1 | patient)") + equation("y", "value(alliance) + alliance + arm")
    fit = fit_of(text, **ARMS)
    with pytest.raises(ba.FitError, match=r"setting 'alliance' does not move\. Set 'value\(alliance\)', too"):
        ba.predictions(fit, at={"alliance": [5.0, 6.0]}, outcome="y", propagate=True)
    with pytest.raises(ba.FitError, match=r"at= and grid= both set 'session'"):
        ba.predictions(fit_of(equation("y", "session + arm"), **ARMS), grid={"session": [1, 2]}, at={"session": 3})
    gated = fit_of(equation("y", "condition + in_group:x + (1 | patient)"), **GATED)
    rows = pd.DataFrame({"condition": ["TAU", "MBCT"], "x": [2.0, 2.0]})
    filled = flat(ba.predictions(gated, rows))
    np.testing.assert_allclose(filled, flat(ba.predictions(gated, rows.assign(in_group=[0, 1]))))
    with pytest.raises(
        ba.DesignError, match=r"stands for a level of 'arm' and says something else in 1 row: row 1 \(TAU"
    ):
        ba.predictions(gated, rows.assign(in_group=[1, 1]))


def test_saved_fits_read_other_equations_without_a_session() -> None:
    """Patients' rows have no session: the slope is that of a line, and the outline has no session numbers."""
    fit = fit_of(GROWTH + equation("post", "slope(alliance) + arm + x", unit="patient"), of_patients(), **ARMS)
    rows = pd.DataFrame({"arm": ["CBT"], "x": [0.5]})
    right = flat(ba.predictions(fit, rows, outcome="post", propagate=True))
    np.testing.assert_allclose(flat(ba.predictions(without_rows(fit), rows, outcome="post", propagate=True)), right)
