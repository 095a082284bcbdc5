"""What a table must hold for a model is said in one place, for every variable of the registry."""

from __future__ import annotations

import pytest

import bayes_alliance as ba
from bayes_alliance.names import ROLES
from bayes_alliance.spec.needed_variables import needed_variables
from bayes_alliance.spec.needs import Need, list_needs, variable_meanings
from bayes_alliance.spec.registry import model_names


def needs(name: str) -> dict[str, Need]:
    """Return the needs of a registered model by name."""
    return {need.name: need for need in list_needs(ba.load_model(name))}


def test_every_variable_of_the_registry_has_a_meaning() -> None:
    """The file has every variable that a registered model reads, and none that no model does."""
    known = variable_meanings()
    read = {variable for name in model_names() for variable in needed_variables(ba.load_model(name))}
    members = {one for name in model_names() for own in ba.load_model(name).groups.values() for one in own.members}
    assert read - set(known) == set()
    assert set(known) - read - members - set(ROLES) == set()
    for name, own in known.items():
        assert own.meaning.endswith("."), name
        assert len(own.meaning.split()) <= 20, name


@pytest.mark.parametrize("name", model_names())
def test_every_need_is_told_whole(name: str) -> None:
    """Every column of a registered model has a meaning, a unit and a scale, and is listed once."""
    listed = list_needs(ba.load_model(name))
    assert all(need.meaning and need.unit and need.holds for need in listed)
    assert len({need.name for need in listed}) == len(listed)
    assert listed[0].name == "patient"
    assert set(ba.load_model(name).factors) <= {need.name for need in listed}
    assert set(needed_variables(ba.load_model(name))) <= {need.name for need in listed}


def test_units_are_those_of_the_model() -> None:
    """A rating is of sessions where sessions are modelled or summarised, of patients where these are the rows."""
    assert needs("congruence/surface")["alliance_patient"].unit == "patient"
    assert needs("congruence/surface-multilevel")["alliance_patient"].unit == "session"
    assert needs("outcome/early-alliance")["alliance"].unit == "session"
    assert needs("outcome/group-process")["alliance"].unit == "patient"
    assert needs("outcome/growth-predicts")["alliance"].unit == "session"
    assert needs("outcome/rated-competence")["rater_2"].unit == "therapist"


def test_what_may_be_absent_is_optional() -> None:
    """Optional predictors and factors, what only these read, and time, for which the session stands."""
    found = needs("dropout/joint-slope")
    assert {name for name, need in found.items() if need.optional} == {
        "group", "therapist", "time", "condition", "in_group",
    }  # fmt: skip
    assert found["time"].text.endswith("The session number, unless a column is named.")
    assert found["last_session"].note == "leaving is computed from it."
    assert not needs("growth/three-level")["therapist"].optional
    assert not needs("outcome/group-process-latent")["therapist"].optional


def test_notes_say_what_is_stated_beside_a_column() -> None:
    """Scales with ends need these; several summaries of one column are named together."""
    assert "(bounds)" in needs("growth/censored")["alliance"].note
    assert needs("growth/treatment")["outcome"].note == ""
    assert needs("mediation/sequential")["alliance"].note == "alliance_early, alliance_change are computed from it."
    assert needs("outcome/two-therapists")["second_therapist"].holds == "id"


def test_models_of_ones_own_have_needs_without_a_meaning() -> None:
    """A variable that no registered model has is listed by its name."""
    spec = ba.parse_model(
        'title = "t"\nquestion = "q?"\n[[equation]]\noutcome = "mood"\nunit = "session"\n'
        'formula = "session + within(sleep, patient) + (1 | ward:patient)"\n'
    )
    assert [(need.name, need.meaning != "") for need in list_needs(spec)] == [
        ("patient", True), ("ward", False), ("session", True), ("mood", False), ("sleep", False),
    ]  # fmt: skip
