"""Several equations over one table: rows of each, joint levels, strata, labels and estimands resolved, notes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from tests.build.test_equations import HEAD, equation, holes
from tests.conftest import ROLES

TWO = equation("score", "week + (1 + week | patient)") + equation("alliance", "week + (1 | patient)")
ARM = {"columns": {"condition": "arm"}, "reference": {"condition": "TAU"}}


def make(text: str, frame: pd.DataFrame, **arguments: object) -> ba.Design:
    """Return the design of a model text."""
    return ba.make_design(ba.parse_model(HEAD + text), ba.Study(ba.read_sessions(frame, ROLES), **arguments))  # type: ignore[arg-type]


def test_every_equation_has_its_rows_and_says_what_it_lost(trial: pd.DataFrame) -> None:
    """Rows read are rows used plus rows left out, per equation; messages name the outcome."""
    frame = holes(trial)
    made = make(TWO, frame)
    for e in made.equations:
        assert e.rows_read == len(frame) == len(e.y) + sum(e.ledger.values())
        lost = int(frame[e.outcome].isna().sum())
        assert f"{e.outcome}: {lost} rows of {len(frame)} left out: outcome {e.outcome} missing." in made.messages


def test_a_factor_has_one_set_of_levels_over_equations(trial: pd.DataFrame) -> None:
    """A patient without any alliance rating keeps effects in both equations; codes point at the joint levels."""
    frame = trial.copy()
    frame.loc[frame["pid"] == "P05", "alliance"] = np.nan
    frame.loc[frame["pid"] == "P06", "score"] = np.nan
    made = make(TWO + '[groups.patient]\ncorrelate = ["score", "alliance"]\n', frame)
    (patient,) = made.factors
    assert set(patient.levels) == set(trial["pid"])
    assert patient.effects == ("score, Intercept", "score, week", "alliance, Intercept")
    assert [block.members for block in patient.blocks] == [(0, 1, 2)]
    for e in made.equations:
        assert list(np.array(patient.levels)[e.groups[0].code]) == list(e.patient)


def test_effects_of_other_equations_stay_apart_unless_asked(trial: pd.DataFrame) -> None:
    """Without correlate there is a block per equation."""
    (patient,) = make(TWO, trial).factors
    assert [block.members for block in patient.blocks] == [(0, 1), (2,)]


def test_the_only_equation_is_meant_where_there_is_one(trial: pd.DataFrame) -> None:
    """Asking for the equation of a model with several is an error that lists the outcomes."""
    made = make(TWO, trial)
    with pytest.raises(ba.DesignError, match=r"several equations \(score, alliance\); say which outcome"):
        _ = made.equation
    assert made.find("alliance").outcome == "alliance"
    with pytest.raises(ba.DesignError, match=r"No equation has the outcome 'x'. Outcomes: score, alliance"):
        made.find("x")


def test_problems_of_all_equations_come_at_once(trial: pd.DataFrame) -> None:
    """A constant predictor here and a missing slope there are one message."""
    text = equation("score", "one + (1 | patient)") + equation("alliance", "week + (1 + pre | patient)")
    with pytest.raises(ba.DesignError) as caught:
        make(text, trial.assign(one=1.0))
    assert len(caught.value.problems) == 2


def test_equations_may_share_their_rows(trial: pd.DataFrame) -> None:
    """With own rows the difference is named; with common ones every equation has the rows all can use."""
    frame = holes(trial)
    own = make(TWO, frame)
    both = frame["score"].notna() & frame["alliance"].notna()
    assert any(f"{both.sum()} are common to all" in message for message in own.messages)
    made = make('rows = "common"\n' + TWO, frame)
    kept = set(np.flatnonzero(both))
    assert [set(e.row) for e in made.equations] == [kept, kept]
    for e in made.equations:
        assert e.rows_read == len(e.y) + sum(e.ledger.values())
        assert "not usable in every equation" in e.ledger
    assert not any("different rows" in message for message in made.messages)


def test_a_variable_is_centred_alike_in_every_equation(trial: pd.DataFrame) -> None:
    """Rows differ between equations, the deviation of a row does not: means use every observed row of the table."""
    frame = holes(trial)
    text = equation("score", "within(stress, patient) + (1 | patient)")
    text += equation("alliance", "within(stress, patient) + (1 | patient)")
    one, two = make(text, frame).equations
    assert set(one.row) != set(two.row)
    _, here, there = np.intersect1d(one.row, two.row, return_indices=True)
    np.testing.assert_array_equal(one.coef.values[here, 1], two.coef.values[there, 1])


def test_a_mean_beside_correlated_intercepts_is_noted(trial: pd.DataFrame) -> None:
    """The mean of the mediator and the correlation of intercepts tell one story; the note says so."""
    text = equation("alliance", "week + (1 | patient)")
    text += equation("score", "within(alliance, patient) + between(alliance, patient) + (1 | patient)")
    joined = '[groups.patient]\ncorrelate = ["alliance", "score"]\n'
    wanted = "a patient's mean is nearly its intercept"
    assert any(wanted in message for message in make(text + joined, trial).messages)
    assert not any(wanted in message for message in make(text, trial).messages)


def test_two_outcomes_of_one_column_are_refused(trial: pd.DataFrame) -> None:
    """Mapping two outcomes to one column would count its rows twice."""
    with pytest.raises(ba.DesignError, match=r"Column 'score' is the outcome of 'score', 'alliance', which are"):
        make(TWO, trial, columns={"alliance": "score"})


def test_a_patient_level_outcome_that_varies_is_refused(trial: pd.DataFrame) -> None:
    """One row per patient: a variable that varies within patients needs its window declared."""
    text = equation("score", "week + (1 | patient)") + equation("alliance", "pre + (1 | therapist)", "patient")
    with pytest.raises(ba.DesignError, match=r"'alliance' varies within 22 patients.*first\(alliance\)"):
        make(text, trial)


def test_strata_belong_to_levels(trial: pd.DataFrame) -> None:
    """Each patient is in one arm; a therapist who treats in both has no single covariance matrix."""
    text = equation("score", "week + (1 + week | patient) + (1 | therapist)")
    made = make(text + '[groups.patient]\nby = "condition"\n', trial, **ARM)
    patient = made.factors[0]
    assert patient.by is not None
    assert patient.by.labels == ("arm[TAU]", "arm[MBCT]")
    arm = trial.groupby("pid")["arm"].first()
    assert [patient.by.labels[c][4:-1] for c in patient.by.code] == list(arm[list(patient.levels)])
    frame = trial.copy()
    frame.loc[frame["pid"] == "P00", "arm"] = np.where(frame.loc[frame["pid"] == "P00", "week"] > 3, "MBCT", "TAU")
    with pytest.raises(ba.DesignError, match=r"by = 'condition': 1 patient has rows in more than one level of 'arm'"):
        make(text + '[groups.patient]\nby = "condition"\n', frame, **ARM)
    with pytest.raises(ba.DesignError, match=r"by = 'pre': column 'pre' is a number; covariances differ by the levels"):
        make(text + '[groups.patient]\nby = "pre"\n', trial)


def test_outcomes_that_never_meet_have_no_residual_correlation(trial: pd.DataFrame) -> None:
    """Two outcomes never measured in one row cannot be correlated within rows."""
    frame = trial.copy()
    frame.loc[frame["week"] > 4, "score"] = np.nan
    frame.loc[frame["week"] <= 4, "alliance"] = np.nan
    with pytest.raises(ba.DesignError, match=r"0 rows have both 'score' and 'alliance'; a correlation needs three"):
        make(TWO + '[residual]\ncorrelate = ["score", "alliance"]\n', frame)
    with pytest.raises(ba.DesignError, match=r"\[residual\] by = 'pre': column 'pre' is a number"):
        make(TWO + '[residual]\ncorrelate = ["score", "alliance"]\nby = "pre"\n', trial)


LABELS = '[labels]\na = "score ~ condition"\n[estimands.e]\nvalue = "a * 2"\nunit = "points"\n'


def test_labels_resolve_to_one_coefficient(trial: pd.DataFrame) -> None:
    """With two arms the condition is one coefficient; with three there is an estimand for each, and for the pair."""
    text = equation("score", "week * condition + (1 | patient)") + LABELS
    (estimand,) = make(text, trial, **ARM).estimands
    assert estimand.labels["a"] == "score, arm[MBCT]"
    three = trial.assign(arm=np.where(trial["pid"] > "P15", "CBT", trial["arm"]))
    several = make(text, three, **ARM).estimands
    assert [one.name for one in several] == ["e[arm = CBT]", "e[arm = MBCT]", "e[arm = MBCT less CBT]"]
    assert several[0].labels["a"] == "score, arm[CBT]"
    assert (several[2].labels["a_1"], several[2].labels["a_2"]) == ("score, arm[MBCT]", "score, arm[CBT]")
    named = text.replace('"score ~ condition"', '"score ~ condition[CBT]:week"')
    assert make(named, three, **ARM).estimands[0].labels["a"] == "score, week:arm[CBT]"
    with pytest.raises(ba.DesignError, match="names 0 coefficients"):
        make(text.replace('"score ~ condition"', '"score ~ condition[ACT]"'), three, **ARM)


def test_estimands_at_values_of_a_moderator_and_their_contrasts(trial: pd.DataFrame) -> None:
    """Every combination of values, and differences that move one moderator at a time, later less earlier."""
    text = equation("score", "week + pre + (1 | patient)") + '[labels]\na = "score ~ week"\nb = "score ~ pre"\n'
    text += '[estimands.e]\nvalue = "a + w * b + v"\nunit = "points"\nat = { w = [-1, 0, 1], v = [0, 5] }\n'
    text += "contrast = true\n"
    names = [estimand.name for estimand in make(text, trial).estimands]
    assert names[:2] == ["e[w = -1, v = 0]", "e[w = -1, v = 5]"]
    assert "e[w = 1 less w = -1, v = 0]" in names
    assert "e[v = 5 less v = 0, w = 0]" in names
    assert len(names) == 6 + 3 * 2 + 3


def test_contextual_effects_are_estimands_of_their_own(trial: pd.DataFrame) -> None:
    """Between less within, for patients and, in three parts, for therapists less patients."""
    parts = "within(alliance, patient) + between(alliance, patient, within=therapist) + between(alliance, therapist)"
    found = {e.name: dict(e.labels) for e in make(equation("score", f"{parts} + (1 | patient)"), trial).estimands}
    assert found == {
        "contextual[score, alliance by therapist]": {
            "between": "score, between(alliance, therapist)",
            "within": "score, between(alliance, patient, within=therapist)",
        },
        "contextual[score, alliance by patient]": {
            "between": "score, between(alliance, patient, within=therapist)",
            "within": "score, within(alliance, patient)",
        },
    }
    two = "within(alliance, patient) + between(alliance, patient)"
    (estimand,) = make(equation("score", f"{two} + (1 | patient)"), trial).estimands
    assert estimand.name == "contextual[score, alliance by patient]"
    assert estimand.level == "contextual"


def test_surfaces_give_their_parameters_and_those_of_moderators(trial: pd.DataFrame) -> None:
    """a1 to a5 at the share of arms there is, which their names say, and how far the other arm moves each."""
    text = equation("score", "surface(alliance, rating) * condition + (1 | patient)")
    made = make(text, trial, **ARM)
    names = [estimand.name for estimand in made.estimands]
    share = float(f"{(made.equation.variables['condition'].values == 1).mean():.3g}")
    assert names == [
        *(f"a{i}[score, surface(alliance, rating), at arm[MBCT] = {share:g}]" for i in range(1, 6)),
        *(f"a{i}[score, surface(alliance, rating):arm[MBCT]]" for i in range(1, 6)),
    ]
    assert set(made.estimands[5].labels.values()) <= set(made.equation.coef_labels)


def test_estimands_over_a_factor_the_study_lacks_are_zero(trial: pd.DataFrame) -> None:
    """An optional factor that is not there does not vary, and the message says so."""
    text = equation("score", "week + (1 + week | therapist) + (1 | patient)") + '[labels]\na = "score ~ week"\n'
    text += '[estimands.e]\nvalue = "sd(therapist, a)"\nunit = "points"\n[groups.therapist]\noptional = true\n'
    table = ba.read_sessions(trial, {"patient": "pid", "session": "week"})
    made = ba.make_design(ba.parse_model(HEAD + text), table)
    assert any("sd(therapist, a) is 0, as the study has no therapist" in message for message in made.messages)


def test_an_absent_factor_counts_as_zero_inside_functions_too(trial: pd.DataFrame) -> None:
    """The square root of an SD over a factor the study lacks is that of 0, wherever it stands."""
    text = equation("score", "week + (1 + week | therapist) + (1 | patient)") + '[labels]\na = "score ~ week"\n'
    text += '[estimands.e]\nvalue = "1 + sqrt(sd(therapist, a))"\nunit = "points"\n'
    text += "[groups.therapist]\noptional = true\n"
    table = ba.read_sessions(trial, {"patient": "pid", "session": "week"})
    made = ba.make_design(ba.parse_model(HEAD + text), table)
    claims = ba.describe_prior(made, draws=20, seed=1).set_index("name")
    assert claims.loc["e", ["median", "q5", "q95"]].tolist() == [1.0, 1.0, 1.0]


def test_residual_sds_are_found_under_the_studys_names(trial: pd.DataFrame) -> None:
    """sigma(outcome) is that of the mapped column; an outcome with an SD per arm has no single one."""
    text = equation("outcome", "week + (1 | patient)") + '[estimands.e]\nvalue = "sigma(outcome)"\nunit = "points"\n'
    made = make(text, trial, columns={"outcome": "score"})
    claims = ba.describe_prior(made, draws=20, seed=1).set_index("name")
    assert claims.loc["e", "median"] > 0
    by_arm = text.replace("[estimands", 'sigma = "condition"\n[estimands')
    with pytest.raises(ba.DesignError, match=r"sigma\(outcome\): the outcome has several residual SDs"):
        make(by_arm, trial, columns={"outcome": "score", "condition": "arm"}, reference={"condition": "TAU"})


def test_an_estimand_may_be_called_like_a_factor(trial: pd.DataFrame) -> None:
    """The factor in sd(patient, a) stays a factor, whatever estimands are called."""
    text = equation("score", "week + (1 + week | patient)") + '[labels]\na = "score ~ week"\n'
    text += '[estimands.patient]\nvalue = "a * 2"\nunit = "points"\n'
    text += '[estimands.e]\nvalue = "patient + sd(patient, a)"\nunit = "points"\n'
    made = make(text, trial)
    claims = ba.describe_prior(made, draws=20, seed=1).set_index("name")
    assert not any("the study has no" in message for message in made.messages)
    assert claims.loc["e", "q95"] > claims.loc["patient", "q95"]


def test_the_fingerprint_covers_strata_and_latent_means(trial: pd.DataFrame) -> None:
    """Rows that count only for a latent mean, and who is in which stratum, make another fingerprint."""
    call = 'within(alliance, patient, means="latent")'
    text = equation("score", f"week + lag({call}) + (1 | patient)")
    unrated = trial.assign(score=trial["score"].where(trial["pid"] != "P05"))
    moved = unrated.assign(alliance=unrated["alliance"] + (unrated["pid"] == "P05") * unrated["week"])
    one, two = make(text, unrated), make(text, moved)
    np.testing.assert_array_equal(one.equation.coef.values, two.equation.coef.values)
    assert one.fingerprint != two.fingerprint
    strata = equation("score", "week + (1 | patient)") + '[groups.patient]\nby = "condition"\n'
    swapped = trial.assign(arm=trial["arm"].where(trial["pid"] != "P00", "MBCT"))
    assert make(strata, trial, **ARM).fingerprint != make(strata, swapped, **ARM).fingerprint


def test_declared_variables_may_be_columns_of_the_study(trial: pd.DataFrame) -> None:
    """A change score that was worked out elsewhere is mapped like any column, and said so."""
    text = '[variables]\nstart = "first(alliance)"\n' + equation("post", "start + (1 | therapist)", "patient")
    worked_out = make(text, trial)
    first = trial.sort_values("week").groupby("pid")["alliance"].first()
    frame = trial.assign(given=trial["pid"].map(first))
    given = make(text, frame, columns={"start": "given"})
    np.testing.assert_array_equal(worked_out.equation.coef.values[:, 1], given.equation.coef.values[:, 1])
    assert "start is read from column 'given', not worked out as first(alliance)." in given.messages


def test_measurement_after_the_outcome_is_named(trial: pd.DataFrame) -> None:
    """A predictor whose window ends after the outcome's cannot be its cause; overlapping changes are named."""
    text = '[variables]\nearly = "window(stress, 1, 3)"\nlate = "window(alliance, 5, 8)"\n'
    notes = make(text + equation("early", "late + pre", "patient"), trial).messages
    assert any("late is measured up to session 8, later than early (session 3)" in note for note in notes)
    assert not any("cause" in note for note in make(text + equation("late", "early + pre", "patient"), trial).messages)
    text = '[variables]\none = "change(stress, 1, 6)"\ntwo = "change(alliance, 1, 8)"\n'
    notes = make(text + equation("two", "one + pre", "patient"), trial).messages
    assert any("one and two overlap in time (sessions 1 to 6 and 1 to 8)" in note for note in notes)


def test_priors_are_scaled_per_equation_and_may_be_stated_for_one(trial: pd.DataFrame) -> None:
    """Defaults follow each outcome's own SD; 'alliance: b week' leaves the other equation alone."""
    made = make(TWO, trial, priors={"alliance: b week": "normal(0, 0.1)", "sd patient": "half_normal(2)"})
    table = {prior.parameter: prior for prior in made.priors.table()}
    assert str(table["b[alliance, week]"].distribution) == "normal(0, 0.1)"
    scale = 2.5 * trial["score"].std() / trial["week"].std()
    assert table["b[score, week]"].distribution.value("sigma") == pytest.approx(scale)
    assert {str(table[f"sd_patient[{e}]"].distribution) for e in made.factors[0].effects} == {"half_normal(2)"}
    with pytest.raises(ba.DesignError, match=r"The prior on 'alliance: b weak' matches no parameter.*Did you mean"):
        make(TWO, trial, priors={"alliance: b weak": "normal(0, 1)"})


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        (
            "week + (1 | patient) + (1 | ward)",
            r"ward has 2 levels: with fewer than ten, its SD leans on its prior",
        ),
        ("week + (1 | patient) + (1 | lone)", "12 levels of lone hold one patient only; there the two effects"),
    ],
)
def test_what_the_data_cannot_tell_is_noted(trial: pd.DataFrame, formula: str, message: str) -> None:
    """Few levels, and units with one member, are named before anything is sampled."""
    number = trial["pid"].str[1:].astype(int)
    frame = trial.assign(ward="W" + (number % 2).astype(str), lone="L" + np.minimum(number, 12).astype(str))
    made = make(equation("score", formula), frame)
    assert any(message in note for note in made.messages), made.messages


def test_one_therapist_per_group_is_refused(trial: pd.DataFrame) -> None:
    """Where every group has one therapist and each therapist one group their effects are one."""
    frame = trial.assign(gid="G" + trial["tid"].str[1:])
    with pytest.raises(ba.DesignError, match=r"'therapist' and 'group' group the rows alike"):
        make(equation("score", "week + (1 | group) + (1 | therapist)"), frame)
