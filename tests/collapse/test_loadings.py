"""Coefficients that multiply something estimated: the engine against the PyMC model with all normals integrated out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bayes_alliance as ba
from bayes_alliance.collapse import stack
from bayes_alliance.collapse.density import Density
from bayes_alliance.collapse.eligibility import find_design_obstacles, find_obstacles, find_stream_obstacles
from bayes_alliance.collapse.engine import sum_design
from bayes_alliance.collapse.rows import Stacked
from bayes_alliance.collapse.shape import find_places
from bayes_alliance.collapse.stack import stack_rows
from bayes_alliance.collapse.statistics import sum_rows
from bayes_alliance.collapse.tables import pack_statistics
from bayes_alliance.comparison.loo import place_units, unit_densities
from bayes_alliance.comparison.units import find_units
from bayes_alliance.fit.exact import read_points
from bayes_alliance.spec.registry import model_names
from tests.build.test_equations import HEAD, JOINT, equation, holes
from tests.collapse.dense import engine_of, log_prior, to_natural
from tests.collapse.marginal import collapsed_at, drawn_at_mode, integrate, loading_prior, scale_prior
from tests.collapse.test_density import random_point
from tests.conftest import ROLES, make_trial
from tests.contracts.test_registry import table_for

LATENT = 'means="latent"'
BOTH = f"within(alliance, patient, {LATENT}) + between(alliance, patient, {LATENT})"
LAGS = "lag(within({0}, patient, " + LATENT + ")) + lag(within({1}, patient, " + LATENT + "))"
WHOLE = 'cohesion, therapist, means="finite", size=members'
PEOPLE = 'stress_0, therapist, means="finite", size=members'
RATED = 'raters = ["rater_1", "rater_2", "rater_3"]'

SHAPES = {
    "measured means": equation("score", f"week + {BOTH} + (1 + week | patient) + (1 | therapist)"),
    "measured means in three parts": equation(
        "score",
        f"{BOTH} + between(alliance, therapist, {LATENT}) + (1 | patient) + (1 | therapist)",
    ),
    "measured means that moderate": equation("score", f"condition * between(alliance, patient, {LATENT}) + week"),
    "measured means that two outcomes follow": equation("score", f"{BOTH} + (1 | patient)")
    + equation("stress", f"{BOTH} + (1 | patient) + (1 | therapist)")
    + '[groups.patient]\ncorrelate = ["score", "stress"]\n[residual]\ncorrelate = ["score", "stress"]\n',
    "measured means of patients' rows": equation(
        "post", f"pre + between(alliance, patient, {LATENT}) + (1 | therapist)", "patient"
    ),
    "its own earlier deviation": equation(
        "score", f"week + lag(within(score, patient, {LATENT})) + (1 + week | patient) + (1 | therapist)"
    ),
    "each other's earlier deviations": equation(
        "score", "week + " + LAGS.format("score", "alliance") + " + (1 | patient)"
    )
    + equation("alliance", LAGS.format("alliance", "score") + " + (1 | patient) + (1 | therapist)")
    + '[groups.patient]\ncorrelate = ["score", "alliance"]\n'
    + JOINT,
    "means of an outcome that follows means": equation(
        "alliance", f"between(stress, patient, {LATENT}) + (1 | patient)"
    )
    + equation("score", f"between(alliance, patient, {LATENT}) + (1 | patient)"),
    "deviations in a series": equation("score", f"{BOTH} + (1 | patient)", extra='residuals = "ar1"'),
    "deviations at visits": equation("score", f"{BOTH} + visit", extra='residuals = "unstructured"'),
    "values": equation("alliance", "week + (1 + week | patient) + (1 | therapist)")
    + equation("post", "pre + value(alliance, session=6) + (1 | therapist)", "patient"),
    "values of the same session": equation("alliance", "week + (1 | patient)")
    + equation("score", "week + value(alliance) + (1 + week | patient)"),
    "slopes and effects": equation("alliance", "session + pre:session + (1 + session | patient)")
    + equation("post", 'pre * slope(alliance) + effect(alliance, patient, "Intercept")', "patient"),
    "missing values": equation("pre", "stress_0 + (1 | therapist)", "patient", 'missing = "model"')
    + equation("post", "mi(pre) * stress_0 + (1 | therapist)", "patient"),
    "missing values by arm": equation("pre", "condition", "patient", 'missing = "model"\nsigma = "condition"')
    + equation("score", "mi(pre) + week + (1 + week | patient) + (1 | therapist)"),
    "missing sessions": equation("alliance", "week + (1 | patient)", extra='missing = "model"')
    + equation("score", "mi(alliance) + week + (1 | patient) + (1 | therapist)"),
    "missing values of two sessions": equation("alliance", "week + (1 | patient)", extra='missing = "model"')
    + equation("score", "mi(alliance) + lag(mi(alliance)) + (1 + week | patient) + (1 | therapist)"),
    "missing values of a series": equation("alliance", "(1 | patient)", extra='missing = "model"')
    + equation("score", "mi(alliance) + week", extra='residuals = "ar1"'),
    "missing values that two outcomes read": equation("alliance", "(1 | patient)", extra='missing = "model"')
    + equation("score", "mi(alliance) + (1 | patient)")
    + equation("stress", "lag(mi(alliance)) + (1 | patient)")
    + '[groups.patient]\ncorrelate = ["score", "stress"]\n[residual]\ncorrelate = ["score", "stress"]\n',
    "missing values of two variables": equation("pre", "1", "patient", 'missing = "model"')
    + equation("stress_0", "mi(pre)", "patient", 'missing = "model"')
    + equation("post", "mi(pre) + mi(stress_0) + (1 | therapist)", "patient"),
    "missing values that nothing reads": equation("score", "week + (1 | patient)", extra='missing = "model"'),
    "known errors": equation("post", "me(pre, 0.7, reliability=0.8) + (1 | therapist)", "patient").replace("0.7, ", ""),
    "errors of each row": equation("pre", "1", "patient", 'error = "se"')
    + equation("post", "mi(pre) + (1 | therapist)", "patient"),
    "raters": equation("skill", "1", "therapist", RATED) + equation("post", "mi(skill) + (1 | therapist)", "patient"),
    "raters and missing": equation("skill", "1", "therapist", RATED + '\nmissing = "model"')
    + equation("score", "mi(skill):week + week + (1 | patient) + (1 | therapist)"),
    "means of finite units": equation("post", f"pre + within({WHOLE}) + between({WHOLE}) + (1 | therapist)", "patient"),
    "means of finite units, all measured in some": equation(
        "post", f"between({PEOPLE}) + stress_0 + (1 | therapist)", "patient"
    ),
    "deviations of modelled values": equation("alliance", "(1 | patient)", extra='missing = "model"')
    + equation(
        "score", f"within(mi(alliance), patient, {LATENT}) + between(alliance, patient, {LATENT}) + (1 | patient)"
    ),
}


def frame_of(trial: pd.DataFrame) -> pd.DataFrame:
    """Return the trial with holes, baselines of patients, raters of therapists, SDs of errors."""
    frame = holes(trial)
    rng = np.random.default_rng(4)
    patients, therapists = frame["pid"].unique(), frame["tid"].dropna().unique()
    frame["stress_0"] = frame["pid"].map(dict(zip(patients, rng.normal(size=len(patients)), strict=True)))
    frame["se"] = frame["pid"].map(dict(zip(patients, rng.uniform(0.5, 2, len(patients)), strict=True)))
    frame.loc[frame["pid"].isin(patients[::5]), "pre"] = np.nan
    frame.loc[frame["pid"].isin(patients[2::6]), "stress_0"] = np.nan
    skill = rng.normal(size=len(therapists))
    for rater in range(1, 4):
        own = skill + rng.normal(size=len(therapists))
        if rater == 2:
            own[0] = np.nan
        frame[f"rater_{rater}"] = frame["tid"].map(dict(zip(therapists, own, strict=True)))
    people = frame.drop_duplicates("pid").groupby("tid")["pid"].size()
    frame["members"] = frame["tid"].map(people + np.arange(len(people)) % 3 * 4)
    frame["skill"] = frame[["rater_1", "rater_2", "rater_3"]].mean(axis=1)
    return frame


def design_of(text: str, frame: pd.DataFrame) -> ba.Design:
    """Return the design of a model text."""
    named = "condition" in text
    columns, reference = ({"condition": "arm"}, {"condition": "TAU"}) if named else ({}, {})
    if text.count("stress_0") and "missing" not in text:
        frame = frame.assign(stress_0=frame["stress_0"].fillna(0.0))
    if "mi(pre)" not in text and "me(pre" not in text:
        frame = frame.assign(pre=frame["pre"].fillna(frame["pre"].mean()))
    table = ba.read_sessions(frame, ROLES, transfers="transferred")
    return ba.make_design(ba.parse_model(HEAD + text), ba.Study(table, columns=columns, reference=reference))


def check(design: ba.Design, x: np.ndarray) -> None:
    """Compare value, slope and means of the engine with those of the PyMC model."""
    engine = engine_of(design)
    mine = drawn_at_mode(design, x)
    named = [name for name in mine if name in pymc_names(design)]
    expected = integrate(design, engine, x, tuple(named))
    found = engine.value(x, np.zeros(engine.sds, dtype=bool))
    wanted = expected.log_density + log_prior(design, to_natural(engine, x)) + loading_prior(engine, x)
    wanted += scale_prior(design, engine, x)
    assert found == pytest.approx(wanted, rel=1e-8, abs=1e-8)
    for name in named:
        size = max(np.abs(expected.means[name]).max(), 1e-3)
        np.testing.assert_allclose(mine[name], expected.means[name], rtol=0, atol=1e-7 * size, err_msg=name)


def pymc_names(design: ba.Design) -> set[str]:
    """Return the quantities whose means are compared: linear in what is normal."""
    names = {"b", "b_centred"} | {f"u_{factor.factor}" for factor in design.factors}
    for measured in design.measured:
        names |= {f"mean_{measured.label}"} | {f"mean_{measured.label}_{factor}" for factor in measured.factors}
    return names | {f"value_{e.outcome}" for e in design.equations if e.modelled is not None}


@pytest.fixture(scope="module", params=SHAPES)
def shape(request: pytest.FixtureRequest, trial: pd.DataFrame) -> ba.Design:
    """Return one design per shape."""
    return design_of(SHAPES[request.param], frame_of(trial))


def test_value_and_means_are_those_of_the_pymc_model(shape: ba.Design) -> None:
    """At two points: the integral of the joint density, and means of everything estimated given the outcomes."""
    assert find_design_obstacles(shape) == []
    engine = engine_of(shape)
    assert engine.shape.split
    for seed in range(2):
        check(shape, random_point(engine.packed.size, engine.sds, np.random.default_rng(seed)))


def check_slope(design: ba.Design, *, as_logs: bool) -> None:
    """Compare the gradient with differences of fourth order, in every parameter, SDs as logarithms or as they are."""
    engine = engine_of(design)
    x = random_point(engine.packed.size, engine.sds, np.random.default_rng(5))
    logs = np.full(engine.sds, as_logs)
    value, slope = engine.gradient(x, logs)
    assert value == pytest.approx(engine.value(x, logs), rel=1e-12)
    for i in range(len(x)):
        step = np.zeros(len(x))
        step[i] = 1e-3
        one, two = (engine.value(x + k * step, logs) - engine.value(x - k * step, logs) for k in (1, 2))
        assert slope[i] == pytest.approx((8 * one - two) / 12e-3, rel=1e-6, abs=1e-10 * abs(value) / 1e-3), i


def check_reading_back(design: ba.Design) -> None:
    """Compare sampled vectors with those read from the draws by name that they make."""
    engine = engine_of(design)
    rng = np.random.default_rng(3)
    points = np.array([random_point(engine.packed.size, engine.sds, rng) for _ in range(2)])
    named = collapsed_at(design, points, chains=1)
    np.testing.assert_allclose(read_points(design, named), points, rtol=1e-9, atol=1e-9)
    assert find_places(engine.shape).size == points.shape[1]


def test_gradient_is_the_slope_of_the_value(shape: ba.Design) -> None:
    """With SDs as they are and as logarithms."""
    for as_logs in (False, True):
        check_slope(shape, as_logs=as_logs)


SPLIT = [
    name
    for name in model_names()
    if not find_obstacles(ba.load_model(name)) and find_stream_obstacles(ba.load_model(name))
]


def registry_design(name: str) -> ba.Design:
    """Return a registry model's design on the small unbalanced trial."""
    table, columns, reference = table_for(name, make_trial())
    return ba.make_design(ba.load_model(name), ba.Study(table, columns=columns, reference=reference))


@pytest.mark.parametrize("name", SPLIT)
def test_registry_models(name: str) -> None:
    """Every Gaussian model of the registry that multiplies something estimated or shrinks coefficients."""
    made = registry_design(name)
    engine = engine_of(made)
    assert find_design_obstacles(made) == []
    check(made, random_point(engine.packed.size, engine.sds, np.random.default_rng(9)))


MEANT = [
    *("dynamics/cross-lagged", "outcome/growth-predicts", "mediation/latent-growth"),
    *("outcome/measured-alliance", "outcome/rated-competence"),
]


@pytest.mark.parametrize("name", MEANT)
def test_auto_takes_the_exact_engine(name: str) -> None:
    """On the example of each model that the engine was extended for, whose truth is known."""
    assert name in SPLIT
    study = ba.example_study(name)
    few = ba.SamplerSettings(draws=150, tune=150, progress="off")
    fit = ba.fit_model(ba.load_model(name), study, seed=3, settings=few)
    assert fit.provenance["engine"] == "collapsed"
    names = {own["name"] for own in fit.provenance["variables"]}  # type: ignore[attr-defined]
    assert {str(name) for name in fit.data["posterior"].data_vars} <= names


@pytest.mark.parametrize("name", ["each other's earlier deviations", "missing sessions", "raters and missing"])
def test_permuted_rows_change_no_bit(name: str, trial: pd.DataFrame) -> None:
    """Statistics of a table whose rows come in another order are the same to the last bit."""
    frame = frame_of(trial)
    one, two = (
        sum_design(design_of(SHAPES[name], own))
        for own in (frame, frame.sample(frac=1, random_state=3).reset_index(drop=True))
    )
    assert (one.root == two.root).all()
    assert one.constant == two.constant
    for level, other in zip(one.levels, two.levels, strict=True):
        assert (level.flat == other.flat).all()


def test_points_are_read_back_from_named_draws(shape: ba.Design) -> None:
    """Draws by name say what was sampled: loadings, SDs of means, of raters and of values."""
    check_reading_back(shape)


REFUSED: dict[str, tuple[str, str]] = {
    "a coefficient that varies": (
        equation("score", f"(1 + within(alliance, patient, {LATENT}) | patient)"),
        r"coefficients of within\(alliance, patient, means=\"latent\"\) vary between units of score",
    ),
    "two sessions' values whose SDs differ": (
        equation("alliance", "(1 | patient)", extra='missing = "model"\nsigma = "condition"')
        + equation("score", "mi(alliance) + lag(mi(alliance)) + (1 | patient)"),
        r"rows of score read two levels of the modelled values of alliance",
    ),
    "patients who change therapist": (
        equation("score", f"lag(within(score, patient, {LATENT})) + (1 | patient) + (1 | therapist)"),
        r"rows of score read two levels of therapist",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_remains_outside_is_named(name: str, trial: pd.DataFrame) -> None:
    """Rows that read two values of a variable, and coefficients that vary, are left to NUTS, by name."""
    text, said = REFUSED[name]
    frame = frame_of(trial)
    if name == "patients who change therapist":
        frame.loc[(frame["pid"] == "P02") & (frame["week"] > 4), "tid"] = "T5"
    obstacles = "; ".join(find_design_obstacles(design_of(text, frame)))
    assert obstacles
    assert re.search(said, obstacles), obstacles


def test_many_values_of_a_patient_are_left_to_nuts(trial: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they cost rises with the third power of their number."""
    made = design_of(SHAPES["missing values of two sessions"], frame_of(trial))
    assert stack_rows(made).shape.together == ("alliance",)
    monkeypatch.setattr(stack, "MOST_TOGETHER", 0)
    assert find_design_obstacles(made) == ["rows of score read two levels of the modelled values of alliance"]


@st.composite
def studies(draw: st.DrawFn) -> tuple[pd.DataFrame, str]:
    """Draw a table with holes and a model in which something estimated is multiplied."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    patients, therapists = draw(st.integers(5, 9)), draw(st.integers(2, 3))
    rows = []
    for i in range(patients):
        for week in range(1, 1 + draw(st.integers(2, 5))):
            if rng.random() < 0.85:
                rows.append((f"P{i}", f"T{i % therapists}", week, rng.normal() if i % 4 else np.nan))
    frame = pd.DataFrame(rows, columns=["pid", "tid", "week", "pre"])
    frame["pre"] = frame.groupby("pid")["pre"].transform("first")
    for name in ("score", "alliance"):
        frame[name] = rng.normal(size=len(frame)) * 2 + 5
    frame.loc[rng.random(len(frame)) < 0.1, "score"] = np.nan
    parts = draw(
        st.lists(
            st.sampled_from(
                [
                    f"within(alliance, patient, {LATENT})",
                    f"between(alliance, patient, {LATENT})",
                    f"lag(within(score, patient, {LATENT}))",
                    f"week:between(alliance, patient, {LATENT})",
                    "mi(pre)",
                    "week:mi(pre)",
                ]
            ),
            min_size=1,
            max_size=3,
            unique=True,
        )
    )
    text = equation("score", f"week + {' + '.join(parts)} + (1 | patient) + (1 | therapist)")
    if any("mi(pre)" in part for part in parts):
        text += equation("pre", "1", "patient", 'missing = "model"')
    return frame, text


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(studies(), st.integers(0, 1000))
def test_random_models_and_tables(study: tuple[pd.DataFrame, str], seed: int) -> None:
    """Value and means of random models are those of the PyMC model; refused tables are skipped."""
    frame, text = study
    roles: Any = {"patient": "pid", "therapist": "tid", "session": "week"}
    try:
        made = ba.make_design(ba.parse_model(HEAD + text), ba.read_sessions(frame, roles, transfers="transferred"))
    except ba.AllianceError:
        return
    assert find_design_obstacles(made) == []
    engine = engine_of(made)
    check(made, random_point(engine.packed.size, engine.sds, np.random.default_rng(seed)))


BY_PATIENT = [
    *("measured means", "measured means that two outcomes follow", "measured means of patients' rows"),
    *("its own earlier deviation", "each other's earlier deviations", "deviations in a series", "values"),
    *("slopes and effects", "missing values", "missing values by arm", "missing sessions", "known errors"),
]
BY_PATIENT += ["missing values of two sessions", "missing values of a series"]
BY_THERAPIST = ["measured means", "measured means of patients' rows", "values", "missing values", "known errors"]
BY_THERAPIST += ["means of finite units"]


@pytest.mark.parametrize(
    ("name", "unit"), [*((name, "patient") for name in BY_PATIENT), *((name, "therapist") for name in BY_THERAPIST)]
)
def test_units_left_out(name: str, unit: Literal["patient", "therapist"], trial: pd.DataFrame) -> None:
    """A unit's density given all others is what the log-density of all rows falls by without its rows."""
    design = design_of(SHAPES[name], frame_of(trial))
    units = find_units(design, unit, tuple(e.outcome for e in design.equations))
    exact = place_units(design, units)
    assert exact is not None
    engine = engine_of(design)
    none = np.zeros(engine.sds, dtype=bool)
    x = random_point(engine.packed.size, engine.sds, np.random.default_rng(6))
    posterior = collapsed_at(design, x[None], chains=1).isel(chain=0).rename(draw="sample")
    found = unit_densities(design, units, posterior, tuple(e.outcome for e in design.equations), exact=exact)
    whole, stacked = engine.value(x, none), stack_rows(design)
    for one in range(0, len(units), 3):
        statistics = sum_rows(without(stacked, [units.codes[e.outcome] for e in design.equations], one))
        left = Density(pack_statistics(statistics), statistics.shape).value(x, none)
        assert found.scored[0, one] == pytest.approx(whole - left, rel=1e-7, abs=1e-7)


def without(stacked: Stacked, codes: Sequence[np.ndarray], unit: int) -> Stacked:
    """Return rows without those of a unit; values of variables whose means are latent stay."""
    kept = []
    for part in stacked.classes:
        source = stacked.rows[part.residuals.parts[0].rows]
        if source.owner < len(codes):
            own = codes[source.owner] if source.place is None else codes[source.owner][source.place]
            stay = own[part.rows[0]] != unit
            part = replace(part, rows=tuple(rows[stay] for rows in part.rows))
        kept.append(part)
    return replace(stacked, classes=tuple(kept))
