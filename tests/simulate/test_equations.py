"""Several equations simulated: joint effects, joint residuals, strata, order, and what cannot be simulated."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

import bayes_alliance as ba
from bayes_alliance.simulate.truth import truth_names
from tests.build.test_equations import HEAD, equation

DUAL = HEAD + (
    equation("p", "session + (1 + session | patient)")
    + equation("t", "session + (1 | patient)")
    + '[groups.patient]\ncorrelate = ["p", "t"]\nby = "condition"\n[residual]\ncorrelate = ["p", "t"]\n'
)
LAYOUT = {"patients": 6000, "sessions": [0, 1, 2, 3], "arms": {"A": 3000, "B": 3000}}
EFFECTS = ("p, Intercept", "p, session", "t, Intercept")
SDS = {"A": (1.0, 0.3, 0.8), "B": (2.0, 0.1, 0.5)}
CORS = {"A": (0.2, 0.5, -0.3), "B": (-0.4, 0.0, 0.6)}


def truth() -> dict[str, float]:
    """Return a truth with covariances of its own in each arm."""
    stated = {"b[p, Intercept]": 5.0, "b[p, session]": 0.2, "b[t, Intercept]": 4.0, "b[t, session]": 0.1}
    for arm in "AB":
        stratum = f"condition[{arm}]"
        for effect, sd in zip(EFFECTS, SDS[arm], strict=True):
            stated[f"sd_patient[{stratum} | {effect}]"] = sd
        for (one, two), cor in zip(combinations(EFFECTS, 2), CORS[arm], strict=True):
            stated[f"cor_patient[{stratum} | {one} | {two}]"] = cor
    return stated | {"sigma[p]": 0.7, "sigma[t]": 0.4, "cor_residual[p | t]": 0.35}


@pytest.fixture(scope="module")
def table() -> ba.SimulatedTable:
    """Return a large SYNTHETIC study of two raters with different covariances by arm."""
    return ba.simulate_sessions(ba.parse_model(DUAL), LAYOUT, truth=truth(), seed=5)


def test_names_of_a_truth_are_those_of_the_model(table: ba.SimulatedTable) -> None:
    """The truth has exactly the parameters the design has, strata and residual correlation included."""
    made = ba.make_design(ba.parse_model(DUAL), ba.Study(table, reference=table.reference))
    assert set(truth_names(made)) == set(truth())


def test_effects_have_their_covariance_in_each_arm(table: ba.SimulatedTable) -> None:
    """SDs and correlations of the drawn effects, by arm, within five standard errors."""
    effects = table.effects["p"]["u_patient"]
    assert list(effects["patient_effect"].values) == list(EFFECTS)
    arm = table.frame.groupby("patient")["condition"].first()
    for name in "AB":
        drawn = effects.sel(patient=[p for p in effects["patient"].values if arm[p] == name]).values
        np.testing.assert_allclose(drawn.std(axis=0), SDS[name], rtol=5 / np.sqrt(2 * len(drawn)))
        found = np.corrcoef(drawn.T)[np.triu_indices(3, 1)]
        np.testing.assert_allclose(found, CORS[name], atol=5 / np.sqrt(len(drawn)))


def test_residuals_of_a_row_correlate(table: ba.SimulatedTable) -> None:
    """What is left of both ratings after coefficients and effects has the stated SDs and correlation."""
    frame, effects = table.frame, table.effects["p"]["u_patient"]
    rows = effects.sel(patient=list(frame["patient"])).values
    session = frame["session"].to_numpy()
    p = frame["p"] - (5.0 + 0.2 * session) - rows[:, 0] - rows[:, 1] * session
    t = frame["t"] - (4.0 + 0.1 * session) - rows[:, 2]
    assert p.std() == pytest.approx(0.7, rel=0.03)
    assert t.std() == pytest.approx(0.4, rel=0.03)
    assert np.corrcoef(p, t)[0, 1] == pytest.approx(0.35, abs=0.03)


def test_the_same_seed_gives_the_same_table() -> None:
    """Two calls agree to the bit, another seed does not."""
    small = LAYOUT | {"patients": 20, "arms": {"A": 10, "B": 10}}
    one, two, other = (ba.simulate_sessions(ba.parse_model(DUAL), small, truth=truth(), seed=s) for s in (1, 1, 2))
    assert one.frame.equals(two.frame)
    assert not one.frame.equals(other.frame)


def test_a_truth_must_be_a_distribution() -> None:
    """Correlations that contradict each other are refused by factor, those of residuals, too."""
    wrong = truth() | {
        "cor_patient[condition[A] | p, Intercept | p, session]": 0.9,
        "cor_patient[condition[A] | p, Intercept | t, Intercept]": 0.9,
        "cor_patient[condition[A] | p, session | t, Intercept]": -0.9,
    }
    with pytest.raises(ba.SpecError, match="the correlations of patient contradict each other"):
        ba.simulate_sessions(ba.parse_model(DUAL), LAYOUT, truth=wrong, seed=1)
    with pytest.raises(ba.SpecError, match=r"cor_residual\[p \| t\] is a correlation, from -1 to 1"):
        ba.simulate_sessions(ba.parse_model(DUAL), LAYOUT, truth=truth() | {"cor_residual[p | t]": 1.5}, seed=1)


VECTOR = {
    "b[y, Intercept]": 5.0,
    "b[m, Intercept]": -2.0,
    'b[y, lag(within(y, patient, means="latent"))]': 0.4,
    'b[y, lag(within(m, patient, means="latent"))]': 0.3,
    'b[m, lag(within(m, patient, means="latent"))]': 0.2,
    'b[m, lag(within(y, patient, means="latent"))]': -0.3,
    "sd_patient[y, Intercept]": 2.0,
    "sd_patient[m, Intercept]": 1.0,
    "sigma[y]": 1.0,
    "sigma[y, first]": 1.5,
    "sigma[m]": 0.5,
    "sigma[m, first]": 0.7,
}


def test_outcomes_that_follow_their_own_and_each_others_past() -> None:
    """Deviations from true means are a vector autoregression, worked out here session by session; gaps end a series."""
    own, other = (
        f'lag(within({a}, patient, means="latent")) + lag(within({b}, patient, means="latent")) + (1 | patient)'
        for a, b in (("y", "m"), ("m", "y"))
    )
    text = HEAD + equation("y", own) + equation("m", other)
    layout = {"patients": 200, "sessions": [1, 2, 3, 4, 5], "missed": 0.2}
    drawn = ba.simulate_sessions(ba.parse_model(text), layout, truth=VECTOR, seed=3)
    effects = drawn.effects["y"]["u_patient"]
    left: dict[str, list[float]] = {name: [] for name in ("y", "m", "y first", "m first")}
    for patient, rows in drawn.frame.groupby("patient"):
        means = effects.sel(patient=patient).values + np.array([5.0, -2.0])
        apart = dict(zip(rows["session"], rows[["y", "m"]].to_numpy() - means, strict=True))
        for session, now in apart.items():
            before = apart.get(session - 1)
            ending = " first" if before is None else ""
            carried = np.zeros(2) if before is None else np.array([[0.4, 0.3], [-0.3, 0.2]]) @ before
            for name, value in zip("ym", now - carried, strict=True):
                left[name + ending].append(value)
    for name, values in left.items():
        sigma = VECTOR[f"sigma[{name.replace(' ', ', ')}]"]
        assert np.std(values) == pytest.approx(sigma, rel=5 / np.sqrt(2 * len(values)))
        assert np.mean(values) == pytest.approx(0.0, abs=5 * sigma / np.sqrt(len(values)))


def test_an_outcome_that_depends_on_its_future_is_not_simulated() -> None:
    """Observed means hold later values: said, with what to write instead."""
    stated = {"b[y, Intercept]": 0.0, "b[y, lag(within(y, patient))]": 0.4, "sd_patient[y, Intercept]": 1.0}
    stated |= {"sigma[y]": 1.0}
    layout = {"patients": 20, "sessions": [1, 2, 3]}
    spec = ba.parse_model(HEAD + equation("y", "lag(within(y, patient)) + (1 | patient)"))
    with pytest.raises(ba.SpecError, match="sessions without one have no equation to be drawn from"):
        ba.simulate_sessions(spec, layout, truth=stated, seed=1)
    carried = 'lag(within({}, patient, means="latent"))'
    own, other = carried.format("y"), carried.format("m")
    text = equation("y", f"{own} + {other} + (1 | patient)") + equation("m", "within(y, patient) + (1 | patient)")
    stated = dict.fromkeys((f"b[y, {own}]", f"b[y, {other}]", "b[m, within(y, patient)]"), 0.4)
    stated |= dict.fromkeys(("b[y, Intercept]", "b[m, Intercept]"), 0.0)
    stated |= dict.fromkeys(("sd_patient[y, Intercept]", "sd_patient[m, Intercept]"), 1.0)
    stated |= dict.fromkeys(("sigma[y]", "sigma[y, first]", "sigma[m]"), 1.0)
    with pytest.raises(ba.SpecError, match=r"Outcomes depend on later values of themselves \('y' and 'm'\)"):
        ba.simulate_sessions(ba.parse_model(HEAD + text), layout, truth=stated, seed=1)


def test_latent_means_of_a_mere_predictor_are_not_simulated() -> None:
    """Its values would have to be drawn by a measurement model: said, with what to do."""
    spec = ba.parse_model(HEAD + equation("y", 'within(x, patient, means="latent") + (1 | patient)'))
    layout, variables = {"patients": 20, "sessions": [1, 2, 3]}, {"x": {"unit": "session"}}
    with pytest.raises(ba.SpecError, match="follows latent means of 'x', which has no equation"):
        ba.simulate_sessions(spec, layout, truth={}, seed=1, variables=variables)


def test_an_outcome_reads_the_drawn_earlier_values_of_another() -> None:
    """Whatever the order of the file, a lag is of the drawn outcome; a name inside another is none of it."""
    text = equation("y", "lag(m) + day") + equation("m", "session")
    stated = {"b[y, Intercept]": 1.0, "b[y, lag(m)]": 0.8, "b[y, day]": 0.5, "sigma[y]": 0.01}
    stated |= {"b[m, Intercept]": 0.0, "b[m, session]": 0.3, "sigma[m]": 1.0}
    drawn = ba.simulate_sessions(
        ba.parse_model(HEAD + text),
        {"patients": 50, "sessions": [1, 2, 3, 4]},
        truth=stated,
        seed=2,
        variables={"day": {"unit": "session"}},
    ).frame
    before = drawn.groupby("patient")["m"].shift()
    left = drawn["y"] - 1.0 - 0.8 * before - 0.5 * drawn["day"]
    assert left.notna().sum() == 150
    assert left.std() == pytest.approx(0.01, rel=0.3)


def test_a_centred_outcome_is_drawn_in_its_own_units() -> None:
    """The intercept is the bias above the mean of the truth, so judgments lie around that mean."""
    text = equation("view", "centred(truth, on=truth)", "patient", "centre = 'truth'")
    stated = {"b[view, Intercept]": 0.5, "b[view, centred(truth, on=truth)]": 0.7, "sigma[view]": 0.1}
    spec = ba.parse_model(HEAD + text)
    drawn = ba.simulate_sessions(
        spec, {"patients": 400}, truth=stated, seed=3, variables={"truth": {"mean": 20.0, "sd": 2.0}}
    )
    frame = drawn.frame
    assert frame["view"].mean() - frame["truth"].mean() == pytest.approx(0.5, abs=0.03)
    made = ba.make_design(spec, drawn).equation
    found = np.linalg.lstsq(made.coef.values, made.y, rcond=None)[0]
    np.testing.assert_allclose(found, [0.5, 0.7], atol=0.03)


def test_prior_draws_of_several_equations_are_joint(table: ba.SimulatedTable) -> None:
    """Each outcome is predicted over its own rows, from parameters drawn once for both."""
    rows = ba.select_rows(table, maximum={"session": 1})
    made = ba.make_design(ba.parse_model(DUAL), ba.Study(rows, reference=table.reference))
    drawn = ba.predict_prior(made, draws=3, seed=1)
    assert {"p", "t", "b"} <= set(drawn.data_vars)
    assert drawn["p"].shape == (3, len(made.equations[0].y))
    assert list(drawn["coef"].values) == ["p, Intercept", "p, session", "t, Intercept", "t, session"]


@pytest.mark.slow
def test_covariances_by_arm_and_residual_correlations_are_recovered() -> None:
    """In four simulated studies about 95 % of 76 intervals hold the truth; fewer than 67 do once in 1,000 times."""
    inside = []
    for seed in range(4):
        layout = LAYOUT | {"patients": 400, "sessions": list(range(6)), "arms": {"A": 200, "B": 200}}
        drawn = ba.simulate_sessions(ba.parse_model(DUAL), layout, truth=truth(), seed=seed)
        fit = ba.fit_model(
            ba.parse_model(DUAL),
            ba.Study(drawn, reference=drawn.reference),
            seed=seed,
            settings=ba.SamplerSettings(progress="off"),
        )
        inside += list(ba.compare_with_truth(fit, truth())["inside"])
    assert len(inside) == 4 * len(truth())
    assert np.sum(inside) >= 67, np.sum(inside)


@pytest.mark.parametrize("of", ["dropout", "alliance"])
def test_outcomes_drawn_late_may_be_constant_before(of: str) -> None:
    """What hangs on an outcome of mean 5 is 1 of everyone while that has a stand-in, and no longer when it is drawn."""
    first = equation("alliance", "(1 | therapist)", "patient")
    second = equation("dropout", "alliance", "patient", 'family = "bernoulli"')
    both = first + second if of == "dropout" else second + first
    stated = {
        "b[alliance, Intercept]": 5.0,
        "sd_therapist[alliance, Intercept]": 0.1,
        "sigma[alliance]": 0.5,
        "b[dropout, Intercept]": 30.0,
        "b[dropout, alliance]": -6.0,
    }
    layout = {"patients": 200, "therapists": 20}
    drawn = ba.simulate_sessions(ba.parse_model(HEAD + both), layout, truth=stated, seed=1)
    assert 0.3 < drawn.frame["dropout"].mean() < 0.7
    with pytest.raises(ba.DesignError, match=r"'dropout' is constant \(1\)"):
        ba.simulate_sessions(
            ba.parse_model(HEAD + both), layout, truth=stated | {"b[dropout, Intercept]": 90.0}, seed=1
        )
