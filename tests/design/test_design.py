"""Table meets spec: names, factors, rows used and dropped, and every way the two may not fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_alliance as ba
from bayes_alliance.build.parametrization import parametrize
from bayes_alliance.design.groups.groups import check_codes
from tests.conftest import COLUMNS, ROLES, make_trial

GROWTH = {"outcome": "score", "condition": "arm"}
TAU = {"condition": "TAU"}


def model(formula: str, outcome: str = "score", extra: str = "", unit: str = "session", top: str = "") -> ba.ModelSpec:
    """Return a model of one equation."""
    return ba.parse_model(
        f'title = "t"\nquestion = "q"\n{top}\n[[equation]]\noutcome = "{outcome}"\nunit = "{unit}"\n'
        f"formula = '{formula}'\n{extra}"
    )


def design(formula: str, sessions: ba.SessionTable, outcome: str = "score", **arguments: object) -> ba.Design:
    """Return the design of a formula over the study's own columns."""
    keys = {k: arguments.pop(k) for k in ("extra", "unit", "top") if k in arguments}
    return ba.make_design(model(formula, outcome, **keys), ba.Study(sessions, **arguments))  # type: ignore[arg-type]


@pytest.mark.parametrize("top", ["", 'rows = "common"'])
def test_problems_of_names_and_of_values_come_at_once(top: str) -> None:
    """Problems of names are reported beside those of values, whichever rows the equations use."""
    table = ba.read_sessions(make_trial().assign(chain=lambda rows: rows["score"]), ROLES)
    with pytest.raises(ba.DesignError) as found:
        design("week", table, "chain", extra='family = "bernoulli"', top=top)
    first, second = map(str, found.value.problems)
    assert first.startswith("The outcome column 'chain' is a name the model uses itself.")
    assert second.startswith("Outcome 'chain' of a bernoulli equation has values other than 0 and 1")


def test_labels_are_the_studys_own(sessions: ba.SessionTable) -> None:
    """Coefficients are named by the study's columns, levels in brackets, products with colons."""
    made = ba.make_design(ba.load_model("growth/treatment"), ba.Study(sessions, columns=GROWTH, reference=TAU))
    assert made.equation.coef_labels == (
        "score, Intercept",
        "score, week",
        "score, arm[MBCT]",
        "score, week:arm[MBCT]",
    )
    assert [group.factor for group in made.equation.groups] == ["patient", "therapist"]


def test_reference_level_decides_the_contrast(sessions: ba.SessionTable) -> None:
    """With the other reference the column is its complement."""
    one = design("arm", sessions, reference={"arm": "TAU"}).equation.coef
    two = design("arm", sessions, reference={"arm": "MBCT"}).equation.coef
    assert one.labels == ("Intercept", "arm[MBCT]")
    assert two.labels == ("Intercept", "arm[TAU]")
    np.testing.assert_array_equal(one.values[:, 1], 1 - two.values[:, 1])


def test_a_stated_reference_makes_a_number_a_factor(sessions: ba.SessionTable) -> None:
    """Week 1 as reference gives one column for each other week, in numeric order."""
    labels = design("week", sessions, reference={"week": "1"}).equation.coef.labels
    assert labels == ("Intercept", *(f"week[{week}]" for week in range(2, 9)))


def test_products_without_a_margin_have_a_column_per_level(sessions: ba.SessionTable) -> None:
    """tx:arm without tx gives the effect of tx in every arm; with it, differences (R's rule)."""
    full = design("arm + alliance:arm", sessions, reference={"arm": "TAU"}).equation.coef.labels
    assert full == ("Intercept", "arm[MBCT]", "alliance:arm[TAU]", "alliance:arm[MBCT]")
    differences = design("alliance * arm", sessions, reference={"arm": "TAU"}).equation.coef.labels
    assert differences == ("Intercept", "alliance", "arm[MBCT]", "alliance:arm[MBCT]")
    cell_means = design("0 + arm", sessions, reference={"arm": "TAU"}).equation.coef.labels
    assert cell_means == ("arm[TAU]", "arm[MBCT]")


def test_ordered_categories_state_their_reference(trial: pd.DataFrame) -> None:
    """An ordered category's first level is the reference; no reference need be stated."""
    frame = trial.assign(arm=pd.Categorical(trial["arm"], ["TAU", "MBCT"], ordered=True))
    assert design("arm", ba.read_sessions(frame, ROLES)).equation.coef.labels == ("Intercept", "arm[MBCT]")


def test_a_level_of_a_column_can_be_a_variable(sessions: ba.SessionTable, trial: pd.DataFrame) -> None:
    """columns={'tx': 'arm[MBCT]'} is 1 in that arm and 0 in the other."""
    made = design("tx", sessions, columns={"tx": "arm[MBCT]"}).equation.coef
    assert made.labels == ("Intercept", "arm[MBCT]")
    assert made.values[:, 1].sum() == (trial["arm"] == "MBCT").sum()


def test_rows_in_are_rows_used_plus_the_ledger(trial: pd.DataFrame) -> None:
    """Every row is used or counted under exactly one reason."""
    frame = trial.copy()
    frame.loc[[0, 5], "score"] = np.nan
    frame.loc[[5, 9], "alliance"] = np.nan
    made = design("alliance", ba.read_sessions(frame, ROLES))
    assert dict(made.equation.ledger) == {"outcome score missing": 2, "predictor alliance missing": 1}
    assert len(made.equation.y) + sum(made.equation.ledger.values()) == made.equation.rows_read == len(frame)
    assert f"2 rows of {len(frame)} left out: outcome score missing." in made.messages


def test_single_session_patients_are_kept_and_counted(sessions: ba.SessionTable) -> None:
    """Patients with one session stay and are said to carry no slope."""
    made = ba.make_design(ba.load_model("growth/treatment"), ba.Study(sessions, columns=GROWTH, reference=TAU))
    assert len(made.equation.groups[0].levels) == 24
    assert any("2 levels of patient (8%) have one row: they are kept and say nothing about" in m for m in made.messages)


def test_optional_factors_are_left_out_by_name(trial: pd.DataFrame) -> None:
    """A study without therapists gets the model without them, a message, and a spec as resolved."""
    table = ba.read_sessions(trial, {"patient": "pid", "session": "week"})
    made = ba.make_design(ba.load_model("growth/treatment"), ba.Study(table, columns=GROWTH, reference=TAU))
    assert "The study has no therapist; left out of the model: (1 | therapist)." in made.messages
    assert "therapist" not in made.spec.equation[0].formula
    assert "therapist" in ba.load_model("growth/treatment").equation[0].formula


def test_gated_factor_has_no_dummy_level(sessions: ba.SessionTable) -> None:
    """Outside its arm a factor carries a valid code with value 0; only real groups are levels."""
    made = design("arm + (0 + in_group | group)", sessions, columns={"in_group": "arm[MBCT]"}, reference={"arm": "TAU"})
    (group,) = made.equation.groups
    outside = made.equation.coef.values[:, 1] == 0
    assert "" not in group.levels
    assert len(group.levels) == 4
    assert (group.values[outside] == 0).all()
    assert (group.values[~outside] == 1).all()
    assert group.code.min() == 0
    assert group.code.max() == 3


def test_factor_of_one_arm_without_a_gate_is_refused(sessions: ba.SessionTable) -> None:
    """The error proposes the gate, ready to paste."""
    with pytest.raises(
        ba.DesignError, match=r"'group' exists in 'MBCT' only.*\(0 \+ in_group \| group\).*'arm\[MBCT\]'"
    ):
        design("arm + (1 | group)", sessions, reference={"arm": "TAU"})


def test_missing_ids(trial: pd.DataFrame) -> None:
    """A row without an id where its indicator is on is an error; missing = "none" says it has no effect."""
    frame = trial.copy()
    frame.loc[frame["gid"] == "G0", "gid"] = ""
    table = ba.read_sessions(frame, ROLES)
    arguments = {"columns": {"in_group": "arm[MBCT]"}, "reference": {"arm": "TAU"}}
    with pytest.raises(
        ba.DesignError, match=r"\d+ rows have no group where \(0 \+ in_group \| group\) needs one \(TAU: 0, MBCT"
    ):
        design("arm + (0 + in_group | group)", table, **arguments)
    extra = '[groups.group]\nmissing = "none"\n'
    made = design("arm + (0 + in_group | group)", table, extra=extra, **arguments)
    assert any("without group carry no group effect (TAU: 0, MBCT:" in message for message in made.messages)
    assert len(made.equation.groups[0].levels) == 3


@pytest.mark.parametrize("codes", [[0, 1, 3], [0, -1, 2]])
def test_codes_outside_the_levels_never_pass(codes: list[int]) -> None:
    """Compiled code would read past the array, or take -1 for the last patient."""
    with pytest.raises(IndexError, match="codes of 'patient' run from"):
        check_codes("patient", np.array(codes), 3)


@pytest.mark.parametrize(
    ("formula", "arguments", "message"),
    [
        ("outcom", {"columns": {"outcome": "score"}}, r"columns: Unknown variable of the model 'outcome'.*'outcom'"),
        ("allianc", {}, r"Variable 'allianc' of the model has no column.*Did you mean 'alliance'"),
        ("x", {"columns": {"x": "Alliance"}}, r"columns: Unknown column 'Alliance'.*Did you mean 'alliance'"),
        (
            "session",
            {"columns": {"session": "week"}},
            r"'session' is named twice: roles say 'week' and columns say 'week'",
        ),
        ("arm", {}, r"Factor 'arm' \(column 'arm'\) has levels without a stated order: 'MBCT', 'TAU'"),
        ("arm", {"reference": {"arm": "CBT"}}, r"reference of 'arm': Unknown level 'CBT'. Valid: 'MBCT', 'TAU'"),
        ("alliance", {"reference": {"arm": "TAU"}}, r"reference: Unknown variable of the model 'arm'"),
        ("tx", {"columns": {"tx": "arm[CBT]"}}, r"columns: Unknown level of 'arm': 'CBT'"),
        ("one", {}, r"Predictor 'one' is constant: it is 1 in every row used"),
        ("none", {}, r"No row has outcome 'score' and every predictor.*rows: predictor none missing"),
        ("alliance + twice", {}, r"Predictor 'twice' is determined by 'alliance' \(perfect collinearity\)"),
        (
            "log(alliance - 9)",
            {},
            r"log\(alliance - 9\) is not defined in \d+ rows: patient 'P00' session 1 .*Allowed: values above 0",
        ),
        ("log(arm)", {"reference": {"arm": "TAU"}}, r"'arm' is a factor and cannot be used inside a call"),
        ("within(alliance, 2)", {}, r"the second argument names a grouping factor"),
        ('within(alliance, patient, means="median")', {}, r'means is "observed", "latent" or "finite", not'),
        ("lag(alliance, 0)", {}, r"needs rows that are sessions, a whole number of sessions from 1"),
        ("(1 + pre | patient)", {}, r"'pre' never varies within a patient, so it has no slope by patient"),
        ("(1 | one)", {}, r"Grouping factor 'one' has only '1' in the rows used; two levels"),
        ("(1 | row)", {}, r"Every level of 'row' has one row"),
        ("(1 | site)", {}, r"The model groups rows by 'site' and no column plays it"),
        ("(1 | clinic)", {}, r"Grouping factor: Unknown column 'clinic'"),
        ("alliance", {"priors": {"sd patient": "half_normal(1)"}}, r"prior on 'sd patient' matches no parameter"),
        (
            "(1 | patient)",
            {"priors": {"sd patent": "half_normal(1)"}},
            r"matches no parameter.*Did you mean 'sd patient'",
        ),
        (
            "alliance",
            {"priors": {"b alliance": "half_normal(1)"}},
            r"cannot describe b\[score, alliance\], which is any number",
        ),
        ("alliance", {"priors": {"b": "norml(0, 1)"}}, r"Unknown distribution 'norml'"),
        ("alliance", {"priors": {"zz": "normal(0, 1)"}}, r"Prior on 'zz': a prior may be on"),
    ],
)
def test_what_does_not_fit_is_named(
    trial: pd.DataFrame, formula: str, arguments: dict[str, object], message: str
) -> None:
    """Each misfit is a DesignError that says where and what to do."""
    frame = trial.assign(
        one=1.0, none=np.nan, twice=2 * trial["alliance"], row=[f"r{i}" for i in range(len(trial))],
    )  # fmt: skip
    with pytest.raises(ba.DesignError, match=message):
        design(formula, ba.read_sessions(frame, ROLES), **arguments)


@pytest.mark.parametrize(
    ("values", "family", "message"),
    [
        ([3.0], "gaussian", r"Outcome 'y' is constant \(3\)"),
        ([0.0, 1.0, 2.0], "bernoulli", r"has values other than 0 and 1 in \d+ rows: patient .P00. session \S+ \(2\)"),
        ([1.0, 2.0], "bernoulli", r"has values other than 0 and 1 in \d+ rows: patient .P00. session \S+ \(2\)"),
        ([0.0, 1.0], "gaussian", r'has only 0 and 1 and the equation is gaussian. State family = "bernoulli"'),
    ],
)
def test_outcomes_are_checked(trial: pd.DataFrame, values: list[float], family: str, message: str) -> None:
    """A constant outcome, and one that is not what its family needs, are refused."""
    frame = trial.assign(y=np.resize(values, len(trial)))
    with pytest.raises(ba.DesignError, match=message):
        design("alliance", ba.read_sessions(frame, ROLES), outcome="y", extra=f'family = "{family}"')


def test_outcome_in_words_is_refused(sessions: ba.SessionTable) -> None:
    """An outcome that holds words is named with its levels."""
    with pytest.raises(ba.DesignError, match=r"\AOutcome 'arm' holds words \('MBCT', 'TAU'\); a number is needed"):
        design("alliance", sessions, outcome="arm")


def test_patient_unit_refuses_what_varies(sessions: ba.SessionTable) -> None:
    """A row per patient needs one value per patient, or a declaration of which."""
    with pytest.raises(ba.DesignError, match=r"Column 'alliance' varies within 2\d patients.*first\(alliance\)"):
        design("alliance", sessions, outcome="post", unit="patient")


def test_levels_without_rows_are_named(trial: pd.DataFrame) -> None:
    """A level that lost all its rows is dropped with a message; if it is the reference, that is an error."""
    frame = trial.copy()
    frame.loc[frame["week"] == 3, "score"] = np.nan
    table = ba.read_sessions(frame, ROLES)
    made = design("week", table, reference={"week": "1"})
    assert "1 level of week has no row in use: 3." in made.messages
    assert "week[3]" not in made.equation.coef.labels
    with pytest.raises(ba.DesignError, match=r"No row used has the reference level '3' of 'week'"):
        design("week", table, reference={"week": "3"})


def test_separation_is_noted(trial: pd.DataFrame) -> None:
    """A predictor that tells 0 from 1 without error is named."""
    frame = trial.assign(y=(trial["alliance"] > 5).astype(float))
    made = design("alliance", ba.read_sessions(frame, ROLES), outcome="y", extra='family = "bernoulli"')
    assert any(m.startswith("Separation: 'alliance' predicts 'y' without error") for m in made.messages)


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False))
def test_permuting_rows_gives_the_same_design(order: object) -> None:
    """Design and fingerprint do not depend on the order of the source rows."""
    trial = make_trial(patients=12)
    places = list(range(len(trial)))
    order.shuffle(places)  # type: ignore[attr-defined]
    prints = []
    for rows in (trial, trial.iloc[places]):
        table = ba.read_sessions(rows, ROLES)
        prints.append(
            ba.make_design(
                ba.load_model("growth/treatment"), ba.Study(table, columns=GROWTH, reference=TAU)
            ).fingerprint
        )
    assert prints[0] == prints[1]


def test_fingerprint_sees_every_change(trial: pd.DataFrame) -> None:
    """Another outcome, predictor, patient or row gives another fingerprint."""
    changes = [trial]
    for column, value in (("score", 1.0), ("week", 11.0), ("pid", "P99")):
        changed = trial.copy()
        changed[column] = changed[column].astype(object)
        changed.loc[len(trial) - 1, column] = value
        changes.append(changed.infer_objects())
    changes.append(trial.iloc[:-1])
    prints = {
        ba.make_design(
            ba.load_model("growth/treatment"), ba.Study(ba.read_sessions(frame, ROLES), columns=GROWTH, reference=TAU)
        ).fingerprint
        for frame in changes
    }
    assert len(prints) == len(changes)


def test_priors_are_numbers_with_reasons(sessions: ba.SessionTable) -> None:
    """Defaults are scaled by outcome and predictor; narrower statements win; the source is told."""
    made = ba.make_design(
        ba.load_model("growth/three-level"),
        ba.Study(
            sessions,
            columns={"outcome": "score"},
            priors={
                "sd patient": "half_normal(9)",
                "sd patient session": "exponential(2)",
                "b session": "normal(1, 2)",
            },
        ),
    )
    table = {prior.parameter: prior for prior in made.priors.table()}
    spread = made.equation.y.std(ddof=1)
    assert all(prior.reason for prior in table.values())
    assert table["sigma[score]"].distribution.value("sigma") == pytest.approx(spread)
    assert table["b[score, Intercept]"].distribution.value("mu") == pytest.approx(made.equation.y.mean())
    assert str(table["b[score, week]"].distribution) == "normal(1, 2)"
    assert str(table["sd_patient[score, Intercept]"].distribution) == "half_normal(9)"
    assert str(table["sd_patient[score, week]"].distribution) == "exponential(2)"
    therapist = table["sd_therapist[score, Intercept]"]
    assert therapist.source == "model"
    assert therapist.distribution.value("sigma") == pytest.approx(0.3 * spread)
    assert table["sd_patient[score, week]"].source == "call"
    assert table["sigma[score]"].source == "default"
    assert [prior.on for prior in made.spec.prior][-1] == "b session"


def test_residual_sds_have_priors_by_level(trial: pd.DataFrame) -> None:
    """A level is named as in the summary; series of deviations start with an SD whose prior keeps away from 0."""
    table = ba.read_sessions(trial, {"patient": "pid", "therapist": "tid", "session": "week"})
    made = ba.make_design(
        ba.load_model("dynamics/cross-lagged"),
        ba.Study(table, columns={"outcome": "score"}, priors={"sigma first": "half_normal(3)"}),
    )
    found = {p.parameter: p for p in made.priors.table() if p.parameter.startswith("sigma")}
    assert str(found["sigma[score, first]"].distribution) == "half_normal(3)"
    assert found["sigma[score]"].distribution.family == "half_student_t"
    made = ba.make_design(ba.load_model("dynamics/cross-lagged"), ba.Study(table, columns={"outcome": "score"}))
    (first,) = [p for p in made.priors.table() if p.parameter == "sigma[alliance, first]"]
    spread = made.find("alliance").y.std(ddof=1)
    assert first.distribution.family == "lognormal"
    np.testing.assert_allclose(first.distribution.values, [0.6 * spread, 0.6])
    with pytest.raises(ba.DesignError, match=r"'sigma frist' matches no parameter.*Did you mean 'sigma first'"):
        ba.make_design(
            ba.load_model("dynamics/cross-lagged"),
            ba.Study(table, columns={"outcome": "score"}, priors={"sigma frist": "half_normal(3)"}),
        )


def test_a_residual_sd_is_named_as_the_model_or_the_study_has_it(trial: pd.DataFrame) -> None:
    """``sigma condition[MBCT]`` and ``sigma arm[MBCT]`` are one target where condition is the column arm."""
    text = 'title = "t"\nquestion = "q"\n[[equation]]\noutcome = "score"\nunit = "session"\n'
    spec = ba.parse_model(text + 'formula = "week + (1 | patient)"\nsigma = "condition"\n')
    table = ba.read_sessions(trial, {"patient": "pid", "session": "week"})
    for on in ("sigma condition[MBCT]", "sigma arm[MBCT]"):
        made = ba.make_design(
            spec, ba.Study(table, columns={"condition": "arm"}, reference=TAU, priors={on: "half_normal(3)"})
        )
        found = {p.parameter: str(p.distribution) for p in made.priors.table()}
        assert found["sigma[score, arm[MBCT]]"] == "half_normal(3)"
        assert found["sigma[score, arm[TAU]]"] != "half_normal(3)"


def test_prior_on_a_factor_the_study_lacks_is_set_aside(trial: pd.DataFrame) -> None:
    """A prior on an optional factor that is not there is a message, not an error."""
    table = ba.read_sessions(trial, {"patient": "pid", "session": "week"})
    made = ba.make_design(
        ba.load_model("growth/treatment"),
        ba.Study(table, columns=GROWTH, reference=TAU, priors={"sd therapist": "half_normal(1)"}),
    )
    assert "The prior on 'sd therapist' is set aside: the study has no 'therapist'." in made.messages


def test_centring_follows_what_the_data_say() -> None:
    """Effects the data pin down are centred; few, weak or sparse ones are not."""
    table = ba.read_sessions(make_trial(patients=80), ROLES)
    made = ba.make_design(ba.load_model("growth/treatment"), ba.Study(table, columns=GROWTH, reference=TAU))
    patient, therapist = parametrize(made).equation.groups
    level, slope = patient.blocks[0].reliability
    assert level > 0.5 > slope
    assert patient.blocks[0].centred == (0,)
    assert not therapist.blocks[0].centred


def test_study_columns_of_the_models_fit_the_small_trial(sessions: ba.SessionTable) -> None:
    """The mapping the tests use names variables and columns that exist."""
    assert {column.split("[")[0] for column in COLUMNS.values()} <= set(sessions.frame.columns)
