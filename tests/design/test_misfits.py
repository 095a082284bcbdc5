"""Misfits that once passed in silence, each with the sentence that now names it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from tests.conftest import ROLES
from tests.design.test_design import GROWTH, TAU, design

POST = {"condition": "arm", "outcome_pre": "pre", "outcome_post": "post", "in_group": "arm[MBCT]"}


@pytest.mark.parametrize(
    ("formula", "arguments", "message"),
    [
        ("score + cell * alliance", {"reference": {"cell": "a"}}, r"predicts itself"),
        (
            "zero * arm",
            {"reference": {"arm": "TAU"}},
            r"Predictor 'zero:arm\[MBCT\]' is constant: no row is in this cell",
        ),
        ("alliance + other", {"columns": {"other": "alliance"}}, r"Column 'alliance' plays 'alliance', 'other' in one"),
        ("other", {"columns": {"other": "score"}}, r"Column 'score' plays 'score', 'other' in one equation"),
        ("lag(alliance, -1)", {}, r"needs rows that are sessions, a whole number of sessions from 1"),
        ("lag(alliance, pre)", {}, r"needs rows that are sessions, a whole number of sessions from 1"),
        ("within(alliance, clinic)", {}, r"Grouping factor: Unknown column 'clinic'"),
        ("within(alliance, site)", {}, r"The model groups rows by 'site' and no column plays it"),
        ('log("a")', {}, r'"a" is a word, where a number or a variable is needed'),
        ("alliance", {"priors": {"sd patient": 1}}, r"Prior '1' is not written as name\(number"),
        ("alliance", {"columns": {"alliance": 1}}, r"columns: 1 is no column name"),
        (
            "tx",
            {"columns": {"tx": "arm[MBCT]"}, "reference": {"tx": "MBCT"}},
            r"'tx' is 1 for 'arm\[MBCT\]' and 0 else",
        ),
        ("same", {"reference": {"same": "A"}}, r"Factor 'same' \(column 'same'\) has one level in the rows used: 'A'"),
        ("condition", {"columns": {"condition": "code"}}, r"has the codes 1, 2, 3, which would be a dose"),
        ("(1 + one | patient)", {}, r"The effect 'one' of 'patient' is determined by 'Intercept'"),
        ("(1 + alliance + twice | patient)", {}, r"The effect 'twice' of 'patient' is determined by 'alliance'"),
        ("(1 | patient) + (1 | person)", {}, r"'person' and 'patient' group the rows alike"),
        ("week", {"reference": {"week": 99}}, r"reference of 'week': Unknown level '99'"),
    ],
)
def test_misfits_are_named(trial: pd.DataFrame, formula: str, arguments: dict[str, object], message: str) -> None:
    """Each is a DesignError or SpecError with its own sentence."""
    frame = trial.assign(
        one=1.0,
        twice=2 * trial["alliance"],
        same="A",
        zero=np.where(trial["arm"] == "TAU", trial["alliance"], 0.0),
        cell=np.where(trial["week"] > 3, "a", "b"),
        code=np.resize([1, 2, 3], len(trial)),
        person=trial["pid"] + "x",
    )
    with pytest.raises((ba.DesignError, ba.SpecError), match=message):
        design(formula, ba.read_sessions(frame, ROLES), **arguments)


def test_integer_references_are_read(sessions: ba.SessionTable) -> None:
    """A level given as a number is its text."""
    assert design("week", sessions, reference={"week": 2}).equation.coef.labels[1] == "week[1]"


def test_numeric_ids_keep_every_digit(trial: pd.DataFrame) -> None:
    """Twelve seven-digit clinics are twelve levels."""
    frame = trial.assign(clinic=1234500 + 7 * (trial["pid"].str[1:].astype(int) % 12))
    (group,) = design("(1 | clinic)", ba.read_sessions(frame, ROLES)).equation.groups
    assert len(group.levels) == 12
    assert group.levels[0] == "1234500"


def test_leaving_out_a_factor_keeps_the_formula(trial: pd.DataFrame) -> None:
    """Numbers keep their digits and odd names their backticks when an optional term goes."""
    frame = trial.rename(columns={"pre": "my pre"})
    table = ba.read_sessions(frame, {"patient": "pid", "session": "week"})
    extra = "[groups.therapist]\noptional = true\n"
    made = design("`my pre` + log(alliance + 1234567.8) + (1 | therapist)", table, extra=extra)
    assert made.spec.equation[0].formula == "1 + `my pre` + log(alliance + 1234567.8)"
    assert made.equation.coef.labels == ("Intercept", "my pre", "log(alliance + 1234567.8)")


def test_what_went_with_an_optional_factor_does_not_linger(trial: pd.DataFrame) -> None:
    """Mappings and priors for a factor the study lacks are gone from the design, so it can be made again."""
    table = ba.read_sessions(trial, {"patient": "pid", "session": "week"})
    spec = ba.load_model("outcome/early-alliance")
    made = ba.make_design(spec, ba.Study(table, columns=POST, reference=TAU, priors={"sd group": "half_normal(1)"}))
    stored = ba.parse_model(ba.write_model(made.spec))
    again = ba.make_design(stored, ba.Study(table, columns=made.columns, reference=made.reference))
    assert "in_group" not in made.columns
    assert again.fingerprint == made.fingerprint


def test_fingerprint_sees_the_residual_factor(trial: pd.DataFrame) -> None:
    """Tables that differ only in whose residual SD a row has are told apart."""
    prints = set()
    for step in (2, 3):
        frame = trial.assign(half=np.where(np.arange(len(trial)) % step == 0, "a", "b"))
        table = ba.read_sessions(frame, ROLES)
        prints.add(design("alliance", table, extra='sigma = "half"', reference={"half": "a"}).fingerprint)
    assert len(prints) == 2


@pytest.mark.parametrize("name", ["b", "sigma", "sd_patient", "coef", "draw", "a/b", "z_patient"])
def test_reserved_outcome_names_are_refused(trial: pd.DataFrame, name: str) -> None:
    """An outcome column called like a part of the model is refused by name."""
    table = ba.read_sessions(trial.rename(columns={"score": name}), ROLES)
    with pytest.raises(ba.DesignError, match=f"The outcome column '{name}' .*Rename the column"):
        design("alliance + (1 | patient)", table, outcome="y", columns={"y": name})


@pytest.mark.parametrize("name", ["chain", "coef", "a/b"])
def test_reserved_factor_names_are_refused(trial: pd.DataFrame, name: str) -> None:
    """A grouping column called like a dim of the posterior is refused by name."""
    table = ba.read_sessions(trial.assign(**{name: trial["tid"]}), ROLES)
    with pytest.raises(ba.DesignError, match=f"The grouping factor '{name}' .*Rename the column"):
        design(f"(1 | `{name}`)", table)


def test_patients_who_change_condition_are_counted(trial: pd.DataFrame) -> None:
    """A patient in two arms is named in a message."""
    frame = trial.copy()
    frame.loc[0, "arm"] = "MBCT"
    table = ba.read_sessions(frame, ROLES)
    made = ba.make_design(ba.load_model("growth/treatment"), ba.Study(table, columns=GROWTH, reference=TAU))
    assert "1 patient changes condition: 'P00'." in made.messages


def test_a_gate_for_several_arms_is_advised_as_a_column(trial: pd.DataFrame) -> None:
    """Where two of three arms have the factor, the advice names both."""
    frame = trial.copy()
    frame.loc[(frame["arm"] == "MBCT") & (frame["pid"] > "P12"), "arm"] = "CBT"
    with pytest.raises(ba.DesignError, match=r"a column in_group that is 1 in 'CBT', 'MBCT' and 0 in 'TAU'"):
        design("arm + (1 | group)", ba.read_sessions(frame, ROLES), reference={"arm": "TAU"})
