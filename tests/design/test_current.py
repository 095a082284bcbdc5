"""value(), slope() and effect(): what one equation reads of another one's linear predictor."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.collapse.eligibility import find_obstacles
from bayes_alliance.design.equations.latent_columns import FollowModelled
from bayes_alliance.expectation.linear import linear_parts
from bayes_alliance.fit.compilation import NEAR, compile_density
from bayes_alliance.simulate.outcome import draw_effects, predict_latent
from bayes_alliance.simulate.outcome import predict as predict_truth
from bayes_alliance.simulate.prior import draw_parameters
from tests.conftest import ROLES

HEAD = """
title = "Joint"
question = "Does the alliance decide who leaves?"

[variables]
leaving = "survive(last, dropout)"

[[equation]]
outcome = "alliance"
unit = "session"
formula = "{growth}"

[[equation]]
outcome = "{outcome}"
unit = "{unit}"
family = "{family}"
formula = "{formula}"
"""
GROWTH = "week * arm + (1 + week | patient) + (1 | therapist)"


def model(formula: str, *, growth: str = GROWTH, outcome: str = "leaving") -> ba.ModelSpec:
    """Return a growth model and what reads it; the session is called week in this trial."""
    unit, family = ("session", "hazard") if outcome == "leaving" else ("patient", "gaussian")
    text = HEAD.format(growth=growth, outcome=outcome, unit=unit, family=family, formula=formula)
    if outcome != "leaving":
        text = text.replace('[variables]\nleaving = "survive(last, dropout)"\n', "")
    return ba.parse_model(text.replace("week", "session"))


@pytest.fixture(scope="module")
def table(trial: pd.DataFrame) -> ba.SessionTable:
    """Return the small trial with every patient's last week."""
    return ba.read_sessions(trial.assign(last=trial.groupby("pid")["week"].transform("max")), ROLES)


def make(table: ba.SessionTable, formula: str, **given: str) -> ba.Design:
    """Return a design of a joint model."""
    return ba.make_design(model(formula, **given), ba.Study(table, reference={"arm": "TAU"}))


def followed(made: ba.Design) -> FollowModelled:
    """Return what the second equation follows."""
    (follow,) = made.equations[1].follows.values()
    assert isinstance(follow, FollowModelled)
    return follow


def by_hand(made: ba.Design, rows: ba.Design, truth: dict[str, float], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return levels and slopes per session of the rows of the second equation, worked out in the open."""
    effects = draw_effects(made, truth, np.random.default_rng(seed))
    e = rows.equations[1]
    u = effects["u_patient"].sel(patient=[str(p) for p in e.patient]).values
    therapist = dict(zip(made.equations[0].patient, made.equations[0].groups[1].code, strict=True))
    v = effects["u_therapist"].values[[therapist[p] for p in e.patient], 0]
    arms = dict(zip(made.equations[0].patient, made.equations[0].arms.code, strict=True))  # type: ignore[union-attr]
    arm = np.array([arms[p] for p in e.patient])
    b = {key: truth[f"b[alliance, {key}]"] for key in ("Intercept", "week", "arm[MBCT]", "week:arm[MBCT]")}
    level = b["Intercept"] + b["arm[MBCT]"] * arm + u[:, 0] + v
    return level, b["week"] + b["week:arm[MBCT]"] * arm + u[:, 1]


TRUTH = {
    "b[alliance, Intercept]": 5.0,
    "b[alliance, week]": 0.1,
    "b[alliance, arm[MBCT]]": 0.3,
    "b[alliance, week:arm[MBCT]]": 0.05,
    "sd_patient[alliance, Intercept]": 0.6,
    "sd_patient[alliance, week]": 0.1,
    "cor_patient[alliance, Intercept | alliance, week]": 0.3,
    "sd_therapist[alliance, Intercept]": 0.3,
    "sigma[alliance]": 0.4,
    "b[leaving, Intercept]": -2.0,
    "b[post, Intercept]": 12.0,
    "sigma[post]": 2.0,
}


@pytest.mark.parametrize(
    ("formula", "outcome", "expected"),
    [
        ("value(alliance)", "leaving", lambda level, slope, at: level + slope * at),
        ("slope(alliance)", "leaving", lambda level, slope, at: slope),
        ("value(alliance, session=4)", "post", lambda level, slope, at: level + 4 * slope),
        ("slope(alliance)", "post", lambda level, slope, at: slope),
    ],
)
def test_what_is_read_is_the_linear_predictor(table: ba.SessionTable, formula: str, outcome: str, expected) -> None:  # type: ignore[no-untyped-def]
    """By the simulator's arithmetic, which the builder does not share, against the sum written out."""
    made = make(table, formula, outcome=outcome)
    truth = {k: v for k, v in TRUTH.items() if outcome in k or "alliance" in k} | {f"b[{outcome}, {formula}]": 0.7}
    effects = draw_effects(made, truth, np.random.default_rng(1))
    e = made.equations[1]
    linear = predict_truth(e, truth, effects) + predict_latent(made, e, truth, effects, {})
    level, slope = by_hand(made, made, truth, 1)
    np.testing.assert_allclose(linear, truth[f"b[{outcome}, Intercept]"] + 0.7 * expected(level, slope, e.session))


def test_an_effect_is_the_deviation_alone(table: ba.SessionTable) -> None:
    """The patient's effect, without condition, therapist and trend."""
    made = make(table, 'effect(alliance, patient, \\"week\\")'.replace("week", "session"), outcome="post")
    follow = followed(made)
    assert not follow.coef.any()
    code, values = next((code, values) for factor, code, values in follow.groups if factor == "patient")
    np.testing.assert_array_equal(values, np.tile([0.0, 1.0], (len(values), 1)))
    levels = next(f.levels for f in made.factors if f.factor == "patient")
    assert [levels[c] for c in code] == [str(p) for p in made.equations[1].patient]
    assert not next(values for factor, _, values in follow.groups if factor == "therapist").any()


def test_the_density_is_that_of_both_equations(table: ba.SessionTable) -> None:
    """PyMC's log-density of leaving at a random point against a hazard written out, draws of effects included."""
    made = make(table, "log(session) + value(alliance)")
    pm_model = ba.build_model(made.spec, made)
    rng = np.random.default_rng(3)
    point = {name: value + rng.normal(0, 0.05, np.shape(value)) for name, value in pm_model.initial_point().items()}
    names = ["b", "u_patient", "u_therapist"]
    graphs = pm_model.replace_rvs_by_values([pm_model[name] for name in names])
    found = pm_model.compile_fn(graphs, inputs=pm_model.value_vars, mode="FAST_COMPILE", on_unused_input="ignore")(
        point
    )
    b, u, v = (np.asarray(part) for part in found)
    coef = [str(label) for label in pm_model.coords["coef"]]
    at = dict(zip(coef, b, strict=True))
    e, growth = made.equations[1], made.equations[0]
    patients, therapists = (
        next(f.levels for f in made.factors if f.factor == name) for name in ("patient", "therapist")
    )
    owner = dict(zip(growth.patient, growth.groups[1].code, strict=True))
    arm = dict(zip(growth.patient, growth.arms.code, strict=True))  # type: ignore[union-attr]
    total = 0.0
    for y, person, week in zip(e.y, e.patient, e.session, strict=True):
        own, online = u[patients.index(str(person))], arm[person]
        value = at["alliance, Intercept"] + at["alliance, week"] * week + online * at["alliance, arm[MBCT]"]
        value += online * week * at["alliance, week:arm[MBCT]"] + own[0] + own[1] * week + v[owner[person], 0]
        eta = (
            at["leaving, Intercept"] + at["leaving, log(week)"] * np.log(week) + at["leaving, value(alliance)"] * value
        )
        total += np.log(-np.expm1(-np.exp(eta))) if y else -np.exp(eta)
    assert len(therapists) == 6
    logp = pm_model.compile_logp(vars=[pm_model["leaving"]], mode="FAST_COMPILE")(point)
    np.testing.assert_allclose(float(logp), total, rtol=1e-8)


def test_rows_of_patients_without_the_outcome_are_counted(trial: pd.DataFrame) -> None:
    """A patient who was at risk and never rated has no value; these rows are left out, and it is said."""
    frame = trial.assign(last=trial.groupby("pid")["week"].transform("max"))
    frame.loc[frame["pid"] == "P01", "alliance"] = np.nan
    made = make(ba.read_sessions(frame, ROLES), "value(alliance)")
    assert "P01" not in made.equations[1].patient
    assert any("value(alliance) missing" in message for message in made.messages)


@pytest.mark.parametrize(
    ("formula", "given", "message"),
    [
        ("value(alliance)", {"outcome": "post"}, "State it, such as value(alliance, session=9)"),
        ("slope(alliance)", {"growth": "arm + (1 | patient)"}, "does not change with session: its slope is 0"),
        ("slope(alliance)", {"growth": "session + arm + (1 | patient)"}, "which is the same in all rows"),
        ("slope(alliance)", {"growth": "centred(session) + arm + (1 | patient)"}, "cannot be moved in time"),
        ("value(score)", {}, "reads another equation. Unknown outcome 'score'"),
        ("value(leaving)", {}, "predicts itself"),
        ('effect(alliance, therapist, \\"slope\\")', {}, "Unknown effect of therapist"),
        ("effect(alliance, patient, week)", {}, "the label of its effect in quotes"),
        ("value(log(alliance))", {}, "the first argument is an outcome of the model"),
        ("log(value(alliance))", {}, "can be added and scaled only"),
    ],
)
def test_what_cannot_be_read(table: ba.SessionTable, formula: str, given: dict[str, str], message: str) -> None:
    """Values without a session, slopes that are 0 or the same for all, and what is no outcome."""
    with pytest.raises(ba.AllianceError) as caught:
        make(table, formula, **given)
    assert message in str(caught.value)


def test_engine_and_obstacles() -> None:
    """A hazard that reads a value is sampled by NUTS, and the reason is said."""
    assert any("not Gaussian" in text for text in find_obstacles(model("value(alliance)")))


def test_nobody_is_measured_after_leaving(trial: pd.DataFrame) -> None:
    """Patients with later rows than the session they left at are named."""
    frame = trial.assign(last=trial.groupby("pid")["week"].transform("max"))
    frame.loc[(frame["pid"] == "P02"), ["last", "dropout"]] = [3.0, 1.0]
    with pytest.raises(ba.DesignError, match=r"measured after dropout in \d rows: patient 'P02' session"):
        make(ba.read_sessions(frame, ROLES), "value(alliance)")


def test_simulated_patients_are_not_rated_after_they_left() -> None:
    """What leaving hangs on ends with it, so that leaving is informative."""
    spec = ba.load_model("dropout/joint-value")
    truth = {name.replace("week", "session"): value for name, value in TRUTH.items() if "post" not in name}
    truth = {name.replace("arm", "condition"): value for name, value in truth.items()}
    truth |= {"b[leaving, log(session)]": 0.0, "b[leaving, condition[MBCT]]": 0.0, "b[leaving, value(alliance)]": -0.5}
    truth |= {"sd_therapist[leaving, Intercept]": 0.2, "b[leaving, Intercept]": 1.0}
    layout = {"patients": 40, "sessions": [1, 2, 3, 4, 5, 6], "arms": {"TAU": 20, "MBCT": 20}, "therapists": 8}
    made = ba.simulate_sessions(spec, layout, truth=truth, seed=1).frame
    left = made[made["leaving"] == 1].set_index("patient")["session"]
    assert len(left) > 5
    after = made[made["session"] > made["patient"].map(left)]
    assert len(after) > 5
    assert after[["alliance", "leaving"]].isna().all().all()


@pytest.mark.parametrize(
    ("growth", "formula", "message"),
    [
        ("quadratic(session) + arm + (1 | patient)", "slope(alliance)", "its course is no line. State the session"),
        ("session + arm + score + (1 | patient)", "value(alliance, session=4)", "score varies within patients"),
        ("sqrt(session - 1) + arm + (1 | patient)", "slope(alliance, session=1)", "its slope is not defined"),
    ],
)
def test_patients_read_one_number(table: ba.SessionTable, growth: str, formula: str, message: str) -> None:
    """What differs between a patient's sessions is not read by an equation of patients unawares."""
    with pytest.raises(ba.DesignError) as caught:
        make(table, formula, growth=growth, outcome="post")
    assert message in str(caught.value)


def test_outcomes_that_are_not_in_points_are_not_read(table: ba.SessionTable) -> None:
    """What stands in for them would be on another scale than their linear predictor."""
    text = ba.write_model(model("value(alliance)", outcome="post")).replace('"alliance"', '"dropout"', 1)
    spec = ba.parse_model(
        text.replace('unit = "session"', 'unit = "session"\nfamily = "bernoulli"', 1).replace(
            "value(alliance)", "value(dropout, session=2)"
        )
    )
    with pytest.raises(ba.DesignError, match="it is bernoulli"):
        ba.make_design(spec, ba.Study(table, reference={"arm": "TAU"}))


def test_random_slopes_of_what_is_read_are_refused_after_the_fit(table: ba.SessionTable) -> None:
    """The posterior's arithmetic does not know them, and says so rather than leaving them out."""
    made = make(table, "value(alliance) + (1 + value(alliance) | therapist)")
    drawn = draw_parameters(made, draws=3, seed=1).stack(sample=("chain", "draw"), create_index=False)
    with pytest.raises(ba.FitError, match="vary with the value of 'alliance'"):
        linear_parts(made, made.equations[1].mean, drawn.transpose("sample", ...))


def test_joint_models_start_where_hazards_are_moderate(table: ba.SessionTable) -> None:
    """Everything without bounds starts near its middle; SDs, and other models, where chains of PyMC start."""
    made = make(table, "value(alliance)")
    built = ba.build_model(made.spec, made)
    compiled = compile_density(built)
    names = [built.rvs_to_values[v].name for v in built.free_RVs]
    middle = built.initial_point()
    starts = np.array([compiled.initial_point_func(seed) for seed in range(10)])
    place = 0
    for variable, name in zip(built.free_RVs, names, strict=True):
        size = middle[name].size
        away = np.abs(starts[:, place : place + size] - middle[name].ravel())
        place += size
        if variable.name.startswith(("b_", "z_")):
            assert away.max() <= NEAR, name
        elif variable.name.startswith("sd_"):
            assert away.max() > NEAR, name
    assert place == starts.shape[1]
    alone = ba.load_model("growth/treatment")
    columns = {"outcome": "alliance", "condition": "arm"}
    other = ba.make_design(alone, ba.Study(table, columns=columns, reference={"condition": "TAU"}))
    assert set(ba.build_model(alone, other).rvs_to_initial_values.values()) == {None}
