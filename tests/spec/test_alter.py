"""Variants of a model: what is added, taken away, exchanged, and refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_alliance as ba

MODEL = """
title = "t"
question = "q"
[[equation]]
outcome = "y"
unit = "session"
formula = "session * x + within(x, patient) + (1 + session | patient)"
[labels]
a = "y ~ session:x"
w = "y ~ within(x, patient)"
[estimands.effect]
value = "a + w"
unit = "points"
"""
TWO = MODEL + '[[equation]]\noutcome = "z"\nunit = "session"\nformula = "y"\n'


def formula_of(spec: ba.ModelSpec, outcome: str = "y") -> str:
    """Return the text of an equation's formula."""
    return next(e.formula for e in spec.equation if e.outcome == outcome)


def test_terms_are_added_and_dropped() -> None:
    """Once each, group terms too; an interaction is found whatever the order of its parts."""
    spec = ba.parse_model(MODEL)
    more = ba.alter_model(spec, add="age + x + (1 | site)")
    assert formula_of(more) == (
        "1 + session + x + session:x + within(x, patient) + age + (1 + session | patient) + (1 | site)"
    )
    less = ba.alter_model(spec, drop="within(x, patient) + (1 + session | patient)", labels={"w": "y ~ x"})
    assert formula_of(less) == "1 + session + x + session:x"
    assert ba.alter_model(more, drop="age + (1 | site)").equation[0].parsed == spec.equation[0].parsed
    assert formula_of(spec) == "session * x + within(x, patient) + (1 + session | patient)"


def test_labels_follow_what_is_exchanged() -> None:
    """A swap reaches into calls and group terms, and the estimand goes with it; two names can change places."""
    spec = ba.parse_model(MODEL)
    other = ba.alter_model(spec, swap={"session": "log(session)", "x": "x2"})
    assert formula_of(other) == (
        "1 + log(session) + x2 + log(session):x2 + within(x2, patient) + (1 + log(session) | patient)"
    )
    assert other.labels == {"a": "y ~ log(session):x2", "w": "y ~ within(x2, patient)"}
    lagged = ba.alter_model(spec, swap={"within(x, patient)": "lag(within(x, patient))"})
    assert lagged.labels["w"] == "y ~ lag(within(x, patient))"
    turned = ba.alter_model(spec, swap={"session": "x", "x": "session"})
    assert formula_of(turned) == "1 + x + session + x:session + within(session, patient) + (1 + x | patient)"
    again = ba.alter_model(turned, swap={"session": "x", "x": "session"})
    assert again.equation[0].parsed.terms[2:] == spec.equation[0].parsed.terms[2:]
    assert again.labels == {"a": "y ~ session:x", "w": "y ~ within(x, patient)"}


def test_levels_of_a_label_stay() -> None:
    """The bracket behind a part is kept when the part is exchanged."""
    spec = ba.parse_model(MODEL.replace('a = "y ~ session:x"', 'a = "y ~ session:x[B]"'))
    assert ba.alter_model(spec, swap={"x": "arm"}).labels["a"] == "y ~ session:arm[B]"


def test_equations_are_told_apart_by_their_outcomes() -> None:
    """With several equations terms are stated by outcome, and a whole formula can be replaced."""
    spec = ba.parse_model(TWO)
    made = ba.alter_model(spec, add={"z": "x"}, formula={"y": "session * x + within(x, patient)"})
    assert formula_of(made, "z") == "1 + y + x"
    assert made.equation[0].parsed.groups == ()
    with pytest.raises(ba.SpecError, match=r"add = 'age': the model has 'y', 'z'. State it by outcome"):
        ba.alter_model(spec, add="age")


def test_all_that_is_wrong_is_told_at_once() -> None:
    """Unknown outcomes, terms, group terms and swaps, each with the nearest name; invalid results too."""
    spec = ba.parse_model(TWO)
    with pytest.raises(ba.SpecError) as caught:
        ba.alter_model(
            spec, add={"zz": "age"}, drop={"y": "sesion + (1 | therapist)"}, swap={"w": "v", "x:session": "k"}
        )
    text = str(caught.value)
    assert "5 problems in a variant of 't'" in text
    for part in (
        "add: Unknown outcome 'zz'",
        "drop from y: Unknown term 'sesion'",
        "Did you mean 'session'?",
        "drop from y: Unknown group term '(1 | therapist)'",
        "swap: Unknown variable or call 'w'",
        "swap 'x:session' for 'k': each side is one variable or one call",
    ):
        assert part in text
    with pytest.raises(ba.SpecError, match="Unknown outcome 'q'"):
        ba.alter_model(spec, labels={"w": "q ~ 1"})


def test_estimands_are_added_and_replaced() -> None:
    """Each as its table in a model file, over labels that come with it."""
    spec = ba.parse_model(MODEL)
    growth = {"value": "growing", "unit": "points per session"}
    more = ba.alter_model(spec, labels={"growing": "y ~ session"}, estimands={"growth": growth})
    assert list(more.estimands) == ["effect", "growth"]
    assert more.estimands["growth"].unit == "points per session"
    assert ba.alter_model(spec, estimands={"effect": growth | {"value": "a"}}).estimands["effect"].value == "a"
    with pytest.raises(ba.SpecError, match="growing"):
        ba.alter_model(spec, estimands={"growth": growth})


def test_names_in_backticks_and_keywords() -> None:
    """A label of a quoted column stays as it was; what a call names by keyword is exchanged, too."""
    text = MODEL.replace(
        "session * x + within(x, patient)", "`BDI II` + session * x + within(x, patient, detrend=session)"
    )
    text = text.replace('w = "y ~ within(x, patient)"', 'w = "y ~ `BDI II`"')
    spec = ba.parse_model(text)
    assert ba.alter_model(spec, add="age").labels["w"] == "y ~ `BDI II`"
    assert "detrend=week" in formula_of(ba.alter_model(spec, swap={"session": "week"}))
    assert ba.alter_model(spec, swap={"`BDI II`": "`BDI I`"}).labels["w"] == "y ~ `BDI I`"


def test_what_an_exchange_cannot_do() -> None:
    """Collapse a product, reach a residual SD's factor, or drop an intercept."""
    spec = ba.parse_model(MODEL.replace('patient)"\n[labels]', 'patient)"\nsigma = "x"\n[labels]'))
    with pytest.raises(ba.SpecError, match=r"(?s)swap makes 'session:x'.*'x' is also the sigma of y"):
        ba.alter_model(spec, swap={"x": "session"})
    with pytest.raises(ba.SpecError, match="drop from y: names no term"):
        ba.alter_model(spec, drop="1")


@settings(deadline=None)
@given(st.permutations(["a", "b", "c(d)", "e:f"]), st.integers(0, 4))
def test_what_is_added_can_be_taken_away(terms: list[str], size: int) -> None:
    """Adding new terms and dropping them again gives the same model."""
    chosen = " + ".join(t.replace("c(d)", "log(d)") for t in terms[:size])
    spec = ba.alter_model(ba.parse_model(MODEL), add="k")
    if chosen:
        assert ba.alter_model(ba.alter_model(spec, add=chosen), drop=chosen) == spec


def test_what_is_said_of_a_factor_goes_with_its_last_term() -> None:
    """Without therapists nothing of them is left; without one of several terms all that is said of them stays."""
    spec = ba.load_model("mediation/sequential")
    without = ba.alter_model(spec, drop=dict.fromkeys(spec.outcomes, "(1 | therapist)"))
    assert "therapist" not in without.groups
    assert not [prior for prior in without.prior if prior.target.factor == "therapist"]
    one = ba.alter_model(spec, drop={"alliance_early": "(1 | therapist)"})
    assert one.groups["therapist"] == spec.groups["therapist"]
    assert one.prior == spec.prior
