"""Simulated tables come from the truth they state: checked by least squares and counting, never by our own models."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.simulate.people import lay_out
from bayes_alliance.simulate.simulation import check_specs

TRUTH = {
    "b[outcome, Intercept]": 20.0,
    "b[outcome, session]": -0.8,
    "b[outcome, condition[CBT]]": -1.0,
    "b[outcome, session:condition[CBT]]": -0.4,
    "sd_patient[outcome, Intercept]": 3.0,
    "sd_patient[outcome, session]": 0.5,
    "cor_patient[outcome, Intercept | outcome, session]": -0.4,
    "sd_therapist[outcome, Intercept]": 1.5,
    "sigma[outcome]": 2.0,
}
LAYOUT = {
    "patients": 4000,
    "sessions": list(range(8)),
    "arms": {"TAU": 2000, "CBT": 2000},
    "therapists": 400,
    "missed": 0.1,
    "dropout": 0.05,
}


@pytest.fixture(scope="module")
def big() -> ba.SimulatedTable:
    """Return a trial large enough for its moments to show the truth."""
    return ba.simulate_sessions(ba.load_model("growth/treatment"), LAYOUT, truth=TRUTH, seed=11)


def test_least_squares_finds_the_coefficients(big: ba.SimulatedTable) -> None:
    """Each coefficient lies within four standard errors, patients and therapists clustered generously."""
    frame = big.frame
    arm = (frame["condition"] == "CBT").to_numpy(float)
    session = frame["session"].to_numpy()
    x = np.column_stack([np.ones(len(frame)), session, arm, session * arm])
    found = np.linalg.lstsq(x, frame["outcome"].to_numpy(), rcond=None)[0]
    assert (np.abs(found - [20.0, -0.8, -1.0, -0.4]) < [0.4, 0.06, 0.5, 0.08]).all()


def test_group_effects_have_the_stated_spread(big: ba.SimulatedTable) -> None:
    """SDs and the correlation of the drawn effects are those of the truth, within sampling error."""
    patient = big.effects["outcome"]["u_patient"]
    assert patient.sizes == {"patient": 4000, "patient_effect": 2}
    np.testing.assert_allclose(patient.std("patient"), [3.0, 0.5], rtol=0.06)
    assert np.corrcoef(patient.values.T)[0, 1] == pytest.approx(-0.4, abs=0.06)
    assert float(big.effects["outcome"]["u_therapist"].std()) == pytest.approx(1.5, rel=0.15)


def test_residuals_are_what_effects_leave(big: ba.SimulatedTable) -> None:
    """Outcome minus truth and effects is normal noise of the stated SD, unrelated to session."""
    frame, effects = big.frame, big.effects["outcome"]
    arm, session = (frame["condition"] == "CBT").to_numpy(float), frame["session"].to_numpy()
    u = effects["u_patient"].to_pandas().loc[frame["patient"]].to_numpy()
    v = effects["u_therapist"].to_pandas().loc[frame["therapist"]].to_numpy()[:, 0]
    mean = 20 - 0.8 * session - arm - 0.4 * session * arm + u[:, 0] + u[:, 1] * session + v
    left = frame["outcome"].to_numpy() - mean
    assert left.std() == pytest.approx(2.0, rel=0.02)
    assert abs(left.mean()) < 0.05
    assert abs(np.corrcoef(left, session)[0, 1]) < 0.03


def test_missed_sessions_and_dropout_are_as_stated(big: ba.SimulatedTable) -> None:
    """The share seen at the last session is the chance to stay times the chance not to miss it."""
    counts = big.frame.groupby("session").size() / 4000
    assert counts[0] == 1.0
    assert counts[7] == pytest.approx(0.95**7 * 0.9, abs=0.03)


def test_truth_is_named_as_summaries_name_it(small_fit: ba.Fit, sessions: ba.SessionTable) -> None:
    """Every parameter of a summary has a name in the template, and the other way round."""
    from bayes_alliance.simulate.truth import truth_names

    assert small_fit.design is not None
    summary = ba.summarize(small_fit)["name"]
    estimated = {name for name in summary if not name.startswith(("share_", "icc_"))}
    assert estimated == set(truth_names(small_fit.design))


def test_same_seed_same_table() -> None:
    """A seed gives one table; another seed another."""
    model = ba.load_model("growth/treatment")
    layout = {**LAYOUT, "patients": 40, "arms": {"TAU": 20, "CBT": 20}, "therapists": 6}
    one, two, other = (ba.simulate_sessions(model, layout, truth=TRUTH, seed=s) for s in (3, 3, 4))
    assert one.fingerprint() == two.fingerprint() != other.fingerprint()
    assert one.messages[0].startswith("SYNTHETIC")


def test_0_1_outcomes_follow_their_log_odds() -> None:
    """The share of ones among people of one kind is the inverse logit of the truth."""
    truth = {
        "b[dropout, Intercept]": -1.0,
        "b[dropout, alliance_early]": 0.0,
        "b[dropout, condition[B]]": 1.0,
        "b[dropout, alliance_early:condition[B]]": 0.0,
    }
    layout = {"patients": 6000, "sessions": [1, 2], "arms": {"A": 3000, "B": 3000}}
    table = ba.simulate_sessions(
        ba.load_model("dropout/early-alliance"),
        layout,
        truth=truth,
        seed=2,
        variables={"alliance": {"unit": "session", "mean": 5.0}},
    )
    shares = table.frame.groupby("patient")[["dropout", "condition"]].first().groupby("condition")["dropout"].mean()
    assert shares["A"] == pytest.approx(1 / (1 + np.e), abs=0.03)
    assert shares["B"] == pytest.approx(0.5, abs=0.03)


def test_covariates_have_their_moments() -> None:
    """SD at the own unit and between wider ones add up; slopes and bounds hold; a unit's value is one value."""
    layout = ba.Layout(patients=3000, sessions=(1, 2, 3), therapists=300)
    variables = {
        "skill": {"unit": "therapist", "mean": 2.0, "sd": 0.5},
        "alliance": {"unit": "session", "mean": 5.0, "sd": 0.4, "between": {"patient": 0.6}, "slopes": {"skill": 1.0}},
        "score": {"unit": "patient", "mean": 10.0, "sd": 8.0, "low": 0.0, "high": 20.0, "digits": 0},
        "female": {"probability": 0.7},
    }
    from bayes_alliance.simulate.covariates import draw_variables

    rng = np.random.default_rng(1)
    frame = draw_variables(lay_out(layout, rng), check_specs(variables, layout), layout, rng)
    assert (frame.groupby("therapist")["skill"].nunique() == 1).all()
    rest = frame["alliance"] - frame["skill"]
    assert rest.std() == pytest.approx(np.hypot(0.4, 0.6), rel=0.05)
    assert rest.groupby(frame["patient"]).mean().std() == pytest.approx(np.hypot(0.6, 0.4 / np.sqrt(3)), rel=0.05)
    assert frame["score"].between(0, 20).all()
    assert (frame["score"] % 1 == 0).all()
    assert frame.groupby("patient")["female"].first().mean() == pytest.approx(0.7, abs=0.04)


GROWTH = "growth/treatment"
SMALL = {"patients": 20, "sessions": [1, 2, 3, 4], "arms": {"TAU": 10, "CBT": 10}, "therapists": 4}


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({**SMALL, "patient": 3}, "Did you mean 'patients'"),
        ({"sessions": [1, 2]}, "required key 'patients' is missing"),
        ({**SMALL, "arms": {"TAU": 10, "CBT": 9}}, "add up to 19 patients"),
        ({**SMALL, "arms": {"TAU": 20}}, "one arm, 'TAU'"),
        ({**SMALL, "therapists": 21}, "21 therapists for 20 patients"),
        ({**SMALL, "therapists": {"CBD": 4}}, "Did you mean 'CBT'"),
        ({**SMALL, "therapists": {"CBT": 11}}, "11 therapists in 'CBT' for 10 patients"),
        (
            {**SMALL, "groups": {"size": [7, 8], "arms": ["CBT"]}},
            "10 patients of CBT cannot be split into groups of 7 to 8",
        ),
        ({**SMALL, "groups": {"size": [8, 7]}}, "the least size comes first"),
        ({**SMALL, "allocation": "therapist"}, "add up to 20 therapists"),
        ({"patients": 9, "allocation": "therapist"}, "needs arms"),
        ({**SMALL, "sessions": [3, 2]}, "that rise; they are [3, 2]"),
        ({**SMALL, "sessions": [], "missed": 0.1}, "need two sessions or more"),
        ({**SMALL, "dropout": {"CBX": 0.1}}, "Did you mean 'CBT'"),
        ({**SMALL, "dropout": 1.2}, "less than 1"),
        ({**SMALL, "names": {"patient": "session"}}, "two columns are called 'session'"),
        ({**SMALL, "names": {"pasient": "p"}}, "Did you mean 'patient'"),
        ({**SMALL, "sessions": []}, "State the waves"),
    ],
)
def test_impossible_layouts_are_refused(layout: dict[str, object], message: str) -> None:
    """What no study can be is said by name, before anything is drawn."""
    with pytest.raises(ba.SpecError) as caught:
        ba.simulate_sessions(ba.load_model(GROWTH), layout, truth=TRUTH, seed=1)
    assert message in str(caught.value)


def test_all_problems_of_a_layout_are_said_at_once() -> None:
    """Two faults, two sentences."""
    with pytest.raises(ba.SpecError) as caught:
        ba.simulate_sessions(
            ba.load_model(GROWTH), {**SMALL, "therapists": 30, "sessions": [2, 1]}, truth=TRUTH, seed=1
        )
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b[outcome, sesion]": 1.0}, "Did you mean 'b[outcome, session]'"),
        ({"sigma[outcome]": None}, "must be a finite number"),
        ({"sigma[outcome]": -1.0}, "is an SD and cannot be below 0"),
        ({"cor_patient[outcome, Intercept | outcome, session]": 1.5}, "from -1 to 1"),
    ],
)
def test_a_truth_that_does_not_fit_is_refused(change: dict[str, float], message: str) -> None:
    """Unknown and impossible parameters are named."""
    with pytest.raises(ba.SpecError) as caught:
        ba.simulate_sessions(ba.load_model(GROWTH), SMALL, truth=TRUTH | change, seed=1)
    assert message in str(caught.value)


def test_a_missing_parameter_prints_the_template() -> None:
    """The template is TOML with every parameter, those that were stated filled in."""
    lacking = {name: value for name, value in TRUTH.items() if name != "sd_patient[outcome, session]"}
    with pytest.raises(ba.SpecError) as caught:
        ba.simulate_sessions(ba.load_model(GROWTH), SMALL, truth=lacking, seed=1)
    text = str(caught.value)
    assert "no value for 'sd_patient[outcome, session]'" in text
    assert '"sd_patient[outcome, session]" = ...' in text
    assert '"sigma[outcome]" = 2.0' in text


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"x": {"unit": "group"}}, "the layout has no group"),
        ({"x": {"between": {"session": 1.0}}}, "Unknown wider unit 'session'"),
        ({"x": {"slopes": {"y": 1.0}}, "y": {}}, "Unknown earlier variable 'y'"),
        ({"y": {"unit": "session"}, "x": {"slopes": {"y": 1.0}}}, "'y' varies within a patient"),
        ({"x": {"low": 2.0, "high": 1.0}}, "low = 2 is not below high = 1"),
        ({"session": {}}, "is a column of the layout"),
        ({"x": {"meen": 2.0}}, "Did you mean 'mean'"),
        ({"x": {"probability": 0.5, "between": {"therapist": 1.0}}}, "takes probability alone"),
    ],
)
def test_impossible_variables_are_refused(variables: dict[str, dict[str, object]], message: str) -> None:
    """Units, slopes and bounds are checked before anything is drawn."""
    with pytest.raises(ba.SpecError) as caught:
        ba.simulate_sessions(ba.load_model(GROWTH), SMALL, truth=TRUTH, seed=1, variables=variables)
    assert message in str(caught.value)


def test_waves_a_model_reads_must_be_there() -> None:
    """A window over sessions that the layout has not is an error of the design."""
    with pytest.raises(ba.DesignError, match="has no value in any patient"):
        ba.simulate_sessions(
            ba.load_model("dropout/early-alliance"),
            {"patients": 30, "sessions": [6, 9], "arms": {"A": 15, "B": 15}},
            truth={},
            seed=1,
            variables={"alliance": {"unit": "session"}},
        )


def test_frames_can_be_fitted_as_tables(big: ba.SimulatedTable) -> None:
    """A simulated table is a session table: it can be selected from, described and designed."""
    chosen = ba.select_rows(big, maximum={"session": 3})
    assert isinstance(chosen, ba.SessionTable)
    assert isinstance(ba.describe(chosen).sizes, pd.DataFrame)
