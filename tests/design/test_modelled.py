"""Missing values, errors of measurement, ordered predictors, series, memberships: what a table must give."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.spec.model_parsing import make_model
from tests.conftest import ROLES

HEAD = {"title": "t", "question": "q?"}


def equation(outcome: str, formula: str, unit: str = "patient", **more: object) -> dict[str, object]:
    """Return an equation as plain data."""
    return {"outcome": outcome, "unit": unit, "formula": formula, **more}


def model(*equations: dict[str, object], **more: object) -> ba.ModelSpec:
    """Return a model of some equations."""
    return make_model({**HEAD, "equation": list(equations), **more})


def frame_of(trial: pd.DataFrame) -> pd.DataFrame:
    """Return the trial with more columns and baselines missing in every fourth patient."""
    frame = trial.copy()
    people = pd.factorize(frame["pid"], sort=True)[0]
    frame["grade"] = 1.0 + people % 4
    frame["se"] = 0.5
    frame["second"] = np.where(people % 3 == 0, "T9", "")
    frame["w_2"] = np.where(people % 3 == 0, 0.5, 0.0)
    frame["w_1"] = 1 - frame["w_2"]
    for k in (1, 2):
        frame[f"rater_{k}"] = frame["competence"] + 0.2 * k * (frame["competence"] > 4)
    frame.loc[people % 4 == 0, "pre"] = np.nan
    return frame


@pytest.mark.parametrize(
    ("equations", "more", "message"),
    [
        (
            [equation("post", "me(pre)")],
            {},
            r"me\(pre\): the error .* stated once. State reliability=0.8, or sd=",
        ),
        ([equation("post", "me(pre, reliability=1.4)")], {}, r"1.4 is no reliability; it is above 0 and at most 1"),
        ([equation("post", "me(pre, reliability=0)")], {}, r"0 is no reliability"),
        ([equation("post", "me(pre, reliability=7) * week")], {}, r"7 is no reliability"),
        ([equation("post", "me(pre, sd=0)")], {}, r"0 is no error; it is above 0"),
        ([equation("post", "me(pre, reliability=0.8, sd=1)")], {}, r"the error of a score is stated once"),
        ([equation("post", "me(pre, iip_pre, reliability=0.8)")], {}, r"agreement of several raters tells the error"),
        ([equation("post", "me(log(pre), sd=1)")], {}, r"me\(\) takes variables of the table"),
        ([equation("post", "me(pre, sd=1, unit=person)")], {}, r"Unknown unit 'person'"),
        ([equation("post", "me(pre, sd=1) + iip_pre:me(pre, sd=2)")], {}, r"states another error of 'pre' elsewhere"),
        (
            [equation("pre", "1"), equation("post", "me(pre, sd=1)")],
            {},
            r"'pre' has an equation. State its reliability",
        ),
        ([equation("pre", "1", reliability=1.4)], {}, r"equation\[1\].reliability: .*less than or equal to 1"),
        ([equation("pre", "1", reliability=0.8, error=1.0)], {}, r"reliability and error all say how far"),
        ([equation("pre", "1", raters=["pre_1"])], {}, r"two different variables or more are needed"),
        ([equation("post", "mi(pre)")], {}, r"no equation says what 'pre' is where it is missing"),
        ([equation("post", "mi(log(pre))"), equation("pre", "1", missing="model")], {}, r"mi\(\) takes a variable"),
        (
            [equation("pre", "1", missing="model"), equation("post", "pre")],
            {},
            r"pre in the equation of 'post' reads 'pre' as observed, .* Write mi\(pre\)",
        ),
        (
            [equation("dropout", "1", family="bernoulli", missing="model"), equation("post", "mi(dropout)")],
            {},
            r"missing = \"model\" needs a gaussian outcome, not bernoulli",
        ),
        (
            [
                equation("score", "lag(mi(alliance))", "session", missing="model"),
                equation("alliance", "lag(mi(score))", "session", missing="model"),
            ],
            {},
            r"mi\(\) makes a circle: ",
        ),
        (
            [equation("score", "lag(mi(score))", "session", missing="model")],
            {},
            r"reads mi\(score\), its own modelled values. Use deviations from a latent mean",
        ),
        (
            [equation("pre", "1", missing="model"), equation("post", "mi(pre)")],
            {"residual": {"correlate": ["pre", "post"], "fixed": 0.2}},
            r"residuals of modelled values cannot correlate",
        ),
        ([equation("post", "pre", residuals="ar1")], {}, r"follow session numbers, and a row is a patient"),
        (
            [equation("score", "week", "session", residuals="ar1", family="student_t")],
            {},
            r"needs a gaussian outcome, not student_t",
        ),
        ([equation("post", "mo(log(grade))")], {}, r"mo\(\) takes a variable, not an expression"),
        ([equation("post", "mo(pre)"), equation("pre", "1")], {}, r"'pre' is an outcome of the model"),
        (
            [equation("post", "1 + (1 | therapist)")],
            {"groups": {"therapist": {"members": ["second"]}}},
            r"members = \['second'\]: its members .* 'therapist' first",
        ),
        (
            [equation("post", "1 + (1 | therapist)")],
            {"groups": {"therapist": {"members": ["therapist", "second"], "weights": ["w_1"]}}},
            r"weights: 1 for 2 members",
        ),
    ],
)
def test_claims_that_do_not_fit(equations: list[dict[str, object]], more: dict[str, object], message: str) -> None:
    """Each is a SpecError that says what is wrong and what to write instead."""
    with pytest.raises(ba.SpecError, match=message):
        model(*equations, **more)


MISSING = [equation("pre", "iip_pre", missing="model"), equation("post", "mi(pre)")]
MEMBERS = {"groups": {"therapist": {"members": ["therapist", "second"], "weights": ["w_1", "w_2"]}}}


@pytest.mark.parametrize(
    ("equations", "more", "change", "message"),
    [
        (MISSING, {}, {"pre": np.nan}, r"Outcome 'pre' has no value in any row; nothing says"),
        (
            [equation("pre", "1", error="se"), equation("post", "mi(pre)")],
            {},
            {"se": -1.0},
            r"error = 'se': column 'se' is the SD of the error of 'pre' and is missing or not above 0 in \d+ rows "
            r"\(patient 'P01', 'P02'",
        ),
        (
            [equation("skill", "1", "therapist", raters=["rater_1", "rater_2"]), equation("post", "mi(skill)")],
            {},
            {"rater_2": np.nan},
            r"raters of 'skill': no therapist has two ratings",
        ),
        (
            [equation("skill", "1", "therapist", raters=["rater_1", "cohesion"]), equation("post", "mi(skill)")],
            {},
            {},
            r"Column 'cohesion' varies within 6 therapists, and a row of this equation is a therapist: therapist 'T0'",
        ),
        (
            [equation("post", "me(week, sd=1)")],
            {},
            {},
            r"Column 'week' varies within .* a row of this equation is a patient",
        ),
        ([equation("post", "mo(iip_pre)")], {}, {}, r"mo\(iip_pre\): 'iip_pre' has values that are no categories: "),
        ([equation("post", "mo(grade)")], {}, {"grade": 2.0}, r"runs from 2 to 2, 1 category; 3 to 30 have steps"),
        (
            [equation("post", "1 + (1 | therapist)")],
            MEMBERS,
            {"w_1": 0.9},
            r"do not add up to 1 in \d+ rows: P00 \(0.9, 0.5\)",
        ),
        (
            [equation("post", "1 + (1 | therapist)")],
            MEMBERS,
            {"second": "", "w_2": 0.5, "w_1": 0.5},
            r"are above 0 where there is no level",
        ),
        ([equation("post", "1 + (1 | therapist)")], MEMBERS, {"w_1": 1.5, "w_2": -0.5}, r"are below 0"),
    ],
)
def test_tables_that_do_not_fit(
    equations: list[dict[str, object]],
    more: dict[str, object],
    change: dict[str, object],
    message: str,
    trial: pd.DataFrame,
) -> None:
    """Each is a DesignError with the column, where, and what is allowed."""
    table = ba.read_sessions(frame_of(trial).assign(**change), ROLES)  # type: ignore[arg-type]
    with pytest.raises(ba.DesignError, match=message):
        ba.make_design(model(*equations, **more), table)


def test_words_have_no_order(trial: pd.DataFrame) -> None:
    """Levels of a text column are no steps; those of an ordered column are, lowest first."""
    words = np.array(["low", "middle", "high"])[(pd.factorize(trial["pid"], sort=True)[0] % 3)]
    spec = model(equation("post", "mo(stage)"))
    plain = ba.read_sessions(trial.assign(stage=words), ROLES)
    with pytest.raises(ba.DesignError, match=r"the levels of 'stage' have no order. Store them as whole numbers"):
        ba.make_design(spec, ba.Study(plain, reference={"stage": "low"}))
    ordered = pd.Categorical(words, categories=["low", "middle", "high"], ordered=True)
    made = ba.make_design(spec, ba.read_sessions(trial.assign(stage=ordered), ROLES))
    assert made.priors.steps.keys() == {"step_post_stage"}
    follow = next(iter(made.equation.follows.values()))
    assert follow.steps == ("low to middle", "middle to high")  # type: ignore[union-attr]


def test_an_outcome_in_a_role_nobody_plays(trial: pd.DataFrame) -> None:
    """A row that is a therapist needs therapists."""
    roles = {"patient": "pid", "session": "week"}
    with pytest.raises(ba.DesignError, match=r"A row of an equation is a therapist and no column plays it"):
        ba.make_design(model(equation("competence", "1", "therapist")), ba.read_sessions(frame_of(trial), roles))


def test_rows_with_missing_values_stay_and_are_counted(trial: pd.DataFrame) -> None:
    """What is modelled leaves no row out, and the table says by variable and arm what is missing and what is done."""
    frame = frame_of(trial)
    frame.loc[frame["pid"].isin(["P01", "P02"]), "iip_pre"] = np.nan
    spec = model(equation("pre", "condition", missing="model"), equation("post", "mi(pre) * condition + iip_pre"))
    made = ba.make_design(
        spec, ba.Study(ba.read_sessions(frame, ROLES), columns={"condition": "arm"}, reference={"condition": "TAU"})
    )
    people = frame.groupby("pid").first()
    absent = people["pre"].isna()
    assert len(made.find("pre").y) == len(people)
    assert len(made.find("post").y) == len(people) - 2
    assert any(
        f"pre: {absent.sum()} values of {len(people)} are missing and modelled" in message for message in made.messages
    )
    table = ba.missing_table(made).set_index(["outcome", "variable"])
    assert table.loc[("post", "pre"), "treated"] == "modelled"
    assert table.loc[("post", "iip_pre"), "treated"] == "rows left out"
    assert table.loc[("post", "iip_pre"), "missing"] == 2
    for arm in ("TAU", "MBCT"):
        own = people["arm"] == arm
        assert table.loc[("pre", "pre"), f"missing in {arm}"] == f"{(absent & own).sum()} of {own.sum()}"


def test_me_is_an_equation_and_mi(trial: pd.DataFrame) -> None:
    """The short form is the long one: same design, same text once written; labels and priors follow."""
    short = model(
        equation("post", "me(pre, reliability=0.8, unit=patient) * iip_pre"),
        labels={"a": "post ~ me(pre, reliability=0.8, unit=patient)"},
        prior=[{"on": "b me(pre, reliability=0.8, unit=patient)", "dist": "normal(0, 1)", "reason": "r"}],
    )
    long = model(
        equation("pre", "1", reliability=0.8),
        equation("post", "mi(pre) * iip_pre"),
        labels={"a": "post ~ mi(pre)"},
        prior=[{"on": "b mi(pre)", "dist": "normal(0, 1)", "reason": "r"}],
    )
    assert ba.parse_model(ba.write_model(short)) == short
    assert short.labels == long.labels
    assert [p.on for p in short.prior] == [p.on for p in long.prior]
    table = ba.read_sessions(frame_of(trial), ROLES)
    assert ba.make_design(short, table).fingerprint == ba.make_design(long, table).fingerprint


def test_reliability_is_of_sessions_within_patients_or_of_all_scores(trial: pd.DataFrame) -> None:
    """Of session scores with effects of patients it is about deviations; of patients' scores about all of them."""
    frame = frame_of(trial)
    table = ba.read_sessions(frame, ROLES)
    within = ba.make_design(
        model(equation("alliance", "week + (1 | patient)", "session", reliability=0.64)), table
    ).equation.modelled
    deviation = frame["alliance"] - frame.groupby("pid")["alliance"].transform("mean")
    pooled = np.sqrt((deviation**2).sum() / (len(frame) - frame["pid"].nunique()))
    assert within is not None
    np.testing.assert_allclose(within.error, 0.6 * pooled)
    whole = ba.make_design(model(equation("post", "1 + (1 | therapist)", reliability=0.64)), table).equation.modelled
    assert whole is not None
    np.testing.assert_allclose(whole.error, 0.6 * frame.groupby("pid")["post"].first().std())


def test_order_of_rows_does_not_matter(trial: pd.DataFrame) -> None:
    """Rows shuffled at the source give the same design, whatever is modelled, in series or shared."""
    spec = model(
        *MISSING,
        equation("score", "mo(grade) + week + (1 | therapist)", "session", residuals="ar1"),
        **MEMBERS,
    )
    frame = frame_of(trial)
    one = ba.make_design(spec, ba.read_sessions(frame, ROLES))
    other = ba.make_design(spec, ba.read_sessions(frame.sample(frac=1, random_state=3), ROLES))
    assert one.fingerprint == other.fingerprint


def test_changed_memberships_and_gaps_are_other_rows(trial: pd.DataFrame) -> None:
    """Weights, errors and what is missing belong to the question a cache is asked."""
    frame = frame_of(trial)
    shared = model(equation("post", "1 + (1 | therapist)"), **MEMBERS)
    alike = model(equation("post", "1 + (1 | therapist)"), groups={"therapist": {"members": ["therapist", "second"]}})
    table = ba.read_sessions(frame, ROLES)
    other = ba.read_sessions(frame.assign(w_1=1 - 0.6 * frame["w_2"], w_2=0.6 * frame["w_2"]), ROLES)
    assert ba.make_design(shared, table).fingerprint == ba.make_design(alike, table).fingerprint
    assert ba.make_design(shared, table).fingerprint != ba.make_design(shared, other).fingerprint
    sure, unsure = (model(equation("pre", "1", error=e), equation("post", "mi(pre)")) for e in (0.5, 0.6))
    assert ba.make_design(sure, table).fingerprint != ba.make_design(unsure, table).fingerprint


def test_means_of_what_is_estimated_are_latent_or_refused(trial: pd.DataFrame) -> None:
    """Deviations of mi() from a latent mean follow value and mean; means over its observed rows are refused."""
    table = ba.read_sessions(frame_of(trial).assign(stage=lambda f: (f["rating"] - 1).clip(1, 5).round()), ROLES)
    score = equation("alliance", "week + (1 | patient)", "session", reliability=0.7)
    parts = 'within(mi(alliance), patient, means="latent") + between(alliance, patient, means="latent")'
    made = ba.make_design(model(score, equation("score", f"{parts} + (1 | patient)", "session")), table)
    follows = made.find("score").follows
    assert sorted(type(key).__name__ for key in follows) == ["MeanOf", "ValueOf"]
    own = made.find("score").coef
    kinds = [sorted(type(key).__name__ for key in column) for column in own.latent]
    assert kinds == [[], ["MeanOf", "ValueOf"], ["MeanOf"]]
    for call in ("between(mi(alliance), patient)", "within(mi(alliance), patient)", "within(mo(stage), patient)"):
        with pytest.raises(ba.DesignError, match=r"is estimated, and its means over observed rows are not its means"):
            ba.make_design(model(score, equation("score", f"{call} + (1 | patient)", "session")), table)
    detrended = "within(mi(alliance), patient, detrend=week)"
    with pytest.raises(ba.DesignError, match="lines are fitted to observed values"):
        ba.make_design(model(score, equation("score", f"{detrended} + (1 | patient)", "session")), table)
    with pytest.raises(ba.SpecError, match=r"reads 'alliance' as observed"):
        model(score, equation("score", 'within(alliance, patient, means="latent")', "session"))


def test_scores_without_an_equation_behind_them_are_not_the_truth(trial: pd.DataFrame) -> None:
    """Where x's own equation lost a row, a measured score is missing elsewhere too; one that was seen counts."""
    frame = frame_of(trial)
    lost = frame["pid"].isin(["P01", "P02", "P03"])
    frame.loc[lost, "iip_pre"] = np.nan
    frame["x"] = frame.groupby("pid")["cohesion"].transform("first")
    table = ba.read_sessions(frame, ROLES)
    people = frame["pid"].nunique()
    for extra, rows in (({"error": 0.4}, people - 3), ({"missing": "model"}, people)):
        made = ba.make_design(model(equation("x", "iip_pre", **extra), equation("post", "mi(x)")), table)
        assert len(made.find("post").y) == rows


def test_a_value_stored_once_counts_in_every_session(trial: pd.DataFrame) -> None:
    """A patient's value in the first session's row alone is that of all sessions; so is that it is missing."""
    frame = frame_of(trial).sort_values(["pid", "week"])
    first = frame.groupby("pid").cumcount() == 0
    once = frame.assign(pre=frame["pre"].where(first))
    spec = model(equation("pre", "1", missing="model"), equation("score", "mi(pre) + (1 | patient)", "session"))
    one, other = (ba.make_design(spec, ba.read_sessions(table, ROLES)) for table in (frame, once))
    np.testing.assert_array_equal(one.find("score").coef.values, other.find("score").coef.values)
    assert len(other.find("score").y) == len(frame)


@pytest.mark.parametrize(
    ("equations", "message"),
    [
        (
            [equation("score", "me(pre, reliability=0.8)", "session")],
            r"'pre' has one value per patient, and a row .* session",
        ),
        (
            [equation("post", "me(competence, sd=0.3)")],
            r"'competence' has one value per therapist.*unit=therapist in me",
        ),
        ([equation("post", "me(rater_1, rater_2)")], r"'rater_1_rater_2' has one value per therapist"),
        ([equation("score", "mo(grade) + week", "session", sigma="1 + mi(pre)")], r"reads mi\(\), me\(\) or mo\(\)"),
        ([equation("post", "me(pre, sd=1)"), equation("score", "me(pre, sd=1)", "session")], r"State unit= of what"),
        ([equation("pre", "1", error="post"), equation("post", "mi(pre)")], r"error = 'post' is an outcome"),
        (
            [equation("value_post", "pre"), equation("post", "pre")],
            r"outcome column 'value_post' is a name the model uses",
        ),
    ],
)
def test_errors_that_would_count_twice_and_names_that_clash(
    equations: list[dict[str, object]], message: str, trial: pd.DataFrame
) -> None:
    """What would be a wrong model, or a crash of another library, is a sentence."""
    frame = frame_of(trial)
    frame["pre"] = frame.groupby("pid")["iip_pre"].transform("first") + 1
    table = ba.read_sessions(frame.assign(value_post=frame["post"]), ROLES)
    with pytest.raises((ba.SpecError, ba.DesignError), match=message):
        ba.make_design(model(*equations), table)


def test_memberships_of_one_level_add_up(trial: pd.DataFrame) -> None:
    """A therapist named twice in a row has both weights; NaN weights and ids that cannot be found again are refused."""
    frame = frame_of(trial).assign(second=lambda f: f["tid"], w_1=0.3, w_2=0.7)
    spec = model(equation("post", "1 + (1 | therapist)"), **MEMBERS)
    made = ba.make_design(spec, ba.read_sessions(frame, ROLES))
    first, second = made.equation.groups
    assert (first.values[:, 0] == 1).all()
    assert not second.inside.any()
    with pytest.raises(ba.DesignError, match="weights 'w_1', 'w_2' are missing where there is a level"):
        ba.make_design(spec, ba.read_sessions(frame.assign(w_2=np.nan, w_1=1.0), ROLES))
    padded = frame.assign(tid="0" + frame["tid"].str[1:], second=2.0)
    with pytest.raises(ba.DesignError, match=r"column 'tid' holds ids such as '00', and 'second' numbers"):
        ba.make_design(spec, ba.read_sessions(padded, ROLES))


def test_categories_lost_with_their_rows_are_named(trial: pd.DataFrame) -> None:
    """Steps around a category whose rows are all left out rest on their prior, and that is said."""
    frame = frame_of(trial)
    frame.loc[frame["grade"] == 4, "iip_pre"] = np.nan
    made = ba.make_design(model(equation("post", "mo(grade) + iip_pre")), ba.read_sessions(frame, ROLES))
    assert any("mo(grade): no row used is in category '4'" in message for message in made.messages)
    wide = ba.read_sessions(frame, ROLES, bounds={"grade": (0.5, 5.5)})
    with pytest.raises(ba.DesignError, match="categories end at whole numbers"):
        ba.make_design(model(equation("post", "mo(grade)")), wide)


def test_variants_reach_what_they_exchange(trial: pd.DataFrame) -> None:
    """An exchange that raters, errors, members or weights would not follow is refused."""
    rated = model(
        equation("skill", "1", "therapist", raters=["rater_1", "rater_2"]), equation("post", "mi(skill) + rater_1")
    )
    with pytest.raises(ba.SpecError, match=r"'rater_1' is also the raters of skill"):
        ba.alter_model(rated, swap={"rater_1": "pre"})
